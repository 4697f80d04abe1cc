"""Mean and factor of a table or of a stream: population moments (ddof = 0) in float64, cast back at the end.

Moments are those of the very rows that are averaged over, so that the second-order expansion of a quadratic function
equals its row average exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._checks import as_count, as_generator, as_index
from .._devices import double
from .._maps import slabs
from .domain import FiniteSet
from .finite_sets import Levels
from .streams import Kept, check_shape, tensors_of


@dataclass(frozen=True)
class Moments:
    """Mean ``(k,)``, factor ``(k, R)`` and range of flattened rows, with the rows or a reservoir of them.

    ``count`` is the number of rows, with weights their effective number; ``sets`` are the columns of a table that are
    finite sets; ``names`` are those of data frames.
    """

    mean: Tensor
    factor: Tensor
    rows: Tensor
    low: Tensor
    high: Tensor
    shape: tuple[int, ...]
    count: float
    explained: float
    sets: dict[int, FiniteSet]
    names: tuple[str, ...] | None = None


def factorise_rows(
    X: Tensor, *, rank: int | float | None, weights: Tensor | None = None, whole: Sequence[bool] = (False,)
) -> Moments:
    """Return the moments of ``X (n, *shape)``; by singular values where there are fewer rows than features.

    Args:
        X: the rows, which the moments keep.
        rank: as in ``InputDistribution.fit``.
        weights: ``(n,)`` weights of the rows, with a mean of 1; None where all are the same.
        whole: which columns came as whole numbers, or whether all did.
    """
    if X.ndim < 2 or X.shape[0] < 2:
        hint = "; give one feature as X[:, None]" if X.ndim == 1 else ""
        raise ValueError(f"X must have shape (n, ...) with at least n = 2 rows, got {tuple(X.shape)}{hint}")
    shape = tuple(X.shape[1:])
    rows = X.reshape(X.shape[0], -1)
    if rows.shape[1] == 0:
        raise ValueError(f"X must have at least one feature, got shape {tuple(X.shape)}: no features")
    wide = double(rows)
    n, k = rows.shape
    if weights is None:
        mean, count, present = wide.mean(0), n, rows
        spread = centred = wide - mean
    else:
        w = weights.to(wide)
        mean, count, present = w @ wide / n, float(w.sum() ** 2 / w.square().sum()), rows[(weights > 0).to(rows.device)]
        centred = wide - mean
        spread = centred * w[:, None]
    if n <= k:
        roots = centred if weights is None else centred * weights.to(wide).sqrt()[:, None]
        _, singular, right = torch.linalg.svd(_finite(roots), full_matrices=False)
        variances, vectors = singular.square() / n, right.T
    else:
        variances, vectors = _eigen(spread.T @ centred / n)
    factor, explained = _truncate(_finite(variances), vectors, rank)
    ends = present.amin(0).cpu().double(), present.amax(0).cpu().double()
    levels = Levels()
    if len(shape) == 1:  # images and sequences have levels of grey and of loudness, no codes
        levels.add(present, whole)
    return Moments(mean.to(rows), factor.to(rows), rows, *ends, shape, count, explained, levels.sets())


def factorise_stream(batches: Iterable[Any], *, rank: int | float | None, max_rows: int, seed: int | None) -> Moments:
    """Return the moments of a stream, merged batch by batch, with a seeded reservoir of at most ``max_rows`` rows.

    Args:
        batches: of rows ``(b, *shape)``, or of tuples that begin with them. Data frames are put together by name.
        rank: as in ``InputDistribution.fit``.
        max_rows: most rows that are kept; every subset of that size is equally likely.
        seed: seed of the subset; None means 0.
    """
    max_rows = as_count(max_rows, "max_rows", "the rows that are kept of a stream", minimum=2)
    generator, levels = as_generator(seed), Levels()
    total: _Scatter | None = None
    reservoir: _Reservoir | None = None
    shape: tuple[int, ...] = ()
    names: tuple[str, ...] | None = None
    for batch, whole, found in tensors_of(batches):
        names = found
        rows = batch.reshape(batch.shape[0], -1)
        if total is None or reservoir is None:
            shape, total, reservoir = tuple(batch.shape[1:]), _scatter(rows), _Reservoir(rows, max_rows, generator)
        else:
            check_shape(shape, batch)
            if rows.device != reservoir.rows.device:
                device = reservoir.rows.device
                raise ValueError(
                    f"X must hold batches on one device, got {device} and {rows.device}; move one by .to()"
                )
            total = _merged(total, _scatter(rows))
            reservoir.add(rows)
        if len(shape) == 1:
            levels.add(rows, whole)
    if total is None or reservoir is None or total.count < 2:
        raise ValueError(f"X must hold at least 2 rows, got a stream of {0 if total is None else int(total.count)}")
    factor, explained = _truncate(*_eigen(total.scatter / total.count), rank)
    ends = total.low.cpu().double(), total.high.cpu().double()
    moments = total.mean.to(reservoir.rows), factor.to(reservoir.rows), reservoir.rows
    return Moments(*moments, *ends, shape, int(total.count), explained, levels.sets(), names)


def factorise_kept(kept: Kept, *, rank: int | float | None, weights: Tensor | None = None) -> Moments:
    """Return the moments of rows in a file, read in one pass; the arguments are those of ``factorise_rows``."""
    total, levels, start = None, Levels(), 0
    for rows in slabs(kept.rows):
        w = None if weights is None else weights[start : start + len(rows)]
        start += len(rows)
        if w is not None:
            rows, w = rows[w > 0], w[w > 0]
        if len(rows):
            total = _scatter(rows, w) if total is None else _merged(total, _scatter(rows, w))
            if len(kept.shape) == 1:
                levels.add(rows, kept.whole)
    assert total is not None, "some rows have weights"
    factor, explained = _truncate(*_eigen(total.scatter / total.count), rank)
    count = len(kept.rows) if weights is None else float(weights.sum() ** 2 / weights.square().sum())
    moments = total.mean.to(kept.rows), factor.to(kept.rows), kept.rows
    return Moments(*moments, total.low, total.high, kept.shape, count, explained, levels.sets(), kept.names)


@dataclass(frozen=True)
class _Scatter:
    """Weight, mean ``(k,)``, sum of centred squares ``(k, k)`` and range of some rows, in the accumulators' dtype."""

    count: float
    mean: Tensor
    scatter: Tensor
    low: Tensor
    high: Tensor


def _scatter(rows: Tensor, weights: Tensor | None = None) -> _Scatter:
    wide = double(rows)
    if weights is None:
        mean = wide.mean(0)
        return _Scatter(rows.shape[0], mean, (wide - mean).T @ (wide - mean), wide.amin(0), wide.amax(0))
    total = float(weights.sum())
    mean = weights.to(wide) @ wide / total
    spread = (wide - mean) * weights.to(wide)[:, None]
    return _Scatter(total, mean, spread.T @ (wide - mean), wide.amin(0), wide.amax(0))


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
        self.rows = self.rows.to(torch.promote_types(self.rows.dtype, rows.dtype))  # later batches may need float64
        keys = torch.rand(len(rows), generator=self.generator, dtype=torch.float64)
        free = self.most - len(self.rows)
        if free:
            self.rows, self.keys = torch.cat([self.rows, rows[:free]]), torch.cat([self.keys, keys[:free]])
            rows, keys = rows[free:], keys[free:]
        kept = torch.zeros(len(self.keys) + len(keys), dtype=torch.bool)
        kept[torch.cat([self.keys, keys]).topk(len(self.keys)).indices] = True
        out, new = ~kept[: len(self.keys)], kept[len(self.keys) :]
        self.rows[out.to(rows.device)], self.keys[out] = rows[new.to(rows.device)].to(self.rows.dtype), keys[new]


def _eigen(covariance: Tensor) -> tuple[Tensor, Tensor]:
    variances, vectors = torch.linalg.eigh(_finite(covariance))
    return variances.flip(0).clamp_min(0), vectors.flip(1)


def _finite(second: Tensor) -> Tensor:
    """Return second moments as they are, or raise a ValueError where they are beyond the largest float."""
    if not bool(torch.isfinite(second).all()):
        raise ValueError("X must have variances that a float holds, got ones beyond the largest; rescale its columns")
    return second


def _truncate(variances: Tensor, vectors: Tensor, rank: int | float | None) -> tuple[Tensor, float]:
    """Return the factor with columns in falling variance and the share of variance it explains."""
    total = variances.sum()
    noise = variances.max() * len(variances) * torch.finfo(variances.dtype).eps
    keep = max(1, int((variances > noise).sum()))
    if rank is not None and hasattr(rank, "__float__") and as_index(rank) is None and not isinstance(rank, bool):
        rank = float(rank)  # of numpy or torch
    if isinstance(rank, float):
        if not 0 < rank <= 1:
            raise ValueError(f"rank must be a positive integer, or a share of the variance in (0, 1], got {rank}")
        shares = variances.cumsum(0) / total.clamp_min(torch.finfo(total.dtype).tiny)
        keep = min(keep, int((shares < rank).sum()) + 1) if rank < 1 else keep
    elif rank is not None:
        keep = min(keep, as_count(rank, "rank", "the columns of the factor"))
    vectors = vectors[:, :keep]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * torch.where(largest < 0, -1.0, 1.0)  # eigenvectors have no sign of their own: fix one
    explained = float(variances[:keep].sum() / total) if total > 0 else 1.0
    return vectors * variances[:keep].sqrt(), explained
