"""Which inputs does each method call important, and does imputation agree? Attribution of whole sequences.

A map gives every step of an explained sequence x a number. Causal saliency is E[y | do(x_i = x[i])] minus its mean over
α (Chattopadhyay et al. 2019, Eq. 1 and Sec. 5.2), by the average over rows of the data or by the second-order expansion
on a grid of α, as in the paper; integrated gradients come from Captum. Agreement is Kendall's τ-b between sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor

from acelib.attribution import AverageCausalEffect
from acelib.curvature import half_trace
from acelib.inputs.distribution import InputDistribution

GRID = 100  # the paper's number of interventional values
PAPER = "Taylor, 0.2 I"  # the published form
PAPER_VARIANCE = 0.2  # on the diagonal of the released code's covariance, where the noise has a variance of 0.04
PIECES, NODES, ROUNDS = 32, 16, 40  # of a path: pieces to start with, points in each, times that one may be halved
DEFAULT_STEPS = 50  # Captum's


@dataclass(frozen=True, eq=False)
class Attributions:
    """Maps of the same sequences by several methods.

    Attributes:
        maps: Signed attributions (sequences, steps) by method, in the unit of the output.
        stderr: Sampling error of the row average, (sequences, steps).
        gap: |Sum of a map of integrated gradients − (f(x) − f(0))|, the largest over the sequences, by method.
    """

    maps: Mapping[str, Tensor]
    stderr: Tensor
    gap: Mapping[str, float]

    def sizes(self, method: str, *, positive: bool = False) -> Tensor:
        """Mean over the sequences of |attribution|, (steps,); or of max(attribution, 0), the paper's cut."""
        values = self.maps[method]
        return (values.clamp_min(0) if positive else values.abs()).mean(0)


def taylor_curve(model: Callable, mean: Tensor, factor: Tensor, feature: int | Tensor, alphas: Tensor) -> Tensor:
    """f(μ) + ½ Tr(∇²f(μ) Σ) under do(x_feature = α) for each α, ``(m,)``.

    Args:
        model: ``(batch, k) -> (batch, 1)``.
        mean: ``(k,)``.
        factor: ``(k, R)`` with covariance ``factor @ factor.T``.
        feature: One index, or one for each value ``(m,)``.
        alphas: ``(m,)``.

    References:
        Chattopadhyay et al. 2019, Eq. 3-4 and Cor. 2.1.

    Example:
        >>> f = lambda x: (x[:, :1] * x[:, 1:]).square()
        >>> one = torch.eye(2, dtype=torch.float64)
        >>> assert taylor_curve(f, torch.zeros(2).double(), one, 0, torch.tensor([3.0]).double()).item() == 9
    """
    features = torch.as_tensor(feature).expand(len(alphas))
    points = mean.repeat(len(alphas), 1)
    points[torch.arange(len(alphas)), features] = alphas.to(mean)
    with torch.no_grad():
        centre = model(points)
    return (centre + half_trace(model, points, factor, feature=features))[:, 0]


def paper_factors(inputs: InputDistribution) -> dict[str, Tensor]:
    """Factors (k, k) of three covariances: the data's, its diagonal alone, and 0.2 times the identity.

    The last is what the released code uses: its number is the noise's standard deviation, and the common class of the
    first elements, which gives them variances and covariances of about 1, is left out.

    Args:
        inputs: An input model of sequences of one length.
    """
    whole = inputs.factor
    return {
        "Taylor": whole,
        "Taylor, variances only": whole.square().sum(1).sqrt().diag(),
        PAPER: PAPER_VARIANCE**0.5 * torch.eye(len(whole), dtype=whole.dtype),
    }


def taylor_map(model: Callable, inputs: InputDistribution, factor: Tensor, x: Tensor, *, grid: int = GRID) -> Tensor:
    """The paper's saliency of sequences, (n, k): Taylor at their values minus the plain mean over ``grid`` values.

    Args:
        model: ``(batch, k) -> (batch, 1)``.
        inputs: Gives the mean and each input's range.
        factor: ``(k, R)``.
        x: ``(n, k)`` the sequences to explain.
        grid: Values of α, equally spaced over an input's range.
    """
    k, n = inputs.num_features, len(x)
    share = torch.linspace(0, 1, grid, dtype=x.dtype)
    alphas = inputs.low[:, None].to(x) + share * (inputs.high - inputs.low)[:, None].to(x)  # (k, grid)
    alphas = torch.cat([alphas, x.T], dim=1)
    features = torch.arange(k).repeat_interleave(grid + n)
    curves = taylor_curve(model, inputs.mean, factor, features, alphas.flatten()).reshape(k, grid + n)
    return (curves[:, grid:] - curves[:, :grid].mean(1, keepdim=True)).T


def integrated_gradients(model: Callable, x: Tensor, *, tolerance: float = 1e-4) -> Tensor:
    """Integrated gradients from the sequence of zeros, (n, k), by Captum, piece by piece until every piece adds up.

    The path from 0 to x is cut into pieces; integrated gradients of a piece are the piece's share of the integral.
    A piece whose attributions do not sum to the change of f along it, within the tolerance, is halved: a fixed
    number of points misses a network that switches within a millionth of the path.

    Args:
        model: ``(batch, k) -> (batch, 1)``.
        x: ``(n, k)``.
        tolerance: For each piece, in the unit of the output.

    Raises:
        RuntimeError: Pieces halved 40 times still do not add up: the function jumps.

    References:
        Sundararajan, Taly, Yan 2017, Eq. 1 and Proposition 1 (completeness).

    Example:
        >>> x = torch.tensor([[2.0, 1.0]], dtype=torch.float64)
        >>> steep = lambda x: torch.sigmoid(1e6 * (x.sum(1, keepdim=True) - 1.234))
        >>> found = integrated_gradients(steep, x)
        >>> assert abs(found.sum().item() - 1) < 1e-3 and abs(found[0, 0] / found[0, 1] - 2) < 1e-6
    """
    from captum.attr import IntegratedGradients

    path, total = IntegratedGradients(model), torch.zeros_like(x)
    ends = torch.linspace(0, 1, PIECES + 1, dtype=x.dtype)
    rows = torch.arange(len(x)).repeat_interleave(PIECES)
    low, high = ends[:-1].repeat(len(x)), ends[1:].repeat(len(x))
    for _ in range(ROUNDS):
        part, gap = path.attribute(
            high[:, None] * x[rows], low[:, None] * x[rows], target=0, n_steps=NODES, return_convergence_delta=True
        )
        good = gap.abs() <= tolerance
        total.index_add_(0, rows[good], part.detach()[good])
        rows, low, high = rows[~good].repeat(2), low[~good], high[~good]
        if not len(rows):
            return total
        middle = (low + high) / 2
        low, high = torch.cat([low, middle]), torch.cat([middle, high])
    raise RuntimeError(f"{len(rows)} pieces of a path do not add up after {ROUNDS} halvings; the model seems to jump")


def attributions(model: Callable, inputs: InputDistribution, x: Tensor) -> Attributions:
    """Maps of the sequences ``x (n, k)`` by the row average, three forms of Taylor and integrated gradients.

    Integrated gradients come twice: with Captum's default number of steps, and until they add up.

    Args:
        model: ``(batch, k) -> (batch, 1)``, a network as a function of its flattened sequence.
        inputs: Sequences of the same length as those to explain, with rows.
        x: ``(n, k)``, within the ranges of the inputs.

    Example:
        >>> X = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> found = attributions(lambda x: x @ x.new_tensor([[2.0], [0.0], [1.0]]), InputDistribution.fit(X), X[:2])
        >>> assert torch.allclose(found.maps["IG"], X[:2] * X.new_tensor([2.0, 0.0, 1.0]))
    """
    from captum.attr import IntegratedGradients

    exact = AverageCausalEffect(model, inputs).attribute(x, via="direct")
    maps = {"row average": exact.values}
    for name, factor in paper_factors(inputs).items():
        maps[name] = taylor_map(model, inputs, factor, x)
    maps["IG"] = integrated_gradients(model, x)
    maps["IG, 50 steps"] = IntegratedGradients(model).attribute(x, target=0, n_steps=DEFAULT_STEPS).detach()
    with torch.no_grad():
        change = (model(x) - model(torch.zeros_like(x)))[:, 0]
    gap = {name: (maps[name].sum(1) - change).abs().max().item() for name in ("IG", "IG, 50 steps")}
    return Attributions(maps, exact.stderr, gap)


def agreement(sizes: Any, effects: Any) -> float:
    """Kendall's τ-b between two lists of sizes, one of a method and one of imputation; 0 where one list is constant.

    Args:
        sizes: ``(k,)``.
        effects: ``(k,)``.

    Example:
        >>> assert agreement([3.0, 2.0, 1.0], [1956, 9, 0]) == 1
    """
    found = kendalltau(np.asarray(sizes, dtype=float), np.asarray(effects, dtype=float)).statistic
    return 0.0 if np.isnan(found) else float(found)


def bootstrap_interval(
    values: Any, *, statistic: Callable = np.mean, level: float = 0.95, repeats: int = 4000, seed: int = 0
) -> tuple[float, float, float]:
    """The statistic of some values, one a network, with the ends of its percentile bootstrap interval.

    Args:
        values: ``(n,)``, n >= 2.
        statistic: Takes ``(repeats, n)`` and ``axis=1``.
        level: Nominal coverage.
        repeats: Resamples.
        seed: Of the resamples.

    Example:
        >>> centre, low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0])
        >>> assert centre == 2.5 and 1 <= low < 2.5 < high <= 4
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values has shape {values.shape}, expected at least two numbers, one a network")
    drawn = values[np.random.default_rng(seed).integers(len(values), size=(repeats, len(values)))]
    low, high = np.quantile(statistic(drawn, axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(statistic(values[None], axis=1)[0]), float(low), float(high)
