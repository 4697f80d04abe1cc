"""Checks of what users pass in: each mistake gets one clear sentence."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_float_tensor(value: Any, name: str, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    """Return ``value`` as a finite floating tensor; integers become the default dtype.

    Raises:
        TypeError: if it cannot become a numeric tensor.
        ValueError: if it holds NaN or Inf.
    """
    try:
        tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be numeric (tensor, array or numbers), got {type(value).__name__}") from error
    if tensor.is_complex():
        raise TypeError(f"{name} must be real, got {tensor.dtype}")
    if dtype is None:
        dtype = tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype()
    tensor = tensor.to(dtype=dtype, device=device)
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or Inf of {tensor.numel()} entries; clean or impute them first"
        )
    return tensor


def as_values(values: Any, width: int, *, dtype: torch.dtype, device: Any) -> Tensor:
    """Return intervention values as ``(m, width)``; a flat list serves a single coordinate, or is one joint value."""
    tensor = as_float_tensor(values, "values", dtype=dtype, device=device)
    if tensor.ndim == 0:
        tensor = tensor[None]
    if tensor.ndim == 1:
        tensor = tensor[:, None] if width == 1 else tensor[None, :]
    if tensor.ndim != 2 or tensor.shape[1] != width:
        raise ValueError(f"values must have shape (m,) or (m, {width}) for this feature, got {tuple(tensor.shape)}")
    if tensor.shape[0] == 0:
        raise ValueError("values must hold at least one value, got an empty list")
    return tensor


def feature_names(names: Iterable[str] | None, count: int) -> tuple[str, ...]:
    """Return ``count`` distinct names; defaults are ``x0``, ``x1``, and so on."""
    if names is None:
        return tuple(f"x{i}" for i in range(count))
    names = tuple(str(name) for name in names)
    if len(names) != count:
        raise ValueError(f"feature_names must hold one name per flattened input, {count}, got {len(names)}")
    if len(set(names)) != count:
        twice = sorted({n for n in names if names.count(n) > 1})
        raise ValueError(f"feature_names must be distinct, got {twice} more than once")
    return names


def as_generator(seed: int | None) -> torch.Generator:
    """Return the generator of a seed; None means 0 everywhere in acelib, so that results repeat.

    Raises:
        TypeError: if the seed is no integer.

    Example:
        >>> assert torch.equal(torch.rand(3, generator=as_generator(None)), torch.rand(3, generator=as_generator(0)))
    """
    try:
        number = 0 if seed is None else operator.index(seed)
    except TypeError:
        raise TypeError(f"seed must be an integer or None, got {seed!r}") from None
    return torch.Generator().manual_seed(number)
