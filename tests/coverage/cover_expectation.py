"""Does the interval of an interventional expectation hold the mean over the whole population?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import exp

import torch
from torch import Tensor

from acelib import InputDistribution, interventional_expectation
from tools.coverage.case import Case, hits
from tools.coverage.worlds import WIDE, averages, column, network, normal, normal_grid

quantity = "interventional expectation"
ALPHAS = (-1.0, 0.0, 1.0)
QUADRATURE = "Quadrature over the two other inputs, which are standard normal."


def steep(x: Tensor) -> Tensor:
    """A classifier that goes from 0 to 1 within a tenth of its input's range."""
    return column(torch.sigmoid(8 * (x[:, 0] + x[:, 1])))


def lognormal(sigma: float) -> Callable[[Tensor], Tensor]:
    return lambda x: column((2 + x[:, 0]) * torch.exp(sigma * x[:, 1]))


def rare(x: Tensor) -> Tensor:
    """An event that two rows in a hundred have."""
    return column((2 + x[:, 0]) * (x[:, 1] > 2.0537489106318225))


def quadratic(x: Tensor) -> Tensor:
    """What a second-order expansion describes in full, so that Taylor and cubature equal the row average."""
    return column(x[:, 1] ** 2 + x[:, 0] * x[:, 1] + x[:, 2])


def known(model: Callable[[Tensor], Tensor], k: int, alphas: Sequence[float]) -> Callable[[], Tensor]:
    return cache(lambda: averages(model, alphas, *normal_grid(k)))


def world(
    model: Callable[[Tensor], Tensor],
    n: int,
    truth: Callable[[], Tensor],
    said: str,
    alphas: Sequence[float] = ALPHAS,
    **options: int | str,
) -> Case:
    """Return the case of a model of three standard normal inputs, of which n rows are seen."""

    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(normal(n, 3, seed), domain=WIDE)
        e = interventional_expectation(model, inputs, 0, alphas, seed=seed, **options)
        return hits(truth(), stderr=(e.values, e.stderr), interval=e.interval())

    return Case(run, said)


def weighted(n: int) -> Case:
    """Return the case of rows with weights exp(0.7 x₁), which stand for a population whose x₁ has mean 0.7."""

    def curve() -> Tensor:
        nodes, weights = normal_grid(2)
        return averages(network("tanh"), ALPHAS, nodes + torch.tensor([0.7, 0.0]), weights)

    truth = cache(curve)

    def run(seed: int) -> dict[str, Tensor]:
        X = normal(n, 3, seed)
        inputs = InputDistribution.fit(X, domain=WIDE, weights=torch.exp(0.7 * X[:, 1]))
        e = interventional_expectation(network("tanh"), inputs, 0, ALPHAS)
        return hits(truth(), stderr=(e.values, e.stderr), interval=e.interval())

    return Case(run, "Quadrature over the law that the weighted rows stand for.")


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {}
    for name in ("tanh", "relu"):
        truth = known(network(name), 2, ALPHAS)
        for n in (5, 10, 20, 50, 200) if name == "tanh" else (50, 200):
            found[f"{name} network, {n} rows"] = world(network(name), n, truth, QUADRATURE)
    found["tanh network, 100 of 1000 rows"] = world(
        network("tanh"), 1000, known(network("tanh"), 2, ALPHAS), QUADRATURE, rows=100
    )
    found["tanh network, 200 weighted rows"] = weighted(200)
    alphas = (-2.0, -1.0, 0.0, 1.0, 2.0)
    truth = known(steep, 2, alphas)
    for n in (50, 200):
        found[f"steep classifier, {n} rows"] = world(steep, n, truth, QUADRATURE, alphas)
    for sigma, words in ((1.0, "skewed output (lognormal, σ = 1)"), (1.5, "heavy tails (lognormal, σ = 1.5)")):
        exact = torch.tensor([(2 + a) * exp(sigma**2 / 2) for a in ALPHAS])
        for n in (50, 200, 1000):
            said = "Closed form: the mean of a lognormal is exp(σ²/2)."
            found[f"{words}, {n} rows"] = world(lognormal(sigma), n, lambda exact=exact: exact, said)
    exact = torch.tensor([(2 + a) * 0.02 for a in ALPHAS])
    for n in (50, 200, 1000):
        found[f"rare event (2 % of the rows), {n} rows"] = world(rare, n, lambda: exact, "Closed form: p = 0.02.")
    exact_one = torch.ones(len(ALPHAS))
    for method in ("monte_carlo", "taylor", "cubature"):
        said = "Closed form: the variance of the second input, for every value of the first."
        found[f"quadratic network, {method}, 200 rows"] = world(quadratic, 200, lambda: exact_one, said, method=method)
    return found
