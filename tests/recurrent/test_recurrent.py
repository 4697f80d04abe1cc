"""Unfolded recurrent networks against the bare layers and against their full Hessian; padded and packed sequences."""

import pytest
import torch
from sequence_networks import CORES, draw, literal_output, network, seeded
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

from acelib import AverageCausalEffect, InputDistribution, half_trace, interventional_expectation
from acelib.recurrent import Recurrent, unfold
from acelib.recurrent.networks import as_sequences, repeat_state

OPTIONS = [{}, {"batch_first": True}, {"num_layers": 2}, {"num_layers": 2, "batch_first": True}]


@pytest.mark.parametrize("kind", CORES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_unfolded_network_equals_the_bare_layer_sequence_by_sequence(kind, options):
    """Both layouts of the rows, every step as the output step; to 1e-14."""
    net = network(kind, 3, 2, **options)
    x = draw(5, 4, 3)
    for step in range(4):
        f = unfold(net, steps=4, features=3, step=step)
        expected = torch.stack([literal_output(net, row[: step + 1]) for row in x])
        for rows in (x, x.flatten(1)):
            assert (f(rows) - expected).abs().max() < 1e-14
    assert f.shape == (4, 3) and "output at step 3" in repr(f)


def test_names_are_steps_outer_in_the_order_of_the_flattened_inputs():
    f = unfold(nn.GRU(2, 3), steps=2, features=["a", "b"])
    assert f.feature_names == ("a[0]", "b[0]", "a[1]", "b[1]")
    assert unfold(nn.GRU(1, 3), steps=2, features=1).feature_names == ("x[0]", "x[1]")
    assert unfold(nn.GRU(2, 3), steps=1, features=2).feature_names == ("x0[0]", "x1[0]")
    assert unfold(nn.GRU(1, 3), steps=1, features="speed").feature_names == ("speed[0]",)


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "batch_first": True}], ids=str)
@pytest.mark.parametrize("route", ["auto", "collapsed", "double_backward", "hessian"])
def test_second_order_terms_equal_the_full_hessian_of_the_unfolded_function(kind, options, route):
    """Against torch.autograd.functional.hessian, double backward one output at a time, in float64; to 1e-12."""
    steps, d = 4, 2
    f = unfold(network(kind, d, 2, **options), steps=steps, features=d)
    points, factor = draw(3, steps * d, seed=1), draw(steps * d, 3, seed=2)
    expected = torch.empty(3, 2, dtype=torch.float64)
    for b, point in enumerate(points):
        for o in range(2):
            H = torch.autograd.functional.hessian(lambda z, o=o: f(z[None])[0, o], point)
            expected[b, o] = 0.5 * torch.trace(H @ factor @ factor.T)
    assert expected.abs().min() > 1e-4  # there is something to compare
    error = (half_trace(f, points, factor, route=route) - expected).abs().max()
    assert error < 1e-12
    own = draw(3, steps * d, 2, seed=3)  # a factor for each point, as feedback gives them
    each = torch.stack([half_trace(f, points[b : b + 1], own[b], route="hessian")[0] for b in range(3)])
    assert (half_trace(f, points, own, route=route) - each).abs().max() < 1e-12


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_second_order_terms_in_single_precision(kind):
    """The float32 kernels of the CPU (oneDNN) have no forward mode; auto must still agree with float64, to 1e-4."""
    f = unfold(network(kind, 2, 1), steps=3, features=2)
    points, factor = draw(2, 6, seed=1), draw(6, 2, seed=2)
    exact = half_trace(f, points, factor, route="hessian")
    f.float()
    for route in ("auto", "double_backward"):
        single = half_trace(f, points.float(), factor.float(), route=route)
        assert single.dtype == torch.float32 and (single - exact).abs().max() < 1e-4


def test_the_core_applies_to_an_unfolded_network():
    """E[y | do(x[1])] of all sequences against overwriting that step in every sequence; by name; in both shapes."""
    net, x = network("gru", 1, 1), draw(60, 3, 1, seed=4)
    f = unfold(net, steps=3, features=1)
    inputs = InputDistribution.fit(x, feature_names=f.feature_names)
    e = interventional_expectation(f, inputs, "x[1]", [-1.0, 0.5])
    for value, got in zip((-1.0, 0.5), e.values[:, 0], strict=True):
        changed = x.clone()
        changed[:, 1] = value
        expected = torch.stack([literal_output(net, row) for row in changed]).mean()
        assert (got - expected).abs() < 1e-14
    taylor = interventional_expectation(f, inputs, "x[1]", [-1.0, 0.5], method="taylor")
    assert torch.isfinite(taylor.values).all()
    attribution = AverageCausalEffect(f, inputs).attribute(x[0])
    assert attribution.values.shape == (3, 1)


def test_packed_and_padded_sequences_give_the_same_predictions():
    """A PackedSequence through Recurrent equals each sequence on its own; the state is each one's own last."""
    net = network("gru", 2, 3, num_layers=2)
    parts = [draw(t, 2, seed=t) for t in (5, 3, 2)]
    y, state = net(pack_sequence(parts))
    padded, lengths = pad_packed_sequence(y, batch_first=True)
    for i, part in enumerate(parts):
        alone, last = net(part[None])
        assert (padded[i, : lengths[i]] - alone[0]).abs().max() < 1e-14
        assert (state[:, i] - last[:, 0]).abs().max() < 1e-14


def test_sequences_are_read_alike_from_a_list_padding_and_packing():
    parts = [draw(t, 2, seed=t) for t in (2, 5, 3)]
    x, lengths = as_sequences(parts)
    assert lengths.tolist() == [2, 5, 3] and x.shape == (3, 5, 2)
    dirty = x.clone()
    dirty[0, 2:] = torch.nan  # beyond the end nothing is read
    again, same = as_sequences(dirty, lengths)
    assert torch.equal(again, x) and torch.equal(same, lengths)
    packed, three = as_sequences(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    assert torch.equal(packed, x) and torch.equal(three, lengths)


def test_a_bare_layer_and_a_plain_function_are_sequence_models():
    layer = seeded(nn.GRU(2, 2))
    expected = layer(draw(4, 6).reshape(4, 3, 2).transpose(0, 1))[0][-1]
    assert torch.equal(unfold(layer, steps=3, features=2)(draw(4, 6)), expected)
    ends = unfold(lambda x: x.sum(1), steps=3, features=2)  # (batch, outputs): the last step alone
    assert torch.equal(ends(torch.ones(4, 6)), torch.full((4, 2), 3.0))
    sums = unfold(lambda x: (x.cumsum(1), None), steps=3, features=2, step=1)
    assert torch.equal(sums(torch.ones(4, 6)), torch.full((4, 2), 2.0))


def test_same_means_the_same_network_unfolded_alike():
    layer = nn.GRU(2, 2)
    f = unfold(layer, steps=3, features=2)
    assert f.same(f) and f.same(unfold(layer, steps=3, features=2)) and f.same(unfold(f, steps=3, features=2))
    assert not f.same(unfold(nn.GRU(2, 2), steps=3, features=2))
    assert not f.same(unfold(layer, steps=3, features=2, step=1)) and not f.same(layer)


def test_modes_and_flags_are_left_as_they_are():
    net = network("gru", 2, 1)
    net.core.train()
    before = torch.backends.cudnn.enabled
    unfold(net, steps=3, features=2)(draw(2, 6).requires_grad_()).sum().backward()
    assert net.core.training and not net.head.training and torch.backends.cudnn.enabled == before


def test_dropout_between_layers_in_training_mode_is_refused():
    net = network("gru", 2, 1, num_layers=2, dropout=0.5)
    inputs = InputDistribution.fit(draw(20, 3, 2))
    f = unfold(net, steps=3, features=2)
    interventional_expectation(f, inputs, 0, [0.0])
    net.train()
    with pytest.raises(ValueError, match=r"got GRU 'source.core' in training mode; call model.eval\(\)"):
        interventional_expectation(f, inputs, 0, [0.0])
    assert net.training


def test_states_are_repeated_where_their_batch_is():
    """(layers, batch, hidden), (batch, hidden), tuples of them, and no memory at all; repetitions outer."""
    state = draw(2, 3, 4)
    twice = repeat_state((state, draw(3, 4)), 2, 3)
    assert torch.equal(twice[0], torch.cat([state, state], dim=1))
    assert torch.equal(twice[1], torch.cat([draw(3, 4)] * 2)) and repeat_state((), 2, 3) == ()
    for bad in (draw(3), draw(4, 2, 5), "none", draw(2, 3)):
        with pytest.raises(ValueError, match="state must be tensors .* for a batch of 3"):
            repeat_state(bad, 2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Recurrent(nn.Linear(2, 2)), TypeError, "core must be nn.RNN.*got Linear"),
        (lambda: unfold(3, steps=2, features=1), TypeError, "model must be a sequence model .*got int"),
        (lambda: unfold(nn.GRU(1, 1), steps=0, features=1), ValueError, "steps must be at least 1"),
        (lambda: unfold(nn.GRU(1, 1), steps=2, features=0), ValueError, "features must be at least 1"),
        (lambda: unfold(nn.GRU(1, 1), steps=2, features=["a", "a"]), ValueError, "distinct"),
        (lambda: unfold(nn.GRU(1, 1), steps=2, features=1, step=2), ValueError, "step must lie in -2 to 1, got 2"),
        (lambda: unfold(nn.GRU(1, 1), steps=2, features=1)(torch.zeros(3, 3)), ValueError, "unfolded for 2 steps"),
        (
            lambda: unfold(lambda x: x[0], steps=2, features=3)(torch.zeros(3, 6)),
            ValueError,
            r"model must return .*got \(2, 3\)",
        ),
        (
            lambda: unfold(lambda x: "y", steps=2, features=3)(torch.zeros(3, 6)),
            ValueError,
            "model must return .*got str",
        ),
        (
            lambda: unfold(lambda x: x.sum(1), steps=2, features=1, step=0)(torch.zeros(3, 2)),
            ValueError,
            "model must return",
        ),
        (lambda: as_sequences(torch.zeros(3, 4)), ValueError, r"shape \(n, T, d\), got \(3, 4\)"),
        (lambda: as_sequences(torch.full((2, 3, 1), torch.nan)), ValueError, "NaN"),
        (lambda: as_sequences(torch.zeros(2, 3, 1), [3, 4]), ValueError, "integers from 1 to 3"),
        (lambda: as_sequences([torch.zeros(3, 1)], [3]), ValueError, "list of sequences"),
        (lambda: as_sequences([torch.zeros(3, 1), torch.zeros(3, 2)]), ValueError, "same d"),
        (lambda: as_sequences(pack_sequence([torch.zeros(3, 1)]), [3]), ValueError, "PackedSequence"),
        (lambda: as_sequences("abc"), TypeError, "sequences must be numeric"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", CORES)
def test_kernels_of_the_gpu_agree_with_the_cpu(kind):
    """Outputs, second-order terms and Taylor with its slopes on CUDA against the CPU, float64; to 1e-10."""
    net, x = network(kind, 2, 2), draw(30, 4, 2)
    f = unfold(net, steps=4, features=2)
    inputs = InputDistribution.fit(x)
    points, factor = inputs.mean[None], inputs.factor
    expected = half_trace(f, points, factor), interventional_expectation(f, inputs, 2, [0.5], method="taylor").stderr
    f.cuda()
    trace = half_trace(f, points.cuda(), factor.cuda()).cpu()
    stderr = interventional_expectation(f, inputs.to("cuda"), 2, [0.5], method="taylor").stderr.cpu()
    assert (trace - expected[0]).abs().max() < 1e-10 and (stderr - expected[1]).abs().max() < 1e-10
