"""Spline regressors and tables against SciPy's own fit, literal refits, quadrature and hand values."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.interpolate import BSpline, make_lsq_spline

from acelib._warnings import ExtrapolationWarning
from acelib.regressors import CausalTable, SplineRegressor
from acelib.regressors.samples import clusters


@pytest.fixture(scope="module")
def wavy():
    rng = np.random.default_rng(2)
    alphas = np.sort(rng.uniform(0, 10, 40))
    y = np.sin(alphas) + 0.1 * rng.normal(size=40)
    root = rng.normal(size=(40, 40)) / 40
    return SplineRegressor.fit(alphas, y, covariance=root @ root.T, low=-0.5, high=10.5), root @ root.T


def test_the_spline_is_scipys_least_squares_spline(wavy):
    """Same knots, same data: coefficients and curve equal scipy.interpolate.make_lsq_spline (1e-9)."""
    curve, _ = wavy
    assert curve.num_knots >= 3 and curve.knots.size == curve.num_knots + 8
    reference = make_lsq_spline(curve.alphas, curve.expectations, curve.knots, k=3)
    grid = np.linspace(-0.5, 10.5, 101)
    np.testing.assert_allclose(curve.coefficients, reference.c, atol=1e-9)
    np.testing.assert_allclose(curve.predict(grid), reference(grid), atol=1e-9)


def test_the_number_of_knots_has_the_smallest_score(wavy):
    """GCV(K) = m (RSS + m σ₀²)/(m−K−4)² from SciPy's fit at every K (1e-9), and the choice is its minimum."""
    curve, _ = wavy
    num, floor = 40, 1e-6 * np.ptp(curve.expectations)
    assert curve.scores.size == (clusters(curve.alphas).max() + 1 - 4) // 2 + 1
    for number, score in enumerate(curve.scores):
        inner = np.quantile(curve.alphas, np.arange(1, number + 1) / (number + 1))
        knots = np.r_[[-0.5] * 4, inner, [10.5] * 4]
        fitted = make_lsq_spline(curve.alphas, curve.expectations, knots, k=3)(curve.alphas)
        rss = np.sum((curve.expectations - fitted) ** 2)
        assert score == pytest.approx(num * (rss + num * floor**2) / (num - number - 4) ** 2, rel=1e-9)
    assert curve.num_knots == np.argmin(curve.scores)


def test_held_out_residuals_equal_refits_without_each_point(wavy):
    """Closed form against 40 literal least-squares refits with the knots held fixed (1e-8); clusters go together."""
    curve, _ = wavy
    places = clusters(curve.alphas)
    design = BSpline.design_matrix(curve.alphas, curve.knots, 3).toarray()
    for i in range(40):
        keep = places != places[i]
        weights = np.linalg.lstsq(design[keep], curve.expectations[keep], rcond=None)[0]
        assert curve.held_out[i] == pytest.approx(curve.expectations[i] - design[i] @ weights, abs=1e-8)


def test_baselines_and_bands(wavy):
    """Uniform baseline by quadrature between knots (1e-10), its variance by pinv, a point with ACE 0."""
    curve, covariance = wavy
    ends = np.unique(curve.knots)
    total = sum(quad(lambda x: float(curve.predict(x)), a, b)[0] for a, b in zip(ends[:-1], ends[1:], strict=True))
    assert curve.baseline == pytest.approx(total / 11, rel=1e-10)
    smoother = np.linalg.pinv(BSpline.design_matrix(curve.alphas, curve.knots, 3).toarray())
    rows = BSpline.design_matrix(np.array([1.0, 7.0]), curve.knots, 3).toarray() @ smoother
    _, std = curve.predict([1.0, 7.0], return_std=True)
    expected = np.einsum("ij,jk,ik->i", rows, covariance, rows) + curve.misfit([1.0, 7.0]) ** 2
    np.testing.assert_allclose(std**2, expected, atol=1e-10)
    point = curve.with_baseline(7.0)
    mean, std = point.ace(7.0, return_std=True)
    assert abs(mean) < 1e-12 and std == pytest.approx(np.sqrt(2) * curve.misfit(7.0), rel=1e-9)
    data = curve.with_baseline(("data", curve.alphas))
    assert data.baseline == pytest.approx(curve.expectations.mean(), abs=0.05)
    assert data.baseline == pytest.approx(curve.predict(curve.alphas).mean(), rel=1e-12)


def test_an_exact_cubic_needs_no_knot():
    alphas = np.linspace(-2, 3, 50)
    y = alphas**3 - alphas
    for unit in (1e-9, 1.0, 1e9):
        curve = SplineRegressor.fit(alphas, unit * y)
        assert curve.num_knots == 0
        np.testing.assert_allclose(curve.predict(alphas), unit * y, atol=1e-12 * unit * np.ptp(y))
    assert SplineRegressor.fit(alphas, np.full(50, 1e6)).num_knots == 0


def test_many_splines_equal_single_ones():
    rng = np.random.default_rng(4)
    alphas = np.linspace(0, 1, 30)
    outputs = np.stack([np.sin(k * alphas) for k in range(8)]) + 0.01 * rng.normal(size=(8, 30))
    many = SplineRegressor.fit_many(alphas, outputs, baseline=0.5)
    assert len({curve.num_knots for curve in many}) > 1
    for curve, y in zip(many, outputs, strict=True):
        one = SplineRegressor.fit(alphas, y, baseline=0.5)
        assert one.num_knots == curve.num_knots and curve.baseline_kind == 0.5
        np.testing.assert_allclose(curve.ace(alphas), one.ace(alphas), atol=1e-12)


def test_small_and_clustered_samples():
    """5 points are the least; an interval far beyond the values has a spline over them; one point is a constant."""
    assert SplineRegressor.fit([0, 1, 2, 3, 4.0], [0, 1, 0, 1, 0.0], max_knots=9).num_knots == 0
    clustered = np.linspace(0, 1e-3, 22)
    noise = np.random.default_rng(0).normal(size=22)
    with pytest.warns(ExtrapolationWarning, match="extrapolated"):
        curve = SplineRegressor.fit(clustered, noise, low=-1, high=1)
    inside = SplineRegressor.fit(clustered, noise)
    np.testing.assert_allclose(curve.predict(clustered), inside.predict(clustered), atol=1e-12)
    assert curve.predict(-0.7) == curve.predict(0.0) and curve.predict(0.9) == curve.predict(1e-3)
    total = curve.predict(0.0) + 1e-3 * inside.baseline + (1 - 1e-3) * curve.predict(1e-3)
    assert curve.baseline == pytest.approx(total / 2, rel=1e-9)
    assert SplineRegressor.fit(np.linspace(0, 1, 50), np.sin(np.arange(50)), max_knots=2).scores.size == 3
    constant = SplineRegressor.fit([2.0], [0.4], covariance=[[0.01]])
    assert constant.ace(2.0, return_std=True) == (0.0, 0.0) and constant.baseline == 0.4
    assert constant.num_knots == 0 and constant.baseline_std == pytest.approx(0.1)


def test_bad_input_to_splines():
    with pytest.raises(ValueError, match="at least 5 values for a cubic spline, got 4"):
        SplineRegressor.fit([0, 1, 2, 3.0], [0, 1, 2, 3.0])
    for wrong in (-1, 1.5, True):
        with pytest.raises(ValueError, match="max_knots must be None or an integer"):
            SplineRegressor.fit(np.arange(9.0), np.arange(9.0), max_knots=wrong)
    curve = SplineRegressor.fit(np.arange(9.0), np.arange(9.0))
    with pytest.raises(ValueError, match="band must be 'sampling' for SplineRegressor, got 'bayesian'"):
        curve.predict(1.0, return_std=True, band="bayesian")


# Tables


def test_a_table_by_hand():
    """Three values, their mean, their covariance: ACE, its deviation and every baseline worked out by hand."""
    covariance = np.array([[0.04, 0.01, 0.0], [0.01, 0.09, 0.02], [0.0, 0.02, 0.16]])
    table = CausalTable.fit([3.0, 1.0, 2.0], [0.6, 0.1, 0.2], covariance=covariance)
    assert table.baseline == pytest.approx(0.3)
    assert table.baseline_std == pytest.approx(np.sqrt(covariance.sum()) / 3)
    mean, std = table.ace([[1.0, 3.0]], return_std=True)
    np.testing.assert_allclose(mean, [[-0.2, 0.3]], atol=1e-15)
    row = np.array([-1, 2, -1]) / 3
    assert std[0, 0] == pytest.approx(np.sqrt(row @ covariance @ row))
    assert table.lack_of_fit == 0 and table.misfit(2.0) == 0
    np.testing.assert_array_equal(table.coefficients, [0.6, 0.1, 0.2])
    data = table.with_baseline(("data", [1, 1, 1, 3]))
    assert data.baseline == pytest.approx((3 * 0.1 + 0.6) / 4)
    point = table.with_baseline(1.0)
    assert point.ace(1.0, return_std=True) == (0.0, 0.0) and point.ace(3.0) == pytest.approx(0.5)
    assert point.baseline_std == pytest.approx(0.3)
    assert table.with_baseline("uniform").baseline == table.baseline


def test_a_table_knows_only_its_values():
    table = CausalTable.fit([0.1, 0.7], [1.0, 2.0])
    with pytest.raises(ValueError, match="values that this table lists, 0.1, 0.7, got 0.5"):
        table.predict([0.1, 0.5])
    for value in (0.1001, 0.3, 0.699):
        with pytest.raises(ValueError, match="values that this table lists"):
            table.ace(value)
    with pytest.raises(ValueError, match="values that this table lists"):
        table.with_baseline(2.0)
    with pytest.raises(ValueError, match="alphas must be distinct"):
        CausalTable.fit([1.0, 1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="bayesian"):
        table.predict(0.1, return_std=True, band="bayesian")
    np.testing.assert_array_equal(table.predict(torch.tensor([0.7, 0.1])).numpy(), [2.0, 1.0])


def test_tables_of_close_values_and_of_one():
    close = CausalTable.fit([1.0, 1.0 + 1e-9], [0.0, 1.0])
    np.testing.assert_array_equal(close.predict([1.0 + 1e-9, 1.0]), [1.0, 0.0])
    single = CausalTable.fit([0.0], [0.3])
    assert single.ace(0.0) == 0 and single.baseline == 0.3
    many = CausalTable.fit_many([0, 1], [[0.0, 1.0], [2.0, 2.0]], baseline=0)
    assert [float(table.ace(1)) for table in many] == [1.0, 0.0]
