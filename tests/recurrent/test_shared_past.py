"""Answers of one call that share the past of a step, against answers that compute it each for itself."""

import itertools

import pytest
import torch
from torch import nn

from acelib import AverageCausalEffect, FeedbackSequences

pytestmark = pytest.mark.filterwarnings("ignore::acelib.ApproximationWarning", "ignore::acelib.SupportWarning")


class Walk(nn.Module):
    """A cell of its own that counts its rows and, if told, writes into the state that it is given."""

    def __init__(self, features: int, *, writes: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.head = nn.GRUCell(features, 5).double(), nn.Linear(5, features).double()
        self.writes, self.rows = writes, 0

    def forward(self, x, state=None):
        h = x.new_zeros(len(x), 5) if state is None else state
        out = []
        for step in range(x.shape[1]):
            self.rows += len(x)
            new = self.cell(x[:, step], h)
            h = h.copy_(new) if self.writes and not torch.is_grad_enabled() else new
            out.append(self.head(h))
        return torch.stack(out, 1), h


def sequences(net, n=150):
    x = torch.rand(n, 7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return FeedbackSequences(net, x, target_step=6, domain=(0.0, 1.0))


@pytest.mark.parametrize(("writes", "num"), list(itertools.product([False, True], [2, 5])))
@pytest.mark.parametrize("chunk", [1, 64, None])
def test_a_map_equals_its_curves_asked_one_by_one(writes, num, chunk):
    """Also for a network that overwrites its state, and in blocks of one value, of one sequence, or of all."""
    inputs = sequences(Walk(3, writes=writes), n=20)
    whole = AverageCausalEffect(inputs.model, inputs, method="monte_carlo")
    ace = AverageCausalEffect(inputs.model, inputs, method="monte_carlo", chunk_size=chunk)
    cells = [(step, channel) for step in (2, 5) for channel in range(3)]
    together = ace.regress(cells, num=num)
    for cell in cells:
        alone = ace.regress([cell], num=num).expectations
        for name, e in alone.items():
            assert torch.equal(e.values, together.expectations[name].values)
            assert torch.equal(e.stderr, together.expectations[name].stderr)
            assert (e.values - whole.regress([cell], num=num).expectations[name].values).abs().max() < 1e-12


def test_the_past_is_computed_once_for_the_channels_of_a_step():
    """Rows times steps of the network, counted: 150 x 5 for the past, once, and 150 x 4 values x 2 steps a channel."""
    net = Walk(3)
    inputs = sequences(net)
    ace = AverageCausalEffect(inputs.model, inputs)

    def counted(*cells):
        net.rows = 0
        ace.regress(list(cells), num=4)
        return net.rows

    past, onwards = 150 * 5, 150 * 4 * 2
    entrance = counted((5, 0)) - past - onwards
    assert 0 <= entrance < 100
    assert counted((5, 0), (5, 1), (5, 2)) == entrance + past + 3 * onwards
    assert counted((5, 0), (4, 1)) == entrance + past + onwards + 150 * 4 + 150 * 4 * 3


def test_nothing_is_kept_for_the_next_call():
    """New weights between two calls, or after the object was made, are those of the next map."""
    net = Walk(3)
    inputs = sequences(net, n=30)
    ace = AverageCausalEffect(inputs.model, inputs)
    before = ace.regress([(5, 0)], num=3).expectations
    with torch.no_grad():
        net.cell.weight_hh.mul_(-1.0)
    after = ace.regress([(5, 0)], num=3).expectations
    fresh = sequences(net, n=30)
    again = AverageCausalEffect(fresh.model, fresh).regress([(5, 0)], num=3).expectations
    for name, e in again.items():
        assert torch.equal(after[name].values, e.values) and not torch.equal(before[name].values, e.values)


def test_results_of_a_map_hold_one_copy_of_the_sequences():
    """The few sequences behind ``support`` are the same tensor in every curve, and those of the rows that were kept."""
    inputs = sequences(Walk(3), n=600)
    held = {inputs.do((5, c), [0.5]).keep_support().answer.data.data_ptr() for c in range(3)}
    assert len(held) == 1
    few = inputs.keep_rows(torch.arange(40))
    assert len(few.do((5, 0), [0.5]).keep_support().answer.data) == 40
