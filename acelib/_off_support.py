"""The rule of support: at which values most of the intervened rows leave the data, and the warning that names them.

A share of rows off the data is judged value by value: an average over the values would hide that a curve is sound in
the middle and a guess at its ends. Over a domain the rule asks for a tenth of it: at an outermost value alone, which
hardly any data has reached, most rows leave in the soundest table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._warnings import SupportWarning, warn_caller

OFF_SUPPORT = 0.5  # share of rows off the data above which a value is off it
STRETCH = 0.1  # of a domain that must be off the data before a curve over it warns
SHOWN = 10  # features that a warning names


def off_values(values: Any, shares: Any, *, of_domain: bool = False) -> str:
    """Return the values at which most rows leave the data, as a short range in words; "" where there are none.

    Args:
        values: ``(m,)`` what a feature is set to, in any order.
        shares: ``(m,)`` share of rows off the data there; NaN where it is unknown.
        of_domain: whether the values stand for a whole domain, of which a tenth must then be off the data.

    Example:
        >>> assert off_values([0, 1, 2, 3, 4], [0.9, 0.1, 0.2, 0.6, 0.9]) == "0 and 3 to 4"
        >>> assert off_values([0, 1, 2, 3, 4, 5, 6, 7, 8], [0.1] * 8 + [0.9], of_domain=True) == ""
    """
    values, shares = np.asarray(values, dtype=float).ravel(), np.asarray(shares, dtype=float).ravel()
    order = np.argsort(values, kind="stable")
    values, off = values[order], shares[order] > OFF_SUPPORT  # not where it is NaN
    if not off.any() or (of_domain and values.size > 2 and _part(values, off) < STRETCH):
        return ""
    edges = np.flatnonzero(np.diff(np.r_[False, off, False].astype(int)))
    runs = [(values[first], values[end - 1]) for first, end in edges.reshape(-1, 2)]
    said = [f"{a:.3g}" if a == b else f"{a:.3g} to {b:.3g}" for a, b in runs]
    return " and ".join(said) if len(said) < 3 else f"{said[0]}, ..., {said[-1]}"


def off_domain(curve: Any) -> str:
    """Return the values of a regressor's domain at which most rows leave the data, as far as its ``support`` knows."""
    return "" if curve.support is None else off_values(*curve.support, of_domain=curve.family != "table")


def _part(values: np.ndarray, off: np.ndarray) -> float:
    """Return the part of the range of sorted ``values`` that lies nearest to those that are off the data."""
    middles = (values[1:] + values[:-1]) / 2
    cells = np.diff(np.r_[values[0], middles, values[-1]])
    return float(cells[off].sum() / max(cells.sum(), 1e-300))


def warn_off(found: Mapping[str, str]) -> None:
    """Warn once of the features that have values at which most rows leave the data.

    Args:
        found: what ``off_values`` returned, by feature.
    """
    some = [f"{name} ({where})" for name, where in found.items() if where]
    if some:
        more = f" and {len(some) - SHOWN} more features" if len(some) > SHOWN else ""
        warn_caller(
            f"more than half of the rows leave the data when set to these values, where the network answers for inputs "
            f"it never met: {', '.join(some[:SHOWN])}{more}; see support of an Expectation, and narrow the domain or "
            "set inputs together that belong together",
            SupportWarning,
        )
