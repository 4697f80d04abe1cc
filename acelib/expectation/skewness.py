"""How skewed the sampling law of a row average is: the third moment of the rows' contributions, at little cost.

The average of n rows with skewness γ has the skewness ``k = γ / √n``. Long tails and rare events have a large one, and
that keeps ± 1.96 standard errors from covering 95 %: by Edgeworth's expansion they miss by about ``k² / 4`` more.
Hall's transformation needs k. With contributions c to a sum, ``k = Σ c³ / (Σ c²)^1.5``, whatever their number.

Third powers of all outputs under all values would cost a tenth of an average. So the first block looks at the first,
the middle and nearly the last value; only where one of them is skewed are all values followed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

NOTABLE = 0.2  # skewness of an average from which ± 1.96 standard errors cover less than about 94 %


class Cubes:
    """Sums of third powers of contributions ``c = w d`` to an average, d deviations from a shift and w weights.

    Args:
        every: whether all values are followed from the start, as where other rows decide whether that is worth it.
    """

    def __init__(self, *, every: bool = False) -> None:
        self.step = 0  # between the values that are followed
        self.every = every
        self.first: tuple[np.ndarray, Tensor | None] | None = None  # the first block, while there is no other
        self.alone: tuple[np.ndarray, np.ndarray] = np.zeros(0), np.zeros(0)  # its sums of c³ and c²
        self.sums: list[np.ndarray] = []  # of c³, c² w, c w² and w³: what another shift needs

    def add(self, c: Tensor, w: Tensor | None, share: float) -> None:
        """Add contributions ``(outputs, m, b)`` with weights ``(b,)``, None for ones; ``share`` of all that come."""
        if self.step:
            if self.first is not None:
                self.sums, self.first = _sums(*self.first), None
            found = _sums(_picked(c, self.step), w)
            self.sums = [one + other for one, other in zip(self.sums, found, strict=True)]
            return
        self.step = 1 if self.every else max(1, (c.shape[1] - 1) // 2)
        x = _picked(c, self.step)
        self.alone = _moments(x)
        if self.step > 1 and _notable(*self.alone, share):
            self.step = 1
            x = _picked(c, 1)
            self.alone = _moments(x)
        self.first = x, None if w is None else w.clone()  # rows that waited lie in memory that is written again

    def close(self) -> None:
        """Keep sums alone, no rows."""
        if self.first is not None:
            self.sums, self.first = _sums(*self.first), None

    def __getstate__(self) -> dict[str, Any]:
        """Return what travels: sums alone, as tensors."""
        self.close()
        return {"step": self.step, "every": self.every, "sums": [torch.from_numpy(np.array(one)) for one in self.sums]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(every=state["every"])
        self.step, self.sums = state["step"], [one.numpy() for one in state["sums"]]

    def merge(self, other: Cubes, delta: Tensor) -> None:
        """Add closed sums of deviations about a shift that is ``delta`` ``(outputs, m)`` above the own one."""
        if not other.step:
            return
        if not self.step:
            self.step = other.step
        assert self.step % other.step == 0, "the rows that come first decide which values are followed"
        self.close()
        each = self.step // other.step
        third, two, one, none = (t[:, ::each] if t.ndim == 2 else t for t in other.sums)
        d = delta.cpu().numpy()[:, :: self.step]
        moved = [
            third + 3 * d * two + 3 * d**2 * one + d**3 * none,
            two + 2 * d * one + d**2 * none,
            one + d * none,
            none,
        ]
        self.sums = [a + b for a, b in zip(self.sums, moved, strict=True)] if self.sums else moved

    def skewness(self, offset: Tensor, variance: Tensor, scale: float) -> Tensor | None:
        """Return the ``(m, outputs)`` skewness of the averages; None where it is below 0.2 at the values looked at.

        Args:
            offset: ``(outputs, m)`` mean deviation.
            variance: ``(outputs, m)`` variance of the averages, at least 0.
            scale: the sum of the squared contributions about the mean, in units of a variance.
        """
        if self.first is not None:  # which its own mean shifts
            third, second = self.alone
        else:
            delta, second = (t.cpu().numpy()[:, :: self.step] for t in (offset, variance * scale))
            third, two, one, none = self.sums
            third = third - 3 * delta * two + 3 * delta**2 * one - delta**3 * none
        if not _notable(third, second):
            return None
        found = third / np.maximum(second, 1e-200) ** 1.5  # 0 where nothing varies
        found = found.clip(-1.0, 1.0)  # the bounds of the ratio, which rounding may pass where next to nothing varies
        m = offset.shape[1]
        if self.step > 1:  # none of the values looked at was skewed in the first block
            places = np.arange(m)
            found = np.stack([np.interp(places, places[:: self.step], one) for one in found])
        return torch.from_numpy(found.T.copy()).to(offset)


def _picked(c: Tensor, step: int) -> np.ndarray:
    """Return every so many values of c in memory of their own."""
    return c.numpy()[:, ::step].copy() if c.device.type == "cpu" else c[:, ::step].cpu().numpy()


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums over rows of x³ and x², ``(outputs, values)``."""
    square = x * x
    return (square * x).sum(2), square.sum(2)


def _notable(third: np.ndarray, second: np.ndarray, share: float = 1.0) -> bool:
    """Return whether ``third / second^1.5``, times the root of a share of rows, exceeds 0.2 in size anywhere."""
    return bool((third * third * share > NOTABLE**2 * second * second * second).any())


def _sums(x: np.ndarray, w: Tensor | None) -> list[np.ndarray]:
    """Return the sums over rows of c³, c² w, c w² ``(outputs, values)`` and w³."""
    cubes, squares = _moments(x)
    if w is None:
        return [cubes, squares, x.sum(2), np.array(float(x.shape[2]))]
    weights = w.cpu().numpy()
    return [cubes, (x * x) @ weights, x @ weights**2, np.array((weights**3).sum())]
