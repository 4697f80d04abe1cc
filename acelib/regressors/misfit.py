"""How far a fitted curve may be from the truth: at any value, and in an average over values.

A curve is known at the sampled values, where a value that is held out shows what the curve gets wrong. Elsewhere the
misfit is made of four parts, whose squares are added:

1. The held-out residuals, ``e_i / (1 − h_ii)`` with the leverage ``h`` of the smoother (Allen 1974): their root mean
   square over a sampled value and its two neighbours, interpolated between the values. A kink widens the band where it
   is and not elsewhere.
2. A prediction at α errs by √(1 + h(α)) where one at a sampled value errs by at most √2 (Hastie, Tibshirani and
   Friedman 2009, Eq. 3.8 and Sec. 7.10). So part 1 is multiplied by √((1 + h(α)) / 2) where ``h(α) > 1``, that is,
   where the smoother can run away between the values or beyond them; on dense even grids nowhere.
3. In sparse gaps (see ``gaps``) no residual tells what the curve does: its departure from the straight line between the
   two values. A line through two values has no residual at all. They say only that the curve leads from one to the
   other: a step between them at an unknown place departs from their line by ``|y₂ − y₁| √(t (1 − t))`` at the share t
   of the way, as a root mean square over places.
4. Beyond the part of the interval that the values cover: the departure from the outermost expectation, and the range
   of the expectations times the distance in lengths of the covered part. This is a convention: nothing is known there.

Parts 1 and 2 together are at most the range of the expectations.

In an average the misfit keeps its sign within a gap between sampled values, and gaps are independent:

    misfit of an average² = Σ over gaps ( Σ over the gap's values of weight · misfit )²
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .samples import Array, covered, gaps, to_numpy

PER_GAP = 8
"""An average is taken over so many values in every gap."""


@dataclass(frozen=True)
class Fits:
    """P curves over the same m values, in one basis of p functions.

    Attributes:
        alphas: ``(m,)`` sampled values.
        expectations: ``(P, m)`` sampled expectations.
        held_out: ``(P, m)`` held-out residuals there.
        weights: ``(P, p)`` weights of the basis.
        triangle: ``(p, p)`` R of the basis at ``alphas``, whose QR factorisation is Q R.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    alphas: np.ndarray
    expectations: np.ndarray
    held_out: np.ndarray
    weights: np.ndarray
    triangle: np.ndarray
    low: float
    high: float


def misfit(fits: Fits, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the misfit of every curve at ``values (n,)``, ``(P, n)``, in units of the output.

    Args:
        fits: the curves.
        values: interventional values, also outside the interval.
        rows: ``(n, p)`` the basis there.

    References:
        Allen, The relationship between variable selection and data augmentation, Technometrics 16, 1974; Hastie,
        Tibshirani and Friedman, The Elements of Statistical Learning, 2009.
    """
    order = np.argsort(fits.alphas)
    alphas, y = fits.alphas[order], fits.expectations[:, order]
    squares = np.pad(fits.held_out[:, order] ** 2, ((0, 0), (1, 1)), mode="reflect" if alphas.size > 1 else "edge")
    local = np.sqrt((squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]) / 3)
    inside = np.clip(values, alphas[0], alphas[-1])
    if alphas.size == 1:
        return np.broadcast_to(local, (len(local), values.size)).copy()
    gap = np.clip(np.searchsorted(alphas, inside) - 1, 0, alphas.size - 2)
    share = (inside - alphas[gap]) / np.diff(alphas)[gap]
    line = y[:, gap] + share * np.diff(y, axis=1)[:, gap]
    departure = np.abs(rows @ fits.weights.T - line.T).T
    size = np.ptp(y, axis=1)[:, None]
    shown = (local[:, gap] + share * np.diff(local, axis=1)[:, gap]) * _amplified(fits.triangle, rows)
    nothing_left = alphas.size == 2 == fits.weights.shape[1]
    total = size**2 * share * (1 - share) if nothing_left else np.minimum(shown, size) ** 2
    sparse = gaps(alphas, fits.low, fits.high)[2]
    total += np.where(sparse[gap], departure, 0.0) ** 2
    first, last = covered(alphas, fits.low, fits.high)
    beyond = (values < min(first, alphas[0])) | (values > max(last, alphas[-1]))
    far = np.abs(values - inside) / np.ptp(alphas)
    total += np.where(beyond, departure**2 + (size * far) ** 2, 0.0)
    return np.sqrt(total)


def _amplified(triangle: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return ``√((1 + h) / 2)`` at the ``rows (n, p)``, at least 1, with h the leverage there."""
    leverage = (np.linalg.solve(triangle.T, rows.T) ** 2).sum(axis=0)
    return np.sqrt(np.maximum((1 + leverage) / 2, 1.0))


def average_misfit(fits: Fits, weights: np.ndarray, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the misfit of every curve's average over ``values (n,)``, ``(P,)``, in units of the output.

    Args:
        fits: the curves.
        weights: ``(n,)`` weights of the average, with sum 1.
        values: interventional values.
        rows: ``(n, p)`` the basis there.
    """
    at = misfit(fits, values, rows) * weights
    gap = np.searchsorted(np.sort(fits.alphas), values)
    sums = np.zeros((len(at), fits.alphas.size + 1))
    np.add.at(sums.T, gap, at.T)
    return np.linalg.norm(sums, axis=1)


def spread_over(
    alphas: np.ndarray, low: float, high: float, data: Array | None = None, weights: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """Return values all over the interval and their weights in an average, both ``(n,)``.

    The average is the uniform one, or the one over ``data``, which counts by gap.

    Args:
        alphas: ``(m,)`` sampled values.
        low: lower end of the interval.
        high: upper end of the interval.
        data: values averaged over, any shape; None for the whole interval.
        weights: of these values, ``(n,)``; None for equal ones.
    """
    if data is None:
        corners = np.unique(np.clip(np.r_[low, alphas, high], low, high))
        share = np.diff(corners)
    else:
        found = to_numpy(data).ravel()
        corners = np.unique(np.r_[min(low, found.min()), alphas, max(high, found.max())])
        share = np.histogram(found, corners, weights=weights)[0] if corners.size > 1 else np.zeros(0)
    if corners.size < 2:
        return np.array([low]), np.ones(1)
    steps = (np.arange(PER_GAP) + 0.5) / PER_GAP
    values = corners[:-1, None] + np.diff(corners)[:, None] * steps
    return values.ravel(), np.repeat(share / share.sum() / PER_GAP, PER_GAP)


def side_by_side(curves: Sequence, triangle: np.ndarray) -> Fits:
    """Return regressors over the same values in one basis, whose R is ``triangle (p, p)``, as one object."""
    parts = {name: np.stack([getattr(c, name) for c in curves]) for name in ("expectations", "held_out", "weights")}
    return Fits(alphas=curves[0].alphas, triangle=triangle, low=curves[0].low, high=curves[0].high, **parts)
