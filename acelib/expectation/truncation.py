"""The curvature that a truncated factor leaves out: a seeded probe of ½ Tr(∇²f (Σ − S Sᵀ)).

With the leading eigenpairs S of Σ only, the dropped variance is no bound for the dropped curvature. A random vector v
with covariance Σ − S Sᵀ has E[½ vᵀ∇²f v] equal to the dropped term; a few of them tell its size, with an error bar.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import as_generator
from .._entrance import admit, two_rows
from .._models import DIFFERENTIATED_CHUNK, Model, as_chunk
from ..curvature import half_trace


def residual_probe(
    model: Model,
    points: Tensor,
    factor: Tensor,
    rows: Tensor,
    *,
    feature: int | Tensor | None = None,
    pinned: Tensor | None = None,
    probes: int = 16,
    seed: int | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return an unbiased estimate of the dropped ½ Tr(∇²f (Σ − S Sᵀ)) and its standard error, each ``(B, outputs)``.

    Args:
        model: as in ``half_trace``.
        points: ``(B, k)``.
        factor: ``(k, R)``, the leading scaled eigenvectors of the covariance of ``rows`` (ddof = 0).
        rows: ``(n, k)``, the data behind Σ.
        feature: as in ``half_trace``: the intervened feature.
        pinned: as in ``half_trace``, instead of ``feature``.
        probes: number of random directions, at least 2.
        seed: seed of the directions; None means 0.
        chunk_size: as in ``half_trace``.

    Raises:
        ValueError: for fewer than two probes, or rows and factor that do not fit together.

    References:
        Chattopadhyay et al., ICML 2019, Eq. 4 with a truncated covariance (Section 4.6).

    Example:
        >>> from acelib.expectation.truncation import residual_probe
        >>> rows = torch.tensor([[1.0, 0.5], [-1.0, 0.5], [1.0, -0.5], [-1.0, -0.5]], dtype=torch.float64)
        >>> leading = torch.tensor([[1.0], [0.0]], dtype=torch.float64)      # Σ = diag(1, 0.25), R = 1
        >>> f = lambda x: (x**2).sum(1, keepdim=True)                        # dropped: 0.25
        >>> estimate, error = residual_probe(f, rows[:1], leading, rows, probes=200)
        >>> assert abs(estimate.item() - 0.25) < 4 * error.item()
    """
    if probes < 2:
        raise ValueError(f"probes must be at least 2, got {probes}; one direction has no error bar")
    if factor.ndim != 2 or rows.ndim != 2 or rows.shape[1] != factor.shape[0]:
        raise ValueError(
            f"factor and rows must have shapes (k, R) and (n, k), got {tuple(factor.shape)} and {tuple(rows.shape)}"
        )
    weights = torch.randn(probes, len(rows), generator=as_generator(seed), dtype=torch.float64).to(points)
    mean, size = rows.mean(0), as_chunk(chunk_size, DIFFERENTIATED_CHUNK)
    directions = points.new_zeros(probes, rows.shape[1])
    for some, block in zip(weights.split(size, 1), rows.split(size), strict=True):
        directions += some @ (block - mean).to(points)
    directions /= len(rows) ** 0.5
    span = torch.linalg.qr(factor.to(points)).Q[:, : factor.shape[1]]
    directions = directions - (directions @ span) @ span.T
    model = admit(model, two_rows(rows, rows[0]).to(points), rows.shape[1:], derivatives=True)
    options = {"feature": feature, "pinned": pinned, "chunk_size": chunk_size}
    terms = torch.stack([half_trace(model, points, v[:, None], **options) for v in directions])
    return terms.mean(0), terms.std(0) / probes**0.5
