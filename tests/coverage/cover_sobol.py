"""Do the intervals of Sobol' indices hold functions whose indices have closed forms?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import pi, prod

import torch
from torch import Tensor

from acelib.intrinsic import sobol_indices
from acelib.lab.contributions.sensitivity import known_functions
from tools.coverage.case import Case, hits
from tools.coverage.worlds import column

quantity = "Sobol' indices"
CLOSED = "Closed form of the parts of the variance."
Parts = dict[tuple[int, ...], float]
"""Subset of inputs to the variance that it explains in interaction."""


def ishigami(x: Tensor) -> Tensor:
    z = pi * (2 * x - 1)
    return column(torch.sin(z[:, 0]) * (1 + 0.1 * z[:, 2] ** 4) + 7 * torch.sin(z[:, 1]) ** 2)


ISHIGAMI: Parts = {
    (0,): 0.5 * (1 + 0.1 * pi**4 / 5) ** 2,
    (1,): 49 / 8,
    (0, 2): 8 * 0.1**2 * pi**8 / 225,
}
FLAT = (0.0, 1.0, 4.5, 9.0)


def g_function(x: Tensor) -> Tensor:
    a = x.new_tensor(FLAT)
    return column((((4 * x - 2).abs() + a) / (1 + a)).prod(1))


def lognormal(sigma: float) -> Callable[[Tensor], Tensor]:
    """Return the product of three lognormals as a function of uniform inputs."""
    return lambda x: column(torch.exp(sigma * torch.special.ndtri(x.clamp(1e-12, 1 - 1e-12)).sum(1)))


def product(variances: list[float]) -> Parts:
    """Return the parts of a product of independent factors with mean 1 and these variances."""
    k = len(variances)
    subsets = [s for size in range(1, k + 1) for s in combinations(range(k), size)]
    return {s: prod(variances[i] for i in s) for s in subsets}


def known(parts: Parts, k: int) -> dict[str, Tensor]:
    """Return first, total and Shapley indices ``(k,)`` from the parts of the variance."""
    found = {"first": [], "total": [], "shapley": []}
    for i in range(k):
        found["first"].append(parts.get((i,), 0.0))
        found["total"].append(sum(v for s, v in parts.items() if i in s))
        found["shapley"].append(sum(v / len(s) for s, v in parts.items() if i in s))
    whole = sum(parts.values())
    return {name: torch.tensor(values, dtype=torch.float64) / whole for name, values in found.items()}


def world(model: Callable[[Tensor], Tensor], truth: dict[str, Tensor], samples: int, said: str = CLOSED) -> Case:
    """Return the case of all these indices, first, total or Shapley ones, of all inputs together."""
    k = len(truth["first"])
    assert k <= 4 or "shapley" not in truth, "Shapley effects are evaluated up to 4 inputs"

    def run(seed: int) -> dict[str, Tensor]:
        r = sobol_indices(model, num_inputs=k, num_samples=samples, seed=seed)
        values = {name: getattr(r, name) for name in truth}
        errors = {name: getattr(r, f"{name}_stderr") for name in truth}
        ends = [r.interval(name) for name in truth]
        return hits(
            torch.cat(list(truth.values())),
            stderr=(joined([values[name] for name in truth]), joined([errors[name] for name in truth])),
            interval=(joined([low for low, _ in ends]), joined([high for _, high in ends])),
        )

    return Case(run, said)


def joined(tables: list[Tensor]) -> Tensor:
    return torch.cat([table[:, 0] for table in tables])


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {}
    for samples in (1024, 4096):
        found[f"Ishigami function, N = {samples}"] = world(ishigami, known(ISHIGAMI, 3), samples)
        g_parts = product([1 / (3 * (1 + a) ** 2) for a in FLAT])
        found[f"G function of Sobol', N = {samples}"] = world(g_function, known(g_parts, 4), samples)
    for name in ("wing weight", "borehole"):
        function = known_functions()[name]
        indices = {"first": torch.from_numpy(function.first), "total": torch.from_numpy(function.total)}
        for samples in (256, 2048):
            said = "Quadrature in one dimension for each input, or in six for the borehole."
            found[f"{name} function, N = {samples}"] = world(function.of_uniform, indices, samples, said)
    for sigma in (0.5, 1.0):
        parts = product([torch.tensor(sigma**2).double().expm1().item()] * 3)
        for samples in (1024, 4096):
            said = f"product of three lognormals, σ = {sigma:g}, N = {samples}"
            found[said] = world(lognormal(sigma), known(parts, 3), samples)
    return found
