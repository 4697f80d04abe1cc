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

from .._checks import as_float_tensor, as_generator
from .._models import accumulator_dtype


@dataclass(frozen=True)
class Moments:
    """Mean ``(k,)``, factor ``(k, R)`` and range of flattened rows, with the rows or a reservoir of them."""

    mean: Tensor
    factor: Tensor
    rows: Tensor
    low: Tensor
    high: Tensor
    shape: tuple[int, ...]
    count: int
    explained: float


def is_batches(X: Any) -> bool:
    """Return whether X is an iterable of batches rather than one table."""
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
        raise ValueError(f"X must have at least one feature, got shape {tuple(X.shape)}: no features")
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
    """Return the moments of a stream, merged batch by batch, with a seeded reservoir of at most ``max_rows`` rows.

    Args:
        batches: of rows ``(b, *shape)``, or of tuples that begin with them.
        rank: as in ``InputDistribution.fit``.
        max_rows: most rows that are kept; every subset of that size is equally likely.
        seed: seed of the subset; None means 0.
    """
    if max_rows < 2:
        raise ValueError(f"max_rows must be at least 2, got {max_rows}")
    generator = as_generator(seed)
    total: _Scatter | None = None
    reservoir: _Reservoir | None = None
    shape: tuple[int, ...] = ()
    for batch in _tensors(batches):
        rows = batch.reshape(batch.shape[0], -1)
        if total is None or reservoir is None:
            shape, total, reservoir = tuple(batch.shape[1:]), _scatter(rows), _Reservoir(rows, max_rows, generator)
        elif tuple(batch.shape[1:]) != shape:
            raise ValueError(f"X must hold batches of one shape, got {shape} and {tuple(batch.shape[1:])}: they differ")
        else:
            total = _merged(total, _scatter(rows))
            reservoir.add(rows)
    if total is None or reservoir is None or total.count < 2:
        raise ValueError(f"X must hold at least 2 rows, got a stream of {0 if total is None else total.count}")
    factor, explained = _truncate(*_eigen(total.scatter / total.count), rank)
    dtype = reservoir.rows.dtype
    ends = total.low.double().cpu(), total.high.double().cpu()
    return Moments(total.mean.to(dtype), factor.to(dtype), reservoir.rows, *ends, shape, total.count, explained)


@dataclass(frozen=True)
class _Scatter:
    """Count, mean ``(k,)``, sum of centred squares ``(k, k)`` and range of some rows, in the accumulators' dtype."""

    count: int
    mean: Tensor
    scatter: Tensor
    low: Tensor
    high: Tensor


def _scatter(rows: Tensor) -> _Scatter:
    wide = rows.to(accumulator_dtype(rows.device))
    mean = wide.mean(0)
    return _Scatter(rows.shape[0], mean, (wide - mean).T @ (wide - mean), wide.amin(0), wide.amax(0))


def _merged(a: _Scatter, b: _Scatter) -> _Scatter:
    """Return the sums of the rows of both (Chan, Golub, LeVeque 1979)."""
    total, delta = a.count + b.count, b.mean - a.mean
    scatter = a.scatter + b.scatter + torch.outer(delta, delta) * (a.count * b.count / total)
    low, high = torch.minimum(a.low, b.low), torch.maximum(a.high, b.high)
    return _Scatter(total, a.mean + delta * (b.count / total), scatter, low, high)


class _Reservoir:
    """The rows with the largest of independent random keys: a uniform subset, whatever batches they came in."""

    def __init__(self, rows: Tensor, most: int, generator: torch.Generator) -> None:
        self.rows, self.most, self.generator = rows[:0], most, generator
        self.keys = torch.empty(0, dtype=torch.float64)  # float64: equal keys would favour early rows
        self.add(rows)

    def add(self, rows: Tensor) -> None:
        """Add a batch of rows ``(b, k)``; new ones replace those that drop out."""
        keys = torch.rand(len(rows), generator=self.generator, dtype=torch.float64)
        free = self.most - len(self.rows)
        if free:
            self.rows, self.keys = torch.cat([self.rows, rows[:free]]), torch.cat([self.keys, keys[:free]])
            rows, keys = rows[free:], keys[free:]
        kept = torch.zeros(len(self.keys) + len(keys), dtype=torch.bool)
        kept[torch.cat([self.keys, keys]).topk(len(self.keys)).indices] = True
        out, new = ~kept[: len(self.keys)], kept[len(self.keys) :]
        self.rows[out.to(rows.device)], self.keys[out] = rows[new.to(rows.device)], keys[new]


def _tensors(batches: Iterable[Any]) -> Iterator[Tensor]:
    for batch in batches:
        if isinstance(batch, tuple | list) and batch:
            batch = batch[0]  # (inputs, targets), as a DataLoader yields
        tensor = as_float_tensor(batch, "X (one batch)")
        if tensor.ndim < 2:
            raise ValueError(f"X must hold batches of shape (b, ...), got {tuple(tensor.shape)}")
        if tensor.shape[0]:
            yield tensor


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
            raise ValueError(f"rank must lie in (0, 1) as a share of the variance, got {rank}")
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
