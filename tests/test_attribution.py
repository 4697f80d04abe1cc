"""Regress and attribute: closed forms (linear, product), direct against regressors, tables, refinement, errors."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import correlated, cube, network, product
from scipy.integrate import quad
from sequence_networks import draw
from sequence_networks import network as sequence_network

from acelib import (
    ApproximationWarning,
    AverageCausalEffect,
    CausalRegressors,
    ConstantFeatureWarning,
    ExtrapolationWarning,
    FeedbackSequences,
    InputDistribution,
    LatentPrior,
    interventional_expectation,
)
from acelib.inputs.domain import FiniteSet, Interval
from acelib.regressors import CausalTable
from acelib.regressors.values import quadrature, refined, rounds


@pytest.fixture
def inputs():
    return cube()


def test_product_and_sum_have_their_closed_form_effects(inputs):
    """f0 = ab: ACE_a = (a - 1/2) mean(b); f1 = a + 3c: ACE_c = 3 (c - 1/2) and b has none (1e-6)."""
    curves = AverageCausalEffect(product, inputs, target_names=["ab", "sum"]).regress(num=30)
    grid = torch.linspace(0, 1, 11, dtype=torch.float64)
    mean = inputs.mean
    for feature, target, slope in [("a", "ab", mean[1]), ("b", "ab", mean[0]), ("c", "sum", 3.0), ("b", "sum", 0.0)]:
        assert torch.allclose(curves[feature, target].ace(grid), slope * (grid - 0.5), atol=1e-6)
    assert curves["a", "ab"].order == 1 and curves["b", "sum"].order == 0
    assert curves["a", "ab"].baseline == pytest.approx(float(mean[1]) / 2, rel=1e-9)
    n, b = 300, inputs.samples[:, 1]
    mean_, std = curves["a", "ab"].ace(torch.tensor([1.0]), return_std=True)
    assert std.item() == pytest.approx(0.5 * b.std().item() / n**0.5, rel=1e-3)


@pytest.mark.parametrize("via", ["regressors", "direct"])
def test_saliency_of_the_product(inputs, via):
    """Saliency of x is (x_a - 1/2) mean(b) on f = ab, with the error of mean(b), batch or single."""
    ace = AverageCausalEffect(product, inputs)
    X = inputs.samples[:4]
    a = ace.attribute(X, 0, via)
    exact = torch.stack([(X[:, 0] - 0.5) * inputs.mean[1], (X[:, 1] - 0.5) * inputs.mean[0], torch.zeros(4)], dim=1)
    assert a.shape == X.shape and torch.allclose(a.values, exact, atol=1e-6)
    expected = (X[:, 0] - 0.5).abs() * inputs.samples[:, 1].std() / 300**0.5
    assert torch.allclose(a.stderr[:, 0], expected, atol=1e-6)
    one = ace.attribute(X[2], "0", via)
    assert torch.allclose(one.values, a.values[2], atol=1e-12) and one.shape == (3,)
    assert np.asarray(one).shape == (3,) and np.asarray(one, dtype=np.float32).dtype == np.float32
    assert f"via {via}" in repr(one)


def test_direct_equals_expectation_minus_its_integral(inputs):
    """ACE by scipy.integrate.quad of literal expectations (1e-9), on a smooth network."""
    net = network(3)
    X = inputs.samples

    def expectation(alpha):
        rows = X.clone()
        rows[:, 1] = alpha
        return net(rows)[:, 2].mean().item()

    baseline = quad(expectation, 0, 1, epsabs=1e-11)[0]
    a = AverageCausalEffect(net, inputs).attribute(X[0], 2, via="direct")
    assert a.values[1].item() == pytest.approx(expectation(X[0, 1].item()) - baseline, abs=1e-9)
    fitted = AverageCausalEffect(net, inputs).attribute(X[0], 2)
    assert torch.allclose(fitted.values, a.values, atol=1e-4)
    assert torch.allclose(fitted.stderr, a.stderr, rtol=0.05)


def test_quadrature_weights_integrate_polynomials_exactly():
    """Clenshaw-Curtis with 33 nodes: the mean of x^p over [-1, 3] in closed form, p = 0..32 (1e-12 relative)."""
    nodes, weights = quadrature(Interval(-1.0, 3.0))
    t = (nodes - 1) / 2
    for p in range(33):
        assert (weights * t**p).sum().item() == pytest.approx((1 + (-1) ** p) / 2 / (p + 1), abs=1e-13)
    nodes, weights = quadrature(FiniteSet((0.0, 1.0, 5.0)))
    assert (nodes * weights).sum().item() == pytest.approx(2.0)


def test_finite_domains_give_tables():
    X = torch.randint(0, 3, (200, 2), generator=torch.Generator().manual_seed(0)).double()
    inputs = InputDistribution.fit(X, domain={"x0": {0, 1, 2}})
    ace = AverageCausalEffect(lambda x: x[:, :1] ** 2 * x[:, 1:], inputs)
    curves = ace.regress()
    table = curves["x0"]
    assert table.family == "table" and table.alphas.tolist() == [0, 1, 2]
    m = inputs.mean[1].item()
    assert np.allclose(table.ace(np.array([0.0, 1.0, 2.0])), (np.array([0, 1, 4]) - 5 / 3) * m)
    assert ace.attribute(X[0], via="direct").values[0].item() == pytest.approx(((X[0, 0] ** 2 - 5 / 3) * m).item())
    assert curves.to_frame()["family"].tolist() == ["table", "polynomial"]


def test_constant_features_have_no_effect():
    X = torch.cat([correlated(50, 1), torch.ones(50, 1, dtype=torch.float64)], dim=1)
    with pytest.warns(ConstantFeatureWarning):
        inputs = InputDistribution.fit(X)
    ace = AverageCausalEffect(lambda x: x.sum(1, keepdim=True), inputs)
    assert ace.attribute(X[:3]).values[:, 1].abs().max() == 0
    assert ace.attribute(X[:3], via="direct").values[:, 1].abs().max() < 1e-12
    assert ace.regress(refine=4)["x1"].baseline == pytest.approx(X[:, 0].mean().item() + 1)


def test_only_constant_features():
    with pytest.warns(ConstantFeatureWarning):
        inputs = InputDistribution.fit(torch.ones(5, 2, dtype=torch.float64))
    assert AverageCausalEffect(product_of_ones, inputs).attribute(inputs.samples[0]).values.tolist() == [0, 0]


def product_of_ones(x):
    return x.prod(1, keepdim=True)


def test_refinement_puts_values_where_the_held_out_residual_is_largest(inputs):
    """A steep step at 0.3: refined values gather around it, their number is bounded, the fit improves."""

    def step(x):
        return torch.sigmoid(60 * (x[:, :1] - 0.3))

    ace = AverageCausalEffect(step, inputs)
    plain, finer = (ace.regress(["a"], num=21, refine=r, family="spline")["a"] for r in (0, 20))
    added = np.setdiff1d(finer.alphas, plain.alphas)
    assert len(added) == 20 and len(finer.alphas) == 41
    assert (np.abs(added - 0.3) < 0.15).mean() > 0.6
    assert finer.lack_of_fit < plain.lack_of_fit
    assert rounds(0) == [] and sum(rounds(7)) == 7 and len(rounds(100)) == 4


def test_of_equal_residuals_the_widest_gap_is_halved_first():
    values = torch.tensor([0.0, 1.0, 10.0, 12.0], dtype=torch.float64)
    fitted = [replace(CausalTable.fit(values, values), held_out=np.ones(4))]
    assert refined(values, fitted, 1).tolist() == [0, 1, 5.5, 10, 12]
    assert refined(values, fitted, 2).tolist() == [0, 1, 5.5, 10, 11, 12]


def test_a_step_that_polynomials_miss_is_reported(inputs):
    """Cached regressors that miss direct values by over 5 % of the range warn; direct evaluation does not."""
    ace = AverageCausalEffect(lambda x: (x[:, :1] > 0.5).double(), inputs)
    with pytest.warns(ApproximationWarning, match="regressor of 'a' misses a direct value"):
        ace.attribute(inputs.samples[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ace.attribute(inputs.samples[0])  # once is enough
        ace.attribute(inputs.samples[0], via="direct")


def test_a_miss_is_measured_by_the_range_of_its_own_curve(inputs):
    """A steep step of 1 in b beside a slope of 30 in a: missing half a step is nothing beside 30, much beside 1."""
    ace = AverageCausalEffect(lambda x: 30 * x[:, :1] + torch.sigmoid(300 * (x[:, 1:2] - 0.3)), inputs)
    with pytest.warns(ApproximationWarning, match="regressor of 'b' misses a direct value"):
        ace.attribute(torch.tensor([0.5, 0.31, 0.5], dtype=torch.float64))


@pytest.mark.filterwarnings("error")
def test_smooth_networks_pass_the_check_silently(inputs):
    AverageCausalEffect(network(3), inputs).attribute(inputs.samples[:2], 1)


def test_extrapolation_is_never_silent(inputs):
    for via in ("regressors", "direct"):
        with pytest.warns(ExtrapolationWarning):
            AverageCausalEffect(product, inputs).attribute([2.0, 0.5, 0.5], 0, via)


def test_regress_uses_the_same_rows_for_every_feature_and_keeps_its_budget():
    X = correlated(5000, 3)
    inputs = InputDistribution.fit(X, domain=(-3, 3))
    curves = AverageCausalEffect(network(3), inputs, budget=60_000).regress(num=20)
    assert {e.num_rows for e in curves.expectations.values()} == {1000}
    least = AverageCausalEffect(network(3), inputs, budget=1).regress(num=20)
    assert {e.num_rows for e in least.expectations.values()} == {100}
    rows = interventional_expectation(network(3), inputs, 1, curves.expectations["x1"].alphas, budget=20_000)
    assert torch.equal(rows.values, curves.expectations["x1"].values)


@pytest.mark.parametrize("family", ["polynomial", "spline"])
@pytest.mark.parametrize("grid", ["uniform", "chebyshev"])
def test_families_and_grids_agree_on_a_smooth_network(inputs, family, grid):
    net = network(3)
    values = torch.linspace(0, 1, 7, dtype=torch.float64)
    curve = AverageCausalEffect(net, inputs).regress(["b"], [1], num=40, family=family, grid=grid)["b"]
    exact = interventional_expectation(net, inputs, "b", values).values[:, 1]
    assert torch.allclose(curve.predict(values), exact, atol=2e-4)


def test_baselines(inputs):
    """Uniform, over the data, and at a point, on f = a: 1/2, the mean of a, the point."""
    ace = AverageCausalEffect(lambda x: x[:, :1], inputs)
    assert ace.regress(["a"])["a"].baseline == pytest.approx(0.5)
    data = ace.regress(["a"], baseline="data")
    assert data["a"].baseline == pytest.approx(inputs.mean[0].item())
    second = AverageCausalEffect(lambda x: x[:, 1:2], inputs).regress(["b"], baseline="data")  # over its own column
    assert second["b"].baseline == pytest.approx(inputs.mean[1].item())
    assert ace.regress(["a"], baseline=0.2)["a"].baseline == pytest.approx(0.2)
    assert data.with_baseline(0.3)["a"].baseline == pytest.approx(0.3)
    both = ace.regress().with_baseline({"a": 0.1})
    assert both["a"].baseline == pytest.approx(0.1) and both["b"].baseline == ace.regress()["b"].baseline


def test_moments_only_regress_with_approximations():
    fitted = InputDistribution.fit(correlated(50, 2))
    inputs = InputDistribution.from_moments(fitted.mean, fitted.factor, low=-1, high=1)
    ace = AverageCausalEffect(network(2), inputs, method="taylor")
    assert np.isfinite(ace.regress(num=20)["x0", 0].baseline)
    with pytest.raises(ValueError, match="it needs rows"):
        ace.regress(num=20, baseline="data")


def test_a_list_of_models(inputs):
    nets = [network(3, seed=s) for s in range(3)]
    curves = AverageCausalEffect(nets, inputs).regress(num=20)
    assert curves.expectations["a"].model_spread.shape == (20, 3)
    single = [AverageCausalEffect(n, inputs).regress(["a"], num=20)["a", 0].baseline for n in nets]
    assert curves["a", 0].baseline == pytest.approx(np.mean(single), abs=1e-6)


def test_progress_bars_go_to_stderr(inputs, capsys):
    AverageCausalEffect(product, inputs).attribute(inputs.samples[0], 0, progress=True)
    captured = capsys.readouterr()
    assert captured.out == "" and "regress" in captured.err


def test_saving_and_loading_is_exact(inputs, tmp_path):
    curves = AverageCausalEffect(product, inputs, target_names=["ab", "sum"]).regress(num=20)
    path = curves.save(tmp_path / "curves.json")
    again = CausalRegressors.load(path)
    assert list(again) == list(curves) and len(again) == 6 and not again.expectations
    grid = np.linspace(0, 1, 5)
    for key in curves:
        for now, then in zip(
            curves[key].ace(grid, return_std=True), again[key].ace(grid, return_std=True), strict=True
        ):
            assert np.array_equal(now, then)
    assert again[0, 1].baseline == curves["a", "sum"].baseline and "3 features x 2 targets" in repr(again)
    assert not list(tmp_path.glob("*.part"))
    path.write_text(json.dumps({"format": "other"}))
    with pytest.raises(ValueError, match="does not hold saved regressors"):
        CausalRegressors.load(path)
    with pytest.raises(ValueError, match="cannot be read"):
        CausalRegressors.load(tmp_path / "missing.json")


def test_indexing(inputs):
    curves = AverageCausalEffect(product, inputs, target_names=["ab", "sum"]).regress(["c", "a"], [1], num=20)
    assert curves["c"] is curves[2, "sum"] is curves["c", 1]
    for key, message in [
        (("b", "sum"), "feature must be one of .*got 'b'"),
        (("c", 0), "target must be one of .*got 0"),
    ]:
        with pytest.raises(KeyError, match=message):
            curves[key]
    with pytest.raises(KeyError, match="there are 2 targets, got 'a'"):
        AverageCausalEffect(product, inputs).regress("a", num=20)["a"]


def test_bad_calls_say_what_to_do(inputs):
    ace = AverageCausalEffect(product, inputs)
    assert "2 outputs" in repr(ace)
    for options, message in [
        (dict(family="tree"), "family must be one of"),
        (dict(num=1), "num must be at least 2"),
        (dict(refine=-1), "refine at least 0"),
        (dict(features=[("a", "b")]), "single inputs"),
        (dict(features=[]), "single inputs"),
        (dict(targets=["z"]), "target must be one of the 2 outputs"),
        (dict(targets=[2]), "target must be one of the 2 outputs"),
    ]:
        with pytest.raises(ValueError, match=message):
            ace.regress(**options)
    for x, target, via, message in [
        ([0.1, 0.2], 0, "regressors", r"x must have shape \(3\)"),
        ([0.1, 0.2, 0.3], None, "regressors", "target must name one of the 2 outputs"),
        ([0.1, 0.2, 0.3], 0, "magic", "via must be"),
        ([0.1, 0.2, float("nan")], 0, "direct", "NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            ace.attribute(x, target, via)
    with pytest.raises(ValueError, match="target_names must be 2 distinct"):
        AverageCausalEffect(product, inputs, target_names=["one"])
    with pytest.raises(ValueError, match="append .unsqueeze"):
        AverageCausalEffect(lambda x: x[:, 0], inputs)


@pytest.mark.parametrize("via", ["regressors", "direct"])
def test_attribution_of_some_features_equals_that_part_of_all(via):
    """With all rows in every average, asking for one feature changes nothing but what is left out: NaN."""
    X = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs = InputDistribution.fit(X, feature_names=["a", "b", "c"], domain=(0.0, 1.0))

    def model(x):
        return (x[:, :1] * x[:, 1:2]).tanh() + x[:, 2:] ** 2

    every = AverageCausalEffect(model, inputs).attribute(X[:4], via=via)
    some = AverageCausalEffect(model, inputs).attribute(X[:4], via=via, features=["c", 0])
    assert torch.equal(some.values[:, [0, 2]], every.values[:, [0, 2]])
    assert torch.equal(some.stderr[:, [0, 2]], every.stderr[:, [0, 2]])
    assert some.values[:, 1].isnan().all() and some.stderr[:, 1].isnan().all()
    with pytest.raises(ValueError, match="one of the 3 names, got 'd'"):
        AverageCausalEffect(model, inputs).attribute(X[:4], features=["d"])


@pytest.mark.parametrize("via", ["regressors", "direct"])
def test_attribution_of_steps_and_channels(via):
    """Pairs (step, channel) of sequences with feedback: those entries of the attribution of all, the others NaN; the
    direct effect is E[y | do] of a value minus its mean over the domain on a fine grid (1e-5)."""
    inputs = FeedbackSequences(sequence_network("gru", 2, 2), draw(30, 4, 2), target_step=2, domain=(-2.0, 2.0))
    ace, x = AverageCausalEffect(inputs.model, inputs), draw(2, 3, 2, seed=1).clamp(-2, 2)
    every = ace.attribute(x, 1, via)
    some = AverageCausalEffect(inputs.model, inputs).attribute(x, 1, via, features=[(1, "x0"), (-1, 1), "x1[0]"])
    wanted = torch.zeros(3, 2, dtype=torch.bool)
    wanted[1, 0] = wanted[2, 1] = wanted[0, 1] = True
    assert torch.equal(some.values[:, wanted], every.values[:, wanted]) and some.values[:, ~wanted].isnan().all()
    grid = torch.linspace(-2, 2, 401, dtype=torch.float64)
    y = interventional_expectation(inputs.model, inputs, (1, 0), torch.cat([x[:, 1, 0], grid])).values[:, 1]
    exact = y[:2] - torch.trapezoid(y[2:], grid) / 4
    assert torch.allclose(some.values[:, 1, 0], exact, atol=1e-5 if via == "direct" else 1e-3)
    assert AverageCausalEffect(inputs.model, inputs).regress([(1, 0)], [1], num=9).features == ("x0[1]",)


@pytest.mark.parametrize("via", ["regressors", "direct"])
def test_attribution_of_latents(via):
    """f = z0² + 2 c1 under equal classes: ACE of z0 is α² - 3; of c1 = 1 against 0 it is 2, so ±1 around their mean."""
    prior = LatentPrior(2, 2, dtype=torch.float64, draws=50)
    ace = AverageCausalEffect(lambda x: x[:, :1] ** 2 + 2 * x[:, 3:], prior)
    x = torch.tensor([[2.0, 0.0, 0.0, 1.0], [-1.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    found = ace.attribute(x, via=via, features=["z0", "c1"])
    exact = torch.tensor([[1.0, 1.0], [-2.0, -1.0]], dtype=torch.float64)
    assert torch.allclose(found.values[:, [0, 3]], exact, atol=1e-5) and found.values[:, 1:3].isnan().all()
    with pytest.raises(ValueError, match=r"list of single inputs, at least one, got \[\('z0', 'z1'\)\]"):
        ace.attribute(x, features=[("z0", "z1")])
