"""Inputs that cause each other: rows under do() against literal loops, closed forms and quadrature."""

import math
import pickle
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr, t
from torch import nn

from acelib import (
    ApproximationWarning,
    AverageCausalEffect,
    CausalGraphInputs,
    interventional_expectation,
    regional_effects,
)
from acelib.intrinsic import CausalModel, FiniteNoise, FlowModel, LinearModel, StructuralModel
from acelib.mediation import total_and_direct

F64 = torch.float64
GRAPH = {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["c"], "e": ["b"]}
LINES = {"b": {"a": 1.5}, "c": {"a": -1.0, "b": 0.5}, "d": {"c": 2.0}, "e": {"b": -0.7}}
LINEAR = LinearModel(GRAPH, LINES, intercepts={"d": 0.3}, scales={"c": 0.5})
CURVES = {
    "b": lambda a, n: torch.sin(2 * a) + 0.5 * n,
    "c": lambda a, b, n: 0.5 * a * b + (0.3 + a.square()).sqrt() * n,
    "d": lambda c, n: torch.tanh(c) + 0.4 * n,
    "e": lambda b, n: 0.3 * b.square() - 0.6 * n,
}
CURVED = StructuralModel(GRAPH, CURVES)
WEIGHTS = torch.tensor([[1.0, 2.0, -1.0, 0.5, 1.0]], dtype=F64)
ALPHAS = torch.linspace(-1, 1, 5, dtype=F64)


def weighted(x):
    return x @ WEIGHTS.T


def bent(x):
    """A network whose outputs bend and in which inputs interact."""
    return torch.stack([torch.tanh(x @ WEIGHTS[0] / 10), x[:, 1] * x[:, 2] + x[:, 4]], 1)


class Given(CausalModel):
    """The curved system known by its noises alone, as a flow is."""

    def push(self, noise):
        return CURVED.push(noise)

    def abduct(self, X):
        return CURVED.abduct(X)


def literal(rows, noise, sets):
    """Rows under do(), one number at a time, by the equations of the curved system."""
    found = []
    for (a, b, c, d, e), n in zip(rows.tolist(), noise.tolist(), strict=True):
        now = {"a": a, "b": b, "c": c, "d": d, "e": e}
        moved = set(sets)
        now |= sets
        for node, make in (
            ("b", lambda v, n=n: math.sin(2 * v["a"]) + 0.5 * n[1]),
            ("c", lambda v, n=n: 0.5 * v["a"] * v["b"] + math.sqrt(0.3 + v["a"] ** 2) * n[2]),
            ("d", lambda v, n=n: math.tanh(v["c"]) + 0.4 * n[3]),
            ("e", lambda v, n=n: 0.3 * v["b"] ** 2 - 0.6 * n[4]),
        ):
            if node not in sets and moved & set(GRAPH[node]):
                now[node] = make(now)
                moved.add(node)
        found.append(list(now.values()))
    return torch.tensor(found, dtype=F64)


@pytest.mark.parametrize("sets", [{"a": 0.7}, {"b": -1.2}, {"c": 0.1}, {"c": 2.0, "a": 0.5}, {"d": 1.0, "b": 0.2}])
@pytest.mark.parametrize("model", [CURVED, Given(GRAPH)], ids=["mechanisms", "noises alone"])
def test_rows_under_an_intervention_are_those_of_a_literal_loop(model, sets):
    """Abduction finds the noises that drew the rows; then every descendant is computed again, number by number."""
    noise = torch.randn(20, 5, generator=torch.Generator().manual_seed(1), dtype=F64)
    rows = CURVED.push(noise)
    assert torch.allclose(model.abduct(rows), noise, atol=1e-12)
    columns = [model.graph.index(node) for node in sets]
    values = torch.tensor([list(sets.values())], dtype=F64).expand(20, -1)
    found = model.counterfactual(rows, columns, values)
    assert torch.allclose(found, literal(rows, noise, sets), atol=1e-12)
    still = [c for c in range(5) if c not in columns and c not in model.graph.descendants(columns)]
    assert torch.equal(found[:, still], rows[:, still])


def test_a_linear_model_moves_rows_as_its_mechanisms_do():
    """Against a StructuralModel with the same equations, one and several nodes set; also where a noise is 0."""
    X = LINEAR.sample(30, seed=2)
    lines = {
        "b": lambda a, n: 1.5 * a + n,
        "c": lambda a, b, n: -a + 0.5 * b + 0.5 * n,
        "d": lambda c, n: 0.3 + 2 * c + n,
        "e": lambda b, n: -0.7 * b + n,
    }
    same, values = StructuralModel(GRAPH, lines), torch.tensor([[0.4, -2.0]], dtype=F64).expand(30, -1)
    for columns in ([0, 3], [2, 1], [3, 0]):
        assert torch.allclose(
            LINEAR.counterfactual(X, columns, values), same.counterfactual(X, columns, values), atol=1e-12
        )
    exact = LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 2.0}}, scales={"b": 0.0})
    rows = torch.tensor([[1.0, 2.0]], dtype=F64)
    assert exact.counterfactual(rows, [0], torch.tensor([[3.0]], dtype=F64)).tolist() == [[3.0, 6.0]]


@pytest.mark.parametrize("node", list(GRAPH))
def test_effects_in_a_linear_system_are_its_path_sums(node):
    """Total effect: the weights times (I - A)^-1, direct effect: the weight itself, both from the mean of the rows."""
    X = LINEAR.sample(300, seed=3)
    inputs, column = CausalGraphInputs(LINEAR, X), LINEAR.graph.index(node)
    found = total_and_direct(weighted, inputs, node, ALPHAS)
    total, direct = (WEIGHTS @ LINEAR.mixing)[0, column], WEIGHTS[0, column]
    start, step = weighted(X).mean(), ALPHAS - X[:, column].mean()
    for e, slope, at in (
        (found.total, total, start),
        (found.direct, direct, start),
        (found.mediated, total - direct, 0),
    ):
        assert torch.allclose(e.values[:, 0], at + slope * step, atol=1e-12)


def quadrature(node):
    """Total and direct expectations of ``bent`` by Gauss and Hermite, 14 points for each of five noises."""
    points, weights = np.polynomial.hermite_e.hermegauss(14)
    noise = torch.tensor(list(product(points, repeat=5)))
    weight = torch.tensor(np.prod(np.array(list(product(weights, repeat=5))), axis=1))
    rows, found = CURVED.push(noise), []
    for alpha in ALPHAS.tolist():
        alone = rows.clone()
        alone[:, CURVED.graph.index(node)] = alpha
        following = noise.clone()
        values = {name: following[:, i] for i, name in enumerate(GRAPH)}
        for name, parents in GRAPH.items():
            if name == node:
                values[name] = torch.full_like(noise[:, 0], alpha)
            elif parents:
                values[name] = CURVES[name](*(values[p] for p in parents), values[name])
        following = torch.stack(list(values.values()), 1)
        found.append([(bent(x) * weight[:, None]).sum(0) / weight.sum() for x in (following, alone)])
    return [torch.stack([row[i] for row in found]) for i in range(2)]


@pytest.mark.parametrize("node", ["a", "b", "c"])
def test_effects_in_a_curved_system_are_those_of_quadrature(node):
    """Five inputs, two outputs; every curve within 3 standard errors at every value."""
    inputs = CausalGraphInputs(CURVED, CURVED.sample(4000, seed=4), domain=(-9.0, 9.0))
    found = total_and_direct(bent, inputs, node, ALPHAS)
    total, direct = quadrature(node)
    for e, truth in ((found.total, total), (found.direct, direct), (found.mediated, total - direct)):
        assert bool(((e.values - truth).abs() <= 3 * e.stderr + 1e-9).all())
    assert float((total - direct).abs().max()) > 0.03
    assert not found.mediated.support.isnan().any()


def test_the_difference_has_the_error_of_the_pairs():
    """Its standard error is that of the rows' own differences, computed by hand, and smaller than of two samples."""
    X = CURVED.sample(500, seed=5)
    found = total_and_direct(bent, CausalGraphInputs(CURVED, X), "a", ALPHAS)
    noise = CURVED.abduct(X)
    for place, alpha in enumerate(ALPHAS.tolist()):
        alone = X.clone()
        alone[:, 0] = alpha
        apart = bent(literal(X, noise, {"a": alpha})) - bent(alone)
        assert torch.allclose(found.mediated.values[place], apart.mean(0), atol=1e-12)
        assert torch.allclose(found.mediated.stderr[place], apart.std(0) / 500**0.5, atol=1e-12)


def test_learning_widens_the_band_by_the_error_of_the_coefficients():
    """y = b, b = 2 a + n: learning adds (alpha - mean)² Var(slope), the textbook variance; 32 refits know it to 1/4."""
    chain = LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 2.0}})
    X = chain.sample(150, seed=6)
    fit = LinearModel.fit(X, chain.graph)
    last = lambda x: x[:, 1:]  # noqa: E731
    given = interventional_expectation(last, CausalGraphInputs(chain, X), "a", [-2.0, 2.0])
    learned = interventional_expectation(last, CausalGraphInputs(fit, X), "a", [-2.0, 2.0])
    residual = X[:, 1] - X[:, 0] * fit.matrix[1, 0] - fit.intercepts[1]
    slope = residual.square().mean() / ((X[:, 0] - X[:, 0].mean()).square().sum())
    for place, alpha in enumerate((-2.0, 2.0)):
        added = learned.stderr[place, 0] ** 2 - given.stderr[place, 0] ** 2
        assert 0.5 < float(added / (slope * (alpha - X[:, 0].mean()) ** 2)) < 1.8
    assert 31 <= learned.freedom < 149 and learned.cost > given.cost
    again = interventional_expectation(last, CausalGraphInputs(fit, X), "a", [-2.0, 2.0])
    assert torch.allclose(again.stderr, learned.stderr, rtol=1e-12)  # the refits have a seed


def test_a_list_of_causal_models_is_averaged_and_its_spread_is_in_the_band():
    """The values are the mean of those under each model; the covariance that of the rows plus that over the models."""
    X = LINEAR.sample(60, seed=7)
    models = LinearModel.bootstrap(X, GRAPH, repeats=6)
    together = interventional_expectation(bent, CausalGraphInputs(models, X), "a", ALPHAS)
    alone = []
    for model in models:
        lines = {c: {p: float(model.matrix[i, list(GRAPH).index(p)]) for p in GRAPH[c]} for i, c in enumerate(GRAPH)}
        given = LinearModel(GRAPH, lines)
        alone.append(interventional_expectation(bent, CausalGraphInputs(given, X), "a", ALPHAS))
    curves = torch.stack([e.values for e in alone])
    assert torch.allclose(together.values, curves.mean(0), atol=1e-12)
    spread = torch.stack([torch.cov(curves[:, :, o].T) for o in range(2)])
    assert torch.allclose(together.covariances, alone[0].covariances + spread, atol=1e-12)


def test_a_world_with_pinned_nodes():
    """do({b}) cuts a from b; then a acts on y by c alone, and its direct effect keeps c as it is in that world."""
    X = CURVED.sample(80, seed=8)
    inputs = CausalGraphInputs(CURVED, X, domain=(-9.0, 9.0))
    world, noise = inputs.do({"b": 0.4}), CURVED.abduct(X)
    assert torch.allclose(world.samples, literal(X, noise, {"b": 0.4}), atol=1e-12) and "1 pinned" in repr(world)
    assert torch.allclose(world.mean, world.samples.mean(0))
    e = interventional_expectation(bent, world, "a", [0.3])
    assert torch.allclose(e.values[0], bent(literal(X, noise, {"a": 0.3, "b": 0.4})).mean(0), atol=1e-12)
    alone = literal(X, noise, {"b": 0.4})
    alone[:, 0] = 0.3
    direct = interventional_expectation(bent, world.direct, "a", [0.3])
    assert torch.equal(world.direct.observed, X) and world.direct.fixed == (1,)
    assert torch.allclose(direct.values[0], bent(alone).mean(0), atol=1e-12)
    assert torch.allclose(total_and_direct(bent, world, "a", [0.3]).mediated.values, e.values - direct.values)
    with pytest.raises(ValueError, match="pinned by an earlier do"):
        world.do("b", [1.0])


def test_a_region_of_the_rows_and_what_splits_the_effects():
    """``where`` takes rows with their noises; the direct effect x0·x1 is found to depend on x1, whoever causes whom."""
    X = CURVED.sample(300, seed=15)
    inputs = CausalGraphInputs(CURVED, X, domain=(-9.0, 9.0))
    some = inputs.where({"b": (0.0, None)})
    kept, noise = X[:, 1] >= 0, CURVED.abduct(X)
    assert torch.equal(some.samples, X[kept]) and torch.equal(some.direct.samples, X[kept])
    e = interventional_expectation(bent, some, "a", [0.3])
    assert torch.allclose(e.values[0], bent(literal(X[kept], noise[kept], {"a": 0.3})).mean(0), atol=1e-12)
    assert torch.equal(interventional_expectation(bent, inputs, "a", [0.3], where={"b": (0.0, None)}).values, e.values)
    found = regional_effects(lambda x: (x[:, 2] * x[:, 4])[:, None], inputs, "c", permutations=99, seed=0)
    assert found.by == "e" and found.found()


def test_a_node_without_noise_needs_none():
    """y = 2 x exactly: abduction gives its noise the only value it has, and y follows x."""
    still = StructuralModel({"x": [], "y": ["x"]}, {"y": lambda x, n: 2 * x + n}, {"y": FiniteNoise([0.0])})
    inputs = CausalGraphInputs(still, still.sample(20))
    e = interventional_expectation(lambda x: x[:, 1:], inputs, "x", [1.0, 2.0])
    assert e.values[:, 0].tolist() == [2.0, 4.0]


def test_rows_can_be_drawn_from_a_model_whose_rows_do_not_tell_their_noise():
    """b = a + n² has the same row for n and -n, so that abduction refuses; drawn rows know their noises."""
    model = StructuralModel({"a": [], "b": ["a"]}, {"b": lambda a, n: a + n**2})
    X = model.sample(50, seed=9)
    with pytest.raises(ValueError, match="mechanism of 'b' must be a\\(parents\\)"):
        CausalGraphInputs(model, X)
    inputs = CausalGraphInputs(model, num_rows=50, seed=9)
    assert torch.equal(inputs.samples, X)
    e = interventional_expectation(lambda x: x[:, 1:], inputs, "a", [0.0, 1.0])
    assert torch.allclose(e.values[:, 0], (X[:, 1] - X[:, 0]).mean() + torch.tensor([0.0, 1.0], dtype=F64))


def test_a_learned_flow_moves_what_descends_and_nothing_else():
    """With its own value a row stays itself; ancestors never move. A single flow says what its bars leave out."""
    X = CURVED.sample(300, seed=10)[:, :3]
    graph = {"a": [], "b": ["a"], "c": ["a", "b"]}
    flow = FlowModel.fit(X, graph, steps=50, hidden=(8,))
    with pytest.warns(ApproximationWarning, match="leave out the error of learning of a single FlowModel"):
        inputs = CausalGraphInputs(flow, X)
    assert torch.allclose(flow.counterfactual(X, [0], X[:, :1]), X, atol=1e-5)
    moved = flow.counterfactual(X, [1], X[:, 1:2] + 0.1)
    assert torch.equal(moved[:, 0], X[:, 0]) and float((moved[:, 2] - X[:, 2]).abs().max()) > 1e-3
    assert interventional_expectation(lambda x: x[:, 2:], inputs, "b", [0.0, 0.1]).stderr.shape == (2, 1)


def test_dependent_noises_are_told_and_independent_ones_hardly_ever():
    """A missing edge or common cause leaves noises dependent: named at once. 60 tables of a right graph: no warning."""
    X = LINEAR.sample(300, seed=11)
    missing = {**GRAPH, "c": ["a"]}
    with pytest.warns(ApproximationWarning, match="noises behind 'b' and 'c' depend on each other"):
        CausalGraphInputs(LinearModel.fit(X, missing), X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ApproximationWarning)
        for seed in range(60):
            X = LINEAR.sample(100, seed=seed)
            CausalGraphInputs(LINEAR, X, domain=(-20.0, 20.0))


def test_networks_in_float32_lists_of_them_curves_and_attributions():
    """The input model is converted as any other; regress, attribute, pickles, frames and pictures work."""
    X = CURVED.sample(120, seed=12)
    inputs = CausalGraphInputs(CURVED, X, domain=(-4.0, 4.0))
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).eval() for _ in range(3)]
    e = interventional_expectation(nets, inputs, "a", ALPHAS)
    want = torch.stack([interventional_expectation(n, inputs, "a", ALPHAS).values for n in nets]).mean(0)
    assert torch.allclose(e.values, want, atol=1e-6) and e.models.shape == (3, 5, 2)
    found = total_and_direct(nets, inputs, "a", ALPHAS)
    assert torch.allclose(found.mediated.values, found.total.values - found.direct.values, atol=1e-5)
    assert pickle.loads(pickle.dumps(found)) == found and len(found.to_frame()) == 3 * 5 * 2
    assert repr(found).startswith("TotalAndDirect(do(a), 5 values") and found.feature == "a"
    assert [t.get_text() for t in found.plot().texts] == ["total", "direct", "mediated"]
    ace = AverageCausalEffect(nets[0], inputs)
    curves = ace.regress(["a", "b"], num=8)
    assert curves["a", 0].ace(0.5) == pytest.approx(curves["a", 0].ace(np.array([0.5]))[0])
    assert ace.attribute(X[:3].float(), 0).values.shape == (3, 5)


def test_taylor_and_cubature_have_the_moments_of_the_rows():
    """An expansion of a quadratic is exact for the rows' moments: the same as the average."""
    inputs = CausalGraphInputs(CURVED, CURVED.sample(300, seed=13), domain=(-9.0, 9.0))
    square = lambda x: (x[:, 1] * x[:, 2] + x[:, 3])[:, None]  # noqa: E731
    rows = interventional_expectation(square, inputs, "a", [0.0, 1.0])
    for method in ("taylor", "cubature"):
        e = interventional_expectation(square, inputs, "a", [0.0, 1.0], method=method)
        assert torch.allclose(e.values, rows.values, atol=1e-8)


@pytest.mark.parametrize(
    ("error", "match", "build"),
    [
        (TypeError, "causal model such as LinearModel", lambda X: CausalGraphInputs(weighted, X)),
        (TypeError, "or a list of them, got str", lambda X: CausalGraphInputs([LINEAR, "x"], X)),
        (ValueError, "same nodes in the same order", lambda X: CausalGraphInputs([LINEAR, Blind({"a": []})], X)),
        (ValueError, "X must be a table of rows", lambda X: CausalGraphInputs(LINEAR)),
        (ValueError, "X must be a table of rows", lambda X: CausalGraphInputs(LINEAR, X, num_rows=9)),
        (ValueError, "num_rows must be", lambda X: CausalGraphInputs(LINEAR, num_rows=1)),
        (ValueError, "one name per column", lambda X: CausalGraphInputs(LINEAR, X[:, :4])),
        (ValueError, "model must tell the noises", lambda X: CausalGraphInputs(Blind(GRAPH), X)),
        (TypeError, "know how inputs cause each other", lambda X: total_and_direct(weighted, direct(X), "a", [0.0])),
    ],
)
def test_wrong_arguments_get_one_sentence(error, match, build):
    with pytest.raises(error, match=match):
        build(LINEAR.sample(20, seed=0))


class Blind(CausalModel):
    """A model that can be sampled and no more."""

    def push(self, noise):
        return noise


def direct(X):
    return CausalGraphInputs(LINEAR, X).direct


def test_what_the_band_of_the_difference_and_the_skewness_hold_of_learning():
    """y = b: nothing is direct, so the mediated curve is the total one, with the error of learning as well.

    A symmetric error beside a skewed one of variance v and third moment s v^1.5 leaves the skewness s (v / total)^1.5.
    """
    chain = LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 2.0}}, noise={"b": torch.distributions.Gumbel(0.0, 3.0)})
    X = chain.sample(40, seed=6)
    fit = LinearModel.fit(X, chain.graph)
    known = LinearModel(chain.graph, {"b": {"a": float(fit.matrix[1, 0])}})
    model = lambda x: x[:, 1:].exp()  # noqa: E731
    given = interventional_expectation(model, CausalGraphInputs(known, X), "a", [-2.0, 2.0])
    found = total_and_direct(model, CausalGraphInputs(fit, X), "a", [-2.0, 2.0])
    learned = found.total.stderr**2 - given.stderr**2
    pairs = total_and_direct(model, CausalGraphInputs(known, X), "a", [-2.0, 2.0]).mediated
    assert bool((learned > 0).all())
    assert torch.allclose(found.mediated.stderr**2 - pairs.stderr**2, learned, rtol=1e-6)
    shrunk = given.skewness * (given.stderr / found.total.stderr) ** 3
    assert torch.allclose(found.total.skewness, shrunk, rtol=1e-9)


def test_a_list_is_averaged_over_all_rows_however_many():
    """Beyond the 500 rows on which refits are compared, against each model alone."""
    X = LINEAR.sample(700, seed=14)
    models = [LinearModel(GRAPH, LINES), LinearModel(GRAPH, {**LINES, "b": {"a": 1.0}})]
    together = interventional_expectation(bent, CausalGraphInputs(models, X), "a", ALPHAS)
    alone = [interventional_expectation(bent, CausalGraphInputs(m, X), "a", ALPHAS).values for m in models]
    assert torch.allclose(together.values, sum(alone) / 2, atol=1e-12)


def test_pairs_share_the_chance_of_a_warning():
    """Independent columns whose closest pair has p = 5e-4 alone, but 5e-3 among ten pairs, are no reason to warn."""
    apart = LinearModel({name: [] for name in GRAPH}, {})
    for seed in range(1000):
        X = apart.sample(60, seed=seed)
        found = np.abs(np.triu(spearmanr(X.numpy()).statistic, 1)).max()
        if 2e-4 < 2 * t.sf(found * math.sqrt(58 / (1 - found**2)), 58) < 9e-4:
            break
    with warnings.catch_warnings():
        warnings.simplefilter("error", ApproximationWarning)
        CausalGraphInputs(apart, X, domain=(-9.0, 9.0))
