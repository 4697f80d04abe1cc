"""Rows that are kept in a file: tables that come block by block, and memory maps, which are there already."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from .._maps import LARGE, SLAB, RowsFile, of_array, slabs
from .._tables import as_table, frame_names, in_order, is_frame
from .reading import is_batches


class Kept(NamedTuple):
    """Rows in a file.

    Attributes:
        rows: ``(n, k)`` through a memory map.
        shape: the shape of one input.
        whole: which columns came as whole numbers, or whether all did.
        names: those of data frames, or None.
    """

    rows: Tensor
    shape: tuple[int, ...]
    whole: list[bool]
    names: tuple[str, ...] | None


def kept_in_file(X: Any, folder: str | os.PathLike | None) -> Kept | None:
    """Return the rows of X in a file, or None where it is to be held in memory.

    A memory map of floating numbers stays where it is; a large one of other numbers is written anew.

    Args:
        X: a table or an iterable of batches.
        folder: where a file is written with all rows of X; None: only where X is a large memory map.

    Raises:
        TypeError, ValueError: as ``InputDistribution.fit``, of the block that is wrong.
    """
    if folder is None:
        if (table := of_array(X)) is not None:
            _check_count(len(table))
            for block in slabs(table):
                as_table(block, "X")
            rows = table if table.ndim == 2 else of_array(X.reshape(len(X), -1))
            return None if rows is None else Kept(rows, tuple(table.shape[1:]), [False], None)
        if not (isinstance(X, np.memmap) and X.ndim > 1 and X.size >= LARGE):
            return None
        folder = tempfile.gettempdir()
    file, shape, whole, names = RowsFile(folder), (), [True], None
    for batch, came_whole, found in tensors_of(X if is_batches(X) else blocks_of(X)):
        if not file.count:
            shape, whole, names = tuple(batch.shape[1:]), came_whole, found
            if not batch[0].numel():
                raise ValueError(f"X must have at least one feature, got rows of shape {shape}: no features")
        else:
            check_shape(shape, batch)
        whole = [a and b for a, b in zip(whole, came_whole, strict=True)]
        file.add(batch.reshape(len(batch), -1))
    _check_count(file.count)
    return Kept(file.table(), shape, whole, names)


def _check_count(rows: int) -> None:
    if rows < 2:
        raise ValueError(f"X must hold at least 2 rows, got {rows}")


def blocks_of(X: Any) -> Iterator[Any]:
    """Yield a table block by block, in the order of its rows.

    Args:
        X: a tensor, array, memory map or data frame, or what is read when it is asked for: a table of Dask, or an array
            of h5py or zarr.
    """
    if hasattr(X, "__dask_graph__"):
        frame = hasattr(X, "columns")
        table = X if frame else X.rechunk({axis: -1 for axis in range(1, X.ndim)})
        parts, number = (table.partitions, table.npartitions) if frame else (table.blocks, table.numblocks[0])
        for place in range(number):
            yield parts[place].compute()
    elif len(getattr(X, "shape", ())) > 0:
        size = max(1, SLAB // max(1, int(np.prod(X.shape[1:]))))
        for start in range(0, X.shape[0], size):
            yield X.iloc[start : start + size] if hasattr(X, "iloc") else X[start : start + size]
    else:
        yield X


def tensors_of(batches: Iterable[Any]) -> Iterator[tuple[Tensor, list[bool], tuple[str, ...] | None]]:
    """Yield the batches as tensors, which columns are whole, and names; columns of frames in the order of the first."""
    names: tuple[str, ...] | None = None
    for given in batches:
        batch: Any = given[0] if isinstance(given, tuple | list) and given else given  # (inputs, targets) of a loader
        if isinstance(batch, Mapping):
            raise TypeError(
                f"X must hold batches of inputs, got dictionaries with {list(batch)[:10]}; name the entry by "
                "InputDistribution.fit(X, key=...)"
            )
        if is_frame(batch):
            names = names or frame_names(batch)
            batch = in_order(batch, names, "X")
        tensor, whole = as_table(batch, "X (one batch)")
        if tensor.ndim < 2:
            raise ValueError(f"X must hold batches of shape (b, ...), got {tuple(tensor.shape)}")
        if tensor.shape[0]:
            yield tensor, whole, names


def check_shape(shape: tuple[int, ...], batch: Tensor) -> None:
    """Raise a ValueError where a batch holds inputs of another shape than those before."""
    if tuple(batch.shape[1:]) != shape:
        raise ValueError(f"X must hold batches of one shape, got {shape} and {tuple(batch.shape[1:])}: they differ")
