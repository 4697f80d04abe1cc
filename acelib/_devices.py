"""Moves to and from a device without float64, which Apple's MPS is: what needs it is computed on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor


def placed(tensor: Tensor, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Tensor:
    """Return the tensor in a dtype and on a device, converted where both ends have the dtype.

    A tensor on MPS that becomes float64 has to leave first; one that arrives there has to become float32 first.
    """
    if tensor.device.type == "mps":
        return tensor.to(device=device).to(dtype=dtype)
    return tensor.to(dtype=dtype, device=device)


def double(tensor: Tensor) -> Tensor:
    """Return the tensor in float64: where it is, or on the CPU where its device has no float64 (Apple's MPS).

    Example:
        >>> assert double(torch.ones(2)).dtype == torch.float64
    """
    return tensor.cpu().double() if tensor.device.type == "mps" else tensor.double()
