"""What the fits of the families share: one pass for curves with the same choice, and values that are held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .base import Baseline, Curve, set_baseline
from .samples import Samples


def fit_by_choice(
    chosen: np.ndarray, make: Callable[[int, np.ndarray], Sequence[Curve]], baseline: Baseline
) -> list[Curve]:
    """Return one curve for every entry of ``chosen``, made together where the choice is the same.

    Args:
        chosen: ``(P,)`` what was chosen for each curve: an order, or a number of knots.
        make: function from a choice and the numbers ``(n,)`` of its curves to these curves; they share one basis.
        baseline: ``"uniform"``, ``("data", values)`` or a number; see ``with_baseline``.
    """
    curves: dict[int, Curve] = {}
    for choice in np.unique(chosen):
        index = np.flatnonzero(chosen == choice)
        curves |= zip(index.tolist(), set_baseline(make(int(choice), index), baseline), strict=True)
    return [curves[i] for i in range(len(chosen))]


def shared_entries(samples: Samples, num_weights: int) -> dict[str, Any]:
    """Return the entries that curves over the same values share before ``set_baseline``."""
    return {
        "alphas": samples.alphas,
        "low": samples.low,
        "high": samples.high,
        "baseline_weights": np.zeros(num_weights),
        "baseline_kind": "uniform",
    }


def leave_one_out(residuals: np.ndarray, leverage: np.ndarray) -> np.ndarray:
    """Return held-out residuals ``e_i / (1 − h_ii)`` of a linear smoother with fixed hyperparameters, ``(n, m)``.

    A leverage of 1 means that the value alone decides the curve there, and nothing can be held out; the divisor then
    stays at 1e-10.
    """
    return residuals / np.maximum(1 - leverage, 1e-10)


def leave_clusters_out(
    held_out: np.ndarray, residuals: np.ndarray, basis: np.ndarray, shrink: np.ndarray, clusters: np.ndarray
) -> np.ndarray:
    """Return the held-out residuals ``(n, m)`` where values of one cluster are held out together.

    They are ``(I − H)⁻¹ e`` with H and e of the cluster: a value whose twin stays in would predict it too well.

    Args:
        held_out: of ``leave_one_out``, ``(n, m)``; kept for values without others in their cluster.
        residuals: ``(n, m)``.
        basis: Q with ``H = Q diag(shrink) Qᵀ``, ``(m, p)``.
        shrink: ``(n, p)``.
        clusters: number of the cluster of every value, ``(m,)``.
    """
    labels, counts = np.unique(clusters, return_counts=True)
    for label in labels[counts > 1]:
        members = np.flatnonzero(clusters == label)
        part = basis[members]
        sizes, axes = np.linalg.eigh(np.einsum("ip,np,jp->nij", part, shrink, part))
        along = np.einsum("nij,ni->nj", axes, residuals[:, members]) / np.maximum(1 - sizes, 1e-10)
        held_out[:, members] = np.einsum("nij,nj->ni", axes, along)
    return held_out
