"""The share of intervened rows that leave the data, where the network extrapolates.

``do(x_i = a)`` overwrites one coordinate and leaves the others as they were, so the new rows may be impossible:
a flower with the petal length of one species and the petal width of another. A row has *left the data* where its
nearest observed row is farther away than 99 % of the observed rows are from theirs (leave-one-out distances, each
feature in units of its standard deviation). In many dimensions all distances are alike and the measure becomes blind:
a share near 0 is then no proof that the rows are possible, while a large share is always a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from .._checks import as_generator
from .._models import DEFAULT_CHUNK

MAX_ROWS = 500  # intervened rows that are checked
MAX_OBSERVED = 2000  # observed rows they are compared with
QUANTILE = 0.99


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
    scale, observed, limit = distance_limit(observed.to(torch.float64), seed=seed)
    every = torch.arange(len(rows)) if weights is None else weights.cpu().nonzero()[:, 0]
    index = every[seeded_subset(len(every), seed=(seed or 0) + 1)].to(rows.device)
    weights = None if weights is None else weights[index].double()
    rows = rows[index].to(torch.float64) / scale
    rest = torch.ones(observed.shape[1], dtype=torch.bool, device=observed.device)
    rest[list(columns)] = False
    base = _squared(rows[:, rest], observed[:, rest])
    pinned, at = observed[:, list(columns)], list(columns)
    shares = []
    for value in values.to(torch.float64) / scale[at]:
        nearest = (base + (pinned - value).square().sum(1)).min(1).values.sqrt()
        left = (nearest > limit * (1 + 1e-12)).double()
        shares.append(left.mean() if weights is None else weights @ left / weights.sum())
    return torch.stack(shares)


def distance_limit(observed: Tensor, *, seed: int | None = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return the unit ``(k,)``, at most 2000 observed rows in it, and the distance beyond which a row has left.

    Args:
        observed: ``(N, k)`` float64 rows of the data, N >= 2.
        seed: seed of the subset; None means 0.
    """
    scale = observed.std(0, correction=0)
    typical = scale[scale > 0].median() if (scale > 0).any() else torch.ones(())
    scale = torch.where(scale > 0, scale, 1e-6 * typical)  # a constant feature that moves has left the data
    observed = observed[seeded_subset(observed.shape[0], MAX_OBSERVED, seed=seed).to(observed.device)] / scale
    own = torch.cdist(observed, observed, compute_mode="donot_use_mm_for_euclid_dist")
    own.fill_diagonal_(torch.inf)
    return scale, observed, torch.quantile(own.min(1).values, QUANTILE)


def share_off_support(
    observed: Tensor,
    rows: Callable[[int, Tensor], Iterable[tuple[Tensor, Tensor, Tensor]]],
    *,
    num_values: int,
    num_rows: int,
    past: int = 0,
) -> Tensor:
    """Return the share of simulated rows that leave the data, one per value: ``(m,)`` float64, 0 to 1.

    Args:
        observed: ``(N, k)`` rows of the data, N >= 2.
        rows: ``(chunk, row numbers) -> blocks``, as ``Intervention.rows``; at most 500 rows are taken.
        num_values: number of values, m.
        num_rows: rows under each value.
        past: number of leading coordinates that are the same under every value.
    """
    scale, observed, limit = distance_limit(observed.to(torch.float64))
    index = seeded_subset(num_rows, seed=1).to(observed.device)
    shares = torch.zeros(num_values, dtype=torch.float64, device=observed.device)
    for which, block, _ in rows(DEFAULT_CHUNK, index):
        block = block.to(torch.float64) / scale
        before = _squared(block[0, :, :past], observed[:, :past])
        for value, moved in zip(which.tolist(), block[:, :, past:], strict=True):
            nearest = (before + _squared(moved, observed[:, past:])).min(1).values.sqrt()
            shares[value] += (nearest > limit * (1 + 1e-12)).double().sum()
    return shares / len(index)


def _squared(rows: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist").square()


def seeded_subset(count: int, most: int = MAX_ROWS, *, seed: int | None) -> Tensor:
    """Return all row numbers where there are at most ``most``, else that many drawn without replacement."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=as_generator(seed))[:most]
