"""The error of learning a causal model: against brute refits, a literal bootstrap, and the truth of many tables."""

import json
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from torch import nn

from acelib import ApproximationWarning
from acelib.intrinsic import (
    FlowModel,
    IntrinsicContributions,
    LinearModel,
    StructuralModel,
    intrinsic_contributions,
)
from acelib.intrinsic.fitted import MAX_ROWS
from acelib.intrinsic.flow import _draws
from acelib.intrinsic.sandwich import influence

F64 = torch.float64
CHAIN = {"X": [], "Y": ["X"], "Z": ["Y"]}
TRUE = LinearModel(CHAIN, {"Y": {"X": 2.0}, "Z": {"Y": 3.0}})
FULL = LinearModel({"a": [], "b": ["a"], "c": ["a", "b"]}, {"b": {"a": 1.0}, "c": {"a": 0.5, "b": -1.0}})
WORLDS = {"chain": (TRUE, "Z"), "full": (FULL, "c")}


def curved(x):
    """A network that no closed form knows, on three nodes."""
    return (x[:, 2:] / 3).tanh() + 0.2 * x[:, :1] * x[:, 1:2]


@pytest.mark.parametrize("world", WORLDS)
def test_intervals_of_a_fitted_linear_model_cover(world):
    """Every node's 95 % interval over 200 tables of 100 rows, binomial error 0.018; 2000 tables gave 0.91 to 0.96."""
    true, target = WORLDS[world]
    truth, inside, of_shares = true.contributions(target), 0.0, 0.0
    for seed in range(200):
        fitted = LinearModel.fit(true.sample(100, seed=seed), true.graph)
        r = intrinsic_contributions(fitted, None, target=target)
        low, high = r.interval()
        inside = inside + ((low <= truth) & (truth <= high)).double() / 200
        low, high = r.interval(shares=True)
        of_shares = of_shares + ((low <= truth / truth.sum()) & (truth / truth.sum() <= high)).double() / 200
    for found in (inside, of_shares):
        assert found.min() > 0.86 and 0.9 < found.mean() < 0.985


def literal(rows, graph, weights):
    """Contributions from regressions of numpy, written out again."""
    nodes, n = list(graph), len(rows)
    matrix, variances = np.zeros((len(nodes),) * 2), np.zeros(len(nodes))
    for j, node in enumerate(nodes):
        columns = [nodes.index(p) for p in graph[node]]
        design = np.column_stack([np.ones(n), rows[:, columns]])
        solution, *_ = np.linalg.lstsq(design, rows[:, j], rcond=None)
        matrix[j, columns], variances[j] = solution[1:], np.mean((rows[:, j] - design @ solution) ** 2)
    w = weights @ np.linalg.inv(np.eye(len(nodes)) - matrix)
    return w**2 * variances


@pytest.mark.parametrize("law", ["normal", "skewed", "heteroscedastic"])
@pytest.mark.parametrize("world", WORLDS)
def test_influences_are_those_of_leaving_rows_out(world, law):
    """Leaving a row out moves a contribution by minus its influence over n, to 8 % of the largest at n = 400."""
    rng = np.random.default_rng(0)
    true = WORLDS[world][0]
    e = rng.normal(size=(400, 3)) if law != "skewed" else rng.exponential(size=(400, 3)) - 1
    rows = true.push(torch.from_numpy(e)).numpy()
    if law == "heteroscedastic":
        rows[:, 2] += rows[:, 0] * rng.normal(size=400)
    graph = {n: list(p) for n, p in true.graph.parents.items()}
    weights = np.array([0.5, 0.0, 1.0])
    each = influence(LinearModel.fit(rows, graph), torch.from_numpy(weights)).numpy()
    whole = literal(rows, graph, weights)
    out = np.stack([whole - literal(np.delete(rows, i, 0), graph, weights) for i in range(400)]) * 399
    assert abs(each - out).max() < 0.08 * abs(out).max()
    r = intrinsic_contributions(LinearModel.fit(rows, graph), nn_linear(weights))
    jackknife = np.sqrt(((out - out.mean(0)) ** 2).sum(0) / (399 * 400))
    assert np.allclose(r.stderr, jackknife, rtol=0.05, atol=0.01 * jackknife.max()) and torch.equal(
        r.stderr, r.fit_stderr
    )


def test_a_row_moves_a_variance_by_more_than_its_share():
    """Of one node the influence is (e² − s²) / (1 − 1/n), a quarter more than without leverage for five rows."""
    x = torch.tensor([0.0, 1.0, 2.0, 3.0, 10.0], dtype=F64)
    e = x - x.mean()
    each = influence(LinearModel.fit(x[:, None], {"a": []}), torch.ones(1))
    assert torch.allclose(each[:, 0], 1.25 * (e.square() - e.square().mean()), rtol=1e-12)


def test_refits_are_those_of_their_seed():
    """None is 0; the same seed gives the same coefficients to rounding, another one others."""
    rows = TRUE.sample(50, seed=1)
    one, same, other = (
        torch.stack([m.matrix for m in LinearModel.bootstrap(rows, CHAIN, repeats=2, seed=seed)])
        for seed in (0, None, 3)
    )
    assert torch.allclose(one, same, atol=1e-12) and (one - other).abs().amax((1, 2)).min() > 1e-3


def nn_linear(weights):
    """A linear layer with these weights."""
    net = nn.Linear(len(weights), 1).double()
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(weights)[None])
    return net


@pytest.mark.parametrize(
    ("context", "measure", "noise"),
    [("shapley", "variance", "normal"), ("total", "variance", "empirical"), ("first", "entropy", "normal")],
)
def test_the_error_of_a_sampled_target_is_that_of_refits(context, measure, noise):
    """Against 30 literal refits: within 60 %, 3.5 errors of two deviations from 32 and 30 numbers."""
    rows = TRUE.sample(300, seed=4)
    model = curved if measure == "variance" else lambda x: torch.cat([x[:, 2:], -x[:, 2:]], 1) / 3
    options = dict(context=context, measure=measure, categorical="softmax" if measure == "entropy" else None)
    fitted = LinearModel.fit(rows, CHAIN, noise=noise)
    r = intrinsic_contributions(fitted, model, method="sampling", **options)
    rng, found = np.random.default_rng(0), []
    for _ in range(30):
        again = LinearModel.fit(rows[rng.integers(0, 300, 300)], CHAIN, noise=noise)
        found.append(intrinsic_contributions(again, model, fit_error=False, num_samples=2**11, **options).contributions)
    spread = torch.stack(found).std(0)
    large = spread > 0.2 * spread.max()
    assert ((r.fit_stderr / spread).log().abs()[large] < math.log(1.6)).all()
    assert (r.fit_stderr < 2 * spread.max()).all() and r.num_rows > 2**14 and (r.degrees > 15).all()
    alone = intrinsic_contributions(fitted, model, method="sampling", fit_error=False, **options)
    assert torch.equal(alone.contributions, r.contributions) and alone.fit_stderr is None
    assert torch.allclose(torch.hypot(alone.stderr, r.fit_stderr), r.stderr)


def test_a_list_of_fits_is_averaged_and_its_spread_is_the_error():
    """By hand from the single answers: mean, s √(1 + 1/B), Student's t with B − 1 degrees, and shares."""
    models = LinearModel.bootstrap(TRUE.sample(200, seed=1), CHAIN, repeats=6)
    r = intrinsic_contributions(models, None, target="Z")
    each = torch.stack([m.contributions("Z") for m in models])
    assert torch.allclose(r.fits, each) and torch.allclose(r.contributions, each.mean(0))
    assert torch.allclose(r.stderr, each.std(0) * math.sqrt(7 / 6))
    assert r.degrees.tolist() == [5.0, 5.0, 5.0]
    low, high = r.interval()
    assert torch.allclose(high - low, 2 * student.ppf(0.975, 5) * r.stderr)
    share = each.mean(0) / each.mean(0).sum()
    moved = (each - share * each.sum(1, keepdim=True)) / each.mean(0).sum()
    assert torch.allclose(r.shares, share) and torch.allclose(r.shares_stderr, moved.std(0) * math.sqrt(7 / 6))
    assert abs(r.uncertainty_stderr - float(each.sum(1).std()) * math.sqrt(7 / 6)) < 1e-9 and "6 fits" in repr(r)
    sampled = intrinsic_contributions(models, None, target="Z", method="sampling", num_samples=2**13)
    assert torch.allclose(sampled.contributions, r.contributions, rtol=0.02)
    assert torch.allclose(sampled.fit_stderr, r.stderr, rtol=0.1) and (sampled.stderr > sampled.fit_stderr).all()
    assert sampled.closed_stderr[("X",)] > 0.8 * float(r.shares_stderr[0])


def test_more_refits_do_not_shrink_the_error():
    """The table is one: 10, 40 and 160 refits tell of the same error, that of the sandwich, within 50, 25 and 15 %."""
    rows = TRUE.sample(300, seed=2)
    known = intrinsic_contributions(LinearModel.fit(rows, CHAIN), None, target="Z").stderr
    for repeats, within in ((10, 0.5), (40, 0.3), (160, 0.18)):
        r = intrinsic_contributions(LinearModel.bootstrap(rows, CHAIN, repeats=repeats), None, target="Z")
        assert ((r.stderr / known).log().abs() < within).all()


def test_lists_of_networks_and_fits_together():
    models = LinearModel.bootstrap(TRUE.sample(200, seed=1), CHAIN, repeats=4)
    nets = [curved, lambda x: 2 * curved(x)]
    r = intrinsic_contributions(models, nets, num_samples=512)
    assert r.models.shape == (2, 3) and r.fits.shape == (4, 3)
    assert torch.allclose(r.models[1], 4 * r.models[0]) and torch.allclose(r.contributions, 2.25 * r.models[0])
    assert torch.allclose(r.fits.mean(0), r.contributions)


def test_what_was_written_down_has_no_error_of_learning():
    structural = StructuralModel(CHAIN, {"Y": lambda X, n: 2 * X + n, "Z": lambda Y, n: 3 * Y + n})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for scm in (TRUE, structural, [TRUE, TRUE], [structural]):
            r = intrinsic_contributions(scm, None, target="Z", num_samples=64)
            assert r.fit_stderr is None or r.fit_stderr.max() == 0
            assert r.data_uncertainty is None and "data" not in repr(r)


@pytest.mark.parametrize("epochs", [None, 1])
def test_a_single_flow_says_what_its_error_bar_leaves_out(epochs):
    """Once a call; a list of flows to the same rows says the other thing; refits and fit_error=False say nothing."""
    pytest.importorskip("zuko")
    rows = TRUE.sample(120, seed=0)
    options = dict(hidden=(4,), bins=3) | (dict(steps=2) if epochs is None else dict(epochs=epochs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flows = [FlowModel.fit(rows, CHAIN, seed=s, **options) for s in (0, 1)]
        refits = FlowModel.bootstrap(rows, CHAIN, repeats=3, **options)
        again = FlowModel.bootstrap(rows, CHAIN, repeats=3, seed=None, **options)

    def said(scm, **more):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            r = intrinsic_contributions(scm, None, target="Z", num_samples=64, **more)
        of_learning = [w for w in seen if "error bar" in str(w.message)]
        assert all(w.category is ApproximationWarning and w.filename == __file__ for w in of_learning)
        return r, [str(w.message) for w in of_learning]

    for scm in (flows[0], flows[:1], pickle.loads(pickle.dumps(flows[0]))):
        (message,) = said(scm)[1]
        assert "sampling of one FlowModel alone" in message and "FlowModel.bootstrap(X, graph)" in message
    (message,) = said(flows)[1]
    assert "2 causal models learned from the same 120 rows" in message
    r, none = said(refits)
    assert not none and not said(flows[0], fit_error=False)[1] and r.fits.shape == (3, 3)
    assert (r.stderr >= r.fit_stderr).all() and (r.fit_stderr > 0).all()
    assert [f.history for f in refits] == [f.history for f in again] and len({f.history for f in refits}) == 3
    assert refits[0].fitted is refits[1].fitted or refits[0].fitted.rows is refits[1].fitted.rows


@pytest.mark.parametrize(("kept", "n"), [(100, 100), (400, 500), (80, 100), (4000, 5000)])
def test_the_weights_of_resampled_rows_vary_as_in_a_bootstrap(kept, n):
    """Held-out rows count as 0: the variance of a weight over its squared mean is 1, to 5 errors of 400 draws."""
    generator, moments = torch.Generator().manual_seed(0), []
    for _ in range(400):
        kept_rows = torch.randperm(n, generator=generator)[:kept]
        weights = kept_rows[_draws(kept, n, generator)].bincount(minlength=n).double()
        moments.append(float(weights.var(correction=0) / weights.mean() ** 2))
    assert abs(np.mean(moments) - 1) < 5 * np.std(moments) / 20 + 2 / n


def test_long_tables_are_kept_in_part_and_their_error_is_that_of_all():
    """40 000 rows: 2^14 are kept, and both errors are those of 40 000, within 10 and 45 %."""
    rows = TRUE.sample(40_000, seed=0)
    fitted = LinearModel.fit(rows, CHAIN)
    assert len(fitted.fitted.rows) == MAX_ROWS and fitted.fitted.count == 40_000
    r = intrinsic_contributions(fitted, None, target="Z")
    assert abs(float(r.stderr[2]) / math.sqrt(2 / 40_000) - 1) < 0.1
    sampled = intrinsic_contributions(fitted, None, target="Z", method="sampling", context="topological")
    assert abs(math.log(float(sampled.fit_stderr[2] / r.stderr[2]))) < math.log(1.45)


def test_a_row_that_alone_decides_has_no_finite_error():
    """A parent that differs in one row: its coefficient is that row's noise."""
    x, e = torch.zeros(50, dtype=F64), TRUE.sample(50, seed=0)[:, 0]
    x[0] = 1.0
    model = LinearModel.fit(torch.stack([x, x + e], 1), {"x": [], "y": ["x"]})
    assert intrinsic_contributions(model, None, target="y").stderr[0] == torch.inf
    rare = torch.cat([torch.eye(50, 3, dtype=F64), e[:, None]], 1)  # a quarter of the resamples has all three
    graph = {"a": [], "b": [], "c": [], "y": ["a", "b", "c"]}
    with pytest.raises(ValueError, match="X must have a regression in most resamples of its rows, got"):
        LinearModel.bootstrap(rare, graph, repeats=50)
    with pytest.warns(ApproximationWarning, match="the error bar leaves out the error of learning: X must have"):
        intrinsic_contributions(LinearModel.fit(rare, graph), lambda x: x[:, 3:].exp(), num_samples=64)


def test_lists_that_are_none():
    other = LinearModel({"X": [], "Y": [], "Z": ["Y"]}, {"Z": {"Y": 3.0}})
    with pytest.raises(ValueError, match="scm must be, as a list, fits of one graph"):
        intrinsic_contributions([TRUE, other], None, target="Z")
    for wrong in ([], [TRUE, 3], {"a": TRUE}):
        with pytest.raises(TypeError, match="scm must be a causal model of the inputs .*, or a list of fits"):
            intrinsic_contributions(wrong, None, target="Z")
    for make in (LinearModel.bootstrap, FlowModel.bootstrap):
        with pytest.raises(ValueError, match="repeats must be at least 2"):
            make(TRUE.sample(200), CHAIN, repeats=1)
    with pytest.raises(ValueError, match="refits must be of a model that was fitted"):
        TRUE.refits(3)


def test_results_with_new_numbers_travel_and_old_files_load(tmp_path):
    fitted = LinearModel.fit(TRUE.sample(200, seed=1), CHAIN)
    for r in (
        intrinsic_contributions(fitted, None, target="Z"),
        intrinsic_contributions([fitted, *fitted.refits(3)], curved, num_samples=64),
        intrinsic_contributions(TRUE, None, target="Z"),
    ):
        path = r.save(tmp_path / "r.json")
        assert pickle.loads(pickle.dumps(r)) == r == IntrinsicContributions.load(path) and len(pickle.dumps(r)) < 20_000
    content = json.loads(path.read_text())
    for name in "fit_stderr degrees shares_degrees fits data_uncertainty data_uncertainty_stderr".split():
        del content[name]
    path.write_text(json.dumps(content))
    assert IntrinsicContributions.load(path) == r
