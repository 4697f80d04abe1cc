"""Links: applied before the average, by every method, and refused in one sentence."""

import pytest
import torch
from torch import nn

from acelib import AverageCausalEffect, InputDistribution, interventional_expectation
from acelib.expectation.links import applied, as_link, softmax

X = torch.randn(80, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
NET = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
INPUTS = InputDistribution.fit(X)


@pytest.mark.parametrize("method", ["auto", "monte_carlo", "taylor", "cubature"])
def test_a_link_is_a_last_layer(method):
    """By every method the same numbers come out as with a softmax inside of the network."""
    whole = nn.Sequential(NET, nn.Softmax(dim=1))
    inside = interventional_expectation(whole, INPUTS, 1, [0.0, 1.0], method=method)
    outside = interventional_expectation(NET, INPUTS, 1, [0.0, 1.0], method=method, link="softmax")
    assert torch.allclose(inside.values, outside.values, atol=1e-12)
    assert torch.allclose(inside.covariances, outside.covariances, atol=1e-12)


def test_a_function_may_return_other_outputs():
    """The margin of the first output over the largest of the others: one number of three."""
    margin = lambda z: z[:, :1] - z[:, 1:].amax(1, keepdim=True)  # noqa: E731
    found = AverageCausalEffect(NET, INPUTS, link=margin, target_names=["margin"]).regress(num=5)
    assert found.targets == ("margin",)
    exact = margin(NET(torch.cat([X[:, :1] * 0 + 0.5, X[:, 1:]], 1))).mean()
    assert abs(interventional_expectation(NET, INPUTS, 0, [0.5], link=margin).values.item() - exact.item()) < 1e-12


@pytest.mark.parametrize(
    "link, error, sentence",
    [
        ("probit", ValueError, "link must be one of softmax, sigmoid"),
        (3, TypeError, "link must be a name or a function"),
        (lambda z: z.sum(1), ValueError, "link must be a function of the outputs, row by row"),
        (lambda z: z.softmax(0), ValueError, "link must be a function of the outputs, row by row"),
        (lambda z: z / 0, ValueError, "finite"),
    ],
)
def test_a_wrong_link_gets_a_sentence(link, error, sentence):
    with pytest.raises(error, match=sentence):
        interventional_expectation(NET, INPUTS, 0, [0.0], link=link)


def test_regressors_are_fitted_anew_when_the_link_changes():
    """What a link reads from outside of itself counts for the cache of ``attribute``."""
    temperature = torch.tensor(1.0, dtype=torch.float64)
    effects = AverageCausalEffect(NET, INPUTS, link=lambda z: (z / temperature).softmax(1))
    before = effects.attribute(X[0], target=0).values
    temperature.mul_(3)
    assert not torch.allclose(before, effects.attribute(X[0], target=0).values)


def test_along_the_second_dimension():
    z = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(applied(softmax, z), applied(lambda a: a.softmax(1), z), atol=1e-15)
    assert torch.equal(applied(as_link("sigmoid"), z), z.sigmoid()) and applied(None, z) is z
