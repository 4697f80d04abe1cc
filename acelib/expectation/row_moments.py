"""Streaming moments of model outputs over rows: mean, sampling covariance across values, spread of the ICE curves.

Each row (or group of dependent rows) contributes one whole curve over the values, so the sampling errors at
different values are correlated. With weights w_r and groups g the estimator is the ratio sum_r w_r y_r / sum_r w_r and
its covariance is G / (G - 1) * sum_g s_g s_g^T / (sum w)^2 with s_g = sum_{r in g} w_r (y_r - mean): the sample
covariance over n for independent, equally weighted rows, the cluster-robust one for groups.

Moments of some of the rows can be merged with those of the rows that follow, wherever these were computed: a sum of
products about one shift is that about another plus products of sums (Chan, Golub and LeVeque, 1983).
"""

from __future__ import annotations

import bisect
import itertools

import torch
from torch import Tensor

from .._devices import double
from .skewness import NOTABLE, Cubes

KEPT_ROWS = 50  # individual curves that are remembered for pictures
TOGETHER = 2**20  # outputs that are summed at a time: 8 MB in float64
CANCELLED = 1e-9  # of the error that independent rows would have: what is left of groups whose rows cancel
ROUNDED = 64  # units of the outputs' last place within which rows agree


class _Sums:
    """Weighted sums of deviations d ``(outputs, m, b)``: of weights, of d, and of d d^T ``(outputs, m, m)``."""

    def __init__(self) -> None:
        self.weight, self.first, self.second = 0.0, torch.zeros(()), torch.zeros(())

    def add(self, d: Tensor, w: Tensor | None) -> None:
        """Add rows with these deviations and weights, None for ones."""
        scaled = d if w is None else d * w
        self._add(float(d.shape[2] if w is None else w.sum()), scaled.sum(2), scaled, d)

    def add_totals(self, totals: Tensor, w: Tensor) -> None:
        """Add groups with these weighted sums of deviations and sums of weights; each counts with its weight squared.

        A group's score is t - w * mean, w times the deviation of t / w.
        """
        self._add(float(w.square().sum()), (totals * w).sum(2), totals, totals)

    def _add(self, weight: float, first: Tensor, left: Tensor, right: Tensor) -> None:
        if not self.second.ndim:
            self.weight, self.first, self.second = weight, first, left @ right.transpose(1, 2)
            return
        self.weight += weight
        self.first += first
        self.second.baddbmm_(left, right.transpose(1, 2))

    def merge(self, other: _Sums, delta: Tensor) -> None:
        """Add the sums of deviations about a shift that is ``delta`` (outputs, m) above the own one."""
        if not other.second.ndim:
            return
        apart = delta * other.weight
        first, both = other.first + apart, other.first + apart / 2  # in one product, as in scatter
        left, right = torch.stack((both, delta), 2), torch.stack((delta, both), 1)
        second = torch.baddbmm(other.second, left, right)
        if not self.second.ndim:
            self.weight, self.first, self.second = other.weight, first, second
            return
        self.weight += other.weight
        self.first = self.first + first
        self.second += second

    def copy(self) -> _Sums:
        other = _Sums()
        other.weight, other.first, other.second = self.weight, self.first.clone(), self.second.clone()
        return other

    def scatter(self, mean: Tensor) -> Tensor:
        """Return the sum of weight * (d - mean)(d - mean)^T, ``(outputs, m, m)``."""
        rest = self.first - self.weight / 2 * mean  # what is taken off is rest mean^T + mean rest^T, in one product
        left, right = torch.stack((rest, mean), 2), torch.stack((mean, rest), 1)
        return torch.baddbmm(self.second, left, right, alpha=-1)


_Group = tuple[Tensor, Tensor, Tensor]  # label, totals of deviations (outputs, m, 1), weight (1,)


class _Groups:
    """Sums over groups of rows that follow each other: a group's deviations are added up before they are squared.

    Args:
        inner: whether rows of the first group may have come before, so that it is kept apart, as ``head``.
    """

    def __init__(self, inner: bool = False) -> None:
        self.sums, self.count, self.cubes, self.inner = _Sums(), 0, Cubes(every=inner), inner
        self.head: _Group | None = None
        self.open: _Group | None = None  # the last, of which more rows may come

    def add(self, labels: Tensor, d: Tensor, w: Tensor) -> None:
        found, place = labels.unique_consecutive(return_inverse=True)
        totals = d.new_zeros(*d.shape[:2], len(found)).index_add_(2, place, d * w)
        weights = w.new_zeros(len(found)).index_add_(0, place, w)
        if self.open is not None and bool(self.open[0] == found[0]):
            totals[:, :, :1] += self.open[1]
            weights[:1] += self.open[2]
        else:
            self._end()
        self._close(found[:-1], totals[:, :, :-1], weights[:-1])
        self.open = found[-1], totals[:, :, -1:].clone(), weights[-1:].clone()

    def _close(self, labels: Tensor, totals: Tensor, weights: Tensor) -> None:
        if self.inner and self.head is None and len(weights):
            self.head = labels.reshape(-1)[0].clone(), totals[:, :, :1].clone(), weights[:1].clone()
            totals, weights = totals[:, :, 1:], weights[1:]
        if not len(weights):
            return
        self.count += len(weights)
        self.sums.add_totals(totals, weights)
        self.cubes.add(totals, weights, 1.0)

    def merge(self, other: _Groups, delta: Tensor) -> None:
        """Take in the groups that follow, of deviations about a shift that is ``delta`` above the own one."""
        if other.head is not None:
            self._follow(other.head, delta)
            self._end()  # what lies between comes after it
        if other.count:
            self.count += other.count
            self.sums.merge(other.sums, delta)
            self.cubes.merge(other.cubes, delta)
        if other.open is not None:
            self._follow(other.open, delta)

    def _follow(self, group: _Group, delta: Tensor) -> None:
        """Let a group come next, which may be the last one's rest."""
        label, totals, weight = group[0], group[1] + delta[:, :, None] * group[2], group[2]
        if self.open is not None and bool(self.open[0] == label):
            totals, weight = totals + self.open[1], weight + self.open[2]
        else:
            self._end()
        self.open = label, totals, weight

    def _end(self) -> None:
        """Close the last group."""
        if self.open is not None:
            self._close(*self.open)
            self.open = None

    def scatter(self, mean: Tensor) -> Tensor:
        """Return the sum of the scores' outer products, ``(outputs, m, m)``."""
        self._end()
        return self.sums.scatter(mean)


class _Waiting:
    """Rows that are summed together: a sum over few rows costs as much as one over as many rows as there are values."""

    def __init__(self, y: Tensor, w: Tensor, labels: Tensor | None, most: int) -> None:
        self.used = 0
        self.y, self.w = y.new_empty(y.shape[0], most, y.shape[2]), w.new_empty(most)
        self.labels = None if labels is None else labels.new_empty(most)

    def add(self, y: Tensor, w: Tensor, labels: Tensor | None) -> None:
        """Copy rows that fit: the model may write its next outputs into the memory of these."""
        place = slice(self.used, self.used + len(w))
        self.y[:, place], self.w[place] = y, w
        if self.labels is not None and labels is not None:
            self.labels[place] = labels
        self.used += len(w)

    def taken(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the rows that wait, and wait for others."""
        some, self.used = slice(self.used), 0
        return self.y[:, some], self.w[some], None if self.labels is None else self.labels[some]


def spread_of(covariance: Tensor) -> Tensor:
    """Return the ``(m, outputs)`` standard deviation of curves with this covariance, each centred over the values.

    Args:
        covariance: ``(outputs, m, m)`` of single curves.
    """
    # Centred in full: from sums of the covariance alone, curves that are all parallel would not cancel to 0.
    centred = covariance - covariance.mean(1, keepdim=True)
    centred -= centred.mean(2, keepdim=True)
    return centred.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt().T


def real(stderr: Tensor, alone: Tensor, mean: Tensor, eps: float) -> Tensor:
    """Return where errors are more than the rounding that is left where rows agree, or cancel within their groups.

    The skewness of rounding says nothing.

    Args:
        stderr: ``(m, outputs)`` standard errors of averages.
        alone: ``(m, outputs)`` what they would be if the rows were independent.
        mean: ``(m, outputs)`` the averages.
        eps: the rounding of the outputs.
    """
    return stderr > torch.maximum(CANCELLED * alone, ROUNDED * eps * mean.abs())


class RowMoments:
    """Moments of outputs ``(m, b, outputs)`` taken in block by block, shifted by a first mean against cancellation.

    Args:
        total: number of rows to come.
        order: ``(total,)`` the row's number among all, for each row to come; default in their order.
        keep: most rows whose curves are remembered.
        skewed: whether the skewness will be asked for.
    """

    def __init__(self, total: int, *, order: Tensor | None = None, keep: int = KEPT_ROWS, skewed: bool = True) -> None:
        self.total, self.before, self.count, self.skewed = total, 0, 0, skewed
        wanted = torch.linspace(0, max(0, total - 1), min(keep, total)).round().long()
        self.places: Tensor | None = None  # of the remembered rows, where they come in another order
        if order is not None:
            order = order.cpu()
            wanted = order.argsort()[wanted].sort().values
            self.places = order[wanted].argsort()
        self.wanted = wanted.tolist()  # numbers of the rows to remember among those to come, ascending
        self.kept: Tensor | None = None
        self.shift: Tensor | None = None
        self.rows = _Sums()
        self.squares: _Sums | None = None  # the same sums with squared weights, once a weight differs from 1
        self.groups: _Groups | None = None
        self.cubes, self.eps = Cubes(), 0.0
        self._waiting: _Waiting | None = None
        self._scatter: Tensor | None = None

    @classmethod
    def part(cls, total: int, before: int, wanted: list[int]) -> RowMoments:
        """Return the moments of some of the rows, to be merged: those that come after so many, with curves to remember.

        Args:
            total: number of all rows.
            before: rows that come before these.
            wanted: numbers among all of the rows to remember, ascending; those that do not come are left out.
        """
        found = cls(total, keep=0)
        found.before, found.wanted, found.cubes = before, wanted, Cubes(every=before > 0)
        return found

    def closed(self) -> RowMoments:
        """Return these moments with no row in them but the remembered ones: all that ``merge`` needs of a part."""
        self._take()
        self._waiting, self._scatter = None, None
        self.cubes.close()
        if self.groups is not None:
            self.groups.cubes.close()
        return self

    def merge(self, other: RowMoments) -> None:
        """Take in the closed moments of the rows that follow; every part has groups, or none."""
        assert other.shift is not None and other.kept is not None, "a part has rows"
        if self.shift is None:
            self.shift, self.eps = other.shift, other.eps
        delta = other.shift - self.shift
        if other.squares is not None or self.squares is not None:
            self.squares = self.rows.copy() if self.squares is None else self.squares
            self.squares.merge(other.rows if other.squares is None else other.squares, delta)
        self.rows.merge(other.rows, delta)
        if other.groups is not None:
            self.groups = self.groups or _Groups()
            self.groups.merge(other.groups, delta)
        self.cubes.merge(other.cubes, delta)
        if self.kept is None:
            self.kept = other.kept.new_empty(other.kept.shape[0], len(self.wanted), other.kept.shape[2])
        first = bisect.bisect_left(self.wanted, other.before)
        self.kept[:, first : first + other.kept.shape[1]] = other.kept
        self.count += other.count
        self._scatter = None

    def add(self, outputs: Tensor, weights: Tensor, groups: Tensor | None = None) -> None:
        """Add the outputs of b rows under all m values; the rows of a group must follow each other."""
        y, w, self.eps = double(outputs), double(weights), torch.finfo(outputs.dtype).eps
        groups = None if groups is None else groups.to(y.device)
        m, b, o = y.shape
        self._keep(y)
        self.count += b
        at_once = max(TOGETHER // (m * o), m // 8, 1)  # an eighth of the sums' own memory, or 8 MB
        most = min(self.total, m, at_once)
        if self._waiting is not None and self._waiting.used + b > most:
            self._take()
        if b >= most:
            labels = itertools.repeat(None) if groups is None else groups.split(at_once)
            for part in zip(y.split(at_once, 1), w.split(at_once), labels, strict=False):
                self._sum(*part)
            return
        if self._waiting is None:
            self._waiting = _Waiting(y, w, groups, most)
        self._waiting.add(y, w, groups)

    def _keep(self, y: Tensor) -> None:
        """Remember the curves that are wanted of the next rows."""
        if self.kept is None:  # memory for all at once: small pieces between large blocks would tear holes into it
            self.kept = y.new_empty(y.shape[0], len(self.wanted), y.shape[2])
        start = self.before + self.count
        first, last = (bisect.bisect_left(self.wanted, n) for n in (start, start + y.shape[1]))
        if first < last:
            places = torch.tensor(self.wanted[first:last], device=y.device) - start
            torch.index_select(y, 1, places, out=self.kept[:, first:last])

    def _take(self) -> None:
        """Add the rows that wait."""
        if self._waiting is not None and self._waiting.used:
            self._sum(*self._waiting.taken())

    def _sum(self, y: Tensor, w: Tensor, labels: Tensor | None) -> None:
        self._scatter, ones = None, bool((w == 1).all())
        d = y.permute(2, 0, 1).clone(memory_format=torch.contiguous_format)  # y is the model's own
        if self.shift is None:
            self.shift = d.mean(2) if ones else (d * w).sum(2) / w.sum()
        d -= self.shift[:, :, None]
        if labels is not None:
            self.groups = self.groups or _Groups(inner=self.before > 0)
            self.groups.add(labels, d, w)
        elif self.squares is None and not ones:
            self.squares = self.rows.copy()
        if labels is None and self.skewed:
            self.cubes.add(d if ones else d * w, None if ones else w, len(w) / self.total)
        self.rows.add(d, None if ones else w)
        if self.squares is not None:
            self.squares.add(d, w.square())

    @property
    def offset(self) -> Tensor:
        """``(outputs, m)`` weighted mean of the deviations from the shift."""
        self._take()
        return self.rows.first / self.rows.weight

    @property
    def scatter(self) -> Tensor:
        """``(outputs, m, m)`` sum over rows of weight times outer products of deviations from the mean."""
        offset = self.offset
        if self._scatter is None:
            self._scatter = self.rows.scatter(offset)
        return self._scatter

    @property
    def mean(self) -> Tensor:
        """``(m, outputs)`` weighted mean over rows."""
        offset = self.offset
        assert self.shift is not None, "add rows first"
        return (self.shift + offset).T

    def covariance(self) -> Tensor:
        """Return the ``(outputs, m, m)`` sampling covariance of the mean; NaN where there is one row or group."""
        offset = self.offset
        other = self.groups or self.squares
        scatter = self.scatter if other is None else other.scatter(offset)
        count = self.count if self.groups is None else self.groups.count
        if count < 2:
            return torch.full_like(scatter, torch.nan)
        return scatter * (count / (count - 1) / self.rows.weight**2)

    def own_covariance(self) -> Tensor:
        """Return the ``(outputs, m, m)`` covariance of the curves of single rows."""
        return self.scatter * self._one_row

    @property
    def _one_row(self) -> float:
        """What the scatter is multiplied with for the covariance of single rows."""
        return self.count / max(1, self.count - 1) / self.rows.weight

    @property
    def freedom(self) -> float | None:
        """Degrees of freedom of ``covariance``: rows, or groups, minus 1; their effective number if weights differ."""
        other = self.groups.sums if self.groups is not None else self.squares
        count = self.count if other is None else self.rows.weight**2 / other.weight
        return count - 1.0 if count > 1 else None

    def skewness(self, covariance: Tensor) -> Tensor | None:
        """Return the ``(m, outputs)`` skewness of the sampling law of the mean; None where there is nearly none."""
        cubes, count = (self.cubes, self.count) if self.groups is None else (self.groups.cubes, self.groups.count)
        if count < 2:
            return None
        variance = covariance.diagonal(dim1=1, dim2=2).clamp_min(0)
        found = cubes.skewness(self.offset, variance, self.rows.weight**2 * (count - 1) / count)
        if found is None:
            return None
        alone = (self.rows.second.diagonal(dim1=1, dim2=2).T / (self.rows.weight * self.count)).sqrt()
        found = found.where(real(variance.sqrt().T, alone, self.mean, self.eps), 0)
        return found if float(found.abs().max()) > NOTABLE else None

    def spread(self) -> Tensor:
        """Return the ``(m, outputs)`` standard deviation over rows of the curves, each centred over the values."""
        return spread_of(self.scatter) * self._one_row**0.5

    def individual(self) -> Tensor:
        """Return the ``(m, r, outputs)`` outputs of at most ``keep`` rows, spread evenly: tables are often sorted."""
        assert self.kept is not None, "add rows first"
        return self.kept if self.places is None else self.kept[:, self.places.to(self.kept.device)]
