"""The judges of chapter 7 against the recursion as a matrix power, ranks and a grid; each slip gets its own hint."""

import numpy as np
import pytest

from acelib.lab.exercises import check

STEP = np.array([[0.5, 0.25], [1.0, 0.0]])  # (this, before) becomes (next, this)


def after(this, before, steps):
    return (np.linalg.matrix_power(STEP, steps) @ [this, before])[0]


def size(b, c, x):
    grid = np.linspace(0, 1, 1001)
    return abs(c + b * x - np.trapezoid(c + b * grid, grid))


WIDE = {"rank with 40": 17, "rank with 15": 15, "exponent": np.log10(1e-150) / 17}
DESIGN = {"channel": "LATG", "place": "end", "strip": "no"}


def test_the_right_answers_pass():
    draw = np.random.default_rng(0).normal
    ranks = [np.linalg.matrix_rank(draw(size=(17, units)) @ draw(size=(units, 17))) for units in (40, 15)]
    assert check("ex-flight-toy", after(8, 0, 3))
    assert check("ex-flight-wide", WIDE | {"rank with 40": ranks[0], "rank with 15": ranks[1]})
    assert check("ex-flight-line", size)
    assert check("ex-flight-design", DESIGN)


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        ("ex-flight-toy", after(9, 5, 1), "it is a consequence"),
        ("ex-flight-toy", after(5, 8, 2), "right after the intervention"),
        ("ex-flight-toy", 4.25, "set the first"),
        ("ex-flight-toy", after(8, 0, 2), "one step more"),
        ("ex-flight-wide", WIDE | {"rank with 40": 40}, "no more rank than that"),
        ("ex-flight-wide", WIDE | {"rank with 40": 15}, "the narrow layer"),
        ("ex-flight-wide", WIDE | {"rank with 15": 17}, "pass through the hidden units"),
        ("ex-flight-wide", WIDE | {"exponent": -150}, "exponent of the determinant"),
        ("ex-flight-wide", WIDE | {"exponent": -3.75}, "whatever the units"),
        ("ex-flight-wide", WIDE | {"exponent": -10}, "How many singular values"),
        ("ex-flight-wide", WIDE | {"exponent": 8.82}, "the sign is not"),
        ("ex-flight-line", lambda b, c, x: b * (x - 0.5), "Its size has no sign"),
        ("ex-flight-line", lambda b, c, x: abs(x - 0.5) * b, "Of which sign"),
        ("ex-flight-line", lambda b, c, x: size(b, c, x) if b > 0 else 0.0, "Right for 2 of 4"),
        ("ex-flight-line", lambda b, c, x: abs(c + b * x), "the curve itself"),
        ("ex-flight-line", lambda b, c, x: abs(b * x), "the curve at zero"),
        ("ex-flight-line", lambda b, c, x: abs(c + b * (x - 0.5)), "Is c a part of it"),
        ("ex-flight-design", DESIGN | {"channel": "ROLL"}, "Compare the curves"),
        ("ex-flight-design", DESIGN | {"place": "middle"}, "at its baseline"),
        ("ex-flight-design", DESIGN | {"strip": "yes"}, "how a reading came about"),
    ],
)
def test_a_slip_is_named(name, answer, says):
    reply = check(name, answer)
    assert reply.verdict == "nearly" and says in reply.hint


def test_a_line_that_is_none_of_these_is_wrong():
    reply = check("ex-flight-line", lambda b, c, x: 7.0)
    assert reply.verdict == "wrong" and "What becomes of c" in reply.hint
