"""Judges of chapter 3, Interventional expectation."""

from __future__ import annotations

import math

import numpy as np

from acelib.lab.exercises.judges import Choice, Judge, Number, Parts

TABLE = np.array([[0, 1], [2, 3], [1, 2], [1, 2], [3, 7]], dtype=float)  # the chapter's four rows and the fifth
HESSIAN = np.array([[0, 1], [1, 2]], dtype=float)  # of f = ab + b²
SET_TO = 2.0
ROWS = 400


def _f(a: float | np.ndarray, b: float | np.ndarray) -> float | np.ndarray:
    return a * b + b**2


def _expanded(covariance: np.ndarray) -> float:
    """Return f at the mean after do(a = 2), plus half the trace of Hessian times covariance."""
    return float(_f(SET_TO, TABLE[:, 1].mean()) + np.trace(HESSIAN @ covariance) / 2)


def _neuron(mean: float, spread: float) -> float:
    """Return the second-order formula of a sigmoid of an input with this mean and standard deviation."""
    p = 1 / (1 + math.exp(-mean))
    return p + p * (1 - p) * (1 - 2 * p) * spread**2 / 2


OF_B = np.diag([0.0, 1.0])  # a no longer varies
ALL = np.cov(TABLE.T, bias=True)
STEEP = math.log(3)  # (1 - p)(2p - 1) is largest at p = 3/4
LEAST = math.sqrt(2 / ((1 - 3 / 4) * (2 * 3 / 4 - 1)))
ONE_AVERAGE = math.sqrt((1 + 4**2) / ROWS)  # of ±b + 4c
ROOT = math.sqrt(ROWS)

ANSWERS: dict[str, Judge] = {
    "ex-expect-fifth": Parts(
        expectation=Number(
            float(np.mean(_f(SET_TO, TABLE[:, 1]))),
            near=0.1,
            traps={
                float(np.mean(_f(SET_TO, TABLE[:4, 1]))): "This is the table of four rows.",
                float(np.sum(_f(SET_TO, TABLE[:, 1])) / 4): "There are five rows now.",
                float(np.mean(_f(TABLE[:, 0], TABLE[:, 1]))): "Here each row has its own a. Set a to 2 in every row.",
                _expanded(0 * OF_B): "This is f at the mean. The curvature along b is missing.",
                _expanded(OF_B * np.var(TABLE[:, 1], ddof=1)): "The variance has been divided by n - 1.",
                _expanded(ALL): "Once a is set it no longer varies: its row and column of the covariance are zero.",
            },
            hint="Write 2 into the first column of all five rows and average f over them.",
        ),
        mean_of_b=Number(
            float(TABLE[:, 1].mean()),
            near=0.1,
            traps={2.0: "This is the table of four rows."},
            hint="Do leaves b alone.",
        ),
        variance_of_b=Number(
            float(np.var(TABLE[:, 1])),
            near=0.1,
            traps={
                float(np.var(TABLE[:, 1], ddof=1)): "Divide by the number of rows, not by one less.",
                float(np.std(TABLE[:, 1])): "This is the standard deviation.",
            },
            hint="The mean of the squared distances of b from its mean.",
        ),
    ),
    "ex-expect-rows": Number(
        math.ceil((0.5 / 0.01) ** 2),
        near=1,
        traps={
            (1 / 0.01) ** 2: "This takes a standard deviation of 1. Can a number between 0 and 1 spread that much?",
            0.5 / 0.01: "The error shrinks with the root of the number of rows.",
            (0.25 / 0.01) ** 2: "This takes the largest variance for the largest standard deviation.",
            1 / 12 / 0.01**2: "This is for probabilities spread evenly from 0 to 1. Others vary more.",
        },
        hint="How large can the standard deviation of a number between 0 and 1 be? Divide by the root of n.",
    ),
    "ex-expect-same": Parts(
        same_rows=Number(
            2 / ROOT,
            tol=6e-4,
            near=0,
            traps={
                1 / ROOT: "The difference of one row is f at a = 1 minus f at a = -1. How often does b count in it?",
                math.sqrt(2) * ONE_AVERAGE: "These are rows drawn anew. What do both averages share?",
                2.0: "This is the standard deviation of one row's difference.",
                2 / ROWS: "The error shrinks with the root of the number of rows.",
            },
            hint="Write down the difference of a single row. What is left of c, and how much does it vary?",
        ),
        rows_anew=Number(
            math.sqrt(2) * ONE_AVERAGE,
            tol=6e-4,
            near=0,
            traps={
                ONE_AVERAGE: "This is the error of one average. The difference has two.",
                2 * ONE_AVERAGE: "Errors of independent averages add as squares.",
                math.sqrt(17): "This is the standard deviation of one row.",
                2 / ROOT: "Here c does not cancel: it is another one in each average.",
            },
            hint="Find the variance of one average, of b and c together, then add that of the other.",
        ),
    ),
    "ex-expect-below": Parts(
        mean=Number(
            STEEP,
            tol=2e-3,
            near=0,
            traps={
                3 / 4: "This is p. Which input gives it?",
                1 / 4: "This is p, and where the formula exceeds 1. By symmetry, where does it fall below 0?",
            },
            hint="For which p is (1 - p)(2p - 1) largest? And which input gives this p?",
        ),
        standard_deviation=Number(
            LEAST,
            tol=2e-3,
            near=0,
            traps={
                LEAST**2: "This is the variance.",
                math.sqrt(8): "The one half before the second derivative has been lost.",
            },
            hint="Set the formula to zero at that p and solve for s.",
        ),
        at_twice_that=Number(
            _neuron(STEEP, 2 * LEAST),
            tol=6e-3,
            near=0,
            traps={
                _neuron(-STEEP, 2 * LEAST): "This is at the mean of the text, where the formula exceeds 1.",
                _neuron(STEEP, 2 * LEAST) - 3 / 4: "This is the second term alone.",
                _neuron(STEEP, LEAST): "This is at the standard deviation itself. Double it.",
            },
            hint="Put p and the doubled s into the formula.",
        ),
    ),
    "ex-expect-petal": Parts(
        flowers_that_leave=Choice("fewer", {"more": "Compare `support()` of both interventions."}),
        reason=Choice(
            "B",
            {
                "A": "`support()` looks at whole rows, however many features were set.",
                "C": "Both values are means of one species; how central each is decides nothing. Look at pairs.",
            },
        ),
    ),
}
