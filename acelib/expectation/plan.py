"""How the price of a correction is shared out between the levels of the linearised estimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .expansion import SLOPES, Expansion
from .followed import Followed
from .knots import Knots
from .layers import Cut
from .pilot import Pilot

HELD = 2**22  # numbers of the drawn rows' curves: 32 MB in float64
LEAST = 10  # draws of each kind
WHOLE = 4  # one part in so many of the price is for rows that are answered at all values


@dataclass(frozen=True)
class Plan:
    """What is done with the price of a correction.

    Attributes:
        knots: where most drawn rows are answered; None: at all values.
        cuts: where the networks are cut, to follow their first layers on further rows; empty: nowhere.
        whole: draws that the network answers at all values.
        short: draws that it answers at the knots.
        far: draws that are followed through the first layers, at the knots or at all values.
        price: of a row that is followed so, in rows that the network answers.
    """

    knots: Knots | None
    cuts: Sequence[Cut]
    whole: int
    short: int = 0
    far: int = 0
    price: float = 0.0

    @classmethod
    def of(cls, expansion: Expansion, values: Tensor, draws: int, trial: Pilot | None) -> Plan:
        """Return what to do for the price of so many rows at all of the values ``(m, w)``."""
        knots, whole = Knots.of(values), 0
        ratio, rest = 1.0, draws
        if knots is not None:
            whole = max(LEAST, draws // WHOLE)
            ratio, rest = len(values) / len(knots.places), draws - whole
        most = max(LEAST, HELD // (len(values) * len(expansion.columns)))
        if knots is not None and int(rest * ratio) < max(LEAST, whole):
            knots, whole, ratio, rest = None, 0, 1.0, draws
        if trial is None or not trial.best.cuts:
            return cls._shared(knots, (), whole, int(rest * ratio), 0, most)
        way = trial.best
        far = min(int(way.shared_out(rest)[0] * ratio), expansion.num_rows, most, _held(expansion, way.cuts))
        left = int(rest * ratio - far * way.price)
        if far < LEAST or left < LEAST:
            return cls._shared(knots, (), whole, int(rest * ratio), 0, most)
        return replace(cls._shared(knots, way.cuts, whole, left, far, most), price=way.price)

    @classmethod
    def _shared(cls, knots: Knots | None, cuts: Sequence[Cut], whole: int, rest: int, far: int, most: int) -> Plan:
        if knots is None:
            return cls(None, cuts, rest, 0, far)
        return cls(knots, cuts, whole, max(LEAST, min(rest, most)), far)

    def around(self, expansion: Expansion, chosen: Tensor) -> Followed:
        """Return the networks that are linear behind their first layers, around some of the n rows."""
        known = expansion.kept.get("followed")
        if known is None or not torch.equal(known[0], chosen):
            known = chosen, Followed.build(self.cuts, expansion.shaped(chosen), expansion.columns, expansion.chunk)
            expansion.kept["followed"] = known
        return known[1]


def _held(expansion: Expansion, cuts: Sequence[Cut]) -> int:
    """Return of how many rows the slopes behind the first layers can be kept."""
    row = expansion.shaped(slice(1))
    with torch.no_grad():
        units = sum(cut.block(row.clone()).numel() for cut in cuts)
    return SLOPES // (2 * units * len(expansion.columns) * row.element_size())
