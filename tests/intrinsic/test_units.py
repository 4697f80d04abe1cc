"""A network as a structural model: the network itself is the reference, and every way to state one wrongly is said."""

import pytest
import torch
from torch import nn

from acelib.intrinsic import LinearModel, StructuralModel, network_as_model

F64 = torch.float64
INPUTS = ["x1", "x2", "x3"]


def world():
    equations = {name: (lambda U, n, k=k: torch.sin(k * U) + n) for k, name in enumerate(INPUTS, 1)}
    return StructuralModel({"U": [], **{name: ["U"] for name in INPUTS}}, equations)


def network(*layers, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(*layers).double().eval()


NETWORKS = {
    "linear": lambda: network(nn.Linear(3, 2)),
    "two tanh layers": lambda: network(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)),
    "no bias, sigmoid output": lambda: network(
        nn.Linear(3, 5, bias=False), nn.GELU(), nn.Dropout(0.5), nn.Linear(5, 2), nn.Sigmoid()
    ),
    "two linear layers": lambda: network(nn.Linear(3, 4), nn.Linear(4, 1), nn.ReLU()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_samples_come_out(name):
    """Prop. 1, and Cor. 1.1 with the hidden units substituted away: 1e-12 from the network, also after do()."""
    net = NETWORKS[name]()
    model = network_as_model(net, world(), reads=INPUTS)
    outputs = [n for n in model.nodes if n.startswith("y")]
    reduced = model.without([n for n in model.nodes if n.startswith("h")])
    assert reduced.nodes == ("U", *INPUTS, *outputs)
    assert all(set(reduced.graph.parents[y]) == set(INPUTS) for y in outputs)
    noise = model.noise(torch.rand(400, len(model.nodes), dtype=F64))
    kept = [model.nodes.index(n) for n in reduced.nodes]
    for values in ({}, {"x1": 0.3}, {"x3": -1.0, "U": 2.0}):
        whole, less = model.do(values).push(noise), reduced.do(values).push(noise[:, kept])
        expected = net(whole[:, 1:4]).detach()
        assert (whole[:, [model.nodes.index(y) for y in outputs]] - expected).abs().max() < 1e-12
        assert (less[:, 4:] - expected).abs().max() < 1e-12


def test_hidden_units_are_those_of_the_network_and_can_be_set():
    """Against the layers called one by one, with a column overwritten."""
    net = NETWORKS["two tanh layers"]()
    model = network_as_model(net, world(), reads=INPUTS, output="class")
    assert model.nodes[4:] == ("h1.1", "h1.2", "h1.3", "h1.4", "h2.1", "h2.2", "h2.3", "class")
    assert model.silent == set(model.nodes[4:])
    rows = model.do({"h1.2": 0.5}).sample(100)
    hidden = net[:2](rows[:, 1:4]).detach()
    hidden[:, 1] = 0.5
    assert torch.allclose(rows[:, 4:8], hidden, atol=1e-12)
    assert torch.allclose(rows[:, 11:], net[2:](hidden).detach(), atol=1e-12)


def test_a_weight_of_zero_is_no_arrow():
    net = network(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight[0] = torch.tensor([0.0, 1.0])
        net[0].weight[1] = 0.0
    inputs = StructuralModel({"b": [], "a": []})
    model = network_as_model(net, inputs, reads=["a", "b"])
    assert model.graph.parents["h1.1"] == ("b",) and model.graph.parents["h1.2"] == ()
    rows = model.sample(10)
    assert torch.allclose(rows[:, -1:], net(rows[:, [1, 0]]).detach(), atol=1e-12)
    assert model.without(["h1.1", "h1.2"]).graph.parents["y"] == ("b",)


def test_an_intervention_on_the_inputs_is_remembered():
    assert network_as_model(NETWORKS["linear"](), world().do({"x1": 1.0}), reads=INPUTS).held == ("x1",)


@pytest.mark.parametrize(
    ("net", "inputs", "reads", "error", "message"),
    [
        (nn.Linear(3, 1), world(), INPUTS, TypeError, "network must be an nn.Sequential, got Linear"),
        (nn.Sequential(nn.Linear(3, 1)), LinearModel({"a": []}, {}), None, TypeError, "inputs must be a Structural"),
        (nn.Sequential(nn.Linear(3, 1)), world(), None, ValueError, "must read 4 units in its linear layer 1, got 3"),
        (nn.Sequential(nn.Linear(3, 1)), world(), ["x9"], ValueError, "reads must name nodes"),
        (nn.Sequential(nn.Linear(3, 2), nn.Softmax(1)), world(), INPUTS, ValueError, "Softmax; take logits"),
        (nn.Sequential(nn.Linear(3, 2), nn.Dropout()), world(), INPUTS, ValueError, "Dropout; take logits"),
        (nn.Sequential(nn.Tanh(), nn.Linear(3, 2)), world(), INPUTS, ValueError, "must start with nn.Linear"),
        (nn.Sequential(), world(), INPUTS, ValueError, "must have a linear layer, got none"),
        (nn.Sequential(nn.Linear(1, 1)), StructuralModel({"y": []}), None, ValueError, r"got \['y'\]"),
    ],
)
def test_what_is_no_such_network_is_said(net, inputs, reads, error, message):
    with pytest.raises(error, match=message):
        network_as_model(net, inputs, reads=reads)
