"""The search for the split that explains most of the spread between individual curves, with its error and control.

Every row has a curve over the values, centred at its own mean; rows whose curves differ are rows with which the input
interacts. A split explains the share 1 − (spread within its two sides) / (spread of all), averaged over the values.
The best of many splits explains something of pure noise, so the share is estimated on rows that did not choose the
split, and the best share is compared with that of the same search after the candidates were permuted.

References:
    Herbinger, Wright, Nagler, Bischl, Casalicchio, Decomposing global feature effects based on feature interactions,
    JMLR 25, 2024.
    Chernozhukov et al., Double/debiased machine learning for treatment and structural parameters, The Econometrics
    Journal 21, 2018 (cross-fitting).
    Westfall, Young, Resampling-based multiple testing, 1993 (the maximum over all candidates).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .splits import Splits

TOGETHER = 2**21  # numbers of the permuted tables that are held at a time: 16 MB in float64
NEGLIGIBLE = 1e-14  # of the largest variance along an axis of the curves: rounding
FOLDS = 5  # parts of the rows that judge in turn
ROUNDED = 64  # units of the outputs' last place within which curves are the same


@dataclass(frozen=True)
class Curves:
    """Centred curves of the rows, in coordinates whose squared lengths are averages over the values.

    Attributes:
        scores: ``(n, r)`` with weighted mean 0.
        weights: ``(n,)``.
        labels: ``(n,)`` numbers 0, 1, ... of groups of dependent rows.
    """

    scores: Tensor
    weights: Tensor
    labels: Tensor

    def at(self, index: Tensor) -> Curves:
        """Return the curves of some rows, around their own mean."""
        weights = self.weights[index]
        scores = self.scores[index]
        labels = self.labels[index].unique(return_inverse=True)[1]
        return Curves(scores - weights @ scores / weights.sum(), weights, labels)

    @property
    def total(self) -> float:
        """Variance of the curves, averaged over the values."""
        return float(self.weights @ self.scores.square().sum(1) / self.weights.sum())

    @property
    def table(self) -> Tensor:
        """``(n, 1 + r)`` weights beside weighted scores."""
        return torch.cat([self.weights[:, None], self.weights[:, None] * self.scores], dim=1)


def centred_curves(outputs: Tensor, weights: Tensor, labels: Tensor | None, eps: float) -> Curves:
    """Return the centred curves of outputs ``(m, n)`` in float64; with no coordinates where all of them are the same.

    Args:
        outputs: of the rows under each value.
        weights: ``(n,)``.
        labels: ``(n,)`` groups, or None where each row is one.
        eps: the rounding of the outputs.
    """
    apart = outputs - outputs.mean(0)
    apart = (apart - (apart @ weights / weights.sum())[:, None]).T / len(outputs) ** 0.5
    labels = torch.arange(len(weights), device=weights.device) if labels is None else labels
    variances, axes = torch.linalg.eigh(apart.T @ (weights[:, None] * apart) / weights.sum())
    rounding = (ROUNDED * eps * float(outputs.abs().max())) ** 2
    kept = variances > max(NEGLIGIBLE * float(variances[-1]), rounding)
    return Curves(apart @ axes[:, kept], weights, labels)


def explained(splits: Splits, tables: Tensor, total: Tensor | float, least: float) -> Tensor:
    """Return the shares ``(s, b)`` that each split explains in each of b tables; 0 where a side is too small.

    Args:
        splits: of the n rows.
        tables: ``(n, b, 1 + r)`` weights beside weighted scores, which sum to 0.
        total: the variance of the curves.
        least: share of the weight that either side must hold.
    """
    n, b, columns = tables.shape
    sums = splits.sums(tables.reshape(n, b * columns)).reshape(-1, b, columns)
    whole = tables[:, :, 0].sum(0)
    left, right = sums[..., 0], whole - sums[..., 0]
    allowed = torch.minimum(left, right) >= least * whole * (1 - 1e-9)
    between = sums[..., 1:].square().sum(-1) * (1 / left + 1 / right)
    return torch.where(allowed, between / (whole * total), 0.0)


def best_splits(candidates: Sequence[Splits], curves: Curves, least: float) -> tuple[Tensor, Tensor]:
    """Return the largest share ``(K,)`` that a split of each candidate explains in these rows, and its number."""
    table, total = curves.table[:, None], curves.total
    found = [explained(one, table, total, least)[:, 0].max(0) for one in candidates]
    return torch.stack([best.values for best in found]), torch.stack([best.indices for best in found])


@dataclass(frozen=True)
class Crossed:
    """Shares estimated on rows that did not choose the split, for K candidates and for the best of them.

    Attributes:
        shares: ``(K + 1,)``; the last entry is that of the whole search.
        stderr: ``(K + 1,)`` their standard errors.
        freedom: degrees of freedom.
        chosen: numbers of the candidate and of its split that each four fifths of the rows chose.
    """

    shares: Tensor
    stderr: Tensor
    freedom: float
    chosen: tuple[tuple[int, int], ...]


def crossed(candidates: Sequence[Splits], curves: Curves, least: float, generator: torch.Generator) -> Crossed:
    """Return the shares of splits that are chosen on four fifths of the rows and judged on the last fifth, in turn.

    Fifths are of whole groups. Spread and explained spread of all fifths are added up before they are divided. To first
    order the error does not depend on which split near the best was chosen, since the share is largest there.
    """
    fifths = folds(curves.labels, generator)
    parts: list[list[Judged]] = []
    chosen, units = [], 0.0
    for fold in fifths.unique().tolist():
        choose, judge = ((fifths != fold).nonzero()[:, 0], (fifths == fold).nonzero()[:, 0])
        here, there = curves.at(choose), curves.at(judge)
        best, which = best_splits([one.at(choose) for one in candidates], here, least)
        judged = [
            judged_split(one.at(judge).first(int(split)), there) for one, split in zip(candidates, which, strict=True)
        ]
        winner = int(best.argmax())
        chosen.append((winner, int(which[winner])))
        parts.append([*judged, judged[winner]])
        units += independent(there)
    pooled = curves.scores.new_tensor([pooled_share(each) for each in zip(*parts, strict=True)])
    return Crossed(pooled[:, 0], pooled[:, 1], units - len(parts), tuple(chosen))


def folds(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return a number from 0 to 4 for each row ``(n,)``, the same for a whole group, drawn at random."""
    sizes = labels.bincount().cpu()
    order = torch.randperm(len(sizes), generator=generator)
    before = sizes[order].cumsum(0) - sizes[order] / 2  # rows up to the middle of each group
    fold = torch.empty(len(sizes), dtype=torch.long)
    fold[order] = (before * FOLDS / len(labels)).long().clamp_max(FOLDS - 1)
    return fold.to(labels.device)[labels]


def independent(curves: Curves) -> float:
    """Return the effective number of independent rows or groups: (Σ w)² / Σ w² over the weights of the groups."""
    each = _grouped(curves.weights, curves.labels)
    return float(each.sum() ** 2 / each.square().sum())


class Judged(NamedTuple):
    """What a given split leaves unexplained in rows that did not choose it.

    Attributes:
        apart: ``(n,)`` squared distances of the curves from the mean of their side,
        squares: ``(n,)`` and from the mean of all; both as from a mean of the other rows (or groups).
        curves: of these rows.
    """

    apart: Tensor
    squares: Tensor
    curves: Curves


def judged_split(first: Tensor, curves: Curves) -> Judged:
    """Return how far the curves are from the means of the sides of a split.

    Args:
        first: ``(n,)`` whether a row is on the first side.
        curves: of rows that did not choose the split.
    """
    squares = _distances(curves)
    apart = squares.clone()
    for side in (first, ~first):
        if len(curves.labels[side].unique()) > 1:  # a side of one row (or group) is its own mean, and tells nothing
            apart[side] = _distances(curves.at(side.nonzero()[:, 0]))
    return Judged(apart, squares, curves)


def _distances(curves: Curves) -> Tensor:
    """Return squared distances ``(n,)`` from the mean, without the part of it that is the row's or group's own.

    A row pulls the mean towards itself by its share h of the weight; d² / (1 − h) averages to the variance.
    """
    own = curves.weights / curves.weights.sum()
    pull = _grouped(own, curves.labels)[curves.labels]
    return curves.scores.square().sum(1) / (1 - pull).clamp_min(0.5)


def pooled_share(parts: Sequence[Judged]) -> tuple[float, float]:
    """Return the share over several sets of rows, and its standard error.

    The error is that of the influence function, −(d_side² − (1 − share) d²) / total, with d the distance of a curve
    from the mean of all or of its side.
    """
    total = sum(float(part.curves.weights @ part.squares) for part in parts)
    if total <= 0:
        return 0.0, 0.0
    share = 1 - sum(float(part.curves.weights @ part.apart) for part in parts) / total
    variance = 0.0
    for part in parts:
        influence = part.apart - (1 - share) * part.squares
        w = part.curves.weights
        influence = influence - w @ influence / w.sum()
        variance += _variance((w * influence / total)[:, None], part.curves.labels)
    return share, variance**0.5


def _variance(parts: Tensor, labels: Tensor) -> float:
    """Return the variance of a sum of parts ``(n, r)`` with mean 0, summed over r; groups are independent."""
    each = _grouped(parts, labels)
    return float(each.square().sum()) * len(each) / max(1, len(each) - 1)


def _grouped(parts: Tensor, labels: Tensor) -> Tensor:
    return parts.new_zeros(int(labels.max()) + 1, *parts.shape[1:]).index_add_(0, labels, parts)


def permuted_best(
    candidates: Sequence[Splits], curves: Curves, least: float, count: int, generator: torch.Generator
) -> Tensor:
    """Return the largest share over all candidates and splits ``(count,)`` after each of so many permutations.

    One permutation moves the values of all candidates together, so that they keep their dependence on each other.
    """
    total, table = curves.total, curves.table
    found = []
    for tables in _permuted(table, curves.labels, count, generator):
        found.append(torch.stack([explained(one, tables, total, least).amax(0) for one in candidates]).amax(0))
    return torch.cat(found)


def _permuted(table: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield tables ``(n, b, columns)`` whose rows lie beside the candidates of other rows.

    Whole groups are permuted: row j of a group meets row j of another one, from the start again where that is shorter.
    With groups of one size that is a permutation of the rows.
    """
    n, columns = table.shape
    order = labels.cpu().argsort(stable=True)
    sizes, table = labels.cpu().bincount(), table[order.to(table.device)]
    starts = sizes.cumsum(0) - sizes
    owner = labels.cpu()[order]
    within = torch.arange(n) - starts[owner]
    size = max(1, TOGETHER // (n * columns))
    for part in torch.arange(count).split(size):
        tables = table.new_zeros(n, len(part), columns)
        for b in range(len(part)):
            other = torch.randperm(len(sizes), generator=generator)[owner]
            beside = order[starts[other] + within % sizes[other]]
            tables[:, b].index_add_(0, beside.to(table.device), table)
        yield tables
