"""Does an intervention ask the network about inputs it could ever meet?

``do(x_i = a)`` overwrites one coordinate and leaves the others as they were, so the new rows may be impossible:
a flower with the petal length of one species and the petal width of another. A row has *left the data* where its
nearest observed row is farther away than 99 % of the observed rows are from theirs (leave-one-out distances, each
feature in units of its standard deviation). In many dimensions all distances are alike and the measure becomes blind:
a share near 0 is then no proof that the rows are possible, while a large share is always a warning.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_ROWS = 500  # intervened rows that are checked
MAX_OBSERVED = 2000  # observed rows they are compared with
QUANTILE = 0.99


def off_support(observed: Tensor, rows: Tensor, columns: tuple[int, ...], values: Tensor, *, seed: int = 0) -> Tensor:
    """Return the share of intervened rows that leave the data, one per value: ``(m,)`` float64, 0 to 1.

    Args:
        observed: ``(N, k)`` rows of the data, N >= 2.
        rows: ``(n, k)`` rows before the intervention (the data, or data with other coordinates pinned).
        columns: the coordinates that are set.
        values: ``(m, len(columns))`` what they are set to.
        seed: of the subsets that bound the cost (500 rows against 2000 observed ones).

    Example:
        >>> line = torch.linspace(0, 1, 50, dtype=torch.float64)
        >>> data = torch.stack([line, line], dim=1)  # x1 always equals x0
        >>> share = off_support(data, data, (0,), torch.tensor([[0.5]], dtype=torch.float64))
        >>> assert share.item() > 0.9  # but not after do(x0 = 0.5)
    """
    scale, observed, limit = distance_limit(observed.to(torch.float64), seed=seed)
    rows = rows[seeded_subset(rows.shape[0], seed=seed + 1).to(rows.device)].to(torch.float64) / scale
    rest = torch.ones(observed.shape[1], dtype=torch.bool, device=observed.device)
    rest[list(columns)] = False
    base = torch.cdist(rows[:, rest], observed[:, rest], compute_mode="donot_use_mm_for_euclid_dist").square()
    pinned, index = observed[:, list(columns)], list(columns)
    shares = []
    for value in values.to(torch.float64) / scale[index]:
        nearest = (base + (pinned - value).square().sum(1)).min(1).values.sqrt()
        shares.append((nearest > limit * (1 + 1e-12)).double().mean())
    return torch.stack(shares)


def distance_limit(observed: Tensor, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a row is compared with: the unit ``(k,)``, at most 2000 observed rows in it, and the limit.

    Args:
        observed: ``(N, k)`` float64 rows of the data, N >= 2.
        seed: of the subset.
    """
    scale = observed.std(0, correction=0)
    typical = scale[scale > 0].median() if (scale > 0).any() else torch.ones(())
    scale = torch.where(scale > 0, scale, 1e-6 * typical)  # a constant feature that moves has left the data
    observed = observed[seeded_subset(observed.shape[0], MAX_OBSERVED, seed=seed).to(observed.device)] / scale
    own = torch.cdist(observed, observed, compute_mode="donot_use_mm_for_euclid_dist")
    own.fill_diagonal_(torch.inf)
    return scale, observed, torch.quantile(own.min(1).values, QUANTILE)


def seeded_subset(count: int, most: int = MAX_ROWS, *, seed: int) -> Tensor:
    """Return all row numbers where there are at most ``most``, else that many drawn without replacement."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most]
