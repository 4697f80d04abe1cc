"""Judges of chapter 3 against the library, large samples and derivatives by machine; each slip gets its reply."""

import math

import pytest
import torch

from acelib import InputDistribution, half_trace, interventional_expectation
from acelib.lab.datasets import load_iris
from acelib.lab.exercises import check

RIGHT = {
    "ex-expect-fifth": {"expectation": 19.4, "mean of b": 3, "variance of b": 4.4},
    "ex-expect-rows": 2500,
    "ex-expect-same": {"same rows": 0.1, "rows anew": 0.292},
    "ex-expect-below": {"mean": 1.099, "standard deviation": 4, "at twice that": -2.25},
    "ex-expect-petal": {"flowers that leave": "fewer", "reason": "B"},
}
SLIPS = [
    ("ex-expect-fifth", {"expectation": 8.5}, "four rows"),
    ("ex-expect-fifth", {"expectation": 97 / 4}, "five rows"),
    ("ex-expect-fifth", {"expectation": 15}, "curvature"),
    ("ex-expect-fifth", {"expectation": 20.5}, "n - 1"),
    ("ex-expect-fifth", {"expectation": 21.4}, "row and column"),
    ("ex-expect-fifth", {"expectation": (1 + 15 + 6 + 6 + 70) / 5}, "its own a"),
    ("ex-expect-fifth", {"mean of b": 2}, "four rows"),
    ("ex-expect-fifth", {"variance of b": 5.5}, "one less"),
    ("ex-expect-fifth", {"variance of b": 4.4**0.5}, "standard deviation"),
    ("ex-expect-same", {"same rows": 0.05}, "how often does b"),
    ("ex-expect-same", {"same rows": (34 / 400) ** 0.5}, "share"),
    ("ex-expect-same", {"rows anew": (17 / 400) ** 0.5}, "one average"),
    ("ex-expect-same", {"rows anew": (68 / 400) ** 0.5}, "squares"),
    ("ex-expect-same", {"rows anew": 0.1}, "does not cancel"),
    ("ex-expect-below", {"mean": -math.log(3)}, "sign"),
    ("ex-expect-below", {"mean": 0.75}, "this is p"),
    ("ex-expect-below", {"standard deviation": 16}, "variance"),
    ("ex-expect-below", {"standard deviation": 8**0.5}, "one half"),
    ("ex-expect-below", {"at twice that": 3.25}, "exceeds 1"),
    ("ex-expect-below", {"at twice that": -3}, "alone"),
    ("ex-expect-below", {"at twice that": 0}, "double it"),
    ("ex-expect-petal", {"flowers that leave": "more"}, "support"),
    ("ex-expect-petal", {"reason": "A"}, "whole rows"),
    ("ex-expect-petal", {"reason": "C"}, "pairs"),
]
ROWS = [(10_000, "1"), (50, "root"), (625, "variance"), (1 / 12 / 0.01**2, "evenly"), (2499, "Close"), (2501, "Close")]


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_are_right(name):
    assert check(name, RIGHT[name])


@pytest.mark.parametrize("name, slip, said", SLIPS)
def test_a_slip_is_told_by_name(name, slip, said):
    reply = check(name, RIGHT[name] | slip)
    assert reply.verdict == "nearly" and said in str(reply).lower(), str(reply)


@pytest.mark.parametrize("rows, said", ROWS)
def test_slips_in_the_number_of_rows(rows, said):
    reply = check("ex-expect-rows", rows)
    assert reply.verdict == "nearly" and said in reply.hint


@pytest.mark.filterwarnings("ignore:the standard error says too little")
def test_the_library_finds_the_fifth_row():
    table = torch.tensor([[0, 1], [2, 3], [1, 2], [1, 2], [3, 7]], dtype=torch.float64)
    inputs = InputDistribution.fit(table, ["a", "b"])
    curve = interventional_expectation(lambda x: x[:, :1] * x[:, 1:] + x[:, 1:] ** 2, inputs, "a", [2.0])
    of_b = inputs.do("a", [2.0])
    variance = (of_b.factor @ of_b.factor.T)[1, 1]
    answer = {"expectation": curve.values[0, 0], "mean of b": of_b.means[0, 1], "variance of b": variance}
    assert check("ex-expect-fifth", answer)


def test_the_irises_leave_less_often_when_both_petals_are_set():
    iris = load_iris()
    flowers = InputDistribution.fit(iris.X, iris.feature_names)
    versicolor = iris.X[iris.y == 1].mean(0)
    together = flowers.do(tuple(iris.feature_names[2:]), versicolor[None, 2:]).support()
    alone = flowers.do(iris.feature_names[2], versicolor[2:3]).support()
    assert check("ex-expect-petal", {"flowers that leave": "fewer" if together < alone else "more", "reason": "B"})


def test_millions_of_differences_have_these_errors():
    """Each draw of 400 rows replaced by its averages of b and c, which are normal with standard deviation 1/20."""
    generator = torch.Generator().manual_seed(0)
    b, c, other_b, other_c = torch.randn(4, 4_000_000, generator=generator, dtype=torch.float64) / 20
    high = 3 + b + 4 * c
    answer = {"same rows": (high - (-3 - b + 4 * c)).std(), "rows anew": (high - (-3 - other_b + 4 * other_c)).std()}
    assert check("ex-expect-same", answer)


def test_the_formula_of_the_library_turns_negative_there():
    means = torch.linspace(-6, 6, 12_001, dtype=torch.float64)[:, None]

    def least(spread):
        factor = torch.full((len(means), 1, 1), spread, dtype=torch.float64)
        return (torch.sigmoid(means) + half_trace(torch.sigmoid, means, factor))[:, 0].min(0)

    assert least(3.99).values > 0 > least(4.01).values
    lowest = means[least(4.01).indices, 0]
    factor = torch.tensor([[[8.0]]], dtype=torch.float64)
    at = torch.log(torch.tensor([[3.0]], dtype=torch.float64))
    twice = (torch.sigmoid(at) + half_trace(torch.sigmoid, at, factor)).item()
    assert abs(lowest - math.log(3)) < 0.02
    assert check("ex-expect-below", {"mean": at.item(), "standard deviation": 4.0, "at twice that": twice})
