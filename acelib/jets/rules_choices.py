"""Maxima, order statistics and max pooling: the entry that wins is chosen by the values, and its slopes follow it.

Away from ties these are linear; at a tie one of the winners is taken, and the kink contributes 0.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from .kinds import pointwise
from .registry import provide
from .tensor import Jet

_larger = pointwise(bends=False)


def _extreme(func, x, *args, **kwargs):
    """Return ``max`` or ``min`` in their three forms, ``median``, ``mode`` or ``kthvalue`` along an axis."""
    other = args[0] if args else kwargs.get("other")
    if isinstance(other, Tensor):
        return _larger(func, x, *args, **kwargs)
    plain = func(x.value, *args, **kwargs)
    if isinstance(plain, Tensor):
        return x.reshape(-1)[(x.value.reshape(-1) == plain).nonzero()[0, 0]]
    dim = kwargs.get("dim", -1 if func.__name__ == "kthvalue" else None)
    keepdim = bool(kwargs.get("keepdim", args[-1] if args and isinstance(args[-1], bool) else False))
    numbers = [a for a in args if not isinstance(a, bool)]
    if dim is None or (func.__name__ == "kthvalue" and len(numbers) > 1):
        dim = numbers[-1]
    index = plain.indices if keepdim else plain.indices.unsqueeze(dim)
    chosen = torch.take_along_dim(x, index, dim)
    chosen = chosen if keepdim else chosen.squeeze(dim)
    return type(plain)((chosen, plain.indices))


def _amax(func, x, dim=(), keepdim=False):
    """Return ``amax`` or ``amin`` over one or more axes."""
    count = x.ndim
    dims = sorted({d % count for d in ((dim,) if isinstance(dim, int) else dim)} or range(count))
    kept = [d for d in range(count) if d not in dims]
    flat = x.permute(*kept, *dims).reshape(*[x.shape[d] for d in kept], -1)
    index = flat.value.argmax(-1, keepdim=True) if func.__name__ == "amax" else flat.value.argmin(-1, keepdim=True)
    shape = [1 if d in dims else x.shape[d] for d in range(count)]
    result = torch.take_along_dim(flat, index, -1).squeeze(-1)
    return result.reshape(shape) if keepdim else result


def _ordered(func, x, *args, **kwargs):
    """Return values and indices along an axis, of ``sort``, ``topk`` or ``cummax``."""
    plain = func(x.value, *args, **kwargs)
    position = 1 if func.__name__ == "topk" else 0
    dim = kwargs.get("dim", args[position] if len(args) > position else -1)
    return type(plain)((torch.take_along_dim(x, plain.indices, dim), plain.indices))


provide(_extreme, "max", "min", "median", "kthvalue", "mode")
provide(_amax, "amax", "amin")
provide(_ordered, "sort", "topk", "cummax", "cummin")


def _max_pool(axes: int, name: str, *, pairs: bool):
    """Return the rule of one max pooling; ``pairs`` where the function always returns values and indices."""
    pool = getattr(torch.nn.functional, f"{name}_with_indices")

    def rule(func, x, *args, return_indices=False, **kwargs):
        value, index = pool(x.value, *args, **kwargs)
        flat = index.flatten(-axes)
        picked = cast(Jet, torch.take_along_dim(x.flatten(-axes), flat, -1))  # of a jet, which torch cannot tell
        second = None if picked.second is None else picked.second.reshape(value.shape)
        result = Jet(value, picked.tangents.reshape(-1, *value.shape), second)
        return (result, index) if pairs or return_indices else result

    return rule


for _axes in (1, 2, 3):
    for _name in (f"max_pool{_axes}d", f"adaptive_max_pool{_axes}d"):
        provide(_max_pool(_axes, _name, pairs=False), _name)
        provide(_max_pool(_axes, _name, pairs=True), f"{_name}_with_indices")
