"""The error of learning a causal model: how far its contributions lie from those that another table would have given.

A model that was written down has none. Where a table taught it, the spread of the numbers over refits to resamples of
the rows is their standard error s. A mean of B refits is off by ``s √(1 + 1/B)``: the refits all rest on the one table,
so more of them know s better and do not shrink it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .._warnings import ApproximationWarning, warn_caller
from .answer import Answer
from .linear import LinearModel
from .scm import CausalModel


@dataclass(frozen=True, eq=False)
class Deviations:
    """How far numbers lie from their mean over B refits, or over B rows that each had a little influence.

    Attributes:
        contributions: ``(B, k)``.
        total: ``(B,)``.
        closed: ``(B, 2^k)``, or None.
        scale: the variance of the error, over the variance of the deviations.
        degrees: degrees of freedom of the error; None: from its kurtosis, as befits the mean of B rows.
    """

    contributions: Tensor
    total: Tensor
    closed: Tensor | None
    scale: float
    degrees: float | None

    def error(self, deviations: Tensor) -> tuple[Tensor, Tensor]:
        """Return the standard error and its degrees of freedom from deviations ``(B, ...)`` of any number.

        A mean square of B independent numbers with kurtosis κ has 2 B / (κ − 1) degrees of freedom.
        """
        squares = (deviations - deviations.mean(0)).square() if self.degrees is not None else deviations.square()
        count = len(squares)
        stderr = (squares.sum(0) / (count - 1) * self.scale).sqrt().nan_to_num(torch.inf, torch.inf)
        if self.degrees is not None:
            return stderr, torch.full_like(stderr, self.degrees)
        mean = squares.mean(0)
        excess = squares.var(0, correction=0) / mean.square()
        return stderr, (2 * count / excess).nan_to_num(1.0, count - 1.0).clamp(1.0, count - 1.0)


def of_refits(answers: Sequence[Answer]) -> Deviations | None:
    """Return the deviations of the answers of a list of fits, whose mean is the estimate; None for a single one."""
    count = len(answers)
    if count < 2:
        return None
    each = torch.stack([a.contributions[..., 0].mean(0) for a in answers])
    total = torch.stack([a.total[:, 0].mean(0) for a in answers])
    tables = [a.closed[..., 0].mean(0) for a in answers if a.closed is not None]
    closed = torch.stack(tables) if len(tables) == count else None
    return Deviations(each, total, closed, 1 + 1 / count, count - 1)


def of_pairs(refits: Answer, own: Answer, scale: float) -> Deviations:
    """Return the deviations of refits, one in each scrambling, from the fit itself at the same points."""
    closed = None
    if refits.closed is not None and own.closed is not None:
        closed = (refits.closed - own.closed)[..., 0]
    contributions = (refits.contributions - own.contributions)[..., 0]
    return Deviations(contributions, (refits.total - own.total)[:, 0], closed, scale, len(contributions) - 1)


def of_rows(influences: Tensor, count: int) -> Deviations:
    """Return the deviations behind the sandwich from influences ``(m, k)`` of rows of a table of ``count`` rows."""
    return Deviations(influences, influences.sum(1), None, 1 / count, None)


def warn_of_learning(fits: Sequence[CausalModel]) -> None:
    """Warn where nothing tells how far a learned model is off: a single one, or several taught by the same rows."""
    tables = [fit.fitted for fit in fits if fit.fitted is not None]
    if len(tables) < len(fits) or any(table.resampled for table in tables):
        return
    kind, rows = type(fits[0]).__name__, f"{tables[0].count} rows"
    remedy = f"pass scm={getattr(fits[0], 'how_to_refit', f'{kind}.bootstrap(X, graph)')}"
    if len(fits) > 1 and all(table == tables[0] for table in tables):
        warn_caller(
            f"the {len(fits)} causal models learned from the same {rows}: their spread is that of training, and the "
            f"error bar leaves out that of the rows; {remedy}",
            ApproximationWarning,
        )
    if len(fits) == 1 and not isinstance(fits[0], LinearModel):
        warn_caller(
            f"the error bar holds the sampling of one {kind} alone, not the error of learning it from {rows}, which is "
            f"often many times larger; {remedy}",
            ApproximationWarning,
        )
