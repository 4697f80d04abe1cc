"""Outputs of networks that return more than a tensor: which one is meant, and one row for each input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def picked(found: Any, output: Any, name: str) -> Tensor:
    """Return the tensor that is meant among a network's outputs.

    Args:
        found: a tensor, a tuple or list of them, or a dictionary such as a ``ModelOutput``.
        output: its key or place; None where there is only one.
        name: the network, for messages.

    Raises:
        ValueError: if there are several and none is named, or none of that name.

    Example:
        >>> import torch
        >>> assert picked({"logits": torch.ones(1)}, None, "net") == picked((torch.ones(1), None), 0, "net") == 1
    """
    if isinstance(found, Tensor) and output is None:
        return found
    if isinstance(found, Mapping):
        parts: dict[Any, Any] = dict(found)
    elif isinstance(found, tuple | list):
        parts = dict(enumerate(found))
    else:
        raise ValueError(
            f"{name} must return tensors by key or place to pick one, got {type(found).__name__}; leave output out"
        )
    tensors = [key for key, one in parts.items() if isinstance(one, Tensor)]
    if output is None and len(tensors) == 1:
        return parts[tensors[0]]
    key = list(parts)[output] if isinstance(output, int) and -len(parts) <= output < len(parts) else output
    if key not in tensors:
        raise ValueError(
            f"output must be one of the outputs {tensors} of {name}, got {output!r}; name the one to explain"
        )
    return parts[key]


def as_rows(found: Tensor, count: int) -> Tensor:
    """Return outputs ``(batch, outputs)``; a single one for each row, ``(batch,)``, becomes a column."""
    return found.unsqueeze(1) if found.ndim == 1 and len(found) == count else found
