"""Do intervals of total, direct and mediated effects hold those of the population, with causal models of the inputs?"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

from acelib import CausalGraphInputs
from acelib.intrinsic import LinearModel, StructuralModel
from acelib.mediation import total_and_direct
from tools.coverage.case import Case, hits
from tools.coverage.worlds import network

quantity = "total, direct and mediated effect of inputs that cause each other"
ALPHAS = (-1.0, 0.0, 1.0)
WIDE = (-20.0, 20.0)
GRAPH = {"a": [], "b": ["a"], "c": ["a", "b"]}
LINES = {"b": {"a": 0.8}, "c": {"a": -0.5, "b": 1.2}}
SCALES = {"b": 0.6, "c": 0.8}
CURVES = {
    "b": lambda a, n: torch.sin(2 * a) + 0.5 * n,
    "c": lambda a, b, n: 0.5 * a * b + (0.4 + 0.2 * a.square()).sqrt() * n,
}


def truth(model: StructuralModel | LinearModel, node: str) -> Tensor:
    """Return total, direct and mediated expectations ``(values, 3)`` by a grid of Gauss and Hermite over the noises."""
    points, weights = np.polynomial.hermite_e.hermegauss(40)
    noise = torch.tensor(list(product(points, repeat=3)))
    weight = torch.tensor([np.prod(w) for w in product(weights, repeat=3)])
    rows, place, net = model.push(noise), model.graph.index(node), network("tanh")
    found = []
    for alpha in ALPHAS:
        at = torch.full((len(rows), 1), alpha, dtype=torch.float64)
        following = model.counterfactual(rows, [place], at, noise=noise)
        alone = rows.clone()
        alone[:, place] = alpha
        total, direct = (float(net(x)[:, 0] @ weight / weight.sum()) for x in (following, alone))
        found.append([total, direct, total - direct])
    return torch.tensor(found, dtype=torch.float64)


def world(n: int, node: str, kind: str) -> Case:
    """Return the case of n rows, with a causal model that is "given", "learned", or a "list" of learned ones."""
    net = network("tanh")
    lines = LinearModel(GRAPH, LINES, scales=SCALES)
    model = StructuralModel(GRAPH, CURVES) if kind == "given" else lines
    expected = cache(lambda: truth(model, node))

    def run(seed: int) -> dict[str, Tensor]:
        X = model.sample(n, seed=seed)
        causal = {
            "given": lambda: model,
            "learned": lambda: LinearModel.fit(X, GRAPH),
            "list": lambda: LinearModel.bootstrap(X, GRAPH, repeats=30, seed=seed),
        }[kind]()
        inputs = CausalGraphInputs(causal, X, domain=WIDE, seed=seed)
        found = total_and_direct(net, inputs, node, ALPHAS)
        parts = found.total, found.direct, found.mediated
        values, stderr = (torch.cat([getattr(e, name) for e in parts], 1) for name in ("values", "stderr"))
        ends = [torch.cat(each, 1) for each in zip(*(e.interval() for e in parts), strict=True)]
        return hits(expected(), stderr=(values, stderr), interval=tuple(ends))

    return Case(run, "Quadrature over the three noises, Gauss and Hermite with 40 points each.")


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    words = {
        "given": "curved mechanisms, given",
        "learned": "linear mechanisms, learned",
        "list": "the same, a list of 30 refits",
    }
    return {
        f"{text}, do({node}), {n} rows": world(n, node, kind)
        for kind, text in words.items()
        for node in ("a", "b")
        for n in (200, 1000)
    }
