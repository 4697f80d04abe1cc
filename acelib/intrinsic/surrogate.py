"""A polynomial stand-in for the output, whose variance parts are known, to take the noise out of Sobol' indices.

A polynomial g of one and two inputs at a time is fitted to a pilot sample. Every statistic of pick-freeze is then
estimated as

    D(f) ≈ mean over points of [½ (Δf)² − ½ (Δg)²] + D(g) ,

with D(g) in closed form from the coefficients: a control variate with coefficient 1. The pilot is independent of the
points, so the estimate is unbiased and the scramblings are independent whatever g is; the noise that is left comes from
the part of f that g misses. A g that predicts badly, judged by pilot points left out of its fit, is not used.

References:
    Sudret (2008) for indices from the coefficients of orthonormal polynomials; Owen (2013), "Monte Carlo theory,
    methods and examples", section 8.9, for control variates; Allen (1974) for errors at points left out (PRESS).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from .._checks import as_generator
from .._intervals import FEW
from .nets import scrambled_nets
from .pickfreeze import Replicates, constant, rounding

MAX_DEGREE = 10
SHARE = 8  # a pilot has at most one in so many rows of the run
MAX_TERMS = 256  # more cost more time than their noise is worth beside a cheap model
WORK = 500  # a fit of t terms takes some 10 t³ operations; t³ is at most this for each row of the run
USEFUL = 0.25  # share of the variance that may be left over by a surrogate worth its noise
ENOUGH = 6  # degree from which all inputs have it, without a look at which of them matter
SMALL = 3e-3  # share of the variance below which an input's total part needs no terms of high degree
NOISE = 2.0  # coefficients below so many of their standard errors are left out


@dataclass(frozen=True)
class Surrogate:
    """A polynomial in orthonormal Legendre polynomials of single inputs and of pairs of inputs, for each output.

    Attributes:
        inputs: number of inputs k, uniform on (0, 1).
        degree: largest total degree D of a term.
        mean: ``(outputs,)`` its mean.
        single: ``(outputs, D·k)`` coefficients of the single inputs, by degree, then by input.
        pairs: ``(outputs, D·k, D·k)`` symmetric coefficients of the pairs, each of them twice.
    """

    inputs: int
    degree: int
    mean: Tensor
    single: Tensor
    pairs: Tensor

    def mixtures(self, a: Tensor, b: Tensor) -> Tensor:
        """Return its values ``(k + 2, b, outputs)`` at A, B and every "A but i from B" of points ``(b, k)``."""
        k = self.inputs
        at_a, at_b = features(torch.cat([a, b]), self.degree).split(len(a), 1)
        values = a.new_empty(k + 2, len(a), len(self.mean))
        for output, (mean, single, pairs) in enumerate(zip(self.mean, self.single, self.pairs, strict=True)):
            used = ((single != 0) | (pairs != 0).any(0)).nonzero()[:, 0]
            fa, fb, c, pairs = (t.index_select(0, used) for t in (at_a, at_b, single[:, None], pairs))
            pairs = pairs.index_select(1, used)
            pull = pairs @ fa
            values[0, :, output] = (fa * (c + 0.5 * pull)).sum(0).add_(mean)
            values[1, :, output] = (fb * (c + 0.5 * (pairs @ fb))).sum(0).add_(mean)
            # no term has one input twice, so a change of one input changes g linearly in its own features
            of = (used % k == torch.arange(k)[:, None]).to(fa)
            values[2:, :, output] = torch.addmm(values[:1, :, output], of, (fb - fa) * (pull + c))
        return values

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return its variance ``(outputs,)``, and first-order and total parts ``(k, outputs)``, from orthonormality."""
        shape = (len(self.mean), self.degree, self.inputs)
        first = self.single.square().reshape(shape).sum(1).T
        pairs = self.pairs.square().sum(2).reshape(shape).sum(1).T
        return first.sum(0) + 0.5 * pairs.sum(0), first, first + pairs


def features(u: Tensor, degree: int) -> Tensor:
    """Return orthonormal Legendre polynomials on (0, 1), ``(degree · k, b)``, by degree, then by input.

    Example:
        >>> u = (torch.arange(1000, dtype=torch.float64)[:, None] + 0.5) / 1000
        >>> table = features(u, 3)
        >>> assert (table @ table.T / 1000 - torch.eye(3)).abs().max() < 1e-4
    """
    x = (2 * u - 1).T.contiguous()
    found = x.new_empty(degree, *x.shape)
    for m, row in enumerate(found):  # of degree m + 1
        step = ((2 * m + 1) * (2 * m + 3)) ** 0.5 / (m + 1)
        torch.mul(x, step, out=row)
        if m > 0:
            row *= found[m - 1]
            back = m / (m + 1) * ((2 * m + 3) / (2 * m - 1)) ** 0.5
            row.sub_(found[m - 2] if m > 1 else 1.0, alpha=back)
    return found.flatten(0, 1)


def num_terms(k: int, degree: int) -> int:
    """Return how many terms there are of one and two inputs up to a total degree.

    Example:
        >>> assert [num_terms(3, degree) for degree in (1, 2, 4)] == [3, 9, 30]
    """
    return k * degree + k * (k - 1) // 2 * (degree * (degree - 1) // 2)


def fit_surrogate(
    call: Callable[[Tensor], Tensor], k: int, rows: int, seed: int | None
) -> tuple[Surrogate | None, int]:
    """Return the surrogate of a model, or None where no output has one that is worth its while.

    Each output's degree is the least whose error at points left out of the fit is within 5 % of the smallest. An output
    has none where that error is over a quarter of its variance, or fewer than 30 points of the pilot carry that. A
    first fit of low degree finds inputs that matter little; the second goes to higher degrees in the others alone.

    Args:
        call: called with uniform points ``(b, k)``; returns outputs ``(b, outputs)`` in float64.
        k: number of inputs.
        rows: model rows of the run that the surrogate serves.
        seed: seed of the run, from which that of the pilot is drawn; None means 0.

    Example:
        >>> found, _ = fit_surrogate(lambda u: 3 + u[:, :1] * u[:, 1:], 2, rows=10_000, seed=0)
        >>> variance, first, total = found.parts()
        >>> assert abs(float(found.mean) - 3.25) < 1e-12 and abs(float(variance) - 7 / 144) < 1e-12
        >>> assert abs(float(first[0]) - 1 / 48) < 1e-12 and abs(float(total[0]) - 1 / 36) < 1e-12
    """
    most = min(MAX_TERMS, round((WORK * rows) ** (1 / 3)))
    count = min(1 << max(rows // SHARE, 1).bit_length() - 1, 1 << (3 * most + 2).bit_length())
    every = torch.ones(k, dtype=torch.bool)
    degree = _largest(k, every, count, rows)
    if count < FEW or not degree:
        return None, 0
    pilot = int(torch.randint(2**62, (), generator=as_generator(seed)))  # another seed than that of the run
    u = torch.from_numpy(next(scrambled_nets(k, count, 1, count, pilot))[0])
    y = call(u).cpu()
    still = constant(torch.stack([y.amin(0), y.amax(0)]), rounding(y))
    y = y - (centre := y.mean(0))
    square = y.square().mean(0)
    usable = ~still & (count >= FEW * y.pow(4).mean(0) / square.square())
    active, found = every, None
    if degree < ENOUGH:
        found = _fitted(u, y, usable, min(degree, 2), every)
        matter = (found.parts()[2] > SMALL * square).any(1)
        active = matter if bool(matter.any()) else every  # of which nothing is known where no output has a polynomial
        degree = _largest(k, active, count, rows)
    if found is None or degree > 2:
        found = _fitted(u, y, usable, degree, active)
    if not (bool(found.single.any()) or bool(found.pairs.any())):
        return None, count
    return replace(found, mean=found.mean + centre), count


def _fitted(u: Tensor, y: Tensor, usable: Tensor, degree: int, active: Tensor) -> Surrogate:
    """Return the surrogate of centred outputs ``y``, of each output's best degree.

    Terms of more than the second degree are those of the active inputs alone. Outputs that are not usable, or whose
    error is too large, get none.
    """
    count, k = u.shape
    left, right, degrees = _terms(k, degree, tuple(active.tolist()))
    table = torch.cat([torch.ones(1, count, dtype=u.dtype), features(u, degree)])
    design = table.index_select(0, left).mul_(table.index_select(0, right))
    factor, failed = torch.linalg.cholesky_ex(design @ design.T)  # where it fails, no output is usable
    basis = torch.linalg.solve_triangular(factor, design, upper=False)  # orthonormal rows, by degree
    along = basis @ y
    lasts = torch.bincount(degrees, minlength=degree + 1).cumsum(0).tolist()
    upto = (degrees <= torch.arange(degree + 1)[:, None]).to(y)  # the terms of the fit of each degree
    fitted = (basis.T @ (upto.T[..., None] * along[:, None]).flatten(1)).unflatten(1, (degree + 1, -1))
    leverage = (upto @ basis.square()).T[..., None]
    error = ((y[:, None] - fitted) / (1 - leverage)).square().mean(0).nan_to_num(nan=torch.inf)
    good = (error <= 1.05 * error.amin(0)) & (error < USEFUL * error[0]) & usable & (failed == 0)
    best = good.int().argmax(0)
    width = 1 + degree * k
    whole = y.new_zeros(len(best), width, width)
    for output, d in enumerate(best.tolist()):
        last = lasts[d] if d else 0
        found = torch.linalg.solve_triangular(factor[:last, :last].T, along[:last, output, None], upper=True)[:, 0]
        small = found.abs() < NOISE * (error[d, output] / count).sqrt()
        whole[output, left[:last], right[:last]] = found.masked_fill(small, 0.0)
    pairs = whole[:, 1:, 1:]
    return Surrogate(k, degree, whole[:, 0, 0], whole[:, 1:, 0], pairs + pairs.transpose(1, 2))


@lru_cache(maxsize=16)
def _terms(k: int, degree: int, active: tuple[bool, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two columns whose product each term is, and its degree, by degree; column 0 is 1."""
    right, left = torch.triu_indices(1 + degree * k, 1 + degree * k)
    of = torch.cat([torch.zeros(1, dtype=torch.long), torch.arange(1, degree + 1).repeat_interleave(k)])
    lively = torch.tensor([True, *active * degree])
    total = of[left] + of[right]
    different = (right == 0) | ((left - right) % k != 0)
    keep = (total <= degree) & different & ((total <= 2) | lively[left] & lively[right])
    order = total[keep].argsort(stable=True)
    return left[keep][order], right[keep][order], total[keep][order]


def _largest(k: int, active: Tensor, count: int, rows: int) -> int:
    """Return the largest degree whose terms a pilot of ``count`` can fit, in a time that is small beside the run."""
    few = int(active.sum())

    def affordable(degree: int) -> bool:
        number = num_terms(k, min(degree, 2)) + num_terms(few, degree) - num_terms(few, min(degree, 2))
        return number <= MAX_TERMS and 3 * (number + 1) <= count and number**3 <= WORK * rows

    return max((d for d in range(1, MAX_DEGREE + 1) if affordable(d)), default=0)


def controlled(run: Replicates, surrogate: Surrogate) -> Replicates:
    """Return the averages of a ``first_total_plan`` with the noise of the surrogate taken out.

    Args:
        run: its outputs are those of the model, then those of the surrogate.
        surrogate: whose closed forms take the place of its averages.
    """
    k, width = surrogate.inputs, len(surrogate.mean)
    variance, first, total = (part.to(run.mean) for part in surrogate.parts())
    known = torch.cat([variance[None], total, variance - first])
    raw = run.statistics[..., :width]
    statistics = raw - run.statistics[..., width:] + known
    # an input that never changes the output has no index, whatever the surrogate says of it
    inert = (raw[:, 1 : k + 1] == 0).all(0)
    statistics[:, 1 : k + 1].masked_fill_(inert, 0.0)
    statistics[:, k + 1 :] = torch.where(inert, statistics[:, :1], statistics[:, k + 1 :])
    constant_output = (run.variance[:, :width] == 0).all(0)
    return replace(
        run,
        mean=run.mean[:, :width] - run.mean[:, width:] + surrogate.mean,
        variance=(run.variance[:, :width] - run.variance[:, width:] + variance).masked_fill(constant_output, 0.0),
        statistics=statistics.masked_fill(constant_output, 0.0),
        kurtosis=None if run.kurtosis is None else run.kurtosis[:width],
    )
