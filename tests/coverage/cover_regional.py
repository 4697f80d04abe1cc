"""Do the shares that a region or an interaction explains lie in their intervals, and is nothing found in nothing?"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from acelib import EffectSurface, InputDistribution, effect_surface, regional_effects
from tools.coverage.case import Case, generator, hits
from tools.coverage.worlds import column

quantity = "regional effects and interactions"
ALPHAS = (-1.0, 0.0, 1.0)
REST = 0.8  # weight of the part of the interaction that no candidate explains


def square(n: int, k: int, seed: int) -> Tensor:
    """Return ``(n, k)`` independent inputs uniform on [−1, 1]."""
    return 2 * torch.rand(n, k, generator=generator(seed), dtype=torch.float64) - 1


def partner(x: Tensor) -> Tensor:
    """Return x0 (x1 + 0.8 x3): of the partners, x3 is no candidate."""
    return column(x[:, 0] * (x[:, 1] + REST * x[:, 3]))


def split(seed: int, X: Tensor, groups: Tensor | None = None) -> object:
    inputs = InputDistribution.fit(X, domain={"x0": (-1.0, 1.0)})
    options = dict(candidates=["x1", "x2"], seed=seed, permutations=19, groups=groups)
    return regional_effects(partner, inputs, 0, ALPHAS, **options)


def two_values(n: int, size: int = 1) -> Case:
    """Return the case of a partner that is 1 in 30 % of the rows (or groups of equal rows) and else 0."""
    truth = 0.21 / (0.21 + REST**2 / 3)

    def run(seed: int) -> dict[str, Tensor]:
        X = square(n, 4, seed)
        X[:, 1] = (X[:, 1] > 0.4).double()
        groups = None if size == 1 else torch.arange(n).repeat_interleave(size)
        found = split(seed, X.repeat_interleave(size, 0), groups)
        return hits(truth, stderr=(found.share, found.stderr), interval=found.interval())

    return Case(run, "Closed form: variances of a partner with two values and of the rest.")


def threshold(n: int, *, best: bool) -> Case:
    """Return the case of a uniform partner: a cut at t explains (1 − t²) / 4 of its variance 1/3.

    Either the share of the best cut is the truth, or that of the cuts that four fifths of the rows found.
    """

    def explained(fold: dict) -> float:
        cut = 1.0 if best else fold["x1"][1] if "x1" in fold else 1.0
        return (1 - (0.0 if best else cut) ** 2) / 4 / (1 / 3 + REST**2 / 3)

    def run(seed: int) -> dict[str, Tensor]:
        found = split(seed, square(n, 4, seed))
        truth = sum(explained(fold) for fold in found.folds) / len(found.folds)
        return hits(truth, stderr=(found.share, found.stderr), interval=found.interval())

    what = "of the best cut" if best else "of the cuts that were found, averaged over the fifths"
    return Case(run, f"Closed form: the share {what}.")


def nothing(n: int, size: int = 1) -> Case:
    """Return the case of candidates that have no part in the interaction: held where none is found."""

    def run(seed: int) -> dict[str, Tensor]:
        sizes = torch.randint(1, 2 * size, (n,), generator=generator(seed))
        X = square(n, 6, seed).repeat_interleave(sizes, 0)
        inputs = InputDistribution.fit(X, domain=(-1.0, 1.0))
        options = dict(candidates=["x1", "x2", "x4", "x5"], seed=seed, permutations=99)
        groups = None if size == 1 else torch.arange(n).repeat_interleave(sizes)
        found = regional_effects(lambda x: column(x[:, 0] * x[:, 3]), inputs, 0, ALPHAS, groups=groups, **options)
        return {"test": torch.tensor([not found.found()])}

    return Case(run, "The partner is no candidate, so that any find is a false one.")


def curved(x: Tensor) -> Tensor:
    """Return sin(3 a (b + 1.5 c)) + b c."""
    return column(torch.sin(3 * x[:, 0] * (x[:, 1] + 1.5 * x[:, 2])) + x[:, 1] * x[:, 2])


def surface(X: Tensor) -> EffectSurface:
    grid = [0.0, 0.3, 0.7, 1.0]
    inputs = InputDistribution.fit(X, domain=(0.0, 1.0))
    return effect_surface(curved, inputs, (0, 1), grid, grid, budget=10**7)


@cache
def true_surface() -> EffectSurface:
    return surface(torch.rand(400_000, 3, generator=generator(10**6), dtype=torch.float64))


def surfaces(n: int, what: str) -> Case:
    """Return the case of the interaction at 16 pairs of values, or of its share."""

    def run(seed: int) -> dict[str, Tensor]:
        found = surface(torch.rand(n, 3, generator=generator(seed), dtype=torch.float64))
        error = (getattr(found, what), getattr(found, f"{what}_stderr"))
        interval = found.interval() if what == "interaction" else None
        return hits(getattr(true_surface(), what), stderr=error, interval=interval)

    return Case(run, "An independent sample of 400,000 rows.")


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {f"share, a partner of two values, {n} rows": two_values(n) for n in (60, 200, 1000)}
    found["share, a partner of two values, 60 groups of 5 rows"] = two_values(60, 5)
    for n in (100, 400):
        found[f"share of the cuts that were found, a uniform partner, {n} rows"] = threshold(n, best=False)
        found[f"share of the best cut, a uniform partner, {n} rows"] = threshold(n, best=True)
    found["no find among four candidates, 300 rows"] = nothing(300)
    found["no find among four candidates, 60 groups of 1 to 9 rows"] = nothing(60, 5)
    for n in (50, 200):
        found[f"interaction of a surface, {n} rows"] = surfaces(n, "interaction")
        found[f"share of the interaction of a surface, {n} rows"] = surfaces(n, "share")
    return found
