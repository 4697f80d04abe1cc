"""Operations that move numbers about or sum them: views, indexing, joining, padding, pooling by averages, writing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kinds import image, lift, linear, with_value
from .lazy import Shared
from .registry import provide
from .tensor import Jet, MissingRule, jets_in

_vmapped = linear(numbers=False)


def _reshape(func, x, *args, **kwargs):
    """Return ``view`` and its relatives: only the shape of the result matters for the tangents."""
    value = func(x.value, *args, **kwargs)
    rest = value.shape[1:]
    if isinstance(x.kept_tangents, Shared) and value.ndim and value.shape[0] == len(x):
        return image(x, value, lambda rows: rows.reshape(len(rows), *rest))
    tangents = x.tangents.reshape(-1, *value.shape)
    return Jet(value, tangents, None if x.second is None else x.second.reshape(value.shape))


def _copy(func, x, *args, **kwargs):
    """Return conversions, dropout in evaluation mode, and what else acts on each number alone, linearly."""
    value = func(x.value, *args, **kwargs)
    if not value.is_floating_point():
        return value
    return image(x, value, lambda rows: func(rows, *args, **kwargs))


def _float(func, x, *args, **kwargs):
    return float(x.value) if func.__name__ == "__float__" else _copy(func, x, *args, **kwargs)


def _view(func, x, *args, **kwargs):
    if args and isinstance(args[0], torch.dtype):
        raise MissingRule("view with a dtype")
    return _reshape(func, x, *args, **kwargs)


def _dropout(func, x, p=0.5, training=True, **_):
    if training and p > 0:
        raise MissingRule(f"{func.__name__} in training mode")
    return x


def _like(func, x, other):
    """Return ``view_as`` and its relatives: of the second tensor only the shape matters."""
    other = other.value if isinstance(other, Jet) else other
    if not isinstance(x, Jet):
        return func(x, other)
    return x.expand(other.shape) if func.__name__ == "expand_as" else _reshape(func, x, other)


provide(_view, "view")
provide(_like, "view_as", "reshape_as", "expand_as")
provide(_reshape, "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel")
provide(_float, "float")
provide(_copy, "to", "double", "half", "bfloat16", "type", "clone", "contiguous", "cpu", "cuda")
provide(lambda func, x, other: x.to(other.dtype), "type_as")
provide(_dropout, "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
provide(lambda func, x, memo=None: x.clone(), "deepcopy")
provide(lambda func, x: iter(x.unbind(0)), "iter")

provide(
    _vmapped,
    *("transpose", "permute", "movedim", "t", "T", "mT", "adjoint", "expand", "broadcast_to", "repeat"),
    *("tile", "repeat_interleave", "flip", "fliplr", "flipud", "reversed", "roll", "rot90", "sum", "mean", "nansum"),
    *("nanmean", "cumsum", "diff", "narrow", "select", "index_select", "gather", "take_along_dim", "tril", "triu"),
    *("diagonal", "diag", "diag_embed", "trace", "split", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit"),
    *("unbind", "unfold", "fold", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d"),
    *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "interpolate", "upsample", "pixel_shuffle", "pixel_unshuffle"),
    *("channel_shuffle", "split_with_sizes", "unsafe_chunk", "unsafe_split", "atleast_2d", "atleast_3d"),
    *("cat", "stack", "hstack", "vstack", "dstack", "row_stack"),
)
provide(linear(0, 3), "index_add", "index_copy", "scatter_add")
provide(linear(0, 1), "select_scatter", "slice_scatter", "diagonal_scatter")


def _block_diag(func, *blocks):
    return linear(*range(len(blocks)))(func, *blocks)


def _scatter(func, x, dim, index, src=None, *, value=None, reduce=None):
    """Return ``scatter`` of a tensor or a number; it is no linear operation where it multiplies."""
    src = value if src is None else src
    options = {} if reduce is None else {"reduce": reduce}
    if reduce != "multiply":
        return _scattered(func, x, dim, index, src, **options)
    if isinstance(src, Jet):
        raise MissingRule("scatter that multiplies by something that varies")
    return _vmapped(func, x, dim, index, src, **options)


_scattered = linear(0, 3)
provide(_block_diag, "block_diag")
provide(lambda func, tensors: torch.cat([z if z.ndim > 1 else z[:, None] for z in tensors], 1), "column_stack")
provide(_scatter, "scatter")


def _pad(func, x, pad, mode="constant", value=None):
    """Return the padded jet; a constant pads the tangents with 0."""
    plain = func(x.value, pad, mode=mode, value=value)
    return with_value(_vmapped(lambda rows: func(rows, pad, mode=mode, value=None), x), plain)


def _masked_fill(func, x, mask, value):
    return torch.where(mask, value, x)


provide(_pad, "pad")
provide(_masked_fill, "masked_fill")


# ---------------------------------------------------------------- indexing


def _plain_index(index):
    """Return the index as a tuple, masks turned into positions (a mask's result has no fixed shape)."""
    parts = []
    for part in index if isinstance(index, tuple) else (index,):
        mask = isinstance(part, Tensor) and part.dtype == torch.bool and part.ndim
        parts += part.nonzero(as_tuple=True) if mask else [part]
    return tuple(parts)


def _getitem(func, x, index):
    if jets_in(index) or not isinstance(x, Jet):
        raise MissingRule("indexing with a varying index")
    place = _plain_index(index)
    return with_value(_vmapped(lambda z: z[place], x), x.value[index])


def _setitem(func, x, index, source):
    """Return x with x[index] = source, found by numbering the entries, which copes with every kind of index."""
    value = (x.value if isinstance(x, Jet) else x).clone()
    plain = source.value if isinstance(source, Jet) else source
    value[index] = plain
    where = torch.arange(value.numel(), device=value.device).reshape(value.shape)[index]
    count = len((x if isinstance(x, Jet) else source).tangents)
    tangents = value.new_zeros(count, value.numel())
    if isinstance(x, Jet):
        tangents.copy_(x.tangents.reshape(count, -1))
    fresh = lift(source.tangents, where.ndim).expand(count, *where.shape) if isinstance(source, Jet) else None
    tangents[:, where.flatten()] = value.new_zeros(()) if fresh is None else fresh.flatten(1)
    old, new = (z.second if isinstance(z, Jet) else None for z in (x, source))
    second = None
    if old is not None or new is not None:
        second = torch.zeros_like(value) if old is None else old.clone()
        second[index] = 0 if new is None else new
    return Jet(value, tangents.reshape(count, *value.shape), second)


provide(_getitem, "getitem")
provide(_setitem, "setitem")


def _overwritten(func, x, source: Any = 0, *_, value: Any = None, src: Any = None, other: Any = None, **__):
    """Return the target of ``copy_``, ``zero_`` or ``fill_``, whose old contents do not matter."""
    named = [given for given in (value, src, other) if given is not None]
    return torch.zeros_like(x.value if isinstance(x, Jet) else x) + (named[0] if named else source)


provide(_overwritten, "copy", "zero", "fill")
