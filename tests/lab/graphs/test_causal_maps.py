"""Class maps of explanatory graphs as explainers, against the library's maps and a slow literal softmax."""

import pytest
import torch
from torch import nn

from acelib.lab.graphs import causal_maps as M
from acelib.lab.graphs.lenet import untrained_lenet
from acelib.paths import class_map, explanatory_graph, node_maps


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    return untrained_lenet(seed=2, dtype=torch.float64).eval()


def test_causal_graph_gives_each_image_the_map_of_its_class(net):
    """Images of two classes in one batch: each is the library's class map with its own class's graph; else an error."""
    generator = torch.Generator().manual_seed(8)
    many = torch.rand(40, 1, 32, 32, generator=generator, dtype=torch.float64)
    graphs = {c: explanatory_graph(net, many, c, allow_wrong=True) for c in (5, 3)}
    X, y = many[:3], torch.tensor([3, 5, 3])
    maps = M.causal_graph(graphs)(net, X, y)
    for i, c in enumerate((3, 5, 3)):
        assert torch.allclose(maps[i, 0], class_map(net, X[i : i + 1], graphs[c], normalise=None)[0], atol=1e-12)
    weighed = M.causal_graph(graphs, aggregate="effect", sign="positive")(net, X[:1], y[:1])
    by_hand = class_map(net, X[:1], graphs[3], aggregate="effect", normalise=None).clamp_min(0)
    assert torch.allclose(weighed[0], by_hand, atol=1e-12)
    with pytest.raises(ValueError, match=r"graphs must hold a graph of class 7, got only \[3, 5\]"):
        M.causal_graph(graphs)(net, X[:1], torch.tensor([7]))
    with pytest.raises(ValueError, match="sign must be one of kept, positive, dropped, got 'odd'"):
        M.causal_graph(graphs, sign="odd")


def test_probabilities_are_a_softmax_of_every_filter(net):
    """Filter by filter and pixel by pixel: shares of exp(response), averaged over parents and nodes; sum 1."""
    generator = torch.Generator().manual_seed(8)
    many = torch.rand(40, 1, 32, 32, generator=generator, dtype=torch.float64)
    graph = explanatory_graph(net, many, 3, allow_wrong=True)
    raw = node_maps(net, many[:1], graph, reduction=None, upsample=False, normalise=None).maps[0]
    total = torch.zeros_like(raw[0, 0])
    for node in raw:
        for one in node:
            total += one.exp() / one.exp().sum() / (len(raw) * len(node))
    assert float(total.sum()) == pytest.approx(1, abs=1e-12)
    options = dict(size=[32, 32], mode="bilinear", align_corners=False)
    by_hand = nn.functional.interpolate(total[None, None], **options)
    found = M.causal_probabilities({3: graph})(net, many[:1], torch.tensor([3]))
    assert torch.allclose(found, by_hand, atol=1e-12)
