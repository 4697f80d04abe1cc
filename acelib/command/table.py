"""The table of a command: its file, the columns that the network reads, and what is wrong with them in one sentence."""

from __future__ import annotations

import csv
import gzip
import io
import math
import numbers
import os
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import optional
from .._tables import frame_names
from .words import listed, number, shortened

SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
KINDS = (*SEPARATORS, ".parquet")
SHOWN = 8  # columns that a sentence names


@dataclass(frozen=True)
class Table:
    """The rows that are explained.

    Attributes:
        inputs: data frame of the columns that the network reads, in its order.
        groups: labels of dependent rows, or None.
        left_out: columns that are not read, with the reason.
        missing: rows that were left out for missing or infinite entries.
    """

    inputs: Any
    groups: list[Any] | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    missing: int = 0


def kind_of(path: str | os.PathLike, kinds: Sequence[str]) -> str | None:
    """Return the ending of a path among these, the longest that fits; None for another."""
    name = os.path.basename(os.fspath(path)).lower()
    fits = [kind for kind in kinds if name.endswith(kind) and len(name) > len(kind)]
    return max(fits, key=len, default=None)


def read_table(path: str | os.PathLike) -> Any:
    """Return a table of a file as a pandas data frame.

    Args:
        path: a ``.csv`` or ``.tsv`` file, also compressed by gzip, with a header; or a ``.parquet`` file.

    Raises:
        ValueError: if the file is missing, of another kind, damaged, or holds no rows or no header.
        ImportError: if pandas is missing, or pyarrow for a ``.parquet`` file.
    """
    path = Path(path)
    kind = kind_of(path, KINDS)
    if kind is None:
        raise ValueError(f"table must be a file that ends in {', '.join(KINDS)}, got {path.name!r}; save it as .csv")
    if not path.is_file():
        raise ValueError(f"table must be a file, got {str(path)!r}, which does not exist; look at its name and folder")
    pandas = optional("pandas", "a table of a file")
    frame = _parquet(pandas, path) if kind == ".parquet" else _text(pandas, path, SEPARATORS[kind])
    if not len(frame) or not len(frame.columns):
        raise ValueError(
            f"table must hold rows under a header, got {len(frame)} rows in {path.name!r}; write them there"
        )
    frame_names(frame, "table")
    return frame


def _parquet(pandas: Any, path: Path) -> Any:
    optional("pyarrow", "a table of a .parquet file", hint="or save it as .csv")
    try:
        return pandas.read_parquet(path, engine="pyarrow")
    except Exception as error:  # noqa: BLE001  (pyarrow has error classes of its own)
        raise ValueError(_damaged(path, error, "write it again by DataFrame.to_parquet")) from error


def _text(pandas: Any, path: Path, separator: str) -> Any:
    """Return the frame of a file of text, read once and to the last digit."""
    try:
        content = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
        header = next(csv.reader(io.StringIO(text), delimiter=separator), [])
        _check_header(header, path, separator)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # rows longer than the header
            options = dict(sep=separator, index_col=False, float_precision="round_trip", low_memory=False)
            return pandas.read_csv(io.StringIO(text), **options)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        remedy = "save it as text in UTF-8" if isinstance(error, UnicodeDecodeError) else "look at the file"
        raise ValueError(_damaged(path, error, remedy)) from error
    except (csv.Error, pandas.errors.ParserError, pandas.errors.ParserWarning, pandas.errors.EmptyDataError) as error:
        remedy = "give every row as many entries as the header has"
        raise ValueError(_damaged(path, error, remedy)) from error


def _damaged(path: Path, error: Exception, remedy: str) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"table must be a readable {''.join(path.suffixes)} file, got {first[:200]!r} for {path.name!r}; {remedy}"


def _check_header(header: list[str], path: Path, separator: str) -> None:
    """Raise for a header that is missing, has names twice, or is written with another separator."""
    if not header:
        raise ValueError(f"table must hold rows under a header, got an empty file {path.name!r}; write them there")
    if all(_is_number(name) for name in header):
        raise ValueError(
            f"table must begin with a header of names, got the numbers {shortened(', '.join(header))!r}; put the "
            f"names of "
            "the columns in the first line"
        )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise ValueError(f"table must have distinct column names, got {twice[:SHOWN]} more than once; rename columns")
    other = [one for one in (";", "\t", ",") if one != separator and one in header[0]]
    if len(header) == 1 and other:
        remedy = "save it as .tsv" if other[0] == "\t" else "save it with commas between the columns"
        raise ValueError(
            f"table must have its columns apart by {separator!r}, got {other[0]!r} in the header; {remedy}"
        )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def choose(
    frame: Any,
    *,
    width: int,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    groups: str | None = None,
    missing: str = "refuse",
) -> Table:
    """Return what the network reads of a data frame.

    Args:
        frame: a pandas data frame.
        width: numbers that the network reads of each row.
        columns: names of the columns, in the network's order; None takes all that hold numbers.
        drop: names of columns that it does not read.
        groups: name of the column with the labels of dependent rows; it is no input.
        missing: "refuse" raises for rows with missing or infinite entries, "drop" leaves them out.

    Raises:
        ValueError: for unknown columns, columns that hold no numbers, another number of them than the network reads, or
            missing entries.
    """
    have = list(frame_names(frame, "table"))
    frame = frame.set_axis(have, axis=1)
    for option, asked in (("--columns", columns or ()), ("--drop", drop), ("--groups", [groups] if groups else ())):
        if lost := [name for name in asked if name not in have]:
            raise ValueError(
                f"{option} must name columns of the table, {_named(have)}, got {lost[0]!r}; look at the header"
            )
    if doubly := [name for name in columns or () if name in drop or name == groups]:
        raise ValueError(f"--columns must name inputs, got {doubly[0]!r}, which --drop or --groups names as well")
    left_out, wanted = {}, list(columns or ())
    for name in have:
        if columns is not None and name in wanted:
            if why := _no_numbers(frame[name]):
                raise ValueError(f"column {name!r} must hold numbers, got {why}; clean or encode it, or use --drop")
        elif columns is None and name not in drop and name != groups:
            if why := _no_numbers(frame[name]):
                left_out[name] = why
            else:
                wanted.append(name)
        else:
            left_out[name] = "groups" if name == groups else "dropped"
    _check_width(wanted, left_out, width)
    kept, count = _finite(frame, wanted, missing)
    if len(kept) < 2:
        raise ValueError(
            f"table must hold at least two rows, got {len(kept)}; add rows of the population that is meant"
        )
    return Table(kept[wanted], None if groups is None else kept[groups].tolist(), left_out, count)


def _named(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return ", ".join(shortened(name) for name in columns[:SHOWN]) + more


def _check_width(wanted: list[str], left_out: dict[str, str], width: int) -> None:
    if len(wanted) == width:
        return
    texts = [name for name, why in left_out.items() if why not in ("groups", "dropped")]
    besides = f"; without numbers: {'; '.join(f'{shortened(n)} ({left_out[n]})' for n in texts[:3])}" if texts else ""
    got = f"{len(wanted)} numeric columns ({_named(wanted)}{besides})" if wanted else f"no numeric column{besides}"
    raise ValueError(
        f"table must have the {width} columns that the network reads, got {got}; name them in the network's order by "
        "--columns, or leave out the others by --drop"
    )


def _no_numbers(series: Any) -> str:
    """Return why a column holds no numbers, "" where it does."""
    kind = getattr(series.dtype, "kind", "O")
    if kind in "biuf" and getattr(series.dtype, "name", "") != "category":
        return ""
    if kind in "Mm":
        return "dates or times"
    if kind == "c":
        return "complex numbers"
    there = series[series.notna()].tolist()
    odd = [one for one in there if not isinstance(one, numbers.Real | Decimal)]
    if there and not odd:
        return ""
    words = [one for one in odd if not (isinstance(one, str) and _is_number(one))]
    example = f", such as {shortened(str(words[0]), 24)!r}" if words else ""
    return f"{len(words)} of {len(series)} entries that are none{example}" if there else "nothing but missing entries"


def _finite(frame: Any, wanted: list[str], missing: str) -> tuple[Any, int]:
    """Return the rows whose entries are all there and finite, and how many are not."""
    values = [frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in wanted]
    bad = ~np.isfinite(np.stack(values, axis=1))
    rows = bad.any(axis=1)
    count = int(rows.sum())
    if count and missing == "refuse":
        where = [f"{shortened(name)} ({c})" for name, c in zip(wanted, bad.sum(axis=0).tolist(), strict=True) if c]
        more = f" and {len(where) - SHOWN} more" if len(where) > SHOWN else ""
        raise ValueError(
            f"table must hold a finite number in every entry, got missing or infinite ones in {count} of {len(frame)} "
            f"rows, in {', '.join(where[:SHOWN])}{more}; impute them, or leave these rows out by --missing drop"
        )
    return frame[~rows].reset_index(drop=True) if count else frame, count


def said_of_left_out(table: Table) -> list[str]:
    """Return what a reader has to know of columns and rows that were not read."""
    texts = {name: why for name, why in table.left_out.items() if why not in ("groups", "dropped")}
    said = []
    if texts:
        each = [f"{shortened(name)} ({why})" for name, why in list(texts.items())[:SHOWN]]
        said.append(f"columns without numbers are no inputs and were left out: {listed(each)}")
    if table.missing:
        share = number(100 * table.missing / (table.missing + len(table.inputs)), 2)
        said.append(
            f"{table.missing} rows with missing or infinite entries ({share} %) were left out: the averages are "
            f"over the "
            "others, which may be other rows in what matters"
        )
    for group in one_hot(table.inputs):
        said.append(
            f"columns {listed([shortened(name) for name in group])} hold exactly one 1 in every row, as levels of one "
            "category do: set alone, each makes rows with two levels or none; acelib.Categories sets them together"
        )
    return said


def one_hot(frame: Any) -> list[list[str]]:
    """Return the columns beside each other that look like the levels of one category, group by group.

    They hold 0 and 1, and one of them is 1 in each row.

    Example:
        >>> import pandas as pd
        >>> assert one_hot(pd.DataFrame({"land": [1, 0], "size": [3, 4], "sea": [0, 1]})) == []
        >>> assert one_hot(pd.DataFrame({"size": [3, 4], "land": [1, 0], "sea": [0, 1]})) == [["land", "sea"]]
    """
    values = frame.to_numpy(dtype=np.float64)
    switch = ((values == 0) | (values == 1)).all(axis=0) & (values.min(axis=0) < values.max(axis=0))
    found, names, start = [], list(frame.columns), 0
    while start < len(names):
        end = _last_level(values, switch, start)
        found += [names[start:end]] if end else []
        start = end or start + 1
    return found


def _last_level(values: np.ndarray, switch: np.ndarray, start: int) -> int:
    """Return the column after the group of levels that begins at one; 0 where there is none."""
    total = np.zeros(len(values))
    for column in range(start, values.shape[1]):
        total = total + values[:, column]
        if not switch[column] or total.max() > 1:
            return 0
        if total.min() == 1:
            return column + 1
    return 0
