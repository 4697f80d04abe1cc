"""Variance explained by subsets of independent noises: pick-freeze on scrambled Sobol' points.

Two independent points A and B of the noises are mixed: coordinates in a subset come from A, the others from B. Two
mixtures w and w' that differ in the set c of coordinates give Jansen's estimate of the total variance of c,

    D_c = ½ E[(f(w) − f(w'))²] = Var(Y) − V_closed(all but c) .

A plan says which mixtures are evaluated and which pairs are compared. Every one of R independent scramblings of the
Sobol' sequence gives an independent, unbiased estimate; the spread over them gives the standard error, with R − 1
degrees of freedom. Points of a single sequence are not independent, and an error computed as if they were is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._checks import as_generator
from .._saved import Result
from ._progress import progress_bar
from .cost import warn_of_cost
from .games import subset_masks

MIN_SCRAMBLINGS = 16
Evaluate = Callable[[Tensor, Tensor, Tensor], Tensor]
Points = Callable[[int, int, int, int, int | None], Iterator[tuple[np.ndarray, np.ndarray]]]
HALF_STEP = 2.0**-31  # the points lie on a grid of 2^-30 that contains 0; its cells' centres do not


@dataclass(frozen=True)
class Plan:
    """The mixtures of two points that are evaluated, and the statistics computed from them.

    Attributes:
        num_mixtures: mixtures per base point, M.
        masks: called with a number of points b and a generator; returns bool ``(M, b or 1, k)``, true for A.
        statistics: called with centred outputs ``(M, b, outputs)`` and the masks; returns ``(S, b, outputs)``.
    """

    num_mixtures: int
    masks: Callable[[int, torch.Generator], Tensor]
    statistics: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Replicates(Result):
    """Averages within each of R scramblings.

    Attributes:
        mean: ``(R, outputs)`` mean output.
        variance: ``(R, outputs)`` values whose average is Var(Y), unbiased.
        statistics: ``(R, S, outputs)`` the plan's statistics.
        num_rows: model rows evaluated.
        kurtosis: ``(outputs,)`` kurtosis of the output over all of these rows, NaN where it is constant; None where it
            is not known.
    """

    mean: Tensor
    variance: Tensor
    statistics: Tensor
    num_rows: int
    kurtosis: Tensor | None = None


def first_total_plan(k: int) -> Plan:
    """Return the plan of mixtures A, B and "A but i from B"; its statistics are D_all, every D_i, every D_all-but-i."""
    masks = torch.cat([torch.ones(1, k), torch.zeros(1, k), 1 - torch.eye(k)]).bool()[:, None, :]

    def statistics(f: Tensor, _: Tensor) -> Tensor:
        return 0.5 * torch.cat([f[:1] - f[1], f[2:] - f[0], f[2:] - f[1]]).square_()

    return Plan(k + 2, lambda b, g: masks, statistics)


def chain_plan(order: Sequence[int]) -> Plan:
    """Return the plan of mixtures along the prefixes of ``order``; statistic j is what input j adds to its prefix."""
    k = len(order)
    rank = torch.argsort(torch.as_tensor(order))
    masks = (rank < torch.arange(k + 1)[:, None])[:, None, :]

    def statistics(f: Tensor, _: Tensor) -> Tensor:
        d = 0.5 * (f[-1] - f).square()
        return (d[:-1] - d[1:])[rank]

    return Plan(k + 1, lambda b, g: masks, statistics)


def permutation_plan(k: int) -> Plan:
    """Return a ``chain_plan`` with a random order for every point: the average is the Shapley value."""

    def masks(b: int, generator: torch.Generator) -> Tensor:
        rank = torch.rand(b, k, generator=generator).argsort(1)
        return rank < torch.arange(k + 1)[:, None, None]

    def statistics(f: Tensor, mask: Tensor) -> Tensor:
        d = 0.5 * (f[-1] - f).square()
        rank = (~mask).sum(0).sub_(1).T  # (k, b): an input of rank r comes from B in r + 1 mixtures
        return (d[:-1] - d[1:]).gather(0, rank.to(f.device)[..., None].expand(-1, -1, f.shape[-1]))

    return Plan(k + 1, masks, statistics)


def subsets_plan(k: int) -> Plan:
    """Return the plan of all 2^k mixtures; statistic c is D_c from all 2^(k−1) pairs that differ in c.

    The products over all pairs are an autocorrelation over subsets, ``Σ_w f(w) f(w xor c)``, which two Walsh-Hadamard
    transforms give at once.
    """
    masks = subset_masks(k)[:, None, :]

    def statistics(f: Tensor, _: Tensor) -> Tensor:
        products = _walsh(_walsh(f).square()) / len(f) ** 2
        return products[:1] - products

    return Plan(2**k, lambda b, g: masks, statistics)


def _walsh(f: Tensor) -> Tensor:
    """Return the unnormalised Walsh-Hadamard transform over the first dimension."""
    step = 1
    while step < len(f):
        g = f.reshape(-1, 2, step, *f.shape[1:])
        f = torch.stack([g[:, 0] + g[:, 1], g[:, 0] - g[:, 1]], dim=1).reshape(f.shape)
        step *= 2
    return f


def sizes(num_samples: int, scramblings: int) -> int:
    """Return the points n of each scrambling: a power of two with n · scramblings ≥ num_samples.

    Raises:
        ValueError: for fewer than 16 scramblings or no samples.
    """
    if scramblings < MIN_SCRAMBLINGS:
        raise ValueError(f"scramblings must be at least {MIN_SCRAMBLINGS} for an error bar, got {scramblings}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    return 1 << max(0, (-(-int(num_samples) // scramblings) - 1).bit_length())


def scrambled_points(
    dims: int, n: int, scramblings: int, block: int, seed: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks ``(b, dims)`` of points in the open unit cube, and the scrambling ``(b,)`` each belongs to.

    Args:
        dims: coordinates of a point.
        n: points of a scrambling, a power of two.
        scramblings: independent scramblings of the Sobol' sequence.
        block: most points at a time, a power of two.
        seed: seed of the scramblings; None means 0.
    """
    from scipy.stats import qmc  # takes long to import

    rng = np.random.default_rng(as_generator(seed).initial_seed())
    pieces, together = max(1, n // block), max(1, block // n)
    for start in range(0, scramblings, together):
        group = range(start, min(start + together, scramblings))
        engines = [qmc.Sobol(dims, scramble=True, rng=rng) for _ in group]
        for _ in range(pieces):
            drawn = [engine.random(n // pieces) for engine in engines]
            yield np.concatenate(drawn) + HALF_STEP, np.repeat(np.arange(len(group)) + start, n // pieces)


def replicate(
    evaluate: Evaluate | Sequence[Evaluate],
    plan: Plan,
    k: int,
    *,
    num_samples: int,
    scramblings: int,
    seed: int | None,
    chunk: int,
    progress: bool = False,
    runs: int = 1,
    sequence: Points | None = None,
) -> Replicates:
    """Return the averages of a plan within each scrambling.

    Args:
        evaluate: called with uniform points A and B ``(b, k)`` and masks ``(M, b or 1, k)``; returns outputs
            ``(M, b, outputs)`` in the accumulators' dtype. A sequence has one for every scrambling.
        plan: the mixtures and their statistics.
        k: number of noises.
        num_samples: base points over all scramblings, rounded up to a power of two for each.
        scramblings: at least 16.
        seed: seed of scramblings and permutations; None means 0.
        chunk: model rows a block may hold.
        progress: show a progress bar, which says how many rows there are and how long they will take.
        runs: runs like this one whose time is predicted together; 0 says nothing.
        sequence: what makes the points, as ``scrambled_points`` does, which None means.

    Warns:
        UserWarning: after the first block, where all are predicted to take more than two minutes.
    """
    n = sizes(num_samples, scramblings)
    block = 1 << (max(1, chunk // plan.num_mixtures).bit_length() - 1)
    if not callable(evaluate):
        block = min(block, n)  # of one scrambling
    generator = as_generator(seed)
    # made by the first block, which knows shape and device
    sums, tails, shift, ends, unit = (torch.empty(0) for _ in range(5))
    rows = plan.num_mixtures * n * scramblings
    blocks = (sequence or scrambled_points)(2 * k, n, scramblings, block, seed)
    started = time.perf_counter()
    for u, index in progress_bar(blocks, f"pick-freeze, {rows:,} rows", progress, -(-n * scramblings // block)):
        points = torch.from_numpy(u)
        masks = plan.masks(len(u), generator)
        call = evaluate if callable(evaluate) else evaluate[int(index[0])]
        f = call(points[:, :k], points[:, k:], masks)
        first = not len(sums)
        shift = f.mean((0, 1)) if first else shift
        low, high = f.amin((0, 1)), f.amax((0, 1))
        ends = torch.stack([low, high] if first else [torch.minimum(low, ends[0]), torch.maximum(high, ends[1])])
        unit = rounding(f) if first else torch.minimum(unit, rounding(f))
        f = f - shift  # centred by a constant: no digits are lost to a large mean
        square = f.square()
        parts = torch.cat([f.mean(0)[None], square.mean(0)[None], plan.statistics(f, masks)])
        if first:
            sums, tails = f.new_zeros(scramblings, *parts.shape[::2]), f.new_zeros(2, f.shape[-1])
            seconds = time.perf_counter() - started
            warn_of_cost(rows * runs, plan.num_mixtures * len(u), seconds, plan.num_mixtures)
        sums.index_add_(0, torch.from_numpy(index).to(f.device), parts.transpose(0, 1))
        tails += torch.stack([(square * f).sum((0, 1)), square.square_().sum((0, 1))])
    averages = (sums / n).cpu()
    mean, square = averages[:, 0], averages[:, 1]
    grand = mean.mean(0)
    # E[mean(f - grand)^2] misses Var(grand), which the spread of the means over scramblings estimates
    variance = square - 2 * grand * mean + grand**2 + mean.var(0) / scramblings
    still = constant(ends.cpu(), unit.cpu())
    variance = variance.masked_fill(still, 0.0)
    kurtosis = kurtosis_of(grand, square.mean(0), *(tails.cpu() / rows)).masked_fill(still, torch.nan)
    return Replicates(mean + shift.cpu(), variance, averages[:, 2:].masked_fill(still, 0.0), rows, kurtosis)


def kurtosis_of(mean: Tensor, square: Tensor, cube: Tensor, fourth: Tensor) -> Tensor:
    """Return the kurtosis from the means of the first four powers.

    Example:
        >>> powers = torch.tensor([0.0, 1.0, 0.0, 0.0, 3.0])[:, None] ** torch.arange(1, 5)
        >>> assert abs(float(kurtosis_of(*powers.double().mean(0))) - 2.6661) < 1e-3
    """
    about = fourth - 4 * mean * cube + 6 * mean**2 * square - 3 * mean**4
    return about / (square - mean**2).square()


def constant(ends: Tensor, unit: Tensor) -> Tensor:
    """Return which outputs ``(outputs,)`` differ by rounding only, from their least and greatest values ``(2, ...)``.

    Their variance is that of rounding errors; it is taken for 0.
    """
    return (ends[1] - ends[0]) <= 32 * unit * ends.abs().amax(0)


def rounding(values: Tensor) -> Tensor:
    """Return each output's unit of rounding ``(outputs,)``, from values that may be of single precision."""
    flat = values.reshape(-1, values.shape[-1])
    single = (flat.to(torch.float32).to(flat.dtype) == flat).all(0)
    return torch.where(single, torch.finfo(torch.float32).eps, torch.finfo(flat.dtype).eps)
