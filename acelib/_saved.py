"""Results and files: every file is written to a temporary name and renamed when whole; results are JSON with a format.

Nothing is pickled by acelib, and no reader ever meets half a file: the name of the target appears in one step. Users
may pickle every result, since a ``Result`` holds numbers and names alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Result:
    """A result that travels: it holds numbers and names, weighs what it shows, and equals its copies.

    Subclasses are dataclasses with ``eq=False``: two results are equal where all their fields are, NaN included.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.compare)  # pyright: ignore[reportArgumentType]

    def __hash__(self) -> int:
        return hash(type(self).__qualname__)  # equal results have equal hashes; tensors themselves have no such thing

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle or a copy holds: tensors that are views leave the rest of their memory behind."""
        return compact({name: getattr(self, name) for name in self.__dict__})  # not what waits to be computed

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def compact(value: Any) -> Any:
    """Return the value, every tensor in it that shows only a part of its memory copied out of it.

    Example:
        >>> assert compact(torch.zeros(1000)[:2]).untyped_storage().nbytes() == 8
    """
    if isinstance(value, Tensor) and value.untyped_storage().nbytes() > value.numel() * value.element_size():
        return value.detach().clone(memory_format=torch.contiguous_format)
    if type(value) in (list, tuple):
        return type(value)(map(compact, value))
    return {key: compact(one) for key, one in value.items()} if type(value) is dict else value


def same(one: Any, other: Any) -> bool:
    """Return whether two values of results are equal, entry by entry; NaN equals NaN.

    Example:
        >>> assert same({"a": torch.tensor([1.0, torch.nan])}, {"a": torch.tensor([1.0, torch.nan])})
    """
    if one is other:
        return True
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and bool(torch.allclose(one, other.to(one.device), rtol=0, atol=0, equal_nan=True))
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list) and type(one) is type(other):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other)
    return type(one) is type(other) and bool(one == other)


def write_whole(target: str | os.PathLike, write: Callable[[Path], object]) -> Path:
    """Write a file through ``write(temporary)``, rename it to ``target`` when whole, and return its path.

    An error or a killed process leaves what was at ``target`` as it was.

    Args:
        target: the final path; its folder is made where missing.
        write: writes the complete file to the path that it is given.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_whole(f"{folder}/a.txt", lambda temporary: temporary.write_text("whole"))
        ...     assert [found.name for found in Path(folder).iterdir()] == ["a.txt"] and path.read_text() == "whole"
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")  # two processes never share a name
    try:
        write(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def save_json(path: str | os.PathLike, content: Mapping[str, Any], *, format: Any) -> Path:
    """Write ``content`` and its format to a JSON file and return its path."""
    return write_whole(path, lambda temporary: temporary.write_text(json.dumps({**content, "format": format})))


def load_json(path: str | os.PathLike, *, format: Any, what: str, remedy: str) -> dict[str, Any]:
    """Return the content that ``save_json`` wrote under this format.

    Args:
        path: the file.
        format: that it must have.
        what: it should hold, e.g. "saved regressors", for the message.
        remedy: what to do otherwise.

    Raises:
        ValueError: if the file is missing, is no JSON or has another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # also bytes that are no text
        raise ValueError(f"{path} cannot be read as {what} ({error}); {remedy}") from error
    if not isinstance(content, dict) or content.pop("format", None) != format:
        raise ValueError(f"{path} does not hold {what} (format {format}); {remedy}")
    return content


@contextlib.contextmanager
def reading(
    path: str | os.PathLike, *, format: Any, what: str, remedy: str = "save them again"
) -> Iterator[dict[str, Any]]:
    """Give the content of a file to the block that builds a result from it, and name the file where it cannot.

    The arguments are those of ``load_json``.

    Raises:
        ValueError: if the file cannot be read, or the block fails on what is in it.
    """
    content = load_json(path, format=format, what=what, remedy=remedy)
    try:
        yield content
    except (ArithmeticError, AttributeError, LookupError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold {what} ({type(error).__name__}: {error}); {remedy}") from error


def check_entries(content: Any, result: type, *, without: Collection[str] = (), further: Collection[str] = ()) -> None:
    """Raise a ValueError unless ``content`` holds the fields of a result, those of plain types with such values.

    Args:
        content: what a file holds of the result.
        result: its class, a dataclass.
        without: names of fields that a file does not hold.
        further: names of entries that are no fields.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"there must be a mapping of fields to values, got {type(content).__name__}")
    kinds = {f.name: str(f.type) for f in fields(result) if f.name not in without}
    names = {*kinds, *further}
    if names != set(content):
        missing, unknown = sorted(names - set(content)), sorted(set(content) - names)
        raise ValueError(f"there must be {len(names)} entries, got none of {missing} and unknown ones {unknown}")
    for name, kind in kinds.items():
        if not _fits(content[name], kind):
            raise ValueError(f"{name} must be of the kind {kind}, got {content[name]!r:.60}")


def _fits(value: Any, kind: str) -> bool:
    """Return whether a value from JSON can be of an annotated type; types that are not plain are left to others."""
    if "|" in kind:
        return any(_fits(value, one.strip()) for one in kind.split("|"))
    if kind.startswith("tuple[") and kind.endswith(", ...]"):
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        return isinstance(value, list) and all(_fits(one, inner) for one in value)
    types = {"str": str, "int": int, "float": int | float, "None": type(None), "Tensor": dict | list}
    return kind not in types or (isinstance(value, types[kind]) and not isinstance(value, bool))


def plain(tensor: Tensor | None) -> Any:
    """Return a tensor as numbers for JSON, with its dtype and shape; ``rebuilt`` restores it to the last bit."""
    if tensor is None:
        return None
    entries = tensor.detach().cpu().reshape(-1).tolist()
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "entries": entries}


def rebuilt(content: Any, shape: tuple[int | None, ...] | None = None) -> Tensor:
    """Return the tensor that ``plain`` wrote, on the CPU.

    Args:
        content: what it wrote.
        shape: that it must have; None for any size.

    Raises:
        ValueError: if it is no floating tensor of this shape.

    Example:
        >>> x = torch.tensor([[1.0, torch.nan], [torch.inf, 0.1]])
        >>> assert same(rebuilt(json.loads(json.dumps(plain(x))), (2, None)), x)
    """
    dtype = getattr(torch, str(content["dtype"]), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"a tensor must have a floating dtype, got {content['dtype']!r}")
    tensor = torch.tensor([float(x) for x in content["entries"]], dtype=dtype).reshape(content["shape"])
    if shape is not None:
        fits = len(shape) == tensor.ndim and all(s in (None, n) for s, n in zip(shape, tensor.shape, strict=True))
        if not fits:
            raise ValueError(f"a tensor must have the shape {shape}, got {tuple(tensor.shape)}")
    return tensor
