"""Input invariance: a constant added to every input, and taken off again by the first layer, changes no attribution."""

from __future__ import annotations

from torch import Tensor, nn

from .method import Attribute, attributions
from .rewriting import compensated


def shift_gap(
    method: Attribute, net: nn.Module, x: Tensor, rows: Tensor, shift: Tensor, *, rows_move: bool = True
) -> float:
    """Return the largest difference of an attribution between a network and its twin for shifted inputs.

    The twin takes the shift off in its first bias, so that both compute the same from x and from x + shift.

    Args:
        method: ``(net, x, rows) -> (batch, k)``.
        net: a sequence of layers whose first one is linear.
        x: ``(batch, k)`` inputs.
        rows: ``(n, k)`` the population.
        shift: ``(k,)`` what is added to every input.
        rows_move: whether the population is shifted too; the axiom shifts all inputs.

    References:
        Kindermans et al. (2019), Sec. 2; Chattopadhyay et al. (2019), Sec. 4.1, axiom (v).

    Example:
        >>> import torch
        >>> net, x, shift = torch.nn.Sequential(torch.nn.Linear(2, 1)), torch.zeros(1, 2), torch.tensor([1.0, 4.0])
        >>> assert shift_gap(lambda net, x, rows: x, net, x, x, shift) == 4
        >>> assert shift_gap(lambda net, x, rows: x - rows.mean(0), net, x, x, shift) == 0
    """
    moved = rows + shift if rows_move else rows
    after = attributions(method, compensated(net, shift), x + shift, moved)
    return float((attributions(method, net, x, rows) - after).abs().max())
