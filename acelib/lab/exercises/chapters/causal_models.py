"""Judges of chapter 2, Networks as causal models."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from acelib.lab.exercises.judges import Choice, Function, Judge, Number, Parts
from acelib.lab.exercises.replies import NEARLY, RIGHT, WRONG, Reply

SUN = Fraction(1, 2)
AGREES = Fraction(3, 4)  # of the days on which the parasols are as the sun would have them
INPUTS, FIRST, SECOND = 3, 4, 3  # units of the network's layers; one output
TO_X2, TO_X3, TO_Y = Fraction(1, 2), Fraction(-2), 1  # weights of x1 -> x2 -> x3, and of each arrow into y


def _arrows(*layers: int) -> int:
    """Return the arrows from the cause to each input, from layer to layer, and into the one output."""
    sizes = (1, INPUTS, *layers, 1)
    return sum(below * above for below, above in zip(sizes, sizes[1:], strict=False))


def _away(answer: Any) -> Reply:
    """Judge a pair whose loop has one solution and leaves it."""
    try:
        a, b = map(float, answer)
    except (TypeError, ValueError):
        return Reply(WRONG, "A pair of numbers (a, b) is asked for.")
    turn = abs(a * b)
    if a * b == 1:
        return Reply(WRONG, "With these the two lines are parallel: none or infinitely many solutions.")
    if turn == 1:
        return Reply(NEARLY, "It keeps its distance from the solution for ever. Let the distance grow.")
    return (
        Reply(RIGHT) if turn > 1 else Reply(WRONG, "From these it comes to rest. Follow the distance, round by round.")
    )


def _independent(right: bool, hint: str) -> Choice:
    return Choice(right, {not right: hint})


COUNT = "Every unit listens to every unit of the layer that is now below it: multiply sizes, layer by layer, and add."
WRITTEN: Mapping[float, str] = {
    float(_arrows(FIRST, SECOND)): "This is the whole network's. Which layer listens to which once some are gone?"
}


def _count(*layers: int) -> Number:
    """Judge a number of arrows; a count without those from the common cause is a slip."""
    inner = _arrows(*layers) - INPUTS
    return Number(_arrows(*layers), near=0, traps={**WRITTEN, inner: "The arrows from U count too."}, hint=COUNT)


ANSWERS: dict[str, Judge] = {
    "ex-scm-useless": Parts(
        seeing=Number(
            SUN * (AGREES - (1 - AGREES)),
            traps={
                3 / 8: "This is the kiosk of the chapter. Take the eighth of the parasols away.",
                0.0: "The parasols do nothing, but do open ones say nothing about the sun?",
                1 / 2: "How sure of the sun can one be by looking at the parasols?",
            },
            hint="Of the days with open parasols three quarters were sunny, of those with closed ones a quarter.",
        ),
        setting=Number(
            0,
            traps={
                1 / 8: "This is the kiosk of the chapter. Take the eighth of the parasols away.",
                1 / 4: "This is what one sees. Once they are set, parasols say nothing about the sun.",
                3 / 8: "This is the chance itself. The difference of open and closed is asked for.",
            },
            hint="The sun shines on half of the days, whatever is done with the parasols.",
        ),
    ),
    "ex-scm-m": Parts(
        nothing_known=_independent(
            True, "The only path has a collider at Z. What does a collider do while it is unknown?"
        ),
        Z=_independent(False, "The only path has a collider at Z. What does a collider do once it is known?"),
        Z_and_A=_independent(True, "The path passes A too, and not as a collider. What does a known A do?"),
    ),
    "ex-scm-order": Parts(
        first_gone=_count(SECOND),
        second_gone=_count(FIRST),
        both_gone=_count(),
        with_noise=Choice("no", {"yes": "Two units of the next layer hear the same noise. Where would it go?"}),
    ),
    "ex-scm-paths": Parts(
        direct=Number(
            TO_Y,
            traps={float(TO_Y + TO_X2 * TO_Y + TO_X2 * TO_X3 * TO_Y): "This is the total effect."},
            hint="With x2 and x3 held where they are, what does one unit of x1 add?",
        ),
        total=Number(
            TO_Y + TO_X2 * TO_Y + TO_X2 * TO_X3 * TO_Y,
            near=0,
            traps={
                float(TO_Y): "This is the direct effect.",
                float(TO_Y + TO_X2 * TO_Y): "One path is missing: the longest.",
                float(TO_Y + TO_X2 * TO_X3 * TO_Y): "One path is missing: from x2 an arrow leads straight to y.",
                float(TO_Y + TO_X2 * TO_Y - TO_X2 * TO_X3 * TO_Y): "Mind the sign of the arrow from x2 to x3.",
                float(TO_Y + TO_X2 * TO_Y + TO_X3 * TO_Y): "A path counts the product of all of its arrows.",
            },
            hint="Three paths lead from x1 to y. Multiply along each of them, then add.",
        ),
    ),
    "ex-scm-loop": Parts(
        settles=Function(
            lambda a, b: abs(a * b) < 1,
            [(0.5, 1.0), (-0.9, 1.0), (2.0, 1.0), (-2.0, 0.4), (1.5, 0.5), (-3.0, 1.0), (1.0, -1.0), (0.0, 9.0)],
            hint="By what is the distance from the solution multiplied in one round?",
        ),
        runs_away=_away,
    ),
}
