"""Tables that do not fit into memory: rows in a file, read through a memory map as a tensor like any other.

The operating system brings in what is read and lets go of it again, so that every estimator works on such rows
unchanged. What is done block by block says so to the system (``slabs``), and what would make a second table of the
same size (``rewritten``, ``taken``) makes a second file.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SLAB = 2**21  # numbers of a block: 16 MB in float64
LARGE = 2**24  # numbers from which a copy of rows goes to a file too
_DTYPES = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}


@dataclass(frozen=True)
class Place:
    """Where a table lies: a file, and which of its bytes.

    Attributes:
        path: of the file.
        dtype: of its numbers.
        shape: of the table.
        offset: bytes before the first number.
        stamp: size and time of the last change of the file when it was opened.
        folder: where further files of the same kind go; None where it is not ours.
    """

    path: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    stamp: tuple[int, int]
    folder: str | None

    def check(self) -> None:
        """Raise a RuntimeError where the file is no longer what it was."""
        if _stamp(self.path) != self.stamp:
            raise RuntimeError(
                f"rows must stay as they were when they were read, got a file that has changed since: {self.path}; fit "
                "the input model again"
            )


class _Opened:
    """A map that is open: its memory, and where it lies."""

    def __init__(self, place: Place, memory: mmap.mmap) -> None:
        self.place, self.memory = place, weakref.ref(memory)

    def release(self, start: int, stop: int) -> None:
        """Let the system take back the memory of some bytes of the file, which can be read again."""
        memory, page = self.memory(), mmap.PAGESIZE
        first, last = (start // page) * page, -(-stop // page) * page
        if memory is not None and hasattr(memory, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
            memory.madvise(mmap.MADV_DONTNEED, first, min(last, len(memory)) - first)


_open: dict[int, _Opened] = {}  # by the address of the table's first number


def opened(place: Place, *, own: bool = False) -> Tensor:
    """Return a table in a file as a tensor; nothing of it is read yet.

    Args:
        place: where it lies.
        own: whether the file is removed when nobody in this process uses the table any more.

    Raises:
        RuntimeError: if the file is not there, or has changed.
    """
    try:
        with open(place.path, "rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # a write would stay in memory
    except OSError as error:
        raise RuntimeError(
            f"rows must be in a file that every worker sees, got {place.path}, which cannot be opened "
            f"({type(error).__name__}); name a folder that all of them share by InputDistribution.fit(X, folder=...)"
        ) from error
    place.check()
    count = int(np.prod(place.shape))
    array = np.frombuffer(memory, _DTYPES[place.dtype], count, place.offset)
    table = torch.from_numpy(array).reshape(place.shape)
    address = table.data_ptr()
    _open[address] = _Opened(place, memory)
    weakref.finalize(memory, _closed, address, place.path if own else None, os.getpid())
    return table


def _closed(address: int, path: str | None, process: int) -> None:
    """Forget a map, and remove its file where it is this process's own."""
    _open.pop(address, None)
    if path is not None and os.getpid() == process:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _known(table: Tensor | None) -> _Opened | None:
    """Return the map that a whole table lies in, or None for one in memory, or for a part of one."""
    if table is None or table.device.type != "cpu" or not table.is_contiguous():
        return None
    known = _open.get(table.data_ptr())
    if known is None or known.place.shape != tuple(table.shape) or known.place.dtype != table.dtype:
        return None
    return known


def place_of(table: Tensor | None) -> Place | None:
    """Return where a whole table lies, or None for one in memory, or for a part of one."""
    known = _known(table)
    return None if known is None else known.place


def of_array(array: Any) -> Tensor | None:
    """Return an array or tensor that lies in a file as a map of its own; None for one in memory, or of another kind.

    It must hold floating numbers row after row.
    """
    if isinstance(array, Tensor):
        path = getattr(array.untyped_storage(), "filename", None) if array.layout == torch.strided else None
        kind, offset = array.dtype, int(array.storage_offset()) * array.element_size()
        plain = array.is_contiguous()
    else:
        if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap | np.memmap):
            return None
        path, kind = array.filename, {np.dtype(v): k for k, v in _DTYPES.items()}.get(array.dtype)
        plain, whole = array.flags.c_contiguous, array
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        at = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        offset = whole.offset + at
    if path is None or kind not in _DTYPES or not plain or array.ndim < 2 or 0 in array.shape:
        return None
    path = os.path.abspath(path)
    return opened(Place(path, kind, tuple(array.shape), offset, _stamp(path), None))


class RowsFile:
    """A file that rows are written to, block by block.

    Args:
        folder: where it lies; it is made where it is missing.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = RowsFile(folder)
        ...     for block in torch.arange(12.0).reshape(6, 2).split(4):
        ...         file.add(block)
        ...     table = file.table()
        ...     assert table.tolist() == torch.arange(12.0).reshape(6, 2).tolist() and place_of(table) is not None
        ...     assert place_of(table[1:]) is None and place_of(table.clone()) is None
        ...     del table
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.folder = os.path.abspath(folder)
        self.count, self.width, self.dtype = 0, 0, torch.float32
        self._begin()

    def _begin(self) -> None:
        """Open a new file, which is removed with this object unless it is finished."""
        number, self.path = tempfile.mkstemp(prefix="acelib-", suffix=".rows", dir=self.folder)
        self.file = os.fdopen(number, "wb")
        self._gone = weakref.finalize(self, _unfinished, self.file, self.path)

    def add(self, rows: Tensor) -> None:
        """Write rows ``(b, k)``; where they need a wider dtype, those before them are written anew.

        Raises:
            OSError: if the disk is full.
        """
        dtype = rows.dtype if rows.dtype in _DTYPES else torch.promote_types(rows.dtype, torch.float32)
        if not self.count:
            self.width, self.dtype = rows.shape[1], dtype
        elif (wider := torch.promote_types(self.dtype, dtype)) != self.dtype:
            self._widen(wider)
        self._write(rows)
        self.count += len(rows)

    def _widen(self, dtype: torch.dtype) -> None:
        """Write what is there once more, in a wider dtype."""
        self.file.flush()
        narrow, remove = opened(self._place()), self._gone
        self.dtype = dtype
        self._begin()
        for rows in slabs(narrow):
            self._write(rows)
        del narrow
        remove()

    def _write(self, rows: Tensor) -> None:
        with self._room():
            self.file.write(rows.detach().to("cpu", self.dtype).contiguous().numpy().data)

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        """Say which folder is full where one is."""
        try:
            yield
        except OSError as error:
            why = error.strerror or error
            message = f"the rows could not be written to {self.folder} ({why}); name a folder with more room"
            raise OSError(error.errno, message) from error

    def _place(self) -> Place:
        return Place(self.path, self.dtype, (self.count, self.width), 0, _stamp(self.path), self.folder)

    def table(self) -> Tensor:
        """Return the rows as a tensor; their file is removed with it."""
        with self._room():
            self.file.close()
        self._gone.detach()
        return opened(self._place(), own=True)


def _unfinished(file: Any, path: str) -> None:
    """Close and remove a file that was not finished."""
    with contextlib.suppress(OSError):
        file.close()
    with contextlib.suppress(OSError):
        os.unlink(path)


def slabs(table: Tensor, size: int | None = None) -> Iterator[Tensor]:
    """Yield rows block by block; the memory of those in a file is given back after each.

    Args:
        table: ``(n, ...)``.
        size: rows of a block; None makes blocks of 16 MB.
    """
    known = _known(table)
    size = slab_rows(table) if size is None else size
    step = table[:1].numel() * table.element_size()
    for start in range(0, len(table), size):
        yield table[start : start + size]
        if known is not None:
            known.release(known.place.offset + start * step, known.place.offset + (start + size) * step)


def slab_rows(table: Tensor) -> int:
    """Return the rows of a block of ``slabs``."""
    return max(1, SLAB // max(1, table[:1].numel()))


def release(table: Tensor | None) -> None:
    """Let the system take back the memory of a table in a file; others stay as they are."""
    known = _known(table)
    if known is not None and table is not None:
        start = known.place.offset
        known.release(start, start + table.numel() * table.element_size())


def check_unchanged(table: Tensor | None) -> None:
    """Raise a RuntimeError where the file of a table has changed since it was opened; cheap."""
    place = place_of(table)
    if place is not None:
        place.check()


def rewritten(table: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a changed copy of rows, block by block in another file where they are in one.

    Args:
        table: ``(n, k)``.
        change: returns the new rows ``(b, k)`` of a block, which it must leave as it is.
    """
    place = place_of(table)
    if place is None:
        return change(table)
    file = RowsFile(place.folder or tempfile.gettempdir())
    for rows in slabs(table):
        file.add(change(rows))
    return file.table()


def taken(table: Tensor, index: Tensor, *, in_memory: bool = False) -> Tensor:
    """Return some of the rows, in another file where they are many and in one.

    Args:
        table: ``(n, k)``.
        index: ``(b,)`` their numbers.
        in_memory: whether they are few enough by themselves.
    """
    place = place_of(table)
    if place is None or in_memory or len(index) * table.shape[1] < LARGE:
        found = table[index]
        release(table)
        return found
    file = RowsFile(place.folder or tempfile.gettempdir())
    for some in index.split(max(1, SLAB // table.shape[1])):
        file.add(table[some])
        release(table)
    return file.table()
