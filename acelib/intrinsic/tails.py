"""Outputs with tails so long that a few of the sampled points carry their variance, and the warning about them.

The variance of an output with kurtosis κ, estimated from n points, has the relative error √((κ − 1) / n): n / κ is the
number of points that carry it. Where that is small, most sets of points miss the tail, and then the variance, the
indices and their error bars are too small together, so that the spread over scramblings does not show it. The kurtosis
misses the tail as well: it, and the number of points that would do, are lower bounds more than estimates.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._intervals import FEW
from .._warnings import ApproximationWarning, warn_caller

LONG = 9.0  # kurtosis of the exponential law: below it, few points are a small sample but no long tail


def carried_by(kurtosis: float, num_samples: int) -> float | None:
    """Return how many points carry the variance where tails are long and these are fewer than 30; None elsewhere.

    Example:
        >>> assert carried_by(100.0, 1024) == 10.24 and carried_by(3.0, 64) is None
        >>> assert carried_by(float("nan"), 1024) is None  # of a constant output
    """
    return num_samples / kurtosis if kurtosis > max(LONG, num_samples / FEW) else None


def warn_of_tails(kurtosis: Sequence[float], names: Sequence[str], num_samples: int) -> None:
    """Warn once where fewer than 30 of the points carry the variance of an output with long tails.

    Args:
        kurtosis: of each output.
        names: theirs.
        num_samples: base points.
    """
    pairs = zip(kurtosis, names, strict=True)
    found = [(size, name) for size, name in pairs if carried_by(size, num_samples) is not None]
    if not found:
        return
    worst, name = max(found)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    enough = float(f"{worst * FEW:.2g}")
    warn_caller(
        f"the standard error says too little: {name}{more} has tails so long that about {_points(num_samples / worst)} "
        f"of {num_samples} points carry its variance, and intervals miss more often than they say; num_samples of "
        f"about {enough:.0f} or more would do, or the logarithm of the output, or bounds for it",
        ApproximationWarning,
    )


def tails_said(kurtosis: Sequence[float] | None, num_samples: int) -> str:
    """Return what the text of a result says of the longest tails; nothing where they are no reason to doubt.

    Example:
        >>> assert tails_said([3.0, 128.0], 1024) == "; long tails: about 8 of 1024 points carry the variance"
    """
    carried = [count for size in kurtosis or () if (count := carried_by(size, num_samples)) is not None]
    return f"; long tails: about {_points(min(carried))} of {num_samples} points carry the variance" if carried else ""


def _points(count: float) -> str:
    return f"{max(count, 1):.0f}"
