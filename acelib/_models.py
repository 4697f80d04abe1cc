"""How acelib calls a network: rows in chunks, in their original shape, with every assumption checked.

A *model* is any torch callable ``(batch, *shape) -> (batch, outputs)``. The method works on flattened rows
``(batch, features)``; this module folds them back, calls the model without gradients and refuses what would
silently give wrong averages: a module in training mode, outputs of another shape, NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]

DEFAULT_CHUNK = 16_384  # model rows a call; a compromise between call overhead and memory
_ACTIVE_IN_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)


def as_models(model: Model | Sequence[Model]) -> list[Model]:
    """Return a list of models; a single one becomes a list of one, and each is checked for training mode."""
    models = list(model) if isinstance(model, list | tuple | nn.ModuleList) else [model]
    if not models:
        raise ValueError("model is an empty list; give at least one torch callable")
    for m in models:
        if not callable(m):
            raise TypeError(f"model must be a torch callable (batch, ...) -> (batch, outputs), got {type(m).__name__}")
        check_mode(m)
    return models


def check_placement(models: Sequence[Model], like: Tensor) -> None:
    """Raise a ValueError where a module's parameters live on another device or in another dtype than the inputs."""
    for model in models:
        for tensor in model.parameters() if isinstance(model, nn.Module) else ():
            if tensor.device != like.device:
                raise ValueError(
                    f"model is on {tensor.device} but the inputs are on {like.device}; "
                    f"use inputs.to('{tensor.device}') or move the model"
                )
            if tensor.is_floating_point() and tensor.dtype != like.dtype:
                raise ValueError(
                    f"model has {tensor.dtype} parameters but the inputs are {like.dtype}; "
                    f"use inputs.to({tensor.dtype}) or change the model's dtype"
                )
            break


def check_mode(model: Model) -> None:
    """Raise a ValueError where dropout or batch norm is active: every average would be over random networks."""
    if not isinstance(model, nn.Module):
        return
    for name, module in model.named_modules():
        drops = isinstance(module, nn.RNNBase) and module.dropout > 0  # between its layers
        if module.training and (drops or isinstance(module, _ACTIVE_IN_TRAINING)):
            where = f" '{name}'" if name else ""
            raise ValueError(
                f"model is in training mode and its layer{where} ({type(module).__name__}) acts differently there; "
                "call model.eval() first (acelib never switches modes itself)"
            )


def evaluate(model: Model, rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the model's outputs ``(batch, outputs)`` for flattened rows ``(batch, features)``, without gradients.

    Raises:
        ValueError: if the model fails on rows of this shape, returns something else than ``(batch, outputs)``, or NaN.
    """
    with torch.no_grad():
        out = model(rows.reshape(rows.shape[0], *shape))
    return check_output(out, rows.shape[0])


def check_output(out: Tensor, batch: int) -> Tensor:
    """Return ``out`` if it is a finite floating tensor ``(batch, outputs)``, else raise a ValueError that says why."""
    if not isinstance(out, Tensor):
        raise ValueError(f"model must return a tensor (batch, outputs), got {type(out).__name__}")
    if out.ndim != 2 or out.shape[0] != batch:
        hint = "; append .unsqueeze(-1) for a single output" if out.ndim == 1 else ""
        raise ValueError(f"model must return shape (batch, outputs) = ({batch}, outputs), got {tuple(out.shape)}{hint}")
    if not out.is_floating_point():
        raise ValueError(f"model must return a floating dtype, got {out.dtype}; return scores or probabilities")
    if not torch.isfinite(out.sum()) and not torch.isfinite(out).all():  # the sum alone is cheap, and may overflow
        raise ValueError("model returned NaN or Inf; check its weights and the scale of the inputs")
    return out


def accumulator_dtype(device: torch.device) -> torch.dtype:
    """Return float64 where the device has it, else float32 (Apple's MPS)."""
    return torch.float32 if device.type == "mps" else torch.float64


def joint(models: Sequence[Model], columns: Sequence[int] | None = None) -> Model:
    """Return one model whose columns are the mean over ``models`` and then each of them (for several seeds).

    ``columns`` restricts every model to some of its outputs. With one model there is only its own block.
    """
    if len(models) == 1 and columns is None:
        return models[0]
    index = None if columns is None else torch.as_tensor(columns)

    def call(x: Tensor) -> Tensor:
        outs = [check_output(m(x), x.shape[0]) for m in models]
        if len({o.shape[1] for o in outs}) > 1:
            raise ValueError(f"the models in the list differ in their outputs: {[o.shape[1] for o in outs]}")
        if index is not None:
            outs = [o[:, index.to(o.device)] for o in outs]
        return outs[0] if len(outs) == 1 else torch.cat([torch.stack(outs).mean(0), *outs], dim=1)

    return call
