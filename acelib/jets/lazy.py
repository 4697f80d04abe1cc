"""Tangents that many interventions share: A − c·U instead of R × B dense rows.

A do() pins one coordinate i of each point, so the tangent along the column s_r is s_r − s_r[i] e_i: a part that all
points share, and a correction of rank one. Linear operations act on the two parts, R + B rows in place of R·B, and the
first linear or convolutional layer is paid once for all interventions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, addcmul


@dataclass(frozen=True)
class Shared:
    """The tangents base − coefficient · unit, ``(R, B, ...)``, before they are written out.

    Attributes:
        base: ``(R, 1, ...)``, the same for all points.
        count: B.
        coefficient: ``(R, B)``, or None where every point has the base itself.
        unit: ``(B, ...)``, or None likewise.
    """

    base: Tensor
    count: int
    coefficient: Tensor | None = None
    unit: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Shared:
        """Return the image under ``function``, linear and row by row on ``(N, ...)`` for any N."""
        base = function(self.base[:, 0])[:, None]
        return Shared(base, self.count, self.coefficient, None if self.unit is None else function(self.unit))

    def dense(self) -> Tensor:
        """Return the tangents written out, ``(R, B, ...)``."""
        if self.unit is None or self.coefficient is None:
            return self.base.expand(-1, self.count, *self.base.shape[2:])
        weights = self.coefficient.reshape(*self.coefficient.shape, *(1,) * (self.unit.ndim - 1))
        return addcmul(self.base, weights, self.unit, value=-1)
