"""Judges of chapter 8, High dimensions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from acelib.lab.exercises.judges import Function, Judge, Number, Parts
from acelib.lab.exercises.replies import WRONG, Reply
from acelib.lab.exercises.slips import Slips

H = torch.tensor([[2.0, 1, 0], [1, 0, 1], [0, 1, 4]], dtype=torch.float64)
S = torch.tensor([[1.0, 0], [1, 1], [0, 1]], dtype=torch.float64)
"""The tables of the chapter's first section."""


def _turned(degrees: float) -> Tensor:
    """Return both numbers s'ᵀ H s' of the columns of S, turned by an angle."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    columns = S @ torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return torch.einsum("ir,ij,jr->r", columns, H, columns)


def _bend_of_sine(u: Tensor, t: Tensor, h: Tensor) -> Tensor:
    """Return φ'(u) h + φ''(u) Σ t² for the sine."""
    return torch.cos(u) * h - torch.sin(u) * t.square().sum(0)


def _step(unit: float) -> Judge:
    """Return a judge of the step where ε²/12 + 4u/ε² is smallest; it compares powers of ten, as steps are."""
    best = (48 * unit) ** (1 / 4)
    slips = {
        best**2: "That is the square of the step. One root more.",
        unit ** (1 / 2): "That is the root for a first derivative by forward steps; this is a second one.",
        unit ** (1 / 4): "The power is right. Keep the factors 12 and 4, and differentiate both errors.",
        2 * math.sqrt(unit / 3): "That is the error at the best step, not the step.",
        1 / best: "That is one over the step.",
    }
    power = Number(
        math.log10(best),
        tol=0.02,
        near=0.5,
        traps={math.log10(slip): why for slip, why in slips.items()},
        hint="Set the derivative of the sum of both errors to zero, and solve for the step.",
    )

    def judge(answer: Any) -> Reply:
        try:
            return power(math.log10(answer))
        except (TypeError, ValueError):
            return Reply(WRONG, "A step is asked for, a number above zero.")

    return judge


U = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
T = torch.tensor([[1.0, 0.5, -2.0], [0.0, 3.0, 1.0]], dtype=torch.float64)
OLD = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
FEW, MORE, ALL = 52, 200, 1797
INDEPENDENT = math.sqrt(MORE / FEW)
DISTINCT = math.sqrt((1 / FEW - 1 / ALL) / (1 / MORE - 1 / ALL))

ANSWERS: dict[str, Judge] = {
    "ex-scale-root": Parts(
        first=Number(
            _turned(30)[0].item(),
            tol=0.01,
            traps={
                _turned(0)[0].item(): "That was before the turn.",
                _turned(-30)[0].item(): "That is turned the other way: the first column of SQ is cos·s₁ + sin·s₂.",
                _turned(30)[1].item(): "That is the second of the two.",
                (3 * 4 + 6) / 4: "A square of a sum has a term with both columns, twice.",
            },
            hint="Write the first column of SQ as a sum of the two old ones, and multiply out.",
        ),
        sum=Number(
            torch.einsum("ij,ij->", H, S @ S.T).item(),
            tol=0.01,
            hint="What is S'S'ᵀ, if QQᵀ is the identity?",
        ),
    ),
    "ex-scale-sine": Slips(
        Function(
            _bend_of_sine,
            [(U, T, 0 * OLD), (U, 0 * T, OLD), (U, T, OLD), (2 * U, T[:1], -OLD)],
            hint="Take φ' and φ'' of the sine, each at u, and put them into the rule for h.",
        ),
        {
            lambda u, t, h: -torch.sin(u) * t.square().sum(0): "The bend that comes in passes on too, with the slope.",
            lambda u, t, h: torch.cos(u) * h: "The sine bends by itself: where are the slopes?",
            lambda u, t, h: torch.cos(u) * h + torch.sin(u) * t.square().sum(0): "Look at the sign of φ''.",
            lambda u, t, h: torch.cos(u) * h - torch.sin(u) * t.sum(0) ** 2: "Square each slope, then add them up.",
            lambda u, t, h: _bend_of_sine(u, t, h) / 2: "The half comes once, at the end, not in the rule.",
        },
    ),
    "ex-scale-step": Parts(float32=_step(6e-8), float64=_step(1.1e-16)),
    "ex-scale-rows": Parts(
        independent=Number(
            INDEPENDENT,
            tol=0.01,
            near=0.05,
            traps={
                MORE / FEW: "That is how the variance falls; an error is a root of it.",
                DISTINCT: "That is without replacement.",
            },
            hint="How does the variance of a mean go with the number of rows, and the error with the variance?",
        ),
        without_replacement=Number(
            DISTINCT,
            tol=0.01,
            near=0.05,
            traps={
                INDEPENDENT: "That is for independent draws. With all the rows drawn nothing would be left to err.",
                DISTINCT**2: "That is how the variance falls; an error is a root of it.",
            },
            hint="Divide the two variances, each with its own n and the same N, and take the root.",
        ),
    ),
}
