"""Pictures of regions and surfaces: what is drawn is what was computed."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from helpers import network

from acelib import InputDistribution, SupportWarning, effect_surface, regional_effects

F64 = torch.float64


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def inputs(k=3):
    X = torch.rand(300, k, generator=torch.Generator().manual_seed(0), dtype=F64)
    return InputDistribution.fit(X, feature_names=[f"x${i}" for i in range(k)], domain=(0.0, 1.0))


def product(x):
    return x[:, :1] * (x[:, 1:2] - 0.5) + x[:, 2:3]


@pytest.mark.filterwarnings("error")
def test_regions_are_drawn_with_bands_and_shares():
    found = regional_effects(product, inputs(), 0, [0.7, 0.0, 1.0, 0.3])  # in no order
    figure = found.plot()
    left, right = figure.axes
    order = np.argsort(found.overall.alphas.numpy())
    thick = [line for line in left.lines if line.get_linewidth() == 2]
    for line, e in zip(thick, found.regions, strict=True):
        values = e.values[:, 0].numpy()[order]
        assert np.allclose(line.get_ydata(), values - values.mean())
        assert list(line.get_xdata()) == [0.0, 0.3, 0.7, 1.0]
    assert len([line for line in left.lines if line.get_linewidth() == 0.7]) == 50
    assert [t.get_text() for t in left.get_legend().get_texts()] == [
        *(side.replace("<=", "≤").replace(">=", "≥").replace("$", r"\$") for side in found.sides),
        "all rows",
    ]
    assert [bar.get_width() for bar in right.patches] == sorted(found.best.tolist(), reverse=True)
    assert any(list(line.get_xdata()) == [found.line] * 2 for line in right.lines)
    figure.canvas.draw()


def test_many_candidates_are_cut_and_said():
    figure = regional_effects(lambda x: x[:, :1] * x[:, 1:2], inputs(20), 0).plot(most=5)
    assert len(figure.axes[1].patches) == 5 and figure.axes[1].get_title("left") == "5 of 19 candidates"


@pytest.mark.filterwarnings("error")
def test_without_a_split_there_is_one_curve():
    figure = regional_effects(lambda x: x[:, :1] ** 2 + x[:, 1:2], inputs(), 0).plot(ice=5)
    assert len(figure.axes[0].get_legend().get_texts()) == 1
    figure.canvas.draw()


@pytest.mark.filterwarnings("error")
def test_a_surface_is_drawn_with_its_interaction():
    found = effect_surface(network(3), inputs(), (0, 1), [0.9, 0.1, 0.5], [0.2, 0.8])
    figure = found.plot(output=2)
    first, second = figure.axes[:2]
    assert np.allclose(first.collections[0].get_array(), found.mean[[1, 2, 0], :, 2].T.numpy())
    assert np.allclose(second.collections[0].get_array(), found.interaction[[1, 2, 0], :, 2].T.numpy())
    assert first.get_xlabel() == r"x\$0" and first.get_ylabel() == r"x\$1" and not first.patches
    assert second.get_title("left").endswith("of the variance")
    figure.canvas.draw()


def test_pairs_off_the_data_are_hatched():
    line = torch.linspace(0, 1, 80, dtype=F64)
    data = InputDistribution.fit(torch.stack([line, line, line**2], 1))
    found = effect_surface(network(3), data, (0, 1), [0.0, 0.5, 1.0], [0.0, 0.5, 1.0])
    with pytest.warns(SupportWarning, match="leave the data"):
        figure = found.plot()
    off = int((found.support > 0.5).sum())
    assert off >= 2 and all(len(ax.patches) == off for ax in figure.axes[:2])
    assert all(patch.get_hatch() == "///" for patch in figure.axes[0].patches)


def test_an_unknown_output_is_refused():
    with pytest.raises(ValueError, match="target must be one of the 3 outputs"):
        effect_surface(network(3), inputs(), (0, 1), [0, 1], [0, 1]).plot(output=3)
