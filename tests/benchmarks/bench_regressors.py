"""How long do 1000 causal regressors take, and what does vectorising over them save?

1000 curves of 100 points, orders 0 to 15, each with its own row covariance; against fitting 50 of them one at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from acelib import CausalRegressor, SplineRegressor

CURVES, POINTS, LOOP = 1000, 100, 50

per = {"one at a time": LOOP, "together": CURVES, "together with row covariance": CURVES, "splines together": CURVES}
ratios = {"one at a time / together, per curve": ("one at a time", "together")}


def cases() -> dict[str, Callable[[], object]]:
    """Returns ``{name: callable}``; ``per`` says how many curves one call fits."""
    generator = np.random.default_rng(0)
    alphas = np.linspace(0, 1, POINTS)
    steep, shift = generator.uniform(1, 12, (CURVES, 1)), generator.uniform(0, 1, (CURVES, 1))
    curves = np.tanh(steep * (alphas - shift))
    rows = generator.normal(size=(20, POINTS)) / 20
    covariance = np.broadcast_to(rows.T @ rows, (CURVES, POINTS, POINTS))
    return {
        "one at a time": lambda: [CausalRegressor.fit(alphas, y, max_order=15) for y in curves[:LOOP]],
        "together": lambda: CausalRegressor.fit_many(alphas, curves, max_order=15),
        "together with row covariance": lambda: CausalRegressor.fit_many(
            alphas, curves, covariance=covariance, max_order=15
        ),
        "splines together": lambda: SplineRegressor.fit_many(alphas, curves),
    }
