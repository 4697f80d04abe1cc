"""Tensors of a module that was pickled whole by an old torch.save, read without importing or calling anything in it.

Such a file holds four pickles (a magic number, the protocol, the machine's byte order, the module), a pickled list of
storage keys, and for each key the number of elements and the raw numbers. A pickle is a program: it names classes and
functions and has them called. Here every name is looked up in a short table, and what the table gives is inert: a class
of a module becomes an empty node that remembers its state, a tensor becomes a note of storage, offset, size and stride.
A name outside the table ends the reading. ``torch.load`` with ``weights_only=True`` refuses these files altogether,
because they name the classes of modules.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"FloatStorage": np.dtype("<f4"), "DoubleStorage": np.dtype("<f8")}
CONTAINERS = {("collections", "OrderedDict"): OrderedDict, ("__builtin__", "set"): set}
MODULES = frozenset(
    {
        ("__main__", "neural_network"),
        ("torch.nn.modules.linear", "Linear"),
        ("torch.nn.modules.rnn", "GRU"),
        ("torch.nn.modules.rnn", "LSTM"),
        ("torch.backends.cudnn.rnn", "Unserializable"),
    }
)


class _Sealed(type):
    """A metaclass whose classes cannot be changed: a pickle may set attributes on what it was given."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f"the file wants to change {cls.__name__}.{name}; it is not read")


class _Node(metaclass=_Sealed):
    """What stands for a module or a parameter: its state and nothing else."""

    def __new__(cls, *data: Any) -> _Node:
        node = super().__new__(cls)
        vars(node)["state"] = data  # of a parameter: (tensor, …)
        return node

    def __init__(self, *data: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):  # of a module; what a parameter adds (it has no gradient) is left aside
            vars(self)["state"] = state


class _Call(metaclass=_Sealed):
    """What stands for a function: a note that it was called with these arguments."""

    def __init__(self, name: str):
        vars(self)["name"] = name

    def __call__(self, *arguments: Any) -> Any:
        if self.name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _Strided(*arguments[:4])
        return arguments[0] if self.name == "_rebuild_parameter" else None

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError(f"the file wants to change {self.name}; it is not read")


@dataclass(frozen=True)
class _Storage:
    kind: np.dtype
    key: str
    numel: int


@dataclass(frozen=True)
class _Strided:
    storage: Any
    offset: Any
    size: Any
    stride: Any


class _Restricted(pickle.Unpickler):
    """An unpickler whose names come from a table, and from nowhere else.

    Attributes:
        storages: what the file says of each storage, by key.
    """

    def __init__(self, file: BinaryIO):
        super().__init__(file, encoding="latin1")  # texts and numbers of Python 2
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in CONTAINERS:
            return CONTAINERS[module, name]
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) in MODULES or (module, name) == ("torch.nn.parameter", "Parameter"):
            return _Node
        known = {"torch._utils": ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")}
        known["torch.nn.backends.thnn"] = ("_get_thnn_function_backend",)
        if name in known.get(module, ()):
            return _Call(name)
        raise pickle.UnpicklingError(f"the file names {module}.{name}, which no network needs; it is not read")

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
            return pid[1]  # the class that was looked up above; the source text beside it is left alone
        if isinstance(pid, tuple) and len(pid) == 6 and pid[0] == "storage" and pid[5] is None:
            if isinstance(pid[1], np.dtype) and isinstance(pid[2], str) and isinstance(pid[4], int):
                return self.storages.setdefault(pid[2], _Storage(pid[1], pid[2], pid[4]))
        raise pickle.UnpicklingError("the file refers to something that is neither a module nor a storage")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Return the parameters and buffers of a pickled module, ``{name: float64}``, executing nothing of the file.

    Args:
        path: a file that ``torch.save`` wrote before version 1.6, of a whole module.

    Raises:
        ValueError: if the file is no such file, is damaged, or names anything but modules, tensors and containers.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(nn.ReLU(), f"{folder}/net", _use_new_zipfile_serialization=False)
        ...     try:
        ...         read_state(f"{folder}/net")
        ...     except ValueError as error:
        ...         assert "ReLU" in str(error)  # not in the table: nothing was imported
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            module, storages = _parts(file)
            return {name: _tensor(note, storages) for name, note in _walk(module, "").items()}
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise ValueError(f"path must be a module saved by an old torch.save, got {path.name}: {error}") from error


def _parts(file: BinaryIO) -> tuple[Any, dict[str, Tensor]]:
    """Return the pickled module and ``{key: (elements,) float64}`` of its storages."""
    head = [_Restricted(file).load() for _ in range(3)]
    if head[:2] != [MAGIC, PROTOCOL] or not isinstance(head[2], dict) or head[2].get("little_endian") is not True:
        raise pickle.UnpicklingError("its head is another one")
    reader = _Restricted(file)
    module, storages = reader.load(), {}
    for key in _Restricted(file).load():
        storage = reader.storages[key]
        numel = int.from_bytes(file.read(8), "little", signed=True)
        raw = file.read(max(numel, 0) * storage.kind.itemsize)
        if numel != storage.numel or len(raw) != numel * storage.kind.itemsize:
            raise pickle.UnpicklingError(f"storage {key} must have {storage.numel} elements, got {numel}")
        storages[key] = torch.from_numpy(np.frombuffer(raw, storage.kind).astype(np.float64))
    return module, storages


def _walk(node: Any, prefix: str) -> dict[str, _Strided]:
    """Return the tensors of a module and of the modules in it, by dotted name."""
    found: dict[str, _Strided] = {}
    for kind in ("_parameters", "_buffers"):
        for name, value in node.state[kind].items():
            while isinstance(value, _Node):  # a parameter around its tensor
                value = value.state[0]
            if value is not None:
                found[f"{prefix}{name}"] = value
    for name, inner in node.state["_modules"].items():
        found |= _walk(inner, f"{prefix}{name}.")
    return found


def _tensor(note: Any, storages: dict[str, Tensor]) -> Tensor:
    """Return a copy of the part of a storage that a note describes; torch refuses a part outside it."""
    numbers = (note.offset, *note.size, *note.stride)
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or math.prod(note.size) > 10**6:
        raise pickle.UnpicklingError(f"a tensor must have sizes and strides from 0 up, got {numbers}")
    return torch.as_strided(storages[note.storage.key], note.size, note.stride, note.offset).clone()
