"""Small populations with a symmetry built in, and numbers of two decimals, so that a witness can be read."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_decimals(
    *shape: int, generator: torch.Generator, low: float = -2.0, high: float = 2.0, parts: int = 100
) -> Tensor:
    """Draw uniform numbers of two decimals from [low, high], in float64.

    Args:
        shape: of the tensor.
        generator: source of the numbers.
        low, high: ends of the interval.
        parts: how many a unit has; with 64 instead of 100, sums and products of the numbers are exact.

    Example:
        >>> x = draw_decimals(2, 3, generator=torch.Generator().manual_seed(0))
        >>> assert x.shape == (2, 3) and (100 * x).round().allclose(100 * x)
    """
    drawn = low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)
    return (parts * drawn).round() / parts


def mirrored(rows: Tensor, column: int) -> Tensor:
    """Return rows ``(2n, k)``, each with its mirror image in one column: the column is symmetric given the others.

    Example:
        >>> assert mirrored(torch.tensor([[1.0, 2.0]]), 1).tolist() == [[1.0, 2.0], [1.0, -2.0]]
    """
    image = rows.clone()
    image[:, column] *= -1
    return torch.cat([rows, image])


def exchangeable(rows: Tensor, pair: tuple[int, int]) -> Tensor:
    """Return rows ``(2n, k)``, each with a copy in which two columns have changed places.

    Example:
        >>> assert exchangeable(torch.tensor([[1.0, 2.0]]), (0, 1)).tolist() == [[1.0, 2.0], [2.0, 1.0]]
    """
    order = list(range(rows.shape[1]))
    order[pair[0]], order[pair[1]] = pair[1], pair[0]
    return torch.cat([rows, rows[:, order]])
