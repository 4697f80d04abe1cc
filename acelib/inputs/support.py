"""The share of intervened rows that leave the data, where the network extrapolates.

``do(x_i = a)`` overwrites one coordinate and leaves the others as they were, so the new rows may be impossible:
a flower with the petal length of one species and the petal width of another. A row has *left the data* where its
nearest observed row is farther away than 99 % of the observed rows are from theirs (leave-one-out distances, each
feature in units of its standard deviation). In many dimensions all distances are alike and the measure becomes blind:
a share near 0 is then no proof that the rows are possible, while a large share is always a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import torch
from torch import Tensor

from .._checks import as_generator
from .._devices import double
from .._maps import LARGE, place_of, slabs, taken
from .._models import DEFAULT_CHUNK

MAX_ROWS = 500  # intervened rows that are checked
MAX_OBSERVED = 2000  # observed rows they are compared with
MAX_ENTRIES = 2**20  # of simulated rows that are held at once
FEW = (64, 512)  # rows and observed ones of a quick look,
FEW_VALUES = 9  # at so many values of a feature
FEW_FEATURES = 64  # beyond, a quick look is neither quick nor telling
PAIRS = 4096  # pairs of rows measured at a time
CANCELLED = 1e-3  # a difference below this share of its terms has lost digits
COLUMNS = 64  # columns of the data widened to float64 at a time
QUANTILE = 0.99


class Neighbourhood:
    """The data near which rows count as possible: at most 500 rows and 2000 observed ones, drawn and copied at once.

    One serves all answers of an input model. What costs time, distances, is computed at the first share and kept.

    Args:
        observed: ``(N, k)`` rows of the data, N >= 2.
        rows: ``(n, k)`` rows before the intervention (the data, or data with other coordinates pinned).
        weights: ``(n,)`` weights of the rows in the share; None where all are the same.
        seed: seed of the subsets; None means 0.
        most: most rows and most observed ones.
    """

    def __init__(
        self,
        observed: Tensor,
        rows: Tensor,
        *,
        weights: Tensor | None = None,
        seed: int | None = 0,
        most: tuple[int, int] = (MAX_ROWS, MAX_OBSERVED),
    ) -> None:
        self.scale = _unit(observed)
        chosen = seeded_subset(len(observed), most[1], seed=seed).to(observed.device)
        self.observed = taken(observed, chosen, in_memory=True)
        every = torch.arange(len(rows)) if weights is None else weights.cpu().nonzero()[:, 0]
        index = every[seeded_subset(len(every), most[0], seed=(seed or 0) + 1)].to(rows.device)
        self.rows = taken(rows, index, in_memory=True)
        self.weights = None if weights is None else double(weights[index])

    @cached_property
    def near(self) -> Tensor:
        """``(o, k)`` observed rows in units of the data's standard deviations, float64."""
        return double(self.observed) / self.scale

    @cached_property
    def limit(self) -> Tensor:
        """The distance beyond which a row has left the data."""
        return _limit(self.near)

    @cached_property
    def squares(self) -> Tensor:
        """``(r, o)`` squared distances of the rows, before anything is set, from the observed ones."""
        return _squared(double(self.rows) / self.scale, self.near)

    def shares(self, columns: tuple[int, ...], values: Tensor) -> Tensor:
        """Return the share of rows that leave the data with the columns set to each of m values: ``(m,)`` float64.

        Args:
            columns: the coordinates that are set.
            values: ``(m, len(columns))`` what they are set to.
        """
        index, within = list(columns), self.limit * (1 + 1e-12)
        moved = self._set(index)
        shares = []
        for value in double(values) / self.scale[index]:
            nearest = (moved + (self.near[:, index] - value).square().sum(1)).min(1).values.sqrt()
            left = (nearest > within).double()
            shares.append(left.mean() if self.weights is None else self.weights @ left / self.weights.sum())
        return torch.stack(shares)

    def _set(self, index: list[int]) -> Tensor:
        """Return squared distances ``(r, o)`` in all coordinates but these.

        They are a difference, but for pairs that are apart in these coordinates almost alone: those are measured.
        """
        rows = double(self.rows) / self.scale
        rest = self.squares - _squared(rows[:, index], self.near[:, index])
        others = torch.ones(rows.shape[1], dtype=torch.bool, device=rows.device)
        others[index] = False
        row, other = (rest < CANCELLED * self.squares).nonzero(as_tuple=True)
        for r, o in zip(row.split(PAIRS), other.split(PAIRS), strict=True):
            rest[r, o] = (rows[r][:, others] - self.near[o][:, others]).square().sum(1)
        return rest


class Later:
    """A share that is computed when it is first read; what it is computed from is held until then, and no longer.

    Pickles and copies hold the numbers.

    Args:
        source: ``() -> (m,)``, or the shares themselves.
    """

    def __init__(self, source: Tensor | Callable[[], Tensor]) -> None:
        self._source = source

    def __call__(self) -> Tensor:
        """Return the shares ``(m,)``."""
        source = self._source
        if not isinstance(source, Tensor):
            source = self._source = source()
        return source

    def __getstate__(self) -> dict[str, Tensor]:
        return {"_source": self()}


def off_support(
    observed: Tensor,
    rows: Tensor,
    columns: tuple[int, ...],
    values: Tensor,
    *,
    weights: Tensor | None = None,
    seed: int | None = 0,
) -> Tensor:
    """Return the share of intervened rows that leave the data, one per value: ``(m,)`` float64, 0 to 1.

    Args:
        observed: ``(N, k)`` rows of the data, N >= 2.
        rows: ``(n, k)`` rows before the intervention (the data, or data with other coordinates pinned).
        columns: the coordinates that are set.
        values: ``(m, len(columns))`` what they are set to.
        weights: ``(n,)`` weights of the rows in the share; None where all are the same.
        seed: seed of the subsets that bound the cost (500 rows against 2000 observed ones); None means 0.

    Example:
        >>> line = torch.linspace(0, 1, 50, dtype=torch.float64)
        >>> data = torch.stack([line, line], dim=1)  # x1 always equals x0
        >>> share = off_support(data, data, (0,), torch.tensor([[0.5]], dtype=torch.float64))
        >>> assert share.item() > 0.9  # but not after do(x0 = 0.5)
    """
    return Neighbourhood(observed, rows, weights=weights, seed=seed).shares(columns, values)


def distance_limit(observed: Tensor, *, seed: int | None = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return the unit ``(k,)``, at most 2000 observed rows in it, and the distance beyond which a row has left.

    Args:
        observed: ``(N, k)`` rows of the data, N >= 2.
        seed: seed of the subset; None means 0.
    """
    space = Neighbourhood(observed, observed[:1], seed=seed)
    return space.scale, space.near, space.limit


def _unit(observed: Tensor) -> Tensor:
    """Return the unit of each coordinate, ``(k,)`` float64: its standard deviation, or next to none where it is 0."""
    if place_of(observed) is not None or observed.numel() >= LARGE:
        scale = _spread(observed)
    else:
        scale = torch.cat([double(part).std(0, correction=0) for part in observed.split(COLUMNS, dim=1)])
    typical = scale[scale > 0].median() if (scale > 0).any() else torch.ones(())
    return torch.where(scale > 0, scale, 1e-6 * typical)  # a constant feature that moves has left the data


def _spread(observed: Tensor) -> Tensor:
    """Return the standard deviations of many rows, read block by block in two passes."""
    mean = torch.stack([double(rows).sum(0) for rows in slabs(observed)]).sum(0) / len(observed)
    squares = torch.stack([(double(rows) - mean).square().sum(0) for rows in slabs(observed)]).sum(0)
    return (squares / len(observed)).sqrt()


def _limit(near: Tensor) -> Tensor:
    """Return the distance that 99 % of the rows ``(o, k)`` keep from their nearest."""
    own = torch.cdist(near, near, compute_mode="donot_use_mm_for_euclid_dist")
    own.fill_diagonal_(torch.inf)
    return torch.quantile(own.min(1).values, QUANTILE)


def share_off_support(
    observed: Tensor | Neighbourhood,
    rows: Callable[[int, Tensor], Iterable[tuple[Tensor, Tensor, Tensor]]],
    *,
    num_values: int,
    num_rows: int,
    past: int = 0,
) -> Tensor:
    """Return the share of simulated rows that leave the data, one per value: ``(m,)`` float64, 0 to 1.

    Args:
        observed: ``(N, k)`` rows of the data, N >= 2, or what was drawn from them.
        rows: ``(chunk, row numbers) -> blocks``, as ``Intervention.rows``; at most 500 rows are taken.
        num_values: number of values, m.
        num_rows: rows under each value.
        past: number of leading coordinates that are the same under every value.
    """
    space = Neighbourhood(observed, observed[:1]) if isinstance(observed, Tensor) else observed
    near, within = space.near, space.limit * (1 + 1e-12)
    index = seeded_subset(num_rows, seed=1).to(space.observed.device)
    shares = torch.zeros(num_values, dtype=torch.float64, device=near.device)
    for which, block, _ in rows(max(1, min(DEFAULT_CHUNK, MAX_ENTRIES // near.shape[1])), index):
        block = double(block) / space.scale
        before = _squared(block[0, :, :past], near[:, :past])
        for value, moved in zip(which.tolist(), block[:, :, past:], strict=True):
            nearest = (before + _squared(moved, near[:, past:])).min(1).values.sqrt()
            shares[value] += (nearest > within).double().sum()
    return shares / len(index)


def _squared(rows: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist").square()


def seeded_subset(count: int, most: int = MAX_ROWS, *, seed: int | None) -> Tensor:
    """Return all row numbers where there are at most ``most``, else that many drawn without replacement."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=as_generator(seed))[:most]
