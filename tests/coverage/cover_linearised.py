"""Does the interval of the linearised estimator hold the mean over the whole population?"""

from __future__ import annotations

from functools import cache

from torch import Tensor

from acelib import InputDistribution, interventional_expectation
from tools.coverage.case import Case, hits
from tools.coverage.worlds import WIDE, averages, network, normal, normal_grid

quantity = "interventional expectation, linearised"
ALPHAS = (-1.0, 0.0, 1.0)


def world(activation: str, n: int, draws: int, link: str | None) -> Case:
    """Return the case of n rows that are linearised and some that correct them."""
    net = network(activation)

    def explained(x: Tensor) -> Tensor:
        return net(x) if link is None else net(x).sigmoid()

    truth = cache(lambda: averages(explained, ALPHAS, *normal_grid(2)))

    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(normal(n, 3, seed), domain=WIDE)
        options = dict(method="linearised", rows=draws, link=link, seed=seed)
        e = interventional_expectation(net, inputs, 0, ALPHAS, **options)
        return hits(truth(), stderr=(e.values, e.stderr), interval=e.interval())

    return Case(run, "Quadrature over the two other inputs, which are standard normal.")


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {}
    for activation in ("tanh", "relu"):
        for link, what in ((None, "logits"), ("sigmoid", "probabilities")):
            for n, draws in ((200, 50), (2000, 50), (2000, 100)):
                found[f"{activation} network, {what}, {n} rows, {draws} drawn"] = world(activation, n, draws, link)
    return found
