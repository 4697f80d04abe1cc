"""Do the intervals of average causal effects hold the truth, on curves and for single inputs, on a known domain?"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from acelib import AverageCausalEffect, InputDistribution
from tools.coverage.case import Case, hits
from tools.coverage.worlds import effects, network, normal, normal_grid, smooth_curve, uniform

quantity = "average causal effect (`.ace`, `attribute`)"
QUADRATURE = "Quadrature over the other inputs, and over the domain for the baseline."
EXPLAINED = torch.tensor([[-1.5, 0.3, 1.0], [0.2, -1.0, 0.5], [1.2, 0.8, -0.4]], dtype=torch.float64)
ENDS = (-2.0, 2.0)


@cache
def attributions(name: str) -> Tensor:
    """Return the effects ``(3, 3)`` of the explained inputs' coordinates."""
    found = []
    for feature in range(3):
        swap = [feature, *(i for i in range(3) if i != feature)]
        back = [swap.index(i) for i in range(3)]
        curve = smooth_curve(lambda x, back=back: network(name)(x[:, back]), *ENDS, *normal_grid(2))
        found.append(effects(curve, EXPLAINED[:, feature], *ENDS))
    return torch.stack(found, 1)


def explained(name: str, n: int, via: str) -> Case:
    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(normal(n, 3, seed), domain=ENDS)
        found = AverageCausalEffect(network(name), inputs).attribute(EXPLAINED, via=via)
        return hits(attributions(name), stderr=(found.values, found.stderr), interval=found.interval())

    return Case(run, QUADRATURE)


def curve(name: str, n: int, law: str, what: str = "ace") -> Case:
    """Return the case of one curve at five places of the domain, or of its baseline."""
    draw, ends = {"normal": (normal, ENDS), "uniform": (uniform, (0.0, 1.0))}[law]
    places = torch.linspace(*ends, 7, dtype=torch.float64)[1:-1]

    @cache
    def truth() -> tuple[Tensor, Tensor]:
        grid = normal_grid(2)
        if law == "uniform":  # a midpoint rule
            axis = (torch.arange(200, dtype=torch.float64) + 0.5) / 200
            grid = torch.cartesian_prod(axis, axis), torch.full((40_000,), 1 / 40_000, dtype=torch.float64)
        exact = smooth_curve(network(name), *ends, *grid)
        found = effects(exact, places, *ends)
        return found, (exact(places) - found)[:1]

    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(draw(n, 3, seed), domain=ends)
        regressor = AverageCausalEffect(network(name), inputs).regress([0], num=50)[0, 0]
        if what == "baseline":
            return hits(truth()[1], stderr=(regressor.baseline, regressor.baseline_std))
        return hits(truth()[0], stderr=regressor.ace(places, return_std=True), interval=regressor.interval(places))

    return Case(run, QUADRATURE)


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {}
    for n in (20, 50, 200):
        found[f"curve, tanh network, normal inputs, {n} rows"] = curve("tanh", n, "normal")
    found["curve, tanh network, uniform inputs, 200 rows"] = curve("tanh", 200, "uniform")
    found["curve, relu network, normal inputs, 200 rows"] = curve("relu", 200, "normal")
    found["baseline, tanh network, 200 rows"] = curve("tanh", 200, "normal", "baseline")
    for n in (50, 200):
        found[f"attribute, regressors, {n} rows"] = explained("tanh", n, "regressors")
    found["attribute, direct, 200 rows"] = explained("tanh", 200, "direct")
    found["attribute, regressors, relu network, 200 rows"] = explained("relu", 200, "regressors")
    return found
