"""The choice of "auto": all rows where they fit, else the smaller error for the price, by a trial; said by name."""

import pytest
import torch
from torch import nn

from acelib import AverageCausalEffect, InputDistribution, interventional_expectation
from acelib.expectation.choice import choice
from acelib.expectation.pilot import Pilot, Way

VALUES = torch.linspace(-1, 1, 10)


def inputs(n=4000, k=6, seed=0):
    return InputDistribution.fit(torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def perceptron(k=6, outputs=2):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(k, 16), nn.Tanh(), nn.Linear(16, outputs)).double().eval()
    with torch.no_grad():
        net[2].weight *= 5
    return net


def steps(x):
    """It has derivatives, which say nothing."""
    return torch.cat([(x > 0).to(x).sum(1, keepdim=True) + 0 * x[:, :1], (x > 0.5).to(x).prod(1, keepdim=True)], 1)


def black_box(x):
    return torch.from_numpy(x.detach().numpy().sum(1, keepdims=True) ** 2)


def refusing(x):
    """It will not be differentiated, and says so in its own way."""
    assert not x.requires_grad, "for inference alone"
    return (x**2).sum(1, keepdim=True).sqrt()


def test_all_rows_where_they_fit():
    e = interventional_expectation(perceptron(), inputs(), 0, VALUES)
    assert (e.method, e.num_rows, e.reason) == ("monte_carlo", 4000, "all rows fit the budget")


def test_rows_that_were_asked_for():
    e = interventional_expectation(perceptron(), inputs(), 0, VALUES, rows=150)
    assert e.method == "monte_carlo" and e.num_rows == 150 and "150 rows were asked for" in e.reason


def test_the_linear_step_where_it_is_better():
    """For the same budget its error is less than that of plain rows, and the result says why it was taken."""
    net, budget, values = perceptron(), 30_000, torch.linspace(-1, 1, 40)
    e = interventional_expectation(net, inputs(), 0, values, budget=budget)
    assert e.method == "linearised" and "in a trial" in e.reason and e.cost <= budget
    exact = interventional_expectation(net, inputs(), 0, values, method="monte_carlo")
    plain = interventional_expectation(net, inputs(), 0, values, rows=budget // len(values))
    assert plain.num_rows == 750 and (e.values - exact.values).norm() < (plain.values - exact.values).norm() / 3
    assert (e.stderr < plain.stderr).all()


@pytest.mark.parametrize(
    "net, why",
    [
        (steps, "in a trial"),
        (black_box, "no derivatives"),
        (refusing, "no derivatives"),
        (lambda x: x.sum(1, keepdim=True).detach(), "no deriv"),
    ],
)
def test_plain_rows_where_slopes_say_nothing_or_are_not_there(net, why):
    e = interventional_expectation(net, inputs(), 0, VALUES, budget=30_000)
    assert e.method == "monte_carlo" and e.num_rows == 3000 and why in e.reason


def test_plain_rows_where_the_slopes_cost_too_much():
    """800 outputs need 1601 model rows for the slopes of each row."""
    net = nn.Linear(6, 800).double().eval()
    e = interventional_expectation(net, inputs(), 0, VALUES, budget=10_000)
    assert e.method == "monte_carlo" and "cost too much" in e.reason


def test_one_feature_or_all_get_the_same_curves():
    """With a link, for a budget that the rows exceed: the choice and the draws do not depend on what is asked."""
    effects = AverageCausalEffect(perceptron(), inputs(), budget=150_000, link="softmax")
    every, one = effects.regress(num=20), effects.regress(["x3"], num=20)
    e, alone = every.expectations["x3"], one.expectations["x3"]
    assert e.method == "linearised" and e == alone and e.reason == alone.reason


def trial(plain, effects, rest):
    return Pilot(plain, effects, (Way((), 1.0, 0.0, rest),))


def test_the_choice_by_hand():
    """100 plain rows of variance 4 have an error of 0.2; 50 of variance 1 beside 1000 by slopes, one of 0.155."""
    assert "left 0.77 times" in choice(trial(4.0, 0.0, 1.0), 100, 50, 1000).reason
    assert choice(trial(4.0, 0.0, 1.0), 100, 50, 1000).method == "linearised"
    assert choice(trial(4.0, 0.0, 1.0), 100, 50, 150).method == "monte_carlo"
    assert choice(trial(4.0, 0.0, 2.1), 100, 50, 1000).method == "monte_carlo"
    assert choice(trial(4.0, 1.0, 1.0), 100, 50, 1000, effects=True).method == "monte_carlo"
    assert choice(trial(0.0, 0.0, 0.0), 100, 50, 1000).method == "monte_carlo"


def test_the_least_error_of_two_levels_by_hand():
    """Variances 9 and 1, prices 1/100 and 1: (0.3 + 1)² for one row, and 30 of the first draws for each second one."""
    way = Way(("cut",), 0.01, 9.0, 1.0)
    first, rest = way.shared_out(130)
    assert way.error == pytest.approx(1.3) and (first, rest) == (pytest.approx(3000), pytest.approx(100))
    assert first * way.price + rest == pytest.approx(130)
    assert 9 / first + 1 / rest == pytest.approx(way.error**2 / 130)
    assert (
        Pilot(0.0, 0.0, (Way((), 1.0, 0.0, 1.5**2), way)).best.cuts == ()
        and Pilot(0.0, 0.0, (Way((), 1.0, 0.0, 4.0), way)).best is way
    )


def test_very_many_inputs_are_not_all_looked_at(monkeypatch):
    """With 3 of 6 looked at the average stays without bias: over 200 draws less than 3.5 standard errors off."""
    from acelib.expectation import expansion
    from acelib.expectation.estimate import expectation_of
    from acelib.expectation.networks import admitted

    monkeypatch.setattr(expansion, "LOOKED_AT", 3)
    networks = admitted(perceptron(), inputs(300), derivatives=True, link="softmax")
    exact = expectation_of(networks, 1, VALUES, method="monte_carlo", budget=10**6).values
    options = dict(method="linearised", rows=30, budget=10**6)
    found = torch.stack([expectation_of(networks, 1, VALUES, seed=s, **options).values for s in range(200)])
    assert int((networks.expansions[0].importance > 0).sum()) == 3
    assert ((found.mean(0) - exact) / (found.std(0) / 200**0.5)).abs().max() < 3.5


@pytest.mark.parametrize("net", [perceptron(), black_box])
def test_the_trial_is_made_once_for_all_features(net, monkeypatch):
    from acelib.expectation import decision

    asked, ask = [], decision.differentiable
    monkeypatch.setattr(decision, "differentiable", lambda networks: asked.append(1) or ask(networks))
    AverageCausalEffect(net, inputs(), budget=150_000).regress(num=20)
    assert len(asked) == 1
