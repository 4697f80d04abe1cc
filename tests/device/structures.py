"""What latent variables, sequences, paths and causal models of the inputs are asked on a device."""

from __future__ import annotations

import copy

import matplotlib.pyplot as plt
import torch
from device.place import ALPHAS, CONV, IMAGES, NET, Place, X, asks, drawn, filled, saved, shown
from torch import nn

from acelib import AverageCausalEffect, InputDistribution, LatentPrior, interventional_expectation, paths, plots
from acelib.intrinsic import (
    EmpiricalNoise,
    FiniteNoise,
    FlowModel,
    LinearModel,
    StructuralModel,
    correlation_test,
    intrinsic_contributions,
    network_as_model,
    rank_test,
    sobol_indices,
)
from acelib.mediation import CausalGraphInputs, total_and_direct
from acelib.recurrent import FeedbackSequences, Recurrent, time_lag, unfold

RECURRENT = filled(Recurrent(nn.GRU(2, 4, batch_first=True), nn.Linear(4, 2)))
SEQUENCES = drawn(30, 6, 2, seed=2)
GRAPH = {"x0": [], "x1": ["x0"], "x2": ["x1"], "x3": ["x0"]}
LATENT = filled(nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)))


# Latent variables and sequences


@asks("LatentPrior", "interventional_expectation")
def latent_variables(on: Place):
    p = LatentPrior(continuous=2, categories=3, probabilities=[0.2, 0.3, 0.5], draws=64).to(on.dtype).to(on.device)
    net = on.network(LATENT)
    names = p.feature_names
    pinned = p.do({names[3]: 1.0})
    return (
        p.mean,
        p.covariance,
        interventional_expectation(net, p, 0, [-1.0, 0.0, 1.0]),
        interventional_expectation(net, p, names[3], [0.0, 1.0]),
        interventional_expectation(net, pinned, 1, [-1.0, 1.0]),
        interventional_expectation(net, p, 0, [-1.0, 1.0], method="taylor"),
    )


@asks("recurrent.FeedbackSequences", "FeedbackSequences", "interventional_expectation", "recurrent.Recurrent")
def feedback(on: Place):
    f = FeedbackSequences(on.network(RECURRENT), on.tensor(SEQUENCES), target_step=4)
    other = FeedbackSequences(
        on.network(RECURRENT), on.tensor(SEQUENCES), target_step=4, lengths=torch.arange(30) % 2 + 5, feedback={0: 1}
    )
    effect = AverageCausalEffect(f.model, f).attribute(on.tensor(SEQUENCES[:2, :5]), target=0, features=[(1, 0)])
    return (
        interventional_expectation(f.model, f, (1, 0), ALPHAS),
        interventional_expectation(f.model, f, (1, 0), ALPHAS, method="taylor"),
        interventional_expectation(other.model, other, (1, 1), ALPHAS),
        interventional_expectation(f.model, f.do({(0, 1): 0.5}), (1, 0), ALPHAS),
        f.do((1, 0), ALPHAS).factor,
        effect.values.nan_to_num(),
    )


@asks("recurrent.unfold", "recurrent.Unfolded")
def unfolded(on: Place):
    net = unfold(on.network(RECURRENT), steps=6, features=2)
    d = InputDistribution.fit(on.tensor(SEQUENCES.flatten(1)))
    return [interventional_expectation(net, d, 3, ALPHAS, method=method) for method in ("monte_carlo", "taylor")]


@asks("recurrent.time_lag", "recurrent.TimeLag")
def time_lags(on: Place):
    lag = time_lag(on.network(RECURRENT), on.tensor(SEQUENCES), target_step=5, tolerance=[0.1, 0.01])
    each = time_lag(on.network(RECURRENT), on.tensor(SEQUENCES), lengths=torch.arange(30) % 2 + 5, tolerance=0.1)
    return lag.relative, lag.lag, lag.stderr, lag.each(0.1), lag.to_frame().to_numpy(dtype=float), each.lag


# Paths


@asks("paths.explanatory_graph", "paths.ExplanatoryGraph", "paths.treatment_effects", "paths.TreatmentEffects")
@asks("plot_graph", "plot_effects", "plot_heat", "paths.trace_layers")
def graphs(on: Place):
    net, x = on.network(CONV), on.tensor(IMAGES)
    graph = paths.explanatory_graph(net, x, 0, allow_wrong=True)
    layer = paths.trace_layers(net, x[:2]).layers[0].name
    partly = paths.treatment_effects(net, x, 0, layer, intervention=0.5, seed=0)
    shown(graph)
    shown(partly)
    plots.plot_heat([graph])
    plt.close("all")
    return [(one.effects, one.stderr, one.necessary, one.noisy) for one in (*graph.layers, partly)]


@asks("paths.node_maps", "paths.class_map", "paths.extrema", "paths.NodeMaps", "plot_maps")
def maps(on: Place):
    net, x = on.network(CONV), on.tensor(IMAGES)
    graph = paths.explanatory_graph(net, x, 0, test="paired", allow_wrong=True)
    found = paths.node_maps(net, x[:3], graph, graph.layers[-1].name, nodes=[0, 1])
    plots.plot_maps(found, x[:3])
    plt.close("all")
    return found.maps, paths.class_map(net, x[:3], graph), paths.extrema(found.maps[:, 0])


@asks("paths.fidelity", "paths.repair", "paths.reliability", "paths.masked", "paths.correctly_classified")
@asks("paths.Fidelity", "paths.Repair", "paths.Reliability", "plot_fidelity", "plot_repair", "plot_reliability")
def studies(on: Place):
    net, x, labels = on.network(NET), on.tensor(X), copy.deepcopy(NET).double()(X).argmax(1)
    target = int(labels.bincount().argmax())
    chosen = paths.correctly_classified(net, x, on.tensor(labels), target)
    graph = paths.explanatory_graph(net, x, target, labels=labels)
    trace = paths.trace_layers(net, x[:2])
    with paths.masked(net, trace, {trace.layers[0].name: ([0, 1], None)}), torch.no_grad():
        without = net(x)
    found = (
        paths.fidelity(net, graph, x, on.tensor(labels), draws=3, shares=[0.0, 0.5], seed=0),
        paths.repair(net, graph, x, labels, shares=[0.0, 1.0]),
        paths.reliability(net, chosen, target, runs=20, every=5, knots=9, seed=0),
    )
    for study in found:
        shown(study)
        study.to_frame()
    return chosen, without, [study.to_frame().select_dtypes("number").to_numpy(dtype=float) for study in found]


# Contributions


@asks("intrinsic.intrinsic_contributions", "intrinsic.LinearModel", "intrinsic.IntrinsicContributions")
@asks("intrinsic.CausalModel", "intrinsic.CausalGraph", "plot_contributions")
def linear_systems(on: Place):
    model = LinearModel.fit(on.tensor(X), GRAPH)
    net = on.network(NET)
    variance = intrinsic_contributions(model, net, num_samples=64, scramblings=16)
    shown(variance)
    rows = on.tensor(X[:5])
    return (
        variance.contributions,
        variance.stderr,
        saved(variance).shares,
        intrinsic_contributions(model, net, num_samples=64, scramblings=16, context="topological").contributions,
        intrinsic_contributions(model, on.network(filled(nn.Linear(4, 2)))).contributions,
        model.log_likelihood(on.tensor(X)),
        model.abduct(rows.cpu().double()),
    )


@asks(
    "intrinsic.intrinsic_contributions",
    "intrinsic.StructuralModel",
    "intrinsic.FiniteNoise",
    "intrinsic.EmpiricalNoise",
)
def structural_systems(on: Place):
    graph = {"a": [], "b": ["a"]}
    coins = FiniteNoise([0.0, 1.0], [0.3, 0.7])
    net = on.network(filled(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))))
    equations = {"a": lambda n: n, "b": lambda a, n: 2 * a - n}
    finite = StructuralModel(graph, equations, {"a": coins, "b": coins})
    data = StructuralModel(graph, equations, {"a": EmpiricalNoise(drawn(20).tolist()), "b": "normal"})
    options = dict(num_samples=64, scramblings=16, categorical="softmax")
    return [
        intrinsic_contributions(model, net, measure=measure, **options).contributions
        for model in (finite, data)
        for measure in ("variance", "entropy")
    ]


@asks("intrinsic.network_as_model", "intrinsic.StructuralModel", "plot_causal_graph")
def networks_as_models(on: Place):
    inputs = StructuralModel({"a": [], "b": ["a"]}, {"b": lambda a, n: 2 * a - n})
    net = on.network(filled(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))))
    model = network_as_model(net, inputs).do({"b": 0.5})
    shown(model)
    reduced = model.without(["h1.1", "h1.2", "h1.3"])
    return model.push(on.tensor(drawn(20, 6))), reduced.push(on.tensor(drawn(20, 3)))


@asks("intrinsic.Independence", "intrinsic.correlation_test", "intrinsic.rank_test")
def independence(on: Place):
    x, y, u = on.tensor(drawn(3, 5, 40))
    strata = (3 * u).floor()
    linear, ranks = correlation_test(x, y, given=u[..., None]), rank_test(x, y + x, strata=strata, permutations=19)
    return linear.statistic, linear.p, ranks.statistic, ranks.p, ranks.rejected()


@asks("intrinsic.FlowModel")
def flows(on: Place):
    model = FlowModel.fit(on.tensor(X), GRAPH, epochs=1, hidden=(8,), bins=4)
    found = intrinsic_contributions(model, on.network(NET), num_samples=64, scramblings=16)
    return found.contributions, model.log_prob(on.tensor(X[:5]))


@asks("CausalGraphInputs", "mediation.CausalGraphInputs", "interventional_expectation")
@asks("mediation.total_and_direct", "mediation.TotalAndDirect", "plot_total_and_direct")
def inputs_that_cause_each_other(on: Place):
    given = StructuralModel(
        GRAPH, {"x1": lambda a, n: a**2 + n, "x2": lambda b, n: b - n, "x3": lambda a, n: a.sin() + n}
    )
    X = given.sample(60, dtype=on.dtype if on.dtype == torch.float64 else torch.float32)
    inputs = CausalGraphInputs(given, X.to(on.dtype).to(on.device))
    learned = CausalGraphInputs(LinearModel.fit(X, GRAPH), X).to(on.dtype).to(on.device)
    net = on.network(NET)
    found = total_and_direct(net, inputs, "x0", ALPHAS)
    assert found.total.values.device == found.mediated.stderr.device == on.results
    shown(found)
    world = inputs.do({"x1": 0.2})
    fitted = interventional_expectation(net, learned, "x1", ALPHAS)
    return found.total, found.direct, found.mediated, fitted, world.samples, world.direct.mean


@asks("intrinsic.sobol_indices", "intrinsic.SobolIndices", "plot_sobol")
def sobol(on: Place):
    found = sobol_indices(on.network(NET), num_inputs=4, num_samples=64, scramblings=16)
    shown(found)
    return found.first, found.total, found.stderr if hasattr(found, "stderr") else found.interval(), saved(found).first
