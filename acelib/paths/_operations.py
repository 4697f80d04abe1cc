"""Labels after one operation of ATen: the operations whose effect on labels is known, by name.

Everything that is not listed here may have mixed channels, so its result descends from ``ALL`` of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NONE, ALL = -1, -2  # an element that does not descend from a layer; one that descends from all of its channels

MOVES = set(
    "view _unsafe_view reshape permute transpose t slice select split split_with_sizes unsafe_split chunk unbind "
    "expand squeeze unsqueeze clone contiguous flip roll cat stack index index_select alias detach pixel_shuffle "
    "pixel_unshuffle channel_shuffle native_channel_shuffle narrow repeat gather as_strided lift_fresh diagonal".split()
)
"""Operations that put elements elsewhere: they are applied to the labels themselves."""

INDEXED = {"index", "index_select", "gather"}  # of these, integer arguments say where elements come from

ELEMENTWISE = set(
    """__and__ __ilshift__ __irshift__ __ixor__ __lshift__ __or__ __rshift__ __xor__ _conj _prelu_kernel _to_copy abs
    acos acosh add addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2
    atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil celu clamp
    clamp_max clamp_min clip conj conj_physical copysign cos cosh deg2rad digamma div divide elu eq erf erfc erfinv exp
    exp2 expm1 fix float_power floor floor_divide fmax fmin fmod frac frexp gcd ge gelu greater greater_equal gt
    hardshrink hardsigmoid hardswish hardtanh heaviside hypot i0 igamma igammac imag isfinite isinf isnan isneginf
    isposinf isreal lcm ldexp le leaky_relu lerp less less_equal lgamma log log10 log1p log2 log_sigmoid
    log_sigmoid_forward logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logit lt masked_fill maximum
    minimum mish mul multiply mvlgamma nan_to_num native_dropout ne neg negative nextafter not_equal polar polygamma
    positive pow prelu rad2deg real reciprocal relu relu6 remainder resolve_conj resolve_neg round rrelu_with_noise
    rsqrt rsub selu sgn sigmoid sign signbit silu sin sinc sinh softplus softshrink special_entr special_erfcx
    special_i0e special_i1 special_i1e special_log_ndtr special_ndtri special_spherical_bessel_j0 special_xlog1py
    special_zeta sqrt square sub subtract tan tanh threshold to tril triu true_divide trunc where xlogy""".split()
)
"""Operations whose element at one place depends on the elements at the same place alone."""

NORMS = set(
    """_batch_norm_no_update _batch_norm_with_update _fused_rms_norm _log_softmax _native_batch_norm_legit
    _native_batch_norm_legit_no_training _safe_softmax _softmax batch_norm cudnn_batch_norm layer_norm log_softmax
    miopen_batch_norm native_batch_norm native_group_norm native_layer_norm rms_norm softmax""".split()
)
"""Normalisations: each channel stays itself, although its scale depends on the others."""

REDUCES = {"mean", "sum", "amax", "amin", "max", "min", "norm", "linalg_vector_norm", "var", "std", "logsumexp"}

FACTORIES = set(
    """empty_like empty_strided full_like new_empty new_empty_strided new_full new_ones new_zeros ones_like rand_like
    randint_like randn_like zeros_like zero""".split()
)
"""Operations whose result takes the form of a tensor and none of its values."""


def merge(first: Tensor, second: Tensor) -> Tensor:
    """Return the labels of a combination: equal ones stay, ``NONE`` is overridden, different ones become ``ALL``."""
    joined = torch.where((first == second) | (second == NONE), first, torch.full_like(first, ALL))
    return torch.where(first == NONE, second, joined)


def reduce(labels: Tensor, dims: list[int], keepdim: bool = False) -> Tensor:
    """Return the label that all elements along ``dims`` share, ignoring ``NONE``; ``ALL`` where they differ."""
    if not dims:
        return labels
    big = torch.iinfo(labels.dtype).max
    low = labels.masked_fill(labels == NONE, big).amin(dims, keepdim)
    high = labels.amax(dims, keepdim)
    return _agreed(low, high)


def argument(func: Any, args: tuple, kwargs: dict, name: str, default: Any = None) -> Any:
    """Return what a call of ``func`` got for the argument ``name`` of its schema."""
    for place, one in enumerate(func._schema.arguments):
        if one.name == name:
            return args[place] if place < len(args) else kwargs.get(name, default)
    return default


def reduced(func: Any, labels: Tensor, args: tuple, kwargs: dict, result: Tensor) -> Tensor:
    """Return the labels after a reduction over the dimensions that the call names, or over all."""
    dims = argument(func, args, kwargs, "dim")
    dims = [dims] if isinstance(dims, int) else list(dims or range(labels.ndim))
    return reduce(labels, dims).reshape(result.shape)


def through(func: Any, name: str, labels: Tensor, args: tuple, kwargs: dict) -> Tensor:
    """Return the labels after a padding or an interpolation; a padded border descends from nothing.

    An interpolated element keeps a label that all its sources share: a random number for each label, interpolated as
    well, tells whether they do.
    """
    rest = list(args[1:])
    if name.startswith("constant_pad"):
        rest = [args[1], float(NONE)]
    moved = func(labels.double(), *rest, **kwargs).round().long()
    if "upsample" not in name or "nearest" in name:
        return moved
    known, place = labels.unique(return_inverse=True)
    numbers = torch.rand(len(known), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = func(numbers[place], *rest, **kwargs)
    slot = torch.searchsorted(known, moved).clamp_max(len(known) - 1)
    return torch.where((known[slot] == moved) & ((numbers[slot] - found).abs() < 1e-9), moved, ALL)


def pooled(func: Any, name: str, labels: Tensor, args: tuple, kwargs: dict, result: Tensor) -> Tensor:
    """Return the labels after a pool: the label that a window shares, ``ALL`` where its elements differ.

    Windows of two dimensions are followed; over one or three, and where their size is not given, all places along a
    dimension count as one window.
    """
    dims = next((d for d in (1, 2, 3) if f"{d}d" in name), 0)
    if not dims or labels.ndim not in (dims + 1, dims + 2) or "unpool" in name:
        return torch.full(result.shape, ALL)
    kernel = argument(func, args, kwargs, "kernel_size")
    if dims != 2 or kernel is None or "fractional" in name:
        sizes = [kernel] * dims if not isinstance(kernel, list) else kernel * (dims // len(kernel))
        over = [d for d in range(-dims, 0) if sizes[d] != 1 or result.shape[d] != labels.shape[d]]
        return reduce(labels, over, keepdim=True).expand(result.shape)
    stride = argument(func, args, kwargs, "stride") or None
    padding = argument(func, args, kwargs, "padding", 0)
    dilation = argument(func, args, kwargs, "dilation", 1)

    def windows(values: Tensor) -> Tensor:
        return torch.nn.functional.max_pool2d(values, kernel, stride, padding, dilation, ceil_mode=True)

    big = float(2**53)
    high = windows(labels.double())
    low = -windows(-labels.double().masked_fill(labels == NONE, big))
    joined = _agreed(low, high, big).long()
    height, width = result.shape[-2:]
    return joined[..., :height, :width].expand(result.shape)


def fills_by_mask(name: str, args: tuple) -> bool:
    """Return whether a call writes one number where a mask of the tensor's own shape is true: ``x[x < 0] = 0``."""
    if name != "index_put" or len(args[1]) != 1 or args[1][0] is None:
        return False
    return args[1][0].dtype == torch.bool and args[1][0].shape == args[0].shape and args[2].numel() == 1


def _agreed(low: Tensor, high: Tensor, big: float | None = None) -> Tensor:
    """Return the labels of groups from their smallest and largest one; ``low`` is ``big`` where all are ``NONE``."""
    nothing = low == (torch.iinfo(low.dtype).max if big is None else big)
    return torch.where((low != high) & ~nothing, ALL, high)
