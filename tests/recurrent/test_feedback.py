"""FeedbackSequences against a literal loop: one sequence and one value at a time, each step read from the beginning."""

import itertools

import numpy as np
import pytest
import torch
from sequence_networks import CORES, draw, literal_output, network
from torch import nn

from acelib import AverageCausalEffect, interventional_expectation
from acelib.expectation.estimate import subset
from acelib.recurrent import FeedbackSequences, unfold

N, STEPS, TARGET = 7, 6, 4
VALUES = [-1.0, 0.3, 2.0]
IDENTITY = {0: 0, 1: 1, 2: 2}


def literal(net, x, pins, values, feedback, target):
    """Rows ``(m, n, target + 1, d)`` and outputs ``(m, n, outputs)``; ``pins`` are (step, channel), with m values each.

    No state is kept: for every step the network reads the whole sequence so far again.
    """
    rows, outputs = [], []
    for value in values:
        for sequence in x:
            row = sequence[: target + 1].clone()
            first = min(step for step, _ in pins)
            for step in range(first, target + 1):
                if step > first:
                    y = literal_output(net, row[:step])
                    for channel, output in feedback.items():
                        row[step, channel] = y[output]
                for (where, channel), number in zip(pins, value, strict=True):
                    if where == step:
                        row[step, channel] = number
            rows.append(row)
            outputs.append(literal_output(net, row))
    shape = len(values), len(x)
    return torch.stack(rows).reshape(*shape, target + 1, -1), torch.stack(outputs).reshape(*shape, -1)


def collect(answer, chunk=10**6, index=None):
    """Rows ``(m, n, k)`` of an answer, put together from its blocks."""
    blocks, parts, done = [], [], 0
    for which, rows, weights in answer.rows(chunk, index):
        assert rows.shape[0] * rows.shape[1] <= chunk and bool((weights == 1).all())
        parts.append(rows)
        done += len(which)
        if done == len(answer):
            blocks.append(torch.cat(parts))
            parts, done = [], 0
    assert not parts
    return torch.cat(blocks, dim=1)


def agrees(inputs, net, x, feature, pins, feedback, target=TARGET):
    """Rows, means, covariances and expectation with its error, all to 1e-10."""
    values = torch.tensor(VALUES, dtype=torch.float64)
    rows, outputs = literal(net, x, pins, values[:, None], feedback, target)
    answer = inputs.do(feature, values)
    flat = rows.flatten(2)
    assert (collect(answer) - flat).abs().max() < 1e-10
    assert (answer.means - flat.mean(1)).abs().max() < 1e-10
    assert bool((answer.factor.mT[..., answer.pinned[0]] == 0).all())
    for v in range(len(VALUES)):
        expected = np.cov(flat[v].numpy().T, ddof=0)
        assert np.abs((answer.factor[v] @ answer.factor[v].T).numpy() - expected).max() < 1e-10
    e = interventional_expectation(inputs.model, inputs, feature, values)
    assert (e.values - outputs.mean(1)).abs().max() < 1e-10
    for o in range(outputs.shape[2]):
        covariance = np.cov(outputs[:, :, o].numpy()) / len(x)
        assert np.abs(e.covariance(o).numpy() - covariance).max() < 1e-10
    assert torch.equal(e.individual, outputs) or (e.individual - outputs).abs().max() < 1e-10
    assert e.method == "monte_carlo" and e.num_rows == len(x)


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
@pytest.mark.parametrize("kind", CORES)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch_first", [True, False])
def test_equals_the_literal_loop(kind, layers, batch_first):
    net, x = network(kind, 3, 3, num_layers=layers, batch_first=batch_first), draw(N, STEPS, 3, seed=1)
    inputs = FeedbackSequences(net, x, target_step=TARGET)
    for step, channel in ((0, 2), (2, 1), (TARGET, 0)):
        agrees(inputs, net, x, (step, channel), [(step, channel)], IDENTITY)


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
@pytest.mark.parametrize("kind", CORES)
def test_equals_the_literal_loop_with_more_sequences_than_inputs(kind):
    """Then the factor comes from the covariance and not from the rows themselves."""
    net, x = network(kind, 2, 2), draw(40, STEPS, 2, seed=1)
    inputs = FeedbackSequences(net, x, target_step=-3)
    assert inputs.target_step == 3
    agrees(inputs, net, x, "x1[1]", [(1, 1)], {0: 0, 1: 1}, target=3)
    assert inputs.do("x1[1]", VALUES).factor.shape[2] <= 8


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
def test_partial_feedback_leaves_exogenous_channels_to_the_data():
    """Output 3 predicts channel 0, output 0 channel 2; channel 1 keeps its data; by name, number and function."""
    net, x = network("gru", 3, 4), draw(N, STEPS, 3, seed=1)
    for feedback in ({"a": 3, "c": 0}, {0: 3, -1: 0}):
        inputs = FeedbackSequences(net, x, target_step=TARGET, feedback=feedback, channels=["a", "b", "c"])
        agrees(inputs, net, x, (1, "b"), [(1, 1)], {0: 3, 2: 0})
    swap = FeedbackSequences(net, x, target_step=TARGET, feedback=lambda y: y[:, [2, 0, 3]])
    agrees(swap, net, x, (1, 1), [(1, 1)], {0: 2, 1: 0, 2: 3})


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
def test_a_bare_layer_is_its_own_step_model():
    net, x = network("lstm", 3, None, hidden=3), draw(N, STEPS, 3, seed=1)
    inputs = FeedbackSequences(net.core, x, target_step=TARGET)
    agrees(inputs, net, x, (1, 2), [(1, 2)], IDENTITY)
    interventional_expectation(unfold(net.core, steps=TARGET + 1, features=3), inputs, 0, [0.0])


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 20, 1000])
def test_chunks_and_subsets_change_nothing(chunk):
    """Rows of any block size, and of some sequences in another order; row blocks outer, value blocks inner."""
    net, x = network("gru", 3, 3), draw(N, STEPS, 3, seed=1)
    inputs = FeedbackSequences(net, x, target_step=TARGET)
    answer, index = inputs.do((2, 1), VALUES), torch.tensor([5, 0, 3])
    whole = collect(answer)
    assert (collect(answer, chunk) - whole).abs().max() < 1e-12
    assert (collect(answer, chunk, index) - whole[:, index]).abs().max() < 1e-12
    e = interventional_expectation(inputs.model, inputs, (2, 1), VALUES)
    small = interventional_expectation(inputs.model, inputs, (2, 1), VALUES, chunk_size=chunk)
    assert (small.values - e.values).abs().max() < 1e-12


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
def test_the_outputs_of_the_roll_out_are_those_of_the_network_on_the_rows():
    """The short way, single steps, against the generic one, the unfolded network on every row; also on a subset."""
    net, x = network("lstm", 3, 3, num_layers=2), draw(300, STEPS, 3, seed=1)
    inputs = FeedbackSequences(net, x, target_step=TARGET)
    answer, f = inputs.do((1, 0), VALUES), inputs.model
    rows = collect(answer)
    with torch.no_grad():
        outputs = f(rows.flatten(0, 1)).reshape(3, 300, 3)
    e = interventional_expectation(f, inputs, (1, 0), VALUES, outputs=[2, 0])
    assert (e.values - outputs.mean(1)[:, [2, 0]]).abs().max() < 1e-12
    part = interventional_expectation(f, inputs, (1, 0), VALUES, budget=1, seed=4)
    assert part.num_rows == 100 and part.cost == 300
    index = subset(answer, 1, 4)
    assert (part.values - outputs[:, index].mean(1)).abs().max() < 1e-12


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
def test_the_way_on_from_one_step_is_that_of_the_roll_out():
    """What slopes are taken of: the inputs of one step given, what is fed from there on, and one channel of data."""
    net, x = network("gru", 3, 4), draw(N, STEPS, 3, seed=1)
    inputs = FeedbackSequences(net, x, target_step=TARGET, feedback={0: 3, 2: 0})
    answer = inputs.do((1, 1), VALUES)
    (_, outputs, _) = next(iter(answer.outputs(10**6)))
    local = answer.local()
    for value, expected in zip(VALUES, outputs, strict=True):
        start = local.rows.clone()
        start[:, 1] = value
        assert (local.follow(None, start, torch.arange(N)) - expected).abs().max() < 1e-12


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
def test_several_inputs_at_once_and_nested_interventions():
    """do of two steps together; do({...}) and then do; both against the loop with two pins. Pinned ones stay pinned."""
    net, x = network("gru", 3, 3), draw(N, STEPS, 3, seed=1)
    inputs = FeedbackSequences(net, x, target_step=TARGET, channels=["a", "b", "c"])
    pins = [(3, 1), (1, 2)]
    values = torch.tensor([[0.5, -1.0], [1.0, 2.0]], dtype=torch.float64)
    rows, outputs = literal(net, x, pins, values, IDENTITY, TARGET)
    answer = inputs.do([(3, "b"), "c[1]"], values)
    assert answer.name == "b[3], c[1]" and answer.pinned.sum(1).tolist() == [2, 2]
    assert (collect(answer) - rows.flatten(2)).abs().max() < 1e-10

    pinned = inputs.do({(1, "c"): 2.0})
    nested = pinned.do((3, "b"), [1.0])
    assert (collect(nested) - rows[1].flatten(1)).abs().max() < 1e-10
    e = interventional_expectation(inputs.model, pinned, (3, "b"), [1.0])
    assert (e.values - outputs[1].mean(0)).abs().max() < 1e-10
    assert nested.pinned[0].nonzero()[:, 0].tolist() == [5, 10] == sorted([*pinned.fixed, 10])
    alone, _ = literal(net, x, [(1, 2)], torch.tensor([[2.0]]), IDENTITY, TARGET)
    assert (pinned.samples - alone[0].flatten(1)).abs().max() < 1e-10
    assert (pinned.mean - alone[0].flatten(1).mean(0)).abs().max() < 1e-10
    assert "1 pinned" in repr(pinned) and not inputs.fixed
    both = inputs.do({(1, "c"): 2.0, (3, "b"): 1.0})
    assert (both.samples - rows[1].flatten(1)).abs().max() < 1e-10
    with pytest.raises(ValueError, match="pinned by an earlier do"):
        pinned.do("c[1]", [0.0])


def test_pins_that_coincide_with_what_would_happen_anyway_change_nothing():
    """Where the data already are the network's own roll-out, do(x = its value) gives the data back (consistency)."""
    net, x = network("gru", 2, 2), draw(5, 6, 2, seed=1)
    for step in range(1, 6):
        x[:, step] = torch.stack([literal_output(net, row[:step]) for row in x])
    inputs = FeedbackSequences(net, x, target_step=5)
    for row, number in zip(x, range(5), strict=True):
        answer = inputs.do((2, 1), [float(row[2, 1])])
        assert (collect(answer)[0, number] - row.flatten()).abs().max() < 1e-12


class Counting(nn.Module):
    """A step model that counts what it reads: rows times steps."""

    def __init__(self, net):
        super().__init__()
        self.net, self.steps = net, 0

    def forward(self, x, state=None):
        self.steps += x.shape[0] * x.shape[1]
        return self.net(x, state)


def cost(n, m, back, target=9):
    net = Counting(network("gru", 2, 2))
    inputs = FeedbackSequences(net, draw(n, target + 1, 2), target_step=target, domain=(0.0, 1.0))
    net.steps = 0
    interventional_expectation(inputs.model, inputs, (target - back, 0), torch.linspace(0, 1, m), chunk_size=64)
    return net.steps


def test_cost_is_linear_in_sequences_values_and_steps():
    """Steps of the network, counted: n (T - tau) for the past, once, n m (tau + 1) from then on, 4 to check."""
    for n, m, back in itertools.product([20, 40], [8, 16], [1, 3, 7]):
        assert cost(n, m, back) == n * (9 - back) + n * m * (back + 1) + 4 * 10


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
def test_lengths_lists_and_packing_keep_the_sequences_that_reach_the_target():
    net = network("gru", 2, 2)
    parts = [draw(t, 2, seed=t) for t in (3, 5, 4, 6)]
    long = FeedbackSequences(net, torch.stack([p[:4] for p in parts[1:]]), target_step=3)
    packed = nn.utils.rnn.pack_sequence(parts, enforce_sorted=False)
    padded, lengths = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    padded[0, 3:] = torch.nan
    for inputs in (
        FeedbackSequences(net, parts, target_step=3),
        FeedbackSequences(net, packed, target_step=3),
        FeedbackSequences(net, padded, target_step=3, lengths=lengths),
    ):
        assert inputs.kept.tolist() == [1, 2, 3] and "3 sequences of 4" in repr(inputs)
        assert torch.equal(collect(inputs.do((1, 0), VALUES)), collect(long.do((1, 0), VALUES)))
    with pytest.raises(ValueError, match="got 1 of 4 that reach target_step 5"):
        FeedbackSequences(net, parts, target_step=5)


def test_names_shapes_and_domains():
    net, x = network("gru", 2, 2), draw(20, 5, 2)
    inputs = FeedbackSequences(
        net, x, target_step=3, channels=["a", "b"], domain={"a": (-4.0, 4.0), "a[1]": (0.0, 1.0), "b[0]": {0.0, 1.0}}
    )
    assert inputs.shape == (4, 2) and inputs.num_features == 8 and inputs.feature_names[:3] == ("a[0]", "b[0]", "a[1]")
    assert inputs.domain[0].low == -4 and inputs.domain[2].high == 1 and inputs.domain[1].values == (0.0, 1.0)
    assert inputs.low[3] == x[:, 1, 1].min() and inputs.high[3] == x[:, 1, 1].max()
    assert inputs.feature((2, "b")) == inputs.feature("b[2]") == inputs.feature(5) == inputs.feature((2, 1)) == (5,)
    assert inputs.feature((-1, "a")) == (6,) and inputs.feature([(0, 0), "b[3]"]) == (0, 7)
    assert inputs.feature(("a[0]", "b[0]")) == (0, 1) and inputs.label([(0, "a"), 7]) == "a[0], b[3]"
    assert torch.equal(inputs.samples, x[:, :4].flatten(1)) and torch.allclose(inputs.mean, inputs.samples.mean(0))
    half = inputs.to(torch.float32)
    assert half.mean.dtype == torch.float32 and inputs.mean.dtype == torch.float64
    with pytest.raises(ValueError, match="dtype of the inputs, torch.float32, got torch.float64 parameters"):
        half.do((0, 0), [0.0])
    net.float()
    assert half.do((0, 0), [0.0]).means.dtype == torch.float32


def test_constant_inputs_are_named_once():
    x = draw(20, 5, 2)
    x[:, 1, 1] = 3.0
    with pytest.warns(match=r"constant features have effect 0 .*: x1\[1\]$"):
        FeedbackSequences(network("gru", 2, 2), x, target_step=3)


def test_curves_and_saliency_over_re_simulated_sequences():
    """ACE of one sequence from fitted curves and by direct evaluation, with a fine grid for the baseline."""
    net, x = network("gru", 1, 1), draw(30, 4, 1, seed=1)
    inputs = FeedbackSequences(net, x, target_step=2, domain=(-2.0, 2.0))
    ace = AverageCausalEffect(inputs.model, inputs)
    one = x[0, :3].clamp(-2, 2)
    grid = torch.linspace(-2, 2, 401, dtype=torch.float64)
    for via in ("regressors", "direct"):
        effect = ace.attribute(one, via=via)
        for step in range(3):
            values = torch.cat([one[step], grid])[:, None]
            _, y = literal(net, x[:6], [(step, 0)], values[:1], {0: 0}, 2)  # the loop agrees with the batch
            e = interventional_expectation(inputs.model, inputs, (step, 0), values[:, 0])
            assert (e.individual[0, :1, 0] - y[0, :1, 0]).abs() < 1e-10
            expected = e.values[0, 0] - torch.trapezoid(e.values[1:, 0], grid) / 4
            assert (effect.values[step, 0] - expected).abs() < (2e-4 if via == "regressors" else 1e-5)
        assert (effect.stderr[1:] > 0).all()
        assert effect.stderr[0] < 1e-6  # set at the first step, a sequence of one channel has no randomness left
    curves = ace.regress([(1, 0)], num=10)
    assert curves.features == ("x[1]",)


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
def test_support_is_the_share_of_simulated_sequences_that_left_the_data():
    """Against distances of all pairs, written out; far values have left entirely."""
    net = network("gru", 2, 2)
    x = draw(60, 5, 2, seed=1)
    inputs = FeedbackSequences(net, x, target_step=3)
    values = [0.0, 1.0, 50.0]
    answer = inputs.do((2, 0), values)
    data = inputs.samples / inputs.samples.std(0, correction=0)
    distances = (data[:, None] - data[None]).norm(dim=2) + torch.diag(torch.full((60,), torch.inf))
    limit = torch.quantile(distances.min(1).values, 0.99)
    rows = collect(answer) / inputs.samples.std(0, correction=0)
    expected = [float(((r[:, None] - data[None]).norm(dim=2).min(1).values > limit).double().mean()) for r in rows]
    assert answer.support().tolist() == expected and expected[2] == 1.0 and expected[0] < 1.0
    e = interventional_expectation(inputs.model, inputs, (2, 0), values)
    assert e.support.tolist() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
@pytest.mark.parametrize("kind", CORES)
@pytest.mark.parametrize("method", ["monte_carlo", "taylor", "cubature"])
def test_kernels_of_the_gpu_agree_with_the_cpu(kind, method):
    net, x = network(kind, 3, 3, num_layers=2), draw(30, STEPS, 3, seed=1)
    inputs = FeedbackSequences(net, x, target_step=TARGET)
    e = interventional_expectation(inputs.model, inputs, (2, 1), VALUES, method=method)
    net.cuda()
    moved = inputs.to("cuda")
    g = interventional_expectation(moved.model, moved, (2, 1), VALUES, method=method)
    assert (g.values.cpu() - e.values).abs().max() < 1e-10 and (g.stderr.cpu() - e.stderr).abs().max() < 1e-10
