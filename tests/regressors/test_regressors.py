"""What regressors promise: baselines, coverage, shapes, types, errors and files, against quadrature and simulation."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from scipy.integrate import quad

import acelib
from acelib._warnings import ApproximationWarning, ExtrapolationWarning, SupportWarning
from acelib.regressors import CausalRegressor, CausalTable, SplineRegressor, regressor_from_dict


def sample_points(seed, num=24, low=-1.5, high=4.0):
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(low, high, num)), rng


def random_covariance(rng, num, scale=0.1):
    """A smooth covariance like that of averaged curves, plus a little of everything."""
    root = rng.normal(size=(num, num)) * scale
    return root @ root.T / num


@pytest.fixture(scope="module")
def noisy():
    alphas, rng = sample_points(5, 22)
    y = 2 + np.sin(alphas) + 0.2 * rng.normal(size=22)
    covariance = random_covariance(rng, 22)
    return CausalRegressor.fit(alphas, y, covariance=covariance, low=-2.0, high=4.5), covariance


# Baselines


def test_baselines_equal_numerical_averages(noisy):
    """Uniform against scipy's quadrature, data against the mean of predictions, a point against the prediction."""
    curve, _ = noisy
    integral, _ = quad(lambda x: float(curve.predict(x)), -2.0, 4.5, epsabs=1e-12, epsrel=1e-12)
    assert curve.baseline == pytest.approx(integral / 6.5, rel=1e-10)
    assert curve.baseline == pytest.approx(curve.coefficients[0], rel=1e-12)
    data = np.random.default_rng(0).normal(1, 0.4, size=(40, 3))
    with_data = curve.with_baseline(("data", torch.from_numpy(data)))
    assert with_data.baseline == pytest.approx(curve.predict(data).mean(), rel=1e-12)
    assert with_data.baseline_kind == "data" and curve.baseline_kind == "uniform"
    point = curve.with_baseline(1.25)
    assert point.baseline == pytest.approx(float(curve.predict(1.25)), rel=1e-12)
    assert point.with_baseline("uniform").baseline == curve.baseline
    np.testing.assert_allclose(point.ace(curve.alphas) + point.baseline, curve.predict(curve.alphas), rtol=1e-12)


@pytest.mark.parametrize("value", [1.25, np.float64(1.25), np.array(1.25), torch.tensor(1.25)])
def test_a_chosen_point_has_no_effect_and_no_sampling_error(noisy, value):
    """ACE(x̂) = 0, and its deviation is the lack of fit alone, twice; the baseline's deviation is the curve's at x̂."""
    curve, covariance = noisy
    point = CausalRegressor.fit(
        curve.alphas, curve.expectations, covariance=covariance, low=-2.0, high=4.5, baseline=value
    )
    mean, std = point.ace(1.25, return_std=True)
    assert abs(mean) < 1e-12
    assert std == pytest.approx(np.sqrt(2) * curve.misfit(1.25), rel=1e-9)
    assert point.baseline_std == pytest.approx(curve.predict(1.25, return_std=True)[1], rel=1e-9)


def test_a_baseline_outside_the_interval_warns(noisy):
    curve, _ = noisy
    with pytest.warns(ExtrapolationWarning, match=r"baseline reaches .* \[-2, 4.5\]"):
        curve.with_baseline(5.0)
    with pytest.warns(ExtrapolationWarning, match="baseline's data"):
        curve.with_baseline(("data", [0.0, 6.0]))


# Coverage


def simulated_rows(repetitions, seed, num_rows=200, num_alphas=28):
    """Row averages of y(α) = tanh 2α + .6 u α + .4 w α² + .25 u, with u normal, w a centred exponential."""
    rng = np.random.default_rng(seed)
    alphas = np.linspace(-1, 1, num_alphas)
    u = rng.normal(size=(repetitions, num_rows, 1))
    w = rng.exponential(size=(repetitions, num_rows, 1)) - 1
    rows = np.tanh(2 * alphas) + 0.6 * u * alphas + 0.4 * w * alphas**2 + 0.25 * u
    means = rows.mean(axis=1)
    centred = rows - means[:, None]
    covariance = centred.transpose(0, 2, 1) @ centred / (num_rows * (num_rows - 1))
    return CausalRegressor.fit_many(alphas, means, covariance=covariance)


def test_ninety_five_percent_bands_cover_and_the_bayesian_band_does_not():
    """2000 repetitions, truth tanh 2α (its uniform mean is 0): ACE ±1.96 std covers 93–97 %; Bayes under 50 %."""
    grid = np.linspace(-1, 1, 41)
    truth = np.tanh(2 * grid)
    hits = {"ace": [], "predict": [], "bayesian": []}
    for block in range(8):
        for curve in simulated_rows(250, seed=block):
            for name, method in (("ace", curve.ace), ("predict", curve.predict)):
                mean, std = method(grid, return_std=True)
                hits[name].append(np.abs(mean - truth) <= 1.96 * std)
            mean, std = curve.predict(grid, return_std=True, band="bayesian")
            hits["bayesian"].append(np.abs(mean - truth) <= 1.96 * std)
    coverage = {name: np.mean(hit) for name, hit in hits.items()}
    assert 0.93 <= coverage["ace"] <= 0.97, coverage
    assert 0.93 <= coverage["predict"] <= 0.97, coverage
    assert coverage["bayesian"] < 0.5, coverage


def test_a_kink_is_covered_where_it_is():
    """A ReLU curve with nearly exact expectations: the band covers at the kink too, where a global one fails."""
    alphas, grid = np.linspace(-1, 1, 40), np.linspace(-1, 1, 401)
    kinks = np.linspace(-0.4, 0.4, 41)
    curves = CausalRegressor.fit_many(alphas, np.maximum(alphas - kinks[:, None], 0))
    errors = np.stack([c.predict(grid) for c in curves]) - np.maximum(grid - kinks[:, None], 0)
    deviations = np.stack([c.predict(grid, return_std=True)[1] for c in curves])
    assert np.mean(np.abs(errors) <= 1.96 * deviations) > 0.93
    at_kink = np.abs(grid - kinks[:, None]) < 0.02
    assert np.mean(np.abs(errors) <= 1.96 * deviations, where=at_kink) > 0.93
    globals_ = np.array([c.lack_of_fit for c in curves])[:, None]
    assert np.mean(np.abs(errors) <= 1.96 * globals_, where=at_kink) < 0.7


# Many at once, constant features, stress


def test_fit_many_equals_one_by_one():
    """1e-12 agreement of every number over 30 curves with different orders and covariances."""
    alphas, rng = sample_points(1, 30)
    outputs = np.stack([np.sin(k * alphas / 4) + 0.05 * rng.normal(size=30) for k in range(30)])
    covariance = np.stack([random_covariance(rng, 30) for _ in range(30)])
    many = CausalRegressor.fit_many(alphas, outputs, covariance=covariance, baseline=("data", alphas[:9]))
    assert len({curve.order for curve in many}) > 2
    for curve, y, matrix in zip(many, outputs, covariance, strict=True):
        one = CausalRegressor.fit(alphas, y, covariance=matrix, baseline=("data", alphas[:9]))
        assert curve.order == one.order and curve.baseline_kind == "data"
        for name in ("weights", "weight_covariance", "held_out", "evidences", "baseline_weights"):
            np.testing.assert_allclose(getattr(curve, name), getattr(one, name), atol=1e-12)


def test_a_constant_feature_has_no_effect():
    """low = high: order 0, ACE 0 with deviation 0, baseline the value itself with its own deviation."""
    curve = CausalRegressor.fit([3.0], [0.7], covariance=[[0.04]])
    assert curve.order == 0 and curve.evidences.shape == (1,)
    assert curve.ace(3.0, return_std=True) == (0.0, 0.0)
    assert curve.baseline == 0.7 and curve.baseline_std == pytest.approx(0.2)
    assert curve.with_baseline(3.0).ace(3.0) == 0 and curve.with_baseline(("data", [3.0, 3.0])).baseline == 0.7
    with pytest.warns(ExtrapolationWarning):
        assert curve.predict(4.0) == 0.7


@pytest.mark.parametrize("num", [2, 3, 4, 7, 16, 17, 101])
@pytest.mark.parametrize("max_order", [0, 1, 15, 40])
@pytest.mark.parametrize("number", [1, 3])
def test_every_shape_gives_finite_results(num, max_order, number):
    """Random expectations on random points of random intervals: everything finite, shapes as promised."""
    rng = np.random.default_rng(num * 100 + max_order + number)
    alphas = rng.permutation(np.sort(rng.uniform(-7, 3, num)))
    curves = CausalRegressor.fit_many(
        alphas,
        rng.normal(size=(number, num)),
        covariance=np.stack([random_covariance(rng, num)] * number),
        low=-7,
        high=3,
        max_order=max_order,
    )
    assert len(curves) == number
    for curve in curves:
        assert curve.order < min(max_order + 1, num) and len(curve.evidences) <= min(max_order + 1, num)
        mean, std = curve.ace(rng.uniform(-7, 3, (2, 5)), return_std=True)
        assert mean.shape == std.shape == (2, 5) and mean.dtype == np.float64
        assert np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()
        assert np.isfinite(curve.held_out).all() and curve.lack_of_fit >= 0


def test_two_points_give_their_line():
    """The evidence of a line through two points is that of white noise; two values that differ still make a line."""
    curve = CausalRegressor.fit([0.0, 1.0], [0.0, 1.0])
    assert curve.order == 1 and curve.baseline == pytest.approx(0.5)
    np.testing.assert_allclose(curve.ace([0.0, 0.25, 1.0]), [-0.5, -0.25, 0.5], atol=1e-9)
    np.testing.assert_allclose(curve.evidences, curve.evidences[0], atol=1e-9)
    assert CausalRegressor.fit([0.0, 1.0], [1 / 3, 1 / 3 + 1e-16]).order == 0
    assert CausalRegressor.fit([0.0, 1.0], [0.0, 1.0], noise_floor=2.0).order == 0
    assert CausalRegressor.fit([0.0, 1.0], [0.0, 1.0], max_order=0).order == 0


# Types, warnings, errors, files


def test_tensors_in_tensors_out(noisy):
    """The type of alphas decides; results are float64 and agree."""
    curve, _ = noisy
    values = torch.linspace(-2, 4.5, 6).reshape(2, 3)
    mean, std = curve.ace(values, return_std=True)
    assert isinstance(mean, torch.Tensor) and mean.dtype == std.dtype == torch.float64 and mean.shape == (2, 3)
    np.testing.assert_allclose(mean.numpy(), curve.ace(values.numpy()), atol=0)
    assert isinstance(curve.predict([0.0, 1.0]), np.ndarray) and isinstance(curve.baseline, float)
    again = CausalRegressor.fit(torch.from_numpy(curve.alphas), torch.from_numpy(curve.expectations).requires_grad_())
    assert again.order == CausalRegressor.fit(curve.alphas, curve.expectations).order
    assert curve.predict(np.zeros(0)).shape == (0,)


def test_values_outside_the_interval_warn_and_rounding_does_not(noisy, recwarn):
    curve, _ = noisy
    curve.predict(np.array([-2.0, 4.5], dtype=np.float32) * np.float32(1 + 1e-7))
    assert not recwarn.list
    with pytest.warns(ExtrapolationWarning, match=r"alphas reaches from 0 to 4.6, beyond the range \[-2, 4.5\]"):
        curve.predict([0.0, 4.6])
    with pytest.warns(ExtrapolationWarning):
        curve.ace(-2.1)
    assert issubclass(ApproximationWarning, UserWarning) and issubclass(SupportWarning, UserWarning)


GOOD = ([0.0, 0.5, 1.0], [1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0.0, np.nan, 1.0], GOOD[1]), {}, "alphas must be finite"),
        ((GOOD[0], [1.0, np.inf, 2.0]), {}, "expectations must be finite"),
        ((GOOD[0], ["a", "b", "c"]), {}, "expectations must be real numbers"),
        ((GOOD[0], [1 + 1j, 2, 3]), {}, "expectations must be real numbers"),
        (([[0.0, 0.5]], [1.0, 2.0]), {}, "alphas must be a non-empty vector"),
        (([], []), {}, "alphas must be a non-empty vector"),
        ((GOOD[0], [1.0, 2.0]), {}, "expectations must hold one value for each of the 3 alphas"),
        ((GOOD[0], [[1.0, 2.0, 4.0]]), {}, "expectations must hold one value"),
        (([0.0, 0.5, 0.5], GOOD[1]), {}, "alphas must be distinct"),
        (GOOD, {"low": 0.1}, "alphas must be in"),
        (GOOD, {"high": 0.9}, "alphas must be in"),
        (GOOD, {"low": 2.0, "high": 1.0}, "low must be at most high, got low=2 and high=1"),
        (GOOD, {"low": [0.0, 1.0]}, "low must be one number"),
        (GOOD, {"high": np.nan}, "high must be finite"),
        (([0.5], [1.0]), {"low": 0.0, "high": 1.0}, "at least 2 distinct values"),
        (GOOD, {"covariance": np.eye(2)}, r"covariance must hold an \(m, m\) matrix with m = 3"),
        (GOOD, {"covariance": np.full((3, 3), np.nan)}, "covariance must be finite"),
        (GOOD, {"covariance": np.triu(np.ones((3, 3)))}, "covariance must be symmetric"),
        (GOOD, {"covariance": -np.eye(3)}, "no negative variance"),
        (GOOD, {"max_order": -1}, "max_order must be an integer"),
        (GOOD, {"max_order": 2.5}, "max_order must be an integer"),
        (GOOD, {"max_order": True}, "max_order must be an integer"),
        (GOOD, {"noise_floor": 0.0}, "noise_floor must be one positive number"),
        (GOOD, {"noise_floor": [1.0, 1.0]}, "noise_floor must be one positive number"),
        (GOOD, {"baseline": "mean"}, "baseline must be 'uniform'"),
        (GOOD, {"baseline": ("rows", [1.0])}, "baseline must be 'uniform'"),
        (GOOD, {"baseline": None}, "baseline must be 'uniform'"),
        (GOOD, {"baseline": True}, "baseline must be 'uniform'"),
        (GOOD, {"baseline": np.nan}, "baseline must be finite"),
        (GOOD, {"baseline": ("data", [])}, "with at least one value, got none"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        CausalRegressor.fit(*arguments, **options)


def test_bad_queries_are_refused(noisy):
    curve, _ = noisy
    with pytest.raises(ValueError, match="alphas must be finite"):
        curve.predict([0.0, np.nan])
    with pytest.raises(ValueError, match="band must be 'sampling' or 'bayesian'"):
        curve.ace(0.0, band="student")


def families():
    alphas, rng = sample_points(8, 20)
    y, covariance = np.sin(alphas) + 0.1 * rng.normal(size=20), random_covariance(rng, 20)
    return [
        CausalRegressor.fit(alphas, y, covariance=covariance, baseline=0.1),
        SplineRegressor.fit(alphas, y, covariance=covariance, baseline=("data", [0.1, 0.3])),
        CausalTable.fit(alphas, y, covariance=covariance),
        CausalRegressor.fit([2.0], [0.3]),
    ]


@pytest.mark.parametrize("index", range(4))
def test_a_trip_through_json_changes_no_bit(index):
    """to_dict → JSON → from_dict gives the same entries, types and answers, bit for bit."""
    curve = families()[index]
    text = json.dumps(curve.to_dict(), allow_nan=False)
    for read in (regressor_from_dict, type(curve).from_dict):
        again = read(json.loads(text))
        assert type(again) is type(curve) and repr(again) == repr(curve)
        for name, value in vars(curve).items():
            assert type(getattr(again, name)) is type(value), name
            np.testing.assert_array_equal(getattr(again, name), value)
        for ours, theirs in zip(
            again.ace(curve.alphas, return_std=True), curve.ace(curve.alphas, return_std=True), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_broken_dictionaries_are_refused():
    data = CausalTable.fit([0.0, 1.0], [0.2, 0.8]).to_dict()
    with pytest.raises(
        ValueError, match="must hold a regressor of family 'polynomial', got 'table'; use regressor_from_dict"
    ):
        CausalRegressor.from_dict(data)
    with pytest.raises(ValueError, match="what CausalTable.to_dict wrote, got none of weights"):
        CausalTable.from_dict({k: v for k, v in data.items() if k != "weights"})
    with pytest.raises(ValueError, match="data must name a family among polynomial, spline, table, got 'forest'"):
        regressor_from_dict({"family": "forest"})


def test_reprs_tell_the_story():
    alphas = np.linspace(0, 1, 20)
    text = repr(CausalRegressor.fit(alphas, alphas**2))
    assert text.startswith("CausalRegressor(order=2, log_evidence=")
    assert "baseline=0.3333, range=[0, 1], lack_of_fit=" in text
    assert (
        repr(CausalTable.fit([0, 1], [0.2, 0.8]))
        == "CausalTable(values=2, baseline=0.5, range=[0, 1], lack_of_fit=0.0e+00)"
    )
    assert repr(SplineRegressor.fit(alphas, alphas**2)).startswith("SplineRegressor(knots=0, gcv=")


def test_plot_hands_itself_to_plots(monkeypatch):
    fake = types.ModuleType("acelib.plots")
    fake.plot_regressor = lambda regressor, ax=None: (regressor, ax)
    monkeypatch.setitem(sys.modules, "acelib.plots", fake)
    monkeypatch.setattr(acelib, "plots", fake, raising=False)
    curve = CausalRegressor.fit([2.0], [0.3])
    assert curve.plot(ax="axes") == (curve, "axes")
