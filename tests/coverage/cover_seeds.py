"""Does the interval of a list of networks hold the mean over all networks that training might have given?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from acelib import AverageCausalEffect, InputDistribution, interventional_expectation
from tools.coverage.case import Case, generator, hits
from tools.coverage.worlds import averages, column, effects, normal, normal_grid, smooth_curve

quantity = "list of networks (training seeds)"
ALPHAS = (-1.0, 0.5, 1.5)
ENDS = (-2.0, 2.0)
SAID = "Quadrature: the networks differ by two standard normal numbers, which enter linearly."


def trained(count: int, seed: int) -> list[Callable[[Tensor], Tensor]]:
    """Return networks (1 + u/2) tanh(x₀ + x₁) + 0.3 v (x₀ + 1), with u and v drawn for each."""
    draws = torch.randn(count, 2, generator=generator(seed + 7_000_000), dtype=torch.float64).tolist()
    return [
        lambda x, u=u, v=v: column((1 + u / 2) * torch.tanh(x[:, 0] + x[:, 1]) + 0.3 * v * (x[:, 0] + 1))
        for u, v in draws
    ]


def typical(x: Tensor) -> Tensor:
    """The mean of all networks."""
    return column(torch.tanh(x[:, 0] + x[:, 1]))


@cache
def truths() -> tuple[Tensor, Tensor]:
    grid = normal_grid(1)
    return averages(typical, ALPHAS, *grid), effects(smooth_curve(typical, *ENDS, *grid), ALPHAS, *ENDS)


def expectation(count: int, n: int) -> Case:
    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(normal(n, 2, seed), domain=ENDS)
        e = interventional_expectation(trained(count, seed), inputs, 0, ALPHAS)
        return hits(truths()[0], stderr=(e.values, e.stderr), interval=e.interval())

    return Case(run, SAID)


def curve(count: int, n: int) -> Case:
    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(normal(n, 2, seed), domain=ENDS)
        regressor = AverageCausalEffect(trained(count, seed), inputs).regress([0], num=50)[0, 0]
        return hits(truths()[1], stderr=regressor.ace(ALPHAS, return_std=True), interval=regressor.interval(ALPHAS))

    return Case(run, SAID)


def explained(count: int, n: int) -> Case:
    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(normal(n, 2, seed), domain=ENDS)
        x = torch.tensor([[alpha, 0.0] for alpha in ALPHAS], dtype=torch.float64)
        found = AverageCausalEffect(trained(count, seed), inputs).attribute(x, features=[0])
        low, high = found.interval()
        ends = low[:, 0], high[:, 0]
        return hits(truths()[1], stderr=(found.values[:, 0], found.stderr[:, 0]), interval=ends)

    return Case(run, SAID)


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {f"expectation, {count} networks, 200 rows": expectation(count, 200) for count in (3, 5, 10)}
    found |= {f"average causal effect, {count} networks, 200 rows": curve(count, 200) for count in (3, 5, 10)}
    found["attribute, 5 networks, 200 rows"] = explained(5, 200)
    return found
