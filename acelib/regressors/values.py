"""Where a curve is sampled: nodes that average over a domain, and further values where the fit is worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..inputs.domain import Domain, FiniteSet
from .base import Regressor

CHEBYSHEV_VALUES = 33  # per feature, for cached regressors and for the baseline of direct evaluation
TIE = 1e-6  # of the largest: a smaller difference counts as none
FLAT = 1e-6  # of a curve's size: a smaller range counts as this one
ROUNDS = 4  # of refinement


def quadrature(domain: Domain) -> tuple[Tensor, Tensor]:
    """Return nodes and weights that average over a domain: Clenshaw-Curtis on an interval, equal ones on a set."""
    nodes = domain.grid(CHEBYSHEV_VALUES, "chebyshev")
    n = len(nodes)
    if isinstance(domain, FiniteSet) or n == 1:
        return nodes, torch.full((n,), 1 / n, dtype=torch.float64)
    degree = np.arange(n)
    moments = np.where(degree % 2 == 0, 1 / (1.0 - degree**2 + (degree == 1)), 0.0)  # mean of T_j over [-1, 1]
    design = np.polynomial.chebyshev.chebvander(np.cos(np.linspace(np.pi, 0, n)), n - 1)
    return nodes, torch.from_numpy(np.linalg.solve(design.T, moments))


def rounds(total: int) -> list[int]:
    """Return the numbers of further values in at most four rounds."""
    size = -(-total // ROUNDS) if total else 0
    return [min(size, total - start) for start in range(0, total, size)] if total else []


def refined(values: Tensor, fitted: Sequence[Regressor], count: int) -> Tensor:
    """Return the values with ``count`` midpoints beside those whose held-out residual, over all targets, is largest."""
    # Of a flat curve nothing is left but rounding, which must not say where values go.
    scale = [max(float(np.ptp(c.expectations)), FLAT * float(np.abs(c.expectations).max()), 1e-300) for c in fitted]
    residual = torch.from_numpy(np.max([np.abs(c.held_out) / s for c, s in zip(fitted, scale, strict=True)], axis=0))
    gaps = (residual[1:] + residual[:-1]) * (values[1:] - values[:-1])  # wide gaps with large residuals first
    gaps = (gaps / gaps.max().clamp_min(1e-300) / TIE).round()  # rounding does not choose between mirrored places
    chosen = gaps.argsort(descending=True, stable=True)[:count]
    middle = (values[chosen] + values[chosen + 1]) / 2
    return torch.cat([values, middle]).sort().values


def checked_values(domain: Domain, count: int, asked: Tensor | None, generator: torch.Generator) -> Tensor:
    """Return ``(count,)`` values of an interval at which a curve is compared with direct evaluations.

    Args:
        domain: the feature's interval.
        count: how many.
        asked: the values that are read off the curve; half of the result is drawn from these, the rest lies anywhere.
        generator: of the draws.
    """
    values = domain.low + (domain.high - domain.low) * torch.rand(count, generator=generator, dtype=torch.float64)
    if asked is not None:
        inside = asked.detach().cpu().double().clamp(domain.low, domain.high).unique()
        some = inside[torch.randperm(len(inside), generator=generator)[: -(-count // 2)]]
        values[: len(some)] = some
    return values
