"""Jets through a model: from points and directions to values, slopes and summed second derivatives."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .._devices import double
from .._directional import full_hessian, twice_differentiable
from .lazy import Shared
from .registry import RULES
from .tensor import Jet, MissingRule


def propagate(model: Callable, points: Tensor, factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return value ``(B, ...)``, slopes ``(R, B, ...)`` and Σ_r ∂²f/∂ε_r² ``(B, ...)`` of the model's output.

    Args:
        model: function from ``(B, k)`` to ``(B, ...)``, row by row.
        points: the points to expand around, ``(B, k)``.
        factor: the directions as columns, ``(k, R)`` for all points or ``(B, k, R)``; cast to the points' dtype.

    Raises:
        MissingRule: if an operation in the model has no rule; the message names it.

    References:
        Chattopadhyay et al., ICML 2019, Eq. 4. Li et al. 2023 (forward Laplacian). Dangel et al. 2025 (collapsed).

    Example:
        >>> from acelib import jets
        >>> x, s = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0], [3.0]])
        >>> value, slopes, bend = jets.propagate(lambda x: x[:, :1] * x[:, 1:], x, s)    # (1 + ε)(2 + 3ε)
        >>> assert (value.item(), slopes.item(), bend.item()) == (2.0, 5.0, 6.0)
    """
    factor = factor.to(points.dtype)
    if factor.ndim == 2:
        tangents: Tensor | Shared = Shared(factor.T[:, None].contiguous(), len(points))
    else:
        tangents = factor.permute(2, 0, 1).contiguous()
    return _run(model, points, tangents)


def _run(model: Callable, points: Tensor, tangents: Tensor | Shared) -> tuple[Tensor, Tensor, Tensor]:
    # Gradient mode is on so that a no_grad block inside the model can be told apart; the rules switch it off.
    try:
        with torch.enable_grad():
            out = model(Jet(points.detach(), tangents))
    except RuntimeError as error:
        if isinstance(error, MissingRule) or "TorchScript" not in str(error):
            raise
        raise MissingRule("a TorchScript module") from error  # its interpreter passes on no cause
    if not isinstance(out, Jet):
        return out.detach(), out.new_zeros(_count(tangents), *out.shape), torch.zeros_like(out)
    if not out.active:
        zeros = out.value.new_zeros(_count(tangents), *out.value.shape)
        return out.value, zeros, torch.zeros_like(out.value)
    return out.value, out.tangents, torch.zeros_like(out.value) if out.second is None else out.second


def _count(tangents: Tensor | Shared) -> int:
    return len(tangents.base if isinstance(tangents, Shared) else tangents)


def collapsed(model: Callable, points: Tensor, factor: Tensor, held: Tensor | None, chunk: int) -> Tensor:
    """Return ½ Σ_r of the second derivatives along the columns of S, ``(B, outputs)``, ``chunk`` rows at a time.

    A row is a point with a direction. ``held`` ``(B, k)`` marks the rows of S to take as zero, or is None.
    """
    rank = factor.shape[-1]
    q, p = min(rank, chunk), max(1, chunk // rank)
    parts = []
    for b in range(0, len(points), p):
        rows = slice(b, b + p)
        some = factor if factor.ndim == 2 else factor[rows]
        pins = None if held is None else held[rows]
        sums = [
            _run(model, points[rows], _tangents(some[..., r : r + q], pins, len(points[rows])))[2]
            for r in range(0, rank, q)
        ]
        parts.append(0.5 * sum(sums[1:], sums[0]))
    return torch.cat(parts)


def _tangents(factor: Tensor, held: Tensor | None, count: int) -> Tensor | Shared:
    """Return the columns of S as tangents ``(R, B, k)`` with held rows at zero, shared between points if possible."""
    if factor.ndim == 3:
        block = factor if held is None else factor.masked_fill(held[..., None], 0)
        return block.permute(2, 0, 1).contiguous()
    base = factor.T[:, None]
    if held is None:
        return Shared(base.contiguous(), count)
    if bool((held == held[:1]).all()):
        return Shared(base.masked_fill(held[:1], 0), count)
    if bool((held.sum(1) == 1).all()):
        return Shared(base.contiguous(), count, factor[held.int().argmax(1)].T, held.to(factor.dtype))
    return base.expand(-1, count, -1).masked_fill(held, 0)


def supported() -> list[str]:
    """Return the names of all operations that have a rule, sorted.

    Example:
        >>> from acelib import jets
        >>> assert {"linear", "tanh", "softmax"} <= set(jets.supported())
    """
    return sorted(RULES)


def check(model: Callable, points: Tensor, factor: Tensor) -> float:
    """Return the largest error of the collapsed second-order term against the full Hessian, in float64.

    It is relative to the largest term, and meant for rules of your own. A module is copied and the copy converted to
    float64; a plain function gets float64 input.

    Args:
        model: function from ``(B, k)`` to ``(B, outputs)``, as in ``half_trace``.
        points: the points to expand around, ``(B, k)``.
        factor: the directions as columns, ``(k, R)`` or ``(B, k, R)``.

    Raises:
        MissingRule: if an operation in the model has no rule.

    Example:
        >>> from acelib import jets
        >>> x, s = torch.linspace(-1, 1, 6).reshape(2, 3), torch.eye(3)
        >>> assert jets.check(lambda x: torch.tanh(x).cumsum(1), x, s) < 1e-12
    """
    points, factor = double(points.detach()), double(factor.detach())
    model = copy.deepcopy(model).to(points.device).double() if isinstance(model, nn.Module) else model
    answer = 0.5 * propagate(model, points, factor)[2]
    expected = torch.empty_like(answer)
    with twice_differentiable(recurrent=True):
        for b, point in enumerate(points):
            s = factor[b] if factor.ndim == 3 else factor
            expected[b] = 0.5 * ((full_hessian(model, point, len(point)) @ s) * s).sum((1, 2))
    scale = expected.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    error = (answer - expected).abs().max()
    return 0.0 if error == 0 else float(error / scale)
