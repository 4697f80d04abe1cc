"""Does the interval of a network's horizon hold its mean over all sequences?"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from acelib.recurrent import Recurrent, TimeLag, time_lag
from tools.coverage.case import Case, generator, hits
from tools.coverage.worlds import normal

quantity = "horizon of a recurrent network"
STEPS = 16


@cache
def network() -> Recurrent:
    net = Recurrent(nn.GRU(2, 5, batch_first=True), nn.Linear(5, 1)).double().requires_grad_(False).eval()
    draw = generator(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.9 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return net


def lag(n: int, seed: int) -> TimeLag:
    return time_lag(network(), 2 * normal(n, 2 * STEPS, seed).reshape(n, STEPS, 2))


@cache
def truth() -> Tensor:
    return lag(20_000, 9_000_000).lag


def world(n: int) -> Case:
    def run(seed: int) -> dict[str, Tensor]:
        found = lag(n, seed)
        return hits(truth(), stderr=(found.lag, found.stderr), interval=found.interval())

    return Case(run, "The mean over 20,000 other sequences of the same law.", 500)


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    return {f"three tolerances, {n} sequences": world(n) for n in (20, 50, 200)}
