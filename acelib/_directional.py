"""Second derivatives of a model along given directions: the numbers vᵀ∇²f(x)v behind ½ Tr(∇²f Σ).

Each function here takes points ``(p, k)`` and directions ``(p, q, k)`` and returns ``(p, q, outputs)``, apart from the
full Hessian, the slow oracle. The checks, the sum over directions and the choice between them are in
``acelib.curvature``. Forward mode over forward mode is left out: through LayerNorm it can be wrong without an error.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

import torch

from ._process import forward_mode, plain_kernels


class UnsupportedOperation(RuntimeError):
    """An operation inside the model that has no derivative rule for the chosen route.

    Attributes:
        operation: the operation's name, as far as torch tells it.
        route: the route, or routes, that stopped at it.
    """

    def __init__(self, operation: str, route: str, remedy: str):
        self.operation, self.route = operation, route
        super().__init__(f"the route {route} cannot differentiate {operation} twice: {remedy}")


def jvp_grad(model, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return vᵀ∇²f(x)v for points ``(p, k)`` and directions ``(p, q, k)``: ``(p, q, outputs)``; forward over reverse.

    One dual forward pass serves all outputs; each output adds one reverse pass. Only the slope along v leaves the
    reverse pass, so that many outputs do not keep many gradients in memory.
    """
    p, q, k = v.shape
    rows, tangents = x.repeat_interleave(q, 0), v.reshape(p * q, k)

    def slopes(z):
        y, pull, *_ = torch.func.vjp(lambda a: model(a.clone()), z)
        seeds = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
        # create_graph: some operations (SiLU) use a fused backward without a forward-mode rule where it is off.
        return torch.stack([(pull(seed.expand_as(y), create_graph=True)[0] * tangents).sum(1) for seed in seeds], dim=1)

    with forward_mode():
        return torch.func.jvp(slopes, (rows,), (tangents,))[1].reshape(p, q, -1).detach()


def double_backward(model, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return the same numbers, ``(p, q, outputs)``: d²f(x + εv)/dε² at ε = 0 by two reverse passes per output."""
    p, q, k = v.shape
    _require_second_derivative(model, x[0])
    with torch.enable_grad():
        epsilon = x.new_zeros(p * q, requires_grad=True)
        y = model(x.repeat_interleave(q, 0) + epsilon[:, None] * v.reshape(p * q, k))
        if not y.requires_grad:
            return torch.zeros_like(y).reshape(p, q, -1)
        columns = []
        for output in y.unbind(1):
            (slope,) = torch.autograd.grad(output.sum(), epsilon, create_graph=True, materialize_grads=True)
            bend = None
            if slope.requires_grad:
                (bend,) = torch.autograd.grad(slope.sum(), epsilon, retain_graph=True, allow_unused=True)
            columns.append(torch.zeros_like(epsilon) if bend is None else bend)
    return torch.stack(columns, dim=1).reshape(p, q, -1).detach()


def _require_second_derivative(model, point: torch.Tensor) -> None:
    """Raise where a custom backward cannot be differentiated: reverse over reverse would take it for a constant.

    A gradient is linear in its seed u, g(u) = Jᵀu, so w·g(u) must equal u·∂(w·g)/∂u; a cut graph breaks that. Seed and
    weights differ from entry to entry, because a softmax has gradient 0 for equal ones.
    """
    with torch.enable_grad():
        leaf = point.clone().requires_grad_()
        y = model(leaf.clone()[None])
        if not y.requires_grad:
            return
        seed = torch.linspace(1, 2, y.shape[1], dtype=y.dtype, device=y.device)[None].requires_grad_()
        (slope,) = torch.autograd.grad(y, leaf, seed, create_graph=True, materialize_grads=True)
        weights = torch.linspace(1, 2, len(point), dtype=point.dtype, device=point.device)
        total, back = (weights * slope).sum(), None
        if total.requires_grad:
            (back,) = torch.autograd.grad(total, seed, allow_unused=True)
    gap = total - (0 if back is None else (seed * back).sum())
    rounding = 1e3 * torch.finfo(y.dtype).eps * (1 + y.abs().max())
    if gap.abs() > 1e-2 * slope.abs().sum() + rounding:
        raise RuntimeError("once_differentiable: the backward of a custom function cannot be differentiated")


def central_difference(model, x: torch.Tensor, v: torch.Tensor, step: float) -> torch.Tensor:
    """Return λ [f(x + εe) + f(x − εe) − 2 f(x)] / ε², ``(p, q, outputs)``, with e = v / √λ, λ = |v|²; 0 for v = 0."""
    p, q, k = v.shape
    length = v.norm(dim=2, keepdim=True)
    unit = v / torch.where(length > 0, length, torch.ones_like(length))
    sides = [model((x[:, None] + sign * step * unit).reshape(p * q, k)).reshape(p, q, -1) for sign in (1, -1)]
    centre = model(x.clone())[:, None]
    return length**2 * ((sides[0] - centre) + (sides[1] - centre)) / step**2


def full_hessian(model, point: torch.Tensor, chunk: int) -> torch.Tensor:
    """Return ∇²f at one point ``(k,)``: ``(outputs, k, k)``, forward over reverse, else reverse over reverse.

    Torch computes some operations wrongly in forward mode without an error, ``scatter_reduce`` with products among
    them: the curvature along one direction is compared with double backward, which is right there.
    """
    try:
        hessian = _forward_over_reverse(model, point, chunk)
    except RuntimeError as error:
        if missing_operation(error) is None:
            raise
        return _reverse_over_reverse(model, point)
    direction = torch.linspace(1, 2, len(point), dtype=point.dtype, device=point.device)
    try:
        right = double_backward(model, point[None], direction[None, None])[0, 0]
    except (RuntimeError, NotImplementedError):
        return hessian  # nothing to compare with
    return _reverse_over_reverse(model, point) if differ((hessian @ direction) @ direction, right) else hessian


def differ(found: torch.Tensor, right: torch.Tensor) -> bool:
    """Return whether two curvatures differ by more than the rounding of either."""
    eps = torch.finfo(right.dtype).eps
    return bool(((found - right).abs() > eps**0.5 * right.abs().max() + eps).any())


def _forward_over_reverse(model, point, chunk) -> torch.Tensor:
    """Return ``(outputs, k, k)`` as jacfwd(jacrev), with at most ``chunk`` rows (outputs × unit tangents) at a time."""
    jacobian = torch.func.jacrev(lambda z: model(z[None].clone())[0])
    width = max(1, chunk // model(point[None].clone()).shape[1])

    def column(unit):
        return torch.func.jvp(jacobian, (point,), (unit,))[1]

    eye = torch.eye(len(point), dtype=point.dtype, device=point.device)
    with forward_mode():
        return torch.func.vmap(column, chunk_size=width)(eye).movedim(0, -1).detach()


def _reverse_over_reverse(model, point) -> torch.Tensor:
    """Return ``(outputs, k, k)`` by plain double backward, one output and one row at a time: slow, needs little."""
    _require_second_derivative(model, point)
    outputs = model(point[None].clone()).shape[1]
    with torch.enable_grad():
        rows = [
            torch.autograd.functional.hessian(lambda z, o=o: model(z[None].clone())[0, o], point)
            for o in range(outputs)
        ]
    return torch.stack(rows)


def twice_differentiable(*, recurrent: bool) -> AbstractContextManager[None]:
    """Swap fused kernels that cannot be differentiated twice for plain ones while the context is active."""
    return plain_kernels("mha", "attention", *(("cudnn", "mkldnn") if recurrent else ()))


_NAMED = re.compile(r"(?:forward AD with|derivative for|Batching rule not implemented for) '?([\w.]+(?:::[\w.]+)*)")
_UNNAMED = {
    "once_differentiable": "a custom autograd.Function whose backward is not differentiable (once_differentiable)",
    "autograd.Function": "a custom autograd.Function without rules for torch.func",
    "cudnn RNN backward": "the cuDNN recurrent kernel",
    "double backward": "a compiled or fused operation without a double backward",
    "data pointer of Tensor": "an operation that reads tensor memory directly, such as a NumPy call",
    "vmap": "an operation that vmap cannot batch",
}


def missing_operation(error: Exception) -> str | None:
    """Return the operation that lacks a derivative rule according to torch's message; None for any other error."""
    named = _NAMED.search(str(error))
    if named:
        return named.group(1)
    return next((name for mark, name in _UNNAMED.items() if mark in str(error)), None)
