"""Does the effect hold its interval where the domain is the range of the sample, which is what one gets by default?

An average causal effect is measured from a baseline, the mean over the domain. Where the law of an input has ends, the
domain means them, and the truth is known. Where it has none, there is still another sample of the same size: two of
them should agree within their joint error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from acelib import AverageCausalEffect, InputDistribution
from tools.coverage.case import Case, agreement, generator, hits
from tools.coverage.worlds import effects, network, normal, normal_grid, smooth_curve

quantity = "average causal effect on the default domain"
AHEAD = 1_000_000  # the second sample of a pair has the seed of the first and this
Draw = Callable[[torch.Generator, int], Tensor]


def rain(draw: torch.Generator, n: int) -> Tensor:
    """Nothing on seven days of ten, else up to 5, mostly little."""
    wet = torch.rand(n, generator=draw, dtype=torch.float64) > 0.7
    return wet * 5 * (1 - torch.rand(n, generator=draw, dtype=torch.float64).pow(1 / 3))


LAWS: dict[str, tuple[Draw, tuple[float, float] | None, tuple[float, ...]]] = {
    # how the first input is drawn, its range, and the values that are asked
    "uniform": (lambda g, n: 4 * torch.rand(n, generator=g, dtype=torch.float64) - 2, (-2.0, 2.0), (-1.0, 0.0, 1.0)),
    "rain-like": (rain, (0.0, 5.0), (0.0, 1.0, 2.0)),
    "normal": (lambda g, n: torch.randn(n, generator=g, dtype=torch.float64), None, (-1.0, 0.0, 1.0)),
}


def answer(law: str, n: int, seed: int, domain: tuple[float, float] | None = None) -> tuple[Tensor, Tensor]:
    """Return effects and standard errors at the values of a law, from n rows."""
    draw, _, values = LAWS[law]
    X = normal(n, 3, seed)
    X[:, 0] = draw(generator(seed + 7_000_000), n)
    inputs = InputDistribution.fit(X, domain=None if domain is None else {"x0": domain})
    fit = AverageCausalEffect(network("tanh"), inputs).regress([0], num=50)[0, 0]
    return fit.ace(torch.tensor(values, dtype=torch.float64), return_std=True)


def population(law: str, n: int, *, known: bool = False) -> Case:
    """Return the case of the effect measured from the mean over the population's range, which may be given."""
    _, ends, values = LAWS[law]

    @cache
    def truth() -> Tensor:
        return effects(smooth_curve(network("tanh"), *ends, *normal_grid(2)), values, *ends)

    def run(seed: int) -> dict[str, Tensor]:
        return hits(truth(), stderr=answer(law, n, seed, ends if known else None))

    return Case(run, "Quadrature over the other inputs and over the range of the law.")


def pair(law: str, n: int, *, known: tuple[float, float] | None = None) -> Case:
    """Return the case of two samples of n rows."""

    def run(seed: int) -> dict[str, Tensor]:
        return agreement(answer(law, n, seed, known), answer(law, n, seed + AHEAD, known))

    return Case(run, "No truth is needed: two samples of the same size should agree within their joint error.", 500)


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {}
    for law in ("uniform", "rain-like"):
        found[f"{law} input, domain given, 500 rows"] = population(law, 500, known=True)
        for n in (50, 500):
            found[f"{law} input, range of the sample, {n} rows"] = population(law, n)
    for law in LAWS:
        found[f"{law} input, two samples of 500 rows"] = pair(law, 500)
    found["normal input, domain given, two samples of 500 rows"] = pair("normal", 500, known=(-3.0, 3.0))
    return found
