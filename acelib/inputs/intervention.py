"""The answer to do(feature = values): all that the estimators may see of a causal input model.

For m values an answer holds the interventional means, a factor S of the interventional covariance S S^T, which
coordinates are pinned, and, where the input model has them, rows drawn under the intervention. The same rows serve
every value, feature and target, so differences between values carry little noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Block = tuple[Tensor, Tensor, Tensor]
RowSource = Callable[[int, Tensor | None], Iterator[Block]]


@dataclass(frozen=True)
class Intervention:
    """What an input model answers to ``do(feature, values)``, for m values at once.

    Attributes:
        name: the feature's name, for messages and axes.
        columns: the flattened coordinates that are set.
        values: ``(m, len(columns))`` what they are set to, in the features' units.
        means: ``(m, k)`` interventional means.
        factor: ``(k, R)`` where one serves all values, or ``(m, k, R)``; pinned rows are zero.
        pinned: ``(m, k)`` bool.
        shape: the shape of one input as the model wants it.
        num_rows: rows available under each value; 0 where the input model has only moments.
        num_observed: rows behind the moments, None where unknown.
        base_rows: ``(n, k)`` the rows before the columns are set, where setting them is all that the intervention does;
            then a first layer can be shared between the values.
        residual: rows ``(n, k)`` and the truncated factor before the columns are pinned ``(k, R)``, to probe what the
            truncation cut off; None where nothing was.
        groups: ``(num_rows,)`` labels of rows that are not independent draws (one draw with each of its classes); None
            where every row is a draw of its own.
    """

    name: str
    columns: tuple[int, ...]
    values: Tensor
    means: Tensor
    factor: Tensor
    pinned: Tensor
    shape: tuple[int, ...]
    num_rows: int
    num_observed: int | None = None
    base_rows: Tensor | None = field(default=None, repr=False)
    residual: tuple[Tensor, Tensor] | None = field(default=None, repr=False)
    groups: Tensor | None = field(default=None, repr=False)
    row_source: RowSource | None = field(default=None, repr=False)
    support_source: Callable[[], Tensor] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def alphas(self) -> Tensor:
        """The values as ``(m,)`` for a single coordinate, else ``(m, len(columns))``; float64."""
        values = self.values.to(torch.float64) if self.values.device.type != "mps" else self.values
        return values[:, 0] if values.shape[1] == 1 else values

    def rows(self, chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        """Yield ``(value_index (v,), rows (v, b, k), weights (b,))`` with v * b <= chunk, one row block after another.

        All values of a row block come before the next block; ``index`` restricts to a subset of the rows.

        Raises:
            ValueError: if the input model has no rows.
        """
        if self.row_source is None:
            raise ValueError(
                "this input model has moments but no rows to average over; use method='taylor' or 'cubature', "
                "or build it with InputDistribution.fit"
            )
        return self.row_source(chunk, index)

    def check_models(self, models: list[Any]) -> None:
        """Raise a ValueError where the rows belong to another model; rows of data serve any."""

    def outputs(self, chunk: int, index: Tensor | None = None) -> Iterator[Block] | None:
        """Return ``(value_index (v,), outputs (v, b, outputs), weights (b,))`` like ``rows``, or None.

        An answer whose rows were simulated with the network knows its outputs there; others leave them to the model.
        """
        return None

    def support(self) -> Tensor:
        """Return the share of intervened rows that leave the data, ``(m,)``; NaN where there is no data to compare."""
        if self.support_source is None:
            return torch.full((len(self),), torch.nan, dtype=torch.float64)
        return self.support_source()


def overwrite_rows(samples: Tensor, columns: tuple[int, ...], values: Tensor) -> RowSource:
    """Return a source of data rows with ``columns`` overwritten by each value (Chattopadhyay et al., Eq. 2).

    Args:
        samples: ``(n, k)``.
        columns: coordinates to set.
        values: ``(m, len(columns))``.
    """
    count = values.shape[0]

    def source(chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        chosen = samples if index is None else samples[index]
        per_block = max(1, chunk // count)
        for rows in chosen.split(per_block):
            weights = torch.ones(rows.shape[0], dtype=rows.dtype, device=rows.device)
            for which in torch.arange(count, device=rows.device).split(max(1, chunk // rows.shape[0])):
                block = rows.expand(len(which), *rows.shape).clone()
                for position, column in enumerate(columns):
                    block[:, :, column] = values[which, position, None]
                yield which, block, weights

    return source
