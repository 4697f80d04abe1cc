"""Does the interval of the linearised estimator hold the mean over the whole population?"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from acelib import InputDistribution, interventional_expectation
from tools.coverage.case import Case, hits
from tools.coverage.worlds import WIDE, averages, network, normal, normal_grid

quantity = "interventional expectation, linearised"
ALPHAS = (-1.0, 0.0, 1.0)
MANY = tuple(torch.linspace(-1.5, 1.5, 20).tolist())  # so many that most drawn rows are answered at a few of them


def world(activation: str, n: int, draws: int, link: str | None, alphas: tuple[float, ...] = ALPHAS) -> Case:
    """Return the case of n rows that are linearised and some that correct them."""
    net = network(activation)

    def explained(x: Tensor) -> Tensor:
        return net(x) if link is None else net(x).sigmoid()

    truth = cache(lambda: averages(explained, alphas, *normal_grid(2)))

    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(normal(n, 3, seed), domain=WIDE)
        options = dict(method="linearised", rows=draws, link=link, seed=seed)
        e = interventional_expectation(net, inputs, 0, alphas, **options)
        return hits(truth(), stderr=(e.values, e.stderr), interval=e.interval())

    return Case(run, "Quadrature over the two other inputs, which are standard normal.")


def images(n: int, seed: int) -> Tensor:
    """Return n images of 8 × 8 pixels of a common brightness, normal, in float64."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, 65, generator=generator, dtype=torch.float64)
    return (noise[:, :64] + noise[:, 64:]).reshape(n, 1, 8, 8)


@cache
def convolutional() -> nn.Sequential:
    """Return an untrained convolutional network whose first layer bends most."""
    torch.manual_seed(0)
    maps = nn.Conv2d(1, 4, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten()
    net = nn.Sequential(*maps, nn.Linear(36, 128), nn.Tanh(), nn.Linear(128, 1)).double().eval()
    with torch.no_grad():
        net[0].weight *= 6
    return net.requires_grad_(False)


def image_world(n: int, draws: int, link: str | None, alphas: tuple[float, ...]) -> Case:
    """Return the case of a convolutional network, whose first layers are followed exactly where that pays."""
    net = convolutional()

    @cache
    def truth() -> Tensor:
        rows = InputDistribution.fit(images(400_000, 2**40), domain=WIDE)
        options = dict(method="monte_carlo", link=link)
        return interventional_expectation(net, rows, 27, alphas, **options).values

    def run(seed: int) -> dict[str, Tensor]:
        inputs = InputDistribution.fit(images(n, seed), domain=WIDE)
        options = dict(method="linearised", rows=draws, link=link, seed=seed)
        e = interventional_expectation(net, inputs, 27, alphas, **options)
        return hits(truth(), stderr=(e.values, e.stderr), interval=e.interval())

    return Case(run, "The average over 400,000 other images.")


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {}
    for activation in ("tanh", "relu"):
        for link, what in ((None, "logits"), ("sigmoid", "probabilities")):
            for n, draws in ((200, 50), (2000, 50), (2000, 100)):
                found[f"{activation} network, {what}, {n} rows, {draws} drawn"] = world(activation, n, draws, link)
            name = f"{activation} network, {what}, 20 values, 2000 rows, 100 drawn"
            found[name] = world(activation, 2000, 100, link, MANY)
    for link, what in ((None, "logits"), ("sigmoid", "probabilities")):
        for alphas, many in ((ALPHAS, "3 values"), (MANY, "20 values")):
            name = f"convolutional network, {what}, {many}, 1000 rows, 100 drawn"
            found[name] = image_world(1000, 100, link, alphas)
    return found
