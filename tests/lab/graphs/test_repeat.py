"""The repeated search against the search itself, and its counts by hand."""

import pytest
import torch
from torch import nn

from acelib.lab.graphs.repeat import Repetition, repeat_search
from acelib.paths import explanatory_graph


@pytest.fixture(scope="module")
def case() -> tuple[nn.Sequential, torch.Tensor]:
    """A small network in float64 and forty images."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return net, torch.rand(40, 4, generator=generator, dtype=torch.float64)


def test_counts_are_those_of_single_searches(case):
    """Every run is `explanatory_graph` at its own b and seed; the runs fall into the ranges of b that hold them."""
    net, x = case
    found = repeat_search(net, x, 0, runs=6, every=2, low=0.1, high=0.5, ranges=5, seed=3)
    assert found.layers == ("4", "2") and found.runs.tolist() == [2, 0, 2, 0, 2]
    by_hand = torch.zeros(5, dtype=torch.int64)
    for number, b in enumerate((0.1, 0.1, 0.3, 0.3, 0.5, 0.5)):
        graph = explanatory_graph(net, x, 0, test="paired", intervention=b, seed=3 + number)
        by_hand[list(graph["4"].necessary)] += 1
    assert torch.equal(found.counts[0].sum(0), by_hand) and by_hand.sum() > 0


def test_shares_by_hand():
    """Of three nodes that appear, one in all four runs, one in one of them, one in three."""
    counts = torch.tensor([[2, 1, 0, 1], [2, 0, 0, 2]])
    found = Repetition(("a",), torch.tensor([2, 2]), (0.0, 0.25, 0.5), (counts,), ((0, 3),))
    assert found.frequency().tolist() == [1, 0.25, 0.75]
    assert found.always() == pytest.approx(1 / 3) and found.back() == pytest.approx(7 / 8)
    assert found.always(1) == 1 and found.frequency(0).tolist() == [1, 0.5, 0.5]
    shares = found.histogram(bins=4)
    assert shares.tolist() == pytest.approx([0, 1 / 3, 0, 2 / 3])
    assert "4 runs" in repr(found)
