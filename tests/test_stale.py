"""Nothing stale: what is kept or computed later belongs to the network as it is, or as it was when it was asked."""

import functools
import warnings

import numpy as np
import pytest
import torch
from sequence_networks import draw
from sequence_networks import network as sequence_network
from torch import nn

from acelib import (
    AverageCausalEffect,
    FeedbackSequences,
    InputDistribution,
    LatentPrior,
    SupportWarning,
    interventional_expectation,
)
from acelib._fingerprint import Kept, changed, fingerprint
from acelib.quantus import quantus_explain

F64 = torch.float64
SCALE = 1.0
MATRIX = torch.eye(3, dtype=F64)


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.plain, self.rows = 1.0, [torch.ones(3, dtype=F64)]

    def forward(self, x):
        return x * self.plain * self.rows[0]


class Net(nn.Module):
    """tanh(B part(x) W) with a buffer B, a plain attribute, a tensor in a list, a class attribute and batch norm."""

    power = 1

    def __init__(self):
        super().__init__()
        self.part, self.norm, self.last = Part(), nn.BatchNorm1d(3).double(), nn.Linear(3, 2).double()
        self.register_buffer("factor", torch.ones(3, dtype=F64), persistent=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[0.5, -1.0, 0.3], [0.2, 0.7, -0.4]]))

    def forward(self, x):
        return torch.tanh(self.last(self.norm(self.part(x)) * self.factor)) ** self.power * SCALE @ MATRIX[:2, :2]


class Wrapped:
    """A callable that is no module and holds one."""

    __slots__ = ("inside",)

    def __init__(self, inside):
        self.inside = {"net": (inside,)}

    def __call__(self, x):
        return self.inside["net"][0](x)


def of_a_closure(net):
    return lambda x: net(x)


def read_by(x, net):
    return net(x)


HELD = {
    "module": lambda net: net,
    "list": lambda net: [net, net],
    "method": lambda net: net.forward,
    "closure": of_a_closure,
    "partial": lambda net: functools.partial(read_by, net=net),
    "nested": lambda net: functools.partial(Wrapped(of_a_closure(net)).__call__),
    "object": Wrapped,
    "sequential": lambda net: nn.Sequential(nn.Identity(), net),
    "default": lambda net: lambda x, f=net.forward: f(x),
}


def step(net):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    net(torch.ones(4, 3, dtype=F64)).sum().backward()
    optimizer.step()


def load(net):
    net.load_state_dict({name: t + 0.3 if t.is_floating_point() else t for name, t in net.state_dict().items()})


def hook(net):
    net.last.register_forward_hook(lambda module, args, out: out * 1.5)


def prune(net):
    nn.utils.parametrize.register_parametrization(net.last, "weight", nn.Softplus())


EDITS = {
    "in place": lambda net: net.last.weight.detach().mul_(-5),
    "data": lambda net: net.last.weight.data.mul_(-5),
    "by numpy": lambda net: np.multiply(net.last.weight.detach().numpy(), 3, out=net.last.weight.detach().numpy()),
    "one entry": lambda net: net.last.weight.data[1].add_(0.5),
    "entries exchanged": lambda net: net.last.weight.data.copy_(net.last.weight.data.flip(1)),
    "replaced": lambda net: setattr(net.last, "weight", nn.Parameter(net.last.weight.detach() * 2)),
    "loaded": load,
    "optimizer": step,
    "buffer": lambda net: net.factor.data.mul_(2),
    "statistics": lambda net: net.norm.running_var.data.mul_(4),
    "submodule": lambda net: setattr(net, "part", nn.ReLU()),
    "attribute": lambda net: setattr(net.part, "plain", 2.0),
    "in a list": lambda net: net.part.rows[0].mul_(0.5),
    "hook": hook,
    "parametrization": prune,
}


@pytest.fixture
def inputs():
    X = torch.rand(60, 3, generator=torch.Generator().manual_seed(0), dtype=F64) * 2 - 1
    return InputDistribution.fit(X, domain=(-1.0, 1.0))


def agree(ace, x, target=1):
    """The kept regressors against direct evaluation: 2e-2, for curves of networks that change by more."""
    kept, direct = (ace.attribute(x, target, via).values for via in ("regressors", "direct"))
    return bool((kept - direct).abs().max() < 2e-2)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("held", HELD)
@pytest.mark.filterwarnings("ignore::acelib.ApproximationWarning")
def test_attributions_follow_the_network(inputs, held, edit):
    """Every way to hold a network times every way to change it: the answer is that of the network as it is."""
    net = Net().eval()
    ace, x = AverageCausalEffect(HELD[held](net), inputs), inputs.samples[:3]
    before = ace.attribute(x, 1).values
    assert agree(ace, x)
    EDITS[edit](net)
    assert not torch.allclose(ace.attribute(x, 1).values, before, atol=1e-3) and agree(ace, x)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("held", HELD)
def test_every_change_is_found_without_a_call(held, edit):
    net = Net().eval()
    call = HELD[held](net)
    before = fingerprint(call)
    assert not changed(before, fingerprint(call))
    EDITS[edit](net)
    assert changed(before, fingerprint(call))


@pytest.mark.parametrize("what", ["class attribute", "global number", "global tensor", "method of a class", "closure"])
@pytest.mark.filterwarnings("ignore::acelib.ApproximationWarning")
def test_attributions_follow_what_a_network_reads(inputs, what, monkeypatch):
    net, x, factor = Net().eval(), inputs.samples[:3], 1.0
    ace = AverageCausalEffect((lambda z: net(z) * factor) if what == "closure" else net, inputs)
    before = ace.attribute(x, 1).values
    if what == "class attribute":
        monkeypatch.setattr(Net, "power", 3)
    elif what == "global number":
        monkeypatch.setitem(globals(), "SCALE", -2.0)
    elif what == "global tensor":
        monkeypatch.setitem(globals(), "MATRIX", MATRIX.clone())
        ace.attribute(x, 1)
        MATRIX[1, 1] = 2.0
    elif what == "method of a class":
        monkeypatch.setattr(Part, "forward", lambda self, x: x.abs())
    else:
        factor = 4.0
    assert not torch.allclose(ace.attribute(x, 1).values, before, atol=1e-3) and agree(ace, x)


def test_a_change_of_the_inputs_is_seen(inputs):
    """Rows changed in place, and a number that a causal model of one's own reads."""
    ace, x = AverageCausalEffect(lambda x: x[:, :1] * x[:, 1:2], inputs), torch.full((3,), 0.5, dtype=F64)
    before = ace.attribute(x).values[0]
    inputs.samples[:, 1] += 1
    assert ace.attribute(x).values[0].item() == pytest.approx(before.item() + 0.5, abs=1e-6)


class Busy(Net):
    """A network that keeps books of its own: a count, a growing list, its last activation, a filled cache."""

    def __init__(self):
        super().__init__()
        self.count, self.shapes, self.seen, self.cache = 0, [], None, {}

    def forward(self, x):
        self.count += 1
        self.shapes.append(tuple(x.shape))
        self.seen = x.detach()
        self.cache[len(x)] = x.sum()
        return super().forward(x)


@pytest.mark.parametrize("kind", [Net, Busy])
@pytest.mark.filterwarnings("ignore::acelib.ApproximationWarning")
def test_what_has_not_changed_is_kept(inputs, kind):
    """One fit serves any number of calls, at 6 rows each, also of a network that counts them; a change still counts."""
    net, rows = kind().eval(), []
    net.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    ace = AverageCausalEffect(net, inputs)

    def cost(x, *args, **options):
        rows.clear()
        ace.attribute(x, *args, **options)
        return sum(rows)

    assert cost(inputs.samples[0], 0) > 3 * 33 * 60
    assert all(cost(row, 1) <= 6 for row in inputs.samples[:5])
    assert cost(inputs.samples, [0, 1] * 30, features=["x1"]) <= 6
    interventional_expectation(net, inputs, 0, [0.0])
    assert cost(inputs.samples[0], 0) <= 6
    net.part.plain = 0.5
    assert cost(inputs.samples[0], 0) > 3 * 33 * 60 and agree(ace, inputs.samples[:2])


def test_a_probe_costs_at_most_six_rows_and_changes_nothing(inputs):
    """Counted; weights, modes, random numbers and gradients as before, and an in-place network harms no row."""
    net, rows = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2).double()).eval(), []
    net.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    samples = inputs.samples.clone()
    ace = AverageCausalEffect(net, inputs)
    ace.attribute(samples[0], 0)
    rows.clear()
    before, state = torch.get_rng_state(), {name: t.clone() for name, t in net.state_dict().items()}
    with torch.enable_grad():
        ace.attribute(samples[0], 0)
    assert sum(rows) <= 6 and torch.equal(torch.get_rng_state(), before) and torch.equal(inputs.samples, samples)
    assert all(torch.equal(net.state_dict()[name], t) for name, t in state.items())
    assert net[1].weight.grad is None and not net.training


def test_another_number_of_outputs_is_refused(inputs):
    net = nn.Sequential(nn.Linear(3, 2).double())
    ace = AverageCausalEffect(net, inputs)
    ace.attribute(inputs.samples[0], 1)
    net[0] = nn.Linear(3, 4).double()
    with pytest.raises(ValueError, match="the 2 outputs that it had at first, got 4; make a new AverageCausalEffect"):
        ace.attribute(inputs.samples[0], 1)
    quantus_explain(net, inputs.samples[:2].numpy(), 1, explain=inputs)
    net[0] = nn.Linear(3, 5).double()
    assert quantus_explain(net, inputs.samples[:2].numpy(), 4, explain=inputs).shape == (2, 3)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.filterwarnings("ignore::acelib.ApproximationWarning")
def test_explanations_for_quantus_follow_the_network(inputs, edit):
    net, x = Net().eval(), inputs.samples[:2]
    before = quantus_explain(net, x.numpy(), np.array([1, 0]), explain=inputs)
    EDITS[edit](net)
    after = quantus_explain(net, x.numpy(), np.array([1, 0]), explain=inputs)
    fresh = AverageCausalEffect(net, inputs).attribute(x, [1, 0]).values
    assert not np.allclose(after, before, atol=1e-3) and np.allclose(after, fresh, atol=1e-12)


@pytest.mark.parametrize("kind", ["float64", "half", "int64", "bool", "complex", "meta", "sparse", "empty", "0-d"])
def test_tensors_of_every_kind_have_a_digest(kind):
    """A change of the last entry is seen wherever entries can be read."""
    t = {
        "float64": torch.rand(3, 4, dtype=F64).T,
        "half": torch.rand(5, dtype=torch.bfloat16),
        "int64": torch.arange(3),
        "bool": torch.zeros(3, dtype=torch.bool),
        "complex": torch.rand(2, dtype=torch.complex64).conj(),
        "meta": torch.empty(3, device="meta"),
        "sparse": torch.eye(3).to_sparse(),
        "empty": torch.empty(0),
        "0-d": torch.tensor(2.0),
    }[kind]
    holder = [t]
    before = fingerprint(lambda x: x * holder[0])
    assert not changed(before, fingerprint(lambda x: x * holder[0]))
    if kind in ("meta", "sparse", "empty"):
        holder[0] = torch.ones(2)
    else:
        t.data[...] = 1 if kind == "bool" else 7
    assert changed(before, fingerprint(lambda x: x * holder[0]))


def test_what_cannot_be_followed_shows_in_its_outputs(inputs):
    """A generator's frame cannot be looked into; its outputs can."""

    def hidden():
        factor = 1.0
        while True:
            received = yield factor
            factor = received if received is not None else factor

    source = hidden()
    next(source)
    ace = AverageCausalEffect(lambda x: x.sum(1, keepdim=True) * source.send(None), inputs)
    x = torch.ones(3, dtype=F64)
    assert torch.allclose(ace.attribute(x).values, torch.ones(3, dtype=F64), atol=1e-6)
    source.send(3.0)
    assert torch.allclose(ace.attribute(x).values, torch.full((3,), 3.0, dtype=F64), atol=1e-6)


class Link:
    def __init__(self, to, number):
        self.to, self.number = to, number


def test_objects_that_lead_in_circles_and_very_many():
    """Walks end: circles are named once, a long chain is cut, and its head is still seen."""
    net = nn.Linear(1, 1)
    net.itself, net.box = net, [1]
    net.box.append(net.box)
    chain, nest = None, []
    for number in range(30_000):
        chain, nest = Link(chain, number), [nest]
    net.chain, net.nest = chain, nest
    before = fingerprint(net)
    assert not changed(before, fingerprint(net))
    net.weight.data.add_(1)
    assert changed(before, fingerprint(net)) == {"0.weight"}


def test_kept_leaves_bookkeeping_out():
    kept = Kept("value", {"a": 1, "count": 1}, {"a": 1, "count": 2, "new": 3})
    assert kept.holds({"a": 1, "count": 9}) and kept.holds({"a": 1, "new": 0}) and not kept.holds({"a": 2, "count": 2})
    assert not kept.holds({"a": 1, "later": 1}) and not kept.holds({"count": 2})


# What is read later


def test_support_is_that_of_the_rows_at_the_time(inputs):
    """Read after the rows were changed in place: the same as read at once."""
    now, later = (interventional_expectation(lambda x: x[:, :1], inputs, 0, [-1.0, 0.0, 3.0]) for _ in range(2))
    expected = now.support
    inputs.samples.mul_(100)
    assert torch.equal(later.support, expected) and expected[2] == 1.0


def test_values_that_were_given_are_copied(inputs):
    values = torch.tensor([0.0, 0.5], dtype=F64)
    x = inputs.samples[:2].clone()
    e = interventional_expectation(lambda x: x[:, :1], inputs, 0, values)
    a = AverageCausalEffect(lambda x: x[:, :1], inputs).attribute(x)
    values.fill_(9.0)
    x.fill_(9.0)
    assert e.alphas.tolist() == [0.0, 0.5] and not (a.x == 9).any() and e.support[1] < 0.5


def test_support_of_sequences_belongs_to_their_network():
    """Read in time it equals that of the answer; after a change of the network it is unknown, and says so."""
    net = sequence_network("gru", 2, 2)
    inputs = FeedbackSequences(net, draw(30, 4, 2), target_step=3, domain=(-9.0, 9.0))
    early, late = (interventional_expectation(inputs.model, inputs, (1, 0), [0.0, 9.0]) for _ in range(2))
    assert torch.equal(early.support, inputs.do((1, 0), [0.0, 9.0]).support())
    with torch.no_grad():
        next(net.parameters()).data.mul_(2)
    with pytest.warns(SupportWarning, match=r"support of do\(x0\[1\]\) is unknown, NaN: the network"):
        assert late.support.isnan().all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert late.support.isnan().all() and early.support[1] == 1.0


@pytest.mark.parametrize("name", ["z0", "c1"])
def test_effects_of_latents_follow_the_generator(name):
    prior = LatentPrior(2, 2, dtype=F64, draws=20)
    net = nn.Linear(4, 1, bias=False).double()
    ace, x = AverageCausalEffect(net, prior), torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=F64)
    before = ace.attribute(x, features=[name]).values
    net.weight.data.mul_(-2)
    assert torch.allclose(ace.attribute(x, features=[name]).values, -2 * before, atol=1e-6, equal_nan=True)
