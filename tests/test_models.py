"""Calls of a network: which modes, shapes, chunks and seeds are refused, by every part of the package alike."""

import pytest
import torch
from sequence_networks import draw
from torch import nn

from acelib import AverageCausalEffect, InputDistribution, half_trace, interventional_expectation
from acelib._checks import as_generator
from acelib._models import DEFAULT_CHUNK, DIFFERENTIATED_CHUNK, as_chunk, check_mode, check_output
from acelib.recurrent import FeedbackSequences, Recurrent, time_lag

X = draw(200, 4)


class Attention(nn.Module):
    """One self-attention over four positions of width 2, with dropout of its weights."""

    def __init__(self):
        super().__init__()
        self.widen, self.core = nn.Linear(1, 2), nn.MultiheadAttention(2, 1, dropout=0.5, batch_first=True)

    def forward(self, x):
        z = self.widen(x[..., None])
        return self.core(z, z, z, need_weights=False)[0].flatten(1)


class DropPath(nn.Module):
    """As in other libraries: drops whole rows at random in training mode."""

    def __init__(self, drop_prob):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        keep = torch.rand(len(x), 1) >= self.drop_prob if self.training else 1.0
        return x * keep


RANDOM = {
    "RReLU": lambda: nn.Sequential(nn.Linear(4, 2), nn.RReLU()).train(),
    "MultiheadAttention": lambda: Attention().train(),
    "DropPath": lambda: nn.Sequential(nn.Linear(4, 2), DropPath(0.5)).train(),
    "BatchNorm1d": lambda: nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)).train(),
    "InstanceNorm1d": lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2, track_running_stats=True)),
}
MIXED = {"BatchNorm1d": lambda: nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2, track_running_stats=False)).eval()}
CALLS = {
    "row average": lambda m: interventional_expectation(m, InputDistribution.fit(X), 0, [0.0]),
    "a list": lambda m: interventional_expectation([lambda x: x, m], InputDistribution.fit(X), 0, [0.0]),
    "effects": lambda m: AverageCausalEffect(m, InputDistribution.fit(X)),
    "curvature": lambda m: half_trace(m, X[:2], torch.eye(4, dtype=torch.float64)),
    "a method": lambda m: interventional_expectation(m.forward, InputDistribution.fit(X), 0, [0.0]),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", RANDOM)
def test_a_module_that_acts_differently_in_training_mode_is_refused(kind, call):
    """Averages would be over random networks, with error bars and without an error; the mode is left as it is."""
    model = RANDOM[kind]().double()
    with pytest.raises(ValueError, match=rf"evaluation mode, got {kind} '\w+' in training mode; call model.eval\(\)"):
        CALLS[call](model)
    assert model.training
    check_mode(model.eval())


@pytest.mark.parametrize("call", CALLS)
def test_batch_norm_without_running_statistics_is_refused_in_any_mode(call):
    """The rows of a batch influence each other there, so that an average depends on the chunk."""
    with pytest.raises(ValueError, match="got BatchNorm1d '1' without running statistics.*track_running_stats=True"):
        CALLS[call](MIXED["BatchNorm1d"]().double())


def test_what_such_networks_would_do():
    """The reason for the three refusals: two passes of the same rows differ, or one pass depends on the other rows."""
    for kind in ("RReLU", "MultiheadAttention"):
        model = RANDOM[kind]().double()
        assert not torch.equal(model(X), model(X))
    model = MIXED["BatchNorm1d"]().double()
    assert (model(X)[:20] - model(X[:20])).abs().max() > 1e-3


def test_sequence_networks_are_checked_alike():
    net = Recurrent(nn.GRU(2, 2), nn.Sequential(nn.Linear(2, 2), nn.RReLU())).double().train()
    for call in (lambda: FeedbackSequences(net, draw(5, 4, 2), target_step=3), lambda: time_lag(net, draw(5, 4, 2))):
        with pytest.raises(ValueError, match="got RReLU 'head.1' in training mode"):
            call()


def test_layers_that_act_alike_in_both_modes_pass():
    """Dropout of nothing, instance norm of each row by itself, and a plain function."""
    parts = nn.Dropout(0.0), DropPath(0.0), nn.InstanceNorm1d(2), nn.GRU(2, 2), nn.MultiheadAttention(2, 1)
    for model in (*parts, nn.Sequential(*parts)):
        check_mode(model.train())
    check_mode(torch.sin)
    assert half_trace(nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.0)).double(), X[:2], torch.eye(4)).shape == (2, 2)


def test_chunks_mean_the_same_everywhere():
    """None is the default of the kind of call; zero, fractions and words are refused with one sentence."""
    assert (as_chunk(None), as_chunk(None, DIFFERENTIATED_CHUNK), as_chunk(7)) == (DEFAULT_CHUNK, 4096, 7)
    inputs, sequences, net = InputDistribution.fit(X), draw(5, 4, 2), nn.GRU(2, 2).double()
    for call in (
        lambda c: as_chunk(c),
        lambda c: interventional_expectation(lambda x: x, inputs, 0, [0.0], chunk_size=c),
        lambda c: half_trace(lambda x: x, X[:2], torch.eye(4), chunk_size=c),
        lambda c: time_lag(net, sequences, chunk_size=c),
    ):
        with pytest.raises(ValueError, match="chunk_size must be positive, the most model rows in one call, got 0"):
            call(0)
        with pytest.raises(TypeError, match="chunk_size must be an integer, .*got 2.5"):
            call(2.5)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda x: [1.0], TypeError, "must return a tensor .*got list; pick the tensor"),
        (lambda x: x[:, 0], ValueError, r"outputs\), got \(\d,\); append .unsqueeze\(-1\)"),
        (lambda x: x[:1], ValueError, r"outputs\), got \(1, 4\)$"),
        (lambda x: x.long(), ValueError, "floating dtype, got torch.int64"),
        (lambda x: x / 0, ValueError, "finite outputs, got NaN or Inf"),
    ],
)
def test_outputs_that_are_refused(answer, error, message):
    """The row average and the curvature say the same sentence."""
    with pytest.raises(error, match=message):
        check_output(answer(X[:3]), 3)
    for call in (
        lambda: half_trace(answer, X[:3], torch.eye(4)),
        lambda: interventional_expectation(answer, InputDistribution.fit(X[:3]), 0, [X[0, 0]]),
    ):
        with pytest.raises(error, match=message):
            call()


def test_a_sum_that_overflows_is_not_taken_for_infinity():
    big = torch.full((3, 1), torch.finfo(torch.float64).max, dtype=torch.float64)
    assert check_output(big, 3) is big


def test_no_seed_is_the_seed_zero():
    first, zero, one = (torch.rand(3, generator=as_generator(seed)) for seed in (None, 0, 1))
    assert torch.equal(first, zero) and not torch.equal(first, one)
    for wrong in ("0", 0.5):
        with pytest.raises(TypeError, match="seed must be an integer or None, got"):
            as_generator(wrong)
