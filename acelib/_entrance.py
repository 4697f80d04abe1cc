"""The entrance for networks: a cheap check of what every estimator takes for granted, before any long work.

An average over rows means something only where the network answers each row by itself and always alike, leaves its
input as it is, and, where it is differentiated, carries a gradient to its inputs. No list of layers knows that of
every network (functional dropout, closures, hidden states, a softmax over the batch), so the network is asked: two rows
together, each alone, and where derivatives are wanted together once more in forward mode. That is 4 or 6 rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ._directional import missing_operation, twice_differentiable
from ._draws import GlobalDraws
from ._models import Model, check_callable, check_mode, check_output, check_placement, mode_matters
from ._modules import modules_behind
from ._process import forward_mode

ROUNDING = 0.05  # of the outputs' size: what one row and two rows may differ by where two rows agree among themselves
KEPT_BUFFER = 1_000_000  # entries of a buffer that is put back if a call changes it
_TORCH_ERRORS = (
    RuntimeError,
    TypeError,
    IndexError,
    NotImplementedError,
    torch.jit.Error,
)  # what torch raises for a wrong input


@dataclass(frozen=True)
class Admitted:
    """A network that passed, to be called as the network itself.

    Attributes:
        model: the network.
        outputs: the number of its outputs.
        writes: whether it writes into its input, so that it is called on copies.
        answers: ``(2, outputs)`` what it returned for the two rows.
    """

    model: Model
    outputs: int
    writes: bool = False
    answers: Tensor = field(default_factory=lambda: torch.empty(0))

    def __call__(self, x: Tensor) -> Tensor:
        return self.model(x.clone() if self.writes else x)


def admit(model: Model, rows: Tensor, shape: Sequence[int], *, derivatives: bool = False) -> Admitted:
    """Return a network that may be averaged over rows, or raise the sentence that says why not.

    Its seeds, buffers, modes and gradients are as before; a network that writes into its input is given copies. What
    was admitted is returned as it is.

    Args:
        model: torch callable ``(batch, *shape) -> (batch, outputs)``.
        rows: ``(2, k)`` two different rows of the inputs, in their dtype and on their device.
        shape: the shape of one input as the model wants it.
        derivatives: whether it will be differentiated with respect to its input.

    Raises:
        TypeError: if it is not callable, or returns no tensor.
        ValueError: if it is in training mode, acts at random, mixes the rows of a batch, fails on such rows, returns
            another shape, NaN or Inf, or carries no gradient to its inputs where ``derivatives`` are asked.

    Example:
        >>> rows = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
        >>> assert admit(nn.Linear(2, 3), rows, (2,)).outputs == 3
        >>> try:
        ...     admit(lambda x: x.softmax(0), rows, (2,))
        ... except ValueError as error:
        ...     assert "each row by itself" in str(error)
    """
    if isinstance(model, Admitted):
        return model
    check_callable(model)
    check_mode(model)
    check_placement([model], rows)
    modules = modules_behind(model)
    with _kept(modules), torch.inference_mode(False):
        return _Probe(uncompiled(model) if derivatives else model, rows, shape, modules).run(derivatives)


def two_rows(samples: Tensor | None, mean: Tensor) -> Tensor:
    """Return two different rows ``(2, k)`` of the samples; one moved away from the mean where there are none.

    Args:
        samples: ``(n, k)`` rows or None.
        mean: ``(k,)``.
    """
    if samples is None or len(samples) < 2:
        first = mean if samples is None or not len(samples) else samples[0]
        return torch.stack([first, first + 0.5 * (1 + first.abs())])
    rows = torch.stack([samples[0], samples[len(samples) // 2]]).detach()
    if torch.equal(rows[0], rows[1]):
        few = samples[:64].detach()
        rows[1] = few[(few - few[0]).abs().sum(1).argmax()]
    if torch.equal(rows[0], rows[1]):
        rows[1] += 0.5 * (1 + rows[1].abs())  # equal rows would hide that one of them answers for the other
    return rows


def uncompiled(model: Any) -> Model:
    """Return the plain function behind torch.compile, whose kernels may drop tangents; the numbers are the same."""
    return getattr(model, "_orig_mod", None) or getattr(model, "_torchdynamo_orig_callable", model)


class _Underivable(Exception):
    """An operation without a derivative."""


class _Probe:
    """The calls of one network on two rows, and what they say."""

    def __init__(self, model: Model, rows: Tensor, shape: Sequence[int], modules: Sequence[nn.Module]) -> None:
        self.model, self.modules = model, modules
        self.rows, self.shape = rows.detach(), tuple(shape)
        self.writes = False
        self.draws = GlobalDraws(rows.device)

    def run(self, derivatives: bool) -> Admitted:
        leaf, together = self._together(derivatives)
        with torch.no_grad():
            answers = together.detach()
            alone = torch.cat([self._single(i, answers.shape[1]) for i in (0, 1)])
            if not torch.equal(alone, answers):
                gap = _gap(alone, answers)
                if not bool((gap <= torch.finfo(answers.dtype).eps ** 0.5).all()):
                    check_output(alone, 2)
                    self._refuse_unless_rounding(int(gap.amax(1).argmax()), answers, alone)
            if self.draws.moved():
                self._refuse_draws()
            elif leaf is not None:
                self._check_gradient(leaf, together)
        return Admitted(self.model, answers.shape[1], self.writes, answers)

    def _together(self, derivatives: bool) -> tuple[Tensor | None, Tensor]:
        """Return the two rows as a leaf of the graph, None without one, and the outputs ``(2, outputs)``."""
        if derivatives:
            leaf = self.rows.clone().requires_grad_()
            try:
                with torch.enable_grad(), twice_differentiable(recurrent=True):
                    return leaf, check_output(self._call(leaf, differentiated=True), 2)
            except _Underivable:
                pass  # the routes name the operation, or find another way
        with torch.no_grad():
            return None, check_output(self._call(self.rows), 2)

    def _call(self, rows: Tensor, *, differentiated: bool = False) -> Tensor:
        """Return the network's output for a copy of flattened rows, and note whether it wrote into it."""
        x = rows.clone()
        version = x._version
        try:
            out = self.model(x.reshape(len(x), *self.shape))
        except _TORCH_ERRORS as error:
            if differentiated and missing_operation(error) is not None:
                raise _Underivable from error
            raise ValueError(self._failure(error, len(x), differentiated)) from error
        if x._version != version or not torch.equal(x, rows):
            self.writes = True
            if isinstance(out, Tensor) and _same_memory(out, x):
                return out.clone()
        return out

    def _single(self, i: int, outputs: int) -> Tensor:
        """Return the output ``(1, outputs)`` of one row alone."""
        try:
            out = self._call(self.rows[i : i + 1])
        except ValueError as error:  # two rows were no error
            told = error if error.__cause__ is not None else f"model must answer a batch of one row, got {error}"
            raise ValueError(f"{told}; {self._remedy(_LOOK)}") from error
        if not isinstance(out, Tensor) or out.shape != (1, outputs):
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(
                f"model must answer a batch of one row with shape (1, {outputs}), got {got}; squeeze a named axis, "
                "such as squeeze(-1), so that the batch stays an axis"
            )
        return out

    def _failure(self, error: Exception, count: int, differentiated: bool) -> str:
        """Return the sentence for an error that torch raised inside the network."""
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if differentiated and ("numpy" in first or "requires grad" in first or "require grad" in first):
            return (
                f"model must carry a gradient to its inputs where it is differentiated, got {first!r}; use "
                "method='monte_carlo' or 'cubature', or route='central_difference' of half_trace"
            )
        own = next((p for m in self.modules for p in m.parameters() if p.is_floating_point()), None)
        hint = ""
        if own is not None and own.dtype != self.rows.dtype:
            hint = f"; its parameters are {own.dtype} and the inputs {self.rows.dtype}: use inputs.to({own.dtype})"
        elif own is not None and own.device != self.rows.device:
            hint = (
                f"; its parameters are on {own.device}, the inputs on {self.rows.device}: use inputs.to('{own.device}')"
            )
        return (
            f"model must take a batch of shape {(count, *self.shape)} of {self.rows.dtype}, one input of shape "
            f"{self.shape} a row, got {type(error).__name__}: {first}{hint}"
        )

    def _refuse_unless_rounding(self, i: int, answers: Tensor, alone: Tensor) -> None:
        """Raise where row i changes with the other row or from call to call; sums of one and of two rows may round.

        The row twice, in a batch of the same size: only a network that mixes rows or acts at random answers otherwise.
        """
        with self.draws.watched():
            twice = check_output(self._call(self.rows[[i, i]]), 2)
        self.draws.put_back()
        change = float(_gap(twice, answers)[i].max())
        size = torch.stack([answers, alone, twice]).abs().max().clamp_min(torch.finfo(answers.dtype).tiny)
        gap = float((alone - answers).abs().max() / size)
        if gap <= ROUNDING and change <= 1e3 * torch.finfo(answers.dtype).eps:
            return
        largest = max(gap, float((twice[i] - answers[i]).abs().max() / size))
        raise ValueError(
            f"model must answer each row by itself and always alike, got outputs that differ by {largest:.2g} of their "
            "size with the other rows of the batch or from call to call; " + self._remedy(_LOOK)
        )

    def _refuse_draws(self) -> None:
        """Raise if it was the network that drew random numbers, though its outputs do not show it on these rows."""
        with self.draws.watched():
            self._call(self.rows)
        self.draws.put_back()
        if self.draws.names:
            raise ValueError(
                "model must not draw random numbers, got one that draws from the global generator of "
                f"{' and '.join(sorted(self.draws.names))} when it is called; "
                f"{self._remedy('make its draws once, before')}"
            )

    def _remedy(self, otherwise: str) -> str:
        """Return what to do: name a part in training mode if there is one."""
        for module in self.modules:
            for name, part in module.named_modules():
                if part.training and mode_matters(part):
                    what = type(part).__name__ + (f" '{name}'" if name else "")
                    return f"its {what} is in training mode: call eval() on it first"
        if any(module.training for module in self.modules):
            return f"it is in training mode: call eval() on it first, or {otherwise}"
        return otherwise

    def _check_gradient(self, leaf: Tensor, together: Tensor) -> None:
        """Raise where the gradient with respect to the inputs is cut, as a whole or in a part of the network.

        ``torch.no_grad`` hides a part from reverse mode but not from forward mode, so both must give the same slope.
        What is detached is a constant in both, as documented.
        """
        found = None
        if together.requires_grad:
            weights = torch.linspace(1, 2, together.numel(), dtype=together.dtype, device=together.device)
            try:
                with twice_differentiable(recurrent=True):
                    (found,) = torch.autograd.grad(together, leaf, weights.reshape(together.shape), allow_unused=True)
            except _TORCH_ERRORS:
                return  # the routes name what has no derivative
        if found is None:
            nearby = self.rows + torch.finfo(self.rows.dtype).eps ** 0.5 * (1 + self.rows.abs())
            if torch.equal(check_output(self._call(nearby), 2), together.detach()):
                return  # no gradient is right for a constant; for anything else zeros would be silently wrong
            raise ValueError(f"{_CUT}, got an output that changes with the input without one; {_MEND}")
        along = torch.linspace(1, 2, leaf.numel(), dtype=leaf.dtype, device=leaf.device).reshape(leaf.shape)
        mode = _Hidden()
        try:
            with torch.enable_grad(), mode, forward_mode(), twice_differentiable(recurrent=True):
                slope = torch.func.jvp(lambda x: self._call_plain(x), (self.rows.clone(),), (along,))[1]
        except _TORCH_ERRORS:
            return  # no forward mode for some operation: nothing to compare
        forward, reverse = (weights.reshape(slope.shape) * slope).sum(), (found * along).sum()
        size = (weights.reshape(slope.shape) * slope).abs().sum() + (found * along).abs().sum()
        differ = bool((forward - reverse).abs() > 30 * torch.finfo(slope.dtype).eps ** 0.5 * size)
        if mode.inference or (mode.no_grad and differ):  # without no_grad it is torch whose forward mode is wrong
            raise ValueError(f"{_CUT}, got a part of it without one; {_MEND}")

    def _call_plain(self, x: Tensor) -> Tensor:
        return self.model(x.clone().reshape(len(x), *self.shape))


_LOOK = (
    "look for random numbers, a state kept between calls, batch statistics, a softmax or sort over dim=0, or a "
    "recurrent layer without batch_first=True"
)
_CUT = "model must carry a gradient from its outputs to its inputs"
_MEND = (
    "remove torch.no_grad(), inference_mode(), detach() or NumPy calls from it (to freeze a part use "
    "requires_grad_(False) on its parameters), or use method='monte_carlo' or 'cubature', or "
    "route='central_difference' of half_trace"
)


def _gap(a: Tensor, b: Tensor) -> Tensor:
    """Return the distances ``(2, outputs)`` in units of the size of each output of b."""
    return (a - b).abs() / b.abs().amax(0).clamp_min(torch.finfo(b.dtype).tiny)


def _same_memory(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


class _Hidden(TorchFunctionMode):
    """Whether torch functions are called where reverse mode does not see them, or, in inference mode, no mode does."""

    def __init__(self) -> None:
        super().__init__()
        self.no_grad = self.inference = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.no_grad |= not torch.is_grad_enabled()
        self.inference |= torch.is_inference_mode_enabled()
        return func(*args, **(kwargs or {}))


@contextmanager
def _kept(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Put back small buffers that change while the context is active."""
    buffers = [b for m in modules for b in m.buffers() if b.numel() <= KEPT_BUFFER]
    if not buffers:
        yield
        return
    values = [b.detach().clone() for b in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, values, strict=True):
                if buffer.shape == value.shape and not torch.equal(buffer, value):
                    buffer.copy_(value)
