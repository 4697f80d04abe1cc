"""Integrated gradients of networks that switch within a small stretch of the path, and agreement of two rankings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor

from acelib._optional import optional

PIECES, NODES, ROUNDS = 32, 16, 40  # of a path: pieces to start with, points in each, times that one may be halved


def integrated_gradients(model: Callable, x: Tensor, *, tolerance: float = 1e-4) -> Tensor:
    """Return the ``(n, k)`` integrated gradients from zero, by Captum, piece by piece until every piece adds up.

    The path from 0 to x is cut into pieces; integrated gradients of a piece are the piece's share of the integral.
    A piece whose attributions do not sum to the change of f along it, within the tolerance, is halved: a fixed
    number of points misses a network that switches within a millionth of the path.

    Args:
        model: ``(batch, k) -> (batch, 1)``.
        x: ``(n, k)``.
        tolerance: for each piece, in the unit of the output.

    Raises:
        RuntimeError: if pieces halved 40 times still do not add up: the function jumps.

    References:
        Sundararajan, Taly, Yan 2017, Eq. 1 and Proposition 1 (completeness).

    Example:
        >>> x = torch.tensor([[2.0, 1.0]], dtype=torch.float64)
        >>> steep = lambda x: torch.sigmoid(1e6 * (x.sum(1, keepdim=True) - 1.234))
        >>> found = integrated_gradients(steep, x)
        >>> assert abs(found.sum().item() - 1) < 1e-3 and abs(found[0, 0] / found[0, 1] - 2) < 1e-6
    """
    path, total = optional("captum.attr", "integrated gradients").IntegratedGradients(model), torch.zeros_like(x)
    ends = torch.linspace(0, 1, PIECES + 1, dtype=x.dtype)
    rows = torch.arange(len(x)).repeat_interleave(PIECES)
    low, high = ends[:-1].repeat(len(x)), ends[1:].repeat(len(x))
    for _ in range(ROUNDS):
        part, gap = path.attribute(
            high[:, None] * x[rows], low[:, None] * x[rows], target=0, n_steps=NODES, return_convergence_delta=True
        )
        good = gap.abs() <= tolerance
        total.index_add_(0, rows[good], part.detach()[good])
        rows, low, high = rows[~good].repeat(2), low[~good], high[~good]
        if not len(rows):
            return total
        middle = (low + high) / 2
        low, high = torch.cat([low, middle]), torch.cat([middle, high])
    raise RuntimeError(f"{len(rows)} pieces of a path do not add up after {ROUNDS} halvings; the model seems to jump")


def agreement(sizes: Any, effects: Any) -> float:
    """Return Kendall's τ-b between two lists of sizes; 0 if one list is constant.

    Args:
        sizes: ``(k,)``, of an attribution method.
        effects: ``(k,)``, of imputation.

    Example:
        >>> assert agreement([3.0, 2.0, 1.0], [1956, 9, 0]) == 1
    """
    found = kendalltau(np.asarray(sizes, dtype=float), np.asarray(effects, dtype=float)).statistic
    return 0.0 if np.isnan(found) else float(found)
