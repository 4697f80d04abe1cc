"""Intrinsic contributions: closed forms, golden values by quadrature, enumeration by loops, invariances, entropy."""

import itertools
import math

import numpy as np
import pytest
import torch
from intrinsic_systems import GOLDEN, TRIANGLE, S, outcome, synthetic
from scipy.stats import lognorm
from torch import nn

from acelib.intrinsic import (
    FiniteNoise,
    IntrinsicContributions,
    LinearModel,
    StructuralModel,
    intrinsic_contributions,
)
from acelib.plots import plot_contributions

F64 = torch.float64
CONTEXTS = ("shapley", "topological", "first", "total")
CHAIN = {"X": [], "Y": ["X"], "Z": ["Y"]}
GOLDEN_CLOSED = {
    ("P",): 0.591174,
    ("Q",): 0.250928,
    ("R",): 0.047644,
    ("P", "Q"): 0.857068,
    ("P", "R"): 0.638818,
    ("Q", "R"): 0.393860,
    (): 0.0,
    ("P", "Q", "R"): 1.0,
}


def chain():
    return StructuralModel(CHAIN, {"Y": lambda X, n: 2 * X + n, "Z": lambda Y, n: 3 * Y + n})


def finite_model(seed, k=4, levels=3):
    """A complete graph over k nodes with random smooth mechanisms and random finite noises, and a random target."""
    g = torch.Generator().manual_seed(seed)
    nodes = [f"v{i}" for i in range(k)]
    graph = {n: nodes[:i] for i, n in enumerate(nodes)}
    noise = {}
    for n in nodes:
        p = torch.rand(levels, generator=g, dtype=F64) + 0.1
        noise[n] = FiniteNoise(torch.randn(levels, generator=g, dtype=F64), p / p.sum())
    weights = torch.randn(k, k + 1, generator=g, dtype=F64)

    def mechanism(i):
        return lambda *args: torch.tanh(sum(weights[i, j] * a for j, a in enumerate(args))) + args[-1] * args[0]

    scm = StructuralModel(graph, {n: mechanism(i) for i, n in enumerate(nodes)}, noise)
    w = torch.randn(k, 2, generator=g, dtype=F64)
    return scm, lambda x: torch.sin(x @ w) * (1 + x[:, :1] * x[:, -1:]), noise


@pytest.mark.parametrize("context", CONTEXTS)
def test_linear_chain(context):
    """X = N1, Y = 2X + N2, Z = 3Y + N3: 36, 9 and 1 in every context; 1 % when sampled, 1e-10 in closed form."""
    truth = torch.tensor([36.0, 9.0, 1.0], dtype=F64)
    sampled = intrinsic_contributions(chain(), None, target="Z", context=context, num_samples=2**16, seed=1)
    assert ((sampled.contributions - truth).abs() / truth).max() < 0.01
    assert ((sampled.contributions - truth).abs() < 3 * sampled.stderr).all()
    assert abs(sampled.residual) <= 3 * sampled.residual_stderr
    linear = LinearModel(CHAIN, {"Y": {"X": 2}, "Z": {"Y": 3}})
    exact = intrinsic_contributions(linear, None, target="Z", context=context)
    assert (exact.contributions - truth).abs().max() < 1e-10 and exact.stderr.max() == 0
    assert exact.method == "closed form" and abs(exact.residual) < 1e-10 and exact.uncertainty == 46
    middle = intrinsic_contributions(linear, None, target="Y", context=context)
    assert middle.contributions.tolist() == [4.0, 1.0, 0.0]


def test_closed_form_of_a_linear_network():
    """A linear layer on the chain, by hand: y = z − x has noise weights 5, 3, 1; sampling agrees."""
    net = nn.Linear(2, 1).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, -1.0]]))
    linear = LinearModel(CHAIN, {"Y": {"X": 2}, "Z": {"Y": 3}}, scales={"X": 0.5})
    exact = intrinsic_contributions(linear, net, inputs=["Z", "X"])
    assert exact.method == "closed form" and exact.contributions.tolist() == [6.25, 9.0, 1.0]
    sampled = intrinsic_contributions(linear, nn.Sequential(net, nn.Identity()), inputs=["Z", "X"])
    assert sampled.method == "sampling"
    assert ((sampled.contributions - exact.contributions).abs() < 3 * sampled.stderr).all()


@pytest.mark.parametrize("context", CONTEXTS)
def test_synthetic_system_with_given_mechanisms(context):
    """Shares within 3 standard errors of the golden values; errors below 0.003."""
    r = intrinsic_contributions(synthetic(), outcome, context=context, num_samples=2**14, seed=2)
    assert ((r.shares - torch.tensor(GOLDEN[context])).abs() < 3 * r.shares_stderr).all()
    assert float(r.shares_stderr.max()) < 0.003
    assert abs(r.uncertainty - 0.419779) < 3 * r.uncertainty_stderr
    assert r.method == "sampling" and r.order == ("P", "Q", "R")
    if context == "shapley":
        assert abs(r.residual) < 3 * r.residual_stderr
        for subset, value in GOLDEN_CLOSED.items():
            assert abs(r.closed[subset] - value) < 3 * r.closed_stderr[subset] + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_bounds_and_sums_by_enumeration(seed):
    """S_j ≤ ICC(j | I)/Var ≤ S_Tj for every context I, and the shares along every order sum to 1, all to 1e-10."""
    scm, model, _ = finite_model(seed)
    r = intrinsic_contributions(scm, model, target=1)
    assert r.method == "enumeration" and abs(r.residual) < 1e-10 and r.stderr.max() == 0
    nodes, closed = scm.nodes, r.closed
    total = intrinsic_contributions(scm, model, target=1, context="total").shares
    for j, node in enumerate(nodes):
        others = [n for n in nodes if n != node]
        for size in range(len(nodes)):
            for context in itertools.combinations(others, size):
                joined = tuple(n for n in nodes if n == node or n in context)
                icc = closed[joined] - closed[context]
                assert closed[(node,)] - 1e-10 <= icc <= float(total[j]) + 1e-10
    assert abs(float(r.shares.sum()) - 1) < 1e-10
    topological = intrinsic_contributions(scm, model, target=1, context="topological")
    assert abs(float(topological.shares.sum()) - 1) < 1e-10
    shuffled = [nodes[i] for i in np.random.default_rng(seed).permutation(len(nodes))]
    steps = [tuple(n for n in nodes if n in shuffled[:i]) for i in range(len(nodes) + 1)]
    assert abs(sum(closed[b] - closed[a] for a, b in itertools.pairwise(steps)) - 1) < 1e-10


def test_enumeration_equals_loops_over_the_definition():
    """ICC(j | I) = E Var(Y | N_I) − E Var(Y | N_I, N_j), by literal loops over 27 states, to 1e-12."""
    scm, model, noise = finite_model(7, k=3)
    sources = list(noise.values())
    states = list(itertools.product(range(3), repeat=3))
    p = {s: math.prod(float(sources[j].probabilities[i]) for j, i in enumerate(s)) for s in states}
    noises = [torch.tensor([[float(sources[j].values[i]) for j, i in enumerate(s)]], dtype=F64) for s in states]
    y = {s: float(model(scm.push(n))[0, 0]) for s, n in zip(states, noises, strict=True)}

    def left_over(known):
        answer = 0.0
        for key in {tuple(s[j] for j in known) for s in states}:
            group = [s for s in states if tuple(s[j] for j in known) == key]
            weight = sum(p[s] for s in group)
            mean = sum(p[s] * y[s] for s in group) / weight
            answer += sum(p[s] * (y[s] - mean) ** 2 for s in group)
        return answer

    r = intrinsic_contributions(scm, model, context="topological")
    for j in range(3):
        assert abs(float(r.contributions[j]) - (left_over(range(j)) - left_over(range(j + 1)))) < 1e-12
    assert abs(r.uncertainty - left_over([])) < 1e-12
    sampled = intrinsic_contributions(scm, model, context="topological", method="sampling", num_samples=2**15)
    assert ((sampled.contributions - r.contributions).abs() < 3 * sampled.stderr).all()


def test_other_maps_of_the_noise_change_nothing():
    """Component-wise invertible maps of the noises leave all contributions as they are, exactly on a finite grid and
    to rounding with log-normal noises; a decreasing map of a uniform noise within 3 standard errors.
    """
    scm, model, noise = finite_model(3)
    mapped = {n: FiniteNoise(torch.exp(-v.values), v.probabilities) for n, v in noise.items()}
    functions = {n: (lambda f: lambda *args: f(*args[:-1], -torch.log(args[-1])))(scm.mechanisms[n]) for n in scm.nodes}
    other = StructuralModel(scm.graph, functions, mapped)
    a, b = (intrinsic_contributions(m, model).contributions for m in (scm, other))
    assert (a - b).abs().max() < 1e-12

    functions = {"Q": lambda P, m: 2 * P + S * m.log(), "R": lambda P, Q, m: 2 * P - Q + S * m.log()}
    other = StructuralModel(TRIANGLE, functions, {"P": "uniform", "Q": lognorm(s=1), "R": lognorm(s=1)})
    a, b = (intrinsic_contributions(m, outcome, num_samples=2**12).contributions for m in (synthetic(), other))
    assert (a - b).abs().max() < 1e-7
    functions = dict(synthetic().mechanisms) | {"P": lambda m: 1 - m ** (1 / 3)}
    other = StructuralModel(TRIANGLE, functions, {"P": lambda u: u**3})
    r = intrinsic_contributions(other, outcome)
    assert ((r.shares - torch.tensor(GOLDEN["shapley"])).abs() < 3 * r.shares_stderr).all()


def test_markov_equivalent_graphs_fit_equally_and_differ_in_contributions():
    """Three normal variables: complete graphs along all 6 orders have the same likelihood to 1e-10, and the same
    Var(Y), but different contributions. No data can tell them apart.
    """
    rows = LinearModel(TRIANGLE, {"Q": {"P": 2.0}, "R": {"P": 2.0, "Q": -1.0}}, scales={"Q": S, "R": S}).sample(500)
    net = nn.Linear(3, 1).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0, 1.0, 2.0]]))
    likelihoods, variances, shares = [], [], []
    for order in itertools.permutations("PQR"):
        graph = {n: list(order[: order.index(n)]) for n in "PQR"}
        fitted = LinearModel.fit(rows, graph)
        r = intrinsic_contributions(fitted, net)
        likelihoods.append(fitted.log_likelihood(rows))
        variances.append(r.uncertainty)
        shares.append(r.shares)
    assert max(likelihoods) - min(likelihoods) < 1e-10 and max(variances) - min(variances) < 1e-10
    assert (torch.stack(shares).amax(0) - torch.stack(shares).amin(0)).max() > 0.3


def test_topological_context_follows_a_given_order():
    """Two roots that only interact: the one that comes second gets everything; exact, by hand."""
    coins = StructuralModel({"a": [], "b": []}, noise=FiniteNoise([-1.0, 1.0]))
    product = lambda x: x.prod(1, keepdim=True)  # noqa: E731
    for order, shares in ((("a", "b"), [0.0, 1.0]), (("b", "a"), [1.0, 0.0])):
        r = intrinsic_contributions(coins, product, context="topological", order=order)
        assert r.shares.tolist() == shares and r.order == order
    assert intrinsic_contributions(coins, product).shares.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="order must place causes first, got 'Y' before its parents"):
        intrinsic_contributions(chain(), None, target="Z", order=["Y", "X", "Z"])
    with pytest.raises(ValueError, match="must name every node once"):
        intrinsic_contributions(chain(), None, target="Z", order=["X", "Z"])


def test_permutation_sampling_beyond_twelve_nodes():
    """A linear chain of 14 nodes with coefficients 0.7: w_j = 0.7^(13 − j), in every order."""
    names = [f"v{i}" for i in range(14)]
    graph = {n: names[i - 1 : i] if i else [] for i, n in enumerate(names)}
    scm = StructuralModel(graph, {n: lambda p, m: 0.7 * p + m for n in names[1:]})
    truth = 0.49 ** torch.arange(13, -1, -1.0)
    for context in ("shapley", "first", "total"):
        r = intrinsic_contributions(scm, None, target="v13", context=context, num_samples=2**12)
        assert ((r.contributions - truth).abs() < 3.5 * r.stderr).all() and float(r.stderr.max()) < 0.1
    assert not r.closed


def test_list_of_models():
    """Two training seeds: contributions to their mean, each one's own, and the spread over them."""
    weights = [[0.0, 0.0, 1.0], [0.0, 2.0, 1.0]]
    nets = [lambda x, w=w: x @ x.new_tensor(w)[:, None] for w in weights]
    r = intrinsic_contributions(chain(), nets, num_samples=2**13)
    assert r.models.shape == (2, 3) and r.model_spread.shape == (3,)
    own = torch.tensor([[36.0, 9.0, 1.0], [100.0, 25.0, 1.0]])
    assert ((r.models - own).abs() < 0.01 * own + 0.02).all()
    assert ((r.contributions - torch.tensor([64.0, 16.0, 1.0])).abs() < 4 * r.stderr).all()
    assert "model_spread" in r.to_frame()


def test_saved_shown_and_drawn(tmp_path):
    r = intrinsic_contributions(synthetic(), outcome, num_samples=2**10)
    again = IntrinsicContributions.load(r.save(tmp_path / "r.json"))
    assert torch.equal(again.contributions, r.contributions) and again.closed == r.closed and repr(again) == repr(r)
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
    assert list(r.to_frame()["node"]) == ["P", "Q", "R"] and r["P"] == r[0] == float(r.contributions[0])
    low, high = r.interval(shares=True)
    assert ((low < r.shares) & (r.shares < high)).all()
    assert "Var(Y)" in repr(r) and "Var(Y)" in r.plot(truth=GOLDEN["shapley"]).get_ylabel()
    assert plot_contributions({"a": r, "b": again}, shares=False, truth={"a": [0.1] * 3}).get_legend() is not None
    with pytest.raises(KeyError, match="node must be one of .*, got 'W'"):
        r["W"]
    with pytest.raises(ValueError, match="results must be of the same nodes, got"):
        plot_contributions({"a": r, "b": intrinsic_contributions(chain(), None, target="Z", num_samples=64)})
    with pytest.raises(ValueError, match="cannot be read"):
        IntrinsicContributions.load(tmp_path / "none.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="does not hold saved contributions"):
        IntrinsicContributions.load(tmp_path / "other.json")


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(measure="range"), "measure must be one of 'variance', 'entropy'"),
        (dict(context="last"), "context must be one of"),
        (dict(method="guess"), "method must be one of"),
        (dict(categorical="label"), "categorical must be one of"),
        (dict(inner_samples=100), "inner_samples must be a power of two"),
        (dict(chunk_size=0), "chunk_size must be positive, .*got 0"),
        (dict(num_samples=0), "num_samples must be at least 1, got 0"),
        (dict(target=3), "target must be one of the model's 1 outputs, 0 to 0, got 3"),
        (dict(target="R"), "target must be the number of an output"),
        (dict(inputs=["P", "W"]), "node must be one of .*, got 'W'"),
        (dict(method="exact"), "scm must be, for method='exact', .* got StructuralModel.*; use method='sampling'"),
        (dict(measure="entropy", target=1), "target must be 0 for measure='entropy'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        intrinsic_contributions(synthetic(), outcome, **options)


def test_bad_models():
    with pytest.raises(ValueError, match="target must name a node where model is None"):
        intrinsic_contributions(synthetic(), None)
    with pytest.raises(TypeError, match="scm must be a causal model"):
        intrinsic_contributions(TRIANGLE, outcome)
    with pytest.raises(ValueError, match="NaN or Inf"):
        intrinsic_contributions(synthetic(), lambda x: torch.log(-(x[:, :1] ** 2)))


@pytest.mark.parametrize("k", [9, 10, 11, 13])
def test_rows_that_shapley_values_cost(k):
    """All subsets up to 10 nodes, orders beyond; a product of neighbours is halved, to 5 errors of the answer."""
    model = StructuralModel({f"x{i}": [] for i in range(k)}, {})
    r = intrinsic_contributions(model, lambda x: x[:, :1] * x[:, 1:2] + x[:, 2:3], num_samples=2**8)
    truth = torch.zeros(k, dtype=torch.float64)
    truth[:2], truth[2] = 0.5, 1.0
    assert ((r.contributions - truth).abs() <= 5 * r.stderr + 1e-9).all()
    assert r.num_rows == 2**8 * (2**k if k <= 10 else k + 1) and len(r.closed) == (2**k if k <= 10 else 0)
