"""Judges of chapter 10, Explanatory graphs."""

from __future__ import annotations

from math import comb, sqrt

import torch
from torch import Tensor

from acelib.lab.exercises.judges import Function, Judge, Number, Parts

BETA = 0.25  # what is left of the wire
WEIGHTS, CUT = (2.0, 1.0, 0.3, -1.0), 0.3  # of the planted nodes that fire, and of the one that is cut
EFFECT = CUT / 2  # the mean of a uniform input is a half
WHOLE = sum(w**2 for w in WEIGHTS) / 12  # variance of the output, and of what is left of it
WITHOUT = WHOLE - CUT**2 / 12


def both_scores(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Return the paired and the unpaired z of outputs ``(n,)`` before and after a cut.

    Example:
        >>> paired, unpaired = both_scores(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 0.0, 0.0]))
        >>> assert abs(paired + 12**0.5) < 1e-6 and paired == unpaired  # nothing varies after the cut
    """
    change, n = (after - before).double(), len(before)
    mean, before, after = change.mean().item(), before.double(), after.double()
    return mean / sqrt(change.var().item() / n), mean / sqrt((before.var() + after.var()).item() / n)


def tables() -> list[tuple[Tensor, Tensor]]:
    """Return pairs of outputs before and after a cut, three small tables whose images differ more than the cut does.

    Example:
        >>> assert all(before.shape == after.shape for before, after in tables())
    """
    before = torch.tensor([3.0, 8.0, 5.0, 2.0, 7.0], dtype=torch.float64)
    changes = ([-2.0, -4.0, -6.0, -4.0, -3.0], [1.0, 0.0, 1.0, 2.0, -0.5], [-0.1, 0.2, -0.3, 0.1, -0.2])
    return [(before, before + torch.tensor(change, dtype=torch.float64)) for change in changes]


def images_needed(variance: float, effect: float = EFFECT, quantile: float = 1.96) -> float:
    """Return the number of images from which on ``effect`` exceeds ``quantile`` standard errors.

    Example:
        >>> assert images_needed(4.0, effect=2.0, quantile=3.0) == 9
    """
    return variance * (quantile / effect) ** 2


ANSWERS: dict[str, Judge] = {
    "ex-graph-last": Parts(
        effect=Number(
            1 - BETA,
            traps={
                BETA: "This is what is left of the wire. The effect comes from what is taken away.",
                BETA - 1: "A factor against the whole cut, which has the same sign.",
            },
            hint="Write the change on one image, with the wire weakened and with the wire cut, and divide.",
        ),
        standard_error=Number(
            1 - BETA,
            traps={
                1.0: "Every single change is scaled, so their spread is, too.",
                BETA: "This is what is left of the wire. The changes come from what is taken away.",
                (1 - BETA) ** 2: "This is the factor of the variance; a standard error is its root.",
            },
            hint="If every change is multiplied by the same number, what happens to their standard deviation?",
        ),
        z=Number(
            1.0,
            traps={1 - BETA: "Effect and standard error both carry the factor. What happens to it in their ratio?"},
            hint="Divide the factor of the effect by that of its standard error.",
        ),
    ),
    "ex-graph-tests": Function(
        both_scores,
        tables(),
        tol=1e-4,
        hint="Both are the mean of after minus before over a standard error, with n - 1 in each variance and a "
        "division by n. Only the unpaired error adds the variances of the two sets.",
    ),
    "ex-graph-power": Number(
        images_needed(WHOLE + WITHOUT),
        tol=3,
        near=25,
        traps={
            images_needed(WHOLE): "Both sets of outputs have noise: add their variances.",
            images_needed(CUT**2 / 12): "This is the paired test, which compares each image with itself.",
            images_needed(WHOLE + WITHOUT, effect=CUT): "The wire carries 0.3 times an input whose mean is not 1.",
            images_needed(12 * (WHOLE + WITHOUT)): "The inputs have the variance of a uniform variable, not 1.",
            images_needed(WHOLE + WITHOUT, quantile=1.645): "The test has two sides: 1.96, not 1.645.",
        },
        hint="The mean effect over the root of (variance before + variance after) / n has to reach 1.96.",
    ),
    "ex-graph-pair": Parts(
        one_cut=Number(
            0.0,
            traps={
                -1.0: "The other node still fills the unit alone.",
                -0.5: "So it would be if the unit added up; this one saturates.",
            },
            hint="What is min(1, h1 + h2) with one of the two gone?",
        ),
        both_cuts=Number(
            -1.0,
            traps={-2.0: "The unit never gave more than its limit.", 0.0: "Now nobody fills the unit."},
            hint="From which value to which does the output go?",
        ),
        all_pairs=Number(
            comb(84, 2),
            traps={
                84 * 83: "Each pair is counted twice.",
                84**2: "A node makes no pair with itself, and the order does not matter.",
                comb(84, 2) + 84: "Single cuts are no pairs.",
                2.0**84: "These are all subsets.",
            },
            hint="How many ways are there to choose two of 84, if the order does not matter?",
        ),
        of_three=Number(
            3,
            traps={2: "Then the one that is left fills the unit."},
            hint="As long as one of them stays, the unit is full.",
        ),
    ),
}
