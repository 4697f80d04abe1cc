"""What users give: one table or a stream of batches, weights of the rows, and inputs to be explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._maps import slab_rows, slabs
from .._names import as_list, ordered
from .._tables import as_float_tensor, is_frame
from .._warnings import ApproximationWarning, warn_caller
from .base import Feature, InputModel

COMPARED = 10_000  # rows in which values are counted before and after a change of the dtype
LOST = 0.01  # of a feature's distinct values, beyond which a change of the dtype is told


def is_batches(X: Any) -> bool:
    """Return whether X is an iterable of batches rather than one table.

    Raises:
        TypeError: for several inputs of one model, a data set without batches, or a mapping of columns.
        ValueError: for a list of equal arrays, which may be inputs as well as batches.
    """
    if isinstance(X, Dataset):
        raise TypeError(f"X must be a table or an iterable of batches, got {type(X).__name__}; use DataLoader(X, 256)")
    if isinstance(X, Mapping):
        raise TypeError(
            f"X must be a table or an iterable of batches, got {type(X).__name__}; use pandas.DataFrame(X), or name "
            "the entry that holds the inputs by key="
        )
    if hasattr(X, "__dataframe__") and not is_frame(X):
        raise TypeError(f"X must be a table or an iterable of batches, got {type(X).__name__}; use X.to_pandas()")
    if isinstance(X, Tensor | np.ndarray | str | bytes) or hasattr(X, "__array__") or is_frame(X):
        return False
    if not isinstance(X, list | tuple):
        return isinstance(X, Iterable) and not hasattr(X, "nnz")
    tables: list[Any] = [one for one in X if isinstance(one, Tensor | np.ndarray) or is_frame(one)]
    if isinstance(X, tuple) and tables and len(X) > 1:
        raise TypeError(
            f"X must be one table, or a list or iterator of batches, got a tuple of {len(X)}; for a model of several "
            "inputs put them side by side, torch.cat([a.flatten(1), b.flatten(1)], 1), and split them inside the model"
        )
    shapes = [(len(one), len(one.columns)) if is_frame(one) else tuple(one.shape) for one in tables]
    if not shapes or len(shapes[0]) < 2:
        return False
    if len(set(shapes)) == 1 < len(shapes) and shapes[0][0] > 1:
        _check_equal(shapes[0], len(shapes), is_frame(tables[0]))
    return True


def entry_of(X: Any, key: Any) -> Any:
    """Return the entry of a dictionary, or an iterator over that of each batch.

    Raises:
        TypeError: if X holds no dictionaries.
        ValueError: if one has no such entry.
    """

    def entry(one: Any) -> Any:
        if not isinstance(one, Mapping):
            raise TypeError(f"X must hold dictionaries where key is given, got {type(one).__name__}; leave key out")
        if key not in one:
            raise ValueError(f"key must be one of the entries {list(one)[:10]} of X, got {key!r}")
        return one[key]

    if isinstance(X, Mapping):
        return entry(X)
    if isinstance(X, Dataset):
        return X  # the sentence about data sets follows
    if not isinstance(X, Iterable) or isinstance(X, str | bytes | Tensor | np.ndarray) or is_frame(X):
        return entry(X)
    return (entry(batch) for batch in X)


def _check_equal(shape: tuple[int, ...], count: int, named: bool) -> None:
    """Raise or warn where a list of equal arrays may be one of inputs, such as images, as well as one of batches."""
    says = "use torch.stack(X) if each is one input, iter(X) if each is a batch of rows"
    if not named and (len(shape) == 3 or (len(shape) == 2 and shape[0] == shape[1])):
        raise ValueError(f"X must tell inputs from batches, got a list of {count} arrays of shape {shape}; {says}")
    if not named and len(shape) == 2 and shape[1] > 1:
        warn_caller(
            f"X is a list of {count} arrays of shape {shape}, read as batches of rows of {shape[1]} features; {says}",
            UserWarning,
        )


def as_weights(weights: Any, X: Any, table: Tensor) -> Tensor | None:
    """Return weights ``(n,)`` of the rows, float64 on the CPU, with a mean of 1; None where all are the same.

    Args:
        weights: what the user gave, or None.
        X: what the user gave as table; the index of a frame is compared with that of weights.
        table: ``(n, ...)`` the table as a tensor.

    Raises:
        ValueError: for another number of weights, negative ones, fewer than two positive ones, or another order.
    """
    if weights is None:
        return None
    w = as_float_tensor(weights, "weights", dtype=torch.float64, device="cpu")
    if w.shape != (len(table),):
        raise ValueError(f"weights must hold one number per row, ({len(table)},), got {tuple(w.shape)}")
    if bool((w < 0).any()) or int((w > 0).sum()) < 2:
        raise ValueError(
            f"weights must be at least 0, and positive for two rows or more, got {int((w < 0).sum())} negative and "
            f"{int((w > 0).sum())} positive ones"
        )
    index, own = getattr(X, "index", None), getattr(weights, "index", None)
    if hasattr(index, "equals") and hasattr(own, "equals") and not index.equals(own):  # type: ignore[union-attr]
        raise ValueError(
            "weights must have the index of X, got another one; use weights.loc[X.index], or weights.to_numpy() to go "
            "by position"
        )
    if bool((w == w[0]).all()):
        return None
    w = w / w.max()  # first, so that the sum of large ones is finite
    return w / w.mean()


def as_inputs(x: Any, inputs: InputModel) -> Tensor:
    """Return inputs of a model, ``(*shape)`` or ``(batch, *shape)``, checked, the columns of a frame in order.

    Raises:
        ValueError: for another shape.
    """
    like, shape = inputs.mean, tuple(inputs.shape)
    by_name = ordered(x, inputs.feature_names)
    tensor = as_float_tensor(by_name, "x", dtype=like.dtype, device=like.device)
    if by_name is not x and len(shape) > 1:  # a frame is flat
        tensor = tensor.reshape(*tensor.shape[:-1], *shape)
    if tuple(tensor.shape) != shape and tuple(tensor.shape[1:]) != shape:
        sizes = ", ".join(map(str, shape))
        raise ValueError(f"x must have shape ({sizes}) or (batch, {sizes}), got {tuple(tensor.shape)}")
    return tensor


def columns_of(features: Sequence[Feature] | None, inputs: InputModel) -> list[int]:
    """Return the columns of single inputs, given by names or indices; None means all that are not pinned.

    Raises:
        ValueError: for unknown inputs, several in one, or none.
    """
    if features is None:
        columns = [c for c in range(inputs.num_features) if c not in inputs.fixed]
        if not columns:
            raise ValueError("inputs must leave at least one input free, got all of them pinned by do({...})")
        return columns
    given = [inputs.feature(f) for f in as_list(features)]
    if not given or any(len(c) != 1 for c in given):
        raise ValueError(f"features must be a list of single inputs, at least one, got {features!r}")
    return [c[0] for c in given]


def warn_merged(before: Tensor, after: Tensor, names: tuple[str, ...]) -> None:
    """Warn of the features whose distinct values fall together in another dtype, by name.

    Of whole numbers any that fall together are told; of others, which lose a few by chance, more than 1 % in the first
    10,000 rows.

    Args:
        before: ``(n, k)`` rows.
        after: the same rows after the change.
        names: k names.
    """
    if torch.promote_types(before.dtype, after.dtype) == after.dtype:
        return
    found = torch.zeros(before.shape[1], dtype=torch.bool, device=before.device)
    for old, new in zip(slabs(before), slabs(after, slab_rows(before)), strict=True):
        found |= (new.to(old.device).to(old.dtype) != old).any(0)
    changed = found.nonzero()[:, 0].tolist()
    lost = []
    for column in changed:
        x, y = before[:, column], after[:, column]
        whole = bool((x == x.round()).all())
        x, y = (x, y) if whole else (x[:COMPARED], y[:COMPARED])
        had, has = len(x.unique()), len(y.unique())
        if has < had * (1.0 if whole else 1 - LOST):
            lost.append(f"{names[column]} ({had} values become {has})")
    if lost:
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        warn_caller(
            f"precision is lost in {after.dtype}, where distinct values fall together: {', '.join(lost[:5])}{more}; "
            "subtract an origin from them first, or keep the dtype of the data",
            ApproximationWarning,
        )
