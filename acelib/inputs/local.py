"""Where a network may be linearised around every row: the coordinates that are set, before they are set.

Of a table they are the row's own inputs. Of sequences with feedback they are the inputs of one step, from which the
network goes on by itself; the row's past is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from .._models import Model

Follow = Callable[[Model, Tensor, Tensor], Tensor]  # model, coordinates (b, k), numbers of the rows (b,) -> outputs


@dataclass(frozen=True, eq=False)
class Local:
    """Coordinates that an intervention sets, at their values in every row.

    Attributes:
        rows: ``(n, k)`` the coordinates of each row.
        columns: which of them are set.
        follow: the network's outputs ``(b, outputs)`` from coordinates of some rows, with gradients.
        weights: ``(n,)`` weights of the rows; None where all are 1.
        key: what tells apart coordinates of another kind with the same values, such as the step of a sequence.
        shape: the shape of one input of the network, where following it from coordinates is to call it on them; else
            None.
    """

    rows: Tensor
    columns: tuple[int, ...]
    follow: Follow
    weights: Tensor | None = None
    key: Hashable = None
    shape: tuple[int, ...] | None = None

    def same(self, other: Local) -> bool:
        """Return whether the networks at these rows are those at the other's, whatever is set."""
        if self.key != other.key or self.rows.shape != other.rows.shape:
            return False
        return self.rows is other.rows or torch.equal(self.rows, other.rows)
