"""What expectations, curves, attributions and second derivatives are asked on a device."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import torch
from device.place import ALPHAS, CONV, IMAGES, NET, Place, X, asks, drawn, filled, saved, shown
from torch import nn

import acelib
from acelib import AverageCausalEffect, InputDistribution, half_trace, interventional_expectation, jets
from acelib.regressors import CausalRegressor, CausalTable, SplineRegressor, regressor_from_dict

# The interventional expectation


@asks("InputDistribution", "interventional_expectation", "Expectation", "plot_expectation")
def monte_carlo(on: Place):
    e = interventional_expectation(
        on.network(NET), InputDistribution.fit(on.tensor(X)), 0, on.tensor(torch.tensor(ALPHAS))
    )
    assert e.values.device == e.stderr.device == e.support.device == e.alphas.device == on.results
    shown(e)
    again, frame = pickle.loads(pickle.dumps(e)), e.to_frame().select_dtypes("number").to_numpy(dtype=float)
    return e, e.covariance(1), e.support, frame, saved(e).values, again.stderr


@asks("InputDistribution")
def distributions(on: Place):
    whole = InputDistribution.fit(on.tensor(X))
    stream = InputDistribution.fit([on.tensor(batch) for batch in X.split(50)])
    moved = InputDistribution.fit(X.to(on.dtype)).to(on.device)
    assert whole.mean.device == stream.mean.device == moved.mean.device == on.device
    return whole.mean, whole.covariance, stream.mean, stream.covariance, moved.covariance, whole.low, whole.high


@asks("InputDistribution")
def distribution_from_moments(on: Place):
    low, high = on.tensor(X.amin(0)), on.tensor(X.amax(0))
    d = InputDistribution.from_moments(on.tensor(X.mean(0)), on.tensor(torch.eye(4)) * 0.1, low=low, high=high)
    e = interventional_expectation(on.network(NET), d, 1, ALPHAS, method="taylor")
    assert e.values.device == e.stderr.device == on.results
    return e


@asks("InputDistribution", "interventional_expectation")
def weighted_rows_and_whole_numbers(on: Place):
    weights = 1 + torch.arange(len(X)) % 3
    counts = (3 * X).round().long()
    expectations = [
        interventional_expectation(
            on.network(NET), InputDistribution.fit(rows, weights=w), 0, [0.0, 1.0], method=method
        )
        for rows, w in ((on.tensor(X), on.tensor(weights)), (on.tensor(X), weights), (on.tensor(counts), None))
        for method in ("monte_carlo", "taylor")
    ]
    return expectations, InputDistribution.fit(on.tensor(counts)).domain[0].values


@asks("InputDistribution", "interventional_expectation", "FiniteSet", "Interval")
def finite_domain_and_names(on: Place):
    table = torch.cat([X[:, :3], X[:, 3:].round()], dim=1)
    domain = {"a": (0.0, 1.0), "d": acelib.FiniteSet((0.0, 1.0))}
    d = InputDistribution.fit(on.tensor(table), feature_names=list("abcd"), domain=domain)
    return interventional_expectation(on.network(NET), d, "d", [0.0, 1.0])


@asks("Categories", "inputs.Categories")
def columns_of_categories(on: Place):
    """A column of three levels, which the network reads as three columns beside one number."""
    categories = acelib.Categories.of_one_hot(["x", "a", "b", "c"], {"place": ["a", "b", "c"]})
    codes = torch.stack([X[:, 0], (X[:, 1] * 3).floor().clamp(0, 2)], 1)
    inputs = InputDistribution.fit(on.tensor(codes), feature_names=categories.names, domain=categories.domain)
    net = categories.before(on.network(NET))
    back = categories.code(categories.one_hot(on.tensor(codes)))
    assert back.device == on.device
    return interventional_expectation(net, inputs, "place", [0.0, 2.0]), back


@asks("interventional_expectation")
def budget_and_groups(on: Place):
    d, net, groups = InputDistribution.fit(on.tensor(X)), on.network(NET), torch.arange(len(X)) // 3
    return [
        interventional_expectation(net, d, 0, ALPHAS, budget=90, seed=0),
        interventional_expectation(net, d, 0, ALPHAS, groups=groups, chunk_size=50),
        interventional_expectation(net, d, 0, ALPHAS, groups=on.tensor(groups)),
    ]


@asks("interventional_expectation", "Check")
def taylor_and_cubature(on: Place):
    d, net = InputDistribution.fit(on.tensor(X)), on.network(NET)
    taylor = interventional_expectation(net, d, 0, ALPHAS, method="taylor")
    return taylor, taylor.check.relative, interventional_expectation(net, d, 0, ALPHAS, method="cubature")


@asks("interventional_expectation", "Check")
def truncated_factor(on: Place):
    d = InputDistribution.fit(on.tensor(X), rank=2)
    return interventional_expectation(on.network(NET), d, 0, ALPHAS, method="taylor")


@asks("interventional_expectation", "Intervention", "InputModel")
def tuples_and_pins(on: Place):
    d, net = InputDistribution.fit(on.tensor(X)), on.network(NET)
    pinned = d.do({"x1": 0.5})
    answer = pinned.do("x0", [0.1, 0.4])
    pairs = interventional_expectation(net, d, (0, 2), [[0.1, 0.2], [0.7, 0.3]])
    return pairs, interventional_expectation(net, pinned, 0, ALPHAS), answer.means, answer.factor, answer.support()


@asks("interventional_expectation")
def several_models(on: Place):
    nets = [on.network(NET), on.network(filled(copy.deepcopy(NET), seed=1))]
    e = interventional_expectation(nets, InputDistribution.fit(on.tensor(X)), 0, ALPHAS, outputs=[0, 2])
    return e, e.model_spread


@asks("interventional_expectation")
def images_with_a_shared_first_layer(on: Place):
    d = InputDistribution.fit(on.tensor(IMAGES))
    wide = filled(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3)))
    return [
        interventional_expectation(on.network(net), d, 10, ALPHAS, method=method)
        for net in (CONV, wide)
        for method in ("monte_carlo", "taylor")
    ]


# Interactions


@asks("InputDistribution", "interventional_expectation", "InputModel")
def regions_of_the_inputs(on: Place):
    d, net = InputDistribution.fit(on.tensor(X), weights=on.tensor(1 + torch.arange(len(X)) % 3)), on.network(NET)
    held = on.tensor(X)[:, 1] > 0.5
    found = [
        d.where(one) for one in ({"x1": (0.5, None)}, held, held.cpu(), held.nonzero()[:, 0], lambda x: x[:, 1] > 0.5)
    ]
    assert all(one.samples.device == one.mean.device == on.device for one in found)
    groups = torch.arange(len(X)) // 3
    e = interventional_expectation(net, d, 0, ALPHAS, where=held, groups=on.tensor(groups))
    return [one.covariance for one in found], [one.weights for one in found], e, e.support


@asks("regional_effects", "RegionalEffects", "plot_regions")
def regional(on: Place):
    d, net, groups = InputDistribution.fit(on.tensor(X)), on.network(NET), torch.arange(len(X)) // 3
    found = acelib.regional_effects(net, d, 0, ALPHAS, target=1, permutations=19)
    assert found.best.device == found.overall.values.device == on.results
    shown(found)
    grouped = acelib.regional_effects(net, d, 0, ALPHAS, target=1, permutations=19, groups=on.tensor(groups))
    flat = acelib.regional_effects(lambda x: x.sum(1, keepdim=True), d, 0, ALPHAS)
    assert flat.by is None
    frame = found.to_frame().select_dtypes("number").to_numpy(dtype=float)
    return found, found.p_values, found.conditions[0][found.by][1], frame, grouped, flat.best


@asks("effect_surface", "EffectSurface", "plot_surface")
def surface(on: Place):
    d, nets = InputDistribution.fit(on.tensor(X)), [on.network(filled(copy.deepcopy(NET), seed=s)) for s in (0, 1)]
    found = acelib.effect_surface(nets, d, (0, 2), ALPHAS, on.tensor(torch.tensor(ALPHAS)))
    assert found.mean.device == found.share.device == found.interaction_stderr.device == on.results
    shown(found, output=1)
    return found, found.interval(), found.to_frame().select_dtypes("number").to_numpy(dtype=float)


# Curves and attributions


@asks("AverageCausalEffect", "CausalRegressors", "CausalRegressor", "plot_regressors", "plot_regressor")
def polynomials(on: Place):
    effect = AverageCausalEffect(on.network(NET), InputDistribution.fit(on.tensor(X)))
    curves = effect.regress(num=12, max_order=5)
    shown(curves)
    shown(curves["x0", 0])
    again = saved(curves)
    there = on.tensor(torch.tensor(ALPHAS))
    assert curves["x0", 0].ace(there).device == on.results
    return (
        curves["x0", 0].ace(there),
        again["x1", 2].ace(ALPHAS, return_std=True),
        curves.to_frame()["baseline"].to_numpy(),
    )


@asks("AverageCausalEffect", "CausalRegressors", "SplineRegressor")
def splines_and_baselines(on: Place):
    effect = AverageCausalEffect(on.network(NET), InputDistribution.fit(on.tensor(X)))
    curves = effect.regress([0, 1], num=12, refine=2, baseline="data", family="spline")
    return [curves[name, 1].ace(ALPHAS) for name in ("x0", "x1")], curves.with_baseline(0.5)["x0", 0].ace(ALPHAS)


@asks("AverageCausalEffect", "CausalTable")
def tables(on: Place):
    table = torch.cat([X[:, :3], X[:, 3:].round()], dim=1)
    d = InputDistribution.fit(on.tensor(table), domain={"x3": acelib.FiniteSet((0.0, 1.0))})
    curves = AverageCausalEffect(on.network(NET), d).regress(["x3"])
    return curves["x3", 0].ace([0.0, 1.0], return_std=True)


@asks("AverageCausalEffect", "Attribution", "plot_attribution")
def attributions(on: Place):
    effect = AverageCausalEffect(on.network(NET), InputDistribution.fit(on.tensor(X)))
    by_curves = effect.attribute(on.tensor(X[:3]), target=0)
    direct = effect.attribute(on.tensor(X[0]), target=1, via="direct")
    from_cpu = effect.attribute(X[:3].to(on.dtype), target=0)
    assert by_curves.values.device == direct.values.device == from_cpu.values.device == on.results
    shown(direct)
    each = effect.attribute(on.tensor(X[:3]), target=on.tensor(torch.arange(3)))
    return (
        by_curves.values,
        direct.values,
        direct.stderr,
        from_cpu.values,
        each.values,
        saved(each).stderr,
        pickle.loads(pickle.dumps(direct)).values,
        np.asarray(by_curves),
        each.to_frame().select_dtypes("number").to_numpy(dtype=float),
        effect.cached()["x0", 0].ace(ALPHAS),
    )


@asks("quantus_explain")
def quantus(on: Place):
    x, y = X[:4].to(on.dtype).numpy(), np.array([0, 1, 2, 0])
    net, d = on.network(NET), InputDistribution.fit(on.tensor(X))
    maps = acelib.quantus_explain(net, x, y, explain=d, normalise=True)
    return maps, acelib.quantus_explain(net, x, y, explain=lambda m, z, t: z * 2, device=str(on.device))


@asks("as_model")
def functions_of_arrays(on: Place):
    inputs, double = InputDistribution.fit(on.tensor(X)), acelib.as_model(lambda table: np.sin(table).sum(1))
    ours = acelib.as_model(lambda x: {"y": on.network(NET)(x)}, output="y")
    answers = double(inputs.samples)
    assert answers.device == on.device and answers.dtype == on.dtype
    return [interventional_expectation(model, inputs, 1, ALPHAS) for model in (double, ours)]


@asks("CausalRegressor", "SplineRegressor", "CausalTable", "Regressor", "regressor_from_dict")
def regressors(on: Place):
    alphas = on.tensor(torch.linspace(0, 1, 15, dtype=torch.float64))
    curve = on.tensor(torch.sin(3 * torch.linspace(0, 1, 15, dtype=torch.float64)))
    fits = [
        CausalRegressor.fit(alphas, curve, max_order=6),
        SplineRegressor.fit(alphas, curve),
        CausalTable.fit(alphas, curve),
    ]
    fits[0] = regressor_from_dict(fits[0].to_dict())
    return [fit.predict(alphas) for fit in fits]


# Second derivatives


@asks("half_trace")
def every_route(on: Place):
    net, points, factor = on.network(NET), on.tensor(X[:2]), on.tensor(torch.eye(4))
    routes = ("auto", "collapsed", "jvp_grad", "double_backward", "hessian")
    found = [half_trace(net, points, factor, route=route) for route in routes]
    found += [
        half_trace(net, points, factor, feature=1),
        half_trace(net, points, factor, pinned=on.tensor(X[:2] > 0.5)),
    ]
    assert all(one.device == on.device for one in found)
    return found


@asks("half_trace")
def central_differences(on: Place):
    net, points, factor = on.network(NET), on.tensor(X[:2]), on.tensor(torch.eye(4))
    return half_trace(net, points, factor, route="central_difference")


@asks("jets.propagate", "jets.collapsed", "jets.check", "jets.Jet")
def jets_by_hand(on: Place):
    net, points, factor = on.network(CONV), on.tensor(IMAGES[:2].flatten(1)), on.tensor(torch.eye(64)[:, :5])
    value, slopes, second = jets.propagate(lambda rows: net(rows.reshape(-1, 1, 8, 8)), points, factor)
    return value, slopes, second, jets.check(on.network(NET), on.tensor(X[:2]), on.tensor(torch.eye(4))) < 1e-3


@asks("half_trace")
def attention_and_norms(on: Place):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.mix, self.out = (
                nn.LayerNorm(4),
                nn.MultiheadAttention(4, 2, batch_first=True),
                nn.Linear(4, 2),
            )

        def forward(self, x):
            z = self.norm(x.reshape(-1, 2, 4))
            return self.out(self.mix(z, z, z, need_weights=False)[0].mean(1))

    net = on.network(filled(Block()))
    return half_trace(net, on.tensor(drawn(3, 8)), on.tensor(torch.eye(8)[:, :3]))
