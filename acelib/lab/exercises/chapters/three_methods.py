"""Judges of chapter 13, One network, three methods."""

from __future__ import annotations

from math import tanh

from acelib.lab.exercises.judges import Choice, Judge, Members, Number, Parts

READS = {"source": 0.0, "messenger": 2.0, "witness": 1.0}  # the score by hand, y = 2 m + w
FED, SCORED = 0.9, 5.0  # how much of the source is in the messenger; variance of the score


def shares_with(fed: float) -> dict[str, float]:
    """Return the direct, total and own variances of each note of the score, ``{"source own": value, …}``.

    Example:
        >>> assert abs(shares_with(0.9)["source own"] - 3.24) < 1e-12 and shares_with(0)["source own"] == 0
    """
    slopes = READS | {"source": fed * READS["messenger"]}  # once the messenger follows
    own = {note: slope**2 for note, slope in slopes.items()}
    own["messenger"] *= 1 - fed**2  # of her variance, what she did not hear
    kinds = {"direct": {note: slope**2 for note, slope in READS.items()}, "own": own}
    kinds["total"] = {note: slope**2 for note, slope in slopes.items()}
    return {f"{note} {kind}": value for kind, values in kinds.items() for note, value in values.items()}


BEFORE, AFTER = shares_with(FED), shares_with(0.0)
CONSTANT = 3 * tanh(2)  # what the unit adds to the storm output on every row
ALONE, TOGETHER = (4.0, 1.0), 1.0  # variances of 2a and b, and of ab
COINS = sum(ALONE) + TOGETHER

ANSWERS: dict[str, Judge] = {
    "ex-three-cut": Members(
        {entry for entry in BEFORE if abs(BEFORE[entry] - AFTER[entry]) > 1e-9},
        hint='None of these changes. Write each as a note and a kind, such as "witness total". Who passed on what, and '
        "to whom does it belong now?",
    ),
    "ex-three-turn": Parts(
        messenger=Number(
            READS["messenger"] ** 2,
            tol=0.02,
            traps={
                BEFORE["messenger own"]: "So it is with the arrow from the source. Who causes whom now?",
                BEFORE["source own"]: "This was the source's. What is the messenger's noise now?",
                READS["messenger"] ** 2 / SCORED: "This is a share. The unit of the variance is asked for.",
                READS["messenger"]: "This is the slope. A contribution is a variance.",
            },
            hint="The messenger is a root now: put its noise into the score, and look at the variance of that term.",
        ),
        source=Number(
            0.0,
            tol=0.02,
            traps={
                BEFORE["source own"]: "So it is with the arrow from the source. Who causes whom now?",
                READS["messenger"] ** 2 * (1 - FED**2): "Its own noise reaches the source's note. Who reads that?",
            },
            hint="Does the noise of the source stand anywhere in the score?",
        ),
    ),
    "ex-three-constant": Parts(
        change=Number(
            -CONSTANT,
            tol=1e-3,
            traps={
                0.0: "The bias stays lowered when the unit is cut off.",
                -3.0: "The unit gives the tanh of its input, and not 1.",
                -tanh(2): "And its weight?",
                -6.0: "The input of the unit is 2; what does it give?",
            },
            hint="The output without the unit minus the output with it: weight times what the unit gives.",
        ),
        called=Choice(
            "necessary",
            {
                "noisy": "Cutting it off lowers the output. Which of the two words is that?",
                "neutral": "The change has no spread at all. How many standard errors from zero is it?",
            },
        ),
        shares_differ_by=Number(
            0.0,
            traps={CONSTANT: "This is what the cut costs. The shares ask what a note moves."},
            hint="Compare the outputs of both networks, row by row.",
        ),
    ),
    "ex-three-sum": Parts(
        left_over=Number(
            TOGETHER / COINS,
            tol=2e-3,
            traps={
                TOGETHER: "A share is asked for: divide by the variance of y.",
                sum(ALONE) / COINS: "This is what the two explain. What do they leave over?",
                TOGETHER / 4: "The variance of y has three terms, and each coefficient enters squared.",
            },
            hint="The terms 2a, b and ab are uncorrelated. What are their variances, and which two do a and b explain?",
        ),
        a=Number(
            (ALONE[0] + TOGETHER / 2) / COINS,
            tol=2e-3,
            traps={
                ALONE[0] / COINS: "This is the context first: the interaction has gone to nobody.",
                (ALONE[0] + TOGETHER)
                / COINS: "This is the context total: it gives the whole interaction to a, and to b again.",
                ALONE[0] + TOGETHER / 2: "A share is asked for: divide by the variance of y.",
            },
            hint="What a explains alone, and its part of the interaction, as a share.",
        ),
        b=Number(
            (ALONE[1] + TOGETHER / 2) / COINS,
            tol=2e-3,
            traps={
                ALONE[1] / COINS: "This is the context first: the interaction has gone to nobody.",
                (ALONE[1] + TOGETHER)
                / COINS: "This is the context total: it gives the whole interaction to b, and to a again.",
                ALONE[1] + TOGETHER / 2: "A share is asked for: divide by the variance of y.",
            },
            hint="What b explains alone, and its part of the interaction, as a share.",
        ),
    ),
}
