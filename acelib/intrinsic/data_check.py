"""The uncertainty of the target on the data, to hold against that under the causal model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._warnings import ApproximationWarning, warn_caller
from .graph import CausalGraph, read_columns
from .results import IntrinsicContributions
from .scm import CausalModel

BEYOND = 3  # joint standard errors between model and data that chance seldom makes


def tables_of(fits: Sequence[CausalModel], data: Any, graph: CausalGraph) -> list[Tensor]:
    """Return tables ``(n, nodes)`` of the data: what the caller gave, or the rows that the models were fitted on."""
    if data is not None:
        return [read_columns(data, graph).cpu().double()]
    found: list[Tensor] = []
    for fit in fits:
        if fit.fitted is not None and not any(fit.fitted.rows is one for one in found):
            found.append(fit.fitted.rows)
    return found


def variance_of_rows(y: Tensor) -> tuple[float, float]:
    """Return the variance (ddof 0) of outputs ``(n,)`` and its standard error, whatever their law.

    Example:
        >>> found = variance_of_rows(torch.tensor([-1.0, 1.0] * 50))
        >>> assert found == (1.0, 0.0)
    """
    squares = (y - y.mean()).square()
    return float(squares.mean()), float(squares.std() / len(y) ** 0.5)


def entropy_of_rows(p: Tensor) -> tuple[float, float]:
    """Return the entropy in nats of a label with probabilities ``(n, classes)`` by row, and its standard error.

    The entropy of the mean p is too small by ½ tr(D V) to first order, with D = diag(1 / p) and V the covariance of the
    mean, which is added. The error has the variance of this quadratic term beside that of the linear one, which is 0
    where all classes are equally frequent.

    Example:
        >>> value, stderr = entropy_of_rows(torch.tensor([[0.5, 0.5]] * 10, dtype=torch.float64))
        >>> assert abs(value - 0.6931) < 1e-4 and stderr == 0
    """
    mean = p.mean(0)
    held = mean > 0
    logs = torch.where(held, mean, 1.0).log()
    curved = torch.atleast_2d(p[:, held].T.cov()) / mean[held] / len(p)
    value = float(torch.special.entr(mean).sum() + 0.5 * curved.trace())
    linear = float((p @ logs).var() / len(p))
    stderr = math.sqrt(max(linear + 0.5 * float((curved @ curved).trace()), 0.0))
    return min(value, math.log(p.shape[1])), stderr


def mean_over(tables: Iterable[Tensor], uncertainty: Callable[[Tensor], tuple[float, float]]) -> tuple[float, float]:
    """Return the mean over tables of an uncertainty and of its standard error; resamples of one table vary alike."""
    found = torch.tensor([uncertainty(table) for table in tables], dtype=torch.float64).mean(0)
    return float(found[0]), float(found[1])


def warn_of_another_world(result: IntrinsicContributions, rows: int, learned: bool) -> None:
    """Warn where the uncertainty under the model and that on the data differ by more than three joint errors."""
    value, stderr = result.data_uncertainty, result.data_uncertainty_stderr
    if value is None or stderr is None:
        return
    own = result.uncertainty
    joint = math.hypot(result.uncertainty_stderr, stderr)
    if not abs(own - value) > BEYOND * joint + 1e-9 * max(abs(own), abs(value)):
        return
    unit = "Var(Y)" if result.measure == "variance" else "H(Y)"
    kinds = "the kinds of mechanisms and noises" + (", or the training" if learned else "")
    warn_caller(
        f"{unit} is {own:.4g} ± {result.uncertainty_stderr:.1g} under the causal model and {value:.4g} ± {stderr:.1g} "
        f"on {rows} rows of data: the contributions share out what the data do not have; look for missing arrows, and "
        f"at {kinds}",
        ApproximationWarning,
    )
