"""The checked samples of a curve: every fit starts here, so that an error comes before any work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from .._devices import double
from .._warnings import ApproximationWarning, ExtrapolationWarning, warn_caller

Array = ArrayLike | torch.Tensor
"""Numbers in a tensor, a numpy array or nested lists."""

ROUNDING = 1e-6
"""Values this close to an interval, relative to its size, count as inside: room for float32 copies of its ends."""

NOISE_FLOOR = 1e-6
"""The smallest noise a fit believes in, as a share of the range of the expectations."""

GROWTH_LIMIT = 16.0
"""Largest value that a curve may reach on the interval when its mean square over the sampled values is 1.

On a dense uniform grid a polynomial of order p reaches p + 1, so the usual orders up to 15 pass there.
"""

CLUSTER = 0.1
"""Values within this share of the gaps around them are a cluster: they say one thing about the curve, not several."""

SPARSE = 4.0
"""A gap between sampled values that is longer than so many mean gaps is sparse."""

OVERSHOOT = 0.5
"""A fit may leave the range of its expectations within sparse gaps by this share of it."""

UNCOVERED = 0.05
"""Ends of an interval without sampled values count as extrapolated when they are longer than this share of it."""


@dataclass(frozen=True)
class Samples:
    """Checked input of a fit.

    Attributes:
        alphas: ``(m,)`` distinct interventional values.
        expectations: ``(P, m)`` one curve a row, in units of the output.
        covariance: ``(P, m, m)`` covariance of their sampling errors, or None.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    alphas: np.ndarray
    expectations: np.ndarray
    covariance: np.ndarray | None
    low: float
    high: float

    @cached_property
    def clusters(self) -> np.ndarray:
        """Number of the cluster of every value, ``(m,)``; on ordinary grids each value is a cluster of its own."""
        return clusters(self.alphas)

    def floor(self, noise_floor: Array | None = None) -> np.ndarray:
        """Return the smallest believable noise of each curve, ``(P,)``, in units of the output.

        The default is 1e-6 of the curve's range, and never below the rounding error of its largest value.
        """
        size = np.abs(self.expectations).max(axis=1)
        rounding = 16 * np.finfo(np.float64).eps * size
        if noise_floor is None:
            return np.maximum(NOISE_FLOOR * np.ptp(self.expectations, axis=1), rounding)
        floor = check_array(noise_floor, "noise_floor")
        if floor.shape not in ((), size.shape) or (floor <= 0).any():
            raise ValueError(
                "noise_floor must be one positive number, or one for each curve, in units of the expectations, got "
                f"{noise_floor!r}"
            )
        return np.maximum(floor, rounding)

    def covered(self) -> tuple[float, float]:
        """Return the part of the interval that the values cover, with ends that they miss by less than their spacing.

        See ``covered``.
        """
        return covered(self.alphas, self.low, self.high)

    def warn_uncovered(self) -> None:
        """Warn where the interval reaches beyond what the values cover, or where most of it is one gap between them."""
        if self.covered() != (self.low, self.high):
            warn_caller(
                f"alphas reach from {self.alphas.min():.6g} to {self.alphas.max():.6g} only, of the interval "
                f"[{self.low:.6g}, {self.high:.6g}]; the curve and its baseline are extrapolated beyond them",
                ExtrapolationWarning,
            )
            return
        values, shares, _ = gaps(self.alphas, self.low, self.high)
        widest = int(shares.argmax()) if shares.size else 0
        if shares.size and shares[widest] > 0.5 * (1 + ROUNDING):
            warn_caller(
                f"alphas leave {shares[widest]:.0%} of the interval [{self.low:.6g}, {self.high:.6g}] in one gap, from "
                f"{values[widest]:.6g} to {values[widest + 1]:.6g}; nothing tests the shape of the curve there, so "
                "sample values in it",
                ApproximationWarning,
            )

    def in_gaps(self) -> np.ndarray:
        """Return values all over the sparse gaps of the interval, ``(n,)``; none where there is no such gap."""
        values, _, sparse = gaps(self.alphas, self.low, self.high)
        if not sparse.any():
            return np.zeros(0)
        at = between(self.alphas, self.low, self.high)
        return at[sparse[np.clip(np.searchsorted(values, at) - 1, 0, sparse.size - 1)]]

    def overshoots(self, curves: np.ndarray) -> np.ndarray:
        """Return which curves ``(P, ..., n)`` leave their expectations' range by half of it, ``(P, ...)``."""
        lowest, highest = (
            end(self.expectations, axis=1).reshape(-1, *[1] * (curves.ndim - 2)) for end in (np.min, np.max)
        )
        slack = OVERSHOOT * (highest - lowest)
        return (curves.min(axis=-1) < lowest - slack) | (curves.max(axis=-1) > highest + slack)

    def push(self, smoothers: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return ``L Σ Lᵀ`` for the curves ``index (n,)``, ``(n, p, p)``; ``smoothers`` is ``(p, m)``."""
        if self.covariance is None:
            return np.zeros((index.size, smoothers.shape[0], smoothers.shape[0]))
        every = index.size == len(self.covariance)
        chosen = self.covariance if every else self.covariance[index]
        # One large product in place of many small ones.
        right = (chosen.reshape(-1, chosen.shape[2]) @ smoothers.T).reshape(*chosen.shape[:2], -1)
        pushed = smoothers @ right
        return (pushed + pushed.transpose(0, 2, 1)) / 2


def check_samples(
    alphas: Array,
    expectations: Array,
    covariance: Array | None = None,
    low: Array | None = None,
    high: Array | None = None,
) -> Samples:
    """Return checked float64 copies of what a fit was given.

    Args:
        alphas: distinct values, ``(m,)``.
        expectations: one curve a row, ``(P, m)``.
        covariance: covariances of the sampling errors, ``(P, m, m)``, or None.
        low: lower end; the smallest α where it is None.
        high: upper end; the largest α where it is None.

    Raises:
        ValueError: if a shape, a value or the interval is wrong; the message says which.
    """
    alphas = check_array(alphas, "alphas")
    expectations = check_array(expectations, "expectations")
    if alphas.ndim != 1 or alphas.size == 0:
        raise ValueError(f"alphas must be a non-empty vector (m,), got shape {alphas.shape}")
    if expectations.ndim != 2 or expectations.shape[1] != alphas.size or expectations.shape[0] == 0:
        raise ValueError(
            f"expectations must hold one value for each of the {alphas.size} alphas, got the shape "
            f"{expectations.shape} (curves first)"
        )
    if np.unique(alphas).size != alphas.size:
        raise ValueError("alphas must be distinct, got repeated values; average the repeats, or pass them once")
    low, high = check_ends(alphas, low, high)
    if covariance is not None:
        covariance = check_covariance(covariance, expectations.shape)
    return Samples(alphas, expectations, covariance, low, high)


def one_curve(expectations: Array, covariance: Array | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the expectations ``(m,)`` of one curve, and their covariance, as arrays of one curve a row."""
    rows = check_array(expectations, "expectations")[None]
    return rows, None if covariance is None else check_array(covariance, "covariance")[None]


def check_ends(alphas: np.ndarray, low: Array | None, high: Array | None) -> tuple[float, float]:
    """Return the interval as floats, with ``alphas``' own ends for None.

    Raises:
        ValueError: if an end is no number, or the interval does not hold ``alphas``.
    """
    low = _one_number(alphas.min() if low is None else low, "low")
    high = _one_number(alphas.max() if high is None else high, "high")
    if low > high:
        raise ValueError(f"low must be at most high, got low={low:.6g} and high={high:.6g}")
    if outside(alphas, low, high).any():
        raise ValueError(
            f"alphas must be in [low, high] = [{low:.6g}, {high:.6g}], got values from {alphas.min():.6g} to "
            f"{alphas.max():.6g}; widen the interval or drop those values"
        )
    if low < high and alphas.size < 2:
        raise ValueError(
            f"alphas must hold at least 2 distinct values on [{low:.6g}, {high:.6g}], got 1; sample more values"
        )
    return low, high


def _one_number(end: Array, name: str) -> float:
    number = check_array(end, name)
    if number.size != 1:
        raise ValueError(f"{name} must be one number, got shape {number.shape}")
    return number.item()


def check_covariance(covariance: Array, shape: tuple[int, ...]) -> np.ndarray:
    """Return ``covariance`` as float64 ``(P, m, m)`` for expectations of this ``shape (P, m)``.

    Raises:
        ValueError: if its shape does not fit, it is not symmetric, or a variance is negative.
    """
    covariance = check_array(covariance, "covariance")
    if covariance.shape != (*shape, shape[1]):
        raise ValueError(
            f"covariance must hold an (m, m) matrix with m = {shape[1]} for each of the {shape[0]} curves, got the "
            f"shape {covariance.shape} (curves first)"
        )
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    size = np.abs(covariance).max(initial=0.0)
    if np.abs(covariance - covariance.transpose(0, 2, 1)).max(initial=0.0) > 1e-6 * size or (variances < 0).any():
        raise ValueError(
            f"covariance must be symmetric with no negative variance on its diagonal, got variances from "
            f"{variances.min():.3g}; check its origin"
        )
    return covariance


def check_array(values: Any, name: str) -> np.ndarray:
    """Return ``values`` as float64 numpy.

    Raises:
        ValueError: if they are not finite real numbers; the message begins with ``name``.
    """
    try:
        array = to_numpy(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be real numbers, got {type(values).__name__}: {error}") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or Inf; check where its values come from")
    return array


def outside(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return which values lie outside [low, high] by more than rounding, bool of ``values``' shape."""
    slack = ROUNDING * (high - low if high > low else abs(low))
    return (values < low - slack) | (values > high + slack)


def covered(alphas: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Return the part of [low, high] that ``alphas (m,)`` cover, with ends that they miss by less than their spacing.

    Such an end is missed by at most the gap beside it, or by at most 5 % of the interval.
    """
    values = np.sort(alphas)
    if values.size < 2:
        return low, high
    slack = np.maximum([values[1] - values[0], values[-1] - values[-2]], UNCOVERED * (high - low))
    slack = slack * (1 + ROUNDING)
    first = low if values[0] - low <= slack[0] else float(values[0])
    last = high if high - values[-1] <= slack[1] else float(values[-1])
    return first, last


def gaps(alphas: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sorted values, the share ``(m − 1,)`` of the interval in each gap between them, and which are sparse.

    A gap is sparse when it is longer than 4 mean gaps or than half the interval. Ends without values belong to the
    outermost gaps.
    """
    values = np.sort(alphas)
    if values.size < 3 or not low < high:
        return values, np.zeros(max(values.size - 1, 0)), np.zeros(max(values.size - 1, 0), dtype=bool)
    shares = np.diff(np.r_[low, values[1:-1], high]) / (high - low)
    return values, shares, shares > min(SPARSE / shares.size, 0.5) * (1 + ROUNDING)


def clusters(alphas: np.ndarray) -> np.ndarray:
    """Return the number of the cluster that each of ``alphas (m,)`` belongs to, ``(m,)``.

    A cluster is a run of at most a third of the values that spans less than a tenth of the gap on either side, such as
    values that were sampled twice with a little jitter. All other values are clusters of their own.
    """
    order = np.argsort(alphas)
    values = alphas[order]
    steps = np.r_[np.inf, np.diff(values), np.inf]
    first = np.arange(values.size)  # of the run that each value is in
    size = max(2, values.size // 3) if values.size > 2 and steps[1:-1].min() < CLUSTER * steps[1:-1].max() else 1
    for length in range(size, 1, -1):
        spans = values[length - 1 :] - values[: values.size - length + 1]
        for start in np.flatnonzero(spans < CLUSTER * np.minimum(steps[: spans.size], steps[length:])):
            if first[start] == start:
                first[start : start + length] = first[start]
    labels = np.empty_like(first)
    labels[order] = np.unique(first, return_inverse=True)[1]
    return labels


def between(alphas: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 8 values in every gap between sampled values and ends, ``(n,)``, rising from low to high."""
    corners = np.unique(np.clip(np.r_[low, alphas, high], low, high))
    inside = corners[:-1, None] + np.diff(corners)[:, None] * np.linspace(0, 1, 9)[:-1]
    return np.r_[inside.ravel(), high]


def growth(design: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Return, for the first 1, 2, .. p basis functions, the largest value of a curve with mean square 1, ``(p,)``.

    Args:
        design: the basis functions at values all over the interval, ``(n, p)``.
        triangle: R, with ``Φ R`` the basis functions at the m sampled values and ``ΦᵀΦ = m I``.
    """
    squares = solve_triangular(triangle, design.T, trans=1) ** 2
    return np.sqrt(squares.cumsum(axis=0).max(axis=1))


def like(values: np.ndarray, shape: tuple[int, ...], original: Any) -> Any:
    """Return float64 ``values`` in this shape: a tensor where ``original`` is one, else numpy."""
    values = values.reshape(shape)
    if isinstance(original, torch.Tensor):
        return torch.as_tensor(values, dtype=torch.float64).to(double(original).device)
    return values


def shares_of(weights: Any, count: int) -> np.ndarray | None:
    """Return the weights ``(count,)`` of a baseline's values, None for equal ones, or raise a ValueError."""
    if weights is None:
        return None
    found = check_array(weights, "the baseline's weights").ravel()
    if found.size != count or (found < 0).any() or not found.sum() > 0:
        raise ValueError(f"baseline must have a weight from 0 up for each of its {count} values, got {found.size}")
    return found


def to_numpy(values: Any) -> np.ndarray:
    """Return ``values``, a tensor or anything numpy reads, as float64 numpy.

    Raises:
        TypeError: if they are not real numbers.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"dtype {values.dtype} is not real")
    return values.astype(np.float64)


def solve_triangular(triangle: np.ndarray, right: np.ndarray, *, trans: int = 0) -> np.ndarray:
    """Return the solution of an upper triangular system, or of its transpose where ``trans`` is 1.

    SciPy is imported when the first curve is fitted: it takes longer to import than the whole package.
    """
    from scipy import linalg

    return linalg.solve_triangular(triangle, right, trans=trans)
