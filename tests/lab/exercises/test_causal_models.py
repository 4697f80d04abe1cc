"""Judges of chapter 2 against the library: enumerated days, d-separation, counted arrows, total effects, loops run."""

import pytest

from acelib.intrinsic import CausalGraph, LinearModel
from acelib.lab.exercises import check

SIZES = {"first gone": (1, 3, 3, 1), "second gone": (1, 3, 4, 1), "both gone": (1, 3, 1)}
RIGHT = {
    "ex-scm-useless": {"seeing": 1 / 4, "setting": 0.0},
    "ex-scm-m": {"nothing known": True, "Z": False, "Z and A": True},
    "ex-scm-order": {"first gone": 15, "second gone": 19, "both gone": 6, "with noise": "no"},
    "ex-scm-paths": {"direct": 1, "total": 0.5},
    "ex-scm-loop": {"settles": lambda a, b: abs(a) * abs(b) < 1, "runs away": (-3, 1)},
}
SLIPS = [
    ("ex-scm-useless", {"seeing": 3 / 8}, "kiosk of the chapter"),
    ("ex-scm-useless", {"seeing": 0}, "say nothing about the sun"),
    ("ex-scm-useless", {"setting": 1 / 8}, "kiosk of the chapter"),
    ("ex-scm-useless", {"setting": 1 / 4}, "what one sees"),
    ("ex-scm-m", {"nothing known": False}, "while it is unknown"),
    ("ex-scm-m", {"Z": True}, "once it is known"),
    ("ex-scm-m", {"Z and A": False}, "a known a"),
    ("ex-scm-order", {"first gone": 12}, "from u"),
    ("ex-scm-order", {"both gone": 30}, "whole network"),
    ("ex-scm-order", {"second gone": 18}, "multiply sizes"),
    ("ex-scm-order", {"with noise": "yes"}, "same noise"),
    ("ex-scm-paths", {"direct": 0.5}, "total effect"),
    ("ex-scm-paths", {"total": 1}, "direct effect"),
    ("ex-scm-paths", {"total": 1.5}, "the longest"),
    ("ex-scm-paths", {"total": 0}, "straight to y"),
    ("ex-scm-paths", {"total": 2.5}, "sign"),
    ("ex-scm-paths", {"total": -0.5}, "product"),
    ("ex-scm-loop", {"settles": lambda a, b: a * b != 1}, "right for"),
    ("ex-scm-loop", {"settles": lambda a, b: a * b < 1}, "right for"),
    ("ex-scm-loop", {"settles": lambda a, b: abs(a) < 1 and abs(b) < 1}, "right for"),
    ("ex-scm-loop", {"runs away": (1, 1)}, "parallel"),
    ("ex-scm-loop", {"runs away": (1, -1)}, "keeps its distance"),
    ("ex-scm-loop", {"runs away": (0.5, 1)}, "comes to rest"),
    ("ex-scm-loop", {"runs away": 2}, "pair"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_are_right(name):
    assert check(name, RIGHT[name])


@pytest.mark.parametrize("name, slip, said", SLIPS)
def test_a_slip_is_told_by_name(name, slip, said):
    reply = check(name, RIGHT[name] | slip)
    assert reply.verdict == "nearly" and said in str(reply).lower(), str(reply)


def test_days_counted_one_by_one():
    """Every day of the kiosk without an effect of the parasols, weighted by its probability."""
    weight = {(x, u): (3 if x == u else 1) / 8 for x in (0, 1) for u in (0, 1)}
    seen = [sum(weight[x, u] * (1 / 8 + u / 2) for u in (0, 1)) / sum(weight[x, u] for u in (0, 1)) for x in (0, 1)]
    assert check("ex-scm-useless", {"seeing": seen[1] - seen[0], "setting": 0})


def test_the_graph_of_the_library_agrees():
    graph = CausalGraph({"A": [], "B": [], "X": ["A"], "Z": ["A", "B"], "Y": ["B"]})
    given = {"nothing known": [], "Z": ["Z"], "Z and A": ["Z", "A"]}
    assert check("ex-scm-m", {name: graph.d_separated("X", "Y", known) for name, known in given.items()})


def test_arrows_counted_one_by_one():
    counts = {
        name: sum(1 for below, above in zip(sizes, sizes[1:], strict=False) for _ in range(below) for _ in range(above))
        for name, sizes in SIZES.items()
    }
    assert check("ex-scm-order", counts | {"with noise": "no"})


def test_the_library_adds_up_the_same_paths():
    weights = {"x2": {"x1": 0.5}, "x3": {"x2": -2.0}, "y": {"x1": 1.0, "x2": 1.0, "x3": 1.0}}
    model = LinearModel({"x1": [], "x2": ["x1"], "x3": ["x2"], "y": ["x1", "x2", "x3"]}, weights)
    assert check("ex-scm-paths", {"direct": model.matrix[3, 0], "total": model.mixing[3, 0]})


def test_a_loop_that_is_run_agrees():
    def settles(a, b):
        x, y = 0.3, -0.4
        for _ in range(500):
            x = a * y + 1
            y = b * x
            if abs(x) > 1e9:
                return False
        return abs(a * y + 1 - x) < 1e-6

    assert check("ex-scm-loop", RIGHT["ex-scm-loop"] | {"settles": settles})
