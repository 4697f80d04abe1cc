"""Curves of a list of networks (training seeds): how far their mean is from the mean over all seeds there could be.

Every regressor is a linear smoother, ``w = L y``. The weights of one network's curve are then ``w_s = L y_s`` with the
smoother of the mean curve, and w is their mean. Any contrast r of the weights (a value of the curve, the baseline, or
their difference, the ACE) has the variance

    Var[r w] = r L Σ Lᵀ rᵀ  +  Σ_s (r w_s − r w)² / (S (S − 1))

from the rows and from the choice of S networks, with n − 1 (or groups − 1) and S − 1 degrees of freedom. Each network
keeps its whole curve, so what shifts curve and baseline alike cancels in the ACE. The curves come from the same rows,
so their spread also holds what the rows do to the differences between networks: a share 1/n of these, by which the band
is a little too wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from .base import Regressor

Curve = TypeVar("Curve", bound="Regressor")


def with_sources(curves: Sequence[Curve], freedom: float | None, models: np.ndarray | None = None) -> list[Curve]:
    """Return curves whose bands know how many rows, and which networks, stand behind their expectations.

    Args:
        curves: P regressors over the same m values.
        freedom: degrees of freedom of their covariance: independent rows or groups, minus 1; None if unknown.
        models: ``(S, m, P)`` expectations of each network, whose mean was fitted; None for a single one.

    Example:
        >>> from acelib.regressors import CausalTable
        >>> one = CausalTable.fit([0.0, 1.0], [1.0, 3.0])
        >>> (two,) = with_sources([one], 99.0, np.array([[[0.0], [2.0]], [[2.0], [4.0]]]))
        >>> assert two.predict(0.0, return_std=True)[1] == 1  # standard deviation √2 of two networks, over √2
        >>> assert two.ace(0.0, return_std=True)[1] == 0  # which differ by a constant
    """
    if models is None:
        return [replace(curve, freedom=freedom) for curve in curves]
    each = (curve.smoothed(models[:, :, i]) for i, curve in enumerate(curves))
    return [replace(c, freedom=freedom, model_weights=w) for c, w in zip(curves, each, strict=True)]


def between_models(rows: np.ndarray, model_weights: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Return the variance ``(n,)`` of contrasts of the weights from the choice of networks, and its degrees of freedom.

    Args:
        rows: ``(n, p)`` contrasts.
        model_weights: ``(S, p)`` weights of each network's curve; None for a single network.
    """
    if model_weights is None:
        return np.zeros(len(rows)), math.inf
    found = model_weights - model_weights.mean(axis=0)
    count = len(found)
    return ((rows @ found.T) ** 2).sum(axis=1) / (count * (count - 1)), count - 1


def check_sources(freedom: Any, model_weights: Any, num_weights: int) -> None:
    """Raise a ValueError for degrees of freedom or weights of networks that cannot be, as in a file changed by hand."""
    number = isinstance(freedom, int | float) and not isinstance(freedom, bool)
    if freedom is not None and not (number and 0 < freedom < math.inf):
        raise ValueError(f"data must hold positive degrees of freedom, got {freedom!r}")
    if model_weights is None:
        return
    shape = np.shape(model_weights)
    fits = isinstance(model_weights, np.ndarray) and len(shape) == 2 and shape[0] > 1 and shape[1] == num_weights
    if not fits or not np.isfinite(model_weights).all():
        raise ValueError(f"data must hold finite model_weights (networks, {num_weights}), got the shape {shape}")
