"""The judges of chapter 6 against counts by hand, the binomial and a grid of p; each slip gets its own hint."""

import numpy as np
import pytest
from scipy.stats import beta

from acelib.lab.exercises import check

ALL = {"imputation": 0.25, "effect": 0.25}
ZERO = {"one-sided": 1e7 * beta.ppf(0.95, 1, 1e7), "two-sided": 1e7 * beta.ppf(0.975, 1, 1e7)}
CONTRADICT = {"any": 0.5, "all": 0.5, "first": 0, "majority": 0}


def formula(slope):
    """The second-order formula of a sigmoid, by differences, over a grid of p."""
    p = np.linspace(0.05, 0.95, 9001)
    place, step = np.log(p / (1 - p)) / slope, 1e-4
    ahead, back = (1 / (1 + np.exp(-slope * (place + sign * step))) for sign in (1, -1))
    return p, p + 0.04 / 2 * (ahead + back - 2 * p) / step**2


def test_the_right_answers_pass():
    for name, answer in (("all", ALL), ("zero", ZERO), ("contradict", CONTRADICT)):
        assert check(f"ex-gru-{name}", answer)
    slopes = np.arange(19.5, 20.5, 0.05)
    first = next(k for k in slopes if formula(k)[1].max() > 1)
    p, values = formula(first)
    assert check("ex-gru-spike", {"slope": first, "p": p[values.argmax()]})


SPIKE = {"slope": 20, "p": 0.25}


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        ("ex-gru-all", ALL | {"imputation": 0.5}, "one of the two kinds"),
        ("ex-gru-all", ALL | {"effect": 0.5}, "the mean of the two"),
        ("ex-gru-all", ALL | {"effect": 0}, "in how many is the answer yes"),
        ("ex-gru-zero", ZERO | {"one-sided": np.log(40)}, "all of the 5 %"),
        ("ex-gru-zero", ZERO | {"one-sided": 0.05}, "That is the chance"),
        ("ex-gru-zero", ZERO | {"two-sided": 3}, "one half lies below"),
        ("ex-gru-zero", ZERO | {"two-sided": 1.96}, "normal distribution"),
        ("ex-gru-contradict", CONTRADICT | {"any": 0.25}, "any: nearly. A coin agrees"),
        ("ex-gru-contradict", CONTRADICT | {"all": 0.25}, "all: nearly. A coin agrees"),
        ("ex-gru-contradict", CONTRADICT | {"first": 0.5}, "hear the third"),
        ("ex-gru-contradict", CONTRADICT | {"majority": 0.5}, "How many signs agree"),
        ("ex-gru-spike", SPIKE | {"slope": 200**0.5}, "factor of ½"),
        ("ex-gru-spike", SPIKE | {"slope": 80**0.5}, "the variance already"),
        ("ex-gru-spike", SPIKE | {"slope": 400}, "the square"),
        ("ex-gru-spike", SPIKE | {"p": 0.2113}, "There the bend is largest"),
        ("ex-gru-spike", SPIKE | {"p": 0.5}, "the bend is zero"),
        ("ex-gru-spike", SPIKE | {"p": 0.2}, "the section's example"),
    ],
)
def test_a_slip_is_named(name, answer, says):
    reply = check(name, answer)
    assert reply.verdict == "nearly" and says in reply.hint


def test_the_rule_of_three_may_be_rounded():
    assert check("ex-gru-zero", {"one-sided": 3, "two-sided": 3.69})
