"""A few of many values, with a spline between them: most of a curve for a fraction of the calls.

What a network answers along one input is smooth, or nearly so, beside what differs from row to row. So the row's curve
at six of the values tells the rest to a percent; what it misses is measured on rows that are answered at all values.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._devices import double

KNOTS = 6


@dataclass(frozen=True, eq=False)
class Knots:
    """Some of m values, evenly among them, and the spline through what is known there.

    Attributes:
        places: ``(q,)`` numbers of the knots among the values, in ascending order of the values.
        weights: ``(m, q)`` what the spline makes of the q known numbers at each of the m values, float64.
    """

    places: Tensor
    weights: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Knots | None:
        """Return the knots of values ``(m, w)``; None where they are few, or not those of one input.

        Example:
            >>> values = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None, None]
            >>> knots = Knots.of(values[..., 0])
            >>> assert torch.allclose(knots.between(values[knots.places] ** 3), values**3)
        """
        if values.shape[1] > 1:
            return None
        from scipy.interpolate import CubicSpline  # when it is first needed: it takes long to import

        distinct, number = double(values[:, 0]).cpu().unique(return_inverse=True)
        if len(distinct) < 2 * KNOTS:
            return None
        some = torch.linspace(0, len(distinct) - 1, KNOTS).round().long()
        places = torch.stack([(number == one).nonzero()[0, 0] for one in some])
        spline = CubicSpline(distinct[some].numpy(), torch.eye(KNOTS, dtype=torch.float64).numpy())
        weights = torch.from_numpy(spline(distinct.numpy()))[number]
        return cls(places.to(values.device), double(weights.to(values.device)))

    def between(self, known: Tensor) -> Tensor:
        """Return curves ``(m, b, outputs)`` from what is known at the knots, ``(q, b, outputs)``."""
        return torch.tensordot(self.weights, double(known), 1)
