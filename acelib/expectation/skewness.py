"""How skewed the sampling law of a row average is: the third moment of the rows' contributions, at little cost.

The average of n rows with skewness γ has the skewness ``k = γ / √n``. Long tails and rare events have a large one, and
that keeps ± 1.96 standard errors from covering 95 %: by Edgeworth's expansion they miss by about ``k² / 4`` more.
Hall's transformation needs k. With contributions c to a sum, ``k = Σ c³ / (Σ c²)^1.5``, whatever their number.

Third powers of all outputs under all values would cost a tenth of an average. So the first block looks at the first,
the middle and nearly the last value; only where one of them is skewed are all values followed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NOTABLE = 0.2  # skewness of an average from which ± 1.96 standard errors cover less than about 94 %


class Cubes:
    """Sums of third powers of contributions ``c = w d`` to an average, d deviations from a shift and w weights."""

    def __init__(self) -> None:
        self.step = 0  # between the values that are followed
        self.sums: list[np.ndarray] = []  # of c³, c² w, c w² and w³: what another shift needs
        self.only: np.ndarray | None = None  # the skewness, as long as there is one block, which its own mean shifts

    def add(self, c: Tensor, w: Tensor | None, share: float) -> None:
        """Add contributions ``(outputs, m, b)`` with weights ``(b,)``, None for ones; ``share`` of all that come."""
        if self.step:
            found, self.only = _sums(c, w, self.step), None
            self.sums = [one + other for one, other in zip(self.sums, found, strict=True)]
            return
        self.step = max(1, (c.shape[1] - 1) // 2)
        if w is None and share == 1 and not _notable(c[:, :: self.step]):
            self.only = _NONE
            return
        self.sums = self._first(c, w)
        assert self.only is not None
        if self.step > 1 and np.abs(self.only).max() * share**0.5 > NOTABLE:
            self.step = 1
            self.sums = self._first(c, w)

    def _first(self, c: Tensor, w: Tensor | None) -> list[np.ndarray]:
        found = _sums(c, w, self.step)
        second = found[1] if w is None else _picked(c.square().sum(2, keepdim=True), self.step)[..., 0]
        self.only = _ratio(found[0], second)
        return found

    def skewness(self, offset: Tensor, covariance: Tensor, scale: float) -> Tensor | None:
        """Return the ``(m, outputs)`` skewness of the averages; None where it is below 0.2 at the values looked at.

        Args:
            offset: ``(outputs, m)`` mean deviation.
            covariance: ``(outputs, m, m)`` covariance of the averages.
            scale: the sum of the squared contributions about the mean, in units of a variance.
        """
        found = self.only
        if found is _NONE:
            return None
        if found is None:
            second = covariance.diagonal(dim1=1, dim2=2).clamp_min(0) * scale
            delta, squares = (t.cpu().numpy()[:, :: self.step] for t in (offset, second))
            third, two, one, none = self.sums
            found = _ratio(third - 3 * delta * two + 3 * delta**2 * one - delta**3 * none, squares)
        if not found.size or np.abs(found).max() <= NOTABLE:
            return None
        m = offset.shape[1]
        if self.step > 1:  # none of the values looked at was skewed in the first block
            places = np.arange(m)
            found = np.stack([np.interp(places, places[:: self.step], one) for one in found])
        return torch.from_numpy(found.T.copy()).to(offset)


_NONE = np.zeros(0)


def _notable(x: Tensor) -> bool:
    """Return whether an average of all rows is skewed at one of the values looked at, ``(outputs, values, b)``."""
    square = x * x
    third, second = (square * x).sum(2), square.sum(2)
    return bool((third.abs() > NOTABLE * second * second.sqrt()).any())


def _picked(c: Tensor, step: int) -> np.ndarray:
    return c[:, ::step].cpu().numpy()


def _sums(c: Tensor, w: Tensor | None, step: int) -> list[np.ndarray]:
    """Return the sums over rows of c³, c² w, c w² ``(outputs, values)`` and w³."""
    x = _picked(c, step)
    square = x * x
    cubes = np.matmul(square[:, :, None], x[..., None])[..., 0, 0]
    if w is None:
        return [cubes, square.sum(2), x.sum(2), np.array(float(c.shape[2]))]
    weights = w.cpu().numpy()
    return [cubes, square @ weights, x @ weights**2, np.array((weights**3).sum())]


def _ratio(third: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return third / second^1.5; 0 where nothing varies."""
    return third / np.maximum(second, 1e-200) ** 1.5
