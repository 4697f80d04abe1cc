"""Interventions, substitution and d-separation: literal references on random graphs, and closed forms."""

from itertools import combinations

import networkx
import numpy as np
import pytest
import torch

from acelib.intrinsic import CausalGraph, CausalModel, FiniteNoise, LinearModel, StructuralModel

STILL = FiniteNoise([0.0])


def random_parents(seed, count=6, share=0.4):
    rng = np.random.default_rng(seed)
    return {f"v{i}": [f"v{j}" for j in range(i) if rng.random() < share] for i in range(count)}


def blocked(path, parents, given):
    """Whether a path of nodes is blocked, word by word as in Pearl (2009), Def. 1.2.3."""
    below = networkx.DiGraph([(p, c) for c, ps in parents.items() for p in ps])
    below.add_nodes_from(parents)
    for before, node, after in zip(path, path[1:], path[2:], strict=False):
        if before in parents[node] and after in parents[node]:  # a collider
            if not ({node} | networkx.descendants(below, node)) & set(given):
                return True
        elif node in given:
            return True
    return False


@pytest.mark.parametrize("seed", range(12))
def test_d_separation_is_that_every_path_is_blocked(seed):
    """Against the definition: all simple paths of the undirected graph, one by one."""
    parents = random_parents(seed, 5)
    graph = CausalGraph(parents)
    lines = networkx.Graph([(p, c) for c, ps in parents.items() for p in ps])
    lines.add_nodes_from(parents)
    for a, b in combinations(parents, 2):
        rest = [n for n in parents if n not in (a, b)]
        for given in (set for size in range(4) for set in combinations(rest, size)):
            paths = networkx.all_simple_paths(lines, a, b)
            expected = all(blocked(path, parents, given) for path in paths)
            assert graph.d_separated(a, b, given) == expected, (parents, a, b, given)


@pytest.mark.parametrize("seed", range(4))
def test_d_separation_is_a_zero_of_the_partial_covariance(seed):
    """Against the closed form of a linear model with arbitrary coefficients."""
    parents, rng = random_parents(seed), np.random.default_rng(100 + seed)
    model = LinearModel(parents, {c: {p: rng.uniform(0.5, 1.5) for p in ps} for c, ps in parents.items()})
    covariance = (model.mixing @ model.mixing.T).numpy()
    for a, b in combinations(range(6), 2):
        rest = [n for n in range(6) if n not in (a, b)]
        for given in (list(set) for size in range(5) for set in combinations(rest, size)):
            part = covariance[np.ix_([a, b], [a, b])]
            if given:
                cross = covariance[np.ix_([a, b], given)]
                part = part - cross @ np.linalg.solve(covariance[np.ix_(given, given)], cross.T)
            separated = model.graph.d_separated(f"v{a}", f"v{b}", [f"v{n}" for n in given])
            assert (abs(part[0, 1]) < 1e-9) == separated


def test_d_separation_takes_sets_and_says_what_is_wrong():
    graph = CausalGraph({"U": [], "X": ["U"], "Y": ["U"], "lonely": []})
    assert graph.d_separated(["X", "Y"], "lonely") and graph.d_separated("lonely", ["X"], given="U")
    for wrong, message in (
        (("X", "Z"), r"b must name nodes of the graph"),
        (("X", ()), r"a and b must each hold a node"),
        (("X", "Y", "X"), r"no node in common, got \['X'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            graph.d_separated(*wrong)


def test_do_cuts_the_arrows_into_what_is_set():
    graph = CausalGraph({"U": [], "X": ["U"], "Y": ["X", "U"]})
    assert dict(graph.do(["X", "Y"]).parents) == {"U": (), "X": (), "Y": ()}
    assert graph.do("X").nodes == graph.nodes and graph.do([]) == graph
    with pytest.raises(ValueError, match="nodes must name nodes of the graph"):
        graph.do("Z")


def triangle():
    """U -> X, U -> Y, X -> Y, all linear: E[Y | do(X = a)] = 3a, E[Y | X = a] = 3a + 2 · a / 2."""
    equations = {"X": lambda U, n: U + n, "Y": lambda X, U, n: 3 * X + 2 * U + n}
    return StructuralModel({"U": [], "X": ["U"], "Y": ["X", "U"]}, equations)


def test_setting_differs_from_seeing_as_the_closed_form_says():
    model = triangle()
    rows = model.sample(200_000)
    slope = float((rows[:, 1] * rows[:, 2]).mean() / rows[:, 1].square().mean())
    assert abs(slope - 4) < 0.02  # 3 + cov(U, X) · 2 / var(X)
    noise = torch.randn(1000, 3, dtype=torch.float64)
    low, high = (model.do({"X": value}).push(noise) for value in (0.0, 1.0))
    assert torch.allclose(high[:, 2] - low[:, 2], torch.full((1000,), 3.0, dtype=torch.float64))
    assert torch.equal(high[:, 0], noise[:, 0]) and bool((high[:, 1] == 1).all())


def test_a_random_intervention_draws_the_node_without_its_causes():
    rows = triangle().do({"X": "uniform"}).sample(50_000)
    assert 0 < rows[:, 1].min() and rows[:, 1].max() < 1
    assert abs(float(torch.corrcoef(rows[:, :2].T)[0, 1])) < 0.02
    assert triangle().do({"X": FiniteNoise([2.0])}).sample(3)[:, 1].tolist() == [2, 2, 2]


def test_do_leaves_the_model_as_it_was_and_remembers_what_was_set():
    model = triangle()
    changed = model.do({"X": np.float32(1)}).do({"Y": torch.tensor(2.0)}).do({"X": 5})
    assert changed.held == ("X", "Y") and model.held == () and model.graph.parents["X"] == ("U",)
    assert changed.sample(1)[0, 1:].tolist() == [5, 2]
    with pytest.raises(ValueError, match="values must name nodes"):
        model.do({"Z": 1.0})
    with pytest.raises(ValueError, match="noise of 'X' must be one of"):
        model.do({"X": "gaussian"})


def silent_model(seed):
    """Eight nodes, of which the last five have no noise: sums of sines of their parents."""
    parents, rng = random_parents(seed, 8, 0.5), np.random.default_rng(seed)
    weights = {c: rng.normal(size=len(ps)) for c, ps in parents.items()}

    def equation(w):
        return lambda *v: v[-1] + sum((float(a) * torch.sin(p) for a, p in zip(w, v[:-1], strict=True)), 0 * v[-1])

    noise = {n: "normal" if i < 3 else STILL for i, n in enumerate(parents)}
    return StructuralModel(parents, {n: equation(w) for n, w in weights.items()}, noise)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_substituted_away_leaves_the_rest_as_it_was(seed):
    """The whole model is the reference: on the same noises, with and without an intervention on what stays."""
    model, rng = silent_model(seed), np.random.default_rng(seed)
    gone = sorted(rng.choice([f"v{i}" for i in range(3, 8)], size=3, replace=False))
    reduced = model.without(gone)
    stay = [i for i, n in enumerate(model.nodes) if n not in gone]
    assert reduced.nodes == tuple(model.nodes[i] for i in stay)
    noise = model.noise(torch.rand(50, 8, dtype=torch.float64))
    for values in ({}, {"v1": 0.7}, {reduced.nodes[-1]: 0.3, "v0": -1.0}):
        whole, less = model.do(values).push(noise), reduced.do(values).push(noise[:, stay])
        assert (whole[:, stay] - less).abs().max() < 1e-12
    with pytest.raises(ValueError, match="values must name nodes"):
        reduced.do({gone[0]: 0.0})


@pytest.mark.parametrize("seed", range(20))
def test_the_new_arrows_are_the_ways_through_what_left(seed):
    """Against the definition: a path whose inner nodes are all among those that left."""
    model = silent_model(seed)
    gone = ["v3", "v5", "v6"]
    arrows = networkx.DiGraph([(p, c) for c, ps in model.graph.parents.items() for p in ps])
    arrows.add_nodes_from(model.nodes)
    for child, parents in model.without(gone).graph.parents.items():
        through = {
            n
            for n in model.nodes
            if n not in gone
            and n != child
            and any(set(path[1:-1]) <= set(gone) for path in networkx.all_simple_paths(arrows, n, child))
        }
        assert set(parents) == through


def test_a_mechanism_that_swallows_nothing_keeps_the_order_of_its_arguments():
    equations = {"h": lambda a, n: a, "y": lambda b, a, n: b - 2 * a}
    model = StructuralModel({"a": [], "b": [], "h": ["a"], "y": ["b", "a"]}, equations, {"h": STILL, "y": STILL})
    assert model.without(["h"]).graph.parents["y"] == ("b", "a")
    assert model.without("h").push(torch.tensor([[1.0, 5.0, 0.0]]))[0, 2] == 3


def test_what_cannot_be_substituted_is_said():
    model = triangle()
    with pytest.raises(ValueError, match=r"no noise of their own, got \['U'\]"):
        model.without(["U"])
    with pytest.raises(ValueError, match="nodes must name nodes of the graph"):
        model.without(["Z"])
    constant = StructuralModel({"a": []}, {}, STILL)
    with pytest.raises(ValueError, match="must leave at least one node"):
        constant.without(["a"])
    assert constant.silent == {"a"} and model.do({"U": 1.0}).silent == {"U"}
    assert model.do({"U": 1.0}).without(["U"]).sample(3).shape == (3, 2)
    assert isinstance(model, CausalModel)
