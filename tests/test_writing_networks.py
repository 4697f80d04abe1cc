"""Networks that write into their input: the numbers of those that do not, and nothing of the caller's changed."""

import pytest
import torch
from helpers import layer
from sequence_networks import draw
from torch import nn

from acelib import AverageCausalEffect, InputDistribution, half_trace, interventional_expectation
from acelib.intrinsic import CausalGraph, LinearModel, intrinsic_contributions, sobol_indices
from acelib.paths import explanatory_graph

X = draw(60, 4)
INPUTS = InputDistribution.fit(X)
EYE = torch.eye(4, dtype=torch.float64)


A = layer(4, 2)
SCM = LinearModel.fit(X, CausalGraph({"a": (), "b": ("a",), "c": (), "d": ()}))
CENTRE, UNIT = X.mean(0), X.std(0)
WRITING = {
    "standardised": (lambda x: A(x.sub_(CENTRE).div_(UNIT)), lambda x: A((x - CENTRE) / UNIT)),
    "a column": (
        lambda x: A(x.index_fill_(1, torch.tensor([1]), 0.5)),
        lambda x: A(torch.cat([x[:, :1], 0 * x[:, :1] + 0.5, x[:, 2:]], 1)),
    ),
    "an activation": (nn.Sequential(nn.ELU(inplace=True), A), nn.Sequential(nn.ELU(), A)),
    "a ramp": (nn.Sequential(nn.ReLU(inplace=True), A), nn.Sequential(nn.ReLU(), A)),
    "clamped": (lambda x: A(x.clamp_(-0.5, 0.5)), lambda x: A(x.clamp(-0.5, 0.5))),
    "by a view": (lambda x: (x.view(-1).mul_(2), A(x))[1], lambda x: A(2 * x)),
    "and returned": (lambda x: x.mul_(2), lambda x: x * 2),
}
EVERYWHERE = {
    "average": lambda m, i: interventional_expectation(m, i, 0, [-1.0, 0.0, 1.0]).values,
    "a list": lambda m, i: interventional_expectation([m, m], i, 0, [-1.0, 0.0, 1.0]).models,
    "taylor": lambda m, i: interventional_expectation(m, i, 0, [-1.0, 0.0, 1.0], method="taylor").values,
    "taylor's error": lambda m, i: interventional_expectation(m, i, 0, [-1.0, 0.5], method="taylor").stderr,
    "cubature": lambda m, i: interventional_expectation(m, i, 0, [-1.0, 0.0, 1.0], method="cubature").values,
    "attribute": lambda m, i: AverageCausalEffect(m, i).attribute(X[:2], target=0).values,
    "direct": lambda m, i: AverageCausalEffect(m, i).attribute(X[:2], target=0, via="direct").values,
    "curvature": lambda m, i: half_trace(m, X[:3], EYE),
    "sobol": lambda m, i: sobol_indices(m, num_inputs=4, num_samples=64, dtype=torch.float64).total,
    "contributions": lambda m, i: intrinsic_contributions(SCM, m, target=0, num_samples=64).contributions,
}


@pytest.mark.parametrize("call", EVERYWHERE)
@pytest.mark.parametrize("kind", WRITING)
def test_a_network_may_write_into_its_input(kind, call):
    """The numbers are those of the same network without writing, and nothing of the caller's has changed."""
    writing, plain = WRITING[kind]
    if call == "curvature" and kind == "by a view":
        pytest.skip("jets name views that are written to; test_writing holds them")
    data = X.clone()
    inputs = InputDistribution.fit(data)
    mean, samples = inputs.mean.clone(), inputs.samples.clone()
    found, right = EVERYWHERE[call](writing, inputs), EVERYWHERE[call](plain, INPUTS)
    assert torch.allclose(found, right, atol=1e-9)
    assert torch.equal(inputs.mean, mean) and torch.equal(inputs.samples, samples) and torch.equal(data, X)


@pytest.mark.parametrize("kind", WRITING)
def test_a_network_may_write_into_moments(kind):
    """Without rows the first call was on the mean itself, once."""
    writing, plain = WRITING[kind]
    inputs = [InputDistribution.from_moments(CENTRE, torch.diag(UNIT), low=-2.0, high=2.0) for _ in range(2)]
    for model, one in zip((writing, plain), inputs, strict=True):
        AverageCausalEffect(model, one, method="cubature").regress(num=5)
        assert torch.equal(one.mean, CENTRE)
    found, right = (
        AverageCausalEffect(m, i, method="cubature").attribute(X[0], target=0, via="direct").values
        for m, i in zip((writing, plain), inputs, strict=True)
    )
    assert torch.allclose(found, right, atol=1e-9)


def test_writing_with_many_inputs_and_in_graphs():
    """From 64 inputs on the first layer is shared; a graph records the network on the user's images."""
    wide = draw(40, 70)
    first = layer(70, 2)
    found, right = (
        interventional_expectation(m, InputDistribution.fit(wide), 3, [0.0, 1.0]).values
        for m in (lambda x: first(x.sub_(1.0)), lambda x: first(x - 1.0))
    )
    assert torch.allclose(found, right, atol=1e-12)

    class Writes(nn.Module):
        def __init__(self, writes):
            super().__init__()
            self.a, self.b, self.writes = layer(4, 6), layer(6, 2), writes

        def forward(self, x):
            x = x.sub_(0.5) if self.writes else x - 0.5
            return self.b(torch.tanh(self.a(x)))

    images = X.clone()
    one, other = (explanatory_graph(Writes(w), images, target=0) for w in (True, False))
    assert torch.equal(images, X)
    for a, b in zip(one.layers, other.layers, strict=True):
        assert torch.allclose(a.effects, b.effects, atol=1e-12)
