"""Networks linearised around every row: outputs and slopes at the rows, once for all features and values.

Setting one input of a row moves the network along one coordinate, from a point where its value and its slope are known:
f(x, x_i = a) ≈ f(x) + ∂f/∂x_i (x) (a - x_i). A reverse pass for each output gives the slopes of all inputs, so one pass
over the rows serves every feature and every value. That is an expansion around each row in the coordinate that is set,
where Eq. 4 of Chattopadhyay et al. (2019) is one around the mean row in all of them.

What it misses is measured on a few rows, drawn here with probabilities that grow with how far an input can move the
explained output there, mixed with equal ones so that no weight exceeds 1 / UNIFORM.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .._checks import as_generator
from .._devices import double
from .._entrance import Admitted
from .._maps import release, slabs, taken
from .._models import DIFFERENTIATED_CHUNK, check_output
from ..inputs.local import Local
from .gradients import gradients
from .links import Link, applied

UNIFORM = 0.3  # share of the drawn rows that every row is as likely to be
STRAIGHT = 0.1  # of what a straight line moves, against what a bent one bends
MANY = 2**17  # rows that are looked at together
LOOKED_AT = 1024  # inputs that tell how much a row matters
SLOPES = 2**29  # bytes of the slopes that are kept, 512 MB: 17,000 rows of 784 inputs and 10 outputs in float32


@dataclass(frozen=True, eq=False)
class Expansion:
    """Networks at the rows of an input model: outputs before the link, their slopes, and the rows that correct them.

    Attributes:
        local: the coordinates at all N rows of the input model.
        index: ``(n,)`` numbers of the rows that are expanded around; None for all.
        columns: the networks' outputs that are expanded.
        centres: ``(S, outputs, n)`` outputs of S networks, before the link.
        slopes: ``(k, S, outputs, n)`` their derivatives: those of one input lie together.
        weights: ``(n,)`` shares of the rows in the average, float64, with the sum 1.
        link: what is applied to the outputs, or None.
        models: the networks before the link.
        chunk: most rows of a call.
    """

    local: Local
    index: Tensor | None
    columns: tuple[int, ...]
    centres: Tensor
    slopes: Tensor
    weights: Tensor
    link: Link | None
    models: Sequence[Admitted]
    chunk: int

    @classmethod
    def build(
        cls,
        models: Sequence[Admitted],
        local: Local,
        columns: Sequence[int],
        *,
        link: Link | None,
        seed: int | None,
        chunk: int,
        most: int | None = None,
    ) -> Expansion:
        """Return the networks linearised around rows.

        Args:
            models: networks before the link.
            local: the coordinates at the rows.
            columns: the outputs that are needed.
            link: what is applied to them.
            seed: seed of the rows, where there are more than ``most`` or their slopes are more than ``SLOPES`` bytes.
            chunk: most rows of a call.
            most: most rows, where so many are enough.
        """
        rows, columns = local.rows, list(columns)
        n, k = rows.shape
        held = max(2, SLOPES // (k * len(columns) * len(models) * rows.element_size()))
        most = held if most is None else min(most, held)
        index = None
        if n > most:
            index = torch.randperm(n, generator=as_generator(seed))[:most].sort().values.to(rows.device)
        numbers = torch.arange(n, device=rows.device) if index is None else index
        own = rows if index is None else taken(rows, index, in_memory=True)
        weights = double(own.new_ones(len(own)) if local.weights is None else local.weights[numbers])
        centres = rows.new_empty(len(models), len(columns), len(own))
        slopes = rows.new_empty(k, len(models), len(columns), len(own))
        for s, model in enumerate(models):
            for at in torch.arange(len(own), device=rows.device).split(min(chunk, DIFFERENTIATED_CHUNK)):

                def call(x: Tensor, model: Admitted = model, at: Tensor = at) -> Tensor:
                    return check_output(local.follow(model, x, numbers[at]), len(x))

                with torch.no_grad():
                    centres[s, :, at] = call(own[at].clone())[:, columns].detach().T
                found = gradients(call, own[at], columns, chunk).permute(2, 1, 0)
                # A root at 0 has no slope. Any step does: what it misses is measured.
                slopes[:, s, :, at] = found.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
                if int(at[-1]) % MANY < len(at):
                    release(rows)
        weights /= weights.sum()
        return cls(local, index, tuple(columns), centres, slopes, weights, link, models, chunk)

    def serves(self, local: Local, columns: tuple[int, ...]) -> bool:
        """Return whether these are the rows, and the outputs that are wanted."""
        return columns == self.columns and self.local.same(local)

    @cached_property
    def own(self) -> Tensor:
        """``(n, k)`` the rows that are expanded around."""
        return self.local.rows if self.index is None else taken(self.local.rows, self.index, in_memory=True)

    @property
    def num_rows(self) -> int:
        """Rows that are expanded around, n."""
        return self.centres.shape[-1]

    @property
    def cost(self) -> int:
        """Model rows that the pass took: one for the outputs, two for each reverse pass."""
        _, networks, outputs, n = self.slopes.shape
        return n * networks * (1 + 2 * outputs)

    def predicted(self, columns: Sequence[int], values: Tensor, part: Tensor | slice) -> Tensor:
        """Return what the linear step says of these rows with columns set, link and all, ``(m, b, outputs)``.

        Args:
            columns: coordinates, w of them.
            values: ``(m, w)`` what they are set to.
            part: numbers of some of the n rows, or a slice of them.
        """
        moved = self.centres[:, :, None, part]  # (S, outputs, 1, b)
        for given, column in zip(values.unbind(1), columns, strict=True):
            step = given[:, None].to(self.own) - self.own[part, column]  # (m, b)
            moved = torch.addcmul(moved, step, self.slopes[column][:, :, None, part])
        return self.explained(moved)

    def explained(self, outputs: Tensor) -> Tensor:
        """Return the link of outputs ``(S, outputs, m, b)``, as ``(m, b, o)``.

        Several networks give their mean and then each of them, ``(m, b, (S + 1) o)``.
        """
        found = applied(self.link, outputs)
        if len(found) > 1:
            found = torch.cat([found.mean(0, keepdim=True), found])
        return found.flatten(0, 1).permute(1, 2, 0)

    @cached_property
    def _sizes(self) -> tuple[Tensor, Tensor]:
        """How far, and how bent, inputs move the explained outputs: mean squares by rows ``(n,)`` and inputs ``(k,)``.

        They go from an input's least value to its greatest. Where the link bends much, the network does. Of very many
        inputs some tell the rows' sizes, evenly among them.
        """
        rows, inputs = torch.zeros_like(self.weights), self.weights.new_zeros(self.own.shape[1])
        low, high = (torch.stack(ends) for ends in zip(*(part.aminmax(dim=0) for part in slabs(self.own)), strict=True))
        low, high = low.amin(0), high.amax(0)
        parts = [slice(start, start + MANY) for start in range(0, self.num_rows, MANY)]
        varying = (high > low).nonzero()[:, 0]
        places = torch.linspace(0, len(varying) - 1, min(len(varying), LOOKED_AT)).round().long()
        for column in varying[places.to(varying.device)].tolist():
            values = torch.stack([low[column], (low[column] + high[column]) / 2, high[column]])[:, None]
            for part in parts:
                first, middle, last = double(self.predicted([column], values, part))
                size = (first - 2 * middle + last).square().sum(1) + STRAIGHT * (last - first).square().sum(1)
                rows[part] += size
                inputs[column] += (size * self.weights[part]).sum()
                release(self.own)
        return rows, inputs

    @property
    def importance(self) -> Tensor:
        """``(k,)`` mean squares of what each input moves, float64; 0 for one not looked at, or that never varies."""
        return self._sizes[1]

    @cached_property
    def chances(self) -> Tensor:
        """``(n,)`` probabilities of the rows to be drawn for the correction, float64, with the sum 1."""
        size = self._sizes[0].sqrt() * self.weights
        total = size.sum()
        return UNIFORM * self.weights + (1 - UNIFORM) * size / total if bool(total > 0) else self.weights

    @cached_property
    def kept(self) -> dict[Hashable, Any]:
        """What further levels have computed around some of these rows: one answer after the other needs the same."""
        return {}

    def shaped(self, some: Tensor | slice) -> Tensor:
        """Return some of the n rows in the shape of the networks' input, where that is known."""
        return self.own[some].reshape(-1, *(self.local.shape or self.own.shape[1:]))

    def numbers(self, some: Tensor) -> Tensor:
        """Return the numbers of some of the n rows among all rows of the input model."""
        return some if self.index is None else self.index[some]

    def drawn(self, count: int, seed: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the numbers ``(count,)`` of drawn rows among the n, with repeats, their weights, and which are fair.

        A weight is the row's share in the average over its probability: the mean of weight times d over draws is, on
        average over draws, the average of d over the rows. The draws that are fair ``(count,)`` fall on any row with
        its share: a sample of curves to look at.
        """
        generator = as_generator(seed)
        if self.index is not None:  # the random numbers that chose the rows must not draw among them
            torch.randperm(len(self.local.rows), generator=generator)
        chances = self.chances.cpu()
        chosen = torch.multinomial(chances, count, replacement=True, generator=generator)
        worth = self.weights.cpu()[chosen] / chances[chosen]
        fair = torch.rand(count, generator=generator, dtype=torch.float64) < worth / worth.max()
        device = self.weights.device
        return chosen.to(device), worth.to(device), fair.to(device)
