"""Explanatory graphs at other thresholds: the roles are those that the library itself gives at that level."""

from __future__ import annotations

import pytest
import torch

from acelib.explore import explore_graphs
from acelib.paths import explanatory_graph

NET = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
with torch.no_grad():
    for weight in NET.parameters():
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
X = torch.rand(80, 6, generator=torch.Generator().manual_seed(0))
LEVELS = (0.001, 0.05, 0.3)


def graph_of(target, level=0.05):
    return explanatory_graph(NET, X, target, alpha=level, correction="holm", allow_wrong=True)


def roles(layer):
    return {name: len(getattr(layer, name)) for name in ("necessary", "noisy", "neutral")}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("target", [0, 2])
def test_a_descent_at_another_level_is_counted(target, level):
    """Every layer against ``explanatory_graph`` at this level."""
    explorer = explore_graphs({t: graph_of(t) for t in (0, 2)}, again=graph_of, levels=LEVELS)
    for layer in graph_of(target, level).layers:
        assert explorer.at(target=target, layer=layer.name, level=level).numbers == roles(layer)


@pytest.mark.parametrize("level", LEVELS)
def test_the_first_layer_of_a_kept_graph_is_judged_anew(level):
    """Its targets do not depend on the level: the count is that of a whole descent, and says so."""
    at = graph_of(0).explore(levels=LEVELS).at(layer="2", level=level)
    assert at.numbers == roles(graph_of(0, level)["2"])
    assert f"level {level:g}: {at.numbers['necessary']} necessary" in at.said and "orange" in at.alt


def test_a_level_is_descended_once():
    asked = []
    explorer = explore_graphs(
        {0: graph_of(0)}, again=lambda target, level: asked.append(level) or graph_of(target, level), levels=LEVELS
    )
    for layer in ("0", "2"):
        for level in LEVELS:
            explorer.at(layer=layer, level=level)
    assert asked == [0.001, 0.3]
