"""Intervals that keep their level with few rows, groups or networks, and with skewed outputs.

A standard error from few independent parts is itself uncertain, so that ± 1.96 of it covers too little: 81 % of the
time with three parts, 88 % with five. Student's t takes the place of 1.96. Where an error has several sources, each
with degrees of freedom of its own, their sum behaves like one with the effective number of Satterthwaite (1946). Where
the rows are skewed, Student's ratio is skewed as well; Hall's (1992) cubic transformation takes that out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

FEW = 30  # independent rows, groups or networks below which ± 1.96 standard errors cover less than 94 %
MISSED = 0.01  # share by which skewness lowers their coverage, averaged over values: that of a skewness of 0.2
STRAIGHT = 1e-9  # a skewness below which the transformation is the identity to rounding


def student(freedom: Any, level: float) -> np.ndarray:
    """Return the quantile that bounds the share ``level`` of Student's t in the middle, in the shape of ``freedom``.

    Args:
        freedom: degrees of freedom; inf gives the normal quantile.
        level: coverage, between 0 and 1.

    Raises:
        ValueError: if the level is not between 0 and 1.

    Example:
        >>> assert np.allclose(student([1.0, np.inf], 0.95), [12.706, 1.960], atol=1e-3)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    from scipy.special import stdtrit  # when the first interval is asked for: it takes long to import

    return np.asarray(stdtrit(np.asarray(freedom, dtype=np.float64), (1 + level) / 2))


def normal_coverage(freedom: float) -> float:
    """Return how often ± 1.96 standard errors cover a mean, where the error has so many degrees of freedom.

    Example:
        >>> assert abs(normal_coverage(4) - 0.878) < 1e-3
    """
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, 1.96) - 1)


def rests_on(independent: float, what: str) -> str:
    """Return the clause of a warning which says that an error rests on few independent parts, "rows" for example.

    Example:
        >>> assert rests_on(20, "rows").endswith("20 rows, with which ± 1.96 of it cover about 94% in place of 95 %")
    """
    covered = f"± 1.96 of it cover about {normal_coverage(independent - 1):.0%} in place of 95 %"
    return f"it rests on {independent:.3g} {what}, with which {covered}"


def satterthwaite(parts: Sequence[tuple[Any, Any]]) -> np.ndarray:
    """Return the effective degrees of freedom of a sum of independent variance estimates, in their shape.

    They are ``(Σ V)² / Σ (V² / f)``: those of a scaled chi-squared variable with the mean and variance of the sum.

    Args:
        parts: pairs of an estimated variance (an array) and its degrees of freedom, one number or one for each; inf for
            a known variance.

    References:
        Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bulletin 2, 1946.

    Example:
        >>> assert satterthwaite([(np.array([2.0]), 4), (np.array([0.0]), 9)]) == 4
        >>> assert satterthwaite([(np.array([1.0]), 5), (np.array([1.0]), 5)]) == 10
    """
    each = [(np.asarray(variance), np.asarray(freedom)) for variance, freedom in parts]
    total = sum(variance for variance, _ in each)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = sum((variance / total) ** 2 / freedom for variance, freedom in each)
        most = np.maximum.reduce(np.broadcast_arrays(*(freedom for _, freedom in each)))
        return np.where(total > 0, 1 / np.asarray(shares), most)


def ends(value: Any, stderr: Any, freedom: Any, level: float, skewness: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the interval of Student's t, of the values' shape, corrected for skewness where it is given.

    With k the skewness of the mean's own sampling law, ``g(T) = T + k T²/3 + k² T³/27 + k/6`` of Student's ratio T is
    nearly symmetric. It is the cube ``((1 + k T / 3)³ − 1) / k + k/6``, so its quantiles turn back into those of T.

    Args:
        value: estimates, numpy.
        stderr: their standard errors.
        freedom: their degrees of freedom.
        level: coverage.
        skewness: skewness of the sampling law of each estimate: that of the rows divided by √n.

    References:
        Hall, On the removal of skewness by transformation, Journal of the Royal Statistical Society B 54, 1992.

    Example:
        >>> low, high = ends(np.array([1.0]), np.array([0.1]), 9, 0.95, np.array([0.4]))
        >>> assert high - 1 > 0.1 * student(9, 0.95) > 1 - low  # the long tail is above
    """
    t = student(freedom, level)
    lower = upper = t
    if skewness is not None:
        k = np.asarray(skewness)
        safe = np.where(np.abs(k) > STRAIGHT, k, 1.0)
        lower, upper = (
            np.where(np.abs(k) > STRAIGHT, sign * 3 / safe * (np.cbrt(1 + k * (sign * t - k / 6)) - 1), t)
            for sign in (1, -1)
        )
    return value - lower * stderr, value + upper * stderr


def wilson_ends(value: Any, stderr: Any, freedom: Any, rows: float, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of Wilson's interval of probabilities, of the values' shape, within 0 and 1.

    The number of rows is the one that the standard error stands for, ``p (1 − p) / stderr²``, and at most ``rows``.

    Args:
        value: probabilities p, numpy.
        stderr: their standard errors, 0 where nothing varied.
        freedom: degrees of freedom of the errors.
        rows: independent rows or groups.
        level: coverage.

    References:
        Wilson, Journal of the American Statistical Association 22, 1927; Korn and Graubard, Confidence intervals for
        proportions with small expected number of positive counts, Survey Methodology 24, 1998.

    Example:
        >>> low, high = wilson_ends(np.array([0.0]), np.array([0.0]), np.inf, 100, 0.95)
        >>> assert low == 0 and abs(high - 0.037) < 1e-3  # no event in 100 rows: about 3.8 / (100 + 3.8)
    """
    spread = value * (1 - value)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = np.where(stderr > 0, np.minimum(spread / stderr**2, rows), rows)
    q = student(freedom, level) ** 2
    n = np.maximum(n, 1e-12)
    centre, half = (value + q / (2 * n)) / (1 + q / n), np.sqrt(q * (spread / n + q / (4 * n**2))) / (1 + q / n)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
