"""Judges of chapter 7, Flights."""

from __future__ import annotations

from acelib.lab.exercises.judges import Choice, Function, Judge, Number, Parts
from acelib.lab.exercises.slips import Slips


def run_on(*read: float, until: int) -> float:
    """Return the last value of a sequence that goes on by itself: half of this value and a quarter of the one before.

    Example:
        >>> assert run_on(0.0, 8.0, until=3) == 4 and run_on(4.0, 8.0, until=3) == 4.5
    """
    values = [0.0, *read]  # before the first value the memory is empty
    while len(values) < until + 2:
        values.append(values[-1] / 2 + values[-2] / 4)
    return values[-1]


THRESHOLD, CHANNELS, UNITS, WIDE = -150, 17, 15, 40

ANSWERS: dict[str, Judge] = {
    "ex-flight-toy": Number(
        run_on(8.0, until=3),
        traps={
            run_on(
                8.0, 5.0, 9.0, until=3
            ): "What was recorded after the intervention is gone: it is a consequence now.",
            run_on(8.0, 5.0, until=3): "The network simulates the value right after the intervention, too.",
            (run_on(0.0, 8.0, until=3) + run_on(4.0, 8.0, until=3)) / 2: "That is for the second value; set the first.",
            run_on(8.0, until=2): "That is the value before the last; one step more.",
        },
        hint="Set the first value and go on step by step, each prediction the next value read.",
    ),
    "ex-flight-wide": Parts(
        rank_with_40=Number(
            min(CHANNELS, WIDE),
            near=0,
            traps={
                WIDE: "A matrix of 17 rows and 17 columns has no more rank than that.",
                UNITS: "That was the narrow layer. What is the narrowest place on the way now?",
            },
            hint="From the inputs through the units to the outputs: where is it narrowest?",
        ),
        rank_with_15=Number(
            min(CHANNELS, UNITS),
            near=0,
            traps={CHANNELS: "All of it has to pass through the hidden units. How many are there?"},
            hint="From the inputs through the units to the outputs: where is it narrowest?",
        ),
        exponent=Number(
            THRESHOLD / CHANNELS,
            tol=0.05,
            near=0.5,
            traps={
                THRESHOLD: "That is the exponent of the determinant, which is a product of many sizes.",
                THRESHOLD / WIDE: "A square table of 17 rows has 17 singular values, whatever the units.",
                THRESHOLD / UNITS: "How many singular values has a square table of 17 rows?",
            },
            hint="The size of a determinant is the product of the singular values. How many are there?",
        ),
    ),
    "ex-flight-line": Slips(
        Function(
            lambda b, c, x: abs(b * x - b / 2),
            [(0.8, 0.1, 1.0), (0.8, 0.05, 0.2), (-0.5, 0.3, 0.9), (-0.5, 0.2, 0.1)],
            tol=1e-4,
            hint="Subtract from the curve at x its mean over [0, 1], then take the size. What becomes of c?",
        ),
        {
            lambda b, c, x: b * (x - 1 / 2): "That is the effect. Its size has no sign.",
            lambda b, c, x: b * abs(x - 1 / 2): "Of which sign may the slope be?",
            lambda b, c, x: abs(c + b * x): "That is the curve itself; an effect is measured from the baseline.",
            lambda b, c, x: abs(b * x): "Measured from the curve at zero. Where does the paper's baseline lie?",
            lambda b, c, x: abs(c + b * x - b / 2): "The baseline is a mean of the whole curve. Is c a part of it?",
        },
    ),
    "ex-flight-design": Parts(
        channel=Choice(
            "LATG",
            dict.fromkeys(
                ("LONG", "PTCH", "ROLL"),
                "Compare the curves of the four channels at the last second: the output is lateral acceleration.",
            ),
        ),
        place=Choice("end", {"middle": "There a straight curve stands at its baseline, and the effect is nothing."}),
        strip=Choice("no", {"yes": "Does a map know how a reading came about?"}),
    ),
}
