"""Sequences simulated again under do(x_i^t̂ = α): batched over sequences and values, the past computed once.

The hidden state after the steps before t̂ depends on the data alone, so one pass over each block of sequences serves all
values; from t̂ on sequences and values share one batch and the network takes single steps. Its output at the last step
is the outcome, so a row average needs no second pass over the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .._fingerprint import State, changed, fingerprint
from .._models import check_output
from .._warnings import SupportWarning, warn_caller
from ..inputs.intervention import Block, Intervention, moments_of_rows, parts_of_values
from ..inputs.local import Local
from ..inputs.support import Neighbourhood, seeded_subset, share_off_support
from .networks import Unfolded, predictions, repeat_state

Feed = Callable[[Tensor, Tensor], Tensor]  # outputs (batch, outputs), data of the next step (batch, d) -> its inputs


@dataclass(frozen=True)
class Simulator:
    """A network with its feedback, which takes sequences from their data to the intervened step and on by itself."""

    model: Unfolded
    feed: Feed

    def past(self, block: Tensor, first: int) -> Any:
        """Return the state after the steps before ``first`` of ``block (b, steps, d)``; None for the very beginning."""
        with torch.no_grad():
            # A copy, into which the network may write.
            return _detached(predictions(self.model.source, block[:, :first].clone())[1]) if first else None

    def run(
        self, block: Tensor, state: Any, pins: dict[int, tuple[list[int], Tensor]], *, first: int, outputs: bool
    ) -> Tensor:
        """Return the inputs from ``first`` on of b sequences under v values, or the output at the last step.

        Args:
            block: ``(b, steps, d)`` data.
            state: after the steps before ``first``, for b sequences.
            pins: for a step the channels that are set and their values ``(v, channels)``.
            first: the first step that is set.
            outputs: whether to take the last step too and return the output there, ``(v, b, outputs)``, instead of
                the inputs, ``(v, b, steps - first, d)``.
        """
        (b, steps, d), v = block.shape, len(pins[first][1])
        state = None if state is None else _own(repeat_state(state, v, b))
        inputs, y = [], None
        with torch.no_grad():
            for step in range(first, steps):
                x = block[:, step].expand(v, b, d).reshape(v * b, d)
                x = x.clone() if y is None else self.feed(y, x).detach()
                if step in pins:
                    channels, values = pins[step]
                    x.view(v, b, d)[:, :, channels] = values[:, None]
                if not outputs:
                    inputs.append(x.view(v, b, d))
                if step < steps - 1 or outputs:
                    y, state = _detached(predictions(self.model.source, x[:, None].clone(), state))
                    y = y[:, 0]
        return torch.stack(inputs, dim=2) if y is None or not outputs else y.view(v, b, -1)

    def outcome(self, block: Tensor, state: Any, x: Tensor, first: int) -> Tensor:
        """Return the output at the last step ``(b, outputs)`` from given inputs at one step, with gradients.

        Args:
            block: ``(b, steps, d)`` data.
            state: after the steps before ``first``.
            x: ``(b, d)`` the inputs at step ``first``, in place of those of the data.
            first: the step from which the network goes on by itself.
        """
        state, y = _own(state), None
        for step in range(first, block.shape[1]):
            x = x if y is None else self.feed(y, block[:, step])
            y, state = predictions(self.model.source, x[:, None].clone(), state)
            y = y[:, 0]
        return x if y is None else y


@dataclass
class Pasts:
    """The states after the steps before an intervention, kept while one call asks about the channels of one step.

    A map over steps and channels asks for the same past once for each channel. Only those of the last step asked for
    are kept, and only within one call, in which the network may not change.

    Attributes:
        first: the step that is set.
        kept: the states of blocks of sequences, by the numbers of these.
    """

    first: int = -1
    kept: dict[Hashable, Any] = field(default_factory=dict)

    def of(self, simulator: Simulator, block: Tensor, first: int, key: Hashable) -> Any:
        """Return ``simulator.past(block, first)``, computed at most once for each ``key`` of a block."""
        if first != self.first:
            self.first, self.kept = first, {}
        if key not in self.kept:
            self.kept[key] = simulator.past(block, first)
        return self.kept[key]


def _own(tree: Any) -> Any:
    """Return a state that the network may write into: a copy, since the past serves several roll-outs."""
    if isinstance(tree, tuple | list):
        return tuple(_own(item) for item in tree)
    return tree.clone() if isinstance(tree, Tensor) else tree


def _detached(tree: Any) -> Any:
    """Return tensors, or tuples and lists of them, without the graph that a network may have made by itself."""
    if isinstance(tree, tuple | list):
        return tuple(_detached(item) for item in tree)
    return tree.detach() if isinstance(tree, Tensor) else tree


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RollOut(Intervention):
    """The answer of sequences with feedback to do(x = values), simulated when an estimator needs it.

    ``pinned`` holds the intervened inputs alone: earlier inputs are data, later ones follow from the network. Each
    value has its own covariance, so ``factor`` is ``(m, k, R)``: with R = n where there are no more sequences than
    inputs, else R = k or fewer. A row average reads the outputs, and neither moments nor rows.

    Attributes:
        simulator: the network with its feedback.
        data: ``(n, steps, d)`` the sequences before the intervention.
        fixed: coordinates that earlier interventions have pinned.
        fixed_values: ``(len(fixed),)`` their values.
        space: the data that ``support`` compares with, where several answers share it.
        few: at most 500 of the sequences, which ``keep_support`` simulates, where several answers share them.
        pasts: the states before the step that is set, where several answers of one call share them.
    """

    simulator: Simulator
    data: Tensor
    name: str
    columns: tuple[int, ...]
    values: Tensor
    fixed: tuple[int, ...]
    fixed_values: Tensor
    space: Neighbourhood | None = None
    few: Tensor | None = None
    pasts: Pasts | None = None

    def __repr__(self) -> str:
        return f"RollOut(do({self.name}), {len(self)} values, {self.num_rows} sequences, from step {self.first})"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(steps, d)`` of one input."""
        return tuple(self.data.shape[1:])

    @property
    def num_rows(self) -> int:
        """Number of sequences, n."""
        return len(self.data)

    @property
    def num_observed(self) -> int:
        """Sequences behind the moments, n."""
        return len(self.data)

    @property
    def first(self) -> int:
        """The first step that is set."""
        return min(self.columns + self.fixed) // self.data.shape[2]

    @cached_property
    def pinned(self) -> Tensor:
        """``(m, k)`` bool, True for the inputs that are set."""
        pinned = torch.zeros(len(self), self.data[0].numel(), dtype=torch.bool, device=self.data.device)
        pinned[:, list(self.columns + self.fixed)] = True
        return pinned

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
        return moments_of_rows(self)

    def parts(self, most: int) -> Iterator[Intervention]:
        """Yield the answers to some of the values after the other, see ``Intervention.parts``."""
        return parts_of_values(self, most)

    def sharing(self, known: dict[str, Any]) -> RollOut:
        """Return this answer with the states before the step that is set kept, see ``Intervention.sharing``."""
        return replace(self, pasts=known.setdefault("pasts", Pasts()))

    def check_models(self, models: list[Any]) -> None:
        """Raise a ValueError unless the one model is the network that simulates these rows."""
        if len(models) != 1 or not self.simulator.model.same(models[0]):
            what = "a list of models" if len(models) != 1 else "another network, or one unfolded to another step"
            raise ValueError(
                f"model must be the network that simulates these sequences, got {what}; pass inputs.model, and build "
                "one FeedbackSequences for each network"
            )

    def local(self) -> Local | None:
        """Return the inputs of the step that is set, from which the network goes on; None where several are."""
        first, d = self.first, self.shape[1]
        if {column // d for column in self.columns + self.fixed} != {first} or self.fixed:
            return None

        def follow(_: Any, x: Tensor, numbers: Tensor) -> Tensor:
            block, state = self._before(numbers, self.pasts or Pasts())
            return self.simulator.outcome(block, state, x, first)

        return Local(self.data[:, first], tuple(column % d for column in self.columns), follow, key=first)

    def rows(self, chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        """Yield the simulated sequences in blocks, see ``Intervention.rows``."""
        for which, block, inputs in self._blocks(chunk, index, outputs=False):
            rows = block.expand(len(which), *block.shape).clone()
            rows[:, :, self.first :] = inputs
            rows = rows.flatten(2)
            if not torch.isfinite(rows).all():
                raise ValueError(
                    f"model must keep the sequences finite, got ones that reach NaN or Inf under do({self.name}): it "
                    "diverges on its own predictions; check its scaling, or choose an earlier target_step"
                )
            yield which, rows, torch.ones(rows.shape[1], dtype=rows.dtype, device=rows.device)

    def outputs(self, chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        """Yield ``(value numbers (v,), outputs (v, b, outputs), weights (b,))``, the last outputs of the roll-outs."""
        for which, block, y in self._blocks(chunk, index, outputs=True):
            check_output(y.flatten(0, 1), y.shape[0] * y.shape[1])
            yield which, y, torch.ones(len(block), dtype=y.dtype, device=y.device)

    def _blocks(self, chunk: int, index: Tensor | None, *, outputs: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        pasts = self.pasts or Pasts()
        numbers = torch.arange(self.num_rows, device=self.data.device) if index is None else index
        for part in numbers.split(max(1, chunk // len(self))):
            block, state = self._before(part, pasts)
            for which in torch.arange(len(self), device=block.device).split(max(1, chunk // len(block))):
                pins = self._pins(which)
                yield which, block, self.simulator.run(block, state, pins, first=self.first, outputs=outputs)

    def _before(self, numbers: Tensor, pasts: Pasts) -> tuple[Tensor, Any]:
        """Return some of the sequences ``(b, steps, d)`` and the states before the step that is set."""
        block = self.data[numbers]
        return block, pasts.of(self.simulator, block, self.first, numbers.cpu().numpy().tobytes())

    def _pins(self, which: Tensor) -> dict[int, tuple[list[int], Tensor]]:
        """Return for each step that is set its channels and their values ``(v, channels)``."""
        every, places = self.columns + self.fixed, {}
        settings = torch.cat([self.values, self.fixed_values.expand(len(self), -1)], dim=1)[which]
        for position, column in enumerate(every):
            places.setdefault(column // self.shape[1], []).append(position)
        return {
            step: ([every[p] % self.shape[1] for p in positions], settings[:, positions])
            for step, positions in places.items()
        }

    def support(self) -> Tensor:
        """Return the share of simulated sequences that leave the data, ``(m,)``; see ``acelib.inputs.support``."""
        return share_off_support(
            self._near(), self.rows, num_values=len(self), num_rows=self.num_rows, past=self.first * self.shape[1]
        )

    def keep_support(self) -> KeptSupport:
        """Return what simulates and compares at most 500 sequences later, unless the network has changed by then."""
        few = some_of(self.data) if self.few is None else self.few
        answer = replace(self, data=few, values=self.values.clone(), space=self._near(), few=few, pasts=None)
        return KeptSupport(answer, fingerprint(self.simulator))

    def _near(self) -> Neighbourhood:
        flat = self.data.flatten(1)
        return self.space or Neighbourhood(flat, flat[:1])


def some_of(data: Tensor) -> Tensor:
    """Return a copy of at most 500 of the sequences ``(n, steps, d)``, whose support stands for that of all."""
    return data[seeded_subset(len(data), seed=1).to(data.device)]


@dataclass(frozen=True, eq=False, repr=False)
class KeptSupport:
    """The support of a roll-out that is simulated when it is first read.

    Simulating and comparing costs many times the average itself, and the simulated sequences of all values weigh more
    than the data. So the network is called again, if it is still the one of the average; if not, the support is NaN.

    Attributes:
        answer: the roll-out of at most 500 sequences.
        state: the fingerprint of network and feedback.
    """

    answer: RollOut
    state: State

    def __call__(self) -> Tensor:
        """Return the share of simulated sequences that leave the data, ``(m,)``; NaN where the network has changed."""
        if not changed(self.state, fingerprint(self.answer.simulator)):
            return self.answer.support()
        warn_caller(
            f"support of do({self.answer.name}) is unknown, NaN: the network that simulates the sequences has changed "
            "since the expectation; read .support before training goes on, or compute the expectation again",
            SupportWarning,
        )
        return torch.full((len(self.answer),), torch.nan, dtype=torch.float64)
