"""The dummy property, sensitivity (b): an input that the function does not depend on gets nothing."""

from __future__ import annotations

from torch import Tensor, nn

from .method import Attribute, attributions


def dummy_gap(method: Attribute, net: nn.Module, x: Tensor, rows: Tensor, feature: int) -> float:
    """Return the largest attribution, in size, of a feature that the function does not depend on.

    The *function* must not: its network may well read the feature, if what it reads cancels.

    Args:
        method: ``(net, x, rows) -> (batch, k)``.
        net: a network whose output is the same whatever the feature is.
        x: ``(batch, k)`` inputs.
        rows: ``(n, k)`` the population.
        feature: index of the feature.

    References:
        Sundararajan et al. (2017), Sec. 4.1, Sensitivity(b); the dummy axiom of the Shapley value.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, -3.0]])
        >>> first = lambda x: x[:, :1]
        >>> assert dummy_gap(lambda net, x, rows: x, first, x, x, 1) == 3
    """
    return float(attributions(method, net, x, rows)[:, feature].abs().max())
