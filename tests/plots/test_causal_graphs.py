"""Causal graphs: what is drawn is what the object says."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from torch import nn

from acelib import plots
from acelib.intrinsic import CausalGraph, FiniteNoise, StructuralModel, network_as_model


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(ax, kind):
    return [patch for patch in ax.patches if type(patch) is kind]


def test_every_node_and_every_arrow_is_drawn_once():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    world = StructuralModel({"U": [], "x1": ["U"], "x2": ["U"]}, dict.fromkeys(("x1", "x2"), lambda U, n: U + n))
    model = network_as_model(net, world, reads=["x1", "x2"])
    ax = model.plot(latent=["U"], title="whole")
    assert [text.get_text() for text in ax.texts] == [
        "U",
        "$x_{1}$",
        "$x_{2}$",
        *(f"$h_{{1.{i}}}$" for i in (1, 2, 3)),
        "y",
    ]
    assert len(drawn(ax, FancyArrowPatch)) == 2 + 6 + 3 and ax.get_title(loc="left") + ax.get_title() == "whole"
    assert len(drawn(ax, Rectangle)) == 4 and [c.get_linestyle() for c in drawn(ax, Circle)].count(":") == 1
    changed = model.do({"x1": 1.0}).without(["h1.1", "h1.2", "h1.3"]).plot(latent=["U"])
    assert len(drawn(changed, FancyArrowPatch)) == 1 + 2  # the arrow into what was set is gone
    filled = [c for c in drawn(changed, Circle) if c.get_facecolor()[:3] != (1, 1, 1)]
    assert len(filled) == 1 and len(drawn(changed, Rectangle)) == 1


def test_arrows_lead_from_cause_to_effect():
    places = {"a": (0, 0), "b": (1, 0), "c": (2, 0)}
    ax = CausalGraph({"a": [], "b": ["a"], "c": ["a"]}).plot(places=places)
    first, second = drawn(ax, FancyArrowPatch)
    assert [tuple(end) for end in first._posA_posB] == [(0, 0), (1, 0)]
    assert [tuple(end) for end in second._posA_posB] == [(0, 0), (2, 0)]
    # b stands in the way of the second one only
    assert [getattr(arrow.get_connectionstyle(), "rad", 0) != 0 for arrow in (first, second)] == [False, True]


def test_columns_count_arrows_and_what_was_set_stays_in_its_own():
    graph = CausalGraph({"U": [], "x1": ["U"], "x2": ["U"], "y": ["x1", "x2"]})
    places = plots.place_nodes(graph)
    assert places == {"U": (0, 0), "x1": (1, 0.5), "x2": (1, -0.5), "y": (2, 0)}
    assert plots.place_nodes(graph.do("x1")) == places


def test_a_name_is_no_mathematics_and_a_place_is_needed():
    ax = plots.plot_causal_graph(CausalGraph({"cost in $": []}), ax=plt.subplots()[1])
    assert ax.texts[0].get_text() == r"cost in \$"
    with pytest.raises(ValueError, match=r"places must have every node, got none for \['b'\]"):
        plots.plot_causal_graph(CausalGraph({"a": [], "b": []}), places={"a": (0, 0)})
    silent = StructuralModel({"a": []}, {}, FiniteNoise([1.0]))
    assert drawn(silent.plot(), Rectangle) and not drawn(silent.do({"a": 2.0}).plot(), Rectangle)
