"""Columns of categories: one cause each, whatever number of one-hot columns the network reads it in.

To set one column of a one-hot group and leave the others alone makes rows that no world has, with two levels at once or
none. Here a category is one input: a table holds its number, do() sets it as a whole, its domain is the finite set of
its levels, and a module between table and network writes the one-hot columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._models import Model
from .._tables import frame_names, is_frame
from .domain import FiniteSet

MISSING = "missing"
ROUNDING = 1e-3  # by which a code, or a one-hot entry, may be off the number that it stands for


@dataclass(frozen=True, repr=False)
class Categories:
    """Which columns of a table are categories, and their levels.

    Attributes:
        names: all k columns of the coded table, in its order.
        levels: ``{column: names of its levels}``; level number j is coded as j.

    Example:
        >>> import pandas as pd
        >>> from acelib import AverageCausalEffect, InputDistribution
        >>> frame = pd.DataFrame({"size": [1.0, 2.0, 4.0], "place": ["sea", "land", "sea"]})
        >>> categories = Categories.of(frame)
        >>> table = categories.encode(frame)
        >>> assert table["place"].tolist() == [1.0, 0.0, 1.0] and categories.levels["place"] == ("land", "sea")
        >>> assert categories.one_hot(table).tolist()[0] == [1.0, 0.0, 1.0]  # size, land, sea
        >>> net = torch.nn.Linear(3, 1).double()  # reads size and two one-hot columns
        >>> inputs = InputDistribution.fit(table, domain=categories.domain | {"size": (0.0, 5.0)})
        >>> curves = AverageCausalEffect(categories.before(net), inputs).regress(["place"])
        >>> step = curves["place", 0].ace(1.0) - curves["place", 0].ace(0.0)
        >>> assert abs(float(step) - float(net.weight[0, 2] - net.weight[0, 1])) < 1e-9
    """

    names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        lost = [name for name in self.levels if name not in self.names]
        few = [name for name, found in self.levels.items() if not found or len(set(found)) < len(found)]
        if lost or few:
            what = f"levels of {lost[0]!r}, which is no column" if lost else f"none or equal ones for {few[0]!r}"
            raise ValueError(f"levels must be distinct names for columns of the table, got {what}")

    @classmethod
    def of(cls, frame: Any, columns: Iterable[str] | None = None) -> Categories:
        """Return the categories of a data frame: columns of text, objects that are no numbers, or pandas' categories.

        Missing entries of such a column are a level of their own, called "missing". Levels are in alphabetical order,
        or in that of pandas' categories.

        Args:
            frame: a pandas data frame.
            columns: which columns are categories; default those that hold no numbers.

        Raises:
            TypeError: if it is no data frame.
            ValueError: for a column that is not there.
        """
        if not is_frame(frame):
            raise TypeError(f"frame must be a data frame with named columns, got {type(frame).__name__}")
        names = frame_names(frame)
        chosen = [name for name in names if not _numeric(_column(frame, names, name))] if columns is None else columns
        chosen = [str(name) for name in chosen]
        lost = [name for name in chosen if name not in names]
        if lost:
            raise ValueError(f"columns must name columns of the frame, {list(names)}, got {lost}")
        return cls(names, {name: _levels(_column(frame, names, name)) for name in chosen})

    @classmethod
    def of_one_hot(cls, columns: Sequence[str], groups: Mapping[str, Sequence[str]]) -> Categories:
        """Return the categories of a table that is one-hot already.

        Args:
            columns: its columns, in the order in which the network reads them; those of a group lie together.
            groups: ``{category: its one-hot columns}``, in their order.

        Raises:
            ValueError: if the columns of a group do not lie together in this order.

        Example:
            >>> categories = Categories.of_one_hot(["size", "land", "sea"], {"place": ["land", "sea"]})
            >>> assert categories.names == ("size", "place")
            >>> assert categories.code(torch.tensor([[4.0, 0.0, 1.0]])).tolist() == [[4.0, 1.0]]
        """
        columns, names = [str(column) for column in columns], []
        first = {str(group[0]): name for name, group in groups.items()}
        inside = {str(column) for group in groups.values() for column in group}
        for place, column in enumerate(columns):
            if column in first:
                group = [str(one) for one in groups[first[column]]]
                if columns[place : place + len(group)] != group:
                    raise ValueError(f"groups must be columns that lie together, got {group} for {first[column]!r}")
                names.append(first[column])
            elif column not in inside:
                names.append(column)
        lost = [name for name in groups if name not in names]
        if lost:
            raise ValueError(f"groups must be of columns of the table, got {list(groups[lost[0]])} for {lost[0]!r}")
        return cls(tuple(names), {str(name): tuple(map(str, group)) for name, group in groups.items()})

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {' | '.join(found)}" for name, found in self.levels.items())
        return f"Categories({len(self.names)} columns; {shown or 'no categories'})"

    @property
    def domain(self) -> dict[str, FiniteSet]:
        """The finite set of codes of each category, for ``InputDistribution.fit``."""
        return {name: FiniteSet(range(len(found))) for name, found in self.levels.items()}

    @property
    def wide(self) -> tuple[str, ...]:
        """Names of the columns that the network reads: "column=level" for each level, others as they are."""
        return tuple(part for name in self.names for part in self._parts(name))

    def _parts(self, name: str) -> list[str]:
        return [f"{name}={level}" for level in self.levels[name]] if name in self.levels else [name]

    def encode(self, frame: Any) -> Any:
        """Return a data frame of numbers in which each category is its level's number; other columns as they are.

        Raises:
            ValueError: for missing columns, or a level that is not known.
        """
        names = frame_names(frame)
        lost = [name for name in self.names if name not in names]
        if lost:
            raise ValueError(f"frame must have the columns {list(self.names)}, got none for {lost}")
        table = frame[[frame.columns[names.index(name)] for name in self.names]].copy()
        table.columns = list(self.names)
        for name, levels in self.levels.items():
            texts = _texts(table[name])
            unknown = sorted(set(texts) - set(levels))
            if unknown:
                raise ValueError(f"frame must hold the levels {list(levels)} in {name!r}, got {unknown[:5]}")
            table[name] = [float(levels.index(text)) for text in texts]
        return table

    def decode(self, table: Any) -> Any:
        """Return a data frame of words from one of codes, with columns of these names; missing ones are NaN.

        Raises:
            ValueError: for a code that is none of its levels, or levels that are numbers written as text, of which
                nobody knows whether the table had numbers or text.

        Example:
            >>> import pandas as pd
            >>> frame = pd.DataFrame({"size": [1.0, 2.0], "place": ["sea", "land"]})
            >>> categories = Categories.of(frame)
            >>> assert categories.decode(categories.encode(frame)).equals(frame)
        """
        words = table.copy()
        for name, levels in self.levels.items():
            if any(_is_number(level) for level in levels):
                raise ValueError(f"levels must be words where codes are decoded, got {list(levels)[:5]} of {name!r}")
            codes = [float(code) for code in table[name]]
            wrong = [code for code in codes if abs(code - round(code)) > ROUNDING or not 0 <= round(code) < len(levels)]
            if wrong:
                raise ValueError(
                    f"table must hold numbers of levels, 0 to {len(levels) - 1}, in {name!r}, got {wrong[0]:g}"
                )
            known = [float("nan") if level == MISSING else level for level in levels]
            words[name] = np.array([known[round(code)] for code in codes], dtype=object)  # a row of NaN stays a word
        return words

    def level(self, name: str, code: float) -> str:
        """Return the name of a level.

        Raises:
            ValueError: for a column that is no category, or a code that is none of its levels.
        """
        if name not in self.levels or not 0 <= int(code) < len(self.levels[name]):
            raise ValueError(f"code must be one of a category's levels, got {code} of {name!r} in {self}")
        return self.levels[name][int(code)]

    def one_hot(self, table: Any) -> Tensor:
        """Return the ``(n, columns)`` table that the network reads from a coded one ``(n, k)``.

        Raises:
            ValueError: for another number of columns, or an entry that is no level's number.
        """
        codes = table if isinstance(table, Tensor) else torch.as_tensor(table.to_numpy(dtype=float))
        if codes.ndim != 2 or codes.shape[1] != len(self.names):
            raise ValueError(f"table must be (rows, {len(self.names)}), got {tuple(codes.shape)}")
        parts = []
        for place, name in enumerate(self.names):
            column = codes[:, place, None]
            if name not in self.levels:
                parts.append(column)
                continue
            whole = torch.arange(len(self.levels[name]), device=codes.device, dtype=codes.dtype)
            hot = (column - whole).abs() < ROUNDING
            if not bool((hot.sum(1) == 1).all()):
                wrong = float(column[hot.sum(1) != 1][0])
                raise ValueError(
                    f"table must hold numbers of levels, 0 to {len(whole) - 1}, in {name!r}, got {wrong:g}; set a "
                    "category to one of its domain's values"
                )
            parts.append(hot.to(codes.dtype))
        return torch.cat(parts, 1)

    def code(self, wide: Tensor) -> Tensor:
        """Return the coded table ``(n, k)`` of a one-hot one ``(n, columns)``.

        Raises:
            ValueError: for another number of columns, or a group without exactly one 1 and otherwise 0.
        """
        widths = [len(self._parts(name)) for name in self.names]
        if wide.ndim != 2 or wide.shape[1] != sum(widths):
            raise ValueError(f"wide must be (rows, {sum(widths)}), got {tuple(wide.shape)}")
        found = []
        for name, part in zip(self.names, wide.split(widths, 1), strict=True):
            if name not in self.levels:
                found.append(part)
                continue
            place = part.argmax(1)
            hot = nn.functional.one_hot(place, part.shape[1]).to(part.dtype)
            if float((part - hot).abs().max()) > ROUNDING:
                raise ValueError(f"wide must have exactly one 1 in the columns of {name!r}, got another row")
            found.append(place[:, None].to(part.dtype))
        return torch.cat(found, 1)

    def before(self, model: Model) -> nn.Module:
        """Return a network that takes the coded table, writes it one-hot, and asks ``model``."""
        return _OneHot(self, model)


class _OneHot(nn.Module):
    """A network behind one-hot columns."""

    def __init__(self, categories: Categories, model: Model) -> None:
        super().__init__()
        self.categories, self.model = categories, model
        if isinstance(model, nn.Module):
            self.train(model.training)

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's outputs for coded rows ``(batch, k)``."""
        return self.model(self.categories.one_hot(x))


def _column(frame: Any, names: Sequence[str], name: str) -> Any:
    return frame[frame.columns[list(names).index(name)]]


def _numeric(column: Any) -> bool:
    """Return whether a column holds numbers, as text or objects do not."""
    if getattr(column.dtype, "name", "") == "category":
        return False
    try:
        column.to_numpy(dtype=float, na_value=float("nan"))
    except (TypeError, ValueError):
        return False
    return not any(isinstance(value, str) for value in column.head(100))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _texts(column: Any) -> list[str]:
    """Return the entries of a column as text; missing ones are "missing"."""
    return [MISSING if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]


def _levels(column: Any) -> tuple[str, ...]:
    """Return the levels of a column: pandas' categories in their order, else alphabetical; "missing" comes last."""
    texts = _texts(column)
    ordered = getattr(column.dtype, "categories", None)
    known = sorted(set(texts) - {MISSING}) if ordered is None else [str(level) for level in ordered]
    return tuple(known + ([MISSING] if MISSING in texts and MISSING not in known else []))
