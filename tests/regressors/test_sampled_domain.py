"""Baselines over the range of a sample: their errors in closed form, in repeated samples, and the warning."""

from __future__ import annotations

import json
import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from acelib import ApproximationWarning, AverageCausalEffect, CausalRegressor, InputDistribution, Interval
from acelib.inputs.ends import SampleRange
from acelib.regressors import regressor_from_dict
from acelib.regressors.sampled_domain import drift, end_error, over_sample

ORIGIN = SampleRange(50, low_std=0.3, high_std=0.2, low_reach=2.0, high_reach=1.0)
CURVES = {"line": lambda a: 3 * a, "square": lambda a: a**2, "flat": lambda a: 0 * a + 2, "wave": np.sin}


def warned(call) -> list[str]:
    """The sentences of the warnings of drifting effects."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in found if "grows with the sample" in str(w.message)]


def table(law: str, n: int, seed: int, columns: int = 2) -> torch.Tensor:
    """``(n, columns)`` rows of which the first column has this law and the others are normal."""
    r = np.random.default_rng(seed)
    X = r.normal(size=(n, columns))
    if law == "uniform":
        X[:, 0] = r.random(n)
    if law == "exponential":
        X[:, 0] = r.exponential(size=n)
    return torch.from_numpy(X)


def product(x: torch.Tensor) -> torch.Tensor:
    """a² + a b: its curve in a is a² + a E[b]."""
    return (x[:, 0] ** 2 + x[:, 0] * x[:, 1])[:, None]


@pytest.mark.parametrize("shape", CURVES)
@pytest.mark.parametrize("low, high", [(-1.0, 2.0), (0.0, 1.0), (2.0, 2.5)])
def test_the_error_is_the_derivative_of_the_mean(shape, low, high):
    """Against differences of the mean over U(l, h), taken by moving one end; to 1e-4 of the slope's size."""
    f = CURVES[shape]

    def mean(a, b):
        t = np.linspace(a, b, 20_001)
        return np.trapezoid(f(t), t) / (b - a)

    step = 1e-4
    by_low = (mean(low + step, high) - mean(low - step, high)) / (2 * step)
    by_high = (mean(low, high + step) - mean(low, high - step)) / (2 * step)
    exact = np.hypot(by_low * ORIGIN.low_std, by_high * ORIGIN.high_std)
    alphas = np.linspace(low, high, 40)
    bare = CausalRegressor.fit(alphas, f(alphas))
    (curve,) = over_sample([bare], Interval(low, high, ORIGIN))
    assert curve.domain_std == pytest.approx(exact, abs=1e-4)
    assert curve.baseline_std == pytest.approx(np.hypot(exact, bare.baseline_std), abs=1e-4)
    error, without = curve.ace(alphas, return_std=True)[1], bare.ace(alphas, return_std=True)[1]
    assert np.allclose(error**2 - without**2, exact**2, atol=1e-4)
    assert np.allclose(curve.predict(alphas, return_std=True)[1], bare.predict(alphas, return_std=True)[1])
    for other in (float(low), ("data", alphas)):
        assert curve.with_baseline(other).domain_std == 0
    assert curve.with_baseline(0.5 * (low + high)).with_baseline("uniform").domain_std == curve.domain_std


def test_curves_travel_and_old_ones_load():
    """To JSON and back to the last bit; a curve that was saved without the new entries has a named domain."""
    alphas = np.linspace(0, 1, 20)
    (curve,) = over_sample([CausalRegressor.fit(alphas, alphas**2)], Interval(0, 1, ORIGIN))
    data = json.loads(json.dumps(curve.to_dict()))
    assert regressor_from_dict(data) == curve and "of 50 rows" in repr(curve)
    for name in ("low_std", "high_std", "domain_rows"):
        del data[name]
    old = regressor_from_dict(data)
    assert old.domain_std == 0 and old.domain_rows is None and "rows" not in repr(old)
    assert {f.name for f in fields(curve)} > {"low_std", "high_std", "domain_rows"}


@pytest.mark.parametrize("law, via", [("uniform", "regress"), ("exponential", "regress"), ("normal", "direct")])
def test_two_samples_agree_within_their_errors(law, via):
    """Beyond 1.96 joint errors in about 5 % of pairs, at most 15 % of 40 (s.e. 3.4 %); without: a third or more."""
    x = torch.tensor([0.3, 0.0], dtype=torch.float64)
    means, errors = [], []
    for seed in range(80):
        ace = AverageCausalEffect(product, InputDistribution.fit(table(law, 200, seed)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if via == "regress":
                mean, std = ace.regress([0], num=12)[0, 0].ace(0.3, return_std=True)
            else:
                found = ace.attribute(x, via=via, features=[0])
                mean, std = found.values[0], found.stderr[0]
        means.append(float(mean))
        errors.append(float(std))
    m, s = np.array(means), np.array(errors)
    assert (np.abs(m[::2] - m[1::2]) > 1.96 * np.hypot(s[::2], s[1::2])).mean() <= 0.15
    assert m.std() <= 1.25 * s.mean()


def test_direct_evaluation_and_curves_have_the_same_errors():
    """On the same rows; to 1 % of the error."""
    inputs = InputDistribution.fit(table("exponential", 300, 3))
    ace = AverageCausalEffect(product, inputs)
    x = inputs.samples[:5]
    with pytest.warns(ApproximationWarning, match="grows with the sample"):
        one, other = ace.attribute(x, via="direct"), ace.attribute(x)
    assert torch.allclose(one.stderr, other.stderr, rtol=1e-2)
    named = InputDistribution.fit(table("exponential", 300, 3), domain=tuple((d.low, d.high) for d in inputs.domain))
    certain = AverageCausalEffect(product, named).attribute(x, via="direct")
    assert torch.allclose(certain.values, one.values) and (certain.stderr < one.stderr)[:, 0].all()


def test_the_warning_names_the_features_whose_effects_grow_with_the_sample():
    """Not those with an end that shows, a named domain, or another baseline; once a call."""
    X = table("uniform", 500, 1, columns=3)
    inputs = InputDistribution.fit(X, ["ends", "normal", "other"], domain={"other": (-3, 3)})
    ace = AverageCausalEffect(lambda x: (x**2).sum(1, keepdim=True), inputs)
    calls = [lambda: ace.regress(num=20), lambda: ace.attribute(X[0]), lambda: ace.attribute(X[0], via="direct")]
    for call in calls:
        (sentence,) = warned(call)
        assert "'normal'" in sentence and "'ends'" not in sentence and "'other'" not in sentence
        assert "range of 500 rows" in sentence and "domain={'normal': (low, high)}" in sentence
    for baseline in ("data", 0.0):
        assert not warned(lambda baseline=baseline: ace.regress(num=20, baseline=baseline))
    assert "domain: range of 500 rows" in repr(ace.regress(["ends"], num=20))


def test_a_drift_that_is_small_beside_curve_and_error_is_no_matter():
    """The rule: beyond half a standard error, and visible on the curve or most of the error bar."""
    domain, span = Interval(0, 1, SampleRange(50, 0.0, 0.01, 0.0, 0.04)), np.array([1.0])
    ends = np.array([[0.0], [0.5]])
    assert drift(domain, ends, span, np.array([[0.03]])) == pytest.approx(0.02 / 0.03)
    assert drift(domain, ends, span, np.array([[0.05]])) == 0  # 0.4 standard errors
    small = replace(domain, origin=SampleRange(50, 0.0, 0.001, 0.0, 0.004))
    assert drift(small, ends, span, np.array([[0.003]])) == 0  # 0.2 % of the curve's range, an error of other origin
    assert drift(small, ends, span, np.array([[0.0005]])) == pytest.approx(4)  # hardly any other error
    assert drift(Interval(0, 1), ends, span, np.array([[0.0005]])) == 0
    assert end_error(0.0, 0.5, 1.0, 0.0, 0.001) == 0.0005


def test_dependent_rows_have_the_errors_of_their_groups():
    """Ten copies of each of 60 rows, given as groups, have as uncertain ends as the 60 rows."""
    rows = table("exponential", 60, 5)
    few, many = InputDistribution.fit(rows), InputDistribution.fit(rows.repeat(10, 1))
    labels = list(range(60)) * 10
    curves = [
        AverageCausalEffect(product, inputs, groups=groups).regress([0, 1], num=12)
        for inputs, groups in ((few, None), (many, labels), (many, None))
    ]
    for feature in (0, 1):
        errors = [found[feature, 0].domain_std for found in curves]
        assert errors[1] == pytest.approx(errors[0], rel=1e-6) and errors[2] < 0.6 * errors[0]
