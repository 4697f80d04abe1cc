"""Chapter 13's judges: against the library on the score and on two coins, and each known slip gets its hint."""

from math import tanh

import numpy as np
import pytest
import torch

from acelib.intrinsic import FiniteNoise, LinearModel, StructuralModel, intrinsic_contributions
from acelib.lab.exercises import check
from acelib.lab.exercises.chapters.three_methods import shares_with
from acelib.lab.exercises.replies import NEARLY, WRONG

CUT = ["source total", "source own", "messenger own"]
TURN = {"messenger": 4, "source": 0}
CONSTANT = {"change": -3 * tanh(2), "called": "necessary", "shares differ by": 0}
SUM = {"left over": 1 / 6, "a": 0.75, "b": 0.25}


def score_of(graph, arrows, scales, *reads):
    """Own contributions of a linear world's notes to the score."""
    line = LinearModel(graph, arrows, scales=scales)
    weights = torch.tensor(reads, dtype=torch.float64)
    return dict(zip(line.nodes, line.contributions(weights).tolist(), strict=True))


def test_answers_worked_out_by_hand_are_right():
    assert check("ex-three-cut", CUT)
    assert check("ex-three-turn", TURN)
    assert check("ex-three-constant", CONSTANT)
    assert check("ex-three-sum", SUM)


@pytest.mark.parametrize("fed", [0.0, 0.5, 0.9])
def test_the_shares_of_the_score_are_those_of_a_linear_model(fed):
    """Against ``LinearModel`` for the own ones, and its inverse for the total ones."""
    graph, arrows = {"s": [], "m": ["s"], "w": []}, {"m": {"s": fed}}
    own = score_of(graph, arrows, {"m": (1 - fed**2) ** 0.5}, 0.0, 2.0, 1.0)
    matrix = LinearModel(graph, arrows).matrix
    total = torch.tensor([0.0, 2.0, 1.0], dtype=torch.float64) @ torch.linalg.inv(torch.eye(3).double() - matrix)
    mine = shares_with(fed)
    notes = ("source", "messenger", "witness")
    assert [mine[f"{note} own"] for note in notes] == pytest.approx(list(own.values()), abs=1e-12)
    assert [mine[f"{note} total"] for note in notes] == pytest.approx((total**2).tolist(), abs=1e-12)
    assert [mine[f"{note} direct"] for note in notes] == [0, 4, 1]


def test_the_library_answers_for_the_turned_arrow():
    owned = score_of({"m": [], "s": ["m"], "w": []}, {"s": {"m": 0.9}}, {"s": 0.19**0.5}, 2.0, 0.0, 1.0)
    assert check("ex-three-turn", {"messenger": owned["m"], "source": owned["s"]})


def test_the_library_answers_for_the_coins():
    """Against all four states of two coins."""
    pair = StructuralModel({"a": [], "b": []}, noise=FiniteNoise(np.array([-1.0, 1.0])))
    first, shapley = (
        intrinsic_contributions(pair, lambda z: 2 * z[:, :1] + z[:, 1:] + z[:, :1] * z[:, 1:], context=c).shares
        for c in ("first", "shapley")
    )
    assert check("ex-three-sum", {"left over": 1 - first.sum(), "a": shapley[0], "b": shapley[1]})


def test_slips_with_the_cut_arrow():
    assert check("ex-three-cut", CUT[:2]).hint == "1 missing."
    assert check("ex-three-cut", [*CUT, "messenger total"]).hint == "1 too many."
    none = check("ex-three-cut", ["messenger direct", "witness own"])
    assert none.verdict == WRONG and "passed on" in none.hint


@pytest.mark.parametrize(
    ("name", "right", "part", "slip", "said"),
    [
        ("ex-three-turn", TURN, "messenger", 0.76, "Who causes whom"),
        ("ex-three-turn", TURN, "messenger", 3.24, "was the source's"),
        ("ex-three-turn", TURN, "messenger", 0.8, "a share"),
        ("ex-three-turn", TURN, "messenger", 2, "slope"),
        ("ex-three-turn", TURN, "source", 3.24, "Who causes whom"),
        ("ex-three-turn", TURN, "source", 0.76, "Who reads"),
        ("ex-three-constant", CONSTANT, "change", 0, "stays lowered"),
        ("ex-three-constant", CONSTANT, "change", 3 * tanh(2), "sign"),
        ("ex-three-constant", CONSTANT, "change", -3, "tanh"),
        ("ex-three-constant", CONSTANT, "change", -tanh(2), "weight"),
        ("ex-three-constant", CONSTANT, "called", "noisy", "lowers"),
        ("ex-three-constant", CONSTANT, "called", "neutral", "no spread"),
        ("ex-three-constant", CONSTANT, "shares differ by", 3 * tanh(2), "what the cut costs"),
        ("ex-three-sum", SUM, "left over", 1, "divide"),
        ("ex-three-sum", SUM, "left over", 5 / 6, "leave over"),
        ("ex-three-sum", SUM, "left over", 0.25, "squared"),
        ("ex-three-sum", SUM, "a", 4 / 6, "context first"),
        ("ex-three-sum", SUM, "a", 5 / 6, "context total"),
        ("ex-three-sum", SUM, "a", 4.5, "divide"),
        ("ex-three-sum", SUM, "b", 1 / 6, "context first"),
        ("ex-three-sum", SUM, "b", 2 / 6, "context total"),
        ("ex-three-sum", SUM, "b", 1.5, "divide"),
    ],
)
def test_slips(name, right, part, slip, said):
    reply = check(name, right | {part: slip})
    assert reply.verdict == NEARLY and said.lower() in reply.hint.lower()
