"""Domains of features: what they contain, their grids, and every way a user may name them."""

import math

import pytest
import torch

from acelib import FiniteSet, Interval
from acelib.inputs.domain import as_domain, as_domains

NAMES = ("a", "b")
LOW, HIGH = torch.tensor([0.0, -1.0]), torch.tensor([1.0, 3.0])


def test_chebyshev_grid_is_cosines_between_exact_ends():
    """Second-kind Chebyshev points: mid - half * cos(pi j / (n - 1)), written out with math.cos."""
    grid = Interval(-1.0, 3.0).grid(5, "chebyshev")
    expected = [1 - 2 * math.cos(math.pi * j / 4) for j in range(5)]
    assert torch.allclose(grid, torch.tensor(expected, dtype=torch.float64), atol=1e-15)
    assert grid[0] == -1.0 and grid[-1] == 3.0


def test_grids_of_constants_and_sets():
    assert Interval(2.0, 2.0).grid(10).tolist() == [2.0]
    assert Interval(0.0, 1.0).grid(1).tolist() == [0.5]
    assert FiniteSet((3.0, 1.0, 1.0)).grid().tolist() == [1.0, 3.0]
    assert FiniteSet((3.0, 1.0)).width == 2.0 and FiniteSet((3.0, 1.0)).high == 3.0


def test_outside_forgives_rounding_only():
    for dtype, eps in ((torch.float32, 1e-7), (torch.float64, 1e-15)):
        values = torch.tensor([0.1, 1.0 + eps, 1.001, -0.001], dtype=dtype)
        assert len(Interval(0.0, 1.0).outside(values)) == 2
        assert FiniteSet((0.1, 1.0)).outside(values).tolist() == values[2:].tolist()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, (Interval(0.0, 1.0), Interval(-1.0, 3.0))),
        ((0, 5), (Interval(0.0, 5.0), Interval(0.0, 5.0))),
        ({0, 1}, (FiniteSet((0.0, 1.0)), FiniteSet((0.0, 1.0)))),
        ({"b": (0, 2)}, (Interval(0.0, 1.0), Interval(0.0, 2.0))),
        ([(0, 1), {2, 3}], (Interval(0.0, 1.0), FiniteSet((2.0, 3.0)))),
        (((0, 1), (2, 3)), (Interval(0.0, 1.0), Interval(2.0, 3.0))),
        (Interval(0.0, 9.0), (Interval(0.0, 9.0),) * 2),
    ],
)
def test_every_way_to_say_a_domain(spec, expected):
    assert as_domains(spec, NAMES, LOW, HIGH) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"c": (0, 1)}, "domain must name features out of .*got ..c"),
        ([(0, 1)], "each of the 2 features"),
        ("wide", "domain must be"),
    ],
)
def test_bad_domains_say_what_is_wrong(spec, message):
    with pytest.raises(ValueError, match=message):
        as_domains(spec, NAMES, LOW, HIGH)


def test_bad_single_domains():
    with pytest.raises(ValueError, match="'a' must be a pair"):
        as_domain([0, 1], "a")
    with pytest.raises(ValueError, match="low <= high"):
        Interval(1.0, 0.0)
    with pytest.raises(ValueError, match="low <= high"):
        Interval(0.0, math.inf)
    with pytest.raises(ValueError, match="at least one number, all finite"):
        FiniteSet(())
    with pytest.raises(ValueError, match="'uniform' or 'chebyshev'"):
        Interval(0.0, 1.0).grid(3, "random")
