"""Networks rewritten: the same function by direct evaluation at random inputs, and the formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from acelib.lab.axioms import (
    AXIOMS,
    added,
    clamp_twins,
    compensated,
    draw_decimals,
    exchangeable,
    formula,
    linear,
    mirrored,
    perceptron,
    rewritten,
    with_detour,
)

SEEDS = range(20)


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("seed", SEEDS)
def test_rewritten_and_compensated_compute_the_same(seed):
    net, x = perceptron(torch.Generator().manual_seed(seed)), 3 * numbers(seed, 50, 3)
    twin = rewritten(net, torch.eye(5) + 0.1 * numbers(seed, 5, 5))
    assert len(twin) == 4 and twin[0].out_features == 5
    torch.testing.assert_close(twin(x), net(x), rtol=0, atol=1e-12)
    shift = numbers(seed + 100, 3)
    torch.testing.assert_close(compensated(net, shift)(x + shift), net(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_clamp_twins_are_the_formula(seed):
    """Both are scale · max(0, u - max(0, v)), computed here from u and v."""
    weights, biases, x = numbers(seed, 2, 3), numbers(seed + 1, 2), numbers(seed + 2, 200, 3)
    u, v = (x @ weights.T + biases).T
    by_hand = 1.5 * (u - v.clamp(min=0)).clamp(min=0)
    for net in clamp_twins(weights, biases, 1.5):
        torch.testing.assert_close(net(x)[:, 0], by_hand, rtol=0, atol=1e-12)
    both = added(list(clamp_twins(weights, biases, 1.5)), [1.0, -2.0])
    torch.testing.assert_close(both(x)[:, 0], -by_hand, rtol=0, atol=1e-12)


def test_the_detour_cancels_and_bends_the_derivative_on_its_kink():
    """The value is 2 tanh(0.5 x₃ + 0.3); on u = 0 PyTorch's slope for x₁ is -1 times that of tanh, elsewhere 0."""
    net = with_detour(0.5, 0.3, 2.0, 0.75)
    x = torch.cat([numbers(0, 100, 3), torch.ones(1, 3, dtype=torch.float64)]).requires_grad_()
    torch.testing.assert_close(net(x)[:, 0], 2 * (0.5 * x[:, 2] + 0.3).tanh(), rtol=0, atol=1e-12)
    slope = torch.autograd.grad(net(x).sum(), x)[0][:, 0]
    assert slope[:-1].abs().max() < 1e-12
    assert slope[-1].item() == pytest.approx(-2 * (1 - math.tanh(0.8) ** 2), abs=1e-12)


def test_populations():
    rows = draw_decimals(30, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal((100 * rows).round() / 100, rows) and rows.abs().max() <= 2
    odd, even = mirrored(rows, 1), exchangeable(rows, (0, 2))
    assert abs(odd[:, 1].sum()) < 1e-12 and torch.equal(odd[30:, [0, 2]], rows[:, [0, 2]])
    assert torch.equal(even[:, 0].sort().values, even[:, 2].sort().values)
    assert torch.equal(even[30:], rows[:, [2, 1, 0]])


@pytest.mark.parametrize("seed", SEEDS)
def test_kinds_draw_what_they_say(seed):
    """Twins are equal, dummies change nothing, pairs change places, rising functions rise: at the rows themselves."""

    def draw(axiom, kind):
        return AXIOMS[axiom].kinds[kind](torch.Generator().manual_seed(seed))

    def close(one, other):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)

    for kind in AXIOMS["implementation"].kinds:
        case = draw("implementation", kind)
        close(case["net"](case["rows"]), case["twin"](case["rows"]))
    for kind in AXIOMS["dummy"].kinds:
        case = draw("dummy", kind)
        moved = case["rows"].clone()
        moved[:, case["feature"]] += 0.37
        close(case["net"](case["rows"]), case["net"](moved))
    for kind in AXIOMS["symmetry"].kinds:
        case = draw("symmetry", kind)
        close(case["net"](case["rows"]), case["net"](case["rows"][:, [1, 0, 2]]))
    rising = draw("sensitivity", "monotone")
    higher = rising["rows"] + torch.tensor([0.1, 0.0, 0.0])
    assert (rising["net"](higher) > rising["net"](rising["rows"])).all()
    odd = draw("sensitivity", "cancelling")
    close(odd["net"](odd["rows"]), -odd["net"](odd["rows"] * torch.tensor([1.0, -1.0])))
    twice = draw("completeness", "without biases")
    close(2 * twice["net"](twice["rows"]), twice["net"](2 * twice["rows"]))


def test_formula():
    net = with_detour(0.5, 0.3, 2.0, 1.0)
    assert formula(net[:1]) == "x₁ − x₂" and formula(nn.Sequential()) == "x₁"
    hidden = nn.Sequential(linear(torch.tensor([[-1.0, 0.004]]), torch.tensor([-0.25])), nn.Tanh())
    assert formula(hidden) == "tanh(−x₁ − 0.25)"
    twice = nn.Sequential(hidden[0], linear(torch.tensor([[-2.0]]), torch.zeros(1)))
    assert formula(twice) == "−2 (−x₁ − 0.25)"
    with pytest.raises(TypeError, match="Sigmoid"):
        formula(nn.Sequential(nn.Sigmoid()))
