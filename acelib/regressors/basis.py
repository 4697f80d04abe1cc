"""Legendre polynomials on an interval, made orthogonal over sampled values, and the orders that are sound there."""

from __future__ import annotations

import numpy as np

from .samples import GROWTH_LIMIT, ROUNDING, between, growth

CONDITION_LIMIT = 1e8
"""Orders whose Legendre design has a larger condition number over the sampled values are not considered."""


def legendre(values: np.ndarray, low: float, high: float, order: int) -> np.ndarray:
    """Return Legendre polynomials of [low, high] at ``values (n,)``, ``(n, order + 1)``; at t = 0 where low = high."""
    width = high - low
    scaled = 2 * (values - low) / width - 1 if width > 0 else np.zeros_like(values)
    return np.polynomial.legendre.legvander(scaled, order)


def orthogonal_basis(alphas: np.ndarray, low: float, high: float, max_order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Φ ``(m, K+1)`` with ΦᵀΦ = m I and R with ``legendre = Φ R``, for the largest K ≤ max_order that is sound.

    Args:
        alphas: distinct values, ``(m,)``.
        low: lower end of the interval.
        high: upper end of the interval.
        max_order: largest order wanted; K is at most m − 1 and keeps the condition number of R up to 1e8.
    """
    order = min(max_order, alphas.size - 1)
    root = np.sqrt(alphas.size)
    basis, triangle = np.linalg.qr(legendre(alphas, low, high, order))
    signs = np.where(np.diagonal(triangle) < 0, -1.0, 1.0)
    basis, triangle = basis * signs * root, triangle * signs[:, None] / root
    basis[:, 0] = 1.0
    while order > 0 and np.linalg.cond(triangle[: order + 1, : order + 1]) > CONDITION_LIMIT:
        order -= 1
    return basis[:, : order + 1], triangle[: order + 1, : order + 1]


def sound_order(alphas: np.ndarray, low: float, high: float, triangle: np.ndarray) -> int:
    """Return the largest order up to which no polynomial can run away between the sampled values.

    An order is sound where its ``growth`` is at most 16, or at most that of a uniform grid of as many values.

    Args:
        alphas: distinct values, ``(m,)``.
        low: lower end of the interval.
        high: upper end of the interval.
        triangle: R of ``orthogonal_basis``.
    """
    sizes = _growths(alphas, low, high, triangle)
    if sizes[-1] <= GROWTH_LIMIT:
        return sizes.size - 1
    even = np.linspace(low, high, alphas.size)
    reference = _growths(even, low, high, orthogonal_basis(even, low, high, sizes.size - 1)[1])
    limits = np.full(sizes.size, GROWTH_LIMIT)
    limits[: reference.size] = np.maximum(GROWTH_LIMIT, (1 + ROUNDING) * reference)
    beyond = sizes > limits
    return int(beyond.argmax()) - 1 if beyond.any() else sizes.size - 1


def _growths(alphas: np.ndarray, low: float, high: float, triangle: np.ndarray) -> np.ndarray:
    """Return the growth of every order, ``(K+1,)``."""
    return growth(legendre(between(alphas, low, high), low, high, len(triangle) - 1), triangle)
