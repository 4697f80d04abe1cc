"""Networks followed through their first layers: exact where the rest is linear, and where nothing is reached."""

import pytest
import torch
from torch import nn

from acelib import InputDistribution
from acelib.expectation import question
from acelib.expectation.estimate import expectation_of
from acelib.expectation.expansion import Expansion
from acelib.expectation.followed import Followed
from acelib.expectation.layers import cuts
from acelib.expectation.networks import admitted
from acelib.expectation.pilot import Pilot, Way, pilot
from acelib.expectation.plan import Plan

SHAPE = (2, 9, 8)


def images(n=40, seed=0):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolutional(seed=0, *, linear=True, gain=1.0):
    """A convolution, a bend and a pool; behind them a linear layer, or further ones that bend."""
    torch.manual_seed(seed)
    maps = [nn.Conv2d(2, 3, 3, padding=1), nn.GELU(), nn.MaxPool2d(2)]
    rest = (
        [nn.Flatten(), nn.Linear(48, 3)] if linear else [nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)]
    )
    net = nn.Sequential(*maps, *rest).double().eval()
    with torch.no_grad():
        for p in net.parameters():
            p *= gain
    return net


def literal(net, rows, columns, values):
    """The network on every row with the columns set, ``(outputs, m, b)``."""
    found = []
    for value in values:
        flat = rows.flatten(1).clone()
        flat[:, list(columns)] = value.to(flat)
        found.append(net(flat.reshape(rows.shape)).detach())
    return torch.stack(found).permute(2, 0, 1)


@pytest.mark.parametrize("columns", [(0,), (71,), (143,), (30, 39), (5, 77, 100)])
def test_it_is_exact_where_the_rest_is_linear(columns):
    """Single pixels at corners and inside, two pixels, and pixels of both channels; a list of two networks."""
    nets, rows = [convolutional(0), convolutional(1)], images()
    values = torch.linspace(-1, 2, 5, dtype=torch.float64)[:, None].repeat(1, len(columns))
    around = Followed.build([cuts(net)[0] for net in nets], rows, range(3), 7)
    found = around.moved(columns, values)
    for s, net in enumerate(nets):
        assert torch.allclose(found[s], literal(net, rows, columns, values), atol=1e-12)
    assert around.cost == 2 * len(rows) * (1 + 2 * 3)


def test_a_part_of_the_outputs_and_float32():
    net, rows = convolutional().float(), images().float()
    values = torch.tensor([[0.2], [0.9]])
    found = Followed.build([cuts(net)[0]], rows, [2], 4096).moved((20,), values)
    assert found.dtype == torch.float32
    assert torch.allclose(found[0], literal(net, rows, (20,), values)[2:], atol=1e-5)


def test_a_pixel_that_reaches_nothing_moves_nothing():
    net = nn.Sequential(nn.Conv2d(2, 1, 2, stride=3), nn.Tanh(), nn.Flatten(), nn.Linear(9, 1)).double().eval()
    around = Followed.build([cuts(net)[0]], images(), [0], 4096)
    assert torch.equal(
        around.moved((2,), torch.tensor([[0.0], [9.0]]))[0, 0, 0],
        around.moved((2,), torch.tensor([[0.0], [9.0]]))[0, 0, 1],
    )


@pytest.mark.parametrize("link", [None, "softmax"])
@pytest.mark.parametrize("count", [4, 20])
def test_it_is_unbiased_with_a_further_level(link, count, monkeypatch):
    """Over 300 draws the mean differs from the row average by less than 3.5 standard errors, at few and many values."""
    inputs, net = InputDistribution.fit(images(300), domain=(0.0, 1.0)), convolutional(3, linear=False, gain=2.5)
    way = Way((cuts(net)[0],), 0.1, 1.0, 0.04)
    monkeypatch.setattr(question, "trial_of", lambda *_: Pilot(1.0, 1.0, (Way((), 1.0, 0.0, 1.0), way)))
    networks, values = admitted(net, inputs, derivatives=True, link=link), torch.linspace(0, 1, count)
    options = dict(budget=10**9)
    exact = expectation_of(networks, 30, values, method="monte_carlo", **options)
    draws = [expectation_of(networks, 30, values, method="linearised", rows=40, seed=s, **options) for s in range(300)]
    assert networks.expansions[0].kept["followed"][1].cuts == way.cuts
    found = torch.stack([one.values for one in draws])
    z = (found.mean(0) - exact.values) / (found.std(0) / len(found) ** 0.5)
    assert z.abs().max() < 3.5
    stated = torch.stack([one.stderr for one in draws]).square().mean(0)
    assert ((stated / (exact.stderr.square() + found.var(0)) - 1).abs() < 0.1).all()


def test_a_trial_cuts_a_network_whose_rest_is_nearly_linear():
    """And says that following its first layers is cheap, and that nothing is left to correct behind them."""
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.GELU(), nn.MaxPool2d(2), nn.Conv2d(4, 64, 3), nn.Flatten(), nn.Linear(64, 3)
    )
    with torch.no_grad():
        net[0].weight *= 20
    rows, net = images(200), net.double().eval()
    local = InputDistribution.fit(rows).do(0, [0.0]).local()
    networks = admitted(net, InputDistribution.fit(rows), derivatives=True)
    found = pilot(networks.bare, local, range(3), None, 0, 4096)
    assert found.best.cuts and found.best.price < 0.5 and found.best.rest < 1e-20 < found.ways[0].rest


@pytest.mark.parametrize("count", [4, 20])
def test_the_levels_together_cost_the_price(count):
    """Rows at all values, at the knots and followed are worth 40 rows at all values, or a little less."""
    net, inputs = convolutional(3, linear=False), InputDistribution.fit(images(300), domain=(0.0, 1.0))
    local, values = inputs.do(0, [0.0]).local(), torch.linspace(0, 1, count)[:, None]
    networks = admitted(net, inputs, derivatives=True)
    expansion = Expansion.build(networks.bare, local, range(3), link=None, seed=0, chunk=4096)
    way = Way((cuts(net)[0],), 0.1, 1.0, 0.04)
    plan = Plan.of(expansion, values, 40, Pilot(1.0, 1.0, (Way((), 1.0, 0.0, 1.0), way)))
    each = count if plan.knots is None else len(plan.knots.places)
    price = plan.whole * count + plan.short * each + plan.far * plan.price * each
    assert plan.far and 0.95 * 40 * count < price <= 40 * count
