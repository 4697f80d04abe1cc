"""A case of the coverage: a world whose truth is known, and the question whether the intervals read there hold it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NORMAL = 1.959963984540054  # standard errors either side of a 95 % interval of the normal law
READINGS = ("stderr", "interval", "test")
"""What a reader may go by, the last one best: value ± 1.96 standard errors, the result's own ``interval()``, and, where
nothing is to be found, the decision of a test at the level 5 %."""


@dataclass(frozen=True)
class Case:
    """One world.

    Attributes:
        run: from a seed to what held, by reading: draws new data, asks the library, and returns what ``hits`` does.
        truth: where the truth comes from, in one sentence.
        repetitions: how often a full run repeats it.
    """

    run: Callable[[int], Mapping[str, Tensor]]
    truth: str
    repetitions: int = 1000


def generator(seed: int) -> torch.Generator:
    """Return the random numbers of a repetition."""
    return torch.Generator().manual_seed(seed)


def hits(
    truth: Any, *, stderr: tuple[Any, Any] | None = None, interval: tuple[Any, Any] | None = None
) -> dict[str, Tensor]:
    """Return whether the truth lies inside, ``(values,)`` boolean for each reading that is given.

    Args:
        truth: one number, or one for each value that was asked.
        stderr: (value, standard error): 1.96 of them either side.
        interval: (low, high), the result's own interval.

    Example:
        >>> hits([0.0, 3.0], stderr=([1.0, 1.0], [0.6, 0.6]))["stderr"].tolist()
        [True, False]
    """
    known, found = _flat(truth), {}
    if stderr is not None:
        value, error = map(_flat, stderr)
        found["stderr"] = (value - known).abs() <= NORMAL * error
    if interval is not None:
        low, high = map(_flat, interval)
        found["interval"] = (low <= known) & (known <= high)
    return found


def agreement(
    first: tuple[Any, Any], second: tuple[Any, Any], *, interval: tuple[tuple[Any, Any], tuple[Any, Any]] | None = None
) -> dict[str, Tensor]:
    """Return whether two independent answers agree within their joint error, ``(values,)`` boolean for each reading.

    Args:
        first, second: (value, standard error) of two samples of the same size.
        interval: (low, high) of both: their half widths, added in squares, take the place of the standard errors.

    Example:
        >>> agreement(([0.0], [1.0]), ([2.0], [1.0]))["stderr"].tolist()  # 2 < 1.96 · √2
        [True]
    """
    (a, e), (b, f) = (tuple(map(_flat, one)) for one in (first, second))
    found = {"stderr": (a - b).abs() <= NORMAL * torch.hypot(e, f)}
    if interval is not None:
        halves = [(_flat(high) - _flat(low)) / 2 for low, high in interval]
        found["interval"] = (a - b).abs() <= torch.hypot(*halves)
    return found


def _flat(numbers: Any) -> Tensor:
    return torch.as_tensor(numbers, dtype=torch.float64).detach().reshape(-1)
