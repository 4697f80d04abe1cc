"""Elementwise functions: activations, powers, trigonometry, comparisons, choices between two tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from .kinds import composite, constant, pointwise
from .registry import provide


def _tanh(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    first = 1 - y * y
    return first, -2 * y * first


def _sigmoid(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    first = y * (1 - y)
    return first, first * (1 - 2 * y)


provide(pointwise(_tanh), "tanh")
provide(pointwise(_sigmoid), "sigmoid")
provide(pointwise(lambda x, y: (y, y)), "exp")
provide(pointwise(lambda x, y: (2 * x, torch.full_like(x, 2))), "square")
provide(pointwise(lambda x, y: ((x > 0).to(x.dtype), None)), "relu")

# Smooth; the derivatives of the values come from automatic differentiation.
provide(
    pointwise(),
    *("gelu", "silu", "mish", "softplus", "elu", "celu", "selu", "logsigmoid", "softsign", "tanhshrink"),
    *("exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "pow", "rpow", "float_power"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "sinc"),
    *("arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh"),
    *("erf", "erfc", "erfinv", "lgamma", "digamma", "logit", "hardswish", "atan2", "hypot", "logaddexp", "logaddexp2"),
    *("xlogy", "xlog1py", "lerp", "addcmul", "addcdiv", "rdiv"),
)

# Piecewise linear: a kink contributes 0, as in every route.
provide(
    pointwise(bends=False),
    *("leaky_relu", "relu6", "hardtanh", "hardsigmoid", "hardshrink", "softshrink", "threshold", "abs"),
    *("clamp", "clamp_min", "clamp_max", "maximum", "minimum", "fmax", "fmin", "remainder", "fmod", "mod", "rrelu"),
    *("nan_to_num",),
)

# Steps, tests, shapes and whatever else has no slope.
provide(
    constant(),
    *("gt", "ge", "lt", "le", "eq", "ne", "greater", "greater_equal", "less", "less_equal", "not_equal", "equal"),
    *("sign", "sgn", "floor", "ceil", "round", "trunc", "fix", "floor_divide", "floordiv", "heaviside", "signbit"),
    *("isnan", "isinf", "isfinite", "isposinf", "isneginf", "isclose", "allclose", "all", "any", "logical_and"),
    *("logical_or", "logical_not", "logical_xor", "bool", "int", "long", "item", "tolist", "argmax", "argmin"),
    *("argsort", "nonzero", "count_nonzero", "searchsorted", "bucketize", "detach", "data", "index"),
    *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "zeros_like", "ones_like", "full_like"),
    *("empty_like", "rand_like", "randn_like", "shape", "size", "dim", "ndim", "ndimension", "numel", "nelement"),
    *("len", "dtype", "device", "layout", "stride", "storage_offset", "is_contiguous", "is_floating_point"),
    *("is_complex", "is_signed", "is_same_size", "element_size", "itemsize", "nbytes", "get_device", "names"),
    *("is_cuda", "is_cpu", "is_mps", "is_xpu", "is_nested", "is_sparse", "is_quantized", "is_leaf", "is_meta"),
    *("is_mkldnn", "is_conj", "is_neg", "requires_grad", "grad", "grad_fn", "is_nonzero", "has_names", "retains_grad"),
    *("is_inference", "is_inference_mode", "broadcast_shapes", "output_nr", "is_pinned", "is_xla", "is_vulkan"),
    *("is_sparse_csr", "is_ipu", "is_maia", "is_mtia", "is_hpu", "is_ort"),
)
provide(lambda func, x, *_, **__: x, "require_grad", "positive", "pos")
provide(lambda func, x: id(x), "hash")


_choose = pointwise(bends=False)


def _where(func, x=None, *args, condition=None, other=None):
    """Return ``x.where(condition, other)`` or ``torch.where(condition, x, other)``, which share a name."""
    x, *args = (given for given in (x, *args, condition, other) if given is not None)
    if not args:
        return torch.where(x != 0)
    condition, *rest = (x, *args) if x.dtype == torch.bool else (args[0], x, *args[1:])
    return _choose(torch.where, condition, *rest)


provide(_where, "where")
provide(composite(lambda x, weight: torch.where(x > 0, x, x * _channels(weight, x))), "prelu")


def _channels(weight: Tensor, x: Tensor) -> Tensor:
    """Return a parameter per channel, shaped to broadcast along axis 1."""
    return weight if weight.numel() == 1 or x.ndim < 2 else weight.reshape(-1, *(1,) * (x.ndim - 2))


def _glu(x, dim: int = -1):
    kept, gate = x.chunk(2, dim)
    return kept * torch.sigmoid(gate)


provide(composite(_glu), "glu")
