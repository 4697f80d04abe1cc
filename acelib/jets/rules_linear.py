"""Layers with weights, products and sums: linear, convolution, batch norm in evaluation mode, + − · / and matmul.

Where only the input varies, these act row by row and carry the shared form of the tangents (``Shared``) along, so that
Normalize, Flatten and the first linear or convolutional layer are paid once for all interventions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .kinds import image, lift, linear, multilinear, plus, pointwise, with_value
from .lazy import Shared
from .registry import provide
from .tensor import Jet, MissingRule

_vmapped, _product = linear(numbers=False), multilinear()


# ---------------------------------------------------------------- weights


def _linear(func, x, weight, bias=None):
    if isinstance(weight, Jet) or isinstance(bias, Jet) or x.ndim < 2:
        product = x @ weight.mT if weight.ndim > 1 else (x * weight).sum(-1)
        return product if bias is None else product + bias
    return image(x, func(x.value, weight, bias), lambda rows: F.linear(rows, weight))


def _convolution(func, x, weight, bias=None, *args, **kwargs):
    if isinstance(weight, Jet) or isinstance(bias, Jet):
        raise MissingRule(f"{func.__name__} with a varying weight or bias")

    def slope(rows: Tensor) -> Tensor:
        return func(rows, weight, None, *args, **kwargs)

    value = func(x.value, weight, bias, *args, **kwargs)
    return image(x, value, slope) if x.ndim == weight.ndim else with_value(_vmapped(slope, x), value)


def _batch_norm(func, x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5, *_):
    """Return batch norm in evaluation mode: a constant scale and shift per channel."""
    if func is torch.batch_norm:  # its weights come before the statistics
        running_mean, running_var, weight, bias = weight, bias, running_mean, running_var
    if training or running_mean is None or running_var is None:
        raise MissingRule("batch_norm with the statistics of the batch")
    shape = (-1, *(1,) * (x.ndim - 2))
    scale = torch.rsqrt(running_var + eps) if weight is None else weight * torch.rsqrt(running_var + eps)
    shift = -running_mean * scale if bias is None else bias - running_mean * scale
    return x * scale.reshape(shape) + shift.reshape(shape)


provide(_linear, "linear")
provide(_convolution, *(f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)))
provide(_batch_norm, "batch_norm")


def _matmul(func, a, b):
    if isinstance(b, Jet) or a.ndim < 2 or b.ndim > 2:
        return _product(func, a, b)
    return image(a, func(a.value, b), lambda rows: torch.matmul(rows, b))


provide(_matmul, "matmul", "mm")
provide(lambda func, a, b: torch.matmul(b, a), "rmatmul")
provide(_product, "bmm", "mv", "dot", "inner", "outer", "ger", "vdot", "linalg_vecdot", "kron", "cross", "linalg_cross")
provide(_product, "tensordot")
provide(lambda func, equation, *operands, **_: _einsum(equation, operands), "einsum")


def _einsum(equation: str, operands: tuple):
    factors = operands[0] if isinstance(operands[0], (list, tuple)) else operands
    rule = multilinear(*range(1, len(factors) + 1))
    return rule(torch.einsum, equation, *factors)


def _bilinear(func, a, b, weight, bias=None):
    product = torch.einsum("...i,oij,...j->...o", a, weight, b)
    return product if bias is None else product + bias


def _addmm(func, x, a, b, *, beta=1, alpha=1):
    return beta * x + alpha * torch.matmul(a, b)


provide(_bilinear, "bilinear")
provide(_addmm, "addmm", "baddbmm", "addmv")


# ---------------------------------------------------------------- products and sums, with broadcasting


def _broadcasts_over_rows(constant, jet: Jet) -> bool:
    """Return whether a constant is the same for every row, so that it acts on shared tangents."""
    if not isinstance(constant, Tensor) or constant.ndim < jet.ndim:
        return True
    return constant.ndim == jet.ndim and constant.shape[0] == 1


def _scaled(func, jet: Jet, constant) -> Jet:
    """Return jet · constant or jet / constant."""
    value = func(jet.value, constant)
    if isinstance(jet.kept_tangents, Shared) and value.shape == jet.shape and _broadcasts_over_rows(constant, jet):
        return image(jet, value, lambda rows: func(rows, constant))
    second = None if jet.second is None else func(jet.second, constant)
    return Jet(value, func(lift(jet.tangents, value.ndim), constant), second)


def _mul(func, a, b):
    if not isinstance(b, Jet):
        return _scaled(torch.mul, a, b)
    if not isinstance(a, Jet):
        return _scaled(torch.mul, b, a)
    value = a.value * b.value
    left, right = lift(a.tangents, value.ndim), lift(b.tangents, value.ndim)
    second = 2 * (left * right).sum(0)
    for one, other in ((a, b.value), (b, a.value)):
        second = second if one.second is None else second.addcmul_(one.second.expand_as(second), other)
    return Jet(value, left * b.value + right * a.value, second)


def _div(func, a, b, *, rounding_mode=None):
    if rounding_mode is not None:
        plain = [z.value if isinstance(z, Jet) else z for z in (a, b)]
        return torch.div(*plain, rounding_mode=rounding_mode)
    if not isinstance(b, Jet):
        return _scaled(torch.div, a, b)
    return pointwise()(torch.div, a, b)


def _add(func, a, b, *, alpha=1):
    b = b if alpha == 1 else b * alpha
    if not isinstance(a, Jet) or not isinstance(b, Jet):
        jet, constant = (a, b) if isinstance(a, Jet) else (b, a)
        value = torch.add(jet.value, constant)
        if value.shape == jet.shape:
            return Jet(value, jet.kept_tangents, jet.second)
        return Jet(value, _spread(jet.tangents, value), None if jet.second is None else jet.second.expand_as(value))
    value = a.value + b.value
    tangents = lift(a.tangents, value.ndim) + lift(b.tangents, value.ndim)
    second = plus(a.second, b.second)
    return Jet(value, tangents, None if second is None else second.expand_as(value))


def _spread(tangents: Tensor, value: Tensor) -> Tensor:
    """Return tangents broadcast to the shape of the value."""
    return lift(tangents, value.ndim).expand(-1, *value.shape)


def _sub(func, a, b, *, alpha=1):
    return _add(torch.add, a, b * -alpha if isinstance(b, Tensor) and b.dtype != torch.bool else -alpha * b)


def _neg(func, x):
    return image(x, -x.value, torch.neg)


provide(_mul, "mul")
provide(_div, "div")
provide(_add, "add")
provide(_sub, "sub")
provide(lambda func, a, b, **options: _sub(func, b, a, **options), "rsub")
provide(_neg, "neg")
