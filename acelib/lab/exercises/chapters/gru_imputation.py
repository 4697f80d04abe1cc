"""Judges of chapter 6, Imputation."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

from acelib.lab.exercises.judges import Judge, Number, Parts

SIGNS = ((1, 1, 1), (-1, -1, -1))  # the two kinds of sequences, equally often
RULES: dict[str, Callable[[tuple[int, ...]], bool]] = {
    "any": lambda x: max(x) > 0,
    "all": lambda x: min(x) > 0,
    "first": lambda x: x[0] > 0,
    "majority": lambda x: sum(x) > 0,
}
VARIANCE = 0.04  # of b, in the exercise on the spike


def _put(signs: tuple[int, ...], value: int) -> tuple[int, ...]:
    """Return the signs with another third element."""
    return (*signs[:2], value)


def _muffled(rule: str) -> float:
    """Return the share of answers that change when a coin replaces the third element."""
    answer = RULES[rule]
    return sum(answer(_put(x, coin)) != answer(x) for x, coin in product(SIGNS, (1, -1))) / 4


def _contradicted(rule: str) -> float:
    """Return the share of answers that change when the third element is negated."""
    return sum(RULES[rule](_put(x, -x[2])) != RULES[rule](x) for x in SIGNS) / 2


def _effect(rule: str) -> float:
    """Return the average causal effect of a plus in third place, from the mean of plus and minus."""
    plus, minus = (sum(RULES[rule](_put(x, sign)) for x in SIGNS) / 2 for sign in (1, -1))
    return plus - (plus + minus) / 2


EVEN_SIDES, ONE_SIDE = math.log(1 / 0.025), math.log(1 / 0.05)
TOP = 1 / 4  # where p(1 − 2p) is largest, 1/8
COIN = "A coin agrees half of the time. What does a negative do?"

ANSWERS: dict[str, Judge] = {
    "ex-gru-all": Parts(
        imputation=Number(
            _muffled("all"),
            traps={
                0.5: "That is for one of the two kinds of sequences. How many answers of the other change?",
                1.0: "The coin shows the old sign half of the time, and one kind of sequence never changes.",
            },
            hint="Take (+,+,+) and (−,−,−) in turn, replace one sign, and count both faces of the coin.",
        ),
        effect=Number(
            _effect("all"),
            traps={
                0.5: "That is the expectation under +, or + against −; the baseline is the mean of the two.",
                0.0: "Set the element to + in both sequences: in how many is the answer yes?",
            },
            hint="What is the share of yes under do(+) and under do(−)? Subtract the mean of the two from the first.",
        ),
    ),
    "ex-gru-zero": Parts(
        **{
            "one-sided": Number(
                ONE_SIDE,
                tol=0.01,
                traps={
                    EVEN_SIDES: "Here all of the 5 % lie above the interval.",
                    0.05: "That is the chance. At which q·n does it fall to that?",
                },
                hint="Nothing is seen in n trials with the chance (1 − q)ⁿ, nearly exp(−qn). Set it to 5 %.",
            ),
            "two-sided": Number(
                EVEN_SIDES,
                tol=0.01,
                traps={
                    ONE_SIDE: "Of the 5 % one half lies below the interval and one half above it.",
                    1.96: "That is for a normal distribution; a count of nothing has none.",
                },
                hint="The same as one-sided, with another chance left above the interval.",
            ),
        }
    ),
    "ex-gru-contradict": Parts(
        any=Number(_contradicted("any"), traps={_muffled("any"): COIN}, hint="Negate the last sign of both sequences."),
        all=Number(_contradicted("all"), traps={_muffled("all"): COIN}, hint="Negate the last sign of both sequences."),
        first=Number(_contradicted("first"), hint="Does this rule hear the third element at all?"),
        majority=Number(_contradicted("majority"), hint="How many signs agree once the third is negated?"),
    ),
    "ex-gru-spike": Parts(
        slope=Number(
            math.sqrt(2 / VARIANCE / (TOP * (1 - 2 * TOP))),
            tol=0.2,
            near=1.0,
            traps={
                math.sqrt(1 / VARIANCE / (TOP * (1 - 2 * TOP))): "There is a factor of ½ before the bend.",
                math.sqrt(2 / 0.2 / (TOP * (1 - 2 * TOP))): "0.04 is the variance already; its root does not enter.",
                2 / VARIANCE / (TOP * (1 - 2 * TOP)): "That is the square of the slope.",
            },
            hint="Ask that the bend exceed 1 − p, and divide both sides by 1 − p: a parabola in p is left.",
        ),
        p=Number(
            TOP,
            tol=0.005,
            near=0.02,
            traps={
                (3 - math.sqrt(3)) / 6: "There the bend is largest. What counts is the bend against the room below 1.",
                0.5: "There the bend is zero: the curve is steepest and straight.",
                0.2: "That was the section's example, and not the first place.",
            },
            hint="Ask that the bend exceed 1 − p, and divide both sides by 1 − p. Where is the parabola at its top?",
        ),
    ),
}
