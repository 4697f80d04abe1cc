"""Curves over uneven grids: quantiles of skewed laws, sparse values and intervals beyond the values.

The baseline is compared with the mean of the function on 20,001 values of the interval. It must be within 5 % of the
function's range or within 1.96 of its standard errors (a 5 % share of misses is allowed), and always within 5; an even
grid must give the numbers that it gives without any limit.
"""

import warnings

import numpy as np
import pytest
from helpers import LAWS
from hypothesis import given, settings
from hypothesis import strategies as st

from acelib import ExtrapolationWarning
from acelib._warnings import ApproximationWarning
from acelib.regressors import CausalRegressor, SplineRegressor
from acelib.regressors.basis import orthogonal_basis, sound_order
from acelib.regressors.polynomials import fit_orders, sound_orders
from acelib.regressors.samples import check_samples, clusters

FUNCTIONS = {
    "sigmoid": np.tanh,
    "sine": np.sin,
    "kink": lambda a: np.maximum(a, 0),
}


def judge(family, alphas, function):
    """Return the baseline's error, its standard error and the worst ACE error in bands, in ranges of the function."""
    curve = family.fit(alphas, function(alphas))
    grid = np.linspace(alphas.min(), alphas.max(), 20_001)
    truth = function(grid)
    right = (truth.sum() - truth[[0, -1]].mean()) / (grid.size - 1)
    mean, std = curve.ace(grid[::20], return_std=True)
    errors = np.abs(mean - (truth[::20] - right))
    size = np.ptp(truth)
    outside = errors > np.maximum(0.05 * size, 5 * std)
    return abs(curve.baseline - right) / size, curve.baseline_std / size, outside.mean()


@pytest.mark.filterwarnings("ignore:alphas leave")
@pytest.mark.parametrize("family", [CausalRegressor, SplineRegressor])
@pytest.mark.parametrize("seed", [0, 1])
def test_baselines_on_quantile_grids(family, seed):
    """6 laws, 3 grids, 3 functions."""
    rng, narrow = np.random.default_rng(seed), []
    for law, draw in LAWS.items():
        x = draw(rng)
        middle, width = np.median(x), np.subtract(*np.quantile(x, [0.75, 0.25]))
        for num in (20, 50, 100):
            alphas = np.quantile(x, np.linspace(0, 1, num))
            for name, shape in FUNCTIONS.items():
                error, std, outside = judge(family, alphas, lambda a, f=shape, m=middle, w=width: f((a - m) / w))
                assert error <= max(0.05, 5 * std), (law, num, name, error, std)
                if family is CausalRegressor:
                    assert error <= 0.8 and outside <= 0.6, (law, num, name, error, outside)
                narrow.append(error <= max(0.05, 1.96 * std))
    assert np.mean(narrow) >= 0.95


@pytest.mark.filterwarnings("ignore:alphas leave")
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(3, 60),
    st.sampled_from(["geometric", "clusters", "random", "rounded"]),
    st.floats(0.2, 3),
)
def test_no_curve_runs_away_between_sparse_values(seed, num, kind, frequency):
    """Without noise the curve stays within 2 ranges of its samples all over the interval, on any grid."""
    rng = np.random.default_rng(seed)
    alphas = {
        "geometric": lambda: np.geomspace(1e-3, 1, num),
        "clusters": lambda: np.r_[rng.uniform(0, 0.01, num), rng.uniform(0.9, 1, 3)],
        "random": lambda: rng.beta(0.4, 4, num),
        "rounded": lambda: np.round(rng.exponential(size=10 * num), 1),
    }[kind]()
    alphas = np.unique(alphas)
    y = np.tanh(5 * frequency * (alphas - np.median(alphas)))
    curve = CausalRegressor.fit(alphas, y)
    at = np.linspace(alphas[0], alphas[-1], 2001)
    prediction = curve.predict(at)
    assert prediction.max() <= y.max() + 2 * np.ptp(y) and prediction.min() >= y.min() - 2 * np.ptp(y)
    assert abs(curve.baseline - prediction.mean()) < 0.05 * np.ptp(y) + 1e-9


@pytest.mark.parametrize("family", [CausalRegressor, SplineRegressor])
@pytest.mark.parametrize("ends", [(0.0, 10.0), (-10.0, 1.0), (-3.0, 5.0), (0.0, 1.3), (-1e6, 1e6), (0.0, 1.1)])
def test_an_interval_beyond_the_values_warns_and_stays_bounded(family, ends):
    alphas = np.linspace(0, 1, 50)
    y = np.sin(3 * alphas)
    with pytest.warns(ExtrapolationWarning, match="alphas reach from 0 to 1 only"):
        curve = family.fit(alphas, y, low=ends[0], high=ends[1])
    far = curve.predict(np.linspace(*ends, 501))
    assert np.abs(far).max() <= 3 * np.ptp(y) and abs(curve.baseline) <= 3 * np.ptp(y)


def test_ends_beside_the_values_do_not_warn():
    """Midpoints and Chebyshev nodes miss the ends by less than their spacing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for family in (CausalRegressor, SplineRegressor):
            middles = (np.arange(20) + 0.5) / 20
            family.fit(middles, middles**2, low=0.0, high=1.0)
            nodes = np.cos(np.pi * (np.arange(33) + 0.5) / 33)
            family.fit(nodes, nodes**2, low=-1.0, high=1.0)
        CausalRegressor.fit([1.0, 2.0], [0.0, 1.0], low=0.5, high=2.0)


@pytest.mark.parametrize("family", [CausalRegressor, SplineRegressor])
def test_one_gap_over_most_of_the_interval_warns(family):
    """Once, and with its ends; a gap of half the interval, or two values alone, do not."""
    alphas = np.r_[np.linspace(0, 1, 9), np.linspace(4, 5, 9)]
    with pytest.warns(
        ApproximationWarning, match=r"leave 60% of the interval \[0, 5\] in one gap, from 1 to 4"
    ) as seen:
        family.fit_many(alphas, [alphas, alphas**2])
    assert len(seen) == 1 and seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CausalRegressor.fit([0.0, 1.0], [0.0, 1.0])
        family.fit(np.r_[np.linspace(0, 1, 9), 2.0], np.arange(10.0))


@pytest.mark.parametrize("num", [2, 3, 5, 8, 9, 12, 16, 17, 20, 25, 33, 50, 100, 257, 1000])
@pytest.mark.parametrize("spacing", ["uniform", "lobatto", "nodes"])
def test_the_limits_do_not_bite_on_even_grids(num, spacing):
    """Every order up to 30 is sound there, and from 33 values on the misfit is what held-out values show, no more."""
    alphas = {
        "uniform": np.linspace(-1, 1, num),
        "lobatto": np.cos(np.pi * np.arange(num) / (num - 1)),
        "nodes": np.cos(np.pi * (np.arange(num) + 0.5) / num),
    }[spacing]
    _, triangle = orthogonal_basis(alphas, -1.0, 1.0, 30)
    assert sound_order(alphas, -1.0, 1.0, triangle) == len(triangle) - 1
    curve = CausalRegressor.fit(alphas, np.abs(alphas - 0.3), low=-1.0, high=1.0)
    if num >= 33:
        order = np.argsort(alphas)
        squares = np.pad(curve.held_out[order] ** 2, 1, mode="reflect")
        local = np.sqrt((squares[:-2] + squares[1:-1] + squares[2:]) / 3)
        at = np.linspace(-1, 1, 999)
        np.testing.assert_allclose(curve.misfit(at), np.interp(at, alphas[order], local), rtol=1e-9)
    samples = check_samples(alphas, np.abs(alphas - 0.3)[None], None, -1.0, 1.0)
    basis, triangle = orthogonal_basis(alphas, -1.0, 1.0, 15)
    fits = fit_orders(samples, basis)
    assert sound_orders(samples, triangle, fits).tolist() == fits.order.tolist() == [curve.order]


def literal_clusters(alphas):
    """The largest runs of at most a third of the values that span less than a tenth of the gaps beside them."""
    values = sorted(alphas)
    found = {value: (value,) for value in values}
    for size in range(2, max(2, len(values) // 3) + 1):
        for start in range(len(values) - size + 1):
            run = values[start : start + size]
            beside = [run[0] - values[start - 1]] if start else []
            beside += [values[start + size] - run[-1]] if start + size < len(values) else []
            if len(values) > 2 and run[-1] - run[0] < 0.1 * min(beside):
                found |= dict.fromkeys(run, tuple(run))
    runs = sorted(set(found.values()))
    return [runs.index(found[value]) for value in alphas]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.sampled_from(["even", "chebyshev", "normal", "cauchy", "twins", "nested", "geometric"]),
)
def test_clusters_equal_the_literal_ones(seed, num, kind):
    rng = np.random.default_rng(seed)
    alphas = {
        "even": lambda: np.linspace(0, 1, num),
        "chebyshev": lambda: np.cos(np.pi * np.arange(num) / max(num - 1, 1)),
        "normal": lambda: rng.normal(size=num),
        "cauchy": lambda: rng.standard_cauchy(size=num),
        "twins": lambda: np.r_[rng.normal(size=num), np.linspace(0, 9, num) + 10.0 ** rng.uniform(-12, -1)],
        "nested": lambda: rng.integers(0, 4, num) + rng.integers(0, 3, num) * 1e-2 + rng.integers(0, 3, num) * 1e-4,
        "geometric": lambda: np.geomspace(10.0 ** -rng.uniform(1, 12), 1, num),
    }[kind]()
    alphas = rng.permutation(np.unique(alphas))
    assert clusters(alphas).tolist() == literal_clusters(alphas.tolist())
    if kind in ("even", "chebyshev"):
        assert clusters(alphas).max() == alphas.size - 1


@pytest.mark.parametrize("family", [CausalRegressor, SplineRegressor])
@pytest.mark.parametrize("jitter", [1e-12, 1e-6, 1e-3])
@pytest.mark.parametrize(("places", "copies"), [(8, 2), (15, 2), (12, 3), (30, 2)])
def test_values_sampled_twice_do_not_vouch_for_each_other(family, jitter, places, copies):
    """Left out alone, each would be predicted by its twin; at least 93 % of the domain must be covered."""
    grid, where = np.linspace(-1, 1, 401), np.linspace(-0.61, 0.59, 9)
    values = (
        np.linspace(-1, 1, places)[:, None]
        + jitter * np.arange(copies) * np.where(np.arange(places) % 2, 1, -1)[:, None]
    )
    alphas = np.unique(np.clip(values, -1, 1))
    for function in (lambda a, s: np.abs(a - s), lambda a, s: (a > s) * 1.0, lambda a, s: np.tanh(4 * (a - s))):
        inside, above = [], []
        for s in where:
            curve = family.fit(alphas, function(alphas, s), low=-1.0, high=1.0)
            truth = function(grid, s)
            right = (truth.sum() - truth[[0, -1]].mean()) / 400
            effect, std = curve.ace(grid, return_std=True)
            inside.append(
                np.abs(effect - truth + right) <= 1.96 * std + 3e-3
            )  # of a range near 1; the trapezia's error
            above.append(std.max())
        assert np.mean(inside) >= 0.93 and max(above) <= 2.5


@pytest.mark.parametrize("family", [CausalRegressor, SplineRegressor])
def test_clusters_are_held_out_together(family):
    """Against literal refits without the whole cluster, with basis and shrinkage held fixed (1e-7 of the range)."""
    rng = np.random.default_rng(3)
    alphas = np.r_[np.linspace(0, 10, 14), 2.31 + np.array([0, 1e-3, 3e-3]), 7.7]
    curve = family.fit(alphas, np.sin(alphas) + 0.05 * rng.normal(size=18))
    labels = clusters(curve.alphas)
    assert np.bincount(labels).max() == 4 and labels.max() == 13
    design = curve._basis(curve.alphas)
    ratio = 0.0
    if family is CausalRegressor:
        assert curve.order <= 12 and curve.weight_variance > 0
        ratio = curve.noise_variance / curve.weight_variance
    penalty = ratio * np.diag(np.r_[0.0, np.ones(design.shape[1] - 1)])
    for label in range(14):
        keep = labels != label
        weights = np.linalg.solve(design[keep].T @ design[keep] + penalty, design[keep].T @ curve.expectations[keep])
        expected = (curve.expectations - design @ weights)[~keep]
        np.testing.assert_allclose(curve.held_out[~keep], expected, atol=1e-7 * max(1, np.abs(expected).max()))


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.booleans())
def test_two_values_make_a_line(left, step, first, rise, sampled):
    alphas, y = np.array([left, left + step]), np.array([first, first + rise])
    spread = np.diag([0.04, 0.01]) * rise**2 if sampled else None
    curve = CausalRegressor.fit(alphas, y, covariance=spread)
    assert curve.order == 1
    np.testing.assert_allclose(curve.ace(alphas), [-rise / 2, rise / 2], rtol=1e-6, atol=1e-12 * abs(first))
