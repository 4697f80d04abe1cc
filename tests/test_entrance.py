"""The entrance for networks: what is refused whatever layers it is made of, what passes, and that nothing changes."""

import functools
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import layer
from sequence_networks import draw
from torch import nn

from acelib import (
    AverageCausalEffect,
    InputDistribution,
    LatentPrior,
    half_trace,
    interventional_expectation,
    quantus_explain,
)
from acelib._entrance import admit, two_rows
from acelib._modules import modules_behind
from acelib.intrinsic import CausalGraph, LinearModel, StructuralModel, intrinsic_contributions, sobol_indices
from acelib.paths import explanatory_graph
from acelib.recurrent import FeedbackSequences, Recurrent, time_lag

X = draw(60, 4)
INPUTS = InputDistribution.fit(X)
EYE = torch.eye(4, dtype=torch.float64)


A, B = layer(4, 6), layer(6, 2, seed=1)


class Functional(nn.Module):
    """A hidden layer, something done to it by a function, and an output layer."""

    def __init__(self, do):
        super().__init__()
        self.a, self.b, self.do = layer(4, 6), layer(6, 2, seed=1), do

    def forward(self, x):
        return self.b(self.do(self, torch.tanh(self.a(x))))


class Stateful(nn.Module):
    """Adds what it has seen before."""

    def __init__(self):
        super().__init__()
        self.a, self.seen = layer(4, 2), 0.0

    def forward(self, x):
        self.seen += float(x.detach().abs().sum())
        return self.a(x) + self.seen


def attention(h, **options):
    return F.scaled_dot_product_attention(h, h, h, **options)


def own_generator():
    generator = torch.Generator().manual_seed(0)
    return lambda x: A(x) + torch.rand(len(x), 1, generator=generator, dtype=x.dtype)


def rare_drop(net, h):
    """Stochastic depth that acts on one batch of a thousand: six rows tell it by the numbers that are drawn alone."""
    return h if not net.training or float(torch.rand(())) < 0.999 else 0 * h


SINGLE = nn.Linear(4, 1)
NORM = nn.Sequential(layer(4, 6), nn.BatchNorm1d(6, dtype=torch.float64), layer(6, 2)).train()
RANDOM = {
    "functional dropout": Functional(lambda net, h: F.dropout(h, 0.5, net.training)),
    "alpha dropout": Functional(lambda net, h: F.alpha_dropout(h, 0.5, net.training)),
    "rare stochastic depth": Functional(rare_drop),
    "rrelu": Functional(lambda net, h: F.rrelu(h, training=net.training)),
    "gumbel": Functional(lambda net, h: F.gumbel_softmax(h)),
    "attention dropout": Functional(
        lambda net, h: F.scaled_dot_product_attention(*[h[:, None]] * 3, dropout_p=0.5)[:, 0]
    ),
    "noise": lambda x: A(x) + 0.1 * torch.randn(len(x), 1, dtype=x.dtype),
    "bernoulli": lambda x: torch.bernoulli(A(x).sigmoid()) + 0 * x[:, :1],
    "numpy's noise": lambda x: A(x) + float(np.random.rand()),
    "Python's noise": lambda x: A(x) + random.random(),
    "own generator": own_generator(),
    "a state": Stateful(),
    "closure of batch norm": lambda x: NORM(x).softmax(1),
    "partial of batch norm": functools.partial(lambda net, x: net(x) * 2, NORM),
    "method of dropout": Functional(lambda net, h: F.dropout(h, 0.5, net.training)).forward,
    "several of them": lambda x: torch.stack([A(x), F.dropout(A(x))]).mean(0),
}
GRU = nn.GRU(4, 3, dtype=torch.float64)
MIXED = {
    "softmax over the batch": lambda x: A(x).softmax(0),
    "softmax without dim": lambda x: F.softmax(A(x).T, dim=1).T,
    "centred by the batch": lambda x: A(x) - A(x).mean(0),
    "scaled by the batch": lambda x: A(x) / A(x).abs().amax(),
    "functional batch norm": lambda x: F.batch_norm(torch.cat([x, x[:1] * 0]), None, None, training=True)[: len(x)],
    "the batch as time": lambda x: GRU(x)[0],
    "the batch as time, backwards": lambda x: GRU(x.flip(0))[0].flip(0),
    "cumsum": lambda x: A(x).cumsum(0),
    "sorted": lambda x: A(x).sort(0).values,
    "ranks": lambda x: A(x).argsort(0).double(),
    "attention over the batch": lambda x: attention(A(x)[None])[0],
    "rolled": lambda x: A(x).roll(1, 0),
    "first row": lambda x: A(x) + 0.01 * x[:1].sum(),
    "last row": lambda x: A(x) + 0.01 * x[-1:].sum(),
    "relative to the largest": lambda x: A(x) - A(x).amax(),
}
SCM = LinearModel.fit(X, CausalGraph({"a": (), "b": ("a",), "c": (), "d": ()}))
CALLS = {
    "average": lambda m: interventional_expectation(m, INPUTS, 0, [0.0, 1.0]),
    "taylor": lambda m: interventional_expectation(m, INPUTS, 0, [0.0, 1.0], method="taylor"),
    "cubature": lambda m: interventional_expectation(m, INPUTS, 0, [0.0, 1.0], method="cubature"),
    "a list": lambda m: interventional_expectation([m, m], INPUTS, 0, [0.0]),
    "effects": lambda m: AverageCausalEffect(m, INPUTS),
    "curvature": lambda m: half_trace(m, X[:3], EYE),
    "differences": lambda m: half_trace(m, X[:3], EYE, route="central_difference"),
    "sobol": lambda m: sobol_indices(m, num_inputs=4, num_samples=64, dtype=torch.float64),
    "contributions": lambda m: intrinsic_contributions(SCM, m, target=0, num_samples=64),
    "latents": lambda m: interventional_expectation(m, LatentPrior(4, 0, dtype=torch.float64), "z0", [0.0]),
}
FORMS = ("average", "a list", "effects", "curvature", "sobol", "contributions", "latents")


def refused(model, call):
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    modules = modules_behind(model)
    before = [b.clone() for m in modules for b in m.buffers()]
    with pytest.raises(ValueError) as caught:
        CALLS[call](model)
    assert all(torch.equal(a, b) for a, b in zip(before, [b for m in modules for b in m.buffers()], strict=True))
    assert torch.equal(states[0], torch.get_rng_state()) and random.getstate() == states[2]
    assert np.array_equal(states[1], np.random.get_state()[1])
    return str(caught.value)


@pytest.mark.parametrize("call", FORMS)
@pytest.mark.parametrize("kind", RANDOM)
def test_networks_that_act_at_random_are_refused(kind, call):
    """Whatever draws, and wherever it hides: in a function, a closure, a method, another library."""
    text = refused(RANDOM[kind], call)
    assert "random" in text or "training mode" in text or "one row" in text or "from call to call" in text
    behind = modules_behind(RANDOM[kind])
    if behind and all(m.training for m in behind) and kind != "a state":
        assert "eval" in text or kind in ("noise", "bernoulli", "numpy's noise", "Python's noise", "own generator")


@pytest.mark.parametrize("call", FORMS)
@pytest.mark.parametrize("kind", MIXED)
def test_networks_that_mix_the_rows_of_a_batch_are_refused(kind, call):
    """An average would depend on the chunk size, a value on what else is asked."""
    text = refused(MIXED[kind], call)
    assert "each row by itself" in text or "batch of one row" in text


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e3, 1e12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1.0, 1e-2])
def test_the_scale_of_outputs_does_not_matter(scale, dtype, size):
    """A column of small outputs beside large ones is looked at by itself; rounding of ordinary networks passes."""
    rows = X[:2].to(dtype)
    deep = nn.Sequential(*[part for i in range(12) for part in (layer(4, 4, seed=i), nn.Tanh())]).to(dtype)

    def model(x):
        y = deep(x)
        return torch.stack([1e6 * y[:, 0], scale * y[:, 1]], dim=1)

    assert admit(model, rows, (4,)).outputs == 2
    with pytest.raises(ValueError, match="each row by itself"):
        admit(lambda x: model(x) * (1 + size * x.mean()), rows, (4,))


class Counting(nn.Module):
    """A network that counts its calls in a buffer, without any use of it."""

    def __init__(self):
        super().__init__()
        self.a = layer(4, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.a(x)


def reseeding(x):
    """Random features that are the same in every call."""
    generator = torch.Generator().manual_seed(3)
    return torch.tanh(x @ torch.randn(4, 2, generator=generator, dtype=x.dtype))


def by_numpy(x):
    return torch.from_numpy(np.tanh(x.numpy()).sum(1, keepdims=True))


def last_step(net):
    return lambda x: net(x.reshape(len(x), 2, 2))[0][:, -1]


ENCODER = nn.TransformerEncoderLayer(2, 1, 4, batch_first=True, dtype=torch.float64)
PASSING = {
    "linear": layer(4, 2),
    "dropout of nothing": nn.Sequential(layer(4, 2), nn.Dropout(0.0)).train(),
    "dropout in evaluation mode": nn.Sequential(layer(4, 2), nn.Dropout(0.5)).eval(),
    "one recurrent layer with dropout": last_step(nn.LSTM(2, 3, dropout=0.5, batch_first=True).double().train()),
    "two in evaluation mode": last_step(nn.GRU(2, 3, num_layers=2, dropout=0.5, batch_first=True).double().eval()),
    "batch norm in evaluation mode": nn.Sequential(layer(4, 2), nn.BatchNorm1d(2)).double().eval(),
    "instance norm": nn.Sequential(nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2), nn.Flatten()).double().train(),
    "layer norm": nn.Sequential(nn.LayerNorm(4), layer(4, 2)).double(),
    "weight norm": nn.utils.parametrizations.weight_norm(layer(4, 2)),
    "spectral norm": nn.utils.parametrizations.spectral_norm(layer(4, 2)).eval(),
    "attention": nn.Sequential(nn.Unflatten(1, (2, 2)), ENCODER, nn.Flatten()).eval(),
    "a counter": Counting(),
    "features of a seed": reseeding,
    "numpy": by_numpy,
    "a constant": lambda x: torch.ones(len(x), 1, dtype=x.dtype),
    "a closure": lambda x: A(x).softmax(1),
    "functional dropout in evaluation mode": Functional(lambda net, h: F.dropout(h, 0.5, net.training)).eval(),
    "a step": lambda x: (x[:, :1] > 0).to(x.dtype),
    "large and flat": lambda x: 1e8 + A(x),
}
DIFFERENTIABLE = [name for name in PASSING if name != "numpy"]


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_as_before_and_costs_at_most_six_rows(kind):
    """Seeds, buffers, hooks, modes, gradients; the rows are counted, those of an average apart."""
    model, rows = PASSING[kind], []
    modules = modules_behind(model)
    parts = [p for m in modules for p in m.modules()]

    def state():
        return (
            [b.clone() for m in modules for b in m.buffers() if kind != "a counter"],
            [p.training for p in parts],
            [list(p._forward_hooks) + list(p._forward_pre_hooks) + list(p._backward_hooks) for p in parts],
            [q.grad for m in modules for q in m.parameters()],
            [q.requires_grad for m in modules for q in m.parameters()],
            [torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()],
            [torch.is_grad_enabled(), torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled],
        )

    def spy(x):
        rows.append(len(x))
        return model(x)

    before = str(state())
    for derivatives in (False, True) if kind in DIFFERENTIABLE else (False,):
        rows.clear()
        admit(spy, X[:2], (4,), derivatives=derivatives)
        assert sum(rows) <= 6 and max(rows) <= 2
        assert str(state()) == before
    rows.clear()
    interventional_expectation(spy, INPUTS, 0, [0.0, 1.0, 2.0])
    assert sum(rows) <= 3 * len(X) + 6
    rows.clear()
    ace = AverageCausalEffect(spy, INPUTS)
    assert sum(rows) <= 6
    rows.clear()
    ace.regress(num=5)
    assert sum(rows) <= 4 * 5 * len(X) + 6  # one check for all four features
    if kind == "a counter":
        kept = model.calls.clone()
        admit(model, X[:2], (4,))
        assert torch.equal(model.calls, kept)


@pytest.mark.parametrize("call", CALLS)
def test_ordinary_networks_pass_everywhere(call):
    for kind in ("dropout of nothing", "weight norm", "layer norm"):
        CALLS[call](PASSING[kind])


def test_spectral_norm_in_training_mode_is_refused():
    """Each call is a step of its power iteration, which changes the network."""
    for norm in (nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm):
        net = norm(layer(4, 2))
        with pytest.raises(ValueError, match="in training mode; call model.eval"):
            CALLS["average"](net.train())
        CALLS["average"](net.eval())


def test_a_network_that_turns_random_later_is_refused_then():
    """The check is made in every public call, not once when the effects were set up."""
    net = Functional(lambda net, h: F.dropout(h, 0.5, net.training)).eval()
    ace = AverageCausalEffect(net, INPUTS)
    ace.regress(num=5)
    net.train()
    for call in (lambda: ace.regress(num=5), lambda: ace.expectation(0, [0.0]), lambda: ace.attribute(X[0], target=0)):
        with pytest.raises(ValueError, match=r"eval\(\).*random numbers"):
            call()


def test_graphs_and_sequences_and_metrics_pass_the_same_door():
    net = nn.Sequential(layer(4, 6), nn.Tanh(), Functional(lambda net, h: F.dropout(h, 0.5, net.training)).b)
    drop = Functional(lambda net, h: F.dropout(h, 0.5, net.training))
    mixed = Functional(lambda net, h: h - h.mean(0))
    explanatory_graph(net, X, target=0)
    for model in (drop, mixed):
        with pytest.raises(ValueError, match="random numbers|each row by itself"):
            explanatory_graph(model, X, target=0)
        with pytest.raises(ValueError, match="random numbers|each row by itself"):
            quantus_explain(model, X[:2].numpy(), np.array([0, 1]), explain=INPUTS)
    sequences = draw(8, 4, 2)
    for head in (lambda h: F.dropout(h, 0.5), lambda h: h - h.mean(0)):
        steps = Recurrent(nn.GRU(2, 2, dtype=torch.float64), head)
        with pytest.raises(ValueError, match="random numbers|each row by itself"):
            FeedbackSequences(steps, sequences, target_step=3)
        with pytest.raises(ValueError, match="random numbers|each row by itself"):
            time_lag(steps, sequences)


@pytest.mark.parametrize("method", ["auto", "taylor", "cubature"])
def test_a_table_in_float64_meets_a_network_in_float32(method):
    """One rule: the input model is converted to the network's dtype; the network is never changed."""
    table = X.numpy()
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    inputs = InputDistribution.fit(table)
    found = interventional_expectation(net, inputs, 0, [0.0, 1.0], method=method)
    right = interventional_expectation(net, inputs.to(torch.float32), 0, [0.0, 1.0], method=method)
    assert torch.equal(found.values, right.values) and inputs.mean.dtype == torch.float64
    ace = AverageCausalEffect(net, inputs, method=method)
    assert ace.inputs.mean.dtype == torch.float32 and next(net.parameters()).dtype == torch.float32
    assert ace.attribute(table[0]).values.shape == (4,)
    wide = AverageCausalEffect(net.double(), inputs.to(torch.float32), method=method)
    assert wide.inputs.mean.dtype == torch.float64


SINGLE = nn.Linear(4, 1)
WRONG = {
    "width": (nn.Linear(5, 1).double(), "shapes cannot be multiplied"),
    "embedding": (nn.Embedding(9, 2).double(), "got RuntimeError"),
    "two inputs": (lambda x, z: x + z, "got TypeError"),
    "a closure in float32": (lambda x: SINGLE(x), r"are torch.float32 .*use inputs.to\(torch.float32\)"),
    "squeezed": (lambda x: A(x).squeeze(), r"batch of one row .*squeeze\(-1\)"),
    "one row fails": (lambda x: A(x) / (0 if len(x) == 1 else 1), "NaN or Inf"),
}


@pytest.mark.parametrize("call", FORMS)
@pytest.mark.parametrize("kind", WRONG)
def test_a_network_that_does_not_fit_the_inputs_is_a_sentence(kind, call):
    model, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        CALLS[call](model)


def test_errors_of_the_networks_own_come_through():
    def model(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        CALLS["average"](model)


def test_two_rows_are_different_whatever_the_table():
    """Equal rows would hide that one of them answers for the other."""
    for samples in (X, X[:1].repeat(5, 1), X[:1], torch.zeros(3, 4), None):
        a, b = two_rows(samples, X.mean(0))
        assert not torch.equal(a, b)


def test_structural_models_push_the_rows_of_the_check():
    """The rows are made by the causal model itself, in the order that the network reads."""
    seen = []

    def model(x):
        seen.append(x.detach().clone())
        return x[:, :1]

    chain = StructuralModel(CausalGraph({"a": (), "b": ("a",)}), {"b": lambda a, noise: a + 10 + 0 * noise})
    intrinsic_contributions(chain, model, target=0, inputs=["b", "a"], num_samples=64)
    assert torch.allclose(seen[0][:, 0], seen[0][:, 1] + 10)
