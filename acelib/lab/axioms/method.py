"""What the axioms are asked of: an attribution method, with the reference input that it measures from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

Attribute = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Called with a network, inputs ``(batch, k)`` and a population ``(n, k)``; returns attributions ``(batch, k)``."""


@dataclass(frozen=True)
class Method:
    """An attribution method as the axioms see it.

    Attributes:
        attribute: ``(net, x, rows) -> (batch, k)`` attributions of the first output; rows ``(n, k)`` are the
            population, which methods that need none ignore.
        baseline: rows -> ``(k,)`` the input that it measures from; None where it has none, or where it measures from
            an average, as the average causal effect does.
        tolerance: what its arithmetic is good for; attributions up to here count as zero, and as equal.

    Example:
        >>> import torch
        >>> doubled = Method(lambda net, x, rows: 2 * x, baseline=lambda rows: rows.mean(0))
        >>> assert doubled(torch.nn.Identity(), torch.ones(1, 2), torch.zeros(3, 2)).tolist() == [[2.0, 2.0]]
    """

    attribute: Attribute
    baseline: Callable[[Tensor], Tensor] | None = None
    tolerance: float = 1e-9

    def __call__(self, net: nn.Module, x: Tensor, rows: Tensor) -> Tensor:
        return self.attribute(net, x, rows).detach().double()


def attributions(method: Attribute, net: nn.Module, x: Tensor, rows: Tensor) -> Tensor:
    """Return what a method answers, ``(batch, k)``, in double precision and without its history.

    Example:
        >>> import torch
        >>> x = torch.ones(1, 2, requires_grad=True)
        >>> found = attributions(lambda net, x, rows: 2 * x, torch.nn.Identity(), x, x)
        >>> assert found.dtype == torch.float64 and not found.requires_grad
    """
    return method(net, x, rows).detach().double()


def output(net: nn.Module, x: Tensor) -> Tensor:
    """Return the first output ``(batch,)`` of a network at inputs ``(batch, k)``.

    Example:
        >>> import torch
        >>> assert output(torch.nn.Identity(), torch.ones(2, 3)).tolist() == [1.0, 1.0]
    """
    return net(x).detach()[:, 0]
