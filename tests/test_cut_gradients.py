"""Gradients that do not reach the inputs: an error that names the remedy, wherever a derivative is asked for."""

import numpy as np
import pytest
import torch
from helpers import layer
from sequence_networks import draw
from torch import nn

from acelib import AverageCausalEffect, InputDistribution, half_trace, interventional_expectation

X = draw(60, 4)
INPUTS = InputDistribution.fit(X)
EYE = torch.eye(4, dtype=torch.float64)


A = layer(4, 2)
CENTRE, UNIT = X.mean(0), X.std(0)


def by_numpy(x):
    return torch.from_numpy(np.tanh(x.numpy()).sum(1, keepdims=True))


class Frozen(nn.Module):
    """A backbone that is frozen in some way, a trainable head, and a skip that carries a gradient if wanted."""

    def __init__(self, how, skip):
        super().__init__()
        self.a, self.b, self.how, self.skip = layer(4, 6), layer(6, 1, seed=1), how, skip

    def forward(self, x):
        h = self.how(lambda: torch.tanh(self.a(x)))
        return self.b(h) + (x[:, :1] ** 2 if self.skip else 0)


def without_gradients(run):
    with torch.no_grad():
        return run()


def switched_off(run):
    with torch.set_grad_enabled(False):
        return run()


def inference(run):
    with torch.inference_mode():
        h = run()
    return h.clone()


CUTS = {
    "no_grad": without_gradients,
    "decorator": torch.no_grad()(lambda run: run()),
    "set_grad_enabled": switched_off,
    "inference_mode": inference,
}
WHOLE = CUTS | {
    "detach": lambda run: run().detach(),
    "numpy": lambda run: torch.from_numpy(run().detach().numpy()),
    "lists": lambda run: torch.tensor(run().tolist(), dtype=torch.float64),
}
ROUTES = ("auto", "collapsed", "jvp_grad", "double_backward", "hessian")


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("cut", WHOLE)
def test_a_gradient_that_is_cut_is_an_error_with_its_remedy(cut, skip):
    """Zeros, or the curvature of a part, with an error bar of nothing would be the answer."""
    if skip and cut not in CUTS:
        pytest.skip("what is detached in a part of a network counts as a constant, as half_trace says")
    model = Frozen(WHOLE[cut], skip)
    for route in ROUTES:
        with pytest.raises(ValueError, match=r"carry a gradient .*requires_grad_\(False\)"):
            half_trace(model, X[:3], EYE, route=route)
    for inputs in (INPUTS, InputDistribution.from_moments(CENTRE, torch.diag(UNIT), low=-2.0, high=2.0)):
        with pytest.raises(ValueError, match="carry a gradient .*method='monte_carlo' or 'cubature'"):
            interventional_expectation(model, inputs, 0, [0.0], method="taylor")
    right = half_trace(Frozen(lambda run: run(), skip), X[:3], EYE)
    assert torch.allclose(half_trace(model, X[:3], EYE, route="central_difference"), right, atol=1e-5)
    interventional_expectation(model, INPUTS, 0, [0.0])


def test_parameters_may_be_frozen_and_used_without_gradients_where_it_changes_nothing():
    model = Frozen(lambda run: run(), True).requires_grad_(False)
    assert torch.allclose(half_trace(model, X[:3], EYE), half_trace(Frozen(lambda r: r(), True), X[:3], EYE))

    def masked(x):
        with torch.no_grad():
            mask = (x > 0).to(x.dtype)
        return A(x * mask)

    half_trace(masked, X[:3], EYE)


def test_numpy_and_taylor():
    for call in (
        lambda: interventional_expectation(by_numpy, INPUTS, 0, [0.0], method="taylor"),
        lambda: half_trace(by_numpy, X[:3], EYE),
        lambda: AverageCausalEffect(by_numpy, INPUTS, method="taylor"),
    ):
        with pytest.raises(ValueError, match="method='monte_carlo' or 'cubature', or route='central_difference'"):
            call()
    right = half_trace(lambda x: x.tanh().sum(1, keepdim=True), X[:3], EYE)
    assert torch.allclose(half_trace(by_numpy, X[:3], EYE, route="central_difference"), right, atol=1e-5)
