"""Judges of chapter 11, Intrinsic contributions."""

from __future__ import annotations

from math import log

from acelib.lab.exercises.judges import Judge, Number, Parts

X_TO_Y, Y_TO_Z, X_TO_Z = 2.0, 3.0, -6.0  # the runners, with the second channel of the first exercise
TOTAL = X_TO_Y * Y_TO_Z + X_TO_Z


def label_entropy(p: float) -> float:
    """Return the entropy in nats of a label with probability ``p``.

    Example:
        >>> assert label_entropy(0.5) == log(2) and label_entropy(0) == 0
    """
    return -sum(q * log(q) for q in (p, 1 - p) if q > 0)


SHUT = label_entropy(1 / 4)  # nats at first: both of two coins have to show heads
GIVEN_ONE = (label_entropy(0) + label_entropy(1 / 2)) / 2  # nats that remain once one coin is known
FIRST, LAST, MEAN = SHUT - GIVEN_ONE, GIVEN_ONE, SHUT / 2
BITS = "This is in bits; a nat is a larger unit, made with the natural logarithm."

ANSWERS: dict[str, Judge] = {
    "ex-icc-cancel": Parts(
        direct=Number(
            X_TO_Z,
            traps={
                TOTAL: "This lets Y react. The direct effect holds it.",
                X_TO_Y * Y_TO_Z: "This runs through Y. The direct effect is what stands in the equation of Z.",
            },
            hint="Which number multiplies X in the equation of Z?",
        ),
        total=Number(
            TOTAL,
            traps={
                X_TO_Z: "This holds Y. In the total effect Y reacts.",
                X_TO_Y * Y_TO_Z: "This is the path through Y alone. There is a second path.",
                X_TO_Y * Y_TO_Z - X_TO_Z: "Mind the sign of the second channel.",
            },
            hint="Move X by 1, let Y follow, and add up what arrives at Z on both paths.",
        ),
        intrinsic=Number(
            TOTAL**2,
            traps={
                X_TO_Z**2: "One path alone. Put all equations into each other, and square then.",
                (X_TO_Y * Y_TO_Z) ** 2 + X_TO_Z**2: "Both paths carry the same whim: add them before you square.",
            },
            hint="Write Z in the whims only. What stands before the first one?",
        ),
    ),
    "ex-icc-coins": Parts(
        first=Number(
            0.0,
            traps={
                1.0: "You have seen A only. What do you know about the product?",
                0.5: "This is no average over orders yet.",
            },
            hint="By how much does the variance of the product drop once A is seen, and nothing else?",
        ),
        total=Number(
            1.0,
            traps={
                0.0: "In this context B is known already. What can the product still be?",
                0.5: "This is no average over orders yet.",
            },
            hint="With B known, how much variance remains before A is seen, and how much after?",
        ),
        Shapley=Number(
            0.5,
            traps={
                0.0: "There are two orders; in the other one A comes last.",
                1.0: "There are two orders; in one A comes first.",
            },
            hint="The average of A's contributions over the orders in which the two coins can become known.",
        ),
    ),
    "ex-icc-reversed": Parts(
        Y=Number(
            Y_TO_Z**2 * (X_TO_Y**2 + 1),
            tol=0.1,
            near=2,
            traps={
                Y_TO_Z**2: "So it is in the true order. A root owns all of its variance.",
                X_TO_Y**2 + 1: "This is the variance of Y. What becomes of it on the way to Z?",
                Y_TO_Z * (X_TO_Y**2 + 1): "A variance is multiplied by the square of the coefficient.",
                (X_TO_Y * Y_TO_Z) ** 2: "This is what X had in the true order. Y brings a whim of its own, too.",
            },
            hint="Y is a root now. What is its variance, and by which factor does Z amplify it?",
        ),
        X=Number(
            0.0,
            tol=0.1,
            near=2,
            traps={
                (X_TO_Y * Y_TO_Z) ** 2: "So it is in the true order. What does X tell of Z once Y is known?",
                Y_TO_Z**2: "X comes after Y here, but Z listens to Y alone.",
            },
            hint="Which coefficient does X get in the equation of Z, next to Y?",
        ),
        Z=Number(
            1.0,
            tol=0.05,
            near=0.5,
            traps={0.0: "The last runner's whim is still there."},
            hint="What of Z is left when X and Y are known?",
        ),
    ),
    "ex-icc-door": Parts(
        first=Number(
            FIRST,
            tol=1e-3,
            traps={
                FIRST / log(2): BITS,
                SHUT: "This is the entropy before anything is known.",
                LAST: "This is what remains once A is known. The contribution is the drop.",
                SHUT - log(2) / 4: "After tails nothing remains, after heads a fair coin: average with the odds of A.",
            },
            hint="The entropy of the label minus the mean entropy that remains once A is seen.",
        ),
        total=Number(
            LAST,
            tol=1e-3,
            traps={
                LAST / log(2): BITS,
                log(2): "So it is if B shows heads. And if it shows tails?",
                FIRST: "This is what A tells alone. Now B is known already.",
            },
            hint="With B known, how much remains on average before A is seen, and how much after?",
        ),
        Shapley=Number(
            MEAN,
            tol=1e-3,
            traps={
                MEAN / log(2): BITS,
                SHUT: "The two coins share it.",
                log(2) / 2: "There are two orders, with a place for A in each.",
            },
            hint="The average over the two orders in which the coins can become known.",
        ),
    ),
}
