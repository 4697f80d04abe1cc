"""Do the intervals of intrinsic contributions hold, for given causal models and for fitted ones?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import exp

import torch
from torch import Tensor

from acelib.intrinsic import CausalModel, FlowModel, LinearModel, StructuralModel, intrinsic_contributions
from tools.coverage.case import Case, hits
from tools.coverage.worlds import column, normal, normal_grid

quantity = "intrinsic contributions"
CONTEXTS = ("first", "topological", "total", "shapley")
CHAIN = {"A": [], "B": ["A"], "C": ["B"]}
CHAIN_TRUTH = {"A": 0.25, "B": 1.0, "C": 1.0}
STEEP_TRUTH = {"A": 36.0, "B": 9.0, "C": 1.0}


def mixed() -> StructuralModel:
    """Return A, B = A/2 + noise, and C without causes."""
    return StructuralModel({"A": [], "B": ["A"], "C": []}, {"B": lambda A, n: A / 2 + n})


def interacting(x: Tensor) -> Tensor:
    """A · B + 2 exp(C/2): in the noises a²/2 + a b + 2 exp(c/2)."""
    return column(x[:, 0] * x[:, 1] + 2 * torch.exp(x[:, 2] / 2))


C_ALONE = 4 * exp(0.25) * (exp(0.25) - 1)  # the variance of 2 exp(c/2)
INTERACTING = {  # a²/2 has the variance 1/2, a b has 1
    "first": [0.5, 0.0, C_ALONE],
    "topological": [0.5, 1.0, C_ALONE],
    "total": [1.5, 1.0, C_ALONE],
    "shapley": [1.0, 0.5, C_ALONE],
}


def lognormal(x: Tensor) -> Tensor:
    """exp of B and C of the mixed model, in the noises exp(a/2 + b + c)."""
    return column(torch.exp(x[:, 1] + x[:, 2]))


def lognormal_first() -> list[float]:
    """Return the variances of exp(a/2 + b + c) explained by each noise alone."""
    scales = [0.25, 1.0, 1.0]
    return [exp(sum(scales)) * (exp(s) - 1) for s in scales]


def given(
    model: Callable[[Tensor], Tensor], truth: dict[str, list[float]], samples: int, *, shares: bool = False
) -> Case:
    """Return the case of a causal model that is known, with the error of the sampling alone.

    With ``shares`` the contributions are asked as shares of the variance, and that variance itself.
    """
    known = torch.tensor(list(truth.values()), dtype=torch.float64)
    if shares:
        whole = known[-1:].sum(1)  # Shapley values sum to the variance
        known = torch.cat([(known / whole).flatten(), whole])

    def run(seed: int) -> dict[str, Tensor]:
        parts = [
            intrinsic_contributions(mixed(), model, context=context, num_samples=samples, seed=seed)
            for context in truth
        ]
        if shares:
            last = torch.tensor([parts[-1].uncertainty]), torch.tensor([parts[-1].uncertainty_stderr])
            pairs = [(r.shares, r.shares_stderr) for r in parts] + [last]
            ends = [r.interval(shares=True) for r in parts] + [torch.tensor(parts[-1].uncertainty_interval())[:, None]]
            joined = (tuple(map(torch.cat, zip(*found, strict=True))) for found in (pairs, ends))
            return hits(known, stderr=next(joined), interval=next(joined))
        ends = [r.interval() for r in parts]
        return hits(
            known,
            stderr=(torch.cat([r.contributions for r in parts]), torch.cat([r.stderr for r in parts])),
            interval=(torch.cat([low for low, _ in ends]), torch.cat([high for _, high in ends])),
        )

    return Case(run, "Closed form: variances of products of normal noises and of lognormals.")


def fitted(fit: Callable[[Tensor], CausalModel], n: int, repetitions: int) -> Case:
    """Return the case of a chain A → B → C learned from n rows, with truth 1/4, 1, 1."""

    def run(seed: int) -> dict[str, Tensor]:
        noises = normal(n, 3, seed)
        a, b, c = noises[:, 0], noises[:, 1], noises[:, 2]
        X = torch.stack([a, a / 2 + b, a / 2 + b + c], 1)
        r = intrinsic_contributions(fit(X), None, target="C", num_samples=1024, seed=seed)
        return hits(list(CHAIN_TRUTH.values()), stderr=(r.contributions, r.stderr), interval=r.interval())

    return Case(run, "Closed form: each noise reaches C with a known weight.", repetitions)


def flows(n: int, repetitions: int) -> Case:
    """Return the case of a chain of weights 2 and 3 learned from n rows by causal flows, with its error.

    What is counted is a list of ten flows, each trained on a resample of the rows.
    """

    def run(seed: int) -> dict[str, Tensor]:
        noises = normal(n, 3, seed)
        b = 2 * noises[:, 0] + noises[:, 1]
        X = torch.stack([noises[:, 0], b, 3 * b + noises[:, 2]], 1)
        fits = FlowModel.bootstrap(X, CHAIN, repeats=10, seed=seed)
        r = intrinsic_contributions(fits, None, target="C", num_samples=1024, seed=seed)
        return hits(list(STEEP_TRUTH.values()), stderr=(r.contributions, r.stderr), interval=r.interval())

    return Case(run, "Closed form: the noises reach C with the weights 6, 3 and 1.", repetitions)


@cache
def label_entropies() -> dict[str, list[float]]:
    """Return the contributions to the entropy of a label with P(1) = sigmoid(2A + C), A and C independent."""

    def entropy(p: Tensor) -> Tensor:
        return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))

    nodes, weights = normal_grid(1)
    p = torch.sigmoid(2 * nodes[::10] + nodes[::10].T)
    w = weights[::10] / weights[::10].sum()
    whole, both = float(entropy(w @ p @ w)), float(w @ entropy(p) @ w)
    without_c, without_a = float(w @ entropy(p @ w)), float(w @ entropy(w @ p))
    first, last = [whole - without_c, whole - without_a], [without_a - both, without_c - both]
    return {"first": first, "total": last, "shapley": [(a + b) / 2 for a, b in zip(first, last, strict=True)]}


def entropy_world(samples: int) -> Case:
    roots = StructuralModel({"A": [], "C": []})

    def logits(x: Tensor) -> Tensor:
        return torch.stack([2 * x[:, 0] + x[:, 1], torch.zeros_like(x[:, 0])], 1)

    def run(seed: int) -> dict[str, Tensor]:
        options = dict(measure="entropy", categorical="softmax", num_samples=samples, seed=seed)
        parts = [intrinsic_contributions(roots, logits, context=context, **options) for context in label_entropies()]
        ends = [r.interval() for r in parts]
        return hits(
            [number for numbers in label_entropies().values() for number in numbers],
            stderr=(torch.cat([r.contributions for r in parts]), torch.cat([r.stderr for r in parts])),
            interval=(torch.cat([low for low, _ in ends]), torch.cat([high for _, high in ends])),
        )

    return Case(run, "Quadrature over both inputs.", 300)


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {}
    for samples in (256, 1024):
        found[f"given model, four contexts, N = {samples}"] = given(interacting, INTERACTING, samples)
    found["shares and variance under a given model, N = 1024"] = given(interacting, INTERACTING, 1024, shares=True)
    for samples in (1024, 4096):
        found[f"given model, lognormal target, N = {samples}"] = given(lognormal, {"first": lognormal_first()}, samples)
    found["entropy of a label, three contexts, N = 1024"] = entropy_world(1024)
    for n in (100, 1000):
        found[f"linear model fitted to {n} rows"] = fitted(lambda X: LinearModel.fit(X, CHAIN), n, 1000)
    found["causal flow fitted to 500 rows"] = fitted(lambda X: FlowModel.fit(X, CHAIN), 500, 200)
    for n in (500, 1000, 2000):
        found[f"ten causal flows fitted to resamples of {n} rows"] = flows(n, 200)
    return found
