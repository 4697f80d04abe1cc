"""Calls of a network: rows in chunks, in their original shape, with every assumption checked.

A *model* is any torch callable ``(batch, *shape) -> (batch, outputs)``. The method works on flattened rows
``(batch, features)``; this module folds them back, calls the model without gradients and refuses what would
silently give wrong averages: a module that acts at random or mixes the rows of a batch, outputs of another shape, NaN.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]

DEFAULT_CHUNK = 16_384  # model rows of a plain call; a compromise between call overhead and memory
DIFFERENTIATED_CHUNK = 4096  # rows of a call that is differentiated, which keeps its tangents or its graph
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_INSTANCE_NORM = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def as_models(model: Model | Sequence[Model]) -> list[Model]:
    """Return a list of callables; a single one becomes a list of one."""
    models = list(model) if isinstance(model, list | tuple | nn.ModuleList) else [model]
    if not models:
        raise ValueError("model must be a torch callable or a list of them, got an empty list")
    for m in models:
        if not callable(m):
            raise TypeError(f"model must be a torch callable (batch, ...) -> (batch, outputs), got {type(m).__name__}")
    return cast(list[Model], models)


def as_chunk(chunk_size: int | None, default: int = DEFAULT_CHUNK) -> int:
    """Return the most model rows in one call.

    Args:
        chunk_size: what the user gave; None means ``default``.
        default: DEFAULT_CHUNK for plain calls, DIFFERENTIATED_CHUNK for differentiated ones.

    Raises:
        TypeError: if it is no integer.
        ValueError: if it is below 1.
    """
    if chunk_size is None:
        return default
    try:
        number = operator.index(chunk_size)
    except TypeError:
        raise TypeError(f"chunk_size must be an integer, the most model rows in one call, got {chunk_size!r}") from None
    if number < 1:
        raise ValueError(f"chunk_size must be positive, the most model rows in one call, got {number}")
    return number


def check_placement(models: Sequence[Model], like: Tensor) -> None:
    """Raise a ValueError where a module's parameters live on another device or in another dtype than the inputs."""
    for model in models:
        module = _module(model)
        for tensor in module.parameters() if module is not None else ():
            if tensor.device != like.device:
                raise ValueError(
                    f"model must be on the device of the inputs, {like.device}, got {tensor.device}; "
                    f"use inputs.to('{tensor.device}') or move the model"
                )
            if tensor.is_floating_point() and tensor.dtype != like.dtype:
                raise ValueError(
                    f"model must have the dtype of the inputs, {like.dtype}, got {tensor.dtype} parameters; "
                    f"use inputs.to({tensor.dtype}) or change the model's dtype"
                )
            break


def check_mode(model: Model) -> None:
    """Raise a ValueError where a module acts at random or mixes the rows of a batch: an average would mean nothing.

    Dropout, RReLU, attention and recurrent layers with dropout, and batch norm must be in evaluation mode; batch norm
    needs its running statistics there. A method of a module, such as ``model.forward``, counts as the module.
    """
    module = _module(model)
    for name, part in module.named_modules() if module is not None else ():
        what = type(part).__name__ + (f" '{name}'" if name else "")
        if part.training and mode_matters(part):
            raise ValueError(
                f"model must be in evaluation mode, got {what} in training mode; call model.eval() first "
                "(acelib never switches modes itself)"
            )
        if isinstance(part, _BATCH_NORM) and part.running_mean is None:
            raise ValueError(
                f"model must answer each row by itself, got {what} without running statistics, where the rows of a "
                "batch influence each other; build it with track_running_stats=True"
            )


def parameter_dtype(model: Model) -> torch.dtype | None:
    """Return the dtype of a module's first floating parameter, else what a model calls its ``dtype``; None without."""
    module = _module(model)
    parameters = module.parameters() if module is not None else ()
    own = next((p.dtype for p in parameters if p.is_floating_point()), getattr(model, "dtype", None))
    return own if isinstance(own, torch.dtype) else None


def _module(model: Model) -> nn.Module | None:
    """Return the module behind a callable: itself, or the one whose method it is; None for a plain function."""
    owner = model if isinstance(model, nn.Module) else getattr(model, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


def mode_matters(part: nn.Module) -> bool:
    """Return whether a layer acts differently in training mode: by random numbers, batch statistics or new buffers.

    Args:
        part: a layer, without regard to its parts.

    Example:
        >>> assert mode_matters(nn.Dropout(0.1)) and not mode_matters(nn.Dropout(0.0))
    """
    if isinstance(part, _DROPOUT) or type(part).__name__.startswith("Drop"):  # also DropPath of other libraries
        return getattr(part, "p", getattr(part, "drop_prob", 1)) != 0
    if isinstance(part, nn.RNNBase):
        return part.dropout > 0 and part.num_layers > 1  # between its layers
    if isinstance(part, nn.MultiheadAttention):
        return part.dropout > 0  # of its weights
    if isinstance(part, _INSTANCE_NORM):
        return part.track_running_stats
    if type(part).__name__ == "_SpectralNorm" or any(type(h).__name__ == "SpectralNorm" for h in _pre_hooks(part)):
        return True  # each call is a step of the power iteration, which changes the network
    return isinstance(part, (nn.RReLU, *_BATCH_NORM))


def _pre_hooks(part: nn.Module) -> list[object]:
    return list(part._forward_pre_hooks.values())


def evaluate(model: Model, rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the model's outputs ``(batch, outputs)`` for flattened rows ``(batch, features)``, without gradients.

    Raises:
        TypeError: if the model returns no tensor.
        ValueError: if the model fails on rows of this shape, returns something else than ``(batch, outputs)``, or NaN.
    """
    with torch.no_grad():
        out = check_output(model(rows.reshape(rows.shape[0], *shape)), rows.shape[0])
    return out.detach()  # a network may switch gradients on by itself, and its graph would be kept


def check_shape(out: Tensor, batch: int) -> Tensor:
    """Return ``out`` if it is a floating tensor ``(batch, outputs)``, else raise an error that says what it is."""
    if not isinstance(out, Tensor):
        raise TypeError(f"model must return a tensor (batch, outputs), got {type(out).__name__}; pick the tensor in it")
    if out.ndim != 2 or out.shape[0] != batch:
        hint = "; append .unsqueeze(-1) for a single output" if out.ndim == 1 else ""
        raise ValueError(f"model must return shape (batch, outputs) = ({batch}, outputs), got {tuple(out.shape)}{hint}")
    if not out.is_floating_point():
        raise ValueError(f"model must return a floating dtype, got {out.dtype}; return scores or probabilities")
    return out


def check_output(out: Tensor, batch: int) -> Tensor:
    """Return ``out`` if it is a finite floating tensor ``(batch, outputs)``, else raise an error that says what it is.

    Raises:
        TypeError: if it is no tensor.
        ValueError: for another shape or dtype, NaN or Inf.
    """
    check_shape(out, batch)
    # The sum alone is cheap, and may overflow.
    if not math.isfinite(out.detach().sum()) and not torch.isfinite(out).all():
        raise ValueError("model must return finite outputs, got NaN or Inf; check its weights and the scale of inputs")
    return out


def joint(models: Sequence[Model], columns: Sequence[int] | None = None) -> Model:
    """Return one model whose columns are the mean over ``models`` and then each of them (for several seeds).

    ``columns`` restricts every model to some of its outputs. With one model there is only its own block.
    """
    if len(models) == 1 and columns is None:
        return models[0]
    index = None if columns is None else torch.as_tensor(columns)

    def call(x: Tensor) -> Tensor:
        outs = [check_output(m(x), x.shape[0]) for m in models]  # none of them writes into x: see the entrance
        if len({o.shape[1] for o in outs}) > 1:
            raise ValueError(f"model must be a list with equally many outputs each, got {[o.shape[1] for o in outs]}")
        if index is not None:
            outs = [o[:, index.to(o.device)] for o in outs]
        return outs[0] if len(outs) == 1 else torch.cat([torch.stack(outs).mean(0), *outs], dim=1)

    return call
