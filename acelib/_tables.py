"""Tables as people have them, read as tensors: frames of pandas, arrays, lists; what is no number is named."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._devices import placed
from ._warnings import ApproximationWarning, warn_caller

SHOWN = 5  # names that a message lists
_ENCODE = "encode it as numbers, e.g. by pandas.get_dummies, or leave it out"


def as_float_tensor(
    value: Any, name: str, *, dtype: torch.dtype | None = None, device: Any = None, copy: bool = False
) -> Tensor:
    """Return ``value`` as a finite floating tensor; whole numbers become the default dtype where it holds them exactly.

    Whole numbers that the default dtype would change become float64. A data frame is read column by column: boolean,
    nullable and object columns of numbers are numbers too.

    Args:
        value: tensor, array, number, list, series or data frame.
        name: the argument's name, for messages.
        dtype: dtype of the result; None keeps a floating one. A warning tells of whole numbers that it rounds.
        device: device of the result; None keeps it.
        copy: whether the result must have memory of its own, whatever happens to ``value`` later.

    Raises:
        TypeError: if it is not numeric, complex, sparse or without values; of a table the column is named.
        ValueError: if it holds NaN, Inf or missing entries, or whole numbers that no floating dtype holds.
    """
    return as_table(value, name, dtype=dtype, device=device, copy=copy)[0]


def as_table(
    value: Any, name: str, *, dtype: torch.dtype | None = None, device: Any = None, copy: bool = False
) -> tuple[Tensor, list[bool]]:
    """Return the tensor of ``as_float_tensor`` and which columns came as whole numbers: one entry for each or for all.

    Truth values count as whole numbers; floating ones do not, whatever their values. The arguments are those of
    ``as_float_tensor``.
    """
    read, whole = _read(value, name)
    tensor = placed(read, dtype=dtype or read.dtype, device=device)
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        bad = ~finite
        count = int(bad.sum())
        missing = ", Inf or missing" if hasattr(value, "iloc") else " or Inf"
        raise ValueError(
            f"{name} must be finite, got {count} NaN{missing} of {tensor.numel()} entries{_columns(bad, value)}; clean "
            "or impute them first"
        )
    if any(whole) and tensor.dtype != read.dtype:
        _warn_rounded(read, tensor, name)
    own = is_frame(value) or tensor.untyped_storage().data_ptr() != read.untyped_storage().data_ptr()
    return tensor.clone() if copy and not own else tensor, whole


def is_frame(value: Any) -> bool:
    """Return whether ``value`` is a table with named columns, of pandas or of a library like it."""
    return hasattr(value, "columns") and (hasattr(value, "iloc") or hasattr(value, "to_numpy"))


def frame_names(frame: Any, name: str = "X") -> tuple[str, ...]:
    """Return the names of a data frame's columns, as text.

    Raises:
        ValueError: if two are the same.
    """
    names = tuple(str(column) for column in frame.columns)
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ValueError(f"{name} must have distinct column names, got {twice} more than once; rename or drop columns")
    return names


def in_order(frame: Any, names: Sequence[str], name: str) -> Any:
    """Return a data frame with its columns in the order of ``names``.

    Raises:
        ValueError: if it has other columns.
    """
    found = frame_names(frame, name)
    if set(found) != set(names):
        differ = sorted(set(found) ^ set(names))[:SHOWN]
        raise ValueError(f"{name} must have the same columns in every part, got {differ} in some of them only")
    return frame[[frame.columns[found.index(each)] for each in names]]


def by_name(values: Any, wanted: Sequence[str], known: Sequence[str]) -> Any:
    """Return the entries of a row, or the columns of a data frame, that are called ``wanted``, in that order.

    Everything else comes back as it is: arrays, numbers, and series that are labelled by other things than features.

    Args:
        values: what a user gave.
        wanted: names of the features that are asked for.
        known: names of all features.

    Raises:
        ValueError: if names of features are there, but not all that are asked for.
    """
    labels = values.columns if is_frame(values) else getattr(values, "index", None)
    if labels is None or callable(labels) or not hasattr(values, "iloc"):
        return values
    labels = [str(label) if isinstance(label, str) else None for label in labels]
    if not set(labels) & set(known):
        return values
    missing = [one for one in wanted if one not in labels]
    if missing or any(labels.count(one) > 1 for one in wanted):
        raise ValueError(
            f"values must have each of {list(wanted)} once among their labels, got {labels[:SHOWN]}; pass an array to "
            "go by position"
        )
    places = [labels.index(one) for one in wanted]
    return values.iloc[:, places] if is_frame(values) else values.iloc[places]


def _read(value: Any, name: str) -> tuple[Tensor, list[bool]]:
    """Return a floating tensor that holds the values exactly, and whether they came as whole numbers, or which."""
    if is_frame(value):
        return _of_frame(value, name)
    tensor, whole = _of_one_kind(value, name)
    return tensor, [whole]


def _of_one_kind(value: Any, name: str) -> tuple[Tensor, bool]:
    """Return the numbers of what is no frame, exactly, and whether they came as whole numbers."""
    if isinstance(value, Tensor):
        return _of_tensor(value, name)
    if isinstance(value, list | tuple) and any(isinstance(one, Tensor) for one in value):
        try:
            return _of_tensor(torch.stack([torch.as_tensor(one) for one in value]), name)
        except (RuntimeError, TypeError) as error:
            raise TypeError(f"{name} must be numeric and of one shape, got a list of tensors: {error}") from error
    if isinstance(value, Mapping):
        raise TypeError(f"{name} must be numeric (tensor, array or numbers), got {type(value).__name__}")
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{name} must be dense, got a sparse {type(value).__name__}; use {name}.toarray()")
    array = _as_array(value)
    labels: Any = value.index if hasattr(value, "iloc") and len(value) else None

    def where(place: int) -> str:
        if labels is not None:
            return f" in entry {str(labels[place])!r}"
        return f" in column {place % array.shape[-1]}" if array.ndim == 2 and array.size else ""

    return _of_array(array, name, type(value).__name__, where)


def _of_tensor(tensor: Tensor, name: str) -> tuple[Tensor, bool]:
    """Return the values of a tensor, or raise a TypeError for one that holds none that can be computed with."""
    if tensor.is_meta:
        raise TypeError(f"{name} must hold values, got a tensor on the meta device, which has none")
    if tensor.layout != torch.strided or tensor.is_nested:
        kind = "nested" if tensor.is_nested else "sparse"
        remedy = f"torch.nested.to_padded_tensor({name}, 0.0)" if tensor.is_nested else f"{name}.to_dense()"
        raise TypeError(f"{name} must be dense, got a {kind} tensor; use {remedy}")
    if tensor.is_complex():
        raise TypeError(f"{name} must be real, got {tensor.dtype}")
    if tensor.is_quantized or (tensor.is_floating_point() and tensor.element_size() < 2):
        remedy = "dequantize()" if tensor.is_quantized else "to(torch.float32)"
        raise TypeError(f"{name} must be of a dtype that torch computes with, got {tensor.dtype}; use {name}.{remedy}")
    tensor = tensor.detach()
    if tensor.is_floating_point():
        return tensor, False
    if tensor.dtype == torch.uint64:
        exact, _ = _of_array(tensor.cpu().numpy(), name, "Tensor", lambda place: "")
        return exact.to(tensor.device), True
    return _exactly(tensor if tensor.dtype == torch.bool else tensor.long(), name), True


def _exactly(whole: Tensor, name: str, where: Callable[[int], str] = lambda place: "") -> Tensor:
    """Return whole numbers in the default dtype if it holds them, else in float64, else raise a ValueError."""
    for dtype in (torch.get_default_dtype(), torch.float64):
        tensor = whole.to(dtype)
        same = tensor.to(whole.dtype) == whole
        if bool(same.all()):
            return tensor
    place = int((~same).flatten().nonzero()[0])
    raise ValueError(
        f"{name} must be whole numbers that a float holds exactly, up to 2^53, got {int(whole.flatten()[place])}"
        f"{where(place)}; subtract an origin first"
    )


def _as_array(value: Any) -> np.ndarray:
    """Return ``value`` as an array; masked entries are missing."""
    if isinstance(value, np.ma.MaskedArray) and bool(np.ma.getmaskarray(value).any()):
        return np.ma.filled(value.astype(object), np.nan)
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # ragged, or without a way to become an array
        return np.array(None, dtype=object)


def _of_array(array: np.ndarray, name: str, kind: str, where: Callable[[int], str]) -> tuple[Tensor, bool]:
    """Return a tensor of an array's numbers and whether they are whole; ``where`` names the place of a bad one."""
    if array.dtype.kind == "O":
        array = _of_objects(array, name, kind, where)
    what = {"c": str(array.dtype), "M": "dates", "m": "spans of time", "U": "text", "S": "text", "T": "text"}
    if array.dtype.kind == "c":
        raise TypeError(f"{name} must be real, got {array.dtype}{where(0)}")
    if array.dtype.kind not in "biuf":
        got = what.get(array.dtype.kind, f"an array of {array.dtype}") + where(0)
        example = f", such as {str(array.flat[0])!r}" if array.size and array.dtype.kind in "USTMm" else ""
        remedy = "turn them into numbers, such as seconds" if array.dtype.kind in "Mm" else _ENCODE
        raise TypeError(f"{name} must be numeric, got {got}{example}; {remedy}")
    if array.dtype.kind == "u" and array.size and int(array.max()) >= 2**63:
        exact = array.astype(np.float64)
        same = (exact < 2.0**64) & (np.where(exact < 2.0**64, exact, 0).astype(np.uint64) == array)
        if not same.all():
            place = int((~same).argmax())
            raise ValueError(
                f"{name} must be whole numbers that a float holds exactly, up to 2^53, got {array.flat[place]}"
                f"{where(place)}; subtract an origin first"
            )
        return torch.from_numpy(exact), True
    if array.dtype.kind != "f":
        whole = torch.from_numpy(array.astype(bool if array.dtype.kind == "b" else np.int64))
        return _exactly(whole, name, where), True
    if array.dtype.itemsize > 8 or not array.dtype.isnative:
        array = array.astype(f"f{min(8, array.dtype.itemsize)}")
    plain = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if plain else array.copy()), False


def _of_objects(array: np.ndarray, name: str, kind: str, where: Callable[[int], str]) -> np.ndarray:
    """Return the numbers of an array of objects: whole ones stay whole, missing ones become NaN."""
    entries = array.ravel().tolist()
    found: list[Any] = []
    for place, entry in enumerate(entries):
        if isinstance(entry, np.ndarray | np.generic | Tensor) and getattr(entry, "ndim", 1) == 0:
            entry = entry.item()
        if array.ndim and is_missing(entry):
            entry = float("nan")
        elif isinstance(entry, str | bytes):
            raise TypeError(f"{name} must be numeric, got text{where(place)}, such as {entry!r}; {_ENCODE}")
        elif isinstance(entry, numbers.Complex) and not isinstance(entry, numbers.Real):
            raise TypeError(f"{name} must be real, got {entry!r}{where(place)}")
        elif not isinstance(entry, numbers.Real | Decimal):
            got = type(entry).__name__ + where(place) if array.ndim else kind
            remedy = "; turn dates into numbers, such as seconds" if hasattr(entry, "isoformat") else ""
            raise TypeError(f"{name} must be numeric (tensor, array or numbers), got {got}{remedy}")
        elif isinstance(entry, numbers.Integral) and abs(int(entry)) > 2**53 and int(float(entry)) != int(entry):
            raise ValueError(
                f"{name} must be whole numbers that a float holds exactly, up to 2^53, got {entry}{where(place)}; "
                "subtract an origin first"
            )
        found.append(entry)
    whole = all(isinstance(entry, numbers.Integral) and abs(int(entry)) < 2**63 for entry in found)
    return np.array([int(e) if whole else float(e) for e in found], np.int64 if whole else float).reshape(array.shape)


def _of_frame(frame: Any, name: str) -> tuple[Tensor, list[bool]]:
    """Return the numbers of a data frame, whose columns may be of different kinds, and which of them are whole."""
    columns = [_column(frame, place, str(label), name) for place, label in enumerate(frame.columns)]
    if not columns:
        return torch.zeros(len(frame), 0), []
    dtypes = [tensor.dtype for tensor, whole in columns if not whole] or [columns[0][0].dtype]
    dtype = reduce(torch.promote_types, dtypes)
    for tensor, _ in columns:  # whole numbers follow the other columns where these can hold them
        if tensor.dtype != dtype and bool((tensor.to(dtype).double() != tensor.double())[tensor.isfinite()].any()):
            dtype = torch.promote_types(dtype, tensor.dtype)
    return torch.stack([tensor.to(dtype) for tensor, _ in columns], dim=1), [whole for _, whole in columns]


def _column(frame: Any, place: int, label: str, name: str) -> tuple[Tensor, bool]:
    """Return one column of a data frame and whether its numbers are whole."""
    series = frame.iloc[:, place] if hasattr(frame, "iloc") else frame[frame.columns[place]]
    dtype = series.dtype
    if any(kind in type(dtype).__name__ for kind in ("Categorical", "Enum")):
        raise TypeError(
            f"{name} must be numeric, got categories in column {label!r}; encode them as numbers, e.g. by "
            f"pandas.get_dummies({name})"
        )
    kind = None if isinstance(dtype, np.dtype) else getattr(dtype, "kind", None)
    if kind in tuple("biuf") and hasattr(series, "isna"):  # nullable, sparse or arrow columns of pandas
        exact = {"b": bool, "i": np.int64, "u": np.uint64, "f": np.float64}[kind]
        missing = bool(series.isna().any())
        array = series.to_numpy(np.float64, na_value=np.nan) if missing else series.to_numpy(exact)
    else:
        array = _as_array(series)
    return _of_array(array, name, type(series).__name__, lambda _: f" in column {label!r}")


def _columns(bad: Tensor, value: Any) -> str:
    """Return where a table has bad entries, for a message: the names of its columns, or their numbers."""
    if bad.ndim == 1 and hasattr(value, "iloc") and not is_frame(value):
        found = [repr(str(value.index[i])) for i in bad.nonzero()[:, 0].tolist()]
        what = "entry" if len(found) == 1 else "entries"
    elif bad.ndim == 2 and bad.shape[1] > 1:
        names = list(map(str, value.columns)) if is_frame(value) else None
        found = [repr(names[i]) if names else str(i) for i in bad.any(0).nonzero()[:, 0].tolist()]
        what = "column" if len(found) == 1 else "columns"
    else:
        return ""
    return f", in {what} {', '.join(found[:SHOWN])}" + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def is_missing(entry: Any) -> bool:
    """Return whether an entry stands for a missing one: None, NaN, pandas.NA or NaT."""
    return (
        entry is None or type(entry).__name__ in ("NAType", "NaTType") or (isinstance(entry, float) and entry != entry)
    )


def _warn_rounded(exact: Tensor, rounded: Tensor, name: str) -> None:
    """Warn where whole numbers changed with the dtype."""
    changed = (rounded.to(exact) != exact) & (exact == exact.round())
    if bool(changed.any()):
        first, instead = float(exact[changed][0]), float(rounded[changed.to(rounded.device)][0])
        warn_caller(
            f"{name} hold whole numbers that {rounded.dtype} rounds: {first:.0f} becomes {instead:.0f}; use float64 or "
            "subtract an origin first",
            ApproximationWarning,
        )
