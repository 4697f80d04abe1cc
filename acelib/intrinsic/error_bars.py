"""Error bars from independent replicates: a mean, a ratio of means, and Student's t."""

from __future__ import annotations

from scipy.stats import t as student
from torch import Tensor


def mean_and_stderr(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over the first dimension ``(R, ...)`` of independent replicates, and its standard error."""
    return values.mean(0), values.std(0) / len(values) ** 0.5


def ratio_and_stderr(numerator: Tensor, denominator: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean(numerator) / mean(denominator) and its standard error to first order; ``(R, ...)`` replicates.

    The ratio of the means is less biased than the mean of the ratios, by a factor R.

    Example:
        >>> import torch
        >>> top, bottom = torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0])
        >>> assert [float(x) for x in ratio_and_stderr(top, bottom)] == [2.0, 0.0]
    """
    scale = denominator.mean(0)
    ratio = numerator.mean(0) / scale
    residual = (numerator - ratio * denominator) / scale
    return ratio, residual.std(0) / len(residual) ** 0.5


def interval(value: Tensor, stderr: Tensor, replicates: int, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Return the ends of the Student-t interval with ``replicates`` − 1 degrees of freedom.

    Raises:
        ValueError: if the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    half = (float(student.ppf((1 + level) / 2, replicates - 1)) if replicates > 1 else 0.0) * stderr
    return value - half, value + half
