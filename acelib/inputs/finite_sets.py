"""Which columns of a table are finite sets by themselves: switches, codes and ratings, whose values come back.

A column of 0 and 1 is one. So is a column of two values, and one of at most 12 whole numbers that came as such (not as
floating ones), if each value makes up 1 % of the rows and comes twice. The chance that the next row brings a value not
seen before is about the share of values that were seen once (Good, 1953), so here it is small. Everything else is a
quantity with an interval: measurements, ages, years, seconds, levels of grey.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .domain import FiniteSet

MOST = 12  # distinct whole numbers, as of months; more are a quantity
SHARE = 0.01  # of the rows that each value must make up
FIRST = 64  # rows that are looked at first: most columns of measurements show more values there


class Levels:
    """Counts of the distinct values of each column, as long as there are few; blocks of rows are added one by one.

    Example:
        >>> import torch
        >>> levels = Levels()
        >>> levels.add(torch.tensor([[0.0, 0.1], [1.0, 0.7], [1.0, 0.3]]))
        >>> assert levels.sets() == {0: FiniteSet((0.0, 1.0))}
    """

    def __init__(self) -> None:
        self._rows = 0
        self._whole: list[bool] = []
        self._counts: dict[int, dict[float, int]] | None = None  # of the columns that may still be finite sets

    def add(self, rows: Tensor, whole: Sequence[bool] = (False,)) -> None:
        """Add rows ``(b, k)`` of a table, b >= 1; ``whole`` says which columns came as whole numbers, or of all."""
        whole = [*whole] * (rows.shape[1] if len(whole) == 1 else 1)
        if self._counts is None:
            self._counts, self._whole = {column: {} for column in range(rows.shape[1])}, whole
        self._whole = [a and b for a, b in zip(self._whole, whole, strict=True)]
        self._rows += len(rows)
        columns = list(self._counts)
        steps = rows[:FIRST, columns].sort(0).values.diff(dim=0) != 0
        for column, few in zip(columns, (steps.sum(0) < MOST).tolist(), strict=True):
            counts = self._counts[column]
            if few:
                values, times = rows[:, column].unique(return_counts=True)
                few = len(values) <= MOST
                for value, count in zip(values.tolist(), times.tolist(), strict=True) if few else ():
                    counts[value] = counts.get(value, 0) + count
            if not few or len(counts) > MOST:
                del self._counts[column]

    def sets(self) -> dict[int, FiniteSet]:
        """Return the columns that are finite sets, with their values."""
        least = max(2.0, SHARE * self._rows)
        found = {}
        for column, counts in (self._counts or {}).items():
            switch = set(counts) == {0.0, 1.0} and self._rows > 2
            code = len(counts) == 2 or (len(counts) > 2 and self._whole[column])
            if switch or (code and min(counts.values()) >= least):
                found[column] = FiniteSet(counts)
        return found
