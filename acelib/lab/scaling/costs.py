"""The cost of a method, counted in the multiply-adds that really run, whatever the machine.

Counted are matrix products and convolutions. Times come from ``data/benchmarks.json`` only
(``acelib.lab.recorded``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_MATRIX_VECTOR = {torch.ops.aten.mv: 0, torch.ops.aten.addmv: 1}  # not in torch's table; where the matrix stands


class _Counter(TorchDispatchMode):
    """A counter of the multiply-adds of every product below it; torch's own cannot see into torch.func."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in _MATRIX_VECTOR:
            self.total += args[_MATRIX_VECTOR[func.overloadpacket]].numel()
        elif func.overloadpacket in flop_registry:
            self.total += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out) // 2
        return out


def count(function: Callable[[], Any]) -> int:
    """Return the multiply-adds in the matrix products and convolutions of one call, elementwise work left out.

    Args:
        function: what to call, without arguments.

    Example:
        >>> a, b = torch.ones(2, 3), torch.ones(3, 4)
        >>> assert count(lambda: a @ b) == 2 * 3 * 4
    """
    with _Counter() as counter:
        function()
    return counter.total


def vector_products(model: Callable[[Tensor], Tensor], point: Tensor, factor: Tensor) -> Tensor:
    """Return ½ Tr(∇²f S Sᵀ) at one point, ``(outputs,)``, by a plain loop of Hessian-vector products.

    This is the way without batching: R · ``outputs`` reverse passes over a reverse pass.

    Args:
        model: ``(batch, k) -> (batch, outputs)``.
        point: ``(k,)``.
        factor: ``(k, R)``, its pinned rows zero.

    References:
        Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6, 1994.

    Example:
        >>> total = vector_products(lambda x: (x**2).sum(1, keepdim=True), torch.zeros(3), torch.eye(3))
        >>> assert total.item() == 3
    """
    x = point.detach().requires_grad_(True)
    totals = []
    for output in model(x[None])[0]:
        (slope,) = torch.autograd.grad(output, x, create_graph=True)
        products = [torch.autograd.grad(slope @ s, x, retain_graph=True)[0] @ s for s in factor.T]
        totals.append(0.5 * torch.stack(products).sum())
    return torch.stack(totals).detach()
