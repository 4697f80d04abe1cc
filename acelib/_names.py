"""What users call inputs, outputs and rows: names or indices, one or several, from Python, numpy, torch or pandas."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ._checks import as_index
from ._tables import in_order, is_frame


def chosen(value: Any, names: Sequence[str], what: str, error: type[Exception] = ValueError) -> int:
    """Return the position that a name or an index stands for; negative ones count from the end.

    Args:
        value: a name or an index.
        names: the names there are.
        what: "target" or "feature", for the message.
        error: what is raised.

    Raises:
        ValueError: or ``error``, for an unknown name (with the nearest ones) or an index out of range.

    Example:
        >>> assert chosen("b", ["a", "b"], "target") == chosen(-1, ["a", "b"], "target") == 1
    """
    if isinstance(value, str) and value in names:
        return list(names).index(value)
    index = as_index(value)
    if index is not None and -len(names) <= index < len(names):
        return index % len(names)
    outputs = {"target": "outputs", "feature": "inputs"}[what]
    close = difflib.get_close_matches(value, names, n=3) if isinstance(value, str) else []
    meant = f"; did you mean {', '.join(map(repr, close))}?" if close else ""
    raise error(
        f"{what} must be one of the {len(names)} {outputs} {list(names)[:10]}, by name or index, got {value!r}{meant}"
    )


def as_list(values: Any) -> list[Any]:
    """Return several names or indices as a list; a single one becomes a list of one.

    Example:
        >>> assert as_list("a") == ["a"] and as_list(np.int64(1)) == [1] and as_list(np.array([0, 1])) == [0, 1]
    """
    if isinstance(values, str) or getattr(values, "ndim", 1) == 0:
        return [values]
    if hasattr(values, "ndim"):
        return (values.cpu() if isinstance(values, Tensor) else np.asarray(values)).reshape(-1).tolist()
    try:
        return list(values)
    except TypeError:
        return [values]


def is_one(value: Any) -> bool:
    """Return whether a value stands for one thing rather than for several: a name, a number, an array without axes."""
    return isinstance(value, str) or getattr(value, "ndim", isinstance(value, Sequence)) == 0


def positions(values: Any, names: Sequence[str], what: str) -> list[int]:
    """Return the positions of several names or indices, or of a single one.

    Raises:
        ValueError: for unknown ones, none at all, or one that is given twice.
    """
    found = [chosen(value, names, what) for value in as_list(values)]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{what}s must be at least one, each given once, got {values!r}")
    return found


def each_target(target: Any, names: Sequence[str], count: int) -> list[int]:
    """Return the output that is explained for each of ``count`` rows: one for all, or one for each.

    Raises:
        ValueError: for an unknown output, or another number of them.

    Example:
        >>> assert each_target("b", "ab", 2) == [1, 1] and each_target(np.array([1, 0]), "ab", 2) == [1, 0]
    """
    if is_one(target):
        return [chosen(target, names, "target")] * count
    each = [chosen(one, names, "target") for one in as_list(target)]
    if len(each) != count:
        raise ValueError(f"target must be one output, or one for each of the {count} rows of x, got {len(each)}")
    return each


def ordered(frame: Any, names: Sequence[str]) -> Any:
    """Return a data frame or a series with its columns in the order of ``names``; anything else as it is.

    Columns go by their names. Where one side has none (``x0``, ``x1``, ... of inputs fitted without names; 0, 1, ... of
    a frame) they go by position.

    Args:
        frame: what is explained.
        names: names of the inputs, in their order.

    Raises:
        ValueError: for missing, further or repeated columns.
    """
    if not is_frame(frame) and not hasattr(frame, "iloc"):
        return frame
    labels = [str(label) for label in (frame.columns if is_frame(frame) else frame.index)]
    unnamed = labels == [str(i) for i in range(len(labels))]
    if unnamed and len(labels) != len(names):
        return frame  # of another size altogether
    if len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise ValueError(f"x must have each column once, got {twice[:10]} more than once; drop or rename them")
    missing = [name for name in names if name not in labels]
    further = [label for label in labels if label not in names]
    if not missing and not further:
        return in_order(frame, names, "x") if is_frame(frame) else frame.iloc[[labels.index(name) for name in names]]
    if len(labels) == len(names) and (unnamed or list(names) == [f"x{i}" for i in range(len(names))]):
        return frame
    raise ValueError(
        f"x must have the columns {list(names)[:20]} by name, in any order, got none of {missing[:10]} and unknown "
        f"{further[:10]}; give those columns alone, or their values as an array in this order"
    )
