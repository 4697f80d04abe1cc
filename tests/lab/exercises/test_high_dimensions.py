"""The judges of chapter 8 against full tables, torch's own second derivatives, grids and drawn rows."""

import numpy as np
import pytest
import torch

from acelib.lab.exercises import check

H = np.array([[2.0, 1, 0], [1, 0, 1], [0, 1, 4]])
FIRST = np.array([1, 1, 0]) * np.cos(np.pi / 6) + np.array([0, 1, 1]) * np.sin(np.pi / 6)
ROOT = {"first": FIRST @ H @ FIRST, "sum": (H * [[1, 1, 0], [1, 2, 1], [0, 1, 1]]).sum()}
STEP = {"float32": 0.0412, "float64": 2.7e-4}
ROWS = {"independent": 1.961, "without replacement": 2.05}


def bend(u, t, h):
    """The summed second derivative of sin(u + ε t + ε² h / 2 …) along every direction, by torch's own derivatives."""
    zero = torch.zeros((), dtype=torch.float64)
    share = h / len(t)  # each direction carries its part of the summed bend

    def along(direction, j):
        return torch.autograd.functional.hessian(lambda e: torch.sin(u + e * direction + e**2 / 2 * share)[j], zero)

    return torch.stack([sum(along(direction, j) for direction in t) for j in range(len(u))])


def best_step(unit):
    steps = np.logspace(-5, 0, 50_001)
    return steps[np.argmin(steps**2 / 12 + 4 * unit / steps**2)]


def spread(number, replace):
    """The standard deviation of a mean of some of 1797 rows, over many draws."""
    draw, rows = np.random.default_rng(0), np.arange(1797.0)
    return np.std([draw.choice(rows, number, replace=replace).mean() for _ in range(4000)])


def test_the_right_answers_pass():
    assert check("ex-scale-root", ROOT)
    assert check("ex-scale-sine", bend)
    assert check("ex-scale-step", {"float32": best_step(6e-8), "float64": best_step(1.1e-16)})
    assert check("ex-scale-rows", ROWS)


@pytest.mark.parametrize(("replace", "name"), [(True, "independent"), (False, "without replacement")])
def test_drawn_rows_fall_as_the_formula_says(replace, name):
    assert abs(spread(52, replace) / spread(200, replace) - ROWS[name]) < 0.045


def test_the_units_of_rounding_are_those_of_the_formats():
    """The rounding units of torch, half an epsilon each, give the same steps within the tolerance."""
    steps = {
        name: best_step(torch.finfo(dtype).eps / 2)
        for name, dtype in (("float32", torch.float32), ("float64", torch.float64))
    }
    assert check("ex-scale-step", steps)


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        ("ex-scale-root", ROOT | {"first": 4}, "before the turn"),
        ("ex-scale-root", ROOT | {"first": 4.5 - 3**0.5}, "turned the other way"),
        ("ex-scale-root", ROOT | {"first": 5.5 - 3**0.5}, "second of the two"),
        ("ex-scale-root", ROOT | {"first": 4.5}, "a term with both columns"),
        ("ex-scale-root", ROOT | {"sum": 20}, "QQᵀ is the identity"),
        ("ex-scale-sine", lambda u, t, h: -torch.sin(u) * t.square().sum(0), "passes on too"),
        ("ex-scale-sine", lambda u, t, h: torch.cos(u) * h, "where are the slopes"),
        ("ex-scale-sine", lambda u, t, h: torch.cos(u) * h + torch.sin(u) * t.square().sum(0), "the sign of φ"),
        ("ex-scale-sine", lambda u, t, h: bend(u, t, h) / 2, "The half comes once"),
        ("ex-scale-sine", lambda u, t, h: torch.cos(u) * h - torch.sin(u) * t.sum(0) ** 2, "Square each slope"),
        ("ex-scale-step", STEP | {"float32": 48**0.5 * 6e-8**0.5}, "square of the step"),
        ("ex-scale-step", STEP | {"float32": 6e-8**0.5}, "first derivative"),
        ("ex-scale-step", STEP | {"float64": 1.1e-16**0.25}, "The power is right"),
        ("ex-scale-step", STEP | {"float64": 2 * (1.1e-16 / 3) ** 0.5}, "float64: nearly. That is the error"),
        ("ex-scale-step", STEP | {"float32": 24.3}, "one over the step"),
        ("ex-scale-step", STEP | {"float32": 0.06}, "Close"),
        ("ex-scale-step", STEP | {"float32": -0.04}, "above zero"),
        ("ex-scale-rows", ROWS | {"independent": 200 / 52}, "how the variance falls"),
        ("ex-scale-rows", ROWS | {"independent": 2.05}, "That is without replacement"),
        ("ex-scale-rows", ROWS | {"without replacement": 1.961}, "for independent draws"),
        ("ex-scale-rows", ROWS | {"without replacement": 4.2026}, "how the variance falls"),
    ],
)
def test_a_slip_is_named(name, answer, says):
    reply = check(name, answer)
    assert reply.verdict == "nearly" and says in reply.hint


def test_signs_of_the_sine_the_wrong_way_round_are_wrong():
    reply = check("ex-scale-sine", lambda u, t, h: torch.sin(u) * h - torch.cos(u) * t.square().sum(0))
    assert reply.verdict == "wrong" and "each at u" in reply.hint
