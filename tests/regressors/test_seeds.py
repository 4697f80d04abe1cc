"""Bands of lists of networks, against literal sums over the networks and against their coverage of a known law."""

import json

import numpy as np
import pytest
import torch

from acelib import AverageCausalEffect, CausalRegressor, CausalTable, InputDistribution, SplineRegressor
from acelib.regressors import regressor_from_dict
from acelib.regressors.seeds import with_sources

FAMILIES = [CausalRegressor, SplineRegressor, CausalTable]


def listed(family, count=4, m=12, shift=0.0, seed=0):
    """A curve with the mean of ``count`` curves, and these ``(count, m)``; they differ by ``shift`` and in shape."""
    rng = np.random.default_rng(seed)
    alphas = np.linspace(-1, 1, m)
    each = np.sin(3 * alphas) + shift * rng.normal(size=(count, 1)) + rng.normal(size=(count, 1)) * alphas
    root = rng.normal(size=(m, 2)) / 10
    curve = family.fit(alphas, each.mean(0), covariance=root @ root.T)
    return with_sources([curve], 49.0, each[:, :, None])[0], each


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smoother_of_a_curve_returns_its_own_weights(family):
    curve, each = listed(family)
    assert np.allclose(curve.smoothed(curve.expectations[None])[0], curve.weights, atol=1e-12)
    assert np.allclose(curve.model_weights.mean(0), curve.weights, atol=1e-12)
    assert np.allclose(curve.smoothed(each), curve.model_weights, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [2, 3, 10])
def test_bands_add_the_variance_of_the_networks_over_their_number(family, count):
    """Literal reference: the curve of each network by the same smoother, its ACE, their variance, to 1e-10."""
    curve, _ = listed(family, count, shift=0.5)
    bare = type(curve).from_dict({**curve.to_dict(), "model_weights": None})
    at = curve.alphas[2:9]
    rows = curve._basis(at)
    for name, contrast in (("predict", rows), ("ace", rows - curve.baseline_weights)):
        values = contrast @ curve.model_weights.T
        expected = getattr(bare, name)(at, return_std=True)[1] ** 2 + values.var(axis=1, ddof=1) / count
        assert np.allclose(getattr(curve, name)(at, return_std=True)[1] ** 2, expected, rtol=1e-10)
    between = (curve.model_weights @ curve.baseline_weights).var(ddof=1) / count
    assert np.isclose(curve.baseline_std**2, bare.baseline_std**2 + between, rtol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shift_between_networks_cancels_in_the_effect(family):
    curve, each = listed(family)
    shifted = with_sources([curve], 49.0, (each + 100 * np.arange(len(each))[:, None])[:, :, None])[0]
    for ours, theirs in zip(curve.ace(curve.alphas, True), shifted.ace(curve.alphas, True), strict=True):
        assert np.allclose(ours, theirs, atol=1e-9)
    assert shifted.predict(0.0 * each[0] + curve.alphas, True)[1].min() > 10


def test_degrees_of_freedom_are_those_of_the_larger_part():
    """Only networks: S − 1. Only rows: theirs."""
    table = CausalTable.fit([0.0, 1.0], [0.0, 1.0], covariance=np.eye(2) * 1e-12)
    models = np.array([[0.0, 3.0], [1.0, 0.0], [-1.0, 0.0]])[:, :, None]
    (few,) = with_sources([table], 999.0, models)
    assert few.estimate(1.0)[2] == pytest.approx(2, abs=1e-3)
    (one,) = with_sources([table], 7.0)
    assert one.estimate(1.0)[2] == 7 and one.estimate(0.0, of="expectation")[2] == 7
    low, high = one.interval(torch.tensor([0.0, 1.0]), of="expectation")
    assert torch.allclose(high - low, torch.full((2,), 2 * 2.364624e-6, dtype=torch.float64), rtol=1e-5)
    with pytest.raises(ValueError, match="of must be 'ace' or 'expectation', got 'slope'"):
        one.interval(1.0, of="slope")


@pytest.mark.parametrize("family", FAMILIES)
def test_lists_travel_through_json_and_old_files_load(family):
    curve, _ = listed(family)
    data = json.loads(json.dumps(curve.to_dict(), allow_nan=False))
    again = regressor_from_dict(data)
    assert again == curve and np.array_equal(again.interval(curve.alphas), curve.interval(curve.alphas))
    old = regressor_from_dict({k: v for k, v in data.items() if k not in ("freedom", "model_weights")})
    assert old.freedom is None and old.predict(curve.alphas, True)[1][0] < curve.predict(curve.alphas, True)[1][0]
    for wrong in ({"freedom": -1.0}, {"freedom": "many"}, {"model_weights": [[1.0]]}, {"model_weights": 3.0}):
        with pytest.raises(ValueError, match="data must hold"):
            regressor_from_dict({**data, **wrong})


@pytest.mark.parametrize("count", [3, 5])
def test_intervals_of_few_networks_cover_the_mean_over_all(count):
    """400 lists of straight lines with normal slopes: Student's t covers 95 ± 3 %, ± 1.96 deviations far less."""
    rng = np.random.default_rng(count)
    alphas, held, short = np.array([0.0, 0.5, 1.0]), 0, 0
    for _ in range(400):
        each = rng.normal(size=(count, 1)) + (1 + rng.normal(size=(count, 1))) * alphas
        curve = CausalTable.fit(alphas, each.mean(0), covariance=np.zeros((3, 3)))
        (curve,) = with_sources([curve], 99.0, each[:, :, None])
        low, high = curve.interval(1.0)
        mean, std = curve.ace(1.0, return_std=True)
        held += low <= 0.5 <= high
        short += abs(mean - 0.5) <= 1.96 * std
    assert 0.92 < held / 400 < 0.98 and short / 400 < 0.915


def test_regress_and_attribute_count_the_seeds_of_a_list():
    """Networks f_s = b_s x0 + x1 on rows of one x1: their expectation is b_s a + x1, known without error."""
    slopes = [1.0, 2.0, 6.0]
    nets = [lambda x, b=b: b * x[:, :1] + 0 * x[:, 1:] for b in slopes]
    X = torch.rand(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ace = AverageCausalEffect(nets, InputDistribution.fit(X, domain=(0.0, 1.0)))
    spread = torch.tensor(slopes).double().std().item() / 3**0.5
    curve = ace.regress(features=[0], num=9)["x0", 0]
    assert curve.ace(1.0, return_std=True)[1] == pytest.approx(0.5 * spread, rel=1e-6)
    assert curve.predict(1.0, return_std=True)[1] == pytest.approx(spread, rel=1e-6)
    for via in ("regressors", "direct"):
        found = ace.attribute(torch.tensor([1.0, 0.5]).double(), via=via, features=[0])
        assert found.stderr[0].item() == pytest.approx(0.5 * spread, rel=1e-6)
        assert found.freedom[0].item() == pytest.approx(2, abs=1e-6)
        low, high = found.interval()
        assert (high - low)[0].item() == pytest.approx(4.302653 * spread, rel=1e-5)
    e = ace.expectation(0, [1.0])
    assert e.stderr.item() < 1e-12 and "spread of 3 models" in repr(e)
    assert (e.interval()[1] - e.values).item() == pytest.approx(4.302653 * spread, rel=1e-5)
