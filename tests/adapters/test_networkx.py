"""Graphs of networkx in and out: causal graphs unchanged by a round trip, explanatory ones against their own edges."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from acelib.intrinsic import CausalGraph, LinearModel
from acelib.paths import explanatory_graph


@given(st.integers(1, 7), st.randoms(use_true_random=False))
def test_a_causal_graph_survives_the_trip(count, random):
    """Order of nodes and of parents included, for random acyclic graphs with nodes stated in any order."""
    names = random.sample("abcdefgh", count)
    order = random.sample(names, count)
    parents = {n: random.sample(order[: order.index(n)], random.randint(0, order.index(n))) for n in names}
    graph = CausalGraph(parents)
    drawn = graph.to_networkx()
    assert isinstance(drawn, nx.DiGraph) and nx.is_directed_acyclic_graph(drawn)
    assert list(drawn.nodes) == names and set(drawn.edges) == {(p, c) for c, ps in parents.items() for p in ps}
    assert CausalGraph.of(drawn) == graph
    for node in names:
        assert graph.ancestors(node) == nx.ancestors(drawn, node)


def test_a_model_takes_the_graph():
    X = torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X[:, 1] += 2 * X[:, 0]
    fitted = LinearModel.fit(X, nx.DiGraph([("a", "b")]))
    assert fitted.graph == CausalGraph({"a": [], "b": ["a"]})
    with pytest.raises(ValueError, match="graph must have no cycle"):
        CausalGraph.of(nx.DiGraph([("a", "b"), ("b", "a")]))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x):
        h = self.one(x).relu()
        return self.out(h + self.two(h).relu())


NETS = {
    "chain": lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)),
    "residual": Residual,
    "convolutions": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    ),
}


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_an_explanatory_graph_has_its_nodes_and_its_paths(make):
    """Every arrow is an edge (layer, node, target) whose target is an origin of the node it leads to, and back."""
    torch.manual_seed(0)
    net, x = make().eval(), torch.rand(60, 4)
    graph = explanatory_graph(net, x, 1, allow_wrong=True)
    arrows = graph.to_networkx()
    assert nx.is_directed_acyclic_graph(arrows)
    every = {(layer.name, j) for layer in graph.layers for j in range(layer.num_nodes)}
    assert set(arrows) == every | {("output", 1)}
    for layer in graph.layers:
        for j in range(layer.num_nodes):
            facts = arrows.nodes[layer.name, j]
            assert j in getattr(layer, facts["role"]) and facts["effect"] == float(layer.effects[j])
            assert (facts["role"] == "necessary") or not arrows.degree((layer.name, j))
    for (name, j), (reader, k), facts in arrows.edges(data=True):
        assert (j, facts["channel"]) in graph[name].edges
        if reader != "output":
            assert {(name, facts["channel"]), (name, -2)} & set(graph[reader].origins[k])
    used = {(name, j) for name, j, _ in graph.edges}
    assert used == {node for node in arrows if arrows.out_degree(node)}
    assert used and all(nx.has_path(arrows, node, ("output", 1)) for node in used)
