"""Networks linearised around every row: outputs and slopes at the rows, once for all features and values.

Setting one input of a row moves the network along one coordinate, from a point where its value and its slope are known:
f(x, x_i = a) ≈ f(x) + ∂f/∂x_i (x) (a - x_i). A reverse pass for each output gives the slopes of all inputs, so one pass
over the rows serves every feature and every value. That is an expansion around each row in the coordinate that is set,
where Eq. 4 of Chattopadhyay et al. (2019) is one around the mean row in all of them.

What it misses is measured on a few rows, drawn here with probabilities that grow with how far an input can move the
explained output there, mixed with equal ones so that no weight exceeds 1 / UNIFORM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .._checks import as_generator
from .._devices import double
from .._entrance import Admitted
from .._models import DIFFERENTIATED_CHUNK, check_output
from ..inputs.intervention import Intervention
from .gradients import gradients
from .links import Link, applied

UNIFORM = 0.2  # share of the drawn rows that every row is as likely to be
SLOPES = 2**26  # most slopes that are kept: 256 MB in float32


@dataclass(frozen=True, eq=False)
class Expansion:
    """Networks at the rows of an input model: outputs before the link, their slopes, and the rows that correct them.

    Attributes:
        rows: ``(N, k)`` all rows of the input model.
        index: ``(n,)`` numbers of those that are expanded around; None for all.
        columns: the networks' outputs that are expanded.
        centres: ``(S, outputs, n)`` outputs of S networks, before the link.
        slopes: ``(k, S, outputs, n)`` their derivatives: those of one input lie together.
        weights: ``(n,)`` shares of the rows in the average, float64, with the sum 1.
        link: what is applied to the outputs, or None.
        reach: ``(k,)`` how far an input moves: its standard deviation over the rows.
    """

    rows: Tensor
    index: Tensor | None
    columns: tuple[int, ...]
    centres: Tensor
    slopes: Tensor
    weights: Tensor
    link: Link | None
    reach: Tensor

    @classmethod
    def build(
        cls,
        models: Sequence[Admitted],
        answer: Intervention,
        columns: Sequence[int],
        *,
        link: Link | None,
        seed: int | None,
        chunk: int,
    ) -> Expansion:
        """Return the networks linearised around the rows of an answer, before its columns are set.

        Args:
            models: networks before the link.
            answer: with ``base_rows``.
            columns: the outputs that are needed.
            link: what is applied to them.
            seed: seed of the rows, where their slopes would be more than ``SLOPES`` numbers.
            chunk: most rows of a call.
        """
        rows = answer.base_rows
        assert rows is not None, "base_rows must hold rows"
        columns = list(columns)
        n, k = rows.shape
        most = max(2, SLOPES // (k * len(columns) * len(models)))
        index = torch.randperm(n, generator=as_generator(seed))[:most].sort().values.to(rows.device) if n > most else None
        own = rows if index is None else rows[index]
        weights = own.new_ones(len(own)) if answer.weights is None else answer.weights if index is None else answer.weights[index]
        centres = rows.new_empty(len(models), len(columns), len(own))
        slopes = rows.new_empty(k, len(models), len(columns), len(own))
        for s, model in enumerate(models):

            def call(x: Tensor, model: Admitted = model) -> Tensor:
                return check_output(model(x.reshape(len(x), *answer.shape)), len(x))

            for at in torch.arange(len(own), device=rows.device).split(min(chunk, DIFFERENTIATED_CHUNK)):
                with torch.no_grad():
                    centres[s, :, at] = call(own[at].clone())[:, columns].detach().T
                slopes[:, s, :, at] = gradients(call, own[at], columns, chunk).permute(2, 1, 0)
        mean = (double(own) * double(weights)[:, None]).sum(0) / double(weights).sum()
        reach = ((double(own) - mean).square() * double(weights)[:, None]).sum(0).div(double(weights).sum()).sqrt()
        return cls(rows, index, tuple(columns), centres, slopes, double(weights) / double(weights).sum(), link, reach.to(rows))

    def serves(self, answer: Intervention, columns: tuple[int, ...]) -> bool:
        """Return whether an answer overwrites the same rows, and these outputs are wanted."""
        other = answer.base_rows
        if other is None or columns != self.columns:
            return False
        return other is self.rows or (other.shape == self.rows.shape and torch.equal(other, self.rows))

    @cached_property
    def own(self) -> Tensor:
        """``(n, k)`` the rows that are expanded around."""
        return self.rows if self.index is None else self.rows[self.index]

    @property
    def num_rows(self) -> int:
        """Rows that are expanded around, n."""
        return self.centres.shape[-1]

    @property
    def cost(self) -> int:
        """Model rows that the pass took: one for the outputs, two for each reverse pass."""
        _, networks, outputs, n = self.slopes.shape
        return n * networks * (1 + 2 * outputs)

    def predicted(self, answer: Intervention, part: Tensor | slice) -> Tensor:
        """Return what the linear step says of these rows under the answer's values, link and all, ``(m, b, outputs)``.

        Args:
            answer: one that ``serves``.
            part: numbers of some of the n rows, or a slice of them.
        """
        moved = self.centres[:, :, None, part]  # (S, outputs, 1, b)
        for values, column in zip(answer.values.unbind(1), answer.columns, strict=True):
            step = values[:, None].to(self.rows) - self.own[part, column]  # (m, b)
            moved = torch.addcmul(moved, step, self.slopes[column][:, :, None, part])
        return self.explained(moved)

    def explained(self, outputs: Tensor) -> Tensor:
        """Return the link of outputs ``(S, outputs, m, b)``: ``(m, b, o)`` of one network, ``(m, b, (S + 1) o)`` of more.

        Several networks give their mean and then each of them.
        """
        found = applied(self.link, outputs)
        if len(found) > 1:
            found = torch.cat([found.mean(0, keepdim=True), found])
        return found.flatten(0, 1).permute(1, 2, 0)

    @cached_property
    def chances(self) -> Tensor:
        """``(n,)`` probabilities of the rows to be drawn for the correction, float64, with the sum 1.

        They grow with the norm of the slopes of the explained outputs, inputs in units of their standard deviation.
        """
        parts = []
        for some in (slice(i, i + 1024) for i in range(0, self.num_rows, 1024)):
            slopes = self.slopes[..., some] * self.reach[:, None, None, None]
            if self.link is not None:
                slopes = self._through_link(self.centres[..., some], slopes)
            parts.append(double(slopes).square().sum((0, 1, 2)).sqrt())
        size = torch.cat(parts) * self.weights
        total = size.sum()
        if not bool(total > 0):
            return self.weights
        return UNIFORM * self.weights + (1 - UNIFORM) * size / total

    def _through_link(self, centres: Tensor, slopes: Tensor) -> Tensor:
        """Return the slopes of the explained outputs ``(k, S, o, b)``, by the chain rule."""
        with torch.enable_grad():
            z = centres.detach().requires_grad_(True)
            out = applied(self.link, z)
            found = []
            for o in range(out.shape[1]):
                (row,) = torch.autograd.grad(out[:, o].sum(), z, retain_graph=True) if out.requires_grad else (0 * z,)
                found.append((slopes * row.detach()).sum(2))
        return torch.stack(found, 2)

    def drawn(self, count: int, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return the numbers ``(count,)`` of drawn rows among the n, with repeats, and their weights ``(count,)``.

        A weight is the row's share in the average over its probability: the mean of weight times d over draws is, on
        average over draws, the average of d over the rows.
        """
        generator = as_generator(seed)
        chances = self.chances.cpu()
        chosen = torch.multinomial(chances, count, replacement=True, generator=generator)
        return chosen.to(self.rows.device), (self.weights.cpu()[chosen] / chances[chosen]).to(self.weights.device)
