"""Checks of what users pass in: each mistake gets one clear sentence."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._tables import as_float_tensor, is_missing


def as_values(values: Any, width: int, *, dtype: torch.dtype, device: Any) -> Tensor:
    """Return intervention values as ``(m, width)``; a flat list serves a single coordinate, or is one joint value."""
    tensor = as_float_tensor(values, "values", dtype=dtype, device=device, copy=True)
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


def as_index(value: Any) -> int | None:
    """Return a whole number of Python, numpy or torch as an int; None for anything else, a truth value too.

    Example:
        >>> assert as_index(torch.tensor(3)) == as_index(np.int64(3)) == 3
        >>> assert as_index(True) is None and as_index(3.0) is None
    """
    kind = str(getattr(value, "dtype", type(value).__name__))
    try:
        return None if "bool" in kind else operator.index(value)
    except TypeError:
        return None


def as_count(value: Any, name: str, what: str, *, minimum: int = 1) -> int:
    """Return a number of rows as an int; a whole float such as 1e6 counts.

    Args:
        value: what the user gave.
        name: the argument's name.
        what: what it counts, for messages.
        minimum: the smallest that is allowed.

    Raises:
        TypeError: if it is no number.
        ValueError: if it is not whole, or too small.
    """
    number = as_index(value)
    if number is None:
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise TypeError(f"{name} must be a whole number, {what}, got {value!r}")
        if not float(value).is_integer():
            raise ValueError(f"{name} must be a whole number, {what}, got {value!r}")
        number = int(value)
    if number < minimum:
        least = "positive" if minimum == 1 else f"at least {minimum}"
        raise ValueError(f"{name} must be {least}, {what}, got {number}")
    return number


def as_generator(seed: int | None) -> torch.Generator:
    """Return the generator of a seed; None means 0 everywhere in acelib, so that results repeat.

    Raises:
        TypeError: if the seed is no integer.
        ValueError: if it has more than 64 bits.

    Example:
        >>> assert torch.equal(torch.rand(3, generator=as_generator(None)), torch.rand(3, generator=as_generator(0)))
    """
    try:
        number = 0 if seed is None else operator.index(seed)
    except TypeError:
        raise TypeError(f"seed must be an integer or None, got {seed!r}") from None
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"seed must be an integer of at most 64 bits, got {number}")
    return torch.Generator().manual_seed(number)


def as_labels(groups: Any, count: int) -> Tensor:
    """Return labels of ``count`` rows as numbers 0, 1, ... ``(count,)``, equal where the labels are.

    Args:
        groups: numbers, texts, dates or tuples: a tensor, array, list, series or categorical.
        count: number of rows.

    Raises:
        ValueError: for missing labels, another number of them, or a single group.
    """
    if isinstance(groups, Tensor) and groups.dtype != torch.uint64:
        each, shape = groups.detach(), tuple(groups.shape)
        missing = int(each.isnan().sum())
    else:
        listed = isinstance(groups, list | tuple)  # one by one: an array would make text of numbers and of NaN
        array = np.asarray(groups.cpu() if isinstance(groups, Tensor) else [0] * len(groups) if listed else groups)
        each, shape = list(groups) if listed else array.ravel().tolist(), array.shape
        each = [one.item() if getattr(one, "ndim", 1) == 0 else one for one in each]
        missing = sum(map(is_missing, each))
    if shape != (count,):
        raise ValueError(f"groups must hold one label per row, ({count},), got {shape}")
    if missing:
        raise ValueError(
            f"groups must hold a label for every row, got {missing} missing; give these rows labels of their own"
        )
    numbered = torch.unique(each, return_inverse=True)[1] if isinstance(each, Tensor) else _numbered(each)
    if int(numbered.max()) < 1:
        raise ValueError("groups must hold at least two groups, got a single group; it has no error between groups")
    return numbered


def _numbered(labels: list[Any]) -> Tensor:
    """Return numbers of labels in their order, or, where they have none, in the order in which they come."""
    try:
        found = dict.fromkeys(labels)
    except TypeError as error:
        raise TypeError(f"groups must hold texts, numbers or tuples as labels, got {error}") from None
    try:
        places = {label: place for place, label in enumerate(sorted(found))}
    except TypeError:
        places = {label: place for place, label in enumerate(found)}
    return torch.tensor([places[label] for label in labels])
