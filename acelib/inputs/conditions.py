"""Conditions on the rows of an input model: which of them lie in a region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._checks import as_index
from .._tables import as_float_tensor
from .domain import FiniteSet, Interval

if TYPE_CHECKING:
    from .base import InputModel

LEAST_ROWS = 2  # that a region must hold: fewer have no spread


def rows_of(condition: Any, inputs: InputModel) -> Tensor:
    """Return the ascending numbers ``(b,)`` of the rows of an input model that satisfy a condition.

    Args:
        condition: see ``InputModel.where``.
        inputs: an input model with ``samples``.

    Raises:
        TypeError, ValueError: see ``InputModel.where``.
    """
    samples = inputs.samples
    if samples is None:
        raise ValueError(
            f"inputs must have rows for a condition on them, got {inputs!r}; pin inputs by do({{...}}) instead"
        )
    if isinstance(condition, Mapping):
        held = _satisfied(condition, inputs, samples)
    else:
        given = condition(samples.reshape(-1, *inputs.shape)) if callable(condition) else condition
        held = _listed(given, len(samples))
    index = held.to(samples.device).nonzero()[:, 0]
    if len(index) < LEAST_ROWS:
        raise ValueError(
            f"condition must hold for at least {LEAST_ROWS} rows, got {len(index)} of {len(samples)}; widen it"
        )
    return index


def _satisfied(condition: Mapping[Any, Any], inputs: InputModel, samples: Tensor) -> Tensor:
    """Return whether each row ``(n,)`` satisfies the condition of every input that is named."""
    if not condition:
        raise ValueError("condition must name at least one input, got an empty mapping")
    held = torch.ones(len(samples), dtype=torch.bool, device=samples.device)
    for feature, wanted in condition.items():
        columns, name = inputs.feature(feature), inputs.label(feature)
        if len(columns) != 1:
            raise ValueError(f"condition must name single inputs, got {name}; give each of them its own")
        (column,) = columns
        if column in inputs.fixed:
            raise ValueError(
                f"condition must be on inputs that vary, got {name!r}, which do() has pinned; use where() before do()"
            )
        held &= _within(samples[:, column], wanted, name)
    return held


def _within(x: Tensor, wanted: Any, name: str) -> Tensor:
    """Return whether each value ``(n,)`` lies in an interval (its ends included) or equals one of some values."""
    if isinstance(wanted, Interval):
        wanted = (wanted.low, wanted.high)
    if isinstance(wanted, tuple):
        low, high = _ends(wanted, name)
        return (x >= x.new_tensor(low)) & (x <= x.new_tensor(high))
    if isinstance(wanted, FiniteSet):
        wanted = wanted.values
    many = isinstance(wanted, set | frozenset | list) or getattr(wanted, "ndim", 0) == 1
    values = as_float_tensor(list(wanted) if many else [wanted], f"condition of {name!r}", dtype=x.dtype)
    if not len(values):
        raise ValueError(f"condition of {name!r} must hold at least one value, got none")
    values = values.to(x.device)
    slack = 10 * torch.finfo(x.dtype).eps * values.abs().max()  # the rounding of a value as it was typed
    return ((x[:, None] - values).abs() <= slack).any(1)


def _ends(wanted: tuple[Any, ...], name: str) -> tuple[float, float]:
    """Return the ends of an interval that a user gave as a pair, open where None stands."""
    try:
        low, high = wanted
        ends = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    except (TypeError, ValueError):
        ends = (np.nan, np.nan)
    if not ends[0] <= ends[1]:
        raise ValueError(
            f"condition of {name!r} must be a pair (low, high) with low <= high, None for an open end, or a set of "
            f"values, got {wanted!r}"
        )
    return ends


def _listed(given: Any, count: int) -> Tensor:
    """Return whether each of ``count`` rows is among those given by truth values ``(n,)`` or by numbers."""
    flags = given.detach() if isinstance(given, Tensor) else torch.as_tensor(_array(given))
    if flags.dtype == torch.bool:
        if flags.shape != (count,):
            raise ValueError(f"condition must hold one truth value per row, ({count},), got {tuple(flags.shape)}")
        return flags
    if flags.ndim != 1 or flags.is_floating_point() or flags.is_complex():
        raise TypeError(
            "condition must be a mapping from inputs to (low, high) or sets, truth values or numbers of rows, or a "
            f"function of the rows that returns these, got {flags.dtype} of shape {tuple(flags.shape)}"
        )
    numbers = flags.long().cpu()
    if len(numbers) and (int(numbers.min()) < 0 or int(numbers.max()) >= count):
        wrong = numbers[(numbers < 0) | (numbers >= count)][0]
        raise ValueError(f"condition must hold numbers of rows from 0 to {count - 1}, got {int(wrong)}")
    if len(numbers.unique()) < len(numbers):
        raise ValueError(
            "condition must hold each row once, got some twice; give truth values as booleans, or use weights"
        )
    return torch.zeros(count, dtype=torch.bool).index_fill(0, numbers, True)


def _array(given: Any) -> np.ndarray:
    """Return truth values or numbers as an array, or raise a TypeError that says what a condition is."""
    if isinstance(given, str) or as_index(given) is not None or not hasattr(given, "__len__"):
        found = np.empty(0, dtype=object)
    else:
        found = np.asarray(given)
    if found.dtype.kind not in "biuf":
        raise TypeError(
            "condition must be a mapping from inputs to (low, high) or sets, truth values or numbers of rows, or a "
            f"function of the rows that returns these, got {type(given).__name__}"
        )
    return found.copy()
