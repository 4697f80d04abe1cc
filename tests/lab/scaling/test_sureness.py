"""The spread of logits, and the expansion's error on probabilities against loops written out."""

import pytest
import torch

from acelib import InputDistribution
from acelib.lab import scaling
from acelib.lab.networks import mlp

VALUES = torch.linspace(0, 1, 3, dtype=torch.float64)


@pytest.fixture
def rows():
    return torch.rand(40, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_spread_is_that_of_centred_logits_and_grows_with_them(rows):
    net = mlp((4, 6, 3), activation="tanh", seed=0)
    z = net(rows).detach()
    spread = sum((z[:, c] - z.mean(1)).std() for c in range(3)) / 3
    assert abs(scaling.logit_spread(net, rows) - spread) < 1e-12
    louder = torch.nn.Sequential(net, torch.nn.Linear(3, 3, bias=False, dtype=torch.float64))
    louder[1].weight.data = 7 * torch.eye(3, dtype=torch.float64)
    assert abs(scaling.logit_spread(louder, rows) - 7 * spread) < 1e-12


def test_the_error_is_that_of_equation_4_written_out(rows):
    """Both sides by a loop over features and values, the Hessian of the probabilities by torch.func (1e-12)."""
    net = mlp((4, 6, 3), activation="tanh", seed=0)

    def p(x):
        return net(x).softmax(-1)

    top = bottom = 0.0
    for i in (0, 3):
        exact, formula = [], []
        for value in VALUES:
            X = rows.clone()
            X[:, i] = value
            exact.append(p(X).mean(0))
            mu, sigma = X.mean(0), torch.cov(X.T, correction=0)
            hessian = torch.func.hessian(lambda x: p(x[None])[0])(mu)
            formula.append(p(mu[None])[0] + 0.5 * (hessian * sigma).sum((1, 2)))
        exact, formula = (torch.stack(c).detach() - torch.stack(c).detach().mean(0) for c in (exact, formula))
        top, bottom = top + (formula - exact).square().sum(), bottom + exact.square().sum()
    found = scaling.probability_error(net, InputDistribution.fit(rows, domain=(0.0, 1.0)), [0, 3], VALUES)
    assert abs(found - float((top / bottom).sqrt())) < 1e-12
