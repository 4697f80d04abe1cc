"""Networks followed exactly through their first layers, and linearised from there on, around some rows.

One pixel changes a few units of a first convolution, and a crop of the image tells which and how. With z the units
before it is set, z(a) those after, and g the slopes of the outputs with respect to units,
f(x, x_i = a) ≈ f(x) + g · (z(a) - z): the first layers bend as they do, and only the rest is taken for straight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from .._models import DIFFERENTIATED_CHUNK
from .first_layer import shared_rows
from .gradients import gradients
from .layers import Cut
from .windows import Window, crop

NUMBERS = 2**23  # units of rows under values that are computed at a time: 32 MB in float32


@dataclass(frozen=True)
class _Seen:
    """The part of rows that some columns belong to, and what the first layers make of it.

    Attributes:
        rows: ``(b, *part)``.
        layers: from them to the units that are reached.
        columns: the columns' numbers in a flattened part.
        reached: from all units to those that are reached.
    """

    rows: Tensor
    layers: Callable[[Tensor], Tensor]
    columns: list[int]
    reached: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Followed:
    """Networks around rows, cut in two.

    Attributes:
        cuts: where each network is cut.
        rows: ``(b, *shape)`` the rows.
        centres: ``(S, outputs, b)`` the networks' outputs there.
        units: for each network what the first layers make of the rows, ``(b, *units)``.
        slopes: for each network the derivatives of its outputs there, ``(b, outputs, *units)``.
    """

    cuts: Sequence[Cut]
    rows: Tensor
    centres: Tensor
    units: Sequence[Tensor]
    slopes: Sequence[Tensor]

    @classmethod
    def build(cls, cuts: Sequence[Cut], rows: Tensor, outputs: Sequence[int], chunk: int) -> Followed:
        """Return networks around rows ``(b, *shape)``, ``chunk`` of them at a time.

        Args:
            cuts: where each network is cut.
            rows: the rows.
            outputs: the networks' outputs that are wanted.
            chunk: most rows of a call.
        """
        centres, units, slopes = [], [], []
        for cut in cuts:
            found: list[tuple[Tensor, Tensor, Tensor]] = []
            for part in rows.split(min(chunk, DIFFERENTIATED_CHUNK)):
                with torch.no_grad():
                    z = cut.block(part.clone())

                def rest(flat: Tensor, cut: Cut = cut, shape: torch.Size = z.shape[1:]) -> Tensor:
                    return cut.rest(flat.reshape(len(flat), *shape))

                flat = z.flatten(1)
                with torch.no_grad():
                    out = rest(flat.clone())[:, list(outputs)]
                g = gradients(rest, flat, outputs, chunk).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
                found.append((out.T, z, g.reshape(len(z), len(outputs), *z.shape[1:])))
            parts = list(zip(*found, strict=True))
            centres.append(torch.cat(parts[0], 1))
            units.append(torch.cat(parts[1]))
            slopes.append(torch.cat(parts[2]))
        return cls(cuts, rows, torch.stack(centres), units, slopes)

    @property
    def cost(self) -> int:
        """Model rows that the slopes took: one for the outputs, two for each reverse pass."""
        networks, outputs, b = self.centres.shape
        return b * networks * (1 + 2 * outputs)

    def moved(self, columns: Sequence[int], values: Tensor) -> Tensor:
        """Return the networks' outputs ``(S, outputs, m, b)`` with columns set, before any link.

        Args:
            columns: coordinates of a flattened row, w of them.
            values: ``(m, w)`` what they are set to.
        """
        seen = [self._seen(cut, columns) for cut in self.cuts]
        return torch.stack([self._moved(s, one, values) for s, one in enumerate(seen)])

    def _seen(self, cut: Cut, columns: Sequence[int]) -> _Seen | None:
        """Return what of a row the columns reach, or None where they reach nothing."""
        shape = self.rows.shape[1:]
        at = torch.tensor([torch.unravel_index(torch.tensor(column), shape) for column in columns])[:, 1:]
        spans = list(zip(at.amin(0).tolist(), at.amax(0).tolist(), strict=True))
        window = Window.of(cut.layers, shape[1:], spans)
        if window is None:
            return None
        rows = crop(self.rows, window.first)
        numbers = crop(torch.arange(prod(shape)).reshape(shape), window.first).flatten().tolist()
        return _Seen(rows, window, [numbers.index(column) for column in columns], lambda t: crop(t, window.last))

    def _moved(self, s: int, seen: _Seen | None, values: Tensor) -> Tensor:
        """Return the outputs ``(outputs, m, b)`` of one network."""
        centres = self.centres[s]
        if seen is None:
            return centres[:, None].expand(-1, len(values), -1)
        units, slopes = seen.reached(self.units[s]), seen.reached(self.slopes[s])
        size = max(1, NUMBERS // (len(values) * units[0].numel()))
        found = []
        for part in (slice(i, i + size) for i in range(0, len(seen.rows), size)):
            rows = seen.rows[part]
            z = shared_rows(seen.layers, rows.flatten(1), tuple(seen.columns), values, shape=rows.shape[1:])
            step = (z - units[part]).flatten(2).transpose(0, 1)  # (b, m, units)
            found.append((step @ slopes[part].flatten(2).mT).permute(2, 1, 0))
        return centres[:, None] + torch.cat(found, 2)
