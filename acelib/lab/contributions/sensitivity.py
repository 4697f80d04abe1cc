"""Four functions with known Sobol' indices, on which methods of sensitivity analysis are compared.

Ishigami's function and Sobol's G function have indices in closed form. Those of the wing weight function and of the
borehole function come from products of one-dimensional Gauss-Legendre integrals, and one over six dimensions, which are
accurate to 1e-9. All inputs are independent and uniform between their usual bounds.

References:
    Ishigami and Homma (1990); Saltelli and Sobol' (1995); Forrester, Sobester and Keane (2008), for the wing weight;
    Harper and Gupta (1983) and Morris, Mitchell and Ylvisaker (1993), for the borehole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .systems import g_indices, ishigami_indices

Formula = Callable[[Any, ModuleType], Any]
"""Called with columns ``(k, n)`` and the module, numpy or torch, that has their functions; returns ``(n,)``."""
Second = Callable[[frozenset[int]], float]
"""The second moment of the output's expectation given the inputs of a subset."""

WING = ((150, 200), (220, 300), (6, 10), (-10, 10), (16, 45), (0.5, 1), (0.08, 0.18), (2.5, 6), (1700, 2500))
WING += ((0.025, 0.08),)
BOREHOLE = ((0.05, 0.15), (100, 50_000), (63_070, 115_600), (990, 1110), (63.1, 116), (700, 820), (1120, 1680))
BOREHOLE += ((9855, 12_045),)
G = (0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0)


@dataclass(frozen=True)
class KnownFunction:
    """A function with independent uniform inputs whose Sobol' indices are known.

    Attributes:
        bounds: least and greatest value of each of its k inputs.
        formula: the function, for numpy and torch alike.
        first: ``(k,)`` first-order indices.
        total: ``(k,)`` total indices.
    """

    bounds: tuple[tuple[float, float], ...]
    formula: Formula
    first: np.ndarray
    total: np.ndarray

    def of_table(self, x: np.ndarray) -> np.ndarray:
        """Return the output ``(n,)`` at inputs ``(n, k)`` between the bounds."""
        return self.formula(x.T, np)

    def of_uniform(self, u: Tensor) -> Tensor:
        """Return the output ``(n, 1)`` at inputs ``(n, k)`` scaled to (0, 1)."""
        low, high = u.new_tensor(self.bounds).T
        return self.formula((low + (high - low) * u).T, torch)[:, None]


def known_functions() -> dict[str, KnownFunction]:
    """Return the four functions by name.

    Example:
        >>> found = known_functions()
        >>> assert [len(each.bounds) for each in found.values()] == [10, 3, 8, 8]
        >>> assert all((each.first <= each.total + 1e-12).all() for each in found.values())
    """
    return {
        "wing weight": KnownFunction(WING, wing_weight, *wing_weight_indices()),
        "Ishigami": KnownFunction(((-math.pi, math.pi),) * 3, ishigami, *ishigami_indices()),
        "Sobol' G": KnownFunction(((0, 1),) * len(G), g_function, *g_indices(G)),
        "borehole": KnownFunction(BOREHOLE, borehole, *borehole_indices()),
    }


def ishigami(x: Any, lib: ModuleType) -> Any:
    """Return sin x1 + 7 sin² x2 + 0.1 x3⁴ sin x1."""
    return lib.sin(x[0]) * (1 + 0.1 * x[2] ** 4) + 7 * lib.sin(x[1]) ** 2


def g_function(x: Any, lib: ModuleType) -> Any:
    """Return the product of (abs(4 x − 2) + a) / (1 + a)."""
    return math.prod((abs(4 * column - 2) + a) / (1 + a) for column, a in zip(x, G, strict=True))


def wing_weight(x: Any, lib: ModuleType) -> Any:
    """Return the weight of the wing of a light aircraft, in pounds."""
    area, fuel, aspect, sweep, pressure, taper, thickness, load, weight, paint = x
    cosine = lib.cos(sweep * (math.pi / 180))
    shape = (aspect / cosine**2) ** 0.6 * pressure**0.006 * taper**0.04 * (100 * thickness / cosine) ** -0.3
    return 0.036 * area**0.758 * fuel**0.0035 * shape * (load * weight) ** 0.49 + area * paint


def borehole(x: Any, lib: ModuleType) -> Any:
    """Return the flow of water through a borehole, in m³ a year."""
    radius, influence, upper, upper_head, lower, lower_head, length, conductivity = x
    log = lib.log(influence / radius)
    leak = 2 * length * upper / (log * radius**2 * conductivity)
    return 2 * math.pi * upper * (upper_head - lower_head) / (log * (1 + leak + upper / lower))


@cache
def wing_weight_indices() -> tuple[np.ndarray, np.ndarray]:
    """Return first-order and total indices of the wing weight, a sum of two products of functions of one input each."""
    ones = np.ones_like
    first: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
        lambda x: 0.036 * x**0.758,
        lambda x: x**0.0035,
        lambda x: x**0.6,
        lambda x: np.cos(x * (math.pi / 180)) ** -0.9,
        lambda x: x**0.006,
        lambda x: x**0.04,
        lambda x: (100 * x) ** -0.3,
        lambda x: x**0.49,
        lambda x: x**0.49,
        ones,
    )
    moments = []  # of each input: the weights, and its factor in either product
    for i, (bounds, factor) in enumerate(zip(WING, first, strict=True)):
        x, w = nodes(*bounds, 40)
        moments.append((w, (factor(x), x if i in (0, 9) else ones(x))))

    def second(known: frozenset[int]) -> float:
        return sum(
            math.prod(
                w @ (each[a] * each[b]) if i in known else (w @ each[a]) * (w @ each[b])
                for i, (w, each) in enumerate(moments)
            )
            for a in (0, 1)
            for b in (0, 1)
        )

    return indices_from(second, len(WING))


@cache
def borehole_indices() -> tuple[np.ndarray, np.ndarray]:
    """Return first-order and total indices of the borehole: a difference of heads times a function of six inputs."""
    heads, others = (3, 5), (0, 1, 2, 4, 6, 7)
    grids, weights = [], []
    for i, count in zip(others, (14, 40, 6, 6, 6, 6), strict=True):
        low, high = BOREHOLE[i]
        if i == 1:  # of the logarithm, which the function depends on
            x, w = nodes(math.log(low), math.log(high), count)
            x, w = np.exp(x), w * np.exp(x) * math.log(high / low) / (high - low)
        else:
            x, w = nodes(low, high, count)
        grids.append(x)
        weights.append(w)
    inputs = dict(zip(others, np.meshgrid(*grids, indexing="ij", sparse=True), strict=True)) | {3: 1.0, 5: 0.0}
    table = borehole([inputs[i] for i in range(len(BOREHOLE))], np)
    gap = sum(BOREHOLE[3]) / 2 - sum(BOREHOLE[5]) / 2

    def second(known: frozenset[int]) -> float:
        kept = table
        for axis in reversed(range(len(others))):
            if others[axis] not in known:
                kept = np.tensordot(kept, weights[axis], axes=(axis, 0))
        kept = kept**2
        for axis in reversed([axis for axis, i in enumerate(others) if i in known]):
            kept = np.tensordot(kept, weights[axis], axes=(-1, 0))
        spread = sum((BOREHOLE[i][1] - BOREHOLE[i][0]) ** 2 / 12 for i in heads if i in known)
        return (gap**2 + spread) * float(kept)

    return indices_from(second, len(BOREHOLE))


def nodes(low: float, high: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Gauss-Legendre nodes between two bounds, and weights that sum to 1."""
    x, w = np.polynomial.legendre.leggauss(count)
    return (low + high) / 2 + (high - low) / 2 * x, w / 2


def indices_from(second: Second, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return first-order and total indices ``(k,)`` from second moments of conditional expectations."""
    every = frozenset(range(k))
    mean = second(frozenset())
    variance = second(every) - mean
    first = np.array([second(frozenset({i})) - mean for i in range(k)]) / variance
    return first, 1 - np.array([second(every - {i}) - mean for i in range(k)]) / variance
