"""How does the price of the linearised estimator grow with rows, inputs, values and outputs?

Two decades of each, but one of values. Random perceptrons of one hidden layer, float32. A ratio near 100 is growth in
proportion, below it what is shared pays. With values the covariance between them grows by their square, and it is a
part of the result. Inputs are regressed together, so that the slopes of all are taken in one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from acelib import InputDistribution, interventional_expectation
from acelib.expectation.estimate import expectation_of
from acelib.expectation.networks import admitted
from acelib.lab.networks import mlp

ratios = {f"100 times the {what}": (f"{what}, many", f"{what}, few") for what in ("rows", "inputs", "outputs")}
ratios["10 times the values"] = ("values, many", "values, few")
expect = dict.fromkeys(list(ratios)[:3], "at most 120") | {"10 times the values": "at most 12"}


@cache
def population(n: int, k: int) -> InputDistribution:
    """Return n normal rows of k inputs."""
    return InputDistribution.fit(torch.randn(n, k, generator=torch.Generator().manual_seed(0)), domain=(-2.0, 2.0))


@cache
def network(k: int, outputs: int) -> torch.nn.Module:
    """Return an untrained perceptron."""
    return mlp((k, 64, outputs), activation="tanh", dtype=torch.float32).eval()


def one(n: int = 1000, k: int = 20, outputs: int = 1, values: int = 12) -> Callable[[], object]:
    """Return a call for one input."""
    at, options = torch.linspace(-2, 2, values), dict(method="linearised", rows=50)
    return lambda: interventional_expectation(network(k, outputs), population(n, k), 0, at, **options)


def every(k: int) -> Callable[[], object]:
    """Return a call for k inputs, one after the other, that share the pass for the slopes."""
    at, options = torch.linspace(-2, 2, 12), dict(method="linearised", rows=50, budget=10**6)

    def run() -> object:
        networks = admitted(network(k, 2), population(500, k), derivatives=True)
        return [expectation_of(networks, column, at, **options) for column in range(k)]

    return run


def cases() -> dict[str, Callable[[], object]]:
    """Return ``{name: callable}``."""
    return {
        "rows, few": one(n=300),
        "rows, many": one(n=30_000),
        "inputs, few": every(4),
        "inputs, many": every(400),
        "outputs, few": one(outputs=1),
        "outputs, many": one(outputs=100),
        "values, few": one(values=12),
        "values, many": one(values=120),
    }
