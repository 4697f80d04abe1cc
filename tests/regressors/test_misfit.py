"""The lack of fit of curves: against a literal reference, by hand, and by counting where the band holds the truth.

Without sampling error every miss is lack of fit, so coverage is the share of the domain where |error| is at most 1.96
standard deviations; 1e-9 of the curve's range counts as rounding.
"""

import json
import warnings

import numpy as np
import pytest
from helpers import LAWS
from hypothesis import given, settings
from hypothesis import strategies as st

from acelib.regressors import CausalRegressor, CausalTable, SplineRegressor, regressor_from_dict

FAMILIES = [CausalRegressor, SplineRegressor]


def mean_of(function, low, high, num=40_001):
    """The mean over [low, high] by the trapezium rule."""
    y = function(np.linspace(low, high, num))
    return (y.sum() - y[[0, -1]].mean()) / (num - 1)


def literal_misfit(curve, alpha):
    """The four parts at one value, written out with loops and a dense inverse."""
    order = np.argsort(curve.alphas)
    x, y, e = curve.alphas[order], curve.expectations[order], curve.held_out[order]
    m, size = len(x), np.ptp(y)
    local = [np.sqrt((e[abs(i - 1)] ** 2 + e[i] ** 2 + e[i + 1 if i + 1 < m else m - 2] ** 2) / 3) for i in range(m)]
    inside = min(max(alpha, x[0]), x[-1])
    j = max(i for i in range(m - 1) if i == 0 or x[i] < inside)
    t = (inside - x[j]) / (x[j + 1] - x[j])
    design, row = curve._basis(x), curve._basis(np.array([alpha]))[0]
    leverage = row @ np.linalg.inv(design.T @ design) @ row
    shown = (local[j] * (1 - t) + local[j + 1] * t) * max(1, (1 + leverage) / 2) ** 0.5
    total = size**2 * t * (1 - t) if m == 2 == len(row) else min(shown, size) ** 2
    departure = row @ curve.weights - (y[j] * (1 - t) + y[j + 1] * t)
    left, right = (curve.low if j == 0 else x[j]), (curve.high if j == m - 2 else x[j + 1])
    sparse = m > 2 and (right - left) / (curve.high - curve.low) > min(4 / (m - 1), 0.5) * (1 + 1e-6)
    if sparse:
        total += departure**2
    missed = max(x[0] - alpha, alpha - x[-1], 0)
    gap, end = (x[1] - x[0], x[0] - curve.low) if alpha < x[0] else (x[-1] - x[-2], curve.high - x[-1])
    covers = end <= max(gap, 0.05 * (curve.high - curve.low)) * (1 + 1e-6)
    if missed and not (covers and curve.low <= alpha <= curve.high):
        total += departure**2 + (size * missed / (x[-1] - x[0])) ** 2
    return np.sqrt(total)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(2, 30),
    st.sampled_from(["even", "geometric", "random"]),
    st.sampled_from([(0.0, 1.0), (-0.3, 1.0), (0.0, 4.0), (-0.02, 1.03)]),
    st.sampled_from(FAMILIES),
)
def test_the_misfit_equals_the_literal_one(seed, num, spacing, ends, family):
    """At 40 values inside and outside the interval, to 1e-6 of itself and 1e-9 of the range."""
    rng = np.random.default_rng(seed)
    num = max(num, 5) if family is SplineRegressor else num
    alphas = {
        "even": np.linspace(0, 1, num),
        "geometric": np.geomspace(1e-2, 1, num),
        "random": rng.uniform(0, 1, num),
    }[spacing]
    y = np.sin(rng.uniform(1, 8) * alphas) + 0.05 * rng.normal(size=num)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curve = family.fit(rng.permutation(alphas), y, low=ends[0], high=ends[1])
        at = np.r_[rng.uniform(ends[0] - 0.2, ends[1] + 0.2, 30), alphas[:5]]
        expected = [literal_misfit(curve, a) for a in at]
        np.testing.assert_allclose(curve.misfit(at), expected, rtol=1e-6, atol=1e-9 * np.ptp(y))


def test_the_misfit_of_an_average_by_hand():
    """Three gaps: within one the misfit keeps its sign, across them squares are added; the data count by gap."""
    alphas = np.array([0.0, 1.0, 3.0, 4.0])
    curve = CausalRegressor.fit(alphas, [0.0, 1.0, -1.0, 2.0], max_order=1)
    steps = (np.arange(8) + 0.5) / 8
    inside = [curve.misfit(a + steps * (b - a)).mean() for a, b in zip(alphas[:-1], alphas[1:], strict=True)]
    assert curve.baseline_misfit == pytest.approx(np.linalg.norm(inside * np.array([1, 2, 1])) / 4, rel=1e-12)
    data = curve.with_baseline(("data", [0.2, 0.4, 0.6, 3.5]))
    assert data.baseline_misfit == pytest.approx(np.hypot(0.75 * inside[0], 0.25 * inside[2]), rel=1e-12)
    point = curve.with_baseline(2.5)
    assert point.baseline_misfit == pytest.approx(curve.misfit(2.5), rel=1e-12)
    for one in (curve, data, point):
        assert one.baseline_std == one.baseline_misfit
        np.testing.assert_allclose(
            one.ace(alphas, return_std=True)[1], np.hypot(one.misfit(alphas), one.baseline_misfit), rtol=1e-12
        )
        np.testing.assert_allclose(one.predict(alphas, return_std=True)[1], one.misfit(alphas), rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("spacing", "num"), [("uniform", 20), ("uniform", 33), ("uniform", 50), ("uniform", 100), ("chebyshev", 33)]
)
def test_kinks_jumps_and_waves_are_covered_without_sampling_error(family, spacing, num):
    """At least 93 % of the domain for each kind, on average over 21 places of it, and every baseline."""
    alphas = np.linspace(-1, 1, num) if spacing == "uniform" else np.cos(np.pi * (np.arange(num) + 0.5) / num)
    kinds = {
        "kink": lambda a, s: np.abs(a - s),
        "jump": lambda a, s: (a > s) * 1.0,
        "wave": lambda a, s: np.sin(6 * a + s),
        "steep": lambda a, s: np.tanh(8 * (a - s)),
        "two kinks": lambda a, s: np.maximum(a - s, 0) - np.abs(a + 0.5),
        "peak": lambda a, s: 1 / (1 + 25 * (a - s) ** 2),
    }
    places, grid = np.linspace(-0.61, 0.59, 21), np.linspace(-1, 1, 801)
    for kind, function in kinds.items():
        curves = family.fit_many(alphas, np.stack([function(alphas, s) for s in places]), low=-1.0, high=1.0)
        inside, above = [], []
        for curve, s in zip(curves, places, strict=True):
            truth, right = function(grid, s), mean_of(lambda a, f=function, s=s: f(a, s), -1, 1)
            effect, std = curve.ace(grid, return_std=True)
            rounding = 1e-9 * np.ptp(truth)
            inside.append(np.abs(effect - truth + right) <= 1.96 * std + rounding)
            assert abs(curve.baseline - right) <= 1.96 * curve.baseline_std + rounding, (kind, s)
            above.append(np.sqrt(np.mean(std**2) / max(np.mean((effect - truth + right) ** 2), rounding**2)))
        assert np.mean(inside) >= 0.93, (kind, np.mean(inside))
        if kind in ("kink", "jump"):
            assert np.median(above) <= 4, (kind, above)  # and not by bands that are wide everywhere


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("function", [lambda a: np.tanh(2 * a), lambda a: 1 / (1 + np.exp(-3 * a)), np.exp, np.square])
def test_the_misfit_of_smooth_curves_is_below_a_thousandth(family, function):
    """On 33 or more even values: it adds nothing to a sampling error of a hundredth of the range."""
    for num in (33, 50, 100):
        alphas = np.linspace(-1, 1, num)
        curve = family.fit(alphas, function(alphas))
        grid = np.linspace(-1, 1, 301)
        size = np.ptp(function(grid))
        assert curve.misfit(grid).max() <= 1e-3 * size and curve.baseline_misfit <= 1e-4 * size


FUNCTIONS = {
    "sigmoid": np.tanh,
    "square": np.square,
    "wave": lambda a: np.exp(-np.abs(a) / 2) * np.sin(2 * a),
    "kink": lambda a: np.maximum(a, 0),
}


def spread_values(rng, x):
    """Quantiles in three numbers, and observed values with and without their repeats."""
    yield from (np.unique(np.quantile(x, np.linspace(0, 1, num))) for num in (20, 50, 100))
    yield rng.choice(x, 40, replace=False)
    yield np.unique(np.round(rng.choice(x, 100, replace=False), -int(np.floor(np.log10(x.std()))) + 1))


@pytest.mark.filterwarnings("ignore:alphas leave")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("law", LAWS)
def test_effects_between_sparse_values_are_inside_their_band(family, law):
    """On every grid: the baseline within 5 % of the range or 1.96 standard errors, the ACE within 2 on 95 %."""
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        x = LAWS[law](rng)
        middle, width = np.median(x), np.subtract(*np.quantile(x, [0.75, 0.25]))
        for alphas in spread_values(rng, x):
            for name, shape in FUNCTIONS.items():
                function = lambda a, f=shape, m=middle, w=width: f((a - m) / w)  # noqa: E731
                curve = family.fit(alphas, function(alphas))
                grid = np.linspace(alphas.min(), alphas.max(), 1001)
                truth, right = function(grid), mean_of(function, alphas.min(), alphas.max(), 20_001)
                effect, std = curve.ace(grid, return_std=True)
                size = np.ptp(truth)
                what = (seed, alphas.size, name)
                assert abs(curve.baseline - right) <= max(0.05 * size, 1.96 * curve.baseline_std), what
                inside = np.abs(effect - truth + right) <= 2 * std + 1e-3 * size
                assert inside.mean() >= 0.95, (*what, inside.mean())
                assert np.abs(curve.predict(grid) - truth).max() <= 2.5 * size, what
                assert std.max() <= 4 * size, what  # bounded, too


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_units_change_nothing(family, unit, scale):
    """Of α and of the output, and their signs: 1e-6 of the misfit."""
    alphas = np.geomspace(0.01, 1, 12)
    y = np.tanh(4 * alphas - 1)
    plain, other = family.fit(alphas, y), family.fit(-scale * alphas, -unit * y)
    at = np.linspace(0.01, 1, 50)
    np.testing.assert_allclose(other.misfit(-scale * at), unit * plain.misfit(at), rtol=1e-5, atol=1e-9 * unit)
    assert other.baseline_misfit == pytest.approx(unit * plain.baseline_misfit, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frequency", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("ends", [(0.0, 10.0), (-10.0, 1.0), (-3.0, 5.0), (0.0, 3.0)])
def test_an_extrapolated_interval_says_that_nothing_is_known(family, frequency, ends):
    """Sines over 3 to 11 times the interval that was sampled: bounded, and inside a band that grows outwards."""
    function = lambda a: np.sin(frequency * a)  # noqa: E731
    alphas, grid = np.linspace(0, 1, 50), np.linspace(*ends, 1001)
    with pytest.warns(UserWarning, match=rf"alphas reach from 0 to 1 only, of the interval \[{ends[0]:g}, {ends[1]:g}"):
        curve = family.fit(alphas, function(alphas), low=ends[0], high=ends[1])
    right = mean_of(function, *ends)
    assert abs(curve.baseline - right) <= 1.96 * curve.baseline_std
    effect, std = curve.ace(grid, return_std=True)
    assert np.mean(np.abs(effect - function(grid) + right) <= 1.96 * std) >= 0.93
    beyond = curve.misfit(np.linspace(1, ends[1], 50))
    assert (np.diff(beyond) >= -1e-9).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_values_beyond_the_interval_have_no_small_error(family):
    """A polynomial of high order runs away there; its error bar runs with it."""
    alphas = np.linspace(0, 1, 50)
    curve = family.fit(alphas, 1 / (1 + 25 * (2 * alphas - 1) ** 2))
    with pytest.warns(UserWarning, match="beyond the range"):
        value, std = curve.predict([-0.5, 1.5, 2.0], return_std=True)
    assert (np.abs(value - 1 / (1 + 25 * np.array([2, 2, 3]) ** 2)) <= 1.96 * std).all() and (std >= 0.4).all()


@settings(max_examples=50, deadline=None)
@given(st.floats(-10, 10), st.floats(1e-3, 1e3), st.floats(-10, 10), st.floats(1e-3, 1e3), st.floats(0, 1))
def test_two_values_say_only_where_the_curve_begins_and_ends(left, width, first, rise, place):
    """A step anywhere between them is in the band, of the mean always and of the curve on 80 % of the way."""
    curve = CausalRegressor.fit([left, left + width], [first, first + rise])
    t = np.linspace(0, 1, 101)
    step = first + rise * (t > place)
    value, std = curve.predict(left + t * width, return_std=True)
    np.testing.assert_allclose(std, rise * np.sqrt(t * (1 - t)), atol=1e-6 * (rise + abs(first)))
    assert np.mean(np.abs(value - step) <= 1.96 * std + 1e-6 * (rise + abs(first))) >= 0.79
    assert abs(curve.baseline - first - rise * (1 - place)) <= 1.96 * curve.baseline_std
    flat = CausalRegressor.fit([left, left + width], [first, first])
    assert flat.misfit(left + t * width).max() <= 1e-12 * abs(first) and flat.baseline_std <= 1e-12 * abs(first)


def test_a_table_has_no_misfit_anywhere():
    table = CausalTable.fit([0.0, 1.0, 10.0], [0.2, 0.8, 5.0], baseline=("data", [0.0, 10.0, 10.0]))
    assert table.baseline_misfit == 0 == table.baseline_std and not table.misfit([[0.0, 10.0]]).any()
    assert table.with_baseline(10.0).baseline_std == 0


def test_dictionaries_without_the_baselines_misfit_are_read():
    """Files of older versions: everything is as it was, the baseline's error without its misfit."""
    curve = CausalRegressor.fit(np.linspace(0, 1, 9), np.abs(np.linspace(-1, 1, 9)), baseline=0.3)
    old = json.loads(json.dumps(curve.to_dict()))
    del old["baseline_misfit"]
    again = regressor_from_dict(old)
    assert again.baseline == curve.baseline and again.baseline_misfit == 0 < curve.baseline_misfit
    assert again.with_baseline(0.3).baseline_std == curve.baseline_std
