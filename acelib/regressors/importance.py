"""How much an output moves when an input is set: the size of a causal curve over its domain, with an error.

Let c(α) = E[y | do(x = α)] − baseline be the curve with its uniform baseline, ``c = (B − b) w`` in the weights w of
the regressor, and let α be uniform over the domain. The importance is the standard deviation of the expectation,

    I = √S,   S = ∫ c(α)² dU(α) = wᵀ G w,   G = ∫ (B − b)ᵀ (B − b) dU

The estimated weights are w + ε with Cov ε = V, the sampling errors of the rows. Noise alone would make ŵᵀ G ŵ larger,
by tr(G V) on average, so that is taken off. For normal ε

    E[ŵᵀ G ŵ] = S + tr(G V),     Var[ŵᵀ G ŵ] = 4 wᵀ G V G w + 2 tr(G V G V)

and the first term is itself estimated too large by 4 tr(G V G V). The lack of fit u(α) adds at most ``2 ∫ |c| u dU +
∫ u² dU`` to the standard error, whatever its correlation from value to value.

The law of ŵᵀ G ŵ is skewed near 0, so the interval takes the wider of two at either end. One is that of S, its ends
turned into those of I by the root: it reaches 0 where a curve cannot be told from a constant. The other is that of
the length of ŵ in the metric G along its own direction, whose variance is ``4 ŵᵀ G V G ŵ / (4 ŵᵀ G ŵ)``: since no
vector is shorter than its projection, ``√(ŵᵀ G ŵ)`` plus a quantile of that bounds I from above.

An end of the domain that is the end of a sample moves S by ``(c(h)² − S) / (h − l)`` for each unit, and I by that
over 2 I. It makes the interval wider. It says nothing of whether the curve is constant, so ``clear`` does without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .._intervals import satterthwaite, student
from .base import Regressor

NODES = 64  # of Gauss and Legendre, exact for the squares of polynomials up to order 63


@dataclass(frozen=True)
class Importance:
    """The standard deviation of E[y | do(x = α)] over the domain, in units of the output.

    Attributes:
        value: the estimate, at least 0.
        stderr: the interval's half width in units of its quantile: the standard error, where ``low`` is above 0.
        low, high: the ends of its interval.
        clear: whether the curve can be told from a constant, at the level of the interval.
    """

    value: float
    stderr: float
    low: float
    high: float
    clear: bool


def importance_of(curve: Regressor, *, level: float = 0.95) -> Importance:
    """Return how much an output moves when an input is set, uniformly over its domain, with an error.

    It is that of the curve as it was estimated: a bias of Taylor or cubature is in it, and in no error.

    Args:
        curve: a causal regressor of any family; its baseline does not matter.
        level: nominal coverage of the interval.

    Raises:
        ValueError: if the level is not between 0 and 1.

    Example:
        >>> from acelib import CausalRegressor
        >>> curve = CausalRegressor.fit([0.0, 0.5, 1.0], [0.0, 1.0, 2.0], low=0.0, high=1.0)
        >>> assert abs(importance_of(curve).value - 2 / 12**0.5) < 1e-9  # of 2 α with α uniform on [0, 1]
    """
    nodes, shares = _law(curve)
    units = np.eye(curve.weights.size)
    basis = np.stack([replace(curve, weights=unit).predict(nodes) for unit in units], axis=1)
    centred = basis - shares @ basis
    effect, spread = centred @ curve.weights, curve.weight_covariance
    gram = centred.T @ (shares[:, None] * centred)
    noise = gram @ spread
    square, pair = (
        float(shares @ effect**2 - np.trace(noise)),
        max(float(np.einsum("pq,qp->", noise, noise)), 0.0),
    )  # rounding
    slope = max(4 * float(curve.weights @ noise @ gram @ curve.weights), 0.0)
    unfit = curve.misfit(nodes)
    sampling = max(slope - 4 * pair, 0.0) + 2 * pair
    rest = (2 * float(shares @ (np.abs(effect) * unfit)) + float(shares @ unfit**2)) ** 2
    freedom = satterthwaite([(sampling, math.inf if curve.freedom is None else curve.freedom), (rest, math.inf)])
    quantile = float(student(freedom, level))
    half, raw = quantile * math.sqrt(sampling + rest), float(shares @ effect**2)
    value, low, high = (math.sqrt(max(s, 0.0)) for s in (square, square - half, square + half))
    if raw > 0:
        beside = quantile * math.sqrt((slope + rest) / (4 * raw))
        moved = quantile * math.sqrt(_of_the_ends(curve, max(square, 0.0), basis, shares) / (4 * raw))
        low, high = min(low, max(value - beside, 0.0)), max(high, math.sqrt(raw) + beside)
    else:
        moved = 0.0
    clear = low > 0
    low, high = max(value - math.hypot(value - low, moved), 0.0), value + math.hypot(high - value, moved)
    return Importance(value, (high - low) / (2 * quantile), low, high, clear)


def _law(curve: Regressor) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and their shares, which average over the domain."""
    if curve.family == "table":
        return curve.alphas, np.full(curve.alphas.size, 1 / curve.alphas.size)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (curve.low + curve.high) / 2 + (curve.high - curve.low) / 2 * nodes, weights / 2


def _of_the_ends(curve: Regressor, square: float, basis: np.ndarray, shares: np.ndarray) -> float:
    """Return the variance of S from the ends of a domain that is the range of a sample."""
    if not (curve.low_std or curve.high_std) or curve.high <= curve.low:
        return 0.0
    ends = curve.predict(np.array([curve.low, curve.high])) - float(shares @ basis @ curve.weights)
    moved = (ends**2 - square) / (curve.high - curve.low)
    return float((moved[0] * curve.low_std) ** 2 + (moved[1] * curve.high_std) ** 2)
