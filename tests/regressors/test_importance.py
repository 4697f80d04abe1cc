"""Importance of a curve: closed forms, and how often its interval holds a truth that is an integral."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from acelib import AverageCausalEffect, CausalRegressor, CausalTable, InputDistribution, SplineRegressor
from acelib.regressors.importance import importance_of

ALPHAS = np.linspace(-1.0, 3.0, 41)


@pytest.mark.parametrize("family", [CausalRegressor, SplineRegressor])
def test_it_is_the_standard_deviation_over_the_domain(family):
    """2α + α² with α uniform on [−1, 3]: variance 4 · 16/12 + 2 · 2 cov(α, α²) + var α² by the moments of U."""
    curve = family.fit(ALPHAS, 2 * ALPHAS + ALPHAS**2, low=-1.0, high=3.0)
    m1, m2, m3, m4 = ((3.0 ** (p + 1) - (-1.0) ** (p + 1)) / (4 * (p + 1)) for p in (1, 2, 3, 4))
    exact = 4 * (m2 - m1**2) + 4 * (m3 - m1 * m2) + (m4 - m2**2)
    found = importance_of(curve)
    assert abs(found.value - exact**0.5) < 1e-6 and found.low <= exact**0.5 + 1e-6 <= found.high + 2e-6 and found.clear


def test_the_baseline_does_not_matter():
    curve = CausalRegressor.fit(ALPHAS, ALPHAS**2, low=-1.0, high=3.0, covariance=0.01 * np.eye(41))
    one, other = importance_of(curve), importance_of(curve.with_baseline(3.0))
    assert np.allclose([one.value, one.low, one.high], [other.value, other.low, other.high], rtol=1e-9)


def test_a_table_weighs_its_values_alike():
    """Noise of variance 0.3 in each of the values takes 0.3 (1 − 1/m) off the square."""
    values = np.array([0.0, 2.0, 7.0])
    table = CausalTable.fit([1.0, 2.0, 3.0], values, covariance=0.3 * np.eye(3))
    assert abs(importance_of(table).value ** 2 - (values.var() - 0.3 * 2 / 3)) < 1e-12
    assert importance_of(CausalTable.fit([1.0, 2.0], [4.0, 4.0])).high == 0


def test_of_a_flat_or_single_valued_curve_it_is_zero():
    flat = importance_of(CausalRegressor.fit(ALPHAS, 0 * ALPHAS + 3, low=-1.0, high=3.0))
    assert flat.value < 1e-12 and flat.high < 1e-6
    point = importance_of(CausalRegressor.fit([2.0], [3.0], low=2.0, high=2.0))
    assert (point.value, point.low, point.high, point.clear) == (0.0, 0.0, 0.0, False)


def test_errors_of_sampled_ends_widen_the_interval_and_no_more():
    """α on [0, h]: I = h / √12, so an error of 0.1 in h is one of 0.1 / √12 in I; the curve stays clear."""
    alphas = np.linspace(0, 2, 21)
    curve = CausalRegressor.fit(alphas, alphas, low=0.0, high=2.0)
    found = importance_of(replace(curve, high_std=0.1, domain_rows=50))
    assert abs(found.stderr - 0.1 / 12**0.5) < 1e-6 and found.clear
    assert importance_of(replace(curve, high_std=50.0, domain_rows=50)).low == 0


def test_a_higher_level_is_wider():
    curve = CausalRegressor.fit(ALPHAS, ALPHAS, low=-1.0, high=3.0, covariance=0.1 * np.eye(41))
    narrow, wide = importance_of(curve, level=0.8), importance_of(curve, level=0.99)
    assert wide.low < narrow.low < narrow.value == wide.value < narrow.high < wide.high
    with pytest.raises(ValueError, match="level must lie"):
        importance_of(curve, level=1.0)


@pytest.mark.parametrize("slope, bend", [(0.0, 0.0), (0.2, 0.1), (1.0, 0.5)], ids=["none", "small", "large"])
def test_its_interval_covers(slope, bend):
    """x0 x1 + x0² x2 with x1, x2 normal about (slope, bend): the curve of x0 is slope α + bend α² on [−1, 2].

    300 samples of 100 rows; the bound is 4 standard errors of a share of 95 %, and where nothing is there all of them
    may hold, while at most 5 % may be clear.
    """
    generator = torch.Generator().manual_seed(1)
    alphas = np.linspace(-1, 2, 20001)
    truth = float(np.std(slope * alphas + bend * alphas**2))
    held = clear = 0
    for _ in range(300):
        X = torch.randn(100, 3, generator=generator, dtype=torch.float64) + torch.tensor([0.0, slope, bend])
        inputs = InputDistribution.fit(X, domain=(-1.0, 2.0))
        curves = AverageCausalEffect(lambda x: (x[:, 0] * x[:, 1] + x[:, 0] ** 2 * x[:, 2])[:, None], inputs)
        found = importance_of(curves.regress([0], num=12)["x0", 0])
        held += found.low <= truth <= found.high
        clear += found.clear
    assert held / 300 >= 0.95 - 4 * (0.95 * 0.05 / 300) ** 0.5
    assert clear == 300 if slope == 1 else clear / 300 <= 0.05 if slope == 0 else True
