"""How the content of a call reaches the workers: once each, by a file, by Dask's own broadcast, or with a task."""

from __future__ import annotations

import collections
import hashlib
import io
import os
import pickle
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ._maps import opened, place_of
from ._optional import optional

HELD = 2  # contents that a worker keeps


class Ticket(NamedTuple):
    """What a task carries in place of the content.

    Attributes:
        name: digest of the content.
        path: file with it; None where it comes otherwise.
    """

    name: str
    path: str | None


class Content:
    """What all tasks of a call need, packed when it is first sent, in a file that goes when nobody needs it any more.

    Args:
        value: the content itself.

    Attributes:
        inline: whether every task carries it, where workers do not see the file.
    """

    def __init__(self, value: Any) -> None:
        self.value, self.inline = value, False
        self._packed: tuple[Ticket, bytes] | None = None
        self._broadcast: Any = None

    def packed(self) -> tuple[Ticket, bytes]:
        """Return ticket and bytes."""
        if self._packed is None:
            data = pack(self.value)
            name = hashlib.sha256(data).hexdigest()
            file, path = tempfile.mkstemp(prefix="acelib-", suffix=".content")
            with os.fdopen(file, "wb") as out:
                out.write(data)
            weakref.finalize(self, _remove, path)
            self._packed = Ticket(name, path), data
        return self._packed

    def broadcast(self, client: Any) -> tuple[Ticket, Any]:
        """Return ticket and Dask's future of the bytes, which each of its workers has got."""
        if self._broadcast is None:
            data = pack(self.value)
            ticket = Ticket(hashlib.sha256(data).hexdigest(), None)
            self._broadcast = ticket, client.scatter(data, broadcast=True, hash=False)
        return self._broadcast


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def shipped(content: Content, executor: Any) -> tuple[Ticket, Any]:
    """Return what a task carries for a worker of this executor: ticket, and the bytes where no file has them."""
    client = getattr(executor, "_client", None)
    if client is not None and hasattr(client, "scatter"):
        return content.broadcast(client)
    ticket, data = content.packed()
    return ticket, data if content.inline else None


_held: collections.OrderedDict[str, Any] = collections.OrderedDict()
_lock = threading.Lock()


def received(ticket: Ticket, data: bytes | None) -> Any:
    """Return the content in a worker, unpacked once.

    Raises:
        FileNotFoundError: if the worker does not see the file.
    """
    with _lock:
        if ticket.name not in _held:
            if data is None:
                assert ticket.path is not None
                data = Path(ticket.path).read_bytes()
            _held[ticket.name] = pickle.loads(data)  # which our own parent process has written
            while len(_held) > HELD:
                _held.popitem(last=False)
        _held.move_to_end(ticket.name)
        return _held[ticket.name]


def _written(kind: Any, value: Any) -> bytes:
    """Return what a kind of pickler makes of a value, with the place of rows in a file instead of the rows."""

    class Packer(kind):
        def reducer_override(self, obj: Any) -> Any:
            place = place_of(obj) if isinstance(obj, Tensor) else None
            if place is not None:
                return opened, (place,)
            known = getattr(super(), "reducer_override", None)
            return NotImplemented if known is None else known(obj)

    stream = io.BytesIO()
    Packer(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


def pack(value: Any) -> bytes:
    """Return a content as bytes: by pickle, or, for functions that it cannot name, by cloudpickle.

    Rows in a file are not among them: a worker opens the file.

    Raises:
        TypeError: if it cannot be sent.

    Example:
        >>> assert pickle.loads(pack({"a": 1})) == {"a": 1}
    """
    try:
        data = _written(pickle.Pickler, value)
        if b"__main__" not in data:  # a name in the script itself says nothing elsewhere
            return data
    except (pickle.PicklingError, AttributeError, TypeError):
        pass
    cloudpickle = optional("cloudpickle", "a network that was written in a script or a notebook, in other processes,")
    try:
        return _written(cloudpickle.Pickler, value)
    except Exception as error:
        raise TypeError(
            f"model must be something that can be sent to another process, got {type(error).__name__}: {error}; leave "
            "open files, locks and connections out of it, or use a ThreadPoolExecutor"
        ) from error
