"""Networks that write into their input or activations: right as without writing, inputs untouched."""

import pytest
import torch
import torch.nn.functional as F
from paths_oracle import lively, uniform
from torch import nn

from acelib.paths import (
    class_map,
    correctly_classified,
    explanatory_graph,
    fidelity,
    masked,
    node_maps,
    reliability,
    repair,
    trace_layers,
    treatment_effects,
)


class Form(nn.Module):
    """Two convolutions, a residual sum, a pool and a layer, with one step before and one between."""

    def __init__(self, before, between):
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 1), nn.Linear(12, 2)
        self.relu, self.flat, self.same = nn.ReLU(inplace=True), nn.Flatten(), nn.Identity()
        self.before, self.between, self.residual = before, between, 1

    def forward(self, x):
        h = self.between(self, self.a(self.before(self, x)))
        return self.fc(self.flat(F.adaptive_avg_pool2d(torch.tanh(self.b(h)) + self.residual * h, 2)))


def plain_before(net, x):
    return (x - 0.4) / 0.5


def plain_between(net, h):
    return 2 * torch.relu(h) + 1


def doing(write, wanted=None):
    """Return a step that writes and goes on with the tensor written to."""

    def step(net, x):
        write(net, x)
        return x

    return step


def by_loop(net, x):
    for row in x:
        row.sub_(0.4)
    x /= 0.5


def by_columns(net, x):
    for i in range(x.shape[-1]):
        x[..., i] = (x[..., i] - 0.4) / 0.5


BEFORE = {
    "chained": lambda net, x: x.sub_(0.4).div_(0.5),
    "operators": doing(lambda net, x: (x.__isub__(0.4), x.__itruediv__(0.5))),
    "statements": doing(lambda net, x: (x.sub_(0.4), x.div_(0.5))),
    "one statement": doing(lambda net, x: x.copy_((x - 0.4) / 0.5)),
    "view": doing(lambda net, x: x.view(len(x), -1).sub_(0.4).div_(0.5)),
    "columns": doing(by_columns),
    "rows": doing(by_loop),
    "data": doing(lambda net, x: x.data.sub_(0.4).div_(0.5)),
    "detached": doing(lambda net, x: x.detach().sub_(0.4).div_(0.5)),
    "out": doing(lambda net, x: torch.div(x - 0.4, 0.5, out=x)),
    "foreach": doing(lambda net, x: (torch._foreach_sub_([x], 0.4), torch._foreach_div_([x], 0.5))),
    "numpy": doing(lambda net, x: x.numpy().__isub__(0.4).__itruediv__(0.5)),
}

BETWEEN = {
    "module and sum": lambda net, h: net.relu(h) + h + 1,
    "module as a statement": doing(lambda net, h: (net.relu(h), h.mul_(2).add_(1))),
    "function": lambda net, h: F.relu(h, inplace=True).mul_(2).add_(1),
    "function and sum": lambda net, h: F.relu_(h).add(h).add_(1),
    "view of a module": lambda net, h: (net.flat(h).relu_(), h * 2 + 1)[1],
    "the same tensor of a module": lambda net, h: (net.same(h).relu_(), h * 2 + 1)[1],
    "slices": doing(lambda net, h: [part.relu_().mul_(2).add_(1) for part in h.unbind(1)]),
    "sum of itself": doing(lambda net, h: (h.clamp_(min=0), h.add_(h.clone()), h.__iadd__(1))),
    "data": doing(lambda net, h: h.data.clamp_(min=0).mul_(2).add_(1)),
    "module that writes into data": lambda net, h: (net.relu(h.data), 2 * h + 1)[1],
    "index": doing(lambda net, h: (h.__setitem__(h < 0, 0), h.mul_(2).add_(1))),
}


def setting(before=plain_before, between=plain_between):
    net = lively(Form(before, between)).double()
    return net, uniform(40, 1, 5, 5, dtype=torch.float64)


CASES = [(f, plain_between) for f in BEFORE.values()] + [(plain_before, g) for g in BETWEEN.values()]
IDS = [f"input, {name}" for name in BEFORE] + [f"activation, {name}" for name in BETWEEN]


@pytest.mark.parametrize(("before", "between"), CASES, ids=IDS)
def test_effects_equal_those_of_the_network_written_without(before, between):
    (net, x), (plain, y) = setting(before, between), setting()
    got = explanatory_graph(net, x, 0, allow_wrong=True)
    right = explanatory_graph(plain, y, 0, allow_wrong=True)
    assert torch.equal(x, y), "the caller's inputs"
    for a, b in zip(got.layers, right.layers, strict=True):
        assert (a.name, a.necessary) == (b.name, b.necessary)
        assert (a.differences - b.differences).abs().max() < 1e-10
    for name in ("a", "b", "fc"):  # with all targets, also where the graph has none
        one, other = treatment_effects(net, x, 1, name), treatment_effects(plain, y, 1, name)
        assert (one.differences - other.differences).abs().max() < 1e-10


@pytest.mark.parametrize("chunk_size", [7, None])
@pytest.mark.parametrize("first", ["statements", "columns", "data"])
def test_studies_and_maps_leave_the_inputs_alone(first, chunk_size):
    (net, x), (plain, _) = setting(BEFORE[first], BETWEEN["module and sum"]), setting()
    net.residual = plain.residual = 0  # so that layer b has necessary nodes, which the maps need
    kept, labels = x.clone(), torch.arange(40) % 2
    graph = explanatory_graph(plain, kept.clone(), 0, allow_wrong=True)
    most = int(plain(kept.clone()).argmax(1).mode().values)
    size = dict(chunk_size=chunk_size or 40)
    shares = dict(shares=(0, 0.5, 1))
    for study in (
        lambda net, x: fidelity(net, graph, x, labels, draws=2, **shares, **size).own["necessary"],
        lambda net, x: repair(net, graph, x, labels, **shares, **size).by_mask["accuracy"],
        lambda net, x: torch.stack(reliability(net, x, 0, runs=10, knots=3, chunk_size=chunk_size).frequency[:1]),
        lambda net, x: node_maps(net, x, graph, "b").maps,
        lambda net, x: class_map(net, x, graph, layer="b"),
        lambda net, x: correctly_classified(net, x, plain(kept.clone()).argmax(1), most, **size),
    ):
        got, right = study(net, x), study(plain, kept.clone())
        assert torch.equal(x, kept)
        assert torch.allclose(got.double(), right.double(), atol=1e-10, equal_nan=True)


def test_masking_is_right_where_the_input_is_written_to():
    (net, x), (plain, _) = setting(BEFORE["statements"]), setting()
    masks = {"b": ((1,), None), "fc": ((0, 2), (0,))}
    with torch.no_grad(), masked(plain, trace_layers(plain, x), masks):
        right = plain(x)
    with torch.no_grad(), masked(net, trace_layers(net, x), masks):
        assert (net(x.clone()) - right).abs().max() < 1e-12


def test_a_write_that_two_rows_do_not_show_is_seen_when_all_are_recorded():
    """The network halves its activations in place where a row is large, which the traced rows are not."""

    class Rare(nn.Module):
        def __init__(self, in_place):
            super().__init__()
            self.a, self.b, self.in_place = nn.Linear(3, 4), nn.Linear(4, 2), in_place

        def forward(self, x):
            h = self.a(x)
            large = (x > 5).any(1)
            if large.any():
                half = torch.where(large, 0.5, 1.0)[:, None].to(h)
                h = h.mul_(half) if self.in_place else h * half
            return self.b(torch.tanh(h))

    x = uniform(40, 3, dtype=torch.float64)
    x[20] = 9.0
    one, other = lively(Rare(True)).double(), lively(Rare(False)).double()
    assert not trace_layers(one, x).overwrites
    got, right = (explanatory_graph(net, x, 0, allow_wrong=True) for net in (one, other))
    for a, b in zip(got.layers, right.layers, strict=True):
        assert (a.differences - b.differences).abs().max() < 1e-10
