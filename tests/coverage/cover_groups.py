"""Does the interval hold the truth where rows come in groups, such as the windows of one flight?"""

from __future__ import annotations

from functools import cache
from math import sqrt

import torch
from torch import Tensor

from acelib import AverageCausalEffect, InputDistribution, interventional_expectation
from tools.coverage.case import Case, generator, hits
from tools.coverage.worlds import WIDE, averages, effects, network, normal_grid, smooth_curve

quantity = "expectation over dependent rows (`groups=`)"
ALPHAS = (-1.0, 0.0, 1.0)
SHARED = 0.8  # correlation of two rows of one group
QUADRATURE = "Quadrature: one row alone is standard normal, whatever group it is in."


def clustered(sizes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return rows ``(n, 3)``, each input standard normal and alike within a group, and the group of each row."""
    draw = generator(seed)
    groups = torch.arange(len(sizes)).repeat_interleave(sizes)
    common = torch.randn(len(sizes), 3, generator=draw, dtype=torch.float64)[groups]
    own = torch.randn(len(groups), 3, generator=draw, dtype=torch.float64)
    return sqrt(SHARED) * common + sqrt(1 - SHARED) * own, groups


@cache
def truth() -> Tensor:
    return averages(network("tanh"), ALPHAS, *normal_grid(2))


@cache
def effect() -> Tensor:
    return effects(smooth_curve(network("tanh"), -2, 2, *normal_grid(2)), ALPHAS, -2, 2)


def expectation(count: int, size: int | None = 20, **options: int) -> Case:
    """Return the case of so many groups; a size of None draws sizes from 1 to 59."""

    def run(seed: int) -> dict[str, Tensor]:
        drawn = torch.randint(1, 60, (count,), generator=generator(seed)) if size is None else None
        X, groups = clustered(torch.full((count,), size) if drawn is None else drawn, seed)
        inputs = InputDistribution.fit(X, domain=WIDE)
        e = interventional_expectation(network("tanh"), inputs, 0, ALPHAS, groups=groups, seed=seed, **options)
        return hits(truth(), stderr=(e.values, e.stderr), interval=e.interval())

    return Case(run, QUADRATURE)


def curve(count: int) -> Case:
    """Return the case of an average causal effect on a domain that is known."""

    def run(seed: int) -> dict[str, Tensor]:
        X, groups = clustered(torch.full((count,), 20), seed)
        inputs = InputDistribution.fit(X, domain=(-2.0, 2.0))
        regressor = AverageCausalEffect(network("tanh"), inputs, groups=groups).regress([0], num=50)[0, 0]
        return hits(effect(), stderr=regressor.ace(ALPHAS, return_std=True), interval=regressor.interval(ALPHAS))

    return Case(run, QUADRATURE)


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {f"{count} groups of 20 rows": expectation(count) for count in (3, 5, 10, 20, 50)}
    found["20 groups of 1 to 59 rows"] = expectation(20, None)
    found["some 20 of 40 groups of 1 to 59 rows (rows=600)"] = expectation(40, None, rows=600)
    found |= {f"average causal effect, {count} groups of 20 rows": curve(count) for count in (5, 20)}
    return found
