"""Rows that differ from each other in a few columns only: the first layer of a row average is computed once.

Eq. 2 averages the model over data rows with the columns of one feature overwritten. A first linear layer then computes
W x_b(α) = W x_b(0) + W_i α: b + v products for b rows and v values, instead of b · v. Until the first operation that is
not affine row by row, the rows stay in that form; then they are written out, and what follows sees a plain tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..jets.registry import plain_name


class _NotShared(Exception):
    """The model does something to its input that needs the rows written out from the start."""


class Rows(Tensor):
    """The rows base[b] + shift[v], as a tensor ``(v · b, ...)`` that is written out only when it must be."""

    @staticmethod
    def __new__(cls, base: Tensor, shift: Tensor, tied: bool = False):
        shape = (len(shift) * len(base), *base.shape[1:])
        return Tensor._make_wrapper_subclass(cls, shape, dtype=base.dtype, device=base.device, requires_grad=False)

    def __init__(self, base: Tensor, shift: Tensor, tied: bool = False):
        # tied: another tensor shares this memory, as far as the model may know.
        self._fixed, self._moving, self._tied, self._dense = base, shift, tied, None

    def written(self) -> Tensor:
        """Return the rows as a plain tensor."""
        if self._dense is None:
            self._dense = (self._moving[:, None] + self._fixed).flatten(0, 1)
        return self._dense

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name, in_place = plain_name(func)
        if name in _METADATA:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        first = args[0] if args else None
        in_place = in_place or bool(kwargs.get("inplace"))
        if in_place and isinstance(first, Rows) and first._tied:
            raise _NotShared
        rule = _AFFINE.get(name)
        if (
            rule
            and isinstance(first, Rows)
            and first._dense is None
            and not in_place
            and not _rows_in(args[1:], kwargs)
        ):
            answer = rule(func, first, *args[1:], **kwargs)
            if answer is not None:
                return answer
        answer = func(*_written(args), **_written(kwargs))
        if isinstance(first, Rows) and first._tied and _shares(answer, first.written()):
            raise _NotShared  # writing to this view would have to reach the other tensor
        return answer

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise _NotShared


_METADATA = {
    "shape",
    "size",
    "dim",
    "ndim",
    "numel",
    "len",
    "dtype",
    "device",
    "is_floating_point",
    "requires_grad",
    "is_cuda",
    "is_nested",
    "layout",
    "nelement",
    "ndimension",
    "get_device",
    "is_complex",
}


def _shares(answer: Any, memory: Tensor) -> bool:
    """Return whether a result is a view of this memory."""
    parts = answer if isinstance(answer, (tuple, list)) else (answer,)
    place = memory.untyped_storage().data_ptr()
    return any(isinstance(part, Tensor) and part.untyped_storage().data_ptr() == place for part in parts)


def _rows_in(*trees: Any) -> bool:
    """Return whether there is a Rows among the arguments."""
    return any(isinstance(leaf, Rows) for tree in trees for leaf in (tree.values() if isinstance(tree, dict) else tree))


def _written(tree: Any) -> Any:
    """Return the arguments with all rows written out."""
    if isinstance(tree, Rows):
        return tree.written()
    if type(tree) in (tuple, list):
        return type(tree)(_written(item) for item in tree)
    return {key: _written(item) for key, item in tree.items()} if isinstance(tree, dict) else tree


# ---------------------------------------------------------------- affine operations, row by row


def _linear(func, x, weight, bias=None):
    return Rows(func(x._fixed, weight, bias), F.linear(x._moving, weight)) if len(x.shape) > 1 else None


def _convolution(func, x, weight, bias=None, *args, **kwargs):
    if x._fixed.ndim != weight.ndim:
        return None
    return Rows(func(x._fixed, weight, bias, *args, **kwargs), func(x._moving, weight, None, *args, **kwargs))


def _reshape(func, x, *args, **kwargs):
    shape = func(torch.empty(x.shape, device="meta"), *args, **kwargs).shape
    if not shape or shape[0] != x.shape[0]:
        return None
    x._tied = True
    return Rows(*(z.reshape(len(z), *shape[1:]) for z in (x._fixed, x._moving)), tied=True)


def _same_for_all(x, constant) -> bool:
    if not isinstance(constant, Tensor):
        return True
    if constant.ndim > x._fixed.ndim or (constant.ndim == x._fixed.ndim and constant.shape[0] != 1):
        return False
    return torch.broadcast_shapes(constant.shape, (1, *x.shape[1:])) == (1, *x.shape[1:])


def _scale(func, x, constant):
    return Rows(func(x._fixed, constant), func(x._moving, constant)) if _same_for_all(x, constant) else None


def _move(func, x, constant, **options):
    return Rows(func(x._fixed, constant, **options), x._moving) if _same_for_all(x, constant) else None


def _itself(func, x, *args, **kwargs):
    """Return the rows after a conversion."""
    base = func(x._fixed, *args, **kwargs)
    x._tied = True
    return Rows(base, func(x._moving, *args, **kwargs), tied=True) if base.is_floating_point() else None


def _dropout(func, x, p=0.5, training=True, **_):
    return None if training else x


_AFFINE: dict[str, Callable] = {
    "linear": _linear,
    "mul": _scale,
    "div": _scale,
    "add": _move,
    "sub": _move,
    "dropout": _dropout,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("reshape", "view", "flatten", "unflatten", "unsqueeze", "squeeze"), _reshape),
    **dict.fromkeys(("to", "double", "contiguous"), _itself),
}


def shared_rows(
    model: Callable, rows: Tensor, columns: tuple[int, ...], values: Tensor, *, shape: tuple[int, ...] | None = None
) -> Tensor:
    """Return the model's output for every value and row, ``(v, b, outputs)``: row b with ``columns`` set to value v.

    The numbers are those of the written-out rows to rounding (sums are taken in another order); the gain is the first
    linear or convolutional layer. v · b rows pass through the model at once.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``, row by row.
        rows: ``(b, k)``.
        columns: the flattened coordinates to set.
        values: ``(v, len(columns))``.
        shape: the shape of one input as the model wants it; default ``(k,)``.

    References:
        Chattopadhyay et al., ICML 2019, Eq. 2.

    Example:
        >>> from acelib.expectation.first_layer import shared_rows
        >>> rows, values = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0], [5.0]])
        >>> answer = shared_rows(lambda x: x.prod(1, keepdim=True), rows, (0,), values)
        >>> assert answer[:, :, 0].tolist() == [[0.0, 0.0], [10.0, 20.0]]
    """
    at = list(columns)
    base, shift = rows.detach().clone(), rows.new_zeros(len(values), rows.shape[1])
    base[:, at], shift[:, at] = 0, values.to(rows.dtype)
    form = tuple(shape) if shape is not None else (rows.shape[1],)
    with torch.no_grad():
        try:
            out = model(Rows(base.reshape(-1, *form), shift.reshape(-1, *form)))
            out = out.written() if isinstance(out, Rows) else out
        except (_NotShared, RuntimeError, TypeError):  # a real error is raised again by the written-out rows
            out = model((shift[:, None] + base).reshape(-1, *form))
    return out.detach().reshape(len(values), len(rows), *out.shape[1:])
