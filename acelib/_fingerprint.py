"""Fingerprints of what a callable computes from, so that nothing kept from an earlier call is taken for today's.

A network changes in many ways that leave it the same object: an optimizer's step, ``weight.data.mul_``, loaded weights,
a swapped layer, another number in an attribute or in a variable that a function reads. So what is kept is kept under
the *content* of everything that can be reached from the callable, and its outputs on a few rows stand for the rest.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import sysconfig
import types
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MOST_OBJECTS = 20_000  # followed from one callable; the rest is left to the outputs
DEEPEST = 40  # steps from the callable
MOST_BYTES = 2**24  # of a tensor or array that is no parameter and no buffer; beyond, its place stands for its content

State = dict[str, Any]  # what was found: a digest for each place

_PATHS = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_INSTALLED = (*_PATHS, "<frozen", os.path.dirname(os.path.abspath(__file__)) + os.sep)
_PLAIN = (int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size, np.generic, range)
_CONTAINERS = (list, tuple, dict, set, frozenset, deque)
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial, staticmethod, classmethod, property)


def fingerprint(*sources: Any, outputs: Callable[[], Tensor] | None = None) -> State:
    """Return a digest for every place that decides what the sources compute.

    Followed are parameters, buffers, submodules, hooks and attributes; the objects behind bound methods and partial
    functions; defaults, closures and the global variables that a function reads; and whatever these hold. Functions and
    classes of installed packages, acelib among them, count as constant. Weights are read at about 2 GB a second.

    Args:
        sources: callables, or objects that hold them.
        outputs: gives outputs on a few rows; they show a change in what cannot be followed, where it shows there.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> before = fingerprint(net)
        >>> _ = net.weight.data.mul_(2)  # which raises no version
        >>> assert changed(before, fingerprint(net)) == {"0.weight"}
    """
    state: State = _Walk().over(sources)
    if outputs is not None:
        state["outputs"] = _content(outputs())
    return state


def stable(*sources: Any, outputs: Callable[[], Tensor] | None = None) -> str:
    """Return one digest of all that decides what the sources compute, the same in every process.

    As ``fingerprint``, but tensors are read whole, and of the objects of a data class only the fields, not what they
    keep beside them. What has no content that can be read makes a digest that never comes again.

    Example:
        >>> assert stable(nn.ReLU(), 3) == stable(nn.ReLU(), 3) != stable(nn.ReLU(), 4)
    """
    state = _Walk(lasting=True).over(sources)
    if outputs is not None:
        state["outputs"] = _content(outputs())
    return hashlib.sha256(repr(list(state.items())).encode()).hexdigest()


def changed(before: State, after: State) -> set[str]:
    """Return the places whose content differs between two fingerprints."""
    return {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}


class _Walk:
    """One pass over all that can be reached; what is met again is named by the place where it was met first."""

    def __init__(self, *, lasting: bool = False) -> None:
        self.lasting = lasting  # whether the digests must be the same in another process
        self.state: State = {}
        self.seen: dict[int, str] = {}
        self.held: list[Any] = []  # keeps temporary objects alive, so that no number of an object is used twice
        self.queue: deque[tuple[str, Any, int]] = deque()

    def over(self, sources: Iterable[Any]) -> State:
        for number, source in enumerate(sources):
            self.state[f"{number}:"] = self.digest(str(number), source, 0)
        while self.queue and len(self.seen) < MOST_OBJECTS:
            place, one, depth = self.queue.popleft()
            for name, part in _fields(one) if self.lasting and _plain_data(one) else _parts(one):
                self.state[f"{place}.{name}"] = self.digest(f"{place}.{name}", part, depth)
        return self.state

    def digest(self, place: str, value: Any, depth: int) -> Any:
        """Return what stands for a value, and note it where it has parts of its own."""
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, _CONTAINERS) and not value:
            return type(value).__name__
        if id(value) in self.seen:
            return f"as {self.seen[id(value)]}"
        if depth > DEEPEST:
            return self._lasting((type(value).__qualname__, id(value)))
        self.seen[id(value)] = place
        self.held.append(value)
        if isinstance(value, Tensor | np.ndarray):
            whole = self.lasting or isinstance(value, nn.Parameter)
            return self._lasting(_content(value, None if whole else MOST_BYTES))
        if isinstance(value, _CONTAINERS):
            items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
            if isinstance(value, set | frozenset):
                items = sorted((repr(one), one) for one in value if isinstance(one, _PLAIN))
            return tuple((repr(key), self.digest(f"{place}[{key!r}]", one, depth + 1)) for key, one in items)
        if isinstance(value, nn.Module):
            self._weights(place, value)
        self.queue.append((place, value, depth + 1))
        return self._lasting(_kind(value))

    def _lasting(self, digest: Any) -> Any:
        """Return a digest; where an object's number stands for its content, one that no other process comes to."""
        if self.lasting and isinstance(digest, tuple) and len(digest) == 2 and isinstance(digest[1], int):
            return digest[0], uuid.uuid4().hex
        return digest

    def _weights(self, place: str, module: nn.Module) -> None:
        """Note parameters and buffers at once and whole, whatever else is left out for its number or size."""
        for tensors in (module.named_parameters(), module.named_buffers()):
            for name, tensor in tensors:
                if id(tensor) not in self.seen:
                    self.seen[id(tensor)] = f"{place}.{name}"
                    self.held.append(tensor)
                    self.state[f"{place}.{name}"] = _content(tensor)


def _parts(one: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and parts of an object, a function or a class that is not of an installed package."""
    if isinstance(one, functools.partial):
        yield from (("func", one.func), ("args", one.args), ("keywords", one.keywords))
    elif isinstance(one, types.MethodType):
        yield from (("self", one.__self__), ("func", one.__func__))
    elif isinstance(one, staticmethod | classmethod):
        yield "func", one.__func__
    elif isinstance(one, property):
        yield "get", one.fget
    elif isinstance(one, types.FunctionType):
        yield from _read_by(one)
    elif isinstance(one, type):
        yield from ((n, v) for n, v in list(vars(one).items()) if not n.startswith("__") or n == "__call__")
    else:
        yield from list(getattr(one, "__dict__", {}).items())
        for cls in type(one).__mro__:
            yield from ((n, getattr(one, n)) for n in _slots(cls) if hasattr(one, n))
            if not _installed(sys.modules.get(cls.__module__)):
                yield f"<{cls.__qualname__}>", cls


def _fields(one: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a data class's object, and the class itself where it is not of an installed package."""
    yield from ((f.name, getattr(one, f.name)) for f in fields(one))
    if not _installed(sys.modules.get(type(one).__module__)):
        yield f"<{type(one).__qualname__}>", type(one)


def _plain_data(one: Any) -> bool:
    """Return whether an object is that of a data class, whose fields are all that it is made of."""
    return is_dataclass(one) and not isinstance(one, type | nn.Module)


def _slots(cls: type) -> Iterable[str]:
    slots = vars(cls).get("__slots__", ())
    return [slots] if isinstance(slots, str) else [n for n in slots if n not in ("__dict__", "__weakref__")]


def _read_by(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield code, defaults, closure and the global variables that a function reads."""
    code = function.__code__
    yield "code", _code(code)
    yield from (("defaults", function.__defaults__), ("kwdefaults", function.__kwdefaults__))
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            yield name, None
    if not code.co_filename.startswith(_INSTALLED):
        for name in _names(code):
            value = function.__globals__.get(name)
            if not isinstance(value, types.ModuleType):
                yield f"<{name}>", value


def _code(code: types.CodeType) -> bytes:
    constants = [_code(c) if isinstance(c, types.CodeType) else _constant(c) for c in code.co_consts]
    return hashlib.sha1(repr((code.co_code, code.co_names, constants)).encode()).digest()


def _constant(value: Any) -> str:
    """Return a constant as text; a set of texts has another order in every process."""
    return f"set {sorted(map(repr, value))}" if isinstance(value, frozenset) else repr(value)


def _names(code: types.CodeType) -> list[str]:
    """Return the names that a function and the functions inside it read."""
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in _names(c)]
    return sorted({*code.co_names, *inner})


def _kind(value: Any) -> Any:
    """Return what stands for an object beside its parts: its class, and its number where it has no parts to follow."""
    followed = isinstance(value, (*_FUNCTIONS, type)) or hasattr(value, "__dict__")
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    return name if followed else (name, id(value))


def _installed(module: types.ModuleType | None) -> bool:
    """Return whether a module is part of Python or of an installed package."""
    path = getattr(module, "__file__", None)
    return module is not None and module.__name__ != "__main__" and (path is None or path.startswith(_INSTALLED))


def _content(value: Any, most: int | None = None) -> Any:
    """Return a digest of a tensor's or an array's entries, shape and type; beyond ``most`` bytes, of its place."""
    what = (str(value.dtype), tuple(value.shape), str(getattr(value, "device", "cpu")))
    try:
        if isinstance(value, Tensor):
            if most is not None and value.numel() * value.element_size() > most:
                return what, (value.data_ptr(), value._version)
            value = value.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        elif value.dtype.hasobject or (most is not None and value.nbytes > most):
            return what, (value.__array_interface__["data"][0], id(value))
        data: Any = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):  # no plain memory: sparse, quantized, meta
        return what, id(value)
    # two checksums that fail in different ways, at the speed of memory; nobody plays against them
    return what, zlib.crc32(data), zlib.adler32(data)


class Kept:
    """Something kept for as long as nothing that it was computed from has changed.

    Args:
        value: what is kept.
        before: the fingerprint before it was computed.
        after: the one afterwards; what differs is the network's own bookkeeping, such as a count of its calls, and
            is not looked at again.
    """

    def __init__(self, value: Any, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        self.value = value
        self._loose = changed(dict(before), dict(after))
        self._state = {place: digest for place, digest in after.items() if place not in self._loose}

    def holds(self, now: Mapping[str, Any]) -> bool:
        """Return whether a fingerprint is the one under which the value was computed."""
        return {place: digest for place, digest in now.items() if place not in self._loose} == self._state
