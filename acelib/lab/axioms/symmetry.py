"""Symmetry: two inputs that the function lets change places, and that have the same value, get the same credit."""

from __future__ import annotations

from torch import Tensor, nn

from .method import Attribute, attributions


def symmetry_gap(method: Attribute, net: nn.Module, x: Tensor, rows: Tensor, pair: tuple[int, int]) -> float:
    """Return the largest difference of the attributions of two features that may change places.

    Args:
        method: ``(net, x, rows) -> (batch, k)``.
        net: a network whose output stays when the two features change places.
        x: ``(batch, k)`` inputs in which the two have the same value.
        rows: ``(n, k)`` the population.
        pair: indices of the two.

    Raises:
        ValueError: for inputs in which the two values differ.

    References:
        Sundararajan et al. (2017), Sec. 4.2, Symmetry-Preserving; Chattopadhyay et al. (2019), Sec. 4.1, axiom (iv).

    Example:
        >>> import torch
        >>> x = torch.ones(1, 2)
        >>> uneven = lambda net, x, rows: x * torch.tensor([1.0, 3.0])
        >>> assert symmetry_gap(uneven, torch.nn.Identity(), x, x, (0, 1)) == 2
    """
    one, other = pair
    if not bool((x[:, one] == x[:, other]).all()):
        raise ValueError(
            f"x must have equal values in columns {one} and {other}, got others; the axiom speaks of these"
        )
    found = attributions(method, net, x, rows)
    return float((found[:, one] - found[:, other]).abs().max())
