"""Judges of chapter 1: right answers from sums over paths and populations; each slip gets the reply that names it."""

import itertools

import numpy as np
import pytest

from acelib.lab.exercises import check

RIGHT = {
    "ex-ab-third": {"IG": 26, "ACE": -100},
    "ex-ab-baseline": {"a0": 5, "b0 cheap": 95, "b0 dear": 0, "one for both": "no"},
    "ex-ab-random": {"cheap": -55, "dear": -150, "over b too": -100},
    "ex-ab-interaction": "second",
    "ex-ab-bent": {"credit": lambda a, b, p: (a - 2) * (2 + (b - 2) / (1 + p)), "price first": 100, "area first": 2},
}
SLIPS = [
    ("ex-ab-third", {"IG": 50}, "at its end alone"),
    ("ex-ab-third", {"ACE": 150}, "from the baseline"),
    ("ex-ab-third", {"ACE": 100}, "sign"),
    ("ex-ab-baseline", {"a0": 2}, "where is the ace zero"),
    ("ex-ab-baseline", {"b0 cheap": 50}, "not yet that of the population"),
    ("ex-ab-baseline", {"b0 dear": 50}, "above that of the population"),
    ("ex-ab-baseline", {"b0 cheap": 97.3}, "close"),
    ("ex-ab-baseline", {"one for both": "yes"}, "condition on b0"),
    ("ex-ab-random", {"cheap": -10}, "all of the weight"),
    ("ex-ab-random", {"dear": -200}, "all of the weight"),
    ("ex-ab-random", {"dear": -100}, "it is the ace"),
    ("ex-ab-random", {"over b too": -52}, "mean of b"),
    ("ex-ab-bent", {"price first": 51}, "straight line"),
    ("ex-ab-bent", {"credit": lambda a, b, p: (a - 2) * (b + 2) / 2}, "right for 2 of 5"),
    ("ex-ab-bent", {"credit": lambda a, b, p: b}, "speed of the area"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_are_right(name):
    assert check(name, RIGHT[name])


@pytest.mark.parametrize("name, slip, said", SLIPS)
def test_a_slip_is_told_by_name_and_the_answer_is_not(name, slip, said):
    reply = check(name, RIGHT[name] | slip)
    assert not reply and reply.verdict == "nearly" and said in str(reply).lower()
    hidden = [str(RIGHT[name][part]) for part in slip if not callable(RIGHT[name][part])]
    assert not any(f" {value} " in f" {str(reply).replace('.', ' ')} " for value in hidden if len(value) > 2)


@pytest.mark.parametrize("box", ["first", "third"])
def test_a_box_without_interaction_is_refused(box):
    assert check("ex-ab-interaction", box).verdict == "wrong" and "spread" in str(check("ex-ab-interaction", box))


def test_the_averaged_credit_is_that_of_all_baselines():
    """The mean of path credits over a grid of baselines with the means of the population."""
    pairs = list(itertools.product(np.linspace(0, 10, 11), np.linspace(0, 100, 11)))
    credits = {b: np.mean([(3 - a0) * (b + b0) / 2 for a0, b0 in pairs]) for b in (5, 50, 100)}
    assert check("ex-ab-random", {"cheap": credits[5], "dear": credits[100], "over b too": credits[50]})


def test_a_sum_along_the_bent_path_is_accepted():
    def credit(a, b, p, steps=20_000):
        t = (np.arange(steps) + 0.5) / steps
        return (a - 2) * np.mean(2 + t**p * (b - 2))

    assert check("ex-ab-bent", RIGHT["ex-ab-bent"] | {"credit": credit})
