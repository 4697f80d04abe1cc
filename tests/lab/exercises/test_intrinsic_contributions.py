"""Chapter 11's judges: against the library on linear models and coins, and each known slip gets its hint."""

from math import log

import numpy as np
import pytest
import torch

from acelib.intrinsic import FiniteNoise, LinearModel, StructuralModel, intrinsic_contributions
from acelib.lab.exercises import check
from acelib.lab.exercises.replies import NEARLY

CANCEL = {"direct": -6, "total": 0, "intrinsic": 0}
COINS = {"first": 0, "total": 1, "Shapley": 0.5}
REVERSED = {"Y": 45, "X": 0, "Z": 1}
H = -0.25 * log(0.25) - 0.75 * log(0.75)
DOOR = {"first": H - log(2) / 2, "total": log(2) / 2, "Shapley": H / 2}
TOSSED = StructuralModel({"A": [], "B": []}, noise=FiniteNoise(np.array([-1.0, 1.0])))


def product(z):
    return z[:, :1] * z[:, 1:]


def door(z):
    return torch.cat([0 * z[:, :1], z[:, :1] + z[:, 1:] - 1], dim=1)


def of_a(target, **options):
    contexts = ("first", "total", "Shapley")
    return {c: intrinsic_contributions(TOSSED, target, context=c.lower(), **options)["A"] for c in contexts}


def test_answers_worked_out_by_hand_are_right():
    assert check("ex-icc-cancel", CANCEL)
    assert check("ex-icc-coins", COINS)
    assert check("ex-icc-reversed", REVERSED)
    assert check("ex-icc-door", DOOR)


def test_the_library_answers_all_four():
    """Against closed forms of linear models, and all states of two coins."""
    crossed = LinearModel({"X": [], "Y": ["X"], "Z": ["X", "Y"]}, {"Y": {"X": 2.0}, "Z": {"X": -6.0, "Y": 3.0}})
    assert check("ex-icc-cancel", CANCEL | {"intrinsic": crossed.contributions("Z")[0]})
    turned = LinearModel(
        {"Y": [], "X": ["Y"], "Z": ["Y"]}, {"X": {"Y": 0.4}, "Z": {"Y": 3.0}}, scales={"Y": 5**0.5, "X": 0.2**0.5}
    )
    assert check("ex-icc-reversed", dict(zip(turned.nodes, turned.contributions("Z"), strict=True)))
    assert check("ex-icc-coins", of_a(product))
    assert check("ex-icc-door", of_a(door, measure="entropy", categorical="argmax"))


@pytest.mark.parametrize(
    ("name", "right", "part", "slip", "said"),
    [
        ("ex-icc-cancel", CANCEL, "direct", 0, "holds it"),
        ("ex-icc-cancel", CANCEL, "direct", 6, "runs through Y"),
        ("ex-icc-cancel", CANCEL, "total", -6, "Y reacts"),
        ("ex-icc-cancel", CANCEL, "total", 6, "second path"),
        ("ex-icc-cancel", CANCEL, "total", 12, "sign"),
        ("ex-icc-cancel", CANCEL, "intrinsic", 36, "square then"),
        ("ex-icc-cancel", CANCEL, "intrinsic", 72, "before you square"),
        ("ex-icc-coins", COINS, "first", 1, "seen A only"),
        ("ex-icc-coins", COINS, "first", 0.5, "no average"),
        ("ex-icc-coins", COINS, "total", 0, "known already"),
        ("ex-icc-coins", COINS, "Shapley", 1, "two orders"),
        ("ex-icc-coins", COINS, "Shapley", 0, "two orders"),
        ("ex-icc-reversed", REVERSED, "Y", 9, "true order"),
        ("ex-icc-reversed", REVERSED, "Y", 5, "on the way to Z"),
        ("ex-icc-reversed", REVERSED, "Y", 15, "square"),
        ("ex-icc-reversed", REVERSED, "Y", 36, "whim of its own"),
        ("ex-icc-reversed", REVERSED, "X", 36, "once Y is known"),
        ("ex-icc-reversed", REVERSED, "X", 9, "listens to Y"),
        ("ex-icc-reversed", REVERSED, "Z", 0, "still there"),
        ("ex-icc-door", DOOR, "first", 0.3113, "bits"),
        ("ex-icc-door", DOOR, "first", H, "before anything"),
        ("ex-icc-door", DOOR, "first", log(2) / 2, "the drop"),
        ("ex-icc-door", DOOR, "first", H - log(2) / 4, "odds of A"),
        ("ex-icc-door", DOOR, "total", 0.5, "bits"),
        ("ex-icc-door", DOOR, "total", log(2), "shows tails"),
        ("ex-icc-door", DOOR, "total", H - log(2) / 2, "tells alone"),
        ("ex-icc-door", DOOR, "Shapley", H, "share it"),
        ("ex-icc-door", DOOR, "Shapley", H / 2 / log(2), "bits"),
    ],
)
def test_slips(name, right, part, slip, said):
    reply = check(name, right | {part: slip})
    assert reply.verdict == NEARLY and said in reply.hint
