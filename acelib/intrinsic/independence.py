"""Tests of independence: what a graph says about rows can be contradicted by rows.

Partial correlation sees linear dependence and is exact for normal variables. Ranks, permuted within the strata of a
discrete common cause, see bent dependence as well and are exact whatever the distributions. Both take many tables at
once, so that level and power can be counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._checks import as_count, as_generator
from .._saved import Result

CHUNK = 2**21  # numbers sorted at a time


@dataclass(frozen=True, eq=False, repr=False)
class Independence(Result):
    """What a test of independence found, for every table that it was given.

    Attributes:
        statistic: ``(...)``; the larger its absolute value, the stronger the dependence.
        p: ``(...)`` probability of one at least as large where the columns are independent.
    """

    statistic: Tensor
    p: Tensor

    def rejected(self, level: float = 0.05) -> Tensor:
        """Return ``(...)`` whether independence is rejected at this level."""
        return self.p <= level

    def __repr__(self) -> str:
        if self.p.numel() == 1:
            return f"Independence(statistic={float(self.statistic):.3g}, p={float(self.p):.3g})"
        return f"Independence({self.p.numel()} tables, {self.rejected().double().mean():.1%} rejected at level 5 %)"


def correlation_test(x: Tensor, y: Tensor, given: Tensor | None = None) -> Independence:
    """Return the test of zero partial correlation of x and y given other columns, by Student's t.

    The level is exact where the columns are jointly normal, or where y given the others is normal with a mean that is
    linear in ``given``. It has power against linear dependence only: x and x² pass it.

    Args:
        x: ``(..., n)``, any number of tables.
        y: ``(..., n)``.
        given: ``(..., n, c)`` columns that are known; none where None.

    Raises:
        ValueError: for shapes that do not fit, or fewer than c + 3 rows.

    References:
        R. A. Fisher, The distribution of the partial correlation coefficient, Metron 3, 1924.

    Example:
        >>> u, a, b = torch.randn(3, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> assert correlation_test(u + a, u + b).p < 1e-6
        >>> assert correlation_test(u + a, u + b, given=u[:, None]).p > 0.05
    """
    x, y = _pair(x, y)
    n = x.shape[-1]
    columns = x.new_ones(*x.shape, 1)
    if given is not None:
        given = given.to(x)
        if given.ndim < 2 or given.shape[-2] != n:
            raise ValueError(f"given must have shape (..., {n}, columns), got {tuple(given.shape)}")
        columns = torch.cat([columns, given.expand(*x.shape, given.shape[-1])], dim=-1)
    freedom = n - columns.shape[-1] - 1
    if freedom < 1:
        raise ValueError(f"x must have at least {columns.shape[-1] + 2} rows, got {n}")
    basis = torch.linalg.qr(columns).Q
    x, y = (v - (basis @ (basis.mT @ v[..., None]))[..., 0] for v in (x, y))
    r = (x * y).sum(-1) / (x.square().sum(-1) * y.square().sum(-1)).sqrt()
    t = r * (freedom / (1 - r.square()).clamp_min(1e-300)).sqrt()
    from scipy.special import stdtr  # when the first test is asked for: it takes long to import

    p = 2 * stdtr(freedom, -np.abs(t.cpu().numpy()))
    return Independence(r, torch.as_tensor(p).to(r))


def rank_test(
    x: Tensor,
    y: Tensor,
    *,
    strata: Tensor | None = None,
    degree: int = 2,
    permutations: int = 199,
    seed: int | None = 0,
) -> Independence:
    """Return the permutation test of independence of x and y, within the strata of a discrete third column.

    The statistic adds the squares of the correlations of Legendre polynomials of the ranks, 1 to ``degree`` of x with
    1 to ``degree`` of y. Within a stratum every order of y is equally probable where x and y are independent there, so
    that the level is exact for any distribution (Phipson and Smyth's p, which is never 0). With degree 2 it has power
    against dependence that rises, falls, or is bent like a parabola; a higher degree sees more waves, each less well.

    Args:
        x: ``(..., n)``, any number of tables.
        y: ``(..., n)``.
        strata: ``(..., n)`` whole numbers, the values of the third column; None where nothing is known.
        degree: highest degree of the polynomials.
        permutations: number of random orders.
        seed: seed of the orders; None means 0.

    Raises:
        ValueError: for shapes that do not fit, or strata that are not whole numbers.

    References:
        B. Phipson, G. K. Smyth, Permutation p-values should never be zero, 2010.

    Example:
        >>> a, b = torch.randn(2, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> assert rank_test(a, a.square() + b).p < 0.05 < correlation_test(a, a.square() + b).p
    """
    x, y = _pair(x, y)
    degree = as_count(degree, "degree", "the highest degree of the polynomials")
    permutations = as_count(permutations, "permutations", "the number of random orders")
    labels = torch.zeros_like(x) if strata is None else torch.as_tensor(strata).to(x)
    if labels.shape[-1] != x.shape[-1] or bool((labels != labels.round()).any()):
        raise ValueError(f"strata must be whole numbers (..., {x.shape[-1]}), got shape {tuple(labels.shape)}")
    shape = x.shape[:-1]
    labels = labels.expand(x.shape).reshape(-1, x.shape[-1])
    x, y = x.reshape(labels.shape), y.reshape(labels.shape)
    order = labels.argsort(dim=-1, stable=True)
    x, y, labels = (v.gather(-1, order) for v in (x, y, labels))
    scores = [_scores(v, labels, degree) for v in (x, y)]
    size = max(1, CHUNK // (permutations * x.shape[-1]))
    generator = as_generator(seed)
    found = [
        _permuted(a, b, label, permutations, generator)
        for a, b, label in zip(*(v.split(size) for v in (*scores, labels)), strict=True)
    ]
    statistic, p = (torch.cat(parts).reshape(shape) for parts in zip(*found, strict=True))
    return Independence(statistic, p)


def _pair(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Return two columns, or tables of them, of the same shape as float64 on x's device where it has it."""
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    if x.ndim < 1 or x.shape != y.shape:
        raise ValueError(f"x and y must have the same shape (..., n), got {tuple(x.shape)} and {tuple(y.shape)}")
    x = x if x.is_floating_point() else x.double()
    return x, y.to(x)


def _scores(v: Tensor, labels: Tensor, degree: int) -> Tensor:
    """Return ``(tables, degree, n)`` Legendre polynomials of the mean ranks within the strata."""
    n = v.shape[-1]
    sorted_values = v.sort(dim=-1).values
    low, high = (torch.searchsorted(sorted_values, v.contiguous(), right=side) for side in (False, True))
    keys = labels * (2 * n + 1) + (low + high)  # by stratum, then by mean rank in the whole
    sorted_keys = keys.sort(dim=-1).values
    first, last = (torch.searchsorted(sorted_keys, keys, right=side) for side in (False, True))
    start, end = (torch.searchsorted(labels.contiguous(), labels.contiguous(), right=side) for side in (False, True))
    place = ((first + last) / 2 - start).to(v) / (end - start).to(v)  # within (0, 1)
    z = 2 * place - 1
    legendre = [torch.ones_like(z), z]
    for k in range(1, degree):
        legendre.append(((2 * k + 1) * z * legendre[k] - k * legendre[k - 1]) / (k + 1))
    return torch.stack(legendre[1:], dim=1) * torch.arange(3, 2 * degree + 2, 2).to(v).sqrt()[:, None]


def _permuted(
    a: Tensor, b: Tensor, labels: Tensor, permutations: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return statistic and p ``(tables,)`` of scores ``(tables, degree, n)``, rows sorted by stratum."""
    tables, degree, n = a.shape
    statistic = torch.einsum("tdn,ten->tde", a, b).square().sum((1, 2)) / n
    random = torch.rand(tables, permutations, n, generator=generator, dtype=a.dtype).to(a.device)
    # strata numbered 0, 1, … so that the random part decides within one and never between two
    number = (labels.diff(dim=-1, prepend=labels[:, :1]) != 0).cumsum(-1).to(a)
    order = (number[:, None] + random).argsort(dim=-1)
    shuffled = (
        b[:, :, None].expand(tables, degree, permutations, n).gather(-1, order[:, None].expand(-1, degree, -1, -1))
    )
    null = torch.einsum("tdn,tepn->tpde", a, shuffled).square().sum((2, 3)) / n
    as_large = (null >= statistic[:, None] * (1 - 1e-9)).sum(1)
    return statistic, (1 + as_large).to(a) / (1 + permutations)
