"""``chunk_size`` bounds memory: what a method holds at once, counted in bytes of tensors that live at the same time.

A mode sees every tensor that an operation makes and notes its memory until it is freed, so the number is the same on
every machine. The limits hold above inputs and results; the whole array of model rows would be many times larger.
"""

import math

import pytest
import torch
from sequence_networks import network as recurrent_network
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from acelib import AverageCausalEffect, FeedbackSequences, InputDistribution, LatentPrior, half_trace
from acelib import interventional_expectation as expectation
from acelib.expectation import estimators
from acelib.inputs import intervention
from acelib.inputs.intervention import Intervention
from acelib.inputs.intervention import moments_of_rows as moments
from acelib.intrinsic import sobol_indices
from acelib.paths import explanatory_graph
from acelib.recurrent import rollout, time_lag

F64 = torch.float64
K, M = 2000, 100
MB = 2**20


class Memory(TorchDispatchMode):
    """Counts the bytes of the tensors made while it is active that live at the same time: ``peak`` is the most."""

    def __init__(self):
        super().__init__()
        self.living, self.total, self.peak = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for made in tree_leaves(out):
            if isinstance(made, torch.Tensor) and made.device.type != "meta":
                storage = made.untyped_storage()
                if storage._cdata not in given and storage._cdata not in self.living:
                    self.living[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
                    self.total += storage.nbytes()
        if self.total > self.peak:
            for place, (reference, size) in list(self.living.items()):
                if reference.expired():
                    del self.living[place]
                    self.total -= size
            self.peak = max(self.peak, self.total)
        return out


def held(call):
    """The most bytes held at the same time during a call, and what it returns."""
    with Memory() as memory:
        result = call()
    return memory.peak, result


def draw(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def net(k, outputs, dtype=F64, hidden=8):
    layers = nn.Sequential(nn.Linear(k, hidden), nn.Tanh(), nn.Linear(hidden, outputs)).to(dtype)
    with torch.no_grad():
        for number, p in enumerate(layers.parameters()):
            p.copy_(draw(*p.shape, seed=number, dtype=dtype) / p.shape[-1] ** 0.5)
    return layers.eval()


def test_the_counter_counts():
    """Three arrays of a megabyte, of which one is freed before the last; views and results in place cost nothing."""

    def call():
        a = torch.zeros(MB // 8, dtype=F64)
        b = a + 1
        b.view(2, -1).add_(1)
        del a
        return b * 2

    peak, result = held(call)
    assert peak == 2 * MB and bool((result == 4).all())


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("outputs", [1, 10])
@pytest.mark.parametrize("method", ["monte_carlo", "taylor", "cubature"])
def test_estimators(method, outputs, dtype):
    """All rows of cubature would be 2 · 100 · 39 · 2000 numbers, 120 MB; the tangents of Taylor half of that.

    The factor of the answer is 0.6 MB, gradients of all values and outputs 16 MB in float64.
    """
    inputs, model = InputDistribution.fit(draw(40, K, dtype=dtype)), net(K, outputs, dtype)
    values = torch.linspace(-1, 1, M)
    options = dict(method=method, budget=200)
    peak, _ = held(lambda: expectation(model, inputs, 0, values, chunk_size=100, **options))
    assert peak < 25 * MB
    smaller, _ = held(lambda: expectation(model, inputs, 0, values[:10], chunk_size=10, **options))
    assert smaller < 8 * MB


@pytest.mark.parametrize("outputs", [3, 60])
@pytest.mark.parametrize("method", ["taylor", "cubature"])
def test_many_outputs(method, outputs):
    """With 60 outputs all slopes along the columns of the factor would be 60 · 40 · 299 numbers, 6 MB."""
    inputs, model = InputDistribution.fit(draw(400, 300)), net(300, outputs)
    values = torch.linspace(-1, 1, 40)
    peak, e = held(lambda: expectation(model, inputs, 0, values, chunk_size=40, method=method, budget=4000))
    results = 8 * e.covariances.numel()
    assert peak < 24 * MB + 4 * results


@pytest.mark.parametrize("method", ["taylor", "cubature"])
def test_a_factor_for_each_value(method, monkeypatch):
    """Simulated sequences: the factors of 12 values, 12 · 80 · 30 numbers, are made in parts, which changes nothing."""
    inputs = FeedbackSequences(recurrent_network("gru", 2, 2), draw(30, 40, 2), target_step=39, domain=(-5.0, 5.0))

    def call():
        return expectation(inputs.model, inputs, (36, 0), torch.linspace(-1, 1, 12), method=method, chunk_size=30)

    whole = everything(call())
    made = []
    monkeypatch.setattr(intervention, "moments_of_rows", lambda answer: made.append(len(answer)) or moments(answer))
    monkeypatch.setattr(rollout, "moments_of_rows", intervention.moments_of_rows)
    monkeypatch.setattr(estimators, "HELD", 3 * 80 * 30)
    for one, other in zip(everything(call()), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert max(made) == 3 and sum(made) >= 2 * 12, "the estimate and its error, each in parts"


@pytest.mark.parametrize("size", [1, 5, 17])
def test_parts_of_an_answer_are_the_answer(size):
    """Values, means and factors of the parts, one after the other, are those of the whole."""
    rnn = recurrent_network("gru", 2, 2)
    inputs = FeedbackSequences(rnn, draw(5, 4, 2), target_step=3, domain=(-5.0, 5.0))
    whole = inputs.do((1, 0), torch.linspace(-1, 1, 7))
    parts = list(whole.parts(size * 8 * 5))
    assert len(parts) == math.ceil(7 / size) and all(isinstance(part, Intervention) for part in parts)
    for name in ("values", "means", "factor", "pinned"):
        joined = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(joined, getattr(whole, name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("route", ["auto", "collapsed", "jvp_grad", "double_backward", "central_difference"])
def test_half_trace(route):
    """All points with all directions would be 40 · 30 · 2000 numbers, 19 MB, a hundred rows 1.6 MB."""
    model, points, factor = net(K, 2), draw(40, K), draw(K, 30, seed=1) / K**0.5
    peak, right = held(lambda: half_trace(model, points, factor, feature=3, route=route, chunk_size=100))
    assert peak < 18 * MB
    found = half_trace(model, points, factor, feature=3, route=route)
    # a second difference magnifies rounding, which depends on the processor and on how many rows a call has
    rtol, atol = (1e-4, 2e-5) if route == "central_difference" else (1e-10, 1e-6)
    torch.testing.assert_close(found, right, rtol=rtol, atol=atol)


@pytest.mark.parametrize("chunk", [100, None])
def test_latents_of_a_decoder_with_many_outputs(chunk):
    """784 outputs at 33 values: the scores of 50 draws would be 10 MB, a covariance 6.8 MB, the curves kept 10 MB."""
    prior, model = LatentPrior(10, 10, draws=50, dtype=F64), net(20, 784)
    peak, e = held(lambda: expectation(model, prior, "z0", torch.linspace(-1, 1, 33), chunk_size=chunk))
    results = 8 * (e.covariances.numel() + e.individual.numel())
    assert peak < results + (60 if chunk else 400) * MB


@pytest.mark.parametrize("groups", ["own", "in turn", "in order"])
def test_groups(groups):
    """The scores of 3000 groups would be 3000 · 10 · 60 numbers, 14 MB; only one group is open at a time."""
    labels = {"own": torch.arange(6000), "in turn": torch.arange(6000) % 3000, "in order": torch.arange(6000) // 2}
    inputs, model = InputDistribution.fit(draw(6000, 4)), net(4, 10)
    values = torch.linspace(-1, 1, 60)
    peak, _ = held(lambda: expectation(model, inputs, 0, values, groups=labels[groups], chunk_size=600, budget=10**9))
    assert peak < 8 * MB


def test_many_values_and_outputs():
    """A covariance of 500 outputs at 100 values is 40 MB, and there are two while it is made."""
    inputs, model = InputDistribution.fit(draw(40, 5)), net(5, 500)
    peak, e = held(lambda: expectation(model, inputs, 0, torch.linspace(-1, 1, M), chunk_size=100))
    assert peak < 4.5 * 8 * e.covariances.numel() + 20 * MB


@pytest.mark.parametrize(
    "call",
    [
        lambda x: AverageCausalEffect(net(K, 3), x, chunk_size=100).regress([0, 5], num=33),
        lambda x: AverageCausalEffect(net(K, 3), x, chunk_size=100).attribute(torch.zeros(K), 1, features=[0, 5]),
        lambda x: AverageCausalEffect(net(K, 3), x, chunk_size=100).attribute(draw(9, K), 1, "direct", features=[0]),
        lambda x: explanatory_graph(net(K // 5, 2), x.samples[:, : K // 5], 0, allow_wrong=True, chunk_size=100),
        lambda x: sobol_indices(net(20, 2), num_inputs=20, num_samples=1024, chunk_size=100),
        lambda x: time_lag(recurrent_network("gru", 20, 10), draw(40, 100, 20), chunk_size=100),
    ],
    ids=["regress", "attribute", "direct", "explanatory_graph", "sobol_indices", "time_lag"],
)
def test_other_functions(call):
    """One model row of 2000 numbers is 16 kB, a hundred are 1.6 MB; inputs are 0.6 MB."""
    inputs = InputDistribution.fit(draw(40, K))
    peak, _ = held(lambda: call(inputs))
    assert peak < 30 * MB


def everything(e):
    return [t for t in (e.values, e.stderr, e.covariances, e.spread, e.individual) if t is not None]


@pytest.mark.parametrize("chunk", [1, 2, 7, 100])
@pytest.mark.parametrize("method", ["monte_carlo", "taylor", "cubature"])
@pytest.mark.parametrize("kind", ["table", "wide", "rank", "pinned", "latent", "class", "feedback", "groups"])
def test_the_chunk_size_changes_no_number(kind, method, chunk):
    """Against the default, to 1e-10 of the largest entry, for every kind of answer."""
    values, options = [-1.0, 0.5, 1.5], dict(method=method)
    if kind == "feedback":
        inputs = FeedbackSequences(recurrent_network("lstm", 2, 2), draw(9, 4, 2), target_step=3, domain=(-9.0, 9.0))
        model, feature = inputs.model, (1, 0)
    elif kind in ("latent", "class"):
        inputs, feature = (
            LatentPrior(3, 4, [0.1, 0.2, 0.3, 0.4], draws=12, dtype=F64),
            "c1" if kind == "class" else "z0",
        )
        model, values = net(7, 3), [0.0, 1.0]
    else:
        k = 70 if kind == "wide" else 5
        inputs, model, feature = InputDistribution.fit(draw(30, k), rank=2 if kind == "rank" else None), net(k, 3), 0
        inputs = inputs.do({1: 0.5}) if kind == "pinned" else inputs
        if kind == "groups":
            options["groups"] = torch.arange(30) % 7
    whole = everything(expectation(model, inputs, feature, values, **options))
    parts = everything(expectation(model, inputs, feature, values, chunk_size=chunk, **options))
    for one, other in zip(parts, whole, strict=True):
        assert float((one - other).abs().max()) <= 1e-10 * max(1e-6, float(other.abs().max()))


def literal_groups(outputs, labels):
    """Covariance ``(o, m, m)`` of the mean of ``outputs (m, n, o)`` by groups, by its definition, a loop."""
    deviations = outputs - outputs.mean(1, keepdim=True)
    scores = torch.stack([deviations[:, labels == label].sum(1) for label in labels.unique()])
    count = len(scores)
    return torch.einsum("gmo,gno->omn", scores, scores) * count / (count - 1) / outputs.shape[1] ** 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("chunk", [3, 20, None])
def test_groups_by_their_definition_in_any_order(seed, chunk):
    """Groups of 1 to 9 rows, shuffled, with labels that skip numbers, and a subset of the rows: 1e-12."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 12, (40,), generator=generator) * 7 - 3
    X, values = draw(40, 3, seed=seed), torch.tensor([-1.0, 0.0, 1.5], dtype=F64)
    inputs, model = InputDistribution.fit(X), net(3, 2)
    e = expectation(model, inputs, 1, values, groups=labels, chunk_size=chunk)
    rows = X.expand(3, -1, -1).clone()
    rows[:, :, 1] = values[:, None]
    outputs = model(rows).detach()
    torch.testing.assert_close(e.covariances, literal_groups(outputs, labels), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(e.values, outputs.mean(1), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(e.individual, outputs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [60, 130])
def test_the_curves_kept_of_grouped_rows_are_those_of_evenly_spaced_rows(n):
    """More rows than are kept: the same rows, in the same order, with and without groups."""
    inputs, model = InputDistribution.fit(draw(n, 3)), net(3, 2)
    plain = expectation(model, inputs, 0, [0.0, 1.0], chunk_size=16)
    grouped = expectation(model, inputs, 0, [0.0, 1.0], chunk_size=16, groups=torch.arange(n) % 11)
    torch.testing.assert_close(grouped.individual, plain.individual, rtol=1e-13, atol=1e-14)


def test_groups_take_as_many_operations_a_row_however_many_there_are():
    """Every row its own group: four times the rows take at most five times the operations and elements."""

    class Operations(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.count, self.elements = 0, 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            self.count += 1
            self.elements += sum(t.numel() for t in tree_leaves(out) if isinstance(t, torch.Tensor))
            return out

    found = []
    for n in (500, 2000):
        inputs, model = InputDistribution.fit(draw(n, 3)), net(3, 2)
        with Operations() as operations:
            expectation(model, inputs, 0, [0.0, 1.0], groups=torch.arange(n), chunk_size=50)
        found.append(operations)
    assert found[1].count <= 5 * found[0].count and found[1].elements <= 5 * found[0].elements
