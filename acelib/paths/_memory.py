"""The memory that a tensor lies in, by which views of one another are recognised."""

from __future__ import annotations

from torch import Tensor


def memory_of(tensor: Tensor) -> int:
    """Return the address of the memory that a tensor lies in; its own identity where there is none."""
    try:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    except (RuntimeError, NotImplementedError):  # sparse, functional and similar tensors have no plain memory
        return id(tensor)
