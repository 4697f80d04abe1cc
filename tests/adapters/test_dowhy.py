"""DoWhy's fitted models against DoWhy itself: same rows from same noises, same noises from rows, same effects."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from acelib import ApproximationWarning, CausalGraphInputs, interventional_expectation
from acelib.adapters import from_dowhy
from acelib.intrinsic import LinearModel, intrinsic_contributions

gcm = pytest.importorskip("dowhy.gcm")
import networkx as nx  # noqa: E402

GRAPH = {"d": [], "a": [], "b": ["a"], "c": ["a", "b", "d"]}
LINES = {"b": {"a": 0.8}, "c": {"a": -0.5, "b": 1.2, "d": 0.3}}
X = LinearModel(GRAPH, LINES).sample(400, seed=3)
FRAME = pd.DataFrame(X.numpy(), columns=list(GRAPH))[["a", "b", "c", "d"]]


class Cube(gcm.ml.regression.InvertibleFunction):
    def evaluate(self, X):
        return X**3

    def evaluate_inverse(self, X):
        return np.cbrt(X)


def arrows():
    graph = nx.DiGraph()
    graph.add_nodes_from(GRAPH)
    graph.add_edges_from((parent, child) for child, parents in GRAPH.items() for parent in parents)
    return graph


KINDS = {
    "lines": lambda: gcm.AdditiveNoiseModel(gcm.ml.create_linear_regressor()),
    "trees": lambda: gcm.AdditiveNoiseModel(gcm.ml.create_random_forest_regressor(n_estimators=5, random_state=0)),
    "normal noise": lambda: gcm.AdditiveNoiseModel(gcm.ml.create_ridge_regressor(), gcm.ScipyDistribution(stats.norm)),
    "mixture": lambda: gcm.AdditiveNoiseModel(
        gcm.ml.create_linear_regressor(), gcm.BayesianGaussianMixtureDistribution()
    ),
    "post-nonlinear": lambda: gcm.PostNonlinearModel(
        gcm.ml.create_linear_regressor(), gcm.EmpiricalDistribution(), Cube()
    ),
}


def fitted(kind="lines", roots=None, cls=None):
    model = (cls or gcm.InvertibleStructuralCausalModel)(arrows())
    for node, parents in GRAPH.items():
        model.set_causal_mechanism(node, KINDS[kind]() if parents else (roots or gcm.EmpiricalDistribution)())
    gcm.config.disable_progress_bars()
    gcm.util.general.set_random_seed(0)
    gcm.fit(model, FRAME)
    return model


@pytest.mark.parametrize("cls", [gcm.InvertibleStructuralCausalModel, gcm.StructuralCausalModel])
@pytest.mark.parametrize("kind", KINDS)
def test_mechanisms_and_noises_are_theirs(kind, cls):
    """Noises of rows as DoWhy's, rows from these noises again, and counterfactuals as DoWhy draws them."""
    theirs = fitted(kind, cls=cls)
    ours = from_dowhy(theirs, FRAME)
    assert ours.nodes == tuple(GRAPH) and ours.fitted.count == 400
    noise = ours.abduct(X)
    for node in ("b", "c"):
        parents = FRAME[sorted(GRAPH[node])].to_numpy()
        known = theirs.causal_mechanism(node).estimate_noise(FRAME[node].to_numpy(), parents)
        np.testing.assert_allclose(noise[:, ours.graph.index(node)], known[:, 0], atol=1e-12)
    assert torch.allclose(ours.push(noise), X, atol=1e-9)
    if cls is gcm.InvertibleStructuralCausalModel:
        told = gcm.counterfactual_samples(theirs, {"a": lambda x: 0.7}, observed_data=FRAME)[list(GRAPH)].to_numpy()
        moved = ours.counterfactual(X, [1], torch.full((400, 1), 0.7, dtype=torch.float64))
        np.testing.assert_allclose(moved, told.astype(float), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_law_of_theirs(kind):
    """Of 4000 draws each: means within 5 standard errors, and Kolmogorov-Smirnov distances below 0.06."""
    theirs = fitted(kind)
    ours = from_dowhy(theirs, FRAME).sample(4000)
    gcm.util.general.set_random_seed(1)
    drawn = gcm.draw_samples(theirs, 4000)[list(GRAPH)].to_numpy(dtype=float)
    for column in range(4):
        assert stats.ks_2samp(ours[:, column].numpy(), drawn[:, column]).statistic < 0.06


def test_total_effects_are_those_of_dowhy():
    """Averages of counterfactuals of the same rows, by a network that reads the columns in an order of its own."""
    theirs = fitted("trees")
    order = ["c", "b", "a", "d"]
    weights = torch.tensor([[1.0], [0.5], [-1.0], [2.0]], dtype=torch.float64)
    model = from_dowhy(theirs, FRAME, nodes=order)
    with pytest.warns(ApproximationWarning, match="error of learning of a single DoWhyModel"):
        inputs = CausalGraphInputs(model, FRAME)
    found = interventional_expectation(lambda x: torch.tanh(x @ weights), inputs, "a", [-1.0, 0.5])
    for place, a in enumerate([-1.0, 0.5]):
        told = gcm.counterfactual_samples(theirs, {"a": lambda x, a=a: a}, observed_data=FRAME)[order]
        y = torch.tanh(torch.tensor(told.to_numpy(dtype=float)) @ weights)
        assert float(found.values[place]) == pytest.approx(float(y.mean()), abs=1e-9)


def test_refits_give_the_error_of_learning():
    """That of linear mechanisms is that of ``LinearModel``, whose refits have the closed form of least squares."""
    models = from_dowhy(fitted(), FRAME).bootstrap(repeats=24, seed=2)
    again = from_dowhy(fitted(), FRAME).bootstrap(repeats=2, seed=2)
    assert torch.equal(again[1].abduct(X), models[1].abduct(X)) and models[0].fitted.resampled
    ours = CausalGraphInputs(LinearModel.fit(X, GRAPH), X)
    values = [
        interventional_expectation(lambda x: x[:, 3:], i, "a", [2.0]) for i in (CausalGraphInputs(models, X), ours)
    ]
    assert float(values[0].values) == pytest.approx(float(values[1].values), abs=4 * float(values[1].stderr))
    assert float(values[0].stderr) == pytest.approx(float(values[1].stderr), rel=0.5)


def test_contributions_are_those_of_the_linear_model():
    theirs = fitted("normal noise", roots=lambda: gcm.ScipyDistribution(stats.norm))
    with pytest.warns(ApproximationWarning, match=r"pass scm=from_dowhy\(model, X\).bootstrap\(\)"):
        found = intrinsic_contributions(from_dowhy(theirs, FRAME), lambda x: x[:, 3:], num_samples=2**12)
    exact = intrinsic_contributions(LinearModel.fit(X, GRAPH), lambda x: x[:, 3:])
    gap = (found.contributions - exact.contributions).abs()
    assert bool((gap <= 0.02 * exact.contributions.sum()).all())


def test_a_fitted_model_without_its_table_is_told():
    with pytest.warns(ApproximationWarning, match=r"use from_dowhy\(model, X\)"):
        model = from_dowhy(fitted())
    with pytest.raises(ValueError, match="model must have the rows it was fitted on"):
        model.bootstrap()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_dowhy(fitted(), FRAME)


def spoilt(change):
    model = gcm.StructuralCausalModel(nx.DiGraph([("a", "b")]))
    model.set_causal_mechanism("a", gcm.EmpiricalDistribution())
    model.set_causal_mechanism("b", gcm.AdditiveNoiseModel(gcm.ml.create_linear_regressor()))
    change(model)
    return model


def set_b(mechanism):
    return lambda model: model.set_causal_mechanism("b", mechanism)


def rewired(model):
    gcm.fit(model, FRAME)
    model.graph.add_edge("d", "b")
    model.set_causal_mechanism("d", gcm.EmpiricalDistribution())
    model.causal_mechanism("d").fit(FRAME["d"].to_numpy())


class Odd(gcm.causal_mechanisms.FunctionalCausalModel):
    def fit(self, X, Y):
        pass

    def draw_noise_samples(self, num_samples):
        return np.zeros((num_samples, 1))

    def evaluate(self, parent_samples, noise_samples):
        return parent_samples

    def clone(self):
        return Odd()


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda model: None, "model must be fitted, got no distribution at 'a'"),
        (
            lambda model: (gcm.fit(model, FRAME), model.graph.nodes["b"].pop("causal_mechanism")),
            "must have a mechanism for 'b', got none",
        ),
        (lambda model: (gcm.fit(model, FRAME), set_b(gcm.ClassifierFCM())(model)), "got labels at 'b'"),
        (
            lambda model: (gcm.fit(model, FRAME), set_b(gcm.DiscreteAdditiveNoiseModel(None))(model)),
            "got DiscreteAdditiveNoiseModel, which is discrete",
        ),
        (lambda model: (gcm.fit(model, FRAME), set_b(Odd())(model)), "got Odd, which is not invertible"),
        (rewired, "got other parents of 'b'"),
    ],
)
@pytest.mark.filterwarnings("ignore::acelib.ApproximationWarning")
def test_what_cannot_be_used_is_one_sentence(change, said):
    with pytest.raises(ValueError, match=said):
        from_dowhy(spoilt(change), FRAME if "parents" not in said else None)


def test_wrong_calls_end_in_one_sentence():
    with pytest.raises(TypeError, match="model must be a StructuralCausalModel of dowhy.gcm"):
        from_dowhy(nx.DiGraph())
    with pytest.raises(ValueError, match="nodes must name every node of the graph once"):
        from_dowhy(fitted(), FRAME, nodes=["a", "b"])
