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
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._checks import as_generator
from .._fingerprint import stable
from .._pool import Task, Workers
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
    workers: Workers | None = None,
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
        workers: who evaluates them; None does it here.

    Warns:
        UserWarning: after the first block, if the work is done here, where all are predicted to take over two minutes.
    """
    n = sizes(num_samples, scramblings)
    block = 1 << (max(1, chunk // plan.num_mixtures).bit_length() - 1)
    if not callable(evaluate):
        block = min(block, n)  # of one scrambling
    generator = as_generator(seed)
    rows = plan.num_mixtures * n * scramblings
    found: _Block | None = None

    def tasks() -> Iterator[Task]:
        for u, index in (sequence or scrambled_points)(2 * k, n, scramblings, block, seed):
            where = f"scramblings {index[0]} to {index[-1]}"
            # the first block's shift serves the others, where it is known
            shift = None if found is None else found.shift
            yield Task(_sums_of_block, (u, index, plan.masks(len(u), generator), shift), where)

    pool = (workers or Workers()).pool((evaluate, plan), lambda: stable(evaluate, plan.statistics))
    done, count, started = pool.run(tasks()), -(-n * scramblings // block), time.perf_counter()
    sums = torch.empty(0)
    for which, one in progress_bar(done, f"pick-freeze, {rows:,} rows", progress, count):
        if found is None:
            found, sums = one, one.sums.new_zeros(scramblings, *one.sums.shape[1:])
            if pool.executor is None:
                seconds = time.perf_counter() - started
                warn_of_cost(rows * runs, plan.num_mixtures * min(block, n * scramblings), seconds, plan.num_mixtures)
        else:
            one = one.about(found.shift)
            found = found.joined(one)
        sums[which] += one.sums
    assert found is not None, "there are points"
    averages = (sums / n).cpu()
    mean, square = averages[:, 0], averages[:, 1]
    grand = mean.mean(0)
    # E[mean(f - grand)^2] misses Var(grand), which the spread of the means over scramblings estimates
    variance = square - 2 * grand * mean + grand**2 + mean.var(0) / scramblings
    still = constant(found.ends.cpu(), found.unit.cpu())
    variance = variance.masked_fill(still, 0.0)
    tails = found.tails.cpu() / rows
    kurtosis = kurtosis_of(grand, square.mean(0), *tails).masked_fill(still, torch.nan)
    statistics = averages[:, 2:].masked_fill(still, 0.0)
    return Replicates(mean + found.shift.cpu(), variance, statistics, rows, kurtosis)


class _Block(NamedTuple):
    """Sums over a block of points, of outputs f from which a constant was taken.

    Attributes:
        sums: ``(scramblings of the block, 2 + S, outputs)`` of f, f² and the statistics, averaged over mixtures.
        tails: ``(2, outputs)`` sums of f³ and f⁴ over points and mixtures.
        shift: ``(outputs,)`` the constant.
        ends: ``(2, outputs)`` least and greatest output, before it was taken.
        unit: ``(outputs,)`` unit of rounding.
        mixtures: mixtures of a point.
        points: points of the block.
    """

    sums: Tensor
    tails: Tensor
    shift: Tensor
    ends: Tensor
    unit: Tensor
    mixtures: int
    points: int

    def about(self, shift: Tensor) -> _Block:
        """Return the sums with another constant taken; statistics do not depend on it."""
        if torch.equal(shift, self.shift):
            return self
        d, sums = self.shift - shift, self.sums.clone()
        first, second = self.mixtures * self.sums[:, :2].sum(0)
        third, fourth = self.tails
        total = self.mixtures * self.points
        tails = torch.stack(
            [
                third + 3 * d * second + 3 * d**2 * first + total * d**3,
                fourth + 4 * d * third + 6 * d**2 * second + 4 * d**3 * first + total * d**4,
            ]
        )
        each = self.points // len(sums)  # as many of every scrambling
        sums[:, 1] += 2 * d * sums[:, 0] + each * d**2
        sums[:, 0] += each * d
        return self._replace(sums=sums, tails=tails, shift=shift)

    def joined(self, other: _Block) -> _Block:
        """Return tails, ends and unit of both blocks, which have the same constant."""
        ends = torch.stack([torch.minimum(self.ends[0], other.ends[0]), torch.maximum(self.ends[1], other.ends[1])])
        return self._replace(tails=self.tails + other.tails, ends=ends, unit=torch.minimum(self.unit, other.unit))


def _sums_of_block(
    content: tuple[Evaluate | Sequence[Evaluate], Plan], u: np.ndarray, index: np.ndarray, masks: Tensor, shift: Any
) -> tuple[list[int], _Block]:
    """Return the scramblings of a block of points and the sums over it; ``shift`` is None for the block's own mean."""
    evaluate, plan = content
    points, k = torch.from_numpy(u), u.shape[1] // 2
    call = evaluate if callable(evaluate) else evaluate[int(index[0])]
    f = call(points[:, :k], points[:, k:], masks)
    shift = f.mean((0, 1)) if shift is None else shift
    ends, unit = torch.stack([f.amin((0, 1)), f.amax((0, 1))]), rounding(f)
    f = f - shift  # centred by a constant: no digits are lost to a large mean
    square = f.square()
    parts = torch.cat([f.mean(0)[None], square.mean(0)[None], plan.statistics(f, masks)])
    which, place = np.unique(index, return_inverse=True)
    sums = f.new_zeros(len(which), *parts.shape[::2])
    sums.index_add_(0, torch.from_numpy(place).to(f.device), parts.transpose(0, 1))
    tails = torch.stack([(square * f).sum((0, 1)), square.square_().sum((0, 1))])
    return which.tolist(), _Block(sums, tails, shift, ends, unit, len(f), len(u))


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
