"""The curves of all rows of a small table: the average and its errors at once, the rest when it is read.

Of a row average over 150 rows at 100 values the covariance between the values, the spread of the curves and the kept
ones cost as much as the average with its standard errors, and are larger than the outputs they are computed from.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._devices import double
from .row_moments import KEPT_ROWS, RowMoments, real
from .skewness import NOTABLE, Cubes

WORTH = 2  # times as many rows as values and kept curves: then the outputs take at most twice the memory of the rest


class Curves:
    """Outputs ``(m, n, outputs)`` of n rows of weight 1 that are independent draws, under all m values.

    Its numbers are those of ``RowMoments``.

    Attributes:
        mean: ``(m, outputs)`` over the rows.
        stderr: ``(m, outputs)`` standard error of the mean.
        skewness: ``(m, outputs)`` of the sampling law of the mean; None where there is nearly none.
        freedom: degrees of freedom of the errors.

    Example:
        >>> y = torch.rand(4, 9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> curves = Curves(y)
        >>> assert torch.allclose(curves.mean, y.mean(1)) and torch.allclose(curves.stderr, y.std(1) / 3)
        >>> assert torch.equal(curves.rest()["individual"], y)
    """

    def __init__(self, outputs: Tensor) -> None:
        y, self.eps = double(outputs), torch.finfo(outputs.dtype).eps
        m, n, o = y.shape
        self.rows = y.new_empty(o, m, n).copy_(y.permute(2, 0, 1))  # y is the model's own
        shift = self.rows.sum(2) / n
        d = self.rows - shift[:, :, None]
        offset = d.sum(2) / n  # what rounding has left
        squares = torch.linalg.vector_norm(d, dim=2).square_()
        variance = torch.addcmul(squares, offset, offset, value=-n).clamp_min_(0).div_(n * (n - 1))
        self.mean, self.stderr, self.freedom = (shift + offset).T, variance.sqrt().T, n - 1.0
        self.skewness = self._skewness(d, offset, variance)

    @staticmethod
    def serve(outputs: Tensor, weights: Tensor, total: int) -> bool:
        """Return whether a block ``(m, b, outputs)`` is all rows there are, few enough to be held, of weight 1."""
        m, b = outputs.shape[:2]
        return 2 <= total == b <= WORTH * (m + KEPT_ROWS) and bool((weights == 1).all())

    def _skewness(self, d: Tensor, offset: Tensor, variance: Tensor) -> Tensor | None:
        n, cubes = d.shape[2], Cubes()
        cubes.add(d, None, 1.0)
        found = cubes.skewness(offset, variance, n * (n - 1))
        if found is None:
            return None
        found = found.where(real(self.stderr, self.stderr, self.mean, self.eps), 0)
        return found if float(found.abs().max()) > NOTABLE else None

    def rest(self) -> dict[str, Any]:
        """Return what waits: "covariances" ``(outputs, m, m)``, "spread" ``(m, outputs)``, "individual" curves."""
        y = self.rows.permute(1, 2, 0)
        moments = RowMoments(y.shape[1])
        moments.add(y, y.new_ones(y.shape[1]))
        return {"covariances": moments.covariance(), "spread": moments.spread(), "individual": moments.individual()}
