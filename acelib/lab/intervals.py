"""Confidence intervals: percentile bootstrap of a statistic, and Clopper and Pearson's for shares.

SciPy's ``bootstrap`` draws from another stream of random numbers, and ``binomtest`` takes one count at a time; the
recorded numbers were drawn from the stream below, and the counts of a chapter come as arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def bootstrap_interval(
    values: Any, *, statistic: Callable[..., Any] = np.mean, level: float = 0.95, repeats: int = 4000, seed: int = 0
) -> tuple[float, float, float]:
    """Return a statistic of independent values and the ends of its percentile bootstrap interval.

    Args:
        values: ``(n,)``, n >= 2.
        statistic: takes ``(repeats, n)`` and ``axis=1``, such as ``np.mean`` or ``np.median``.
        level: nominal coverage.
        repeats: number of resamples.
        seed: seed of the resamples.

    Raises:
        ValueError: for fewer than two values, or an array of another shape.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, Sec. 13.3.

    Example:
        >>> centre, low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0])
        >>> assert centre == 2.5 and 1 <= low < 2.5 < high <= 4
        >>> assert bootstrap_interval([1.0, 2.0, 30.0], statistic=np.median)[0] == 2
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values must have shape (n,) with n at least 2, got {values.shape}")
    drawn = values[np.random.default_rng(seed).integers(len(values), size=(repeats, len(values)))]
    low, high = np.quantile(statistic(drawn, axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(statistic(values[None], axis=1)[0]), float(low), float(high)


def clopper_pearson(counts: Any, num: int, *, level: float = 0.95) -> np.ndarray:
    """Return the exact binomial intervals ``(..., 2)`` of shares, for counts ``(...)`` out of ``num``.

    Args:
        counts: number of successes.
        num: number of trials.
        level: nominal coverage; the true one is at least that.

    Raises:
        ValueError: for counts outside 0 to ``num``, no trial, or a level outside (0, 1).

    References:
        Clopper and Pearson, The use of confidence or fiducial limits, Biometrika 26, 1934.

    Example:
        >>> low, high = clopper_pearson(0, 1_000_000)
        >>> assert low == 0 and abs(high - 3.69e-6) < 1e-8
    """
    from scipy.stats import beta

    counts = np.asarray(counts)
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if num < 1 or counts.min() < 0 or counts.max() > num:
        raise ValueError(f"counts must lie in 0..num with num at least 1, got {counts.min()}..{counts.max()} of {num}")
    tail = (1 - level) / 2
    low = np.where(counts > 0, beta.ppf(tail, np.maximum(counts, 1), num - counts + 1), 0.0)
    high = np.where(counts < num, beta.ppf(1 - tail, counts + 1, np.maximum(num - counts, 1)), 1.0)
    return np.stack([low, high], axis=-1)
