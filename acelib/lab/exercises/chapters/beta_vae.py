"""Judges of chapter 9, Latent variables."""

from __future__ import annotations

from math import cos, radians, sin, sqrt

from acelib.lab.exercises.judges import Choice, Function, Judge, Number, Parts

P, INK = (0.2, 0.3, 0.5), (0.1, 0.4, 0.8)  # the one-pixel machine: frequencies of the classes, and their ink
MEAN = sum(p * ink for p, ink in zip(P, INK, strict=True))
OFF = (P[0] * INK[0] + P[1] * INK[1]) / (P[0] + P[1])  # E[x | do(c2 = 0)]

ACROSS, ALONG, LEAN = 4.0, 25.0, radians(30)  # variances of the ink of the upright digit, and the angle


def rotated_height(across: float, along: float, angle: float) -> float:
    """Return the variance along the vertical of ``diag(across, along)`` after a rotation by ``angle`` in radians.

    Example:
        >>> assert rotated_height(4, 25, 0) == 25 and abs(rotated_height(4, 25, radians(90)) - 4) < 1e-12
    """
    return across * sin(angle) ** 2 + along * cos(angle) ** 2


ANSWERS: dict[str, Judge] = {
    "ex-vae-baseline": Parts(
        effect_of_c2=Number(
            INK[2] - MEAN,
            traps={
                INK[2] - OFF: "This is the effect against do(c2 = 0); the new baseline is the mean over all classes.",
                MEAN: "This is the new baseline. An effect is what lies above it.",
                INK[2] - sum(INK) / 3: "Classes do not occur equally often: weight each by its frequency.",
            },
            hint="E[x given do(c2 = 1)] minus the mean of the pixel over all classes and all z.",
        ),
        factor_of_c1=Number(
            1 - P[1],
            traps={
                P[1]: "This is how much of the effect the plain mean has in it already. What is left?",
                1 / (1 - P[1]): "The other way round: the new effect divided by the old one.",
                1 - P[2]: "This is the factor of another class. Whose frequency counts?",
            },
            hint="Write E[x] as a mixture of do(c1 = 1) and do(c1 = 0), and subtract it from the former.",
        ),
    ),
    "ex-vae-pairs": Function(
        lambda r: 1 / sqrt(1 - r),
        [(0.4,), (0.75,), (-0.5,), (0.96,)],
        hint="Common draws take twice the covariance off the variance of the difference. An error bar is a root of a "
        "variance; and the factor compares separate with common draws, in this order.",
    ),
    "ex-vae-slant": Parts(
        rotated=Number(
            rotated_height(ACROSS, ALONG, LEAN),
            tol=0.01,
            near=0.3,
            traps={
                rotated_height(
                    ALONG, ACROSS, LEAN
                ): "This is the variance across after the turn: sine and cosine changed places.",
                ALONG * cos(LEAN) ** 2: "The short side stands up a little, too: it brings a part of its own variance.",
                ALONG * cos(LEAN): "Variances go with the square of the cosine.",
                rotated_height(ACROSS, ALONG, 30.0): "The sine took 30 as radians.",
            },
            hint="Look at the lower right entry of R M R-transposed.",
        ),
        slanted=Number(
            ALONG,
            tol=0.01,
            traps={rotated_height(ACROSS, ALONG, LEAN): "This is a rotation. A slant moves rows sideways only."},
            hint="Which of the two coordinates of a pixel does a slant change?",
        ),
        nearer=Choice(
            "slant",
            {"rotation": "A rotation would lower the eight more than the machine does; compare three heights."},
        ),
    ),
    "ex-vae-diagonal": Parts(
        sd_of_the_lever=Number(
            sqrt((1**2 + 1**2) / 2),
            tol=1e-3,
            traps={
                sqrt(2): "This is that of the sum alone. What does the division do?",
                sqrt(2) / 2: "This is one latent's part. Variances of independent parts add.",
            },
            hint="Add the variances of the two parts of the lever, then take the root.",
        ),
        turns=Choice(True, {False: "Compare the angle at both ends of the new lever, in degrees."}),
        broadens=Choice(True, {False: "Compare the breadth at both ends of the new lever, in pixels."}),
    ),
}
