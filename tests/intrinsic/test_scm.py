"""Graphs, noises, structural and linear models: closed forms, and a clear error for each way to state them wrongly."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import expon, multivariate_normal, norm
from torch.distributions import Laplace

from acelib.intrinsic import (
    CausalGraph,
    CausalModel,
    EmpiricalNoise,
    FiniteNoise,
    LinearModel,
    StructuralModel,
    intrinsic_contributions,
)
from acelib.intrinsic.noise import drive, inverse_cdf, variance_of

F64 = torch.float64
DIAMOND = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}


def test_graph_order_ancestors_and_adjacency():
    graph = CausalGraph(DIAMOND)
    assert graph.nodes == ("d", "b", "c", "a") and graph.order == ("a", "b", "c", "d") and len(graph) == 4
    assert graph.ancestors("d") == {"a", "b", "c"} and graph.ancestors("a") == set()
    expected = [[1, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]]  # row = child, column = parent
    assert graph.adjacency().int().tolist() == expected
    assert graph.index("c") == graph.index(2) == 2 and CausalGraph.of(graph) is graph
    assert graph.check_order(["a", "c", "b", "d"]) == ("a", "c", "b", "d")


def test_graphs_are_compared_by_value_and_read_only():
    graph = CausalGraph(DIAMOND)
    assert graph == CausalGraph({n: tuple(p) for n, p in DIAMOND.items()}) != CausalGraph({"a": []})
    assert copy.deepcopy(graph) == graph and repr(graph) == f"CausalGraph({dict(graph.parents)})"
    with pytest.raises(TypeError, match="item assignment"):
        graph.parents["a"] = ("d",)
    with pytest.raises(AttributeError):
        graph.parents = {}


@pytest.mark.parametrize("seed", range(40))
def test_ties_in_the_order_go_by_the_stated_order(seed):
    """Against the literal rule on random graphs: again and again the first stated node whose parents are placed.

    Numbers rest on it: the context "topological" and the Sobol' coordinates of a chain follow this order.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12))
    rank = rng.permutation(count)
    parents = {
        f"v{i}": [f"v{j}" for j in range(count) if rank[j] < rank[i] and rng.random() < 0.3] for i in range(count)
    }
    placed = []
    while len(placed) < count:
        placed.append(next(n for n in parents if n not in placed and all(p in placed for p in parents[n])))
    assert CausalGraph(parents).order == tuple(placed)


@pytest.mark.parametrize(
    "graph, message",
    [
        (
            {"d": [], "a": ["b"], "b": ["c"], "c": ["a", "d"]},
            "no cycle, got (a -> c -> b -> a|c -> b -> a -> c|b -> a -> c -> b);",
        ),
        ({"a": ["a"]}, "no cycle, got a -> a; reverse or drop"),
        ({"b": ["a"]}, "among its nodes \\['b'\\], got the parents \\['a'\\] of 'b'; correct .* add 'a': \\[\\]"),
        ({"a": [], "b": ["a", "a"]}, "each parent of 'b' once, got \\['a', 'a'\\]"),
        ({"a": [], "b": "a"}, "must give 'b' a list of parents, got 'a'; write \\['a'\\]"),
        ({}, "non-empty mapping"),
        ([("a", "b")], "non-empty mapping"),
    ],
)
def test_graphs_that_are_none(graph, message):
    with pytest.raises(ValueError, match=message):
        CausalGraph(graph)


def test_unknown_nodes():
    for node in ("x", 4, -1):
        with pytest.raises(ValueError, match="node must be one of .*, or its number, got"):
            CausalGraph(DIAMOND).index(node)


U = torch.linspace(0.01, 0.99, 99, dtype=F64)


@pytest.mark.parametrize(
    "noise, reference",
    [
        ("normal", norm.ppf),
        ("uniform", lambda u: u),
        (Laplace(torch.tensor(0.0, dtype=F64), torch.tensor(2.0, dtype=F64)), None),
        (expon(scale=2), expon(scale=2).ppf),
        (lambda u: u**2, lambda u: u**2),
        (FiniteNoise([3.0, 5.0], [0.25, 0.75]), lambda u: np.where(u < 0.25, 3.0, 5.0)),
    ],
)
def test_every_kind_of_noise_through_its_inverse(noise, reference):
    """Against scipy's inverse distribution functions to 1e-9 (Laplace: its formula)."""
    if reference is None:
        reference = lambda u: -2 * np.sign(u - 0.5) * np.log1p(-2 * abs(u - 0.5))  # noqa: E731
    out = drive(U[:, None], [inverse_cdf(noise, "x")])[:, 0]
    inside = abs(U.numpy() - 0.25) > 1e-9
    assert abs(out.numpy() - reference(U.numpy()))[inside].max() < 1e-9


@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_a_named_noise_has_the_variance_of_its_function(name):
    """Against the integral over uniform points, which is good to 1e-9."""
    assert variance_of(name) == pytest.approx(variance_of(inverse_cdf(name, "x")), rel=1e-7)


def test_noises_stay_finite_at_the_ends():
    for dtype in (F64, torch.float32):
        assert torch.isfinite(drive(torch.tensor([[0.0], [1.0]], dtype=dtype), [inverse_cdf("normal", "x")])).all()


def test_empirical_noise_is_the_residuals():
    noise = EmpiricalNoise([3.0, 1.0, 2.0])
    assert noise(torch.tensor([0.1, 0.5, 0.9])).tolist() == [1.0, 2.0, 3.0]
    assert abs(float(noise.variance) - 2 / 3) < 1e-15 and "3 values" in repr(noise)


def test_bad_noises():
    with pytest.raises(ValueError, match="noise of 'x' must be one of .* or a distribution, got 'cauchy'"):
        inverse_cdf("cauchy", "x")
    with pytest.raises(TypeError, match="noise of 'x' must be"):
        inverse_cdf(3, "x")
    for values, p in (([], None), ([[1.0]], None), ([math.nan], None)):
        with pytest.raises(ValueError, match="values must be a non-empty list of finite numbers, got"):
            FiniteNoise(values, p)
    for p in ([0.5], [0.5, 0.6], [1.5, -0.5]):
        with pytest.raises(ValueError, match="sum to 1"):
            FiniteNoise([0.0, 1.0], p)


def test_push_follows_the_equations():
    """Columns come in the stated order, equations run in causal order; by hand."""
    scm = StructuralModel(
        DIAMOND, {"b": lambda a, n: a + n, "c": lambda a, c: a * c, "d": lambda b, c, noise: b - c + noise}
    )
    out = scm.push(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))  # noises of d, b, c, a
    assert out.tolist() == [[6.0 - 12.0 + 1.0, 6.0, 12.0, 4.0]]
    assert isinstance(scm, CausalModel) and scm.nodes == ("d", "b", "c", "a") and "'d'" in repr(scm)
    assert torch.equal(scm.sample(5, seed=0), scm.sample(5, seed=0))
    assert torch.equal(scm.sample(5, seed=None), scm.sample(5, seed=0))
    assert not torch.equal(scm.sample(5, seed=1), scm.sample(5, seed=0))


def test_a_model_of_ones_own_defines_push_alone():
    """Noises, nodes, samples and the repr come from the base; without ``push`` there is no model."""

    class Sums(CausalModel):
        def push(self, noise):
            return noise.cumsum(1)

    scm = Sums({"a": [], "b": ["a"]}, {"a": "uniform"})
    assert scm.nodes == ("a", "b") and repr(scm) == "Sums({'a': (), 'b': ('a',)})"
    u = torch.tensor([[0.25, 0.5]], dtype=F64)
    assert scm.noise(u).tolist() == [[0.25, 0.0]] and scm.push(scm.noise(u)).tolist() == [[0.25, 0.25]]
    g = torch.Generator().manual_seed(3)
    assert torch.equal(scm.sample(4, seed=3), scm.push(scm.noise(torch.rand(4, 2, generator=g, dtype=F64))))
    r = intrinsic_contributions(scm, None, target="b", num_samples=2**12)
    assert abs(float(r.contributions[0]) - 1 / 12) < 3 * float(r.stderr[0]) and abs(r["b"] - 1) < 3 * float(r.stderr[1])
    with pytest.raises(TypeError, match="abstract"):
        CausalModel({"a": []})


@pytest.mark.parametrize(
    "mechanisms, noise, message",
    [
        ({"c": lambda a, n: a}, "normal", "must have a function for 'd' with its parents"),
        ({"x": lambda n: n}, "normal", "mechanisms must name nodes of the graph, .*, got \\['x'\\]"),
        (None, {"x": "normal"}, "noise must name nodes of the graph, .*, got \\['x'\\]"),
        (
            {"d": lambda b, n: b + n},
            "normal",
            "mechanism of 'd' must take \\(b, c, noise\\), got .* a parent is missing",
        ),
        ({"d": lambda b, c, a, n: b}, "normal", "a parent is missing"),
        ({"d": lambda c, b, n: b}, "normal", "got the parameter 'c' in the place of 'b'"),
        ({"b": lambda x, c: x}, "normal", "got the parameter 'c' in the place of 'noise'"),
        ({"d": 3.0}, "normal", "mechanism of 'd' must be a function"),
    ],
)
def test_mechanisms_that_do_not_fit_the_graph(mechanisms, noise, message):
    given = {"b": lambda a, n: a, "c": lambda a, n: a, "d": lambda b, c, n: b}
    if mechanisms is not None and list(mechanisms) == ["c"]:
        given = {"b": lambda a, n: a}
    with pytest.raises(ValueError, match=message):
        StructuralModel(DIAMOND, given | (mechanisms or {}), noise)


def test_mechanism_of_the_wrong_shape():
    for function in (lambda n: n[:, None], lambda n: 1.0):
        with pytest.raises(ValueError, match="mechanism of 'a' must return a tensor of shape"):
            StructuralModel({"a": []}, {"a": function}).sample(4)


def test_linear_fit_equals_normal_equations():
    """Coefficients, intercepts and scales against numpy's least squares to 1e-10; abduction undoes push."""
    g = np.random.default_rng(0)
    a = g.normal(2.0, 1.0, 300)
    b = 1 - 2 * a + g.normal(0, 0.5, 300)
    c = 3 * a + b + g.exponential(1.0, 300)
    table = pd.DataFrame({"c": c, "other": a * 0, "a": a, "b": b})
    graph = {"a": [], "b": ["a"], "c": ["a", "b"]}
    model = LinearModel.fit(table, graph)
    design = np.stack([np.ones(300), a, b], axis=1)
    solution, residual, *_ = np.linalg.lstsq(design, c, rcond=None)
    assert abs(model.matrix[2, :2].numpy() - solution[1:]).max() < 1e-10
    assert abs(float(model.intercepts[2]) - solution[0]) < 1e-10
    assert abs(float(model.scales[2]) - math.sqrt(residual[0] / 300)) < 1e-10
    rows = torch.tensor(table[["a", "b", "c"]].to_numpy(copy=True))
    assert (model.push(model.abduct(rows)) - rows).abs().max() < 1e-10
    assert model.nodes == ("a", "b", "c") and "'c'" in repr(model)
    moments = model.sample(200_000)
    assert (moments.mean(0) - rows.mean(0)).abs().max() < 0.05
    again = LinearModel.fit(table[["a", "b", "c"]].to_numpy(copy=True), graph, names=["a", "b", "c"])
    assert (again.matrix - model.matrix).abs().max() < 1e-12


def test_log_likelihood_is_the_normal_density():
    """A complete graph is a multivariate normal with the sample moments: its log density by scipy, to 1e-10."""
    rows = np.random.default_rng(1).normal(size=(60, 3)) @ np.array([[1, 2, 0], [0, 1, -1], [0, 0, 0.5]])
    model = LinearModel.fit(rows, {"a": [], "b": ["a"], "c": ["a", "b"]})
    density = multivariate_normal(rows.mean(0), np.cov(rows.T, ddof=0)).logpdf(rows).mean()
    assert abs(model.log_likelihood(rows) - density) < 1e-10


def test_empirical_noise_in_a_linear_model():
    """Residuals as noise: the same closed form, and samples that are data where nothing has parents."""
    rows = torch.tensor([[1.0, 0.0], [2.0, 5.0], [6.0, 1.0], [0.0, 3.0]], dtype=F64)
    model = LinearModel.fit(rows, {"a": [], "b": []}, noise="empirical")
    assert {round(v, 9) for v in model.sample(50)[:, 0].tolist()} == {0.0, 1.0, 2.0, 6.0}
    assert abs(float(model.contributions("a")[0] - rows[:, 0].var(correction=0))) < 1e-12
    coins = LinearModel({"a": []}, {}, noise={"a": FiniteNoise([-2.0, 2.0])})
    assert coins.contributions("a").tolist() == [4.0]


@pytest.mark.parametrize(
    "options, message",
    [
        (
            dict(coefficients={"b": {}}),
            "coefficients of 'b' must be for its parents in the graph, \\['a'\\], got \\[\\]",
        ),
        (dict(coefficients={"b": {"a": 1}, "c": {}}), "coefficients must name nodes of the graph, .*, got \\['c'\\]"),
        (dict(coefficients={"b": {"a": 1}}, scales={"x": 1}), "scales must name nodes of the graph, .*, got \\['x'\\]"),
        (
            dict(coefficients={"b": {"a": 1}}, noise={"x": "normal"}),
            "noise must name nodes of the graph, .*, got \\['x'\\]",
        ),
    ],
)
def test_linear_models_that_do_not_fit_the_graph(options, message):
    with pytest.raises(ValueError, match=message):
        LinearModel({"a": [], "b": ["a"]}, **options)


def test_tables_that_cannot_be_fitted():
    graph, rows = {"a": [], "b": ["a"]}, torch.ones(5, 2, dtype=F64)
    with pytest.raises(ValueError, match="constant or collinear"):
        LinearModel.fit(rows, graph)
    with pytest.raises(ValueError, match="X must have at least 3 rows for 'b' and its parents, got 2"):
        LinearModel.fit(rows[:2], graph)
    with pytest.raises(ValueError, match="a column for every node, got none for \\['b'\\]"):
        LinearModel.fit(rows, graph, names=["a", "x"])
    with pytest.raises(ValueError, match="names must have one name per column of X, 2, got \\['a'\\]"):
        LinearModel.fit(rows, graph, names=["a"])
    with pytest.raises(ValueError, match="must be a table"):
        LinearModel.fit(rows[0], graph)
    with pytest.raises(ValueError, match="noise must be"):
        LinearModel.fit(rows, graph, noise="cauchy")
    with pytest.raises(ValueError, match="NaN or Inf"):
        LinearModel.fit(rows * math.nan, graph)


def test_descendants_against_a_search_on_random_graphs():
    """Along directed edges, by repeated expansion; in causal order."""
    generator = np.random.default_rng(0)
    for _ in range(30):
        count = int(generator.integers(2, 9))
        order = generator.permutation(count)
        before = [[p for p in range(count) if order[p] < order[c] and generator.random() < 0.4] for c in range(count)]
        graph = CausalGraph({str(c): [str(p) for p in before[c]] for c in range(count)})
        start = {int(generator.integers(count))}
        reached = set(start)
        for _ in range(count):
            reached |= {c for c in range(count) if any(int(p) in reached for p in graph.parents[str(c)])}
        found = graph.descendants(start)
        assert set(found) == reached - start
        assert found == sorted(found, key=lambda c: graph.order.index(str(c)))
