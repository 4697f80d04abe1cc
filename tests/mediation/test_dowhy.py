"""Total effects against interventional samples of DoWhy's causal models, where DoWhy is installed."""

import numpy as np
import pandas as pd
import pytest
import torch

from acelib import CausalGraphInputs, interventional_expectation
from acelib.intrinsic import LinearModel

gcm = pytest.importorskip("dowhy.gcm")
nx = pytest.importorskip("networkx")
GRAPH = {"a": [], "b": ["a"], "c": ["a", "b"], "d": []}
LINES = {"b": {"a": 0.8}, "c": {"a": -0.5, "b": 1.2}}
DRAWS = 20_000


def network(x):
    """A fixed network: one bent output in which the inputs interact."""
    return torch.tanh(x[:, :1] - x[:, 1:2] * x[:, 2:3] + 0.5 * x[:, 3:])


def test_the_average_is_that_over_samples_of_the_same_world():
    """DoWhy fits linear mechanisms to the same rows and draws 20,000 rows under each do(); within 4 standard errors.

    Its noises are drawn from the residuals, ours are those of the rows: the same law but for the few rows, which the
    standard error of ours holds.
    """
    X = LinearModel(GRAPH, LINES).sample(1000, seed=3)
    frame = pd.DataFrame(X.numpy(), columns=list(GRAPH))
    edges = [(parent, child) for child, parents in GRAPH.items() for parent in parents]
    theirs = gcm.InvertibleStructuralCausalModel(nx.DiGraph(edges))
    theirs.graph.add_node("d")
    for node, parents in GRAPH.items():
        mechanism = gcm.AdditiveNoiseModel(gcm.ml.create_linear_regressor()) if parents else gcm.EmpiricalDistribution()
        theirs.set_causal_mechanism(node, mechanism)
    gcm.util.general.set_random_seed(0)
    gcm.fit(theirs, frame)
    inputs = CausalGraphInputs(LinearModel.fit(X, GRAPH), X)
    for node in ("a", "b"):
        ours = interventional_expectation(network, inputs, node, [-1.0, 0.5])
        for place, alpha in enumerate((-1.0, 0.5)):
            drawn = gcm.interventional_samples(
                theirs, {node: lambda x, alpha=alpha: np.full_like(x, alpha)}, num_samples_to_draw=DRAWS
            )
            y = network(torch.tensor(drawn[list(GRAPH)].to_numpy(dtype=float)))[:, 0]
            error = float(ours.stderr[place, 0] ** 2 + y.var() / DRAWS) ** 0.5
            assert abs(float(ours.values[place, 0] - y.mean())) <= 4 * error
