"""Judges of chapter 4, Causal regressors."""

from __future__ import annotations

import math

from acelib.lab.exercises.judges import Choice, Function, Judge, Number, Parts
from acelib.lab.exercises.slips import Slips

VALUES, ORDER = 21, 1
"""Of the exercise on the floor: how many expectations there are, and the order of the line on which they lie."""


def parabola(alpha: float) -> float:
    """Return the curve of the chapter's first section, the mean of α² + αb over b = 0, 1, 2.

    Example:
        >>> assert [parabola(alpha) for alpha in (0, 1, 2)] == [0, 2, 6]
    """
    return alpha**2 + alpha * (0 + 1 + 2) / 3


MEAN_B = (1 + 3) / 2  # in the two rows of the first exercise
UNIFORM = (2**3 / 3 + 2**2 / 2) / 2  # the mean of the parabola over [0, 2]
OVER_DATA = sum(map(parabola, (0, 1, 2))) / 3

ANSWERS: dict[str, Judge] = {
    "ex-reg-hand": Parts(
        regressor=Slips(
            Function(
                lambda alpha: MEAN_B * alpha,
                [(0.25,), (0.5,), (0.75,)],
                hint="Set a to α in both rows, each with its own b, and average the two products.",
            ),
            {
                lambda alpha: 2 * MEAN_B * alpha: "That is the sum over the rows; the expectation is their mean.",
                lambda alpha: MEAN_B * (alpha - 1 / 2): "That is the effect; the regressor is the curve before it.",
                lambda alpha: alpha * 1: "That is the first row alone.",
                lambda alpha: alpha * 3: "That is the second row alone.",
            },
        ),
        baseline=Number(
            MEAN_B * (0 + 1) / 2,
            traps={
                0.0: "The baseline is the mean of the curve over the whole domain, not its value at the lower end.",
                2.0: "That is the curve at the upper end; the baseline is its mean over the domain.",
            },
            hint="Average the curve over the domain of a.",
        ),
        ACE_at_1=Number(
            MEAN_B * 1 - MEAN_B / 2,
            traps={MEAN_B * 1: "That is the expectation itself; an effect is measured from the baseline."},
            hint="Take the curve at 1 and subtract the baseline.",
        ),
    ),
    "ex-reg-baselines": Parts(
        data=Number(
            parabola(2) - OVER_DATA,
            tol=0.005,
            traps={
                parabola(2) - UNIFORM: "That is from the uniform baseline, where every value of [0, 2] counts alike.",
                parabola(2) - parabola(1): "Average the curve over the values, not the values before the curve.",
            },
            hint="What is the curve at each of the three values, and what is the mean of these?",
        ),
        mean_row=Number(
            parabola(2) - parabola(1),
            tol=0.005,
            traps={
                parabola(2) - UNIFORM: "That is from the uniform baseline, where every value of [0, 2] counts alike.",
                parabola(2) - OVER_DATA: "Average the values first, then ask the curve once, at their mean.",
            },
            hint="What is the curve at the mean of the three values?",
        ),
        difference=Number(
            parabola(2) - parabola(0),
            tol=0.005,
            hint="Write both effects out. What becomes of the baseline when one is subtracted from the other?",
        ),
    ),
    "ex-reg-floor": Number(
        (VALUES - 1 - ORDER) * math.log(10),
        tol=0.06,
        traps={
            VALUES * math.log(10): "Not all of them are noise: one is the mean and drops out, some are signal.",
            (VALUES - 1) * math.log(10): "The mean dropped out; the signal is no noise either.",
            (VALUES - 1) * 1.0: "A nat is a unit of the natural logarithm. And is every number noise?",
            (VALUES - 1 - ORDER) * 1.0: "The count is right; a nat is a unit of the natural logarithm.",
        },
        hint="How many numbers stand in the noise heap, and what does each gain when its density is ten times as high?",
    ),
    "ex-reg-band": Parts(
        Bayesian=Choice(
            "shrinks",
            {
                "stays": "This band is about the curve between the values, and they stand closer together now.",
                "grows": "Does knowing the curve at more values make it less certain between them?",
            },
        ),
        sampling=Choice(
            "stays",
            {
                "shrinks": "This band is about the flowers. How many are there, of 25 values and of 400?",
                "grows": "This band is about the flowers. How many are there, of 25 values and of 400?",
            },
        ),
        other_flowers=Choice(
            "sampling", {"Bayesian": "This one takes the points for given; other flowers would move all of them."}
        ),
    ),
    "ex-reg-joint": Parts(
        third=Choice(
            "moderate",
            {
                "small": "A flower with a short and narrow petal is another species.",
                "large": "A flower with a long and broad petal is another species.",
            },
        ),
        share=Number(
            1.0,
            tol=0.06,
            traps={0.0: "Is that for petal length alone? Set both columns, to the same value."},
            hint="Set both columns together, in each network, and ask peaked for its curve minus its mean.",
        ),
    ),
}
