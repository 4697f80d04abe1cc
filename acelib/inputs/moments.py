"""Mean and factor of a table or of a stream: population moments (ddof = 0) in float64, cast back at the end.

Moments are those of the very rows that are averaged over, so that the second-order expansion of a quadratic function
equals its row average exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._checks import as_float_tensor
from .._models import accumulator_dtype


@dataclass(frozen=True)
class Moments:
    """Flattened rows (or a reservoir of them) with mean ``(k,)``, factor ``(k, R)`` and range."""

    mean: Tensor
    factor: Tensor
    rows: Tensor
    low: Tensor
    high: Tensor
    shape: tuple[int, ...]
    count: int
    explained: float


def is_batches(X: Any) -> bool:
    """Whether X is an iterable of batches rather than one table."""
    if isinstance(X, Tensor | np.ndarray) or hasattr(X, "__array__") or hasattr(X, "columns"):
        return False
    if isinstance(X, list | tuple):
        first = X[0] if X else None
        return isinstance(first, Tensor | np.ndarray) and first.ndim >= 2
    return isinstance(X, Iterable)


def factorise_rows(X: Tensor, *, rank: int | float | None) -> Moments:
    """Return the moments of ``X (n, *shape)``; by singular values where there are fewer rows than features."""
    if X.ndim < 2 or X.shape[0] < 2:
        raise ValueError(f"X must have shape (n, ...) with at least n = 2 rows, got {tuple(X.shape)}")
    shape = tuple(X.shape[1:])
    rows = X.reshape(X.shape[0], -1)
    if rows.shape[1] == 0:
        raise ValueError(f"X has no features: shape {tuple(X.shape)}")
    wide = rows.to(accumulator_dtype(rows.device))
    mean = wide.mean(0)
    centred = wide - mean
    n, k = rows.shape
    if n <= k:
        _, singular, right = torch.linalg.svd(centred, full_matrices=False)
        variances, vectors = singular.square() / n, right.T
    else:
        variances, vectors = _eigen(centred.T @ centred / n)
    factor, explained = _truncate(variances, vectors, rank)
    low, high = rows.amin(0).double().cpu(), rows.amax(0).double().cpu()
    return Moments(mean.to(rows.dtype), factor.to(rows.dtype), rows, low, high, shape, n, explained)


def factorise_stream(batches: Iterable[Any], *, rank: int | float | None, max_rows: int, seed: int | None) -> Moments:
    """Return the moments of a stream, merged batch by batch, with a seeded reservoir of at most ``max_rows`` rows."""
    if max_rows < 2:
        raise ValueError(f"max_rows must be at least 2, got {max_rows}")
    generator = torch.Generator()
    generator.manual_seed(seed) if seed is not None else generator.seed()
    count, shape, mean, scatter, low, high, reservoir = 0, None, None, None, None, None, None
    for batch in _tensors(batches):
        if shape is None:
            shape = tuple(batch.shape[1:])
        elif tuple(batch.shape[1:]) != shape:
            raise ValueError(f"batches of X differ in shape: {shape} and {tuple(batch.shape[1:])}")
        rows = batch.reshape(batch.shape[0], -1)
        wide = rows.to(accumulator_dtype(rows.device))
        own = wide.mean(0)
        spread = (wide - own).T @ (wide - own)
        least, most = wide.amin(0), wide.amax(0)
        if mean is None:
            mean, scatter, low, high = own, spread, least, most
        else:  # Chan, Golub, LeVeque (1979): merge two sets' moments
            total, delta = count + rows.shape[0], own - mean
            scatter = scatter + spread + torch.outer(delta, delta) * (count * rows.shape[0] / total)
            mean = mean + delta * (rows.shape[0] / total)
            low, high = torch.minimum(low, least), torch.maximum(high, most)
        reservoir = _reserve(reservoir, rows, count, max_rows, generator)
        count += rows.shape[0]
    if count < 2:
        raise ValueError(f"X, a stream of batches, brought {count} rows; at least 2 are needed")
    factor, explained = _truncate(*_eigen(scatter / count), rank)
    dtype = reservoir.dtype
    ends = low.double().cpu(), high.double().cpu()
    return Moments(mean.to(dtype), factor.to(dtype), reservoir, *ends, shape, count, explained)


def _tensors(batches: Iterable[Any]) -> Iterator[Tensor]:
    for batch in batches:
        if isinstance(batch, tuple | list) and batch:
            batch = batch[0]  # (inputs, targets), as a DataLoader yields
        tensor = as_float_tensor(batch, "a batch of X")
        if tensor.ndim < 2:
            raise ValueError(f"a batch of X must have shape (b, ...), got {tuple(tensor.shape)}")
        if tensor.shape[0]:
            yield tensor


def _reserve(held: Tensor | None, rows: Tensor, seen: int, most: int, generator: torch.Generator) -> Tensor:
    """Algorithm R (Vitter 1985): after t rows each of them is in the reservoir with probability most / t."""
    held = rows[:0] if held is None else held
    free = max(0, most - held.shape[0])
    held = torch.cat([held, rows[:free]])
    for offset in range(free, rows.shape[0]):
        place = int(torch.randint(seen + offset + 1, (), generator=generator))
        if place < most:
            held[place] = rows[offset]
    return held


def _eigen(covariance: Tensor) -> tuple[Tensor, Tensor]:
    variances, vectors = torch.linalg.eigh(covariance)
    return variances.flip(0).clamp_min(0), vectors.flip(1)


def _truncate(variances: Tensor, vectors: Tensor, rank: int | float | None) -> tuple[Tensor, float]:
    """Return the factor with columns in falling variance and the share of variance it explains."""
    total = variances.sum()
    noise = variances.max() * len(variances) * torch.finfo(variances.dtype).eps
    keep = max(1, int((variances > noise).sum()))
    if isinstance(rank, float) and rank < 1:
        if rank <= 0:
            raise ValueError(f"rank as a share of the variance must lie in (0, 1), got {rank}")
        shares = variances.cumsum(0) / total.clamp_min(torch.finfo(total.dtype).tiny)
        keep = min(keep, int((shares < rank).sum()) + 1)
    elif rank is not None:
        if int(rank) != rank or rank < 1:
            raise ValueError(f"rank must be a positive integer or a share below 1, got {rank}")
        keep = min(keep, int(rank))
    vectors = vectors[:, :keep]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * torch.where(largest < 0, -1.0, 1.0)  # eigenvectors have no sign of their own: fix one
    explained = float(variances[:keep].sum() / total) if total > 0 else 1.0
    return vectors * variances[:keep].sqrt(), explained
