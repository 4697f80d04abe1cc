"""What a fitted causal model keeps of its table: rows to check it by and to refit it on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_ROWS = 2**14  # rows kept; a seeded draw of a longer table


@dataclass(frozen=True, eq=False)
class FittedRows:
    """Rows that a model was fitted on, in the order of its nodes.

    Attributes:
        rows: ``(m, nodes)`` float64, of memory of their own; all rows of the table, or a seeded draw of 2^14 of them.
        count: rows of the table, n.
        resampled: whether the fit saw a resample of these rows, as those of ``bootstrap`` do, and not the rows.
    """

    rows: Tensor
    count: int
    resampled: bool = False

    @classmethod
    def of(cls, X: Tensor) -> FittedRows:
        """Return what is kept of a table ``(n, nodes)``.

        Example:
            >>> X = torch.arange(40_000.0)[:, None]
            >>> kept = FittedRows.of(X)
            >>> assert len(kept.rows) == 2**14 and kept.count == 40_000 and kept == FittedRows.of(X)
        """
        X = X.detach().cpu().double()
        if len(X) <= MAX_ROWS:
            return cls(X.clone(), len(X))
        drawn = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))[:MAX_ROWS]
        return cls(X[drawn], len(X))

    def __eq__(self, other: object) -> bool:
        """Return whether both are of the same rows."""
        if not isinstance(other, FittedRows) or self.count != other.count:
            return False
        return self.rows is other.rows or torch.equal(self.rows, other.rows)

    def __hash__(self) -> int:
        return hash(self.count)
