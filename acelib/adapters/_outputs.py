"""Outputs of networks that return more than a tensor: which one is meant, and one row for each input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def picked(found: Any, output: str | int | None, name: str) -> Tensor:
    """Return the tensor that is meant among a network's outputs.

    Args:
        found: a tensor, a tuple or list of them, a dictionary such as a ``ModelOutput``, or an object with attributes.
        output: its key, attribute or place; None where there is only one.
        name: the network, for messages.

    Raises:
        ValueError: if there are several and none is named, or none of that name.

    Example:
        >>> import torch
        >>> assert picked({"logits": torch.ones(1)}, None, "net") == picked((torch.ones(1), None), 0, "net") == 1
    """
    if isinstance(found, Tensor):
        if output is None:
            return found
        raise ValueError(f"output must be left out for {name}, which returns a single tensor, got {output!r}")
    parts = _parts(found)
    tensors = [key for key, one in parts.items() if isinstance(one, Tensor)]
    if output is None and len(tensors) == 1:
        return parts[tensors[0]]
    key = output
    if isinstance(output, int) and not isinstance(output, bool) and -len(parts) <= output < len(parts):
        key = list(parts)[output]
    if key not in tensors:
        what = f"one of the outputs {tensors} of {name}, by name or place" if tensors else f"a tensor of {name}"
        raise ValueError(f"output must be {what}, got {output!r}; name the one to explain")
    return parts[key]


def _parts(found: Any) -> dict[Any, Any]:
    """Return outputs by key, attribute or place."""
    if isinstance(found, Mapping):
        return dict(found)
    if hasattr(found, "_fields"):
        return dict(zip(found._fields, found, strict=True))
    if isinstance(found, tuple | list):
        return dict(enumerate(found))
    return dict(getattr(found, "__dict__", {}))


def as_rows(found: Tensor, count: int) -> Tensor:
    """Return outputs ``(batch, outputs)``; a single one for each row, ``(batch,)``, becomes a column."""
    return found.unsqueeze(1) if found.ndim == 1 and len(found) == count else found
