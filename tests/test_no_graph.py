"""A network that switches gradients on by itself, as energies and physics do: nothing that is kept carries a graph.

A graph holds the activations of every chunk, and its tensors cannot become a table.
"""

import pytest
import torch
from torch import nn

from acelib import (
    AverageCausalEffect,
    FeedbackSequences,
    InputDistribution,
    LatentPrior,
    half_trace,
    interventional_expectation,
    jets,
    paths,
    quantus_explain,
    recurrent,
)
from acelib.intrinsic import LinearModel, intrinsic_contributions, sobol_indices
from acelib.paths.run import Run, outputs_of

F64 = torch.float64


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


class Switching(nn.Module):
    """A network whose output has a graph even under ``no_grad``."""

    def __init__(self, k, outputs):
        super().__init__()
        self.first, self.second = nn.Linear(k, 6, dtype=F64), nn.Linear(6, outputs, dtype=F64)
        with torch.no_grad():
            for number, p in enumerate(self.parameters()):
                p.copy_(draw(*p.shape, seed=number) / p.shape[-1] ** 0.5)

    def forward(self, x):
        with torch.enable_grad():
            return self.second(torch.tanh(self.first(x)))


class Recurring(nn.Module):
    """The same as a sequence model; its state has a graph too."""

    def __init__(self):
        super().__init__()
        self.core, self.head = nn.GRU(2, 3, batch_first=True, dtype=F64), nn.Linear(3, 2, dtype=F64)

    def forward(self, x, state=None):
        with torch.enable_grad():
            hidden, state = self.core(x, state)
            return self.head(hidden), state


def graphs(kept, path="", seen=None):
    """Where in an object there is a tensor with a graph; networks themselves aside."""
    seen = set() if seen is None else seen
    if id(kept) in seen or isinstance(kept, nn.Module):
        return []
    seen.add(id(kept))
    if isinstance(kept, torch.Tensor):
        return [path] if kept.requires_grad else []
    if isinstance(kept, dict):
        parts = kept.items()
    elif isinstance(kept, list | tuple):
        parts = enumerate(kept)
    else:
        parts = vars(kept).items() if hasattr(kept, "__dict__") else ()
    return [found for name, part in parts for found in graphs(part, f"{path}.{name}", seen)]


NET, X = Switching(4, 3), draw(40, 4)
WIDE, WIDE_INPUTS = Switching(80, 2), InputDistribution.fit(draw(50, 80))
INPUTS, LABELS = InputDistribution.fit(X), torch.arange(40) % 3
RECURRING = Recurring()
FEEDBACK = FeedbackSequences(RECURRING, draw(8, 5, 2), target_step=4, domain=(-5.0, 5.0))
SCM = LinearModel({"a": [], "b": ["a"], "c": ["b"], "d": []}, {"b": {"a": 1.0}, "c": {"b": 0.5}})
GRAPH = paths.explanatory_graph(NET, X, 0, allow_wrong=True)


def effect():
    ace = AverageCausalEffect(NET, INPUTS)
    return ace, ace.attribute(X[:2], 0)


CALLS = {
    **{
        method: lambda method=method: interventional_expectation(NET, INPUTS, 0, [0.0, 1.0], method=method)
        for method in ("monte_carlo", "taylor", "cubature")
    },
    "list": lambda: interventional_expectation([NET, NET], INPUTS, 0, [0.0, 1.0]),
    "outputs": lambda: interventional_expectation(NET, INPUTS, 0, [0.0, 1.0], outputs=[1]),
    "groups": lambda: interventional_expectation(NET, INPUTS, 0, [0.0, 1.0], groups=LABELS, chunk_size=3),
    "shared first layer": lambda: interventional_expectation(WIDE, WIDE_INPUTS, 0, [0.0, 1.0]),
    "latent": lambda: interventional_expectation(NET, LatentPrior(2, 2, draws=9, dtype=F64), "z0", [0.0, 1.0]),
    "feedback": lambda: interventional_expectation(FEEDBACK.model, FEEDBACK, (1, 0), [0.0, 1.0]),
    "feedback taylor": lambda: interventional_expectation(FEEDBACK.model, FEEDBACK, (1, 0), [0.0], method="taylor"),
    "feedback inputs": lambda: (FEEDBACK, FEEDBACK.do((1, 0), [0.0]).means, FEEDBACK.do({(0, 0): 1.0}).samples),
    "regress": lambda: AverageCausalEffect(NET, INPUTS).regress(num=9),
    "attribute": effect,
    "direct": lambda: AverageCausalEffect(NET, INPUTS).attribute(X[:2], 0, via="direct"),
    "quantus": lambda: quantus_explain(NET, X[:2], LABELS[:2], explain=INPUTS),
    "sobol": lambda: sobol_indices(NET, num_inputs=4, num_samples=64),
    "variance": lambda: intrinsic_contributions(SCM, NET, target=0, num_samples=64),
    "entropy": lambda: intrinsic_contributions(
        SCM, NET, measure="entropy", categorical="softmax", num_samples=16, inner_samples=4
    ),
    **{
        route: lambda route=route: half_trace(NET, X[:2], draw(4, 2), route=route)
        for route in ("auto", "collapsed", "jvp_grad", "double_backward", "hessian", "central_difference")
    },
    "jets": lambda: jets.propagate(NET, X[:2], draw(4, 2)),
    "graph": lambda: GRAPH,
    "effects": lambda: paths.treatment_effects(NET, X, 0, "second"),
    "run": lambda: (lambda run: [run.outputs, run.observed, list(run.recordings())])(Run(NET, X, 0)),
    "outputs_of": lambda: outputs_of(NET, X),
    "fidelity": lambda: paths.fidelity(NET, GRAPH, X, LABELS, draws=1),
    "repair": lambda: paths.repair(NET, GRAPH, X, LABELS),
    "reliability": lambda: paths.reliability(NET, X, 0, runs=10, every=5, knots=5),
    "time_lag": lambda: recurrent.time_lag(RECURRING, draw(4, 3, 2)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore")
def test_what_is_kept_has_no_graph(name):
    result = CALLS[name]()
    assert not graphs(result)
    if hasattr(result, "to_frame"):
        assert len(result.to_frame())


@pytest.mark.filterwarnings("ignore")
def test_the_numbers_are_those_of_the_network_without():
    plain = nn.Sequential(NET.first, nn.Tanh(), NET.second)
    for method in ("monte_carlo", "taylor", "cubature"):
        found, right = (interventional_expectation(net, INPUTS, 0, [0.0, 1.0], method=method) for net in (NET, plain))
        torch.testing.assert_close(found.values, right.values, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.stderr, right.stderr, rtol=1e-12, atol=1e-12)
