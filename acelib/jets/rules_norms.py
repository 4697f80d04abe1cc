"""Softmax and normalisation, where sums couple the entries of a row.

With weights p = softmax(x) and E the average under p: log p has tangents d_r = t_r − E[t_r] and the second derivative
h − E[h] − Σ_r E[d_r²]. A normalised z/√v, z = x − mean, v = mean(z²) + eps, follows from the product rule with
v_r = 2 mean(z t_r) and v'' = 2 mean(z h + Σ_r d_r²).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .kinds import composite
from .registry import provide
from .tensor import Jet, MissingRule


def _log_parts(x: Jet, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return p, E[t] and d along a negative axis, and the second derivative of logsumexp."""
    p = torch.softmax(x.value, dim)
    average = (x.tangents * p).sum(dim, keepdim=True)
    centred = x.tangents - average
    bend = (p * _bend(centred, x.second)).sum(dim, keepdim=True)
    return p, average, centred, bend


def _bend(slopes: Tensor, second: Tensor | None) -> Tensor:
    """Return Σ_r slopes_r² + second."""
    squares = slopes.square().sum(0)
    return squares if second is None else squares + second


def _axis(x, dim) -> int:
    if dim is None:
        raise MissingRule("softmax without dim")
    return dim if dim < 0 else dim - x.ndim


def _log_softmax(func, x, dim=None, _stacklevel=3, dtype=None):
    x = x if dtype is None else x.to(dtype)
    dim = _axis(x, dim)
    p, _, centred, bend = _log_parts(x, dim)
    return Jet(torch.log_softmax(x.value, dim), centred, (0 if x.second is None else x.second) - bend.expand_as(p))


def _softmax(func, x, dim=None, _stacklevel=3, dtype=None):
    x = x if dtype is None else x.to(dtype)
    p, _, centred, bend = _log_parts(x, _axis(x, dim))
    return Jet(p, centred * p, p * (_bend(centred, x.second) - bend))


def _softmin(x, dim: Any = None, _stacklevel=3, dtype=None):
    return torch.softmax(-x, dim, dtype=dtype)


def _logsumexp(func, x, dim, keepdim=False):
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    for axis in sorted(_axis(x, d) for d in dims):
        _, average, _, bend = _log_parts(x, axis)
        x = Jet(torch.logsumexp(x.value, axis, keepdim=True), average, bend)
    return x if keepdim else x.squeeze(dims)


provide(_log_softmax, "log_softmax")
provide(_softmax, "softmax")
provide(composite(_softmin), "softmin")
provide(_logsumexp, "logsumexp")


def normalised(x: Jet, axes: tuple[int, ...], eps: float, *, centre: bool = True) -> Jet:
    """Return (x − mean) / √(mean((x − mean)²) + eps) over negative axes; without ``centre`` the mean stays."""

    def off(z: Tensor) -> Tensor:
        return z - z.mean(axes, keepdim=True) if centre else z

    z, slopes = off(x.value), off(x.tangents)
    s = torch.rsqrt(z.square().mean(axes, keepdim=True) + eps)
    lean = (slopes * z).mean(axes, keepdim=True) * (-(s**3))  # tangents of s = v^-1/2, with v_r = 2 mean(z t_r)
    squares = slopes.square().sum(0)
    bend = squares if x.second is None else squares + z * off(x.second)
    bent = 3 * lean.square().sum(0) / s - s**3 * bend.mean(axes, keepdim=True)
    second = z * bent + 2 * (slopes * lean).sum(0)
    second = second if x.second is None else second.addcmul_(off(x.second), s.expand_as(z))
    return Jet(z * s, torch.addcmul(slopes * s, z, lean), second)


def _affine(x, weight, bias):
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _layer_norm(func, x, normalized_shape, weight=None, bias=None, eps=1e-5, *_):
    axes = tuple(range(-len(normalized_shape), 0))
    return _affine(normalised(x, axes, eps), weight, bias)


def _rms_norm(func, x, normalized_shape, weight=None, eps=None):
    axes = tuple(range(-len(normalized_shape), 0))
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _affine(normalised(x, axes, eps, centre=False), weight, None)


def _group_norm(func, x, num_groups, weight=None, bias=None, eps=1e-5, *_):
    grouped = normalised(x.reshape(len(x), num_groups, -1), (-1,), eps).reshape(x.shape)
    shape = (-1, *(1,) * (x.ndim - 2))
    return _affine(grouped, *(None if z is None else z.reshape(shape) for z in (weight, bias)))


def _instance_norm(
    func,
    x,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
    *_,
):
    if func is torch.instance_norm:  # its weights come before the statistics
        running_mean, running_var, weight, bias = weight, bias, running_mean, running_var
    if use_input_stats:
        return _group_norm(func, x, x.shape[1], weight, bias, eps)
    return torch.nn.functional.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)


provide(_layer_norm, "layer_norm")
provide(_rms_norm, "rms_norm")
provide(_group_norm, "group_norm")
provide(_instance_norm, "instance_norm")


# ---------------------------------------------------------------- lengths, variances


def _norm(func, x, p="fro", dim=None, keepdim=False, *, ord=None, **_):
    """Return norms of vectors, of order 1, 2 or infinity; matrix norms only where they are the same."""
    p = p if ord is None else ord
    if func.__name__ == "linalg_norm" and p not in ("fro", None) and not isinstance(dim, int) and x.ndim > 1:
        raise MissingRule("linalg_norm of a matrix")
    dims = tuple(range(x.ndim)) if dim is None else dim
    if p in ("fro", 2, None):
        return x.square().sum(dims, keepdim=keepdim).sqrt()
    if p == 1:
        return x.abs().sum(dims, keepdim=keepdim)
    if p == math.inf:
        return x.abs().amax(dims, keepdim=keepdim)
    raise MissingRule(f"{func.__name__} of order {p}")


def _normalize(x, p=2.0, dim=1, eps=1e-12, out=None):
    return x / torch.linalg.vector_norm(x, p, dim, keepdim=True).clamp_min(eps)


def _cosine_similarity(x1, x2, dim=1, eps=1e-8):
    lengths = [torch.linalg.vector_norm(z, 2, dim, keepdim=True).clamp_min(eps) for z in (x1, x2)]
    return ((x1 / lengths[0]) * (x2 / lengths[1])).sum(dim)


def _var(func, x, dim=None, unbiased=None, keepdim=False, *, correction=1):
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = correction if unbiased is None else int(unbiased)
    dims = tuple(range(x.ndim)) if dim is None else dim
    count = x.numel() / x.value.sum(dims).numel()
    return (x - x.mean(dims, keepdim=True)).square().sum(dims, keepdim=keepdim) / (count - correction)


def _std(func, x, *args, **kwargs):
    return _var(func, x, *args, **kwargs).sqrt()


def _prod(func, x, dim=None, keepdim=False, *, dtype=None):
    x = x if dtype is None else x.to(dtype)
    factors = x.reshape(-1).unbind(0) if dim is None else x.unbind(dim)
    result = factors[0]
    for factor in factors[1:]:
        result = result * factor
    return result.unsqueeze(dim) if keepdim else result


provide(_norm, "norm", "linalg_norm", "linalg_vector_norm")
provide(composite(_normalize), "normalize")
provide(composite(_cosine_similarity), "cosine_similarity")
provide(_var, "var")
provide(_std, "std")
provide(_prod, "prod")
