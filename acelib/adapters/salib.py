"""SALib's ``problem``: names, bounds, distributions and groups of independent inputs, read without SALib."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..intrinsic.problem import Problem

KEYS = ("num_vars", "names", "bounds", "dists", "groups", "outputs", "sample_scaled")
LENGTHS = {
    "unif": (2,),
    "logunif": (2,),
    "triang": (2, 3),
    "norm": (2,),
    "lognorm": (2,),
    "truncnorm": (4,),
    "weibull": (2, 3),
}
"""What SALib calls its distributions, and how many numbers describe each."""
PARTS = {
    "unif": "[low, high] with low < high",
    "logunif": "[low, high] with 0 < low < high",
    "triang": "[start, end, peak] with start < end and peak, a share of the width, from 0 to 1",
    "norm": "[mean, standard deviation] with a positive standard deviation",
    "lognorm": "[mean, standard deviation] of the logarithm, with a positive standard deviation",
    "truncnorm": "[low, high, mean, standard deviation] with low < high and a positive standard deviation",
    "weibull": "[shape, scale] or [shape, scale, location] with positive shape and scale",
}


def read_problem(problem: Mapping[str, Any]) -> Problem:
    """Return the inputs that SALib's dictionary describes, for ``sobol_indices(model, problem=...)``.

    Args:
        problem: ``num_vars``, ``names``, ``bounds`` and, where they are there, ``dists`` ("unif", "logunif", "triang",
            "norm", "lognorm", "truncnorm" or "weibull"; "unif" where there are none) and ``groups``, one name for each
            input. A ``ProblemSpec`` is such a dictionary. ``outputs`` and ``sample_scaled`` are not looked at.

    Raises:
        TypeError: if it is no dictionary.
        ValueError: for unknown entries or distributions, other numbers of them, or bounds that describe none.

    References:
        Iwanaga, Usher & Herman (2022), SALib 2.0, for the meaning of the entries.

    Example:
        >>> import torch
        >>> read = read_problem({"names": ["a", "b"], "bounds": [[0, 4], [1, 2]], "dists": ["unif", "norm"]})
        >>> assert read.scaled(torch.full((1, 2), 0.5)).tolist() == [[2.0, 1.0]]
    """
    if not isinstance(problem, Mapping):
        raise TypeError(f"problem must be SALib's dictionary with names and bounds, got {type(problem).__name__}")
    for key in problem:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else "; leave it out"
            raise ValueError(f"problem must have entries {list(KEYS)}, got {key!r}{meant}")
    bounds = _listed(problem, "bounds")
    if not bounds:
        raise ValueError("problem must have 'bounds' for each input, got none")
    count = len(bounds)
    number = problem.get("num_vars", count)
    if number != count:
        raise ValueError(f"problem must have bounds for each of its num_vars = {number} inputs, got {count}")
    names = [str(name) for name in _listed(problem, "names", count) or [f"x{i}" for i in range(count)]]
    if len(set(names)) < count:
        raise ValueError(
            f"problem must have distinct names, got {sorted({n for n in names if names.count(n) > 1})} twice"
        )
    kinds = _listed(problem, "dists", count) or ["unif"] * count
    noises = {n: _distribution(n, kind, part) for n, kind, part in zip(names, kinds, bounds, strict=True)}
    groups = [str(group) for group in _listed(problem, "groups", count) or names]
    called = tuple(dict.fromkeys(groups))
    return Problem(tuple(names), noises, tuple(called.index(group) for group in groups), called)


def _listed(problem: Mapping[str, Any], key: str, count: int | None = None) -> list[Any]:
    """Return an entry as a list, empty where there is none."""
    found = problem.get(key)
    if found is None:
        return []
    if isinstance(found, str | bytes) or not hasattr(found, "__len__"):
        raise ValueError(f"problem must have a list as {key!r}, got {found!r}")
    listed = list(found)
    if count is not None and len(listed) not in (0, count):
        raise ValueError(f"problem must have one of {key!r} for each of its {count} inputs, got {len(listed)}")
    return listed


def _distribution(name: str, kind: Any, part: Any) -> Any:
    """Return a frozen distribution of scipy."""
    if kind not in LENGTHS:
        close = difflib.get_close_matches(str(kind), LENGTHS, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"problem must have dists among {list(LENGTHS)}, got {kind!r} for {name!r}{meant}")
    numbers = _numbers(part)
    if numbers is None or len(numbers) not in LENGTHS[kind] or not _sound(kind, numbers):
        raise ValueError(f"problem must have {PARTS[kind]} as bounds of {name!r}, {kind!r}, got {part!r}")
    from scipy import stats  # takes long to import

    a, b, *more = numbers
    if kind == "unif":
        return stats.uniform(a, b - a)
    if kind == "logunif":
        return stats.loguniform(a, b)
    if kind == "triang":
        start, end, peak = (a, b, more[0]) if more else (0.0, a, b)
        return stats.triang(peak, start, end - start)
    if kind == "norm":
        return stats.norm(a, b)
    if kind == "lognorm":
        return stats.lognorm(b, scale=math.exp(a))
    if kind == "truncnorm":
        mean, std = more
        return stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std)
    return stats.weibull_min(a, more[0] if more else 0.0, b)


def _numbers(part: Any) -> list[float] | None:
    """Return bounds as finite numbers, or None where they are none."""
    if isinstance(part, str | bytes) or not (isinstance(part, Sequence) or hasattr(part, "__array__")):
        return None
    try:
        found = [float(one) for one in part]
    except (TypeError, ValueError):
        return None
    return found if all(map(math.isfinite, found)) else None


def _sound(kind: str, numbers: list[float]) -> bool:
    """Return whether numbers describe a distribution of this kind."""
    a, b, *more = numbers
    if kind == "triang":
        start, end, peak = (a, b, more[0]) if more else (0.0, a, b)
        return start < end and 0 <= peak <= 1
    if kind in ("norm", "lognorm"):
        return b > 0
    if kind == "weibull":
        return a > 0 and b > 0
    if kind == "truncnorm":
        return a < b and more[1] > 0
    return a < b and (kind == "unif" or a > 0)
