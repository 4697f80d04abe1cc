"""Recurrent networks as functions of all their inputs: unfolded in time, with the hidden states substituted away.

A *sequence model* is called as ``model(x)`` or ``model(x, state)`` with x ``(batch, steps, features)`` and returns
``(y, state)``: one prediction per step, ``(batch, steps, outputs)``, and the state after the last one, a tensor or a
tuple of tensors as torch's recurrent layers give them, ``(layers, batch, hidden)`` or ``(batch, hidden)``. Of nn.RNN,
nn.GRU or nn.LSTM and a head ``Recurrent`` makes one; a module of one's own with that call is one already. Unfolding it
gives y_t = f(x_0, ..., x_t) with an edge from every input step to y_t and no others (Chattopadhyay et al., 2019,
Sec. 4.5 and Cor. 1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence, pad_sequence

from .._process import plain_kernels
from .._tables import as_float_tensor, frame_names, in_order, is_frame

SequenceModel = Callable[..., Any]


class Recurrent(nn.Module):
    """A recurrent layer with a head, as a sequence model: ``(batch, steps, features)`` in, batch first, always.

    Args:
        core: nn.RNN, nn.GRU or nn.LSTM, with any number of layers, ``batch_first`` or not.
        head: maps the hidden output ``(..., hidden)`` to ``(..., outputs)`` at every step, e.g. nn.Linear;
            None returns the hidden output itself.

    Raises:
        TypeError: if ``core`` is something else.

    Example:
        >>> net = Recurrent(nn.GRU(2, 5, num_layers=2), nn.Linear(5, 1))
        >>> y, state = net(torch.zeros(3, 7, 2))
        >>> assert y.shape == (3, 7, 1) and state.shape == (2, 3, 5)
    """

    def __init__(self, core: nn.RNNBase, head: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        if not isinstance(core, nn.RNNBase):
            raise TypeError(
                f"core must be nn.RNN, nn.GRU or nn.LSTM, got {type(core).__name__}; a module of your own needs no "
                "Recurrent if it maps (x, state) to (y, state), batch first"
            )
        self.core, self.head = core, head

    def forward(self, x: Tensor | PackedSequence, state: Any = None) -> tuple[Any, Any]:
        """Return predictions ``(batch, steps, outputs)`` and the state; a packed sequence gives a packed one.

        Args:
            x: ``(batch, steps, features)``, or a PackedSequence (then the state is each sequence's own last).
            state: what an earlier call returned, to resume from there.
        """
        if isinstance(x, PackedSequence):
            hidden, state = self.core(x, state)
            return hidden._replace(data=self._read(hidden.data)), state
        turned = not self.core.batch_first
        hidden, state = self.core(x.transpose(0, 1) if turned else x, state)
        return self._read(hidden.transpose(0, 1) if turned else hidden), state

    def _read(self, hidden: Tensor) -> Tensor:
        return hidden if self.head is None else self.head(hidden)


class Unfolded(nn.Module):
    """A sequence model as a plain function of its flattened inputs, made by ``unfold``.

    Attributes:
        source: the sequence model, shared, not copied.
        steps: steps of one input.
        step: the step whose output is returned.
        channels: names of the features of one step.
    """

    def __init__(self, source: SequenceModel, steps: int, channels: tuple[str, ...], step: int) -> None:
        super().__init__()
        self.source, self.steps, self.channels, self.step = source, steps, channels, step

    @property
    def feature_names(self) -> tuple[str, ...]:
        """``steps * features`` names, ``feature[t]``, in the order of the flattened inputs (steps outer)."""
        return tuple(f"{name}[{t}]" for t in range(self.steps) for name in self.channels)

    @property
    def shape(self) -> tuple[int, int]:
        """``(steps, features)`` of one input."""
        return self.steps, len(self.channels)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the output at ``step``, ``(batch, outputs)``, for rows ``(batch, steps * features)`` or unflattened.

        Raises:
            ValueError: for rows of another size, or a model that returns something else.
        """
        if rows[:1].numel() != self.steps * len(self.channels):
            raise ValueError(
                f"rows must have shape (batch, {self.steps} * {len(self.channels)}), got {tuple(rows.shape)}; the "
                f"model was unfolded for {self.steps} steps of {len(self.channels)} features"
            )
        # cuDNN's recurrent kernels have no backward pass in evaluation mode.
        differentiated = torch.is_grad_enabled() and rows.requires_grad
        with plain_kernels("cudnn") if differentiated else nullcontext():
            y, _ = predictions(self.source, rows.reshape(rows.shape[0], *self.shape), flat=self.step == self.steps - 1)
        return y if y.ndim == 2 else y[:, self.step]

    def extra_repr(self) -> str:
        return f"steps={self.steps}, features={', '.join(self.channels[:6])}, output at step {self.step}"

    def same(self, model: Any) -> bool:
        """Return whether ``model`` is this function: the same network (the same object), unfolded alike."""
        like = isinstance(model, Unfolded) and model.shape == self.shape and model.step == self.step
        return model is self or (like and _unwrapped(model.source) is _unwrapped(self.source))


def unfold(model: SequenceModel, *, steps: int, features: int | Sequence[str], step: int = -1) -> Unfolded:
    """Return the network as a function ``(batch, steps * features) -> (batch, outputs)`` of its flattened inputs.

    The coordinate of (t, channel i) is ``t * features + i``; ``.feature_names`` calls it ``feature[t]``. The function
    shares the network's weights, never switches its mode, and works wherever acelib takes a model: with
    ``InputDistribution.fit(sequences, feature_names=f.feature_names)``, where there is no way back from outputs to
    inputs; with one, use ``FeedbackSequences``. Sequences of different lengths have no common inputs: unfold for one
    length and take the sequences of that length.

    Args:
        model: a sequence model ``(x, state) -> (y, state)``, e.g. ``Recurrent(nn.GRU(3, 8), nn.Linear(8, 1))``, a bare
            nn.RNN, nn.GRU or nn.LSTM, or a callable that returns ``(batch, steps, outputs)`` or, for the last step
            alone, ``(batch, outputs)``.
        steps: number of steps.
        features: number of features per step, or their names.
        step: the step whose output is returned; default the last.

    Raises:
        TypeError: if ``model`` is not callable.
        ValueError: for counts below 1, repeated names or a step that is not there.

    References:
        Chattopadhyay et al. (2019), Sec. 4.5.

    Example:
        >>> f = unfold(Recurrent(nn.GRU(2, 4), nn.Linear(4, 1)), steps=3, features=["speed", "brake"])
        >>> assert f(torch.zeros(5, 6)).shape == (5, 1)
        >>> assert f.feature_names[:3] == ("speed[0]", "brake[0]", "speed[1]")
    """
    if int(steps) < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    channels = channel_names(features)
    return Unfolded(as_sequence_model(model), int(steps), channels, checked_step(step, int(steps), "step"))


def checked_step(step: int, steps: int, name: str) -> int:
    """Return a step as a number from 0 to steps - 1, or raise a ValueError."""
    if not -steps <= step < steps:
        raise ValueError(f"{name} must lie in {-steps} to {steps - 1}, got {step}: there are {steps} steps")
    return int(step) % steps


def channel_names(features: int | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features of a step: ``x`` for a single one, ``x0``, ``x1``, ... for several."""
    if isinstance(features, int):
        if features < 1:
            raise ValueError(f"features must be at least 1, got {features}")
        return ("x",) if features == 1 else tuple(f"x{i}" for i in range(features))
    names = (features,) if isinstance(features, str) else tuple(str(name) for name in features)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"features must be distinct names, at least one, got {list(names)[:10]}")
    return names


def as_sequence_model(model: Any) -> SequenceModel:
    """Return a sequence model: a bare recurrent layer in a Recurrent, an unfolded one's source, others as they are."""
    if isinstance(model, Unfolded):
        return model.source
    if isinstance(model, nn.RNNBase):
        return Recurrent(model)
    if not callable(model):
        raise TypeError(f"model must be a sequence model (x, state) -> (y, state), got {type(model).__name__}")
    return model


def _unwrapped(model: Any) -> Any:
    return model.core if isinstance(model, Recurrent) and model.head is None else model


def is_bidirectional(model: Any) -> bool:
    """Return whether a recurrent layer also reads from the end, so that the outputs depend on later inputs."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return any(isinstance(m, nn.RNNBase) and m.bidirectional for m in modules)


def predictions(model: SequenceModel, x: Tensor, state: Any = None, *, flat: bool = False) -> tuple[Tensor, Any]:
    """Return a sequence model's predictions ``(batch, steps, outputs)`` and state, None where it returns none.

    ``flat`` also lets ``(batch, outputs)`` pass, the output at the last step.

    Raises:
        ValueError: if the model returns another shape.
    """
    out = model(x) if state is None else model(x, state)
    y, state = (out[0], out[1]) if isinstance(out, tuple | list) and len(out) > 1 else (out, None)
    if isinstance(y, Tensor) and y.shape[:1] == x.shape[:1]:
        if (y.ndim == 3 and y.shape[1] == x.shape[1]) or (flat and y.ndim == 2):
            return y, state
    got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
    raise ValueError(
        "model must return (predictions, state) with predictions (batch, steps, outputs), batch first, = "
        f"({x.shape[0]}, {x.shape[1]}, outputs) for inputs {tuple(x.shape)}, got {got}"
    )


def repeat_state(state: Any, times: int, batch: int) -> Any:
    """Return a state of ``batch`` rows repeated to ``times * batch`` rows, repetitions outer.

    Raises:
        ValueError: if the batch is not where torch's recurrent layers have it.
    """
    if isinstance(state, tuple | list):
        return tuple(repeat_state(part, times, batch) for part in state)
    axis = 0 if isinstance(state, Tensor) and state.ndim == 2 else 1
    if not isinstance(state, Tensor) or state.ndim < 2 or state.shape[axis] != batch:
        got = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
        raise ValueError(
            "state must be tensors (layers, batch, hidden) or (batch, hidden), one or a tuple of them, got "
            f"{got} for a batch of {batch}"
        )
    before, after = state.shape[:axis], state.shape[axis + 1 :]
    return state.unsqueeze(axis).expand(*before, times, batch, *after).reshape(*before, times * batch, *after)


def as_sequences(sequences: Any, lengths: Any = None) -> tuple[Tensor, Tensor]:
    """Return padded sequences ``(n, T, d)`` and their lengths ``(n,)``.

    Args:
        sequences: ``(n, T, d)``, a PackedSequence, or a list of ``(T_i, d)``, data frames by name.
        lengths: ``(n,)`` for padded sequences; default all of them whole. What lies beyond is never read.

    Raises:
        ValueError: for other shapes, NaN within a sequence, or lengths outside 1..T.
    """
    if isinstance(sequences, PackedSequence):
        if lengths is not None:
            raise ValueError("lengths must not be given with a PackedSequence, which holds its own")
        sequences, lengths = pad_packed_sequence(sequences, batch_first=True)
    elif isinstance(sequences, list | tuple):
        if sequences and all(map(is_frame, sequences)):  # by name, whatever the order of the columns
            names = frame_names(sequences[0], "sequences")
            sequences = [in_order(frame, names, "sequences") for frame in sequences]
        parts = [as_float_tensor(s, f"sequences[{i}]") for i, s in enumerate(sequences)]
        if lengths is not None:
            raise ValueError("lengths must not be given with a list of sequences, which have their own")
        if not parts or any(p.ndim != 2 or p.shape[1] != parts[0].shape[1] or not len(p) for p in parts):
            shapes = [tuple(p.shape) for p in parts[:6]]
            raise ValueError(f"sequences must be a list of tensors (T_i, d) with the same d, got shapes {shapes}")
        lengths = [len(p) for p in parts]
        sequences = pad_sequence(parts, batch_first=True)
    if not isinstance(sequences, Tensor):
        sequences = as_float_tensor(sequences, "sequences")
    if sequences.ndim != 3 or 0 in sequences.shape:
        raise ValueError(f"sequences must have shape (n, T, d), got {tuple(sequences.shape)}; add an axis if d = 1")
    n, most = sequences.shape[:2]
    lengths = torch.full((n,), most) if lengths is None else torch.as_tensor(lengths).to("cpu", torch.int64)
    if lengths.shape != (n,) or int(lengths.min()) < 1 or int(lengths.max()) > most:
        raise ValueError(f"lengths must be ({n},) integers from 1 to {most}, got {tuple(lengths.shape)}: {lengths[:6]}")
    inside = torch.arange(most) < lengths[:, None]
    clean = sequences.detach().masked_fill(~inside[..., None].to(sequences.device), 0)
    return as_float_tensor(clean, "sequences"), lengths
