"""Held-out residuals of a linear smoother: what a curve says at a sampled value that it has not seen."""

from __future__ import annotations

import numpy as np


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
