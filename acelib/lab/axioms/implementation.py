"""Implementation invariance: two networks that compute one function get the same attributions."""

from __future__ import annotations

from torch import Tensor, nn

from .method import Attribute, attributions


def implementation_gap(method: Attribute, net: nn.Module, twin: nn.Module, x: Tensor, rows: Tensor) -> float:
    """Return the largest difference of an attribution between two networks that compute the same function.

    Args:
        method: ``(net, x, rows) -> (batch, k)``.
        net: one network.
        twin: another one, equal to it at every input.
        x: ``(batch, k)`` inputs.
        rows: ``(n, k)`` the population.

    References:
        Sundararajan et al. (2017), Sec. 2.2; Chattopadhyay et al. (2019), Sec. 4.1, axiom (iii).

    Example:
        >>> import torch
        >>> x = torch.ones(1, 2)
        >>> by_class = lambda net, x, rows: x * len(type(net).__name__)
        >>> assert implementation_gap(by_class, torch.nn.Identity(), torch.nn.Sequential(), x, x) == 2
    """
    return float((attributions(method, net, x, rows) - attributions(method, twin, x, rows)).abs().max())
