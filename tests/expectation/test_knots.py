"""Most drawn rows are answered at a few values, with a spline between: without bias, whatever the spline misses."""

import pytest
import torch
from torch import nn

from acelib import InputDistribution, interventional_expectation
from acelib.expectation.estimate import expectation_of
from acelib.expectation.knots import KNOTS, Knots
from acelib.expectation.linearised import _coefficients
from acelib.expectation.networks import admitted


def draw(n=300, k=3, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_spline_is_exact_at_knots_and_for_cubics():
    """In any order of the values, and with repeats."""
    values = torch.linspace(-2, 3, 25, dtype=torch.float64)[
        torch.randperm(25, generator=torch.Generator().manual_seed(0))
    ]
    values = torch.cat([values, values[:3]])[:, None]
    knots = Knots.of(values)
    assert knots is not None and len(knots.places) == KNOTS
    curve = (values**3 - 2 * values)[:, :, None]
    assert torch.allclose(knots.between(curve[knots.places]), curve, atol=1e-12)
    assert torch.allclose(knots.weights[knots.places], torch.eye(KNOTS, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("values", [torch.linspace(0, 1, 2 * KNOTS - 1)[:, None], torch.rand(30, 2), torch.ones(40, 1)])
def test_few_values_and_several_inputs_have_none(values):
    assert Knots.of(values) is None


NETS = {
    "tanh": lambda x: (3 * x.sum(1, keepdim=True)).tanh(),
    "kink": lambda x: (x[:, :1] + x[:, 1:2]).relu() - x[:, 2:].abs() * x[:, :1],
    "step": lambda x: (x.sum(1, keepdim=True) > 0).to(x) + 0 * x[:, :1],
}


@pytest.mark.parametrize("name", NETS)
def test_it_is_unbiased_at_many_values(name):
    """Over 400 draws less than 3.5 standard errors off, for a step too, which no spline follows; honest error bars."""
    networks = admitted(NETS[name], InputDistribution.fit(draw()), derivatives=True)
    values = torch.linspace(-2, 2, 18)
    exact = expectation_of(networks, 0, values, method="monte_carlo", budget=10**9)
    options = dict(method="linearised", rows=48, budget=10**9)
    draws = [expectation_of(networks, 0, values, seed=s, **options) for s in range(400)]
    found = torch.stack([one.values for one in draws])
    spread = found.std(0).clamp_min(1e-9)
    assert ((found.mean(0) - exact.values).abs() / (spread / 20)).max() < 3.5
    own = torch.stack([one.stderr for one in draws]).square().mean(0) - exact.stderr.square()
    busy = spread > 0.3 * spread.max()
    assert ((own / spread.square())[busy] > 0.7).all() and ((own / spread.square())[busy] < 1.4).all()


def test_it_is_cheaper_than_rows_at_all_values():
    """For the price of 40 rows the error at 90 values is less than half of that at 11, where there are no knots."""
    net = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 1)).double().eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(2 * torch.randn_like(p))
    networks = admitted(net, InputDistribution.fit(draw(2000)), derivatives=True)
    errors, costs = [], []
    for count in (11, 90):
        values = torch.linspace(-2, 2, count)
        exact = expectation_of(networks, 0, values, method="monte_carlo", budget=10**9).values
        options = dict(method="linearised", rows=40, budget=10**9)
        draws = [expectation_of(networks, 0, values, seed=s, **options) for s in range(40)]
        errors.append(torch.stack([one.values - exact for one in draws]).square().mean().sqrt())
        costs.append(max(one.cost for one in draws) - 2000 * 3)
    assert errors[1] < errors[0] / 2 and costs[0] <= 40 * 11 and costs[1] <= 40 * 90


def test_results_do_not_depend_on_the_size_of_calls():
    net, inputs = NETS["tanh"], InputDistribution.fit(draw())
    options = dict(method="linearised", rows=48)
    one = interventional_expectation(net, inputs, 0, torch.linspace(-2, 2, 18), **options)
    other = interventional_expectation(net, inputs, 0, torch.linspace(-2, 2, 18), chunk_size=13, **options)
    assert torch.allclose(one.values, other.values, atol=1e-12) and torch.allclose(one.stderr, other.stderr, atol=1e-12)


def test_what_the_spline_misses_in_every_row_alike_is_put_back_in_full():
    """|α| for each row: all draws say the same, so the average is exact, though no spline has the kink."""
    exact = torch.linspace(-2, 2, 18, dtype=torch.float64)
    found = interventional_expectation(
        lambda x: x[:, :1].abs(), InputDistribution.fit(draw()), 0, exact, method="linearised", rows=48
    )
    assert torch.allclose(found.values[:, 0], exact.abs(), atol=1e-12)


def test_few_draws_leave_the_coefficient_at_1():
    """Fewer than eight draws in the other folds say nothing of it, however little the linear step explains."""
    y, h = torch.randn(2, 3, 9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(_coefficients(y, h, torch.ones(9).double()), torch.ones(9, 2).double())
    y, h = torch.randn(2, 3, 90, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert (_coefficients(y, h, torch.ones(90).double()) < 0.5).all()
