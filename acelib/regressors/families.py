"""The three families of curves α ↦ E[y | do(x = α)], by name.

All of them carry error bars and an exact baseline: ``CausalRegressor``, the Bayesian polynomial of the paper
(Sec. 4.3); ``SplineRegressor`` for curves with kinks; ``CausalTable`` for a feature with finitely many values. They
share one contract, ``Regressor``: ``predict``, ``ace``, ``baseline``, ``with_baseline``, ``lack_of_fit``, ``to_dict``.
"""

from __future__ import annotations

from typing import Any

from .base import Regressor
from .polynomials import CausalRegressor
from .splines import SplineRegressor
from .tables import CausalTable

FAMILIES: dict[str, type[Regressor]] = {cls.family: cls for cls in (CausalRegressor, SplineRegressor, CausalTable)}
"""The three families by name: ``"polynomial"``, ``"spline"``, ``"table"``."""


def regressor_from_dict(data: dict[str, Any]) -> Regressor:
    """Return the regressor, of any family, that ``to_dict`` wrote, equal to the last bit.

    Args:
        data: what ``to_dict`` returned, also after a trip through JSON.

    Raises:
        ValueError: if the family is unknown or an entry is missing.

    Example:
        >>> table = CausalTable.fit([0.0, 1.0], [0.2, 0.8])
        >>> assert regressor_from_dict(table.to_dict()).ace(1.0) == table.ace(1.0)
    """
    family = data.get("family") if isinstance(data, dict) else None
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"data must name a family among {', '.join(FAMILIES)}, got {family!r}")
    return FAMILIES[family].from_dict(data)


__all__ = ["CausalRegressor", "CausalTable", "FAMILIES", "Regressor", "SplineRegressor", "regressor_from_dict"]
