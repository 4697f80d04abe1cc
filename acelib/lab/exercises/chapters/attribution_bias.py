"""Judges of chapter 1, Attribution bias.

The model is f = ab; the baseline is [2, 2]; the population has mean 5 in ``a`` and 50 in ``b``.
"""

from __future__ import annotations

from acelib.lab.exercises.judges import Choice, Function, Judge, Number, Parts

BASE, MIDDLE, MEAN_PRICE = 2, 5, 50
CHEAP, DEAR = 5, 100


def _mixed(unit_price: float) -> float:
    """Return the mean of (3 - a')(b + b')/2 over independent a' and b'."""
    return (3 - MIDDLE) * (unit_price + MEAN_PRICE) / 2


def _along(a: float, b: float, p: float) -> float:
    """Return ∫ (2 + tᵖ(b - 2)) (a - 2) dt over [0, 1]."""
    return (a - BASE) * (BASE + (b - BASE) / (p + 1))


HALF = "The mean price along the path is (b + b0)/2. Which b0 makes it the mean price of the population?"
WEIGHT = "Average (a - a')(b + b')/2 over a' and b'. How much of the weight stays on the price of this house?"

ANSWERS: dict[str, Judge] = {
    "ex-ab-third": Parts(
        IG=Number(
            (3 - BASE) * (50 + BASE) / 2,
            traps={50.0: "Average the slope over the path; at its end alone it is 50."},
            hint="The path runs from [2, 2] to [3, 50]. What is the mean of b along it?",
        ),
        ACE=Number(
            (3 - MIDDLE) * MEAN_PRICE,
            traps={3 * 50.0: "Measure from the baseline, the mean over the range of areas."},
            hint="Only the area and the population count: E[y given do(a = 3)] minus the baseline.",
        ),
    ),
    "ex-ab-baseline": Parts(
        a0=Number(
            MIDDLE,
            tol=0.01,
            traps={2.0: "From this one the credit is zero at a = 2. Where is the ACE zero?"},
            hint="For which area is the ACE zero? The credit by the path must be zero there too.",
        ),
        b0_cheap=Number(
            2 * MEAN_PRICE - CHEAP,
            tol=0.01,
            near=6,
            traps={50.0: "With this one the mean along the path is not yet that of the population."},
            hint=HALF,
        ),
        b0_dear=Number(
            2 * MEAN_PRICE - DEAR,
            tol=0.01,
            near=6,
            traps={50.0: "With this one the mean along the path is above that of the population."},
            hint=HALF,
        ),
        one_for_both=Choice("no", {"yes": "Write down the condition on b0 for each house. Is it the same condition?"}),
    ),
    "ex-ab-random": Parts(
        cheap=Number(
            _mixed(CHEAP),
            tol=0.01,
            near=6,
            traps={
                (3.0 - MIDDLE) * CHEAP: "Here all of the weight is on this house.",
                (3.0 - MIDDLE) * MEAN_PRICE: "This is free of b: it is the ACE. Is the averaged credit?",
            },
            hint=WEIGHT,
        ),
        dear=Number(
            _mixed(DEAR),
            tol=0.01,
            near=12,
            traps={
                (3.0 - MIDDLE) * DEAR: "Here all of the weight is on this house.",
                (3.0 - MIDDLE) * MEAN_PRICE: "This is free of b: it is the ACE. Is the averaged credit?",
            },
            hint=WEIGHT,
        ),
        over_b_too=Number(
            _mixed(MEAN_PRICE),
            tol=0.01,
            near=6,
            hint="Put the mean of b where b stands. Have you met the result?",
        ),
    ),
    "ex-ab-interaction": Choice(
        "second",
        {
            "first": "Its curves over a are the same curve, shifted by 10 sin b. Look at the spread.",
            "third": "Its curves over a are the same curve, shifted by -3b. Look at the spread.",
        },
    ),
    "ex-ab-bent": Parts(
        credit=Function(
            _along,
            [(3.0, 100.0, 2.0), (3.0, 100.0, 0.5), (5.0, 50.0, 3.0), (1.0, 20.0, 1.0), (3.0, 5.0, 1.0)],
            tol=0.01,
            hint="Take the price on the path, times the speed of the area, and integrate over t from 0 to 1.",
        ),
        price_first=Number(
            _along(3, DEAR, 0),
            tol=0.01,
            near=1,
            traps={_along(3, DEAR, 1): "This is the straight line, p = 1."},
            hint="The price has arrived before the area moves. Which price does the area meet?",
        ),
        area_first=Number(
            _along(3, DEAR, float("inf")),
            tol=0.01,
            near=1,
            traps={_along(3, DEAR, 1): "This is the straight line, p = 1."},
            hint="The area arrives while the price has not moved. Which price does it meet?",
        ),
    ),
}
