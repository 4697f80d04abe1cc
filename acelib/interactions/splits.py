"""The ways in which one input cuts the rows in two: thresholds of a quantity, subsets of a finite set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..inputs.domain import Domain, FiniteSet

MOST_THRESHOLDS = 100  # of a quantity, at quantiles of the rows
EVERY_SUBSET = 8  # values up to which all subsets of a finite set are tried, 127 at most; beyond, see ``splits_of``
LONE = 12  # values up to which each is also tried against the rest


@dataclass(frozen=True, eq=False)
class Splits:
    """The splits of rows by one input.

    The rows lie in bins, and a split names the bins of its first side, so that the sums of all splits follow from
    those of the bins.

    Attributes:
        name: of the input.
        codes: ``(n,)`` bin of each row.
        members: ``(s, bins)`` 1 where a bin is on the first side of a split, else 0; float64.
        conditions: for each split, what the values on either side satisfy, as ``where`` takes it.
    """

    name: str
    codes: Tensor
    members: Tensor
    conditions: Sequence[tuple[Any, Any]]

    def sums(self, table: Tensor) -> Tensor:
        """Return the sums ``(s, c)`` of the columns of ``table (n, c)`` over the first side of every split."""
        bins = torch.arange(self.members.shape[1], device=self.codes.device)
        return self.members @ ((bins[:, None] == self.codes).to(table) @ table)

    def first(self, split: int) -> Tensor:
        """Return which rows ``(n,)`` are on the first side of a split."""
        return self.members[split].bool()[self.codes]

    def at(self, index: Tensor) -> Splits:
        """Return the same splits of some rows."""
        return Splits(self.name, self.codes[index], self.members, self.conditions)

    def to(self, device: torch.device) -> Splits:
        """Return the splits with the bins of the rows on a device."""
        return Splits(self.name, self.codes.to(device), self.members.to(device), self.conditions)

    def allowed(self, weights: Tensor, labels: Tensor | None, least: float) -> Splits | None:
        """Return the splits both of whose sides hold a share of the weight, and at least two groups; None without any.

        Args:
            weights: ``(n,)`` of the rows.
            labels: ``(n,)`` numbers of their groups, or None.
            least: the share.
        """
        left = self.sums(weights[:, None])[:, 0]
        kept = torch.minimum(left, weights.sum() - left) >= least * weights.sum() * (1 - 1e-9)
        if labels is not None:
            for split in kept.nonzero()[:, 0].tolist():
                first = self.first(split)
                kept[split] = min(len(labels[side].unique()) for side in (first, ~first)) > 1
        if not bool(kept.any()):
            return None
        conditions = [self.conditions[int(split)] for split in kept.nonzero()[:, 0]]
        return Splits(self.name, self.codes, self.members[kept], conditions)


def splits_of(name: str, x: Tensor, domain: Domain) -> Splits | None:
    """Return the splits of rows by their values of one input, or None where these are all the same.

    A quantity has at most 100 thresholds, midway between neighbouring values. A finite set of up to 8 values has all
    subsets; of more values, thresholds, and each of up to 12 against the rest.

    Args:
        name: of the input.
        x: ``(n,)`` its values.
        domain: tells quantities from finite sets.

    Example:
        >>> from acelib.inputs.domain import Interval
        >>> found = splits_of("x", torch.tensor([3.0, 1.0, 2.0]), Interval(0.0, 4.0))
        >>> assert found.conditions[0] == ((None, 1.5), (1.5, None))
        >>> assert found.sums(torch.tensor([[5.0], [7.0], [9.0]]).double()).tolist() == [[7.0], [16.0]]
    """
    values, codes = x.unique(return_inverse=True)
    if len(values) < 2:
        return None
    finite = isinstance(domain, FiniteSet)
    if finite and len(values) <= EVERY_SUBSET:
        return _by_subsets(name, values, codes, _subsets(len(values)))
    cuts = (values[1:] + values[:-1]) / 2
    cuts = cuts[(values[:-1] < cuts) & (cuts < values[1:])]  # not between numbers that are neighbours of their dtype
    if not len(cuts):
        return None
    if finite and len(values) <= LONE:
        lone = [(i,) for i in range(1, len(values) - 1)]  # the outermost are cut off by a threshold
        thresholds = [tuple(range(i + 1)) for i in range(len(values) - 1)]
        return _by_subsets(name, values, codes, thresholds + lone)
    if len(cuts) > MOST_THRESHOLDS:
        ranks = torch.linspace(0, len(x) - 1, MOST_THRESHOLDS + 2, dtype=torch.float64)[1:-1].round().long()
        places = torch.searchsorted(cuts, x.sort().values[ranks.to(x.device)])
        cuts = cuts[places[places < len(cuts)].unique()]
    members = torch.ones(len(cuts), len(cuts) + 1, dtype=torch.float64).tril()
    conditions: list[tuple[Any, Any]] = [((None, cut), (cut, None)) for cut in cuts.tolist()]
    return Splits(name, torch.searchsorted(cuts, x.contiguous()), members, tuple(conditions))


def _by_subsets(name: str, values: Tensor, codes: Tensor, subsets: list[tuple[int, ...]]) -> Splits:
    """Return the splits between values, given by number, and the others."""
    members = torch.zeros(len(subsets), len(values), dtype=torch.float64)
    known: list[float] = values.tolist()
    conditions: list[tuple[Any, Any]] = []
    for row, subset in zip(members, subsets, strict=True):
        row[list(subset)] = 1
        inside = frozenset(known[i] for i in subset)
        conditions.append((inside, frozenset(known) - inside))
    return Splits(name, codes, members, tuple(conditions))


def _subsets(count: int) -> list[tuple[int, ...]]:
    """Return the subsets of ``count`` values that hold the first of them, without all: each split once."""
    rest = range(1, count)
    return [(0, *some) for size in range(count - 1) for some in itertools.combinations(rest, size)]
