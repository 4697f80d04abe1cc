"""Completeness: the attributions of an input add up to the output, measured from a constant."""

from __future__ import annotations

from torch import Tensor, nn

from .method import Attribute, attributions, output


def completeness_gap(method: Attribute, net: nn.Module, x: Tensor, rows: Tensor) -> float:
    """Return by how much the attributions of inputs fail to add up to the output minus one constant.

    Sundararajan et al. ask for the sum f(x) - f(baseline), Bach et al. for f(x). Here the constant is the method's own
    choice, so that a method is not blamed for the one it takes: sum - f(x) must be the same at every input.

    Args:
        method: ``(net, x, rows) -> (batch, k)``.
        net: the network.
        x: ``(batch, k)`` two inputs or more.
        rows: ``(n, k)`` the population.

    Raises:
        ValueError: for fewer than two inputs.

    References:
        Sundararajan et al. (2017), Sec. 3, Completeness; Bach et al. (2015), Eq. 2; Chattopadhyay et al. (2019),
        Sec. 4.1, axiom (i).

    Example:
        >>> import torch
        >>> x, weights = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([5.0, 7.0])
        >>> net = lambda x: x @ weights[:, None]
        >>> assert completeness_gap(lambda net, x, rows: x * weights, net, x, x) == 0
        >>> assert completeness_gap(lambda net, x, rows: x, net, x, x) == 4  # the sums are 3 and 3, f is 19 and 15
    """
    if len(x) < 2:
        raise ValueError(
            f"x must hold two inputs or more, got {len(x)}; one sum equals f(x) minus some constant always"
        )
    missing = attributions(method, net, x, rows).sum(1) - output(net, x)
    return float(missing.max() - missing.min())
