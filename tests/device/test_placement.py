"""A network on one device and its inputs on another: one sentence in place of torch's, before any long work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from device.place import CONV, IMAGES, NET, Place, X, drawn
from device.pretended import CUDA, pretend
from device.structures import GRAPH, LATENT, RECURRENT, SEQUENCES

import acelib
from acelib import AverageCausalEffect, InputDistribution, LatentPrior, half_trace, interventional_expectation, paths
from acelib.intrinsic import LinearModel, intrinsic_contributions, sobol_indices
from acelib.mediation import CausalGraphInputs
from acelib.recurrent import FeedbackSequences, time_lag, unfold

LABELS = torch.zeros(len(X), dtype=torch.long)


def graph_of(net, x):
    return paths.explanatory_graph(net, x, 0, allow_wrong=True)


# what is called with the place of the network and that of the inputs
CALLS = {
    "average": lambda net, x: interventional_expectation(
        net.network(NET), InputDistribution.fit(x.tensor(X)), 0, [0.1]
    ),
    "Taylor": lambda net, x: interventional_expectation(
        net.network(NET), InputDistribution.fit(x.tensor(X)), 0, [0.1], method="taylor"
    ),
    "one of several": lambda net, x: interventional_expectation(
        [x.network(NET), net.network(NET)], InputDistribution.fit(x.tensor(X)), 0, [0.1]
    ),
    "effect": lambda net, x: AverageCausalEffect(net.network(NET), InputDistribution.fit(x.tensor(X))),
    "half_trace": lambda net, x: half_trace(net.network(NET), x.tensor(X[:2]), x.tensor(torch.eye(4))),
    "factor": lambda net, x: half_trace(x.network(NET), x.tensor(X[:2]), net.tensor(torch.eye(4))),
    "latent": lambda net, x: interventional_expectation(
        net.network(LATENT), LatentPrior(2, 3, dtype=torch.float64, device=x.device), 0, [0.1]
    ),
    "feedback": lambda net, x: FeedbackSequences(net.network(RECURRENT), x.tensor(SEQUENCES), target_step=3),
    "time_lag": lambda net, x: time_lag(net.network(RECURRENT), x.tensor(SEQUENCES)),
    "unfold": lambda net, x: interventional_expectation(
        unfold(net.network(RECURRENT), steps=6, features=2),
        InputDistribution.fit(x.tensor(SEQUENCES.flatten(1))),
        0,
        [0.1],
    ),
    "graph": lambda net, x: graph_of(net.network(NET), x.tensor(X)),
    "treatment_effects": lambda net, x: paths.treatment_effects(net.network(NET), x.tensor(X), 0, "2"),
    "correctly_classified": lambda net, x: paths.correctly_classified(net.network(NET), x.tensor(X), LABELS, 0),
    "reliability": lambda net, x: paths.reliability(net.network(NET), x.tensor(X), 0, runs=20, every=5),
    "class_map": lambda net, x: paths.class_map(
        net.network(CONV), x.tensor(IMAGES), graph_of(net.network(CONV), net.tensor(IMAGES))
    ),
    "fidelity": lambda net, x: paths.fidelity(
        net.network(NET), graph_of(net.network(NET), net.tensor(X)), x.tensor(X), LABELS
    ),
    "repair": lambda net, x: paths.repair(
        net.network(NET), graph_of(net.network(NET), net.tensor(X)), x.tensor(X), LABELS
    ),
    "contributions": lambda net, x: intrinsic_contributions(
        LinearModel.fit(X, GRAPH), [x.network(NET), net.network(NET)], num_samples=64
    ),
    "causal graph": lambda net, x: interventional_expectation(
        net.network(NET), CausalGraphInputs(LinearModel.fit(X, GRAPH), x.tensor(X)), 0, [0.1]
    ),
    "sobol_indices": lambda net, x: sobol_indices([x.network(NET), net.network(NET)], num_inputs=4, num_samples=64),
    "quantus": lambda net, x: acelib.quantus_explain(
        net.network(NET), drawn(2, 4).numpy(), np.array([0, 1]), explain=InputDistribution.fit(x.tensor(X))
    ),
    "quantus, device": lambda net, x: acelib.quantus_explain(
        net.network(NET), drawn(2, 4).numpy(), np.array([0, 1]), explain=lambda m, z, t: z, device=str(x.device)
    ),
    "stream": lambda net, x: InputDistribution.fit([x.tensor(X[:50]), net.tensor(X[50:])]),
}


@pytest.mark.parametrize("network_there", [True, False], ids=["network there", "inputs there"])
@pytest.mark.parametrize("name", CALLS)
def test_two_places_are_refused_in_one_sentence(name, network_there):
    with pretend(CUDA) as device:
        there, here = Place(device, torch.float64), Place(torch.device("cpu"), torch.float64)
        with pytest.raises(ValueError, match=r"device .*(xla:0|cpu).* got .*(xla:0|cpu)|on one device, got"):
            CALLS[name](there, here) if network_there else CALLS[name](here, there)
