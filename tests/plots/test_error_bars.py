"""What is drawn as an error is the error of what it is drawn at: bands, error bars and individual curves."""

import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from acelib import AverageCausalEffect, InputDistribution, interventional_expectation, plots, regional_effects
from acelib.intrinsic import LinearModel, sobol_indices
from acelib.mediation import CausalGraphInputs, total_and_direct

X = torch.randn(80, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
INPUTS = InputDistribution.fit(X)


def two(x):
    """Outputs whose errors differ."""
    return torch.stack([x[:, 0] * x[:, 1], 5 * x.sum(1).tanh()], 1)


@pytest.fixture(autouse=True)
def quiet_and_closed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    plt.close("all")


def bars(container, axis):
    """The ends ``(n, 2)`` of the error bars in a container."""
    return np.array([segment[:, axis] for segment in container[2][0].get_segments()])


def heights(band):
    """The least and the largest height of a band."""
    vertices = band.get_paths()[0].vertices[:, 1]
    return [vertices.min(), vertices.max()]


def test_individual_curves_follow_the_values_in_whatever_order_they_come():
    e = interventional_expectation(two, INPUTS, 0, [1.0, 0.0, 0.5])
    line = e.plot(output=1).lines[0]
    assert line.get_xdata().tolist() == [0, 0.5, 1]
    assert np.allclose(line.get_ydata(), e.individual[[1, 2, 0], 0, 1])


def test_individual_curves_of_a_panel_are_those_of_its_target():
    curves = AverageCausalEffect(two, INPUTS).regress(["x0"], num=7)
    line = curves.plot(ice=3).axes[1].lines[0]
    assert np.allclose(line.get_ydata(), curves.expectations["x0"].individual[:, 0, 1] - curves["x0", "1"].baseline)


def test_a_bayesian_band_is_1_96_deviations_either_side():
    curve = AverageCausalEffect(two, INPUTS).regress(["x0"], num=7, max_order=2)["x0", "1"]
    y, s = curve.ace(np.linspace(curve.low, curve.high, 201), return_std=True, band="bayesian")
    assert s.min() > 1e-3
    found = heights(plots.plot_regressor(curve, band="bayesian").collections[0])
    assert found == pytest.approx([(y - 1.96 * s).min(), (y + 1.96 * s).max()], rel=1e-6)


def test_total_direct_and_mediated_effects_have_bands_of_the_output_drawn():
    inputs = CausalGraphInputs(LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 2.0}}), num_rows=60, domain=(-2, 2))
    found = total_and_direct(two_of_a_pair, inputs, "a", [1.0, -1.0, 0.0])
    drawn = found.plot(output=1).collections
    for name, band in zip(("total", "direct", "mediated"), drawn, strict=True):
        value, error, _ = (t[:, 1] for t in getattr(found, name).contrast(torch.eye(3, dtype=torch.float64) - 1 / 3))
        expected = [(value - 1.96 * error).min().item(), (value + 1.96 * error).max().item()]
        assert heights(band) == pytest.approx(expected, rel=1e-6)


def two_of_a_pair(x):
    return torch.stack([x.sum(1), x[:, 0] * x[:, 1].exp()], 1)


def test_error_bars_of_indices_are_those_of_the_output_drawn():
    r = sobol_indices(lambda u: torch.stack([u[:, 0] + u[:, 1], u[:, 0] * u[:, 1]], 1), num_inputs=2, num_samples=256)
    for index, container in zip(("first", "total"), plots.plot_sobol(r, output=1).containers, strict=True):
        low, high = (end[:, 1].numpy() for end in r.interval(index))
        assert np.allclose(bars(container, 1), np.stack([low, high], 1))


def test_error_bars_of_an_attribution_are_those_of_the_row_drawn():
    found = AverageCausalEffect(two, INPUTS).attribute(X[:3], [1, 0, 1])
    low, high = found.interval()
    for row in (0, 1):
        drawn = bars(found.plot(row=row).containers[0], 0)
        assert np.allclose(drawn, torch.stack([low[row], high[row]], 1).numpy())


def test_points_of_candidates_have_1_96_standard_errors():
    found = regional_effects(two, INPUTS, 0, target=0, permutations=19)
    (container,) = [c for c in found.plot().axes[1].containers if hasattr(c, "has_xerr")]
    order = np.argsort(-found.best.numpy(), kind="stable")
    share, error = (t.numpy()[order] for t in (found.shares, found.shares_stderr))
    assert np.allclose(bars(container, 0), np.stack([share - 1.96 * error, share + 1.96 * error], 1))
