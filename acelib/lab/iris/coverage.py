"""Coverage of the bands of causal regressors, counted over many samples from a population that is known.

The population is finite and large, so its E[y | do(x = α)] is a plain average that can be computed exactly. A
repetition draws n rows with replacement, fits a causal regressor to their average and checks at every α whether
the truth lies within 1.96 standard deviations. The share of repetitions where it does is the coverage at that α.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import simpson
from torch import Tensor

from acelib.regressors import CausalRegressor

NOMINAL = 1.959963984540054  # standard deviations either side of a 95 % band
_BLOCK = 100  # repetitions fitted at a time


@dataclass(frozen=True)
class Coverage:
    """The coverage of nominal 95 % bands, by kind of band.

    Attributes:
        alphas: ``(m,)`` interventional values.
        truth: ``(m,)`` E[y | do(x = α)] in the population.
        shares: ``(m,)`` share of repetitions whose band held the truth, by kind: ``"bayesian"`` and ``"sampling"``
            for the curve, ``"bayesian ace"`` and ``"sampling ace"`` for the average causal effect.
        widths: ``(m,)`` mean standard deviation that each kind of band claims, by kind.
        deviation: ``(m,)`` standard deviation of the fitted curve over the repetitions: what a band of the curve
            should claim.
        repetitions: number of samples drawn.
    """

    alphas: np.ndarray
    truth: np.ndarray
    shares: dict[str, np.ndarray]
    widths: dict[str, np.ndarray]
    deviation: np.ndarray
    repetitions: int

    def mean(self, kind: str) -> float:
        """Return the coverage averaged over α, between 0 and 1."""
        return float(self.shares[kind].mean())

    def error(self, kind: str) -> float:
        """Return a bound on the standard error of ``mean``: its value if all α succeeded or failed together."""
        share = self.mean(kind)
        return float(np.sqrt(share * (1 - share) / self.repetitions))


def gaussian_mixture(X: Tensor, y: Tensor, rows: int, *, seed: int = 0) -> Tensor:
    """Return a synthetic population ``(rows, k)``: one Gaussian per class with its moments, clipped to the range of X.

    Args:
        X: ``(n, k)`` real rows.
        y: ``(n,)`` their classes; each class keeps its share.
        rows: size of the population.
        seed: seed of the draw.

    Example:
        >>> X = torch.tensor([[0.0], [1.0], [4.0], [5.0]], dtype=torch.float64)
        >>> population = gaussian_mixture(X, torch.tensor([0, 0, 1, 1]), 1000)
        >>> assert population.shape == (1000, 1) and abs(population.mean() - 2.5) < 0.3
    """
    generator = torch.Generator().manual_seed(seed)
    counts = torch.bincount(y).double() / len(y) * rows
    counts = torch.diff(counts.cumsum(0).round().long(), prepend=torch.zeros(1, dtype=torch.long))
    parts = []
    for c, count in enumerate(counts.tolist()):
        own = X[y == c]
        values, vectors = torch.linalg.eigh(torch.cov(own.T, correction=0).reshape(X.shape[1], X.shape[1]))
        root = vectors * values.clamp_min(0).sqrt()
        noise = torch.randn(count, X.shape[1], generator=generator, dtype=X.dtype)
        parts.append(own.mean(0) + noise @ root.T)
    return torch.cat(parts).clamp(X.amin(0), X.amax(0))


def intervened(model: Callable[[Tensor], Tensor], population: Tensor, column: int, alphas: Tensor) -> Tensor:
    """Return the ``(rows, m)`` outputs of a model for every row and every value of one column.

    Args:
        model: ``(batch, k) -> (batch,)``.
        population: ``(rows, k)``.
        column: the column that is set.
        alphas: ``(m,)`` the values it is set to.
    """
    curves = []
    for alpha in alphas:
        rows = population.clone()
        rows[:, column] = alpha
        with torch.no_grad():
            curves.append(model(rows))
    return torch.stack(curves, dim=1)


def band_coverage(
    curves: Tensor, alphas: Tensor, *, rows: int = 200, repetitions: int = 2000, seed: int = 0, max_order: int = 15
) -> Coverage:
    """Return the coverage of the Bayesian and the sampling band of causal regressors.

    Args:
        curves: ``(population, m)`` output of every member of the population at every α.
        alphas: ``(m,)`` equally spaced from the low to the high end of the domain, m odd (for Simpson's rule).
        rows: size n of each sample.
        repetitions: number of samples.
        seed: seed of the draws.
        max_order: largest order of the regressors.

    Raises:
        ValueError: if the shapes do not fit, or m is even.

    Example:
        >>> alphas = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> slopes = torch.randn(500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> result = band_coverage(slopes * alphas, alphas, repetitions=200)
        >>> assert result.mean("sampling ace") > 0.8
    """
    if curves.ndim != 2 or curves.shape[1] != len(alphas) or len(alphas) % 2 == 0:
        raise ValueError(
            f"curves must have shape (population, m) for m alphas, m odd, got {tuple(curves.shape)} for {len(alphas)} "
            "alphas; add or drop one value of the grid"
        )
    x, truth = alphas.numpy(), curves.mean(0).numpy()
    effect = truth - simpson(truth, x=x) / np.ptp(x)
    generator = torch.Generator().manual_seed(seed)
    held: dict[str, list] = {f"{band}{what}": [] for band in ("bayesian", "sampling") for what in ("", " ace")}
    claimed: dict[str, list] = {kind: [] for kind in held}
    fitted = []
    for start in range(0, repetitions, _BLOCK):
        size = min(_BLOCK, repetitions - start)
        drawn = curves[torch.randint(len(curves), (size, rows), generator=generator)]  # (size, rows, m)
        mean = drawn.mean(1)
        centred = drawn - mean[:, None]
        covariance = torch.einsum("rnm,rnk->rmk", centred, centred) / (rows * (rows - 1))
        fits = CausalRegressor.fit_many(x, mean.numpy(), covariance=covariance.numpy(), max_order=max_order)
        for fit in fits:
            fitted.append(fit.predict(x))
            for kind in held:
                band, what = kind.split()[0], kind.endswith("ace")
                center, std = (fit.ace if what else fit.predict)(x, return_std=True, band=band)
                held[kind].append(np.abs(center - (effect if what else truth)) <= NOMINAL * std)
                claimed[kind].append(std)
    return Coverage(
        x,
        truth,
        {kind: np.mean(hits, axis=0) for kind, hits in held.items()},
        {kind: np.mean(widths, axis=0) for kind, widths in claimed.items()},
        np.std(fitted, axis=0),
        repetitions,
    )
