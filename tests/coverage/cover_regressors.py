"""Do the bands of causal regressors hold curves that are hard to fit: kinks, jumps, waves, heavy tails, bare grids?"""

from __future__ import annotations

from collections.abc import Callable
from math import exp

import torch
from torch import Tensor
from torch.special import ndtr

from acelib import AverageCausalEffect, CausalRegressor, InputDistribution, SplineRegressor
from tools.coverage.case import Case, generator, hits
from tools.coverage.worlds import column, effects, normal

quantity = "band of a causal regressor"
ENDS = (-2.0, 2.0)
PLACES = torch.linspace(-1.93, 1.93, 25, dtype=torch.float64)
FITS = {"polynomial": CausalRegressor, "spline": SplineRegressor}
SHAPES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    # the network, and its mean over standard normal inputs besides the first
    "kink": (lambda x: x[:, 0].abs() * (1 + x[:, 1] / 2) + x[:, 2], torch.abs),
    "jump": (lambda x: (x[:, 0] > 0.3) * (1 + x[:, 1] / 2) + x[:, 2], lambda a: (a > 0.3).double()),
    "jump that other inputs smooth": (lambda x: (x[:, 0] + x[:, 1] > 0).double() + x[:, 2], ndtr),
    "wave": (lambda x: torch.sin(6 * x[:, 0]) * (1 + x[:, 1] / 2) + x[:, 2], lambda a: torch.sin(6 * a)),
    "skewed slopes": (lambda x: x[:, 0] * torch.exp(x[:, 1]), lambda a: a * exp(0.5)),
}


def network_world(shape: str, n: int, family: str) -> Case:
    """Return the case of a curve and its average causal effect where n rows are averaged at 50 values."""
    model, exact = SHAPES[shape]
    truth = torch.cat([exact(PLACES), effects(exact, PLACES, *ENDS)])

    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(normal(n, 3, seed), domain=ENDS)
        ace = AverageCausalEffect(lambda x: column(model(x)), inputs)
        fit = ace.regress([0], num=50, family=family)[0, 0]
        pairs = (fit.predict(PLACES, return_std=True), fit.ace(PLACES, return_std=True))
        return hits(truth, stderr=tuple(map(torch.cat, zip(*pairs, strict=True))))

    return Case(run, "Closed form: the network is linear in the inputs that are averaged, or a normal distribution.")


def bare_world(shape: str, family: str) -> Case:
    """Return the case of 30 exact values at the quantiles of a skewed sample: only the lack of fit is in the band.

    What is drawn is the grid and where on it the kink or jump lies; 50 random places of the domain are asked.
    """

    def run(seed: int) -> dict[str, Tensor]:
        draw = generator(seed)
        sample = -torch.log(torch.rand(400, generator=draw, dtype=torch.float64))
        alphas = sample.quantile(torch.linspace(0, 1, 30, dtype=torch.float64))
        at = alphas[0] + (alphas[-1] - alphas[0]) * (0.1 + 0.8 * torch.rand(1, generator=draw, dtype=torch.float64))
        curve = {"kink": lambda a: (a - at).abs(), "jump": lambda a: (a > at).double()}[shape]
        low, high = float(alphas[0]), float(alphas[-1])
        places = low + (high - low) * torch.rand(50, generator=draw, dtype=torch.float64)
        fit = FITS[family].fit(alphas, curve(alphas), low=low, high=high)
        return hits(
            effects(curve, places, low, high),
            stderr=fit.ace(places, return_std=True),
            interval=fit.interval(places),
        )

    return Case(run, "The kink or jump itself, without sampling noise.")


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {}
    for shape in SHAPES:
        for n in (50, 200) if shape == "skewed slopes" else (200,):
            found[f"{shape}, polynomial, {n} rows"] = network_world(shape, n, "polynomial")
    for shape in ("kink", "jump", "wave"):
        found[f"{shape}, spline, 200 rows"] = network_world(shape, 200, "spline")
    for shape in ("kink", "jump"):
        for family in FITS:
            found[f"{shape}, {family}, exact values on a quantile grid"] = bare_world(shape, family)
    return found
