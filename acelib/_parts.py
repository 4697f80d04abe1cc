"""A folder of finished parts: a long computation that was killed goes on where it was, and nothing is computed twice.

A part is named by a digest of all that it was computed from: networks and rows by content, the question, the versions.
What has changed has another name, so a folder never gives an old answer to a new question. A part is written whole or
not at all, and read back without unpickling anything but sums, numbers and names.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._saved import write_whole

MARK = ".acelib-parts"
_KINDS = (
    "acelib.expectation.row_moments:RowMoments _Sums _Groups",
    "acelib.expectation.skewness:Cubes",
    "acelib.expectation.estimators:Estimate",
    "acelib.expectation.result:Expectation Check",
    "acelib.inputs.support:Later",
    "acelib.intrinsic.pickfreeze:_Block",
)
"""What a part may hold beside tensors, numbers, texts and collections of them."""


class Parts:
    """The parts of one computation in a folder.

    Args:
        folder: made where it is missing; it may hold the parts of many computations.
        state: gives a text for what all parts were computed from, the same in every process.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     parts = Parts(folder, lambda: "of this network")
        ...     path = parts.path(max, (torch.zeros(2), 1))
        ...     assert parts.read(path) is None
        ...     parts.write(path, {"sum": torch.ones(3)})
        ...     assert parts.read(path)["sum"].tolist() == [1, 1, 1]
    """

    def __init__(self, folder: str | os.PathLike, state: Callable[[], str]) -> None:
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MARK).touch()
        self._state, self._known, self._lock = state, "", threading.Lock()

    def path(self, call: Callable[..., Any], args: tuple[Any, ...]) -> Path:
        """Return where the result of a call is kept."""
        if not self._known:
            self._known = f"{_sources()} {torch.__version__} {self._state()}"
        name = digest((self._known, call.__module__, call.__qualname__, args))
        return self.folder / f"{name}.part"

    def read(self, path: Path) -> Any:
        """Return a kept result, or None where there is none that can be read: then it is computed again."""
        try:
            kinds: list[Any] = _kinds()
            with torch.serialization.safe_globals(kinds):
                return torch.load(path, weights_only=True)["result"]
        except Exception:  # missing, damaged, of another version, or no part at all
            return None

    def write(self, path: Path, result: Any) -> None:
        """Keep a result, unless a worker has done so."""
        with self._lock:  # a result may be on its way to the folder already
            if not path.exists():
                self.keep(path, result)

    @staticmethod
    def in_sight(path: Path) -> bool:
        """Return whether a worker sees the folder."""
        return (path.parent / MARK).exists()

    @staticmethod
    def keep(path: Path, result: Any) -> None:
        """Write a result whole."""
        write_whole(path, lambda temporary: torch.save({"result": result}, temporary))


@cache
def _sources() -> str:
    """Return a digest of the sources of the method: another version of it may come to other numbers."""
    found, home = hashlib.sha256(), Path(__file__).parent
    for path in sorted(home.rglob("*.py")):
        if "lab" not in path.relative_to(home).parts:
            found.update(path.read_bytes())
    return found.hexdigest()


def _kinds() -> list[type]:
    """Return the classes that a part may hold."""
    found = []
    for line in _KINDS:
        module, _, names = line.partition(":")
        found += [getattr(importlib.import_module(module), name) for name in names.split()]
    return found


def digest(value: Any) -> str:
    """Return a digest of nested tuples, tensors, arrays, numbers and texts that is the same in every process.

    Example:
        >>> assert digest((1, torch.zeros(2))) == digest((1, torch.zeros(2))) != digest((1, torch.zeros(3)))
    """
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()[:40]


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous()
        found.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, np.ndarray):
        _feed(found, torch.from_numpy(np.ascontiguousarray(value)))
    elif isinstance(value, dict):
        _feed(found, tuple(value.items()))
    elif isinstance(value, tuple | list):
        found.update(f"{type(value).__name__} {len(value)}".encode())
        for one in value:
            _feed(found, one)
    else:
        text = repr(value).encode()
        found.update(f"{type(value).__name__} {len(text)} ".encode() + text)
