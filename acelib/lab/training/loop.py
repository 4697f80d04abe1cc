"""The training of the chapters' networks: seeded and repeatable, several seeds side by side, and resumable.

Every network sees the rows in an order drawn from its own generator, one permutation an epoch, and follows Adam or
plain gradient descent. All parameters live in one flat vector while training runs. Both optimisers work element by
element and the losses of stacked networks are summed, so each seed gets the result of training it alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from acelib.lab.datasets import fingerprint
from acelib.lab.networks import Probabilities, StackedMLP, stream
from acelib.lab.training.checkpoint import TrainingState, load_state, save_state
from acelib.lab.training.optimizers import FlatAdam, FlatDescent, FlatParameters

BLOCK_BYTES = 64 << 20  # shuffled rows are gathered in blocks of at most this size
SHUFFLE_STREAM = 1  # keeps the generator of the order apart from the one of the initial weights


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A trained network with the record of its training.

    Attributes:
        model: the trained copy; the given model is unchanged.
        history: mean training loss in each epoch, ``(epochs,)``, or ``(S, epochs)`` for stacked networks.
        seconds: time spent, with that before an interruption.
        steps: number of optimiser steps.
    """

    model: nn.Module
    history: Tensor
    seconds: float
    steps: int

    def __repr__(self) -> str:
        last = self.history[..., -1:].flatten()
        loss = f"{last.min():.4g}" if last.numel() == 1 else f"{last.min():.4g} to {last.max():.4g}"
        return f"TrainResult({self.steps} steps in {self.seconds:.1f} s, last training loss {loss})"


def train(
    model: nn.Module,
    X: Tensor,
    y: Tensor,
    *,
    loss: str | Callable[[Tensor, Tensor], Tensor] = "cross_entropy",
    optimizer: str = "adam",
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    batch_size: int = 32,
    epochs: int = 10,
    seed: int | Sequence[int] | None = None,
    progress: bool = False,
    checkpoint: str | Path | None = None,
    resume: bool = True,
    checkpoint_every: float = 30.0,
    device: torch.device | str | None = None,
) -> TrainResult:
    """Return a trained copy of the model with its loss history; the same arguments give the same weights.

    Initial weights and the order of the rows come from generators of the CPU, so they are the same on every device; the
    trained weights differ between devices by what rounding makes of it.

    Args:
        model: a module ``(batch, …) -> (batch, outputs)``, or a ``StackedMLP``, whose networks are trained at once.
        X: inputs ``(n, …)``; for a ``StackedMLP`` also ``(S, n, features)``, each network its own rows.
        y: classes ``(n,)`` as integers for the cross-entropy, targets of the outputs' shape for the squared error.
        loss: ``"cross_entropy"`` on logits, ``"mse"``, or a callable (outputs, targets) -> one loss per row.
        optimizer: ``"adam"`` or ``"sgd"``.
        lr: learning rate.
        weight_decay: λ, added as λθ to the gradient.
        batch_size: rows a step; the last batch of an epoch may be smaller.
        epochs: passes through the rows.
        seed: seed of the order of the rows, one per stacked network; None means 0, and the seeds of a ``StackedMLP``.
        progress: whether to show a bar on standard error.
        checkpoint: file that keeps the state of the training; a call that finds one resumes from there.
        resume: whether to use a state that is there; False starts anew and replaces it.
        checkpoint_every: seconds between two writes of that file; 0 writes after every epoch.
        device: where to train: model and rows are copied there, and the trained model stays; default: where they are.

    Raises:
        ValueError: for an argument that does not fit, or a checkpoint made with other settings.
        RuntimeError: if the loss becomes NaN or infinite.

    Example:
        >>> from acelib.lab.datasets import load_iris
        >>> from acelib.lab.networks import mlp
        >>> from acelib.lab.training import train
        >>> iris = load_iris()
        >>> result = train(mlp((4, 8, 3), seed=1), iris.X, iris.y, lr=0.02, epochs=30, seed=1)
        >>> assert (result.model(iris.X).argmax(1) == iris.y).double().mean() > 0.9
    """
    if optimizer not in _OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(_OPTIMIZERS)}, got {optimizer!r}")
    for name, value, least in (("batch_size", batch_size, 1), ("epochs", epochs, 1), ("weight_decay", weight_decay, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if not lr > 0:
        raise ValueError(f"lr must be a positive number, got {lr}")
    seeds = _seeds(model, seed)
    if device is not None:
        model = copy.deepcopy(model).to(device)
        X, y = (rows.to(device) if isinstance(rows, Tensor) else rows for rows in (X, y))
    _check_data(model, X, y)
    data, per_row = _Rows(model, X, y), _loss(model, loss)
    _probe(model, data, loss, per_row)
    numbers = {"lr": lr, "weight_decay": weight_decay, "batch_size": batch_size, "epochs": epochs}
    settings = _settings(model, data, seeds, loss, optimizer=optimizer, **numbers)
    model = copy.deepcopy(model)
    flat = FlatParameters(model)
    state = TrainingState(
        model, _OPTIMIZERS[optimizer](flat, lr, weight_decay), [stream(s, SHUFFLE_STREAM) for s in seeds]
    )
    run_epochs(
        state,
        lambda: _epoch(state, data, per_row, batch_size),
        done=lambda: len(state.history),
        total=epochs,
        unit="epoch",
        settings=settings,
        checkpoint=checkpoint,
        resume=resume,
        checkpoint_every=checkpoint_every,
        progress=progress,
    )
    flat.release()
    history = torch.stack(state.history, dim=-1)
    return TrainResult(model, history if data.stacked else history[0], state.seconds, state.optimizer.steps)


def run_epochs(
    state: TrainingState,
    epoch: Callable[[], Tensor],
    *,
    done: Callable[[], int],
    total: int,
    unit: str,
    settings: dict,
    checkpoint: str | Path | None = None,
    resume: bool = True,
    checkpoint_every: float = 30.0,
    progress: bool = False,
) -> None:
    """Run epochs until ``total`` is done, keeping history and seconds in the state and the state in a file.

    Args:
        state: the state of the training, changed in place.
        epoch: runs one epoch and returns its mean losses (S,).
        done: counts what is done, in the unit of ``total``.
        total: where the training ends.
        unit: what ``total`` counts, for the bar.
        settings: what decides the result, kept in the file and compared with it.
        checkpoint: file that keeps the state; a call that finds one continues from there.
        resume: whether to use a state that is there; False starts anew and replaces it.
        checkpoint_every: seconds between two writes of that file; the last epoch is always written.
        progress: whether to show a bar on standard error.

    Raises:
        ValueError: if the state in the file was made with other settings.
        RuntimeError: if the loss becomes NaN or infinite.
    """
    from tqdm.auto import tqdm

    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and resume and path.exists():
        load_state(path, state, settings)
    written = time.perf_counter()
    begun = written - state.seconds
    with tqdm(initial=done(), total=total, desc="training", unit=unit, disable=not progress) as bar:
        while done() < total:
            before = done()
            losses = epoch()
            if not losses.isfinite().all():
                raise RuntimeError(
                    f"the training loss became {losses.tolist()} by step {state.optimizer.steps}; lower lr"
                )
            state.history.append(losses)
            bar.update(done() - before)
            now = time.perf_counter()
            state.seconds = now - begun
            if path is not None and (now - written >= checkpoint_every or done() == total):
                save_state(path, state, settings)
                written = now


def _epoch(state: TrainingState, data: _Rows, per_row: Callable, batch_size: int) -> Tensor:
    """Run one pass through the rows in new orders and return the mean loss ``(S,)`` of its batches."""
    model, optimizer, axis, losses = state.model, state.optimizer, data.axis, []
    order = torch.stack([torch.randperm(data.n, generator=g) for g in state.generators]).to(data.X.device)  # (S, n)
    for rows in order.split(data.block(batch_size), dim=1):
        inputs, targets = data.gather(rows)
        for x, t in zip(inputs.split(batch_size, axis), targets.split(batch_size, axis), strict=True):
            loss = per_row(model(x), t)
            optimizer.flat.grad.zero_()
            # the weights of a mean over the batch, given to backward: two nodes less in every step than a mean
            torch.autograd.backward(loss, torch.full_like(loss, 1 / x.shape[axis]))
            optimizer.step()
            losses.append(loss.detach().view(len(order), -1))
    return torch.cat(losses, dim=1).mean(1).cpu()


class _Rows:
    """Inputs and targets, ``(n, …)`` shared by all networks or ``(S, n, …)`` for each network its own."""

    def __init__(self, model: nn.Module, X: Tensor, y: Tensor):
        self.X, self.y, self.stacked = X, y, isinstance(model, StackedMLP)
        self.own = self.stacked and X.ndim == 3
        self.networks = len(model.seeds) if self.stacked else 1
        self.axis = int(self.stacked)  # where the batch stands in what is gathered
        self.n = X.shape[1] if self.own else len(X)

    def first(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the first rows as a batch."""
        return self.gather(torch.arange(min(count, self.n), device=self.X.device).expand(self.networks, -1))

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the given rows ``(S, m)`` of inputs and targets; without the first axis for a plain module."""
        if self.own:
            index = (torch.arange(len(rows), device=rows.device)[:, None], rows)
        else:
            index = rows if self.stacked else rows[0]
        return self.X[index], self.y[index]

    def block(self, batch_size: int) -> int:
        """Return how many rows to gather at a time: whole batches, within a bound of memory."""
        row = self.X[(0, 0) if self.own else 0].numel() * self.X.element_size() * self.networks
        return batch_size * max(1, BLOCK_BYTES // (row * batch_size))


_OPTIMIZERS = {"adam": FlatAdam, "sgd": FlatDescent}


def _seeds(model: nn.Module, seed: int | Sequence[int] | None) -> list[int]:
    own = model.seeds if isinstance(model, StackedMLP) else (0,)
    seeds = [int(s) for s in np.atleast_1d(own if seed is None else seed)]
    if len(seeds) != len(own) or min(seeds) < 0:
        raise ValueError(f"seed must be {len(own)} non-negative integer(s), one per network, got {seeds}")
    return seeds


def _check_data(model: nn.Module, X: Tensor, y: Tensor) -> None:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("model must have a parameter that requires a gradient, got none to train")
    for name, tensor in (("X", X), ("y", y)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}; torch.as_tensor makes one")
    kinds = {(p.dtype, p.device) for p in parameters} | {(X.dtype, X.device)}
    if len(kinds) > 1 or y.device != X.device:
        raise ValueError(
            f"X, y and model must share dtype and device, got {X.dtype} on {X.device}, {y.device} and "
            f"{parameters[0].dtype} on {parameters[0].device}; use .to() on what differs"
        )
    own = int(isinstance(model, StackedMLP) and X.ndim == 3)
    if X.shape[: 1 + own] != y.shape[: 1 + own] or X.shape[own] == 0:
        raise ValueError(
            f"X and y must have the same number of rows, at least 1, got {tuple(X.shape)} and {tuple(y.shape)}"
        )
    if not X.isfinite().all():
        raise ValueError("X must be finite, got NaN or infinite values; remove or impute these rows before training")
    for module in model.modules():
        drops = isinstance(module, _DropoutNd) and module.p or isinstance(module, nn.RNNBase) and module.dropout
        if module.training and drops:
            raise ValueError(
                "model must not drop units at random, got dropout in training mode, which no seed here decides; call "
                "model.eval() or leave the dropout out"
            )


def _loss(model: nn.Module, loss: str | Callable) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss as (outputs, targets) -> one loss per row, ``(S·batch,)`` for stacked outputs."""
    if not callable(loss) and loss not in _LOSSES:
        raise ValueError(f"loss must be one of {', '.join(_LOSSES)} or a callable, got {loss!r}")
    last = model[-1] if isinstance(model, nn.Sequential) and len(model) else model
    softmax = isinstance(last, nn.Softmax | Probabilities) or getattr(model, "output", None) == "softmax"
    if loss == "cross_entropy" and softmax:
        raise ValueError(
            "model must return logits for loss='cross_entropy', got probabilities; train without the softmax"
        )
    rows = loss if callable(loss) else _LOSSES[loss]
    if isinstance(model, StackedMLP):
        return lambda outputs, targets: rows(outputs.flatten(0, 1), targets.flatten(0, 1))
    return rows


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.shape != targets.shape:
        raise ValueError(f"y must have the shape of the outputs, {tuple(outputs.shape)}, got {tuple(targets.shape)}")
    errors = (outputs - targets).square()
    return errors.flatten(1).mean(1) if errors.ndim > 1 else errors


_LOSSES = {"cross_entropy": _cross_entropy, "mse": _squared_error}


def _probe(model: nn.Module, data: _Rows, loss: str | Callable, per_row: Callable) -> None:
    """Evaluate two rows on a copy, so that a model, loss or target that does not fit is an error before long work."""
    x, t = data.first(2)
    with torch.no_grad():
        outputs = copy.deepcopy(model).eval()(x)
        if not isinstance(outputs, Tensor):
            raise ValueError(f"model must return one tensor (batch, outputs), got {type(outputs).__name__}")
        if loss == "cross_entropy":
            classes = outputs.shape[data.axis + 1] if outputs.ndim > data.axis + 1 else 0
            if data.y.dtype != torch.long or data.y.min() < 0 or data.y.max() >= classes:
                raise ValueError(
                    f"y must hold integer classes (torch.long) from 0 to {classes - 1}, one for each output, "
                    f"got {data.y.dtype} from {data.y.min()} to {data.y.max()}"
                )
        losses = per_row(outputs, t)
    if losses.shape != (t.shape[: data.axis + 1].numel(),):
        raise ValueError(f"loss must return one loss per row, got shape {tuple(losses.shape)} for {len(t)} rows")


def _settings(model: nn.Module, data: _Rows, seeds: list[int], loss: str | Callable, **numbers: object) -> dict:
    """Return everything that decides the result, to compare a checkpoint with."""
    parameters = model.state_dict()
    return {
        "loss": loss if isinstance(loss, str) else f"{loss.__module__}.{loss.__qualname__}",
        **numbers,
        "seeds": seeds,
        "parameters": {name: list(tensor.shape) for name, tensor in parameters.items()},
        "initial weights": fingerprint(*parameters.values()),
        "data": fingerprint(data.X, data.y),
    }
