"""Causal models, tables and networks as other people write them: right, or refused in a sentence."""

import copy
import math
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acelib import ApproximationWarning
from acelib.intrinsic import (
    CausalGraph,
    FiniteNoise,
    FlowModel,
    LinearModel,
    SobolIndices,
    StructuralModel,
    intrinsic_contributions,
    sobol_indices,
)
from acelib.intrinsic.entropy import label_probabilities
from acelib.intrinsic.rounded import spread_rounded

F64 = torch.float64

CONSTANT = {
    "softmax": lambda x: x.softmax(1).sum(1, keepdim=True),
    "single precision": lambda x: x.float().softmax(1).sum(1, keepdim=True),
    "unit vector": lambda x: torch.nn.functional.normalize(x, dim=1).square().sum(1, keepdim=True) * 1e6,
    "angles": lambda x: (x.sin().square() + x.cos().square()).sum(1, keepdim=True) - 1e-3,
    "zero": lambda x: x[:, :1] * 0,
    "large": lambda x: (x[:, :1] - x[:, :1] + 1e12) * torch.ones(1, dtype=x.dtype),
}


@pytest.mark.parametrize("name", CONSTANT)
@pytest.mark.parametrize("inputs", [2, 6])
def test_an_output_constant_up_to_rounding_has_no_indices(name, inputs):
    def model(x):
        return torch.cat([CONSTANT[name](x).to(F64), x[:, :1] * 2 + x[:, 1:2]], dim=1)

    r = sobol_indices(model, num_inputs=inputs, num_samples=1024, shapley=True)
    assert r.first[:, 0].isnan().all() and r.total[:, 0].isnan().all() and r.variance[0] == 0
    assert abs(float(r.first[0, 1]) - 0.8) < 0.01 and r.shapley[:, 0].isnan().all()
    scm = StructuralModel({f"x{i}": [] for i in range(inputs)}, noise="uniform")
    for context in ("shapley", "first", "total", "topological"):
        c = intrinsic_contributions(scm, model, context=context, num_samples=512)
        assert c.contributions.abs().max() == 0 and c.uncertainty == 0 and c.shares.isnan().all()


@pytest.mark.parametrize("kind", ["given", "fitted", "list"])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("offset", [0.0, -1e3])
def test_a_constant_has_no_contributions_whatever_the_causal_model(kind, dtype, scale, offset):
    """Nor an error of learning, closed indices or a variance on the data; nor has a label that is always the same."""
    graph = {"a": [], "b": ["a"], "c": ["b"]}
    scm = LinearModel(graph, {"b": {"a": 0.7}, "c": {"b": 0.7}})
    fitted = LinearModel.fit(scm.sample(100, seed=1), graph, noise="empirical")
    one = {"given": scm, "fitted": fitted, "list": fitted.refits(3)}[kind]
    soft = lambda x: x.softmax(1).sum(1, keepdim=True)  # noqa: E731
    context = {0.0: "shapley", -1e3: "first"}[offset]
    options = dict(context=context, dtype=dtype, num_samples=64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = intrinsic_contributions(one, lambda x: (soft(x) + offset) * scale, **options)
        h = intrinsic_contributions(one, lambda x: soft(x) * x.new_tensor([1.0, 0.0]), measure="entropy", **options)
    for found in (r, h):
        assert found.contributions.abs().max() == 0 and found.stderr.max() == 0 and found.uncertainty == 0
        assert found.shares.isnan().all() and all(math.isnan(s) for s in found.closed.values())


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_small_and_rare_variation_is_no_rounding(scale, shift):
    r = sobol_indices(lambda x: shift * scale * 1e3 + scale * (2 * x[:, :1] + x[:, 1:]), num_inputs=2, num_samples=1024)
    assert abs(float(r.first[0, 0]) - 0.8) < 0.01
    rare = sobol_indices(lambda x: (x[:, :1] < 0.002).double(), num_inputs=2, num_samples=2**14)
    assert abs(float(rare.first[0, 0]) - 1) < 0.05


def test_an_enumerated_constant_has_no_variance():
    scm = StructuralModel({"a": [], "b": []}, noise=FiniteNoise([0.1, 0.7, 0.3]))
    r = intrinsic_contributions(scm, lambda x: x.softmax(1).sum(1, keepdim=True))
    assert r.method == "enumeration" and r.contributions.tolist() == [0, 0] and r.shares.isnan().all()


NOISES = {
    "uniform": ("uniform", 1 / 12),
    "scipy": (scipy.stats.norm(2, 3), 9.0),
    "skewed": (scipy.stats.gamma(2.0), 2.0),
    "torch": (torch.distributions.Laplace(torch.tensor(0.0, dtype=F64), torch.tensor(2.0, dtype=F64)), 8.0),
    "function": (lambda u: 3 * torch.special.ndtri(u) + 1, 9.0),
    "finite": (FiniteNoise([0.0, 4.0]), 4.0),
}


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("both", [False, True])
def test_the_closed_form_knows_the_variance_of_its_noises(name, both):
    noise, variance = NOISES[name]
    model = LinearModel({"X": [], "Y": ["X"]}, {"Y": {"X": 2.0}}, noise=noise if both else {"X": noise})
    exact = intrinsic_contributions(model, None, target="Y")
    other = intrinsic_contributions(model, None, target="Y", method="sampling")
    assert exact.method == "closed form" and abs(exact["X"] - 4 * variance) < 1e-6 * variance
    assert abs(exact["Y"] - (variance if both else 1)) < 1e-6 * variance + 1e-12
    assert abs(other["X"] - exact["X"]) < 0.03 * exact["X"] + 5 * float(other.stderr[0])


def test_an_unknown_variance_has_no_closed_form():
    model = LinearModel({"X": [], "Y": ["X"]}, {"Y": {"X": 1.0}}, noise={"X": lambda u: (u > 0.3).double()})
    with pytest.raises(ValueError, match=r"finite variance that is known .* got none for \['X'\]"):
        model.contributions("Y")
    assert intrinsic_contributions(model, None, target="Y").method == "sampling"
    cauchy = LinearModel({"X": [], "Y": ["X"]}, {"Y": {"X": 1.0}}, noise={"X": scipy.stats.cauchy()})
    with pytest.raises(ValueError, match="finite variance"):
        cauchy.contributions("Y")


@pytest.mark.parametrize("name", ["Gamma", "Beta", "StudentT"])
def test_a_noise_without_inverse_is_refused_by_the_name_of_its_node(name):
    given = {"Gamma": (2.0, 1.0), "Beta": (2.0, 3.0), "StudentT": (3.0,)}[name]
    noise = getattr(torch.distributions, name)(*map(torch.tensor, given))
    with pytest.raises(ValueError, match="noise of 'dose' must have an inverse distribution function icdf"):
        StructuralModel({"dose": []}, noise={"dose": noise})


@pytest.mark.parametrize("other", ["text", "missing", "flag", "date", "mixed", "category"])
def test_further_columns_of_a_table_do_not_matter(other):
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    column = {
        "text": [f"p{i}" for i in range(300)],
        "missing": np.full(300, np.nan),
        "flag": x > 0,
        "date": pd.date_range("2020", periods=300),
        "mixed": [1, "a", None] * 100,
        "category": pd.Categorical(["u", "v", "w"] * 100),
    }[other]
    table = pd.DataFrame({"other": column, "y": 2 * x + rng.normal(size=300), "x": x})
    model = LinearModel.fit(table, {"x": [], "y": ["x"]})
    assert abs(float(model.matrix[1, 0]) - np.polyfit(table.x, table.y, 1)[0]) < 1e-9
    assert math.isfinite(model.log_likelihood(table))
    table = table.assign(x=table.x.astype("float32"), count=pd.array([1, 2, 3] * 100, dtype="Int64"))
    LinearModel.fit(table, {"x": [], "count": [], "y": ["x", "count"]})
    with pytest.raises((TypeError, ValueError), match=r"(?i)X .*'?(name|y|nan|inf)"):
        LinearModel.fit(table.assign(y="a"), {"x": [], "y": ["x"]})


@pytest.mark.parametrize("names", [(0, 1, 2), (3, 1, 2), ("0", "1", "2"), (np.int64(7), 5, "z")])
def test_nodes_may_be_numbers(names):
    a, b, c = names
    graph = {a: [], b: [a], c: [a, b]}
    scm = StructuralModel(graph, {b: lambda u, n: 2 * u + n, c: lambda u, v, n: u + v + n}, noise={a: "normal"})
    r = intrinsic_contributions(scm, None, target=c, num_samples=2048)
    assert [round(r[n]) for n in names] == [9, 1, 1]
    linear = LinearModel(graph, {b: {a: 2.0}, c: {a: 1.0, b: 1.0}}, scales={a: 1.0}, noise={c: "normal"})
    exact = intrinsic_contributions(linear, None, target=c, order=[a, b, c], context="topological")
    assert [exact[n] for n in names] == [9.0, 1.0, 1.0]
    frame = pd.DataFrame(linear.sample(500).numpy(), columns=list(names))
    assert LinearModel.fit(frame[[c, a, b]], graph).nodes == tuple(map(str, names))


@pytest.mark.parametrize("kind", [set, frozenset])
def test_sets_of_parents_are_refused(kind):
    with pytest.raises(ValueError, match=r"must give 'z' its parents in an order.*write a list"):
        StructuralModel({"x": [], "y": [], "z": kind({"x", "y"})}, {"z": lambda u, v, n: u - 3 * v + n})
    assert CausalGraph({"x": kind(), "y": kind({"x"})}) == CausalGraph({"x": [], "y": ["x"]})  # one order only


ORDERS = {
    "list": ["y", "x"],
    "tuple": ("y", "x"),
    "keys": {"y": 1, "x": 2}.keys(),
    "values": {1: "y", 2: "x"}.values(),
    "generator": (n for n in "yx"),
    "array": np.array(["y", "x"]),
    "objects": np.array(["y", "x"], dtype=object),
    "index": pd.Index(["y", "x"]),
    "series": pd.Series(["y", "x"]),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_parents_keep_the_order_in_which_they_are_given(kind):
    graph = CausalGraph({"x": [], "y": [], "z": ORDERS[kind]})
    assert graph.parents["z"] == ("y", "x")


@pytest.mark.parametrize("names", [range(3), np.arange(3), [np.int32(0), np.uint8(1), 2], torch.arange(3).tolist()])
def test_whole_numbers_of_every_kind_are_one_name(names):
    a, b, c = names
    scm = StructuralModel({a: [], b: [int(a)], c: (int(b), str(a))}, {int(b): lambda u, n: u + n, c: lambda u, v, n: v})
    assert scm.nodes == ("0", "1", "2") and scm.graph.parents["2"] == ("1", "0") and scm.graph.index(c) == 2


@pytest.mark.parametrize("parents", [None, 3, 1.5])
def test_parents_that_are_no_list_are_refused(parents):
    with pytest.raises(ValueError, match="graph must give 'b' a list of parents, got"):
        CausalGraph({"a": [], "b": parents})


@pytest.mark.parametrize("kind", ["DiGraph", "MultiDiGraph"])
def test_a_networkx_graph_is_a_graph(kind):
    """Parents in the order of their arrows, also of double ones; nodes without arrows are roots; numbers are names."""
    networkx = pytest.importorskip("networkx")
    graph = getattr(networkx, kind)([("x", "y"), ("x", "z"), ("y", "z"), ("x", "y")])
    graph.add_node("alone")
    assert CausalGraph(graph).parents == {"x": (), "y": ("x",), "z": ("x", "y"), "alone": ()}
    assert CausalGraph(networkx.relabel_nodes(graph, {"x": 0, "y": 1})).parents["z"] == ("0", "1")
    graph.add_edge("z", "x")
    with pytest.raises(ValueError, match="no cycle"):
        CausalGraph(graph)
    with pytest.raises(ValueError, match="graph must have arrows, got an undirected Graph"):
        CausalGraph(networkx.Graph([("x", "y")]))


def _columns(kind, n=400):
    rng = np.random.default_rng(0)
    z = rng.normal(size=n)
    return {
        "two values": (rng.random(n) < 0.5) * 1.0,
        "truth": rng.random(n) < 0.2,
        "grades": rng.integers(1, 6, n),
        "dice": rng.integers(1, 7, (n, 2)).sum(1),
        "zero inflated": np.maximum(z, 0),
        "censored": np.minimum(z, 1.5),
        "two values far away": 1e6 + 1e-3 * (rng.random(n) < 0.5),
        "counts": rng.poisson(20, n),
        "tenths": z.round(1),
        "tenths far away": 1e6 + (z / 10).round(2),
        "years": rng.integers(20, 80, n).astype("int8"),
        "large counts": rng.poisson(20, n) * 10**6,
        "continuous": z,
        "single precision": z.astype("float32"),
        "few twins": np.concatenate([z[: n // 2], z[: n // 2]]),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["two values", "truth", "grades", "dice", "zero inflated", "censored", "two values far away"]
)
@pytest.mark.parametrize("where", ["cause", "effect"])
def test_a_flow_refuses_what_is_not_continuous(kind, where):
    pytest.importorskip("zuko")
    z = np.random.default_rng(1).normal(size=400)
    cause, effect = (_columns(kind), z) if where == "cause" else (z, _columns(kind))
    table, wrong = pd.DataFrame({"x": cause, "y": effect}), "x" if where == "cause" else "y"
    for make in (FlowModel.fit, FlowModel.bootstrap):
        with pytest.raises(ValueError, match=f"X must have continuous columns for a flow, got '{wrong}' .*LinearModel"):
            make(table, {"x": [], "y": ["x"]}, epochs=1)


@pytest.mark.parametrize("kind", ["counts", "tenths", "tenths far away", "years", "large counts"])
def test_a_flow_spreads_rounded_values_over_their_step(kind):
    """The variance grows by h²/12, at most 1 %; values stay within half a step; other columns stay as they are."""
    x = torch.from_numpy(_columns(kind, 4000).astype("float64"))
    rows = torch.stack([x, torch.randn(4000, generator=torch.Generator().manual_seed(0), dtype=F64)], 1)
    with pytest.warns(ApproximationWarning, match=r"rounded values of 'x' \(step .*up to 1 % to their variance"):
        spread = spread_rounded(rows, CausalGraph({"x": [], "y": ["x"]}))
    step = float(x.unique().diff().min())
    assert (spread[:, 0] - x).abs().max() <= step / 2 * 1.001 and torch.equal(spread[:, 1], rows[:, 1])
    assert len(spread[:, 0].unique()) == 4000
    assert abs(float(spread[:, 0].var() - x.var()) - step**2 / 12) < 0.01 * float(x.var())


@pytest.mark.parametrize("kind", ["continuous", "single precision", "few twins"])
def test_a_flow_takes_continuous_values_as_they_are(kind):
    x = torch.from_numpy(_columns(kind).astype("float64"))[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(spread_rounded(x, CausalGraph({"x": []})), x)


def test_a_flow_learns_rounded_values():
    """Counts and their effect: Var(y) = 4 · 0.05² · 20 + 1 = 1.2, shares 1/6 and 5/6, within 25 % of 2000 rows."""
    pytest.importorskip("zuko")
    rng = np.random.default_rng(0)
    x = rng.poisson(20, 2000)
    table = pd.DataFrame({"x": x, "y": 0.1 * x + rng.normal(size=2000)})
    with pytest.warns(ApproximationWarning, match="rounded values of 'x'"):
        model = FlowModel.fit(table, {"x": [], "y": ["x"]}, steps=200, hidden=(8,))
    r = intrinsic_contributions(model, None, target="y", num_samples=2**10, fit_error=False)
    assert abs(r["x"] / 0.2 - 1) < 0.3 and abs(r["y"] - 1) < 0.15


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30), st.sampled_from([torch.float16, torch.bfloat16, torch.float32]))
def test_rounded_probabilities_are_probabilities(seed, classes, dtype):
    """They come back as they are, to 8 units of rounding, and scores still go through the softmax."""
    scores = torch.randn(5, classes, generator=torch.Generator().manual_seed(seed), dtype=F64) * 2
    rounded = scores.softmax(1).to(dtype).to(F64)
    found = label_probabilities(rounded, "softmax", 1)
    torch.testing.assert_close(found, rounded, rtol=8 * torch.finfo(dtype).eps, atol=1e-12)
    again = label_probabilities(scores, "softmax", 1)
    torch.testing.assert_close(again, scores.softmax(1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("inputs", [2, 4, 5, 13])
def test_sobol_indices_belong_to_one_network_and_travel(inputs, tmp_path):
    """Shapley effects are there or refused by name; further training does not reach them; copies hold numbers only."""
    net = torch.nn.Linear(inputs, 1).double()
    with torch.no_grad():
        net.weight.copy_(torch.arange(1.0, inputs + 1)[None])
    right = torch.arange(1.0, inputs + 1, dtype=F64) ** 2
    right = right / right.sum()
    plain = sobol_indices(net, num_inputs=inputs, num_samples=256)
    r = sobol_indices(net, num_inputs=inputs, num_samples=256, shapley=True)
    assert torch.equal(r.first, plain.first) and torch.equal(r.total, plain.total)
    for without in [plain] * (inputs > 4) + [sobol_indices(net, num_inputs=inputs, num_samples=256, shapley=False)]:
        with pytest.raises(ValueError, match=r"call sobol_indices\(\.\.\., shapley=True\)"):
            _ = without.shapley
        assert pickle.loads(pickle.dumps(without)) == without == SobolIndices.load(without.save(tmp_path / "few.json"))
    if inputs <= 4:
        assert plain == r
    with torch.no_grad():
        net.weight.mul_(-torch.arange(1.0, inputs + 1)[None])
    assert (r.shapley[:, 0] - right).abs().max() < 0.15
    for other in (pickle.loads(pickle.dumps(r)), copy.deepcopy(r), SobolIndices.load(r.save(tmp_path / "sobol.json"))):
        for name in ("first", "first_stderr", "total", "mean", "variance", "shapley", "shapley_stderr"):
            torch.testing.assert_close(getattr(other, name), getattr(r, name), rtol=0, atol=0, equal_nan=True)
        assert (other.num_rows, other.num_samples, other.models) == (r.num_rows, r.num_samples, None)
        assert other == r
        if inputs <= 12:
            assert other.closed.keys() == r.closed.keys()
    assert len(pickle.dumps(r)) < 100_000
    (tmp_path / "wrong.json").write_text('{"format": "acelib.sobol/1", "first": []}')
    with pytest.raises(ValueError, match="does not hold saved Sobol' indices"):
        SobolIndices.load(tmp_path / "wrong.json")


def test_contributions_pickle():
    scm = StructuralModel({"a": [], "b": ["a"]}, {"b": lambda a, n: a + n})
    r = intrinsic_contributions(scm, None, target="b", num_samples=256)
    other = pickle.loads(pickle.dumps(r))
    assert torch.equal(other.contributions, r.contributions) and other.closed == r.closed


def test_columns_of_a_causal_model_are_read_as_numbers_or_named():
    """Nullable and boolean columns are numbers; dates, spans, complex numbers, categories and missing ones are not."""
    rng = np.random.default_rng(0)
    x, graph = rng.normal(size=300), {"x": [], "y": ["x"]}
    y = 2 * x + rng.normal(size=300)
    expected = np.polyfit(x > 0, y, 1)[0]
    for flag in (x > 0, pd.array(x > 0, dtype="boolean"), (x > 0).astype(object), pd.array(x > 0, dtype="Int64")):
        model = LinearModel.fit(pd.DataFrame({"x": flag, "y": y}), graph)
        assert abs(float(model.matrix[1, 0]) - expected) < 1e-9
    for what in (
        pd.date_range("2020", periods=300),
        pd.to_timedelta(range(300), unit="s"),
        y + 1j,
        pd.Categorical(y > 0),
        pd.Series(y).mask(y > 1),
        pd.array(range(300), dtype="Int64").astype(object)[:299].tolist() + [pd.NA],
        2**53 + 1 + 2 * np.arange(300),
    ):
        with pytest.raises((TypeError, ValueError), match="X must .*column.*'y'"):
            LinearModel.fit(pd.DataFrame({"x": x, "y": what}), graph)
