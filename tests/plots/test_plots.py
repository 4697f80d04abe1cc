"""Pictures: what is drawn is what was computed, every curve shows band, individual curves and support, and warns."""

import importlib
import pathlib
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from helpers import correlated, network

from acelib import AverageCausalEffect, InputDistribution, SupportWarning, interventional_expectation, plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def inputs():
    line = torch.linspace(0, 1, 12, dtype=torch.float64)
    return InputDistribution.fit(torch.cartesian_prod(line, line), feature_names=["a", "b"])


def ace(inputs):
    return AverageCausalEffect(network(2), inputs, target_names=["one", "two", "three"])


@pytest.mark.filterwarnings("error")
def test_an_expectation_draws_curve_band_and_individual_curves(inputs):
    e = interventional_expectation(network(2), inputs, "a", torch.linspace(0, 1, 9))
    ax = e.plot(output=1)
    curve = ax.lines[-1]
    assert np.allclose(curve.get_ydata(), e.values[:, 1]) and ax.get_xlabel() == "a"
    assert len(ax.lines) == 31  # 30 individual curves and the average
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(e.interval()[1][:, 1].max().item())
    assert not ax.patches  # independent inputs: nothing is shaded


def test_curves_off_the_data_are_shaded_and_warn():
    line = torch.linspace(0, 1, 60, dtype=torch.float64)
    inputs = InputDistribution.fit(torch.stack([line, line], dim=1))
    e = interventional_expectation(network(2), inputs, 0, [0.0, 0.5, 1.0])
    with pytest.warns(SupportWarning, match=r"of the rows under do\(x0\) leave the data"):
        ax = e.plot()
    assert len(ax.patches) == 3
    with pytest.warns(SupportWarning):
        AverageCausalEffect(network(2), inputs).regress(num=8).plot(panels="feature", targets=[0])


def test_an_expectation_without_rows_has_no_band():
    fitted = InputDistribution.fit(correlated(50, 2))
    inputs = InputDistribution.from_moments(fitted.mean, fitted.factor, low=-1, high=1)
    e = interventional_expectation(network(2), inputs, 0, [1.0, 0.0], method="taylor")
    ax = plots.plot_expectation(e, label="Taylor", ax=plt.subplots()[1])
    assert not ax.collections and ax.lines[0].get_xdata().tolist() == [0, 1]
    assert ax.texts[0].get_text() == "Taylor"


def test_joint_interventions_have_no_axis(inputs):
    e = interventional_expectation(network(2), inputs, ("a", "b"), [[0.0, 1.0]])
    with pytest.raises(ValueError, match="2 coordinates at once"):
        e.plot()


@pytest.mark.parametrize("panels", ["target", "feature"])
def test_regressors_have_a_panel_each_and_labelled_lines(inputs, panels):
    curves = ace(inputs).regress(num=15)
    figure = curves.plot(panels=panels)
    outer, inner = (curves.targets, curves.features) if panels == "target" else (curves.features, curves.targets)
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(outer)
    assert [t.get_text() for t in figure.axes[-1].texts] and {t.get_text() for t in figure.axes[-1].texts} == set(inner)
    curve = curves["a", "one"]
    x = np.linspace(0, 1, 201)
    drawn = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_ydata()) == 201]
    assert np.allclose(drawn[0], curve.ace(x))


def test_one_regressor_and_a_table():
    X = torch.randint(0, 3, (90, 2), generator=torch.Generator().manual_seed(0)).double()
    inputs = InputDistribution.fit(X, domain={"x0": {0, 1, 2}})
    curves = AverageCausalEffect(network(2), inputs).regress(num=15)
    ax = curves["x0", 0].plot()
    assert ax.containers  # points with error bars
    ax = plots.plot_regressor(curves["x1", 0], label="x1", band="bayesian")
    assert ax.texts[0].get_text() == "x1"
    assert curves.plot(panels="target").axes


def test_attributions_are_bars_or_maps(inputs):
    effect = ace(inputs).attribute(inputs.samples[3], "two")
    ax = effect.plot(names=["a", "b"])
    assert [p.get_width() for p in ax.patches] == effect.values.tolist()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert [t.get_text() for t in effect.plot().get_yticklabels()] == ["a", "b"]
    X = correlated(50, 6).reshape(50, 2, 3)
    image = AverageCausalEffect(lambda x: x.flatten(1).sum(1, keepdim=True), InputDistribution.fit(X)).attribute(X[0])
    ax = image.plot()
    assert np.allclose(ax.images[0].get_array(), image.values)


def drawn_names(ax):
    return [t.get_text() for t in ax.get_yticklabels()]


def test_a_picture_of_a_batch_says_which_row_it_shows(inputs):
    effect = ace(inputs).attribute(inputs.samples[:3], ["two", "one", "two"])
    for row, target in enumerate(["two", "one", "two"]):
        ax = effect.plot(row=row)
        assert [p.get_width() for p in ax.patches] == effect.values[row].tolist()
        assert ax.get_title(loc="left") == f"row {row} of 3" and ax.get_xlabel() == f"ACE on {target}"
    for row in (-1, 3):
        with pytest.raises(ValueError, match="row must be one of the 3 explained inputs"):
            effect.plot(row=row)
    with pytest.raises(ValueError, match="names must hold one name for each of the 2 inputs, got 1"):
        effect.plot(names=["a"])


@pytest.mark.parametrize("batch", [None, 2])
def test_a_picture_of_channels_shows_their_sum_or_the_one_asked_for(batch):
    X = correlated(40, 18).reshape(40, 3, 2, 3)
    effect = AverageCausalEffect(lambda x: x.flatten(1).sum(1, keepdim=True), InputDistribution.fit(X))
    found = effect.attribute(X[0] if batch is None else X[:batch])
    values, start = (found.values, "") if batch is None else (found.values[1], "row 1 of 2, ")
    row = {} if batch is None else {"row": 1}
    ax = found.plot(**row)
    assert np.allclose(ax.images[0].get_array(), values.sum(0))
    assert ax.get_title(loc="left") == f"{start}sum over 3 channels"
    ax = found.plot(channel=2, **row)
    assert np.allclose(ax.images[0].get_array(), values[2])
    assert ax.get_title(loc="left") == f"{start}channel 2 of 3"
    with pytest.raises(ValueError, match="channel must be one of the 3 channels"):
        found.plot(channel=3)


def test_many_inputs_are_drawn_by_their_largest_effects(inputs):
    """What is not drawn is said; what has no effect at all, NaN, is no input that is left out."""
    X = torch.rand(60, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.arange(50.0, dtype=torch.float64)[:, None]
    found = AverageCausalEffect(lambda x: x @ weights, InputDistribution.fit(X, domain=(0, 1))).attribute(X[0] * 0)
    ax = found.plot()
    assert drawn_names(ax) == [f"x{i}" for i in range(10, 50)]
    assert ax.get_title(loc="left") == "40 of 50 inputs, the largest effects"
    some = ace(inputs).attribute(inputs.samples[0], "one", features=["b"]).plot()
    assert drawn_names(some) == ["b"] and some.get_title(loc="left") == ""


def test_pictures_say_what_they_leave_out():
    X = torch.rand(30, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.rand(9, 15, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    curves = AverageCausalEffect(lambda x: x @ weights, InputDistribution.fit(X)).regress(num=5)
    figure = curves.plot()
    assert len(figure.axes) == 12 and [t.get_text() for t in figure.texts] == ["7 of 9 features, 12 of 15 targets"]
    figure = curves.plot(panels="feature")
    assert len(figure.axes) == 9 and [t.get_text() for t in figure.texts] == ["7 of 15 targets"]
    assert not curves.plot(features=["x8"], targets=["3"]).texts


def test_an_output_is_drawn_by_number_or_name(inputs):
    e = ace(inputs).expectation("a", [0.0, 0.5])
    for output, column in (("two", 1), (1, 1), (-1, 2), ("one", 0)):
        assert np.allclose(e.plot(output=output).lines[-1].get_ydata(), e.values[:, column])
    for output in ("ill", 3, True, None):
        with pytest.raises(ValueError, match="target must be one of the 3 outputs"):
            e.plot(output=output)
    assert torch.equal(e.covariance("two"), e.covariances[1])


@pytest.mark.parametrize("name", [r"$\frac{1}{$", "price in $ or $", "50 %_{x}", "Δ^2"])
def test_names_are_no_mathematics(name, tmp_path):
    X = torch.rand(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    effect = AverageCausalEffect(
        lambda x: x, InputDistribution.fit(X, feature_names=[name, "b"]), target_names=[name, "y"]
    )
    effect.attribute(X[0], name).plot().figure.savefig(tmp_path / "a.png")
    effect.regress(num=5).plot().savefig(tmp_path / "b.png")
    effect.expectation(name, [0.1, 0.5]).plot(output=name).figure.savefig(tmp_path / "c.png")


def test_the_style_is_white_and_leaves_nothing_behind():
    before = matplotlib.rcParams["axes.titlelocation"]
    with plots.style():
        assert matplotlib.rcParams["savefig.facecolor"] == "white"
    assert matplotlib.rcParams["axes.titlelocation"] == before
    with matplotlib.rc_context():
        plots.use_style()
        assert matplotlib.rcParams["axes.titlelocation"] == "left"


PICTURES = "bars causal_graphs curves graphs interactions mediation".split()


def test_the_package_offers_every_picture():
    """Each public ``plot_*`` of the modules is offered, in alphabetical order, constants first."""
    modules = [importlib.import_module(f"acelib.plots.{name}") for name in PICTURES]
    pictures = {name for module in modules for name in vars(module) if name.startswith("plot_")}
    assert pictures == {name for name in plots.__all__ if name.startswith("plot_")}
    assert plots.__all__ == sorted(plots.__all__) and all(hasattr(plots, name) for name in plots.__all__)


def test_pictures_do_not_import_what_they_draw():
    """The classes stand in annotations only: the pictures load no method but warnings and intervals."""
    code = "import sys, types; sys.modules['acelib'] = m = types.ModuleType('acelib'); m.__path__ = [sys.argv[1]]\n"
    code += "import acelib.plots; print(*sorted(n for n in sys.modules if n.startswith('acelib.')))"
    folder = str(pathlib.Path(plots.__file__).parents[1])
    loaded = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True).stdout
    mine = {"acelib.plots", "acelib.plots.house_style", *(f"acelib.plots.{name}" for name in PICTURES)}
    assert set(loaded.split()) == mine | {"acelib._intervals", "acelib._off_support", "acelib._warnings"}


def test_labels_stand_at_the_end_or_above_a_point():
    ax = plt.subplots()[1]
    plots.label_line(ax, [0, 1, 2], [3, 4, 5], "end", "k")
    plots.label_line(ax, [0, 1, 2], [3, 4, 5], "middle", "k", at=0.5)
    assert [t.xy for t in ax.texts] == [(2, 5), (1, 4)]
    plots.shade_off_support(ax, [0.0], [1.0])
    plots.shade_off_support(ax, [0.0, 1.0], [np.nan, np.nan])
    plots.shade_off_support(ax, [0.0, 1.0], [0.5, 0.2])
    assert not ax.patches
    plots.shade_off_support(ax, [0.0, 1.0], [0.6, 0.2])  # more than half
    assert [(patch.get_x(), patch.get_width()) for patch in ax.patches] == [(0, 0.5)]
