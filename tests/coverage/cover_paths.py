"""How often does the test of an explanatory graph leave nodes alone that have no mean effect, one by one and by Holm?

A network that adds up its 100 inputs has the effect −x_j of removing input j. Inputs of mean 0 have none on average.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from acelib.paths import treatment_effects
from tools.coverage.case import Case, generator, hits

quantity = "test of path interventions"
NODES = 100
LAWS: dict[str, Callable[[torch.Generator, int], Tensor]] = {}


def law(name: str) -> Callable:
    def keep(draw: Callable[[torch.Generator, int], Tensor]) -> Callable:
        LAWS[name] = draw
        return draw

    return keep


@law("normal")
def normal(g: torch.Generator, n: int) -> Tensor:
    return torch.randn(n, NODES, generator=g, dtype=torch.float64)


@law("skewed (exponential)")
def exponential(g: torch.Generator, n: int) -> Tensor:
    return -1 - torch.log1p(-torch.rand(n, NODES, generator=g, dtype=torch.float64))


@law("heavy-tailed (lognormal, σ = 1)")
def lognormal(g: torch.Generator, n: int) -> Tensor:
    return torch.exp(normal(g, n)) - torch.tensor(0.5).double().exp()


@law("heavy-tailed (lognormal, σ = 1.5)")
def heavier(g: torch.Generator, n: int) -> Tensor:
    return torch.exp(1.5 * normal(g, n)) - torch.tensor(1.125).double().exp()


@law("rarely active (one input in ten)")
def rare(g: torch.Generator, n: int) -> Tensor:
    return exponential(g, n) * (torch.rand(n, NODES, generator=g) < 0.1)


@cache
def adder() -> nn.Linear:
    net = nn.Linear(NODES, 2, bias=False).double().requires_grad_(False).eval()
    with torch.no_grad():
        net.weight.copy_(torch.stack([torch.ones(NODES), torch.zeros(NODES)]))
    return net


def one_by_one(draw: Callable[[torch.Generator, int], Tensor], n: int) -> Case:
    """Return the case of each node by itself, at the level 5 %."""

    def run(seed: int) -> dict[str, Tensor]:
        found = treatment_effects(adder(), draw(generator(seed), n), 0, "")
        return hits(0.0, stderr=(found.effects, found.stderr)) | {"test": found.p >= 0.05}

    return Case(run, "All 100 nodes have the mean effect 0.", 300)


def family(draw: Callable[[torch.Generator, int], Tensor], n: int) -> Case:
    """Return the case of all nodes together: held where Holm's procedure finds none of them."""

    def run(seed: int) -> dict[str, Tensor]:
        found = treatment_effects(adder(), draw(generator(seed), n), 0, "", correction="holm")
        return {"test": (found.p_adjusted >= 0.05).all().reshape(1)}

    return Case(run, "All 100 nodes have the mean effect 0, so that any find is a false one.")


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {}
    for name, draw in LAWS.items():
        for n in (30, 100, 300):
            found[f"{name}, each node, {n} inputs"] = one_by_one(draw, n)
    for name, draw in LAWS.items():
        for n in (30, 100, 300):
            found[f"{name}, 100 nodes by Holm, {n} inputs"] = family(draw, n)
    return found
