"""Four threads on one network: each public function gives the numbers it gives alone, and leaves the process as it was.

One network is shared by all calls, of one function and of all of them mixed, beside a thread that only infers. The
right numbers are those of a single call before the threads start; sums of threads differ in no bit, 1e-12 is for the
kernels that torch chooses.
"""

import dataclasses
import random
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from helpers import in_threads
from sequence_networks import network as recurrent_network
from torch import nn

import acelib
from acelib import (
    AverageCausalEffect,
    FeedbackSequences,
    InputDistribution,
    LatentPrior,
    half_trace,
    jets,
    paths,
    recurrent,
)
from acelib import interventional_expectation as expectation
from acelib.intrinsic import FlowModel, LinearModel, intrinsic_contributions, sobol_indices

THREADS = 4
F64 = torch.float64
BACKENDS = torch.backends


class Net(nn.Module):
    """Six inputs, flat or as an image of 2 × 3, a convolution, attention, and three outputs."""

    def __init__(self):
        super().__init__()
        self.conv, self.attend = nn.Conv2d(1, 4, 2), nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm, self.out = nn.LayerNorm(4), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.tanh(self.conv(x.reshape(len(x), 1, 2, 3))).flatten(2).transpose(1, 2)
        return self.out(self.norm(x + self.attend(x, x, x, need_weights=False)[0]).flatten(1))


class Plain(nn.Module):
    """The same without attention."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 2), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.conv(x.reshape(len(x), 1, 2, 3))).flatten(1))


def seeded(net):
    generator = torch.Generator().manual_seed(3)
    net = net.double().eval()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=F64))
    return net


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


NET, ATTENTION, RNN = seeded(Plain()), seeded(Net()), recurrent_network("lstm", 2, 2)
X, S = draw(60, 6), draw(6, 3, seed=1)
IMAGES, LABELS = X.reshape(-1, 1, 2, 3), torch.arange(60) % 3
INPUTS = InputDistribution.fit(X[:40])
PRIOR = LatentPrior(4, 2, draws=10, dtype=F64)
SEQUENCES = draw(6, 4, 2)
FEEDBACK = FeedbackSequences(RNN, SEQUENCES, target_step=3, domain=(-3.0, 3.0))
EFFECT = AverageCausalEffect(NET, INPUTS, budget=5000)
CHAIN = {f"x{i}": [f"x{i - 1}"] if i else [] for i in range(6)}
SCM = LinearModel(CHAIN, {f"x{i}": {f"x{i - 1}": 0.5} for i in range(1, 6)})
PAIR = LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 0.5}})
GRAPH = paths.explanatory_graph(NET, IMAGES + 1, 0, allow_wrong=True)
TRACE = paths.trace_layers(NET, IMAGES)
VALUES = [-1.0, 0.5]


def with_mask():
    with torch.no_grad(), paths.masked(NET, TRACE, {"out": (range(2), None)}):
        return NET(IMAGES)


def registered():
    with jets.register("erfcx", jets.pointwise()):
        return jets.propagate(lambda x: torch.special.erfcx(NET(x)), X[:2], S)


CALLS = {
    "monte_carlo": lambda: expectation(NET, INPUTS, 0, VALUES),
    "groups": lambda: expectation(NET, INPUTS, 0, VALUES, groups=torch.arange(40) // 4),
    "taylor": lambda: expectation(NET, INPUTS, 1, VALUES, method="taylor", budget=200),
    "taylor with attention": lambda: expectation(ATTENTION, INPUTS, 1, VALUES, method="taylor", budget=200),
    "cubature": lambda: expectation(NET, INPUTS, 2, VALUES, method="cubature", budget=200),
    "seeds": lambda: expectation([NET, NET], INPUTS, 2, VALUES),
    "latent": lambda: expectation(NET, PRIOR, "c0", [0.0, 1.0]),
    "feedback": lambda: expectation(FEEDBACK.model, FEEDBACK, (1, 0), VALUES),
    "feedback taylor": lambda: expectation(FEEDBACK.model, FEEDBACK, (1, 0), VALUES, method="taylor"),
    "regress": lambda: AverageCausalEffect(NET, INPUTS, budget=2000).regress([0], num=6),
    "spline": lambda: EFFECT.regress([0], num=8, family="spline"),
    "attribute": lambda: AverageCausalEffect(NET, INPUTS, budget=2000).attribute(X[0], 1, features=[0, 3]),
    "attribute shared": lambda: EFFECT.attribute(X[:3], 1),
    "attribute direct": lambda: EFFECT.attribute(X[0], 1, via="direct", features=[1]),
    "quantus_explain": lambda: acelib.quantus_explain(NET, X[:2], LABELS[:2], explain=INPUTS, budget=2000),
    **{
        f"half_trace {route}": lambda route=route: half_trace(ATTENTION, X[:2], S, route=route)
        for route in ("auto", "collapsed", "jvp_grad", "double_backward", "hessian")
    },
    "half_trace central_difference": lambda: half_trace(NET, X[:2], S, route="central_difference"),
    "half_trace of a recurrent network": lambda: half_trace(FEEDBACK.model, SEQUENCES[:2].flatten(1), draw(8, 2)),
    "jets.propagate": lambda: jets.propagate(ATTENTION, X[:2], S),
    "jets.check": lambda: (jets.check(NET, X[:1], S) < 1e-10,),
    "jets.register": registered,
    "time_lag": lambda: recurrent.time_lag(RNN, SEQUENCES),
    "sobol_indices": lambda: sobol_indices(NET, num_inputs=6, num_samples=64).first,
    "intrinsic variance": lambda: intrinsic_contributions(SCM, NET, target=0, num_samples=64).contributions,
    "intrinsic entropy": lambda: (
        intrinsic_contributions(
            PAIR,
            lambda x: NET(x.repeat(1, 3)),
            measure="entropy",
            categorical="softmax",
            num_samples=16,
            inner_samples=4,
        ).contributions
    ),
    "FlowModel.fit": lambda: (
        FlowModel.fit(draw(100, 2), {"a": [], "b": ["a"]}, names=["a", "b"], epochs=1, hidden=(4,), bins=3).history
    ),
    "trace_layers": lambda: [layer.nodes for layer in paths.trace_layers(ATTENTION, IMAGES).layers],
    "explanatory_graph": lambda: paths.explanatory_graph(NET, IMAGES, 0, allow_wrong=True).layers[-1].effects,
    "graph through attention": lambda: (
        paths.explanatory_graph(ATTENTION, IMAGES, 0, allow_wrong=True).layers[-1].effects
    ),
    "treatment_effects": lambda: paths.treatment_effects(NET, IMAGES, 1, "out", intervention=0.5),
    "node_maps": lambda: paths.node_maps(NET, IMAGES[:2], GRAPH),
    "class_map": lambda: paths.class_map(NET, IMAGES[:2], GRAPH),
    "masked": with_mask,
    "fidelity": lambda: paths.fidelity(NET, GRAPH, IMAGES, LABELS, shares=(0, 1), draws=1),
    "repair": lambda: paths.repair(NET, GRAPH, IMAGES, LABELS, shares=(0, 1)),
    "reliability": lambda: paths.reliability(NET, IMAGES, 0, runs=10, every=5, knots=5, checks=0),
    "correctly_classified": lambda: paths.correctly_classified(NET, IMAGES, LABELS, 0),
}
SLOW = ("half_trace hessian", "half_trace jvp_grad", "graph through attention", "fidelity", "intrinsic entropy")


def numbers(result):
    """All numbers of a result, nested as it is."""
    if dataclasses.is_dataclass(result):
        names = [f.name for f in dataclasses.fields(result) if f.name != "support_source"]
        return [numbers(getattr(result, name)) for name in names]
    if isinstance(result, torch.Tensor | np.ndarray | float | int):
        return torch.as_tensor(result).double()
    if isinstance(result, dict):
        return [numbers(value) for value in result.values()]
    if isinstance(result, list | tuple):
        return [numbers(value) for value in result]
    return [numbers(vars(result)[name]) for name in ("mean", "std") if name in getattr(result, "__dict__", {})]


def same(found, right):
    if isinstance(right, list):
        assert len(found) == len(right)
        for one, other in zip(found, right, strict=True):
            same(one, other)
    else:
        torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12, equal_nan=True)


def state():
    """What is one for the process: switches, default types, random numbers, and the shared networks."""
    switches = (
        BACKENDS.cudnn.enabled,
        BACKENDS.cudnn.benchmark,
        BACKENDS.cudnn.deterministic,
        BACKENDS.mkldnn.enabled,
        BACKENDS.mha.get_fastpath_enabled(),
        BACKENDS.cuda.flash_sdp_enabled(),
        BACKENDS.cuda.mem_efficient_sdp_enabled(),
        BACKENDS.cuda.math_sdp_enabled(),
        BACKENDS.cuda.cudnn_sdp_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        tuple(torch.random.get_rng_state().tolist()),
        random.getstate(),
        np.random.get_state()[1].tobytes(),
        np.geterr(),
        sorted(jets.supported()),
    )
    modules = [
        (vars(m).get("forward"), len(m._forward_hooks), len(m._forward_pre_hooks), m.training)
        for net in (NET, ATTENTION, RNN, FEEDBACK.model)
        for m in net.modules()
    ]
    weights = [(p.sum().item(), p.requires_grad, p.grad) for net in (NET, ATTENTION, RNN) for p in net.parameters()]
    return switches, modules, weights


@pytest.fixture(autouse=True)
def quiet_and_busy():
    """No warnings, whose filters are the process's, and threads that give way to each other very often."""
    interval = sys.getswitchinterval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.setswitchinterval(1e-4)
        yield
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("name", CALLS)
def test_a_function_in_four_threads(name):
    call = CALLS[name]
    right, before = numbers(call()), state()

    def work():
        for _ in range(3 if name in SLOW else 8):
            same(numbers(call()), right)

    in_threads(*[work] * THREADS)
    assert state() == before


def test_all_functions_mixed_beside_plain_inference():
    right = {name: numbers(call()) for name, call in CALLS.items()}
    with torch.no_grad():
        plain = NET(X), ATTENTION(X)
    before, done = state(), threading.Event()

    def work(seed):
        names = random.Random(seed).sample(list(CALLS), len(CALLS))
        try:
            for name in names:
                same(numbers(CALLS[name]()), right[name])
        finally:
            done.set()

    def infer():
        while not done.is_set():
            with torch.no_grad():
                same([NET(X), ATTENTION(X)], list(plain))

    in_threads(*[lambda seed=seed: work(seed) for seed in range(THREADS)], infer)
    assert state() == before
