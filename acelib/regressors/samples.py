"""Are the samples of a curve sound? Every fit checks them here first, so that an error comes before any work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

ROUNDING = 1e-6
"""Values this close to an interval, relative to its size, count as inside: room for float32 copies of its ends."""

NOISE_FLOOR = 1e-6
"""The smallest noise a fit believes in, as a share of the range of the expectations."""


@dataclass(frozen=True)
class Samples:
    """Checked input of a fit: ``alphas (m,)``, ``expectations (P, m)``, ``covariance (P, m, m)`` or None, the ends."""

    alphas: np.ndarray
    expectations: np.ndarray
    covariance: np.ndarray | None
    low: float
    high: float

    def floor(self, noise_floor=None) -> np.ndarray:
        """Smallest believable noise of each curve, ``(P,)``, in units of the output.

        The default is 1e-6 of the curve's range, and never below the rounding error of its largest value.
        """
        size = np.abs(self.expectations).max(axis=1)
        rounding = 16 * np.finfo(np.float64).eps * size
        if noise_floor is None:
            return np.maximum(NOISE_FLOOR * np.ptp(self.expectations, axis=1), rounding)
        floor = check_array(noise_floor, "noise_floor")
        if floor.shape not in ((), size.shape) or (floor <= 0).any():
            raise ValueError(
                "noise_floor must be one positive number, or one for each curve, in units of the expectations; "
                f"got {noise_floor!r}."
            )
        return np.maximum(floor, rounding)

    def push(self, smoothers: np.ndarray, index: np.ndarray) -> np.ndarray:
        """``L Σ Lᵀ`` for the curves ``index (n,)``, ``(n, p, p)``; ``smoothers`` is ``(p, m)``."""
        if self.covariance is None:
            return np.zeros((index.size, smoothers.shape[0], smoothers.shape[0]))
        every = index.size == len(self.covariance)
        chosen = self.covariance if every else self.covariance[index]
        # One large product in place of many small ones.
        right = (chosen.reshape(-1, chosen.shape[2]) @ smoothers.T).reshape(*chosen.shape[:2], -1)
        pushed = smoothers @ right
        return (pushed + pushed.transpose(0, 2, 1)) / 2


def check_samples(alphas, expectations, covariance=None, low=None, high=None) -> Samples:
    """Checked float64 copies of what a fit was given, as ``Samples``.

    Args:
        alphas: ``(m,)``, distinct.
        expectations: ``(P, m)``.
        covariance: ``(P, m, m)`` or None.
        low: Lower end; the smallest α where it is None.
        high: Upper end; the largest α where it is None.

    Raises:
        ValueError: If a shape, a value or the interval is wrong; the message says which.
    """
    alphas = check_array(alphas, "alphas")
    expectations = check_array(expectations, "expectations")
    if alphas.ndim != 1 or alphas.size == 0:
        raise ValueError(f"alphas must be a non-empty vector (m,), but has shape {alphas.shape}.")
    if expectations.ndim != 2 or expectations.shape[1] != alphas.size or expectations.shape[0] == 0:
        raise ValueError(
            f"expectations must hold one value for each of the {alphas.size} alphas, but its last axis does not fit: "
            f"its shape, with curves first, is {expectations.shape}."
        )
    if np.unique(alphas).size != alphas.size:
        raise ValueError("alphas must be distinct, but holds repeated values; average the repeats, or pass them once.")
    low, high = check_ends(alphas, low, high)
    if covariance is not None:
        covariance = check_covariance(covariance, expectations.shape)
    return Samples(alphas, expectations, covariance, low, high)


def check_ends(alphas: np.ndarray, low, high) -> tuple[float, float]:
    """The interval as floats, with ``alphas``' own ends for None; ValueError where it does not hold them."""
    ends = []
    for end, name, default in ((low, "low", alphas.min()), (high, "high", alphas.max())):
        end = check_array(default if end is None else end, name)
        if end.size != 1:
            raise ValueError(f"{name} must be one number, but has shape {end.shape}.")
        ends.append(end.item())
    low, high = ends
    if low > high:
        raise ValueError(f"low must not exceed high, but low={low:.6g} and high={high:.6g}.")
    if outside(alphas, low, high).any():
        raise ValueError(
            f"alphas must lie in [low, high] = [{low:.6g}, {high:.6g}], but reaches from {alphas.min():.6g} to "
            f"{alphas.max():.6g}; widen the interval or drop those values."
        )
    if low < high and alphas.size < 2:
        raise ValueError(
            f"alphas must hold at least 2 distinct values on [{low:.6g}, {high:.6g}], but holds 1; sample more values."
        )
    return low, high


def check_covariance(covariance, shape: tuple[int, int]) -> np.ndarray:
    """``covariance`` as ``(P, m, m)`` float64, symmetric and with no negative variance; else ValueError."""
    covariance = check_array(covariance, "covariance")
    if covariance.shape != (*shape, shape[1]):
        raise ValueError(
            f"covariance must hold an (m, m) matrix with m = {shape[1]} for each of the {shape[0]} curves, but its "
            f"shape, with curves first, is {covariance.shape}."
        )
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    size = np.abs(covariance).max(initial=0.0)
    if np.abs(covariance - covariance.transpose(0, 2, 1)).max(initial=0.0) > 1e-6 * size or (variances < 0).any():
        raise ValueError("covariance must be symmetric with no negative variance on its diagonal; check its origin.")
    return covariance


def check_array(values, name: str) -> np.ndarray:
    """``values`` as float64 numpy; ValueError that names ``name`` where they are not finite real numbers."""
    try:
        array = to_numpy(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be real numbers, but is {type(values).__name__}: {error}.") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, but holds NaN or Inf; check where its values come from.")
    return array


def outside(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which values lie outside [low, high] by more than rounding, bool of ``values``' shape."""
    slack = ROUNDING * (high - low if high > low else abs(low))
    return (values < low - slack) | (values > high + slack)


def to_numpy(values) -> np.ndarray:
    """``values``, a tensor or anything numpy reads, as float64 numpy; TypeError where they are not real numbers."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"dtype {values.dtype} is not real")
    return values.astype(np.float64)
