"""Sequences whose later inputs are the network's own predictions, which answer do() by simulation.

In a network that reads its own predictions an input causes later inputs, so do(x_i^t̂ = α) changes their distribution:
the steps before t̂ keep the data, step t̂ is the data with x_i set to α, and every later step is what the network
itself predicts from there (Chattopadhyay et al., 2019, Sec. 4.5). Means and covariances of the interventional
distribution are those of the sequences simulated again under each value.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from .._checks import as_index, as_values
from .._devices import double
from .._entrance import admit, two_rows
from .._models import DEFAULT_CHUNK, check_mode, check_placement
from ..inputs.base import Feature, InputModel
from ..inputs.domain import Domain, as_domains, warn_constant
from ..inputs.ends import sample_ranges
from ..inputs.support import Neighbourhood
from .networks import (
    SequenceModel,
    as_sequence_model,
    as_sequences,
    channel_names,
    checked_step,
    is_bidirectional,
    predictions,
    repeat_state,
    unfold,
)
from .rollout import Feed, RollOut, Simulator, some_of


class FeedbackSequences(InputModel):
    """Sequences whose later inputs are the network's own predictions; answers do((step, channel), values).

    The flattened coordinates are the inputs of steps 0 to ``target_step``, ``step * d + channel``, called
    ``channel[step]``; a feature is a pair (step, channel), such a name, an index, or a list of them. The outcome is the
    network's output at ``target_step``, after reading them all. Average ``.model``, which is the network unfolded to
    that step, and no other: the rows belong to the network that simulated them.

    Cost of a row average: n · m · (target_step − t̂ + 1) steps of the network for n sequences and m values, plus n · t̂
    for the states they start from.

    Args:
        step_model: a sequence model ``(x, state) -> (y, state)``, e.g.
            ``Recurrent(nn.LSTM(17, 15), nn.Linear(15, 17))``, or a bare nn.RNN, nn.GRU or nn.LSTM.
        sequences: ``(n, T, d)``, a list of ``(T_i, d)``, or a PackedSequence; those that end before ``target_step`` are
            left out.
        target_step: the step of the output; negative ones count from the end of the longest sequence.
        feedback: how the outputs at t become the inputs at t + 1. None: all of them, in their order (as many outputs as
            features). A mapping from a channel (name or index) to the output that predicts it: the other channels
            keep the data. A function ``(batch, outputs) -> (batch, d)``: what it returns.
        lengths: ``(n,)`` of padded sequences.
        channels: names of the d features of a step; default ``x0``, ``x1``, ...
        domain: as in ``InputDistribution.fit``, where a channel's name stands for all its steps.

    Attributes:
        model: the network unfolded to ``target_step``: what to average.
        kept: ``(n,)`` numbers of the given sequences that reach the target, one per row.

    Raises:
        TypeError, ValueError: for a network of the wrong kind, bidirectional or in training mode with dropout, fewer
            than two sequences that reach the target, or a feedback that does not fit.

    References:
        Chattopadhyay et al. (2019), Sec. 4.5.

    Example:
        >>> class Halve(torch.nn.Module):  # predicts that the next input is half of this one
        ...     def forward(self, x, state=None):
        ...         return x / 2, ()  # needs no memory
        >>> inputs = FeedbackSequences(Halve(), torch.rand(4, 6, 1), target_step=3, domain=(0.0, 9.0))
        >>> answer = inputs.do((1, 0), [8.0])
        >>> assert answer.means[0, 1:].tolist() == [8.0, 4.0, 2.0]
    """

    def __init__(
        self,
        step_model: SequenceModel,
        sequences: Any,
        *,
        target_step: int,
        feedback: Mapping[Any, Any] | Callable[[Tensor], Tensor] | None = None,
        lengths: Any = None,
        channels: Sequence[str] | None = None,
        domain: Any = None,
    ) -> None:
        source = as_sequence_model(step_model)
        if is_bidirectional(source):
            raise ValueError(
                "step_model must not be bidirectional, got a layer that reads later inputs, yet to be predicted"
            )
        check_mode(source)
        x, lengths = as_sequences(sequences, lengths)
        names = channel_names(x.shape[2] if channels is None else channels)
        if len(names) != x.shape[2]:
            raise ValueError(f"channels must hold one name per feature of a step, {x.shape[2]}, got {len(names)}")
        step = checked_step(target_step, x.shape[1], "target_step")
        kept = (lengths > step).nonzero()[:, 0]
        if len(kept) < 2:
            raise ValueError(
                f"sequences must hold at least two that reach target_step, got {len(kept)} of {len(x)} that reach "
                f"target_step {step}; choose an earlier step or give longer sequences"
            )
        rows = x[kept.to(x.device), : step + 1]
        check_placement([source], rows)
        self.model = unfold(source, steps=step + 1, features=names)
        self.kept, self.num_sequences = kept, len(x)
        self.feature_names, self.fixed = self.model.feature_names, ()
        self.domain = _domains(rows, self.feature_names, names, domain)
        self._data = self._reference = rows
        self._pins = rows.new_zeros(0)
        self._mean = double(rows.flatten(1)).mean(0).to(rows)
        few = rows[:64].flatten(1)
        admit(self.model, two_rows(few, few[0]), self.model.shape)
        self._simulator = Simulator(self.model, _as_feed(feedback, names, _probe(source, rows)))

    def __repr__(self) -> str:
        rows, names = len(self.kept), self.model.channels
        shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        pinned = f", {len(self.fixed)} pinned" if self.fixed else ""
        return (
            f"FeedbackSequences({rows} sequences{f' of {self.num_sequences}' if rows < self.num_sequences else ''}, "
            f"steps 0 to {self.target_step}, {len(names)} channels ({shown}){pinned}, {self._data.dtype}, "
            f"{self._data.device})"
        )

    @property
    def target_step(self) -> int:
        """The step of the output."""
        return self.model.step

    @property
    def shape(self) -> tuple[int, int]:
        """``(steps, d)`` of one input: steps 0 to ``target_step``."""
        return self.model.shape

    @property
    def samples(self) -> Tensor:
        """``(n, k)`` sequences up to the target, flattened; simulated under what ``do({...})`` has pinned."""
        if not self.fixed:
            return self._data.flatten(1)
        return torch.cat([rows[0] for _, rows, _ in self._pinned().rows(DEFAULT_CHUNK)])

    @property
    def mean(self) -> Tensor:
        """``(k,)`` mean of ``samples``."""
        return self._pinned().means[0] if self.fixed else self._mean

    def to(self, target: str | torch.device | torch.dtype) -> FeedbackSequences:
        """Return the same sequences on another device or in another dtype; the network stays where it is."""
        moved = copy.copy(self)
        for kept in ("_space", "_few"):
            vars(moved).pop(kept, None)
        moved._data, moved._pins, moved._mean = (t.to(target) for t in (self._data, self._pins, self._mean))
        moved._reference = moved._data if self._reference is self._data else self._reference.to(target)
        return moved

    def keep_rows(self, index: Tensor) -> FeedbackSequences:
        """Return these sequences alone; intervened ones are still compared with all of them."""
        chosen = copy.copy(self)
        vars(chosen).pop("_few", None)
        chosen._data, chosen.kept = self._data[index], self.kept[index.to(self.kept.device)]
        chosen._mean = double(chosen._data.flatten(1)).mean(0).to(self._mean)
        return chosen

    def feature(self, feature: Feature) -> tuple[int, ...]:
        """Return the flattened coordinates of a pair (step, channel), a name, an index, or a list of them.

        Raises:
            ValueError: for a step, channel, name or index that is not there.
        """
        first = as_index(feature[0]) if isinstance(feature, tuple) and len(feature) == 2 else None
        if isinstance(feature, tuple) and first is not None:
            step = checked_step(first, self.shape[0], f"the step of feature {feature}")
            return (step * self.shape[1] + _channel(feature[1], self.model.channels),)
        return super().feature(feature)

    def read_values(self, values: Any, width: int) -> Tensor:
        """Return values as ``(m, width)``, checked, in the dtype and on the device of the sequences."""
        return as_values(values, width, dtype=self._data.dtype, device=self._data.device)

    def answer(self, columns: tuple[int, ...], values: Tensor, name: str) -> RollOut:
        """Return the roll-out under each of m values; the inputs may lie at different steps.

        Raises:
            ValueError: for a network in training mode, or on another device or in another dtype than the sequences.
        """
        return self._roll_out(columns, values, name, self.fixed)

    def pin(self, pins: Mapping[int, float]) -> FeedbackSequences:
        """Return the sequences in which these inputs keep their values; what follows is simulated."""
        result = copy.copy(self)
        result.fixed = self.fixed + tuple(pins)
        result._pins = torch.cat([self._pins, self._pins.new_tensor(list(pins.values()))])
        return result

    def _pinned(self) -> RollOut:
        """Return the sequences under the pins alone, as a roll-out of one value."""
        return self._roll_out(self.fixed, self._pins[None], "", ())

    def _roll_out(self, columns: tuple[int, ...], values: Tensor, name: str, fixed: tuple[int, ...]) -> RollOut:
        check_mode(self.model)
        check_placement([self.model], self._data)
        return RollOut(
            simulator=self._simulator,
            data=self._data,
            name=name,
            columns=columns,
            values=values,
            fixed=fixed,
            fixed_values=self._pins if fixed else self._pins[:0],
            space=self._space,
            few=self._few,
        )

    @cached_property
    def _few(self) -> Tensor:
        """The sequences whose support stands for that of all."""
        return some_of(self._data)

    @cached_property
    def _space(self) -> Neighbourhood:
        """What all answers compare their sequences with."""
        flat = self._reference.flatten(1)
        return Neighbourhood(flat, flat[:1])


def _domains(rows: Tensor, names: tuple[str, ...], channels: tuple[str, ...], domain: Any) -> tuple[Domain, ...]:
    """Return the domains of the flattened inputs of ``(n, steps, d)``; a channel's name stands for all its steps."""
    if isinstance(domain, Mapping):
        spread = {f"{c}[{t}]": domain[c] for c in channels if c in domain for t in range(rows.shape[1])}
        domain = spread | {key: value for key, value in domain.items() if key not in channels}
    flat = rows.flatten(1)
    ends = flat.amin(0).cpu().double(), flat.amax(0).cpu().double()
    domains = as_domains(domain, names, *ends, origins=partial(sample_ranges, flat))
    warn_constant(names, domains)
    return domains


def _probe(model: SequenceModel, rows: Tensor) -> int:
    """Return the number of the model's outputs after checking that it resumes from its state."""
    few = rows[:2, : min(3, rows.shape[1])].clone()
    with torch.no_grad():
        whole, state = predictions(model, few)
        pieces, state = [], None
        for x in few.split(1, dim=1):
            y, state = predictions(model, x, state)
            pieces.append(y)
            if state is None and rows.shape[1] > 1:
                raise ValueError(
                    "step_model must return (predictions, state), got one that returned no state, which a roll-out "
                    "resumes from; return () if it has no memory"
                )
            if state is not None:
                repeat_state(state, 1, len(few))  # for its checks
    gap = (torch.cat(pieces, dim=1) - whole).abs().max()
    rounding = 1e-6 if whole.dtype == torch.float64 else 1e-2  # kernels of a GPU multiply in reduced precision
    if not gap <= rounding * whole.abs().max() + torch.finfo(whole.dtype).eps:
        raise ValueError(
            "step_model must predict the same step by step as in one call, got predictions that differ by "
            f"{gap:.2g}; it must resume from the state it is given, and step t must not read later steps"
        )
    return whole.shape[2]


def _as_feed(feedback: Any, channels: tuple[str, ...], outputs: int) -> Feed:
    """Return the function from outputs ``(batch, outputs)`` and data ``(batch, d)`` of the next step to its inputs."""
    d = len(channels)
    if feedback is None:
        if outputs != d:
            raise ValueError(
                "feedback must be a mapping from channels to outputs where step_model has not one output per feature, "
                f"got None for {outputs} outputs and {d} features"
            )
        return AllFed()
    if isinstance(feedback, Mapping):
        into = [_channel(channel, channels) for channel in feedback]
        source = [int(output) for output in feedback.values()]
        if not into or len(set(into)) != len(into) or not all(0 <= s < outputs for s in source):
            raise ValueError(
                f"feedback must map distinct channels to outputs from 0 to {outputs - 1}, got {dict(feedback)}"
            )

        return SomeFed(tuple(into), tuple(source))
    if not callable(feedback):
        raise TypeError(f"feedback must be None, a mapping or a function, got {type(feedback).__name__}")
    return OwnFed(feedback)


@dataclass(frozen=True)
class AllFed:
    """Feedback of all outputs, in their order."""

    def __call__(self, y: Tensor, data: Tensor) -> Tensor:
        """Return the next inputs, the outputs themselves."""
        return y.clone()


@dataclass(frozen=True)
class SomeFed:
    """Feedback of some outputs into some channels; the others keep the data.

    Attributes:
        into: the channels.
        source: the output for each of them.
    """

    into: tuple[int, ...]
    source: tuple[int, ...]

    def __call__(self, y: Tensor, data: Tensor) -> Tensor:
        """Return the next inputs, data with the fed channels overwritten."""
        x = data.clone()
        x[:, list(self.into)] = y[:, list(self.source)]
        return x


@dataclass(frozen=True)
class OwnFed:
    """Feedback by a user's function of the outputs.

    Attributes:
        function: ``(batch, outputs) -> (batch, d)``.
    """

    function: Callable[..., Any]

    def __call__(self, y: Tensor, data: Tensor) -> Tensor:
        """Return the next inputs, what the function returns, checked."""
        x = self.function(y)
        if not isinstance(x, Tensor) or x.shape != data.shape:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"feedback must return the next inputs, {tuple(data.shape)}, got {got}")
        return x.to(data.dtype, copy=True).contiguous()


def _channel(channel: Any, channels: tuple[str, ...]) -> int:
    """Return the number of a channel given by name or number."""
    if isinstance(channel, str) and channel in channels:
        return channels.index(channel)
    number = as_index(channel)
    if number is not None and -len(channels) <= number < len(channels):
        return number % len(channels)
    raise ValueError(f"channel must be one of the {len(channels)} channels {list(channels)[:20]}, got {channel!r}")
