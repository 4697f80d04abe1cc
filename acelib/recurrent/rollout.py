"""Sequences simulated again under do(x_i^t̂ = α): batched over sequences and values, the past computed once.

The hidden state after the steps before t̂ depends on the data alone, so one pass over each block of sequences serves all
values; from t̂ on sequences and values share one batch and the network takes single steps. What it says at the last step
is the outcome, so a row average needs no second pass over the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .._models import DEFAULT_CHUNK, accumulator_dtype, check_output
from ..inputs.intervention import Block, Intervention
from ..inputs.support import distance_limit, seeded_subset
from .networks import Unfolded, predictions, repeat_state

Feed = Callable[[Tensor, Tensor], Tensor]  # outputs (batch, outputs), data of the next step (batch, d) -> its inputs


@dataclass(frozen=True)
class Simulator:
    """A network with its feedback: takes sequences from their data to the intervened step and on by itself."""

    model: Unfolded
    feed: Feed

    def past(self, block: Tensor, first: int) -> Any:
        """Return the state after the steps before ``first`` of ``block (b, steps, d)``; None for the very beginning."""
        with torch.no_grad():
            return predictions(self.model.source, block[:, :first])[1] if first else None

    def run(
        self, block: Tensor, state: Any, pins: dict[int, tuple[list[int], Tensor]], *, first: int, answer: bool
    ) -> Tensor:
        """Simulate v values on b sequences: return the inputs from ``first`` on, or the output at the last step.

        Args:
            block: ``(b, steps, d)`` data.
            state: after the steps before ``first``, for b sequences.
            pins: for a step the channels that are set and their values ``(v, channels)``.
            first: the first step that is set.
            answer: whether to take the last step too and return the output there, ``(v, b, outputs)``, instead of
                the inputs, ``(v, b, steps - first, d)``.
        """
        (b, steps, d), v = block.shape, len(pins[first][1])
        state = None if state is None else repeat_state(state, v, b)
        inputs, y = [], None
        with torch.no_grad():
            for step in range(first, steps):
                x = block[:, step].expand(v, b, d).reshape(v * b, d)
                x = x.clone() if y is None else self.feed(y, x)
                if step in pins:
                    channels, values = pins[step]
                    x.view(v, b, d)[:, :, channels] = values[:, None]
                if not answer:
                    inputs.append(x.view(v, b, d))
                if step < steps - 1 or answer:
                    y, state = predictions(self.model.source, x[:, None], state)
                    y = y[:, 0]
        return y.view(v, b, -1) if answer else torch.stack(inputs, dim=2)


class RollOut(Intervention):
    """The answer of sequences with feedback to do(x = values), simulated when it is first asked for.

    ``pinned`` holds the intervened inputs alone: earlier inputs are data, later ones follow from the network. Each
    value has its own covariance, so ``factor`` is ``(m, k, R)``: with R = n where there are no more sequences than
    inputs, else R = k or fewer. A row average asks for neither moments nor rows, only for outputs.
    """

    def __init__(
        self,
        simulator: Simulator,
        data: Tensor,
        *,
        name: str,
        columns: tuple[int, ...],
        values: Tensor,
        fixed: tuple[int, ...] = (),
        fixed_values: Tensor | None = None,
    ) -> None:
        n, k, m = data.shape[0], data[0].numel(), values.shape[0]
        every = columns + fixed
        settings = values if not fixed else torch.cat([values, fixed_values.expand(m, -1)], dim=1)
        pinned = torch.zeros(m, k, dtype=torch.bool, device=data.device)
        pinned[:, list(every)] = True
        for key, value in dict(
            name=name,
            columns=columns,
            values=values,
            pinned=pinned,
            shape=tuple(data.shape[1:]),
            num_rows=n,
            num_observed=n,
            _simulator=simulator,
            _data=data,
            _every=every,
            _settings=settings,
            _first=min(every) // data.shape[2],
        ).items():
            object.__setattr__(self, key, value)

    def __repr__(self) -> str:
        return f"RollOut(do({self.name}), {len(self)} values, {self.num_rows} sequences, from step {self._first})"

    def check_models(self, models: list[Any]) -> None:
        """Raise a ValueError unless the one model is the network that simulates these rows."""
        own = self._simulator.model
        if len(models) != 1 or not own.same(models[0]):
            what = "a list of models" if len(models) != 1 else "another network (or unfolded to another step)"
            raise ValueError(
                f"model is {what} than the one these sequences are simulated with; pass inputs.model, and build one "
                "FeedbackSequences for each network"
            )

    def rows(self, chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        """Yield ``(value_index (v,), rows (v, b, k), weights (b,))``, row blocks outer, value blocks inner."""
        for which, block, inputs in self._blocks(chunk, index, answer=False):
            rows = block.expand(len(which), *block.shape).clone()
            rows[:, :, self._first :] = inputs
            rows = rows.flatten(2)
            if not torch.isfinite(rows).all():
                raise ValueError(
                    f"the sequences simulated under do({self.name}) reach NaN or Inf; the network diverges when it "
                    "reads its own predictions: check its scaling, or choose an earlier target_step"
                )
            yield which, rows, torch.ones(rows.shape[1], dtype=rows.dtype, device=rows.device)

    def outputs(self, chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        """Yield ``(value_index (v,), outputs (v, b, outputs), weights (b,))``: the roll-outs' own last outputs."""
        for which, block, y in self._blocks(chunk, index, answer=True):
            check_output(y.flatten(0, 1), y.shape[0] * y.shape[1])
            yield which, y, torch.ones(len(block), dtype=y.dtype, device=y.device)

    def _blocks(self, chunk: int, index: Tensor | None, *, answer: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        data, count = self._data if index is None else self._data[index], len(self)
        for block in data.split(max(1, chunk // count)):
            state = self._simulator.past(block, self._first)
            for which in torch.arange(count, device=data.device).split(max(1, chunk // len(block))):
                pins = self._pins(which)
                yield which, block, self._simulator.run(block, state, pins, first=self._first, answer=answer)

    def _pins(self, which: Tensor) -> dict[int, tuple[list[int], Tensor]]:
        d, places = self.shape[1], {}
        for position, column in enumerate(self._every):
            places.setdefault(column // d, []).append(position)
        return {
            step: ([self._every[p] % d for p in positions], self._settings[which][:, positions])
            for step, positions in places.items()
        }

    @property
    def means(self) -> Tensor:
        """``(m, k)`` means of the simulated sequences."""
        return self._moments[0]

    @property
    def factor(self) -> Tensor:
        """``(m, k, R)`` factors of the covariances of the simulated sequences (ddof = 0), pinned rows zero."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        m, n, k = len(self), self.num_rows, self.pinned.shape[1]
        dtype, wide, every = self._data.dtype, accumulator_dtype(self._data.device), list(self._every)
        means = self.values.new_zeros(m, k, dtype=wide)
        for which, rows, _ in self.rows(DEFAULT_CHUNK):
            means[which] += rows.to(wide).sum(1) / n
        means[:, every] = self._settings.to(wide)
        factor = self.values.new_zeros(m, k, n if n <= k else k, dtype=dtype if n <= k else wide)
        start = 0
        for which, rows, weights in self.rows(DEFAULT_CHUNK):  # a second pass: no cancellation
            centred = (rows.to(wide) - means[which, None]) / n**0.5
            if n <= k:
                factor[which, :, start : start + len(weights)] = centred.mT.to(dtype)
            else:
                factor[which] += centred.mT @ centred
            start += len(weights) if int(which[-1]) == m - 1 else 0
        if n > k:
            factor = _square_roots(factor).to(dtype)
        factor[:, every] = 0
        return means.to(dtype), factor

    def support(self) -> Tensor:
        """Return the share of simulated sequences that leave the data, ``(m,)`` see ``acelib.inputs.support``."""
        observed = self._data.flatten(1).to(torch.float64)
        scale, observed, limit = distance_limit(observed)
        index = seeded_subset(self.num_rows, seed=1).to(self._data.device)
        early = self._first * self.shape[1]
        shares = torch.zeros(len(self), dtype=torch.float64, device=observed.device)
        for which, rows, _ in self.rows(DEFAULT_CHUNK, index):
            rows = rows.to(torch.float64) / scale
            past = _squared(rows[0, :, :early], observed[:, :early])  # the same under every value
            for value, moved in zip(which.tolist(), rows[:, :, early:], strict=True):
                nearest = (past + _squared(moved, observed[:, early:])).min(1).values.sqrt()
                shares[value] += (nearest > limit * (1 + 1e-12)).double().sum()
        return shares / len(index)


def _squared(rows: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist").square()


def _square_roots(covariances: Tensor) -> Tensor:
    """Factors ``(m, k, R)`` of ``(m, k, k)``, without the columns that are rounding noise under every value."""
    variances, vectors = torch.linalg.eigh(covariances)
    noise = variances[:, -1:] * variances.shape[1] * torch.finfo(variances.dtype).eps
    keep = (variances > noise).any(0)
    keep[-1] = True
    return (vectors * variances.clamp_min(0).sqrt()[:, None])[:, :, keep].flip(2)
