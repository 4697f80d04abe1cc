"""Error bars from independent replicates: a mean, a ratio of means, and Student's t."""

from __future__ import annotations

import torch
from torch import Tensor

from .._intervals import satterthwaite, student


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
    half = float(student(replicates - 1, level)) * stderr
    return value - half, value + half


def student_interval(value: Tensor, stderr: Tensor, degrees: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Return the ends of Student-t intervals with ``degrees`` of freedom each; where they are 0, the error is 0 too.

    Raises:
        ValueError: if the level is not between 0 and 1.
    """
    quantile = torch.as_tensor(student(degrees.clamp_min(1e-3).double().cpu().numpy(), level))
    half = torch.where(degrees > 0, quantile.to(stderr) * stderr, torch.zeros_like(stderr))
    return value - half, value + half


def degrees_of_sum(one: Tensor, degrees_of_one: Tensor, other: Tensor, degrees_of_other: Tensor) -> Tensor:
    """Return the degrees of freedom of the standard error ``hypot(one, other)`` of two independent errors.

    References:
        Satterthwaite (1946).

    Example:
        >>> each, both = torch.tensor([3.0]), torch.tensor([10.0])
        >>> assert degrees_of_sum(each, both, each, both).tolist() == [20.0]
        >>> assert degrees_of_sum(0 * each, both, each, both).tolist() == [10.0]
    """
    pairs = ((one, degrees_of_one), (other, degrees_of_other))
    found = satterthwaite([(error.square().cpu(), degrees.clamp_min(1).cpu()) for error, degrees in pairs])
    return torch.where((one > 0) | (other > 0), torch.as_tensor(found).to(one), degrees_of_one)
