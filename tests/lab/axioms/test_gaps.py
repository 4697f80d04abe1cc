"""The axioms as functions, on functions whose gaps can be computed by hand; the search on a method that errs once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from acelib.lab.axioms import (
    AXIOMS,
    Method,
    completeness_gap,
    dummy_gap,
    implementation_gap,
    largest_gap,
    linear,
    search,
    sensitivity_gap,
    shift_gap,
    symmetry_gap,
)
from acelib.lab.networks import stream

ROWS = torch.tensor([[0.0, 0.0], [2.0, 4.0]], dtype=torch.float64)


def slopes(net, x, rows):
    point = x.clone().requires_grad_()
    return torch.autograd.grad(net(point)[:, 0].sum(), point)[0]


def product(x):
    return x[:, :1] * x[:, 1:]


def test_completeness_of_occlusion_on_a_product():
    """f = ab: each of a and b is credited with ab, so the sum exceeds f by ab: 8 at (2, 4), 0 at (0, 0)."""
    credit = lambda net, x, rows: net(x).expand(-1, 2)  # noqa: E731
    assert completeness_gap(credit, product, ROWS, ROWS) == 8
    assert completeness_gap(lambda net, x, rows: credit(net, x, rows) / 2 + 7, product, ROWS, ROWS) == 0
    with pytest.raises(ValueError, match="two inputs or more"):
        completeness_gap(credit, product, ROWS[:1], ROWS)


def test_sensitivity_starts_at_the_methods_own_baseline():
    """clip(x) to [0, 1]: a slope is silent from -1 to 2, where 1 is lost, and not from a baseline of 0.5."""
    clipped = lambda x: x.clamp(0, 1)[:, :1]  # noqa: E731
    start = torch.tensor([-1.0, 0.0])
    assert sensitivity_gap(slopes, clipped, start, 2.0, ROWS, 0) == 1
    assert sensitivity_gap(slopes, clipped, start, 0.5, ROWS, 0) == 0
    inside = Method(slopes, baseline=lambda rows: torch.tensor([0.5, 0.0]))
    assert sensitivity_gap(inside, clipped, start, 2.0, ROWS, 0) == 0
    numb = Method(slopes, tolerance=1.0)
    assert sensitivity_gap(numb, clipped, start, 0.5, ROWS, 0) == 0.5


def test_dummy_implementation_and_symmetry_on_slopes():
    """x₁ - x₁ + 3 x₂ as a layer: the slopes are 0 and 3; of the twin x₂ / 2 they are 0 and 0.5."""
    net = nn.Sequential(linear(torch.tensor([[0.0, 3.0]]), torch.zeros(1)))
    twin = nn.Sequential(linear(torch.tensor([[0.0, 0.5]]), torch.zeros(1)))
    assert dummy_gap(slopes, net, ROWS, ROWS, 0) == 0 and dummy_gap(slopes, net, ROWS, ROWS, 1) == 3
    assert implementation_gap(slopes, net, twin, ROWS, ROWS) == 2.5
    uneven = nn.Sequential(linear(torch.tensor([[1.0, 3.0]]), torch.zeros(1)))
    assert symmetry_gap(slopes, uneven, ROWS[:1], ROWS, (0, 1)) == 2
    with pytest.raises(ValueError, match="equal values"):
        symmetry_gap(slopes, net, ROWS, ROWS, (0, 1))


def test_a_shift_that_the_rows_do_not_follow():
    """x less the mean of the rows is free of a shift of both, and takes it on where the rows stay."""
    net = nn.Sequential(linear(torch.ones(1, 2), torch.zeros(1)))
    shift = torch.tensor([0.5, -3.0], dtype=torch.float64)
    from_mean = lambda net, x, rows: x - rows.mean(0)  # noqa: E731
    assert shift_gap(from_mean, net, ROWS, ROWS, shift) == 0
    assert shift_gap(from_mean, net, ROWS, ROWS, shift, rows_move=False) == 3
    assert shift_gap(slopes, net, ROWS, ROWS, shift, rows_move=False) == 0


def test_the_search_returns_the_first_and_counts_from_a_seed():
    """A method that errs where the first row is positive: the first such case, by a loop of our own."""
    errs = lambda net, x, rows: (rows[0, 0] > 1).double() * torch.ones_like(x)  # noqa: E731
    axiom = AXIOMS["dummy"]
    draw = axiom.kinds["unread"]
    for seed in (0, 3):
        first = next(n for n in range(50) if draw(stream(seed, n))["rows"][0, 0] > 1)
        found = search(errs, axiom.gap, draw, seed=seed)
        assert (found.number, found.gap) == (first, 1.0)
        assert search(errs, axiom.gap, draw, seed=seed, tries=first) is None
        assert largest_gap(errs, axiom.gap, draw, seed=seed, tries=first + 1) == 1.0
    assert search(errs, axiom.gap, draw, beyond=1.0) is None
