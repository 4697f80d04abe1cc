"""How far the ends of a sample's range are from those of another sample of the same size, or from true ends.

Let X_(1) >= X_(2) >= ... be the n rows of a feature, largest first, and D_i = X_(i) − X_(i+1) the spacings of its upper
end. Where maxima have a limiting law, the scale of the next step falls by the power of the tail index ξ with every
further row (ξ = −1 for a density that ends in a jump, 0 for normal and exponential tails, positive for heavy ones), and

    i D_i ~ exponential with mean a c_i(ξ),  c_i(ξ) = Γ(i − ξ) / Γ(i)            (independent; exactly so for ξ = −1, 0)

(Weissman 1978). For given ξ the likelihood has its maximum at a = mean(i D_i / c_i); ξ is averaged over on a grid, with
a wide normal prior, which matters for few rows only. The maximum then has

    variance  a² (Γ(1 − 2ξ) − Γ(1 − ξ)²) / ξ²   (π² a² / 6 at ξ = 0),
    and falls short of a true end, where ξ < 0, by  −a Γ(1 − ξ) / ξ  on average.

A sample shows an end where ξ is well below 0; the square of the shortfall is then part of the square of the standard
error, which so is a distance from the true end. It fades out between ξ = −0.4 and −0.3: beyond, a sample does not tell
a law that ends from one that goes on, such as a normal one. What the range would still grow by, on average, in a sample
of 100 times as many rows, a (100^ξ − 1) / ξ, is kept beside the error as its reach, faded in where that fades out.

Values that come back are taken as rounded: each is spread evenly over its cell, whose width is the least step between
the top values. Where all of them are equal, as the zeros of a day without rain, that end is certain.

References:
    Weissman, Estimation of parameters and large quantiles based on the k largest observations, JASA 73, 1978.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .._maps import slabs

SHARE = 8  # one row in so many is among the top ones,
LEAST, MOST = 16, 128  # of which there are at least and at most so many
INDICES = np.linspace(-1.2, 0.4, 33)  # of the tail: a variance is finite below 0.5
PRIOR = (-0.25, 0.8)  # mean and standard deviation of the tail index
FADES = (-0.4, -0.3)  # tail indices between which a law no longer shows its end
BLOCK = 2**22  # numbers of the rows that are looked at together
LARGER = 100  # times as many rows: what the reach is about


@dataclass(frozen=True)
class SampleRange:
    """Where an interval comes from: the range of a sample, with the errors of its ends.

    Attributes:
        rows: rows that the range is of.
        low_std, high_std: standard errors of the ends, in the feature's unit.
        low_reach, high_reach: by how much the ends would move outwards in a sample of 100 times as many rows.
        groups: independent groups among the rows, where they are not independent themselves; else None.

    Example:
        >>> x = torch.rand(500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> found = sample_ranges(x)[0]
        >>> assert 0.001 < found.high_std < 0.01 and str(found) == "range of 500 rows"  # the truth: √2 / 501 = 0.0028
    """

    rows: int
    low_std: float = 0.0
    high_std: float = 0.0
    low_reach: float = 0.0
    high_reach: float = 0.0
    groups: int | None = None

    def __str__(self) -> str:
        return f"range of {self.rows} rows" + (f" in {self.groups} groups" if self.groups else "")


def sample_ranges(rows: Tensor, count: int | None = None, *, groups: Tensor | None = None) -> list[SampleRange]:
    """Return where the range of each column of ``rows (n, k)`` comes from, n >= 2.

    Weights of rows do not matter: a range is that of the rows, however much each stands for.

    Args:
        rows: the rows, independent draws, or a random subset of them.
        count: how many rows the range is of; None for these.
        groups: ``(n,)`` labels 0, 1, ... of dependent rows: the extremes of a group then count as one draw.
    """
    number = None if groups is None else int(groups.max()) + 1
    total = len(rows) if count is None else int(count)
    ends = []
    for largest in (False, True):
        if groups is None:
            top = _top(rows, _number(len(rows)) + 1, largest)
            found = _errors(top, total / len(rows))
        else:
            found = end_errors(_extremes(rows.T, groups, largest), total / len(rows), largest=largest)
        ends += [part.tolist() for part in found]
    low_std, low_reach, high_std, high_reach = ends
    by_column = zip(low_std, high_std, low_reach, high_reach, strict=True)
    return [SampleRange(total, *four, number) for four in by_column]


def end_errors(columns: Tensor, larger: float = 1.0, *, largest: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return standard error and reach ``(k,)`` of one end of the range of ``larger · n`` rows, seen from n of them.

    Args:
        columns: ``(k, n)`` independent draws.
        larger: how many times as many rows the range is of.
        largest: whether the upper end is meant, else the lower.

    Example:
        >>> rain = torch.cat([torch.zeros(90), torch.arange(1.0, 11.0)])[None]
        >>> assert end_errors(rain)[0] > 0.5 and end_errors(rain, largest=False)[0] == 0  # no rain is certain
    """
    return _errors(_top(columns.T, _number(columns.shape[1]) + 1, largest), larger)


def _number(rows: int) -> int:
    """Return how many of the spacings at an end are used."""
    return min(rows - 1, max(LEAST, min(MOST, rows // SHARE)))


def _top(rows: Tensor, count: int, largest: bool) -> np.ndarray:
    """Return so many values at one end of each column ``(k, count)``, the outermost first, upwards."""
    best = None
    for block in slabs(rows, max(BLOCK // max(1, rows.shape[1]), 2 * count)):
        some = block.T.contiguous()
        some = some if best is None else torch.cat([best, some], 1)
        best = some.topk(min(count, some.shape[1]), dim=1, largest=largest).values
    assert best is not None, "there are rows"
    return best.cpu().double().numpy() * (1 if largest else -1)


def _errors(top: np.ndarray, larger: float) -> tuple[np.ndarray, np.ndarray]:
    """Return standard error and reach from the values at one end ``(k, count)``."""
    k, most = top.shape[0], top.shape[1] - 1
    if most < 1:
        return np.zeros(k), np.zeros(k)
    top, known = _spread(top)
    spacings = np.where(known, -np.diff(top, axis=1), 0.0) * np.arange(1, most + 1)
    expected, factors, grown = _tables(most)
    number = np.maximum(known.sum(axis=1, keepdims=True), 1)
    # In units of their mean, so that no unit of the feature matters; a column without spacings has certain ends.
    unit = spacings.sum(axis=1) / number[:, 0]
    scale = (spacings / np.where(unit > 0, unit, 1.0)[:, None]) @ (1 / expected).T / number  # (k, indices)
    loglik = -number * np.log(np.maximum(scale, 1e-300)) - known @ np.log(expected).T
    loglik -= 0.5 * ((INDICES - PRIOR[0]) / PRIOR[1]) ** 2
    weights = np.exp(loglik - loglik.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    scale = np.maximum(scale, 1e-300) * larger**INDICES
    std = np.exp((weights * np.log(scale * factors)).sum(axis=1))
    reach = (weights * scale * grown).sum(axis=1)
    return unit * std, unit * reach


@lru_cache(maxsize=64)
def _tables(most: int) -> tuple[np.ndarray, ...]:
    """Return c_i(ξ) ``(indices, most)``, and what turns a into std and reach."""
    from scipy.special import gamma, gammaln

    i, xi = np.arange(1, most + 1), INDICES[:, None]
    expected = np.exp(gammaln(i - xi) - gammaln(i))
    index = np.where(np.abs(INDICES) < 1e-4, 1e-4, INDICES)  # next to the limit at 0: differences keep their digits
    variance = (gamma(1 - 2 * index) - gamma(1 - index) ** 2) / index**2
    shown = np.clip((FADES[1] - index) / (FADES[1] - FADES[0]), 0, 1)
    shortfall = gamma(1 - index) / index
    grown = (LARGER**index - 1) / index
    return expected, np.sqrt(variance + shown * shortfall**2), (1 - shown) * grown


def _spread(top: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values ``(k, j + 1)`` in falling order, equal ones spread over a cell, and which spacings are known.

    The cell is as wide as the least step between the values. How many more there are of the last value is not seen: it
    is taken for many, which begin at the top of their cell, and spacings ``(k, j)`` within it are not known.
    """
    steps = -np.diff(top, axis=1)
    if (steps > 0).all():
        return top, np.ones_like(steps)
    cell = np.where(steps > 0, steps, np.inf).min(axis=1, keepdims=True)
    cell[np.isinf(cell)] = 0.0
    place = np.arange(top.shape[1])
    new = np.pad(steps > 0, ((0, 0), (1, 0)), constant_values=True)
    last = np.pad(steps > 0, ((0, 0), (0, 1)), constant_values=True)
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    final = np.minimum.accumulate(np.where(last, place, top.shape[1])[:, ::-1], axis=1)[:, ::-1]
    spread = top + cell * np.where(
        (first == first[:, -1:]) & (first > 0), 0.5, 0.5 - (place - first + 0.5) / (final - first + 1)
    )
    whole = (steps > 0).all(axis=1, keepdims=True)
    return np.where(whole, top, spread), ((place[1:] <= first[:, -1:]) | whole).astype(float)


def _extremes(columns: Tensor, groups: Tensor, largest: bool) -> Tensor:
    """Return the largest or smallest entry of each group, ``(k, groups)``."""
    index = groups.to(columns.device).expand_as(columns)
    start = columns.new_full((len(columns), int(groups.max()) + 1), -torch.inf if largest else torch.inf)
    return start.scatter_reduce(1, index, columns, "amax" if largest else "amin")
