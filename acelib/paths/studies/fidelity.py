"""Are the necessary nodes necessary? Accuracy of a class as its most necessary nodes are masked, against controls.

A collapse says something only beside what happens when other nodes go: as many at random in the same layers, and as
many with the largest |w * a|, which anyone can compute without an intervention. The other classes show whether the
nodes belong to this class or to the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy import stats
from torch import Tensor, nn

from ..batching import Recording
from ..effects import check_inputs, seed_generator
from ..graph import ExplanatoryGraph
from ..trace import Trace, trace_layers
from .masking import EDGES, masked, predictions, ranked, share_of, weighted_activations

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
RANKINGS = ("necessary", "random", "largest")
SCORED = 100  # inputs of the class behind the |w * a| ranking


@dataclass(frozen=True, repr=False)
class Fidelity:
    """Accuracies under masking, for three ways to choose the nodes: "necessary", "random", "largest" |w * a|.

    Attributes:
        target: the explained class.
        shares: ``(s,)`` share of the necessary nodes that was masked, or as many others.
        masked: ``(s,)`` number of nodes masked.
        own: for each ranking ``(s,)`` accuracy on inputs of the class.
        own_interval: for each ranking ``(s, 2)`` its 95 % interval: Wilson's for the inputs; for random choices
            the quantiles over the draws.
        others: for each ranking ``(s,)`` accuracy on all other inputs.
        others_interval: likewise.
        draws: number of random choices.
    """

    target: int
    shares: Tensor
    masked: Tensor
    own: dict[str, Tensor]
    own_interval: dict[str, Tensor]
    others: dict[str, Tensor]
    others_interval: dict[str, Tensor]
    draws: int

    def __repr__(self) -> str:
        parts = []
        for ranking in RANKINGS:
            values = ", ".join(f"{v:.2f}" for v in self.own[ranking].tolist())
            parts.append(f"{ranking} {values}")
        return f"Fidelity(target {self.target}, accuracy of the class by share masked: {'; '.join(parts)})"

    def plot(self, **options: Any) -> Any:
        """Draw accuracy against the share masked; return the figure."""
        from ...plots.graphs import plot_fidelity

        return plot_fidelity(self, **options)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (share, ranking)."""
        import pandas as pd

        rows = []
        for ranking in RANKINGS:
            for i, share in enumerate(self.shares.tolist()):
                own, others = self.own_interval[ranking][i].tolist(), self.others_interval[ranking][i].tolist()
                rows.append(
                    {
                        "share": share,
                        "masked": int(self.masked[i]),
                        "ranking": ranking,
                        "own": float(self.own[ranking][i]),
                        "own_low": own[0],
                        "own_high": own[1],
                        "others": float(self.others[ranking][i]),
                        "others_low": others[0],
                        "others_high": others[1],
                    }
                )
        return pd.DataFrame(rows)


def fidelity(
    model: nn.Module,
    graph: ExplanatoryGraph,
    inputs: Tensor,
    labels: Any,
    *,
    shares: Sequence[float] = SHARES,
    layers: Sequence[str] | None = None,
    edges: str = "nodes",
    draws: int = 20,
    seed: int | None = None,
    chunk_size: int = 1024,
) -> Fidelity:
    """Return the accuracies of a class and of the others as its top necessary nodes are masked, with controls.

    Args:
        model: the network that the graph explains.
        graph: its explanatory graph for the class.
        inputs: ``(n, *shape)`` held-out inputs of all classes.
        labels: ``(n,)`` their classes.
        shares: shares of each layer's necessary nodes to mask, the largest effects first.
        layers: names of the layers to mask in; all that do not read the network's input where None.
        edges: "nodes" masks all weights from a node in that layer, "paths" only those to the graph's targets.
        draws: random choices of as many nodes in the same layers.
        seed: of those choices.
        chunk_size: inputs a call.

    Raises:
        ValueError: for bad options, labels of another length, or no input of the class.

    References:
        Ahmad et al. (2023), Fig. 10.

    Example:
        >>> from acelib.paths import explanatory_graph
        >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
        >>> with torch.no_grad():
        ...     for layer in (net[0], net[2]):
        ...         _ = layer.weight.copy_(torch.eye(2))
        >>> x = torch.rand(90, 2, generator=torch.Generator().manual_seed(0))
        >>> y = x.argmax(1)
        >>> graph = explanatory_graph(net, x, 0, labels=y, alpha=0.01)
        >>> study = fidelity(net, graph, x, y, shares=(0, 1), draws=2)
        >>> assert study.own["necessary"][0] == 1 and study.own["necessary"][1] < 0.1
    """
    inputs, labels = check_study(inputs, labels, graph.target, edges)
    if not all(0 <= s <= 1 for s in shares) or draws < 1:
        raise ValueError(f"shares must lie between 0 and 1 and draws be positive, got {tuple(shares)} and {draws}")
    found = trace_layers(model, inputs)
    used = study_layers(graph, layers)
    generator = seed_generator(seed)
    choose = _choosers(model, found, graph, inputs[(labels == graph.target).to(inputs.device)], used, generator)
    results: dict[str, list] = {ranking: [] for ranking in RANKINGS}
    for share in shares:
        counts = {name: share_of(graph[name].necessary, share) for name in used}
        for ranking in RANKINGS:
            repeats = draws if ranking == "random" and any(counts.values()) else 1
            scores = [
                _accuracies(model, found, graph, choose[ranking](counts), edges, inputs, labels, chunk_size)
                for _ in range(repeats)
            ]
            results[ranking].append(_summary(scores, labels == graph.target))
    total = torch.tensor([sum(share_of(graph[n].necessary, s) for n in used) for s in shares])
    columns = [{r: torch.tensor([x[k] for x in rows]) for r, rows in results.items()} for k in range(4)]
    return Fidelity(graph.target, torch.tensor(list(shares), dtype=torch.float64), total, *columns, draws)


def check_study(inputs: Tensor, labels: Any, target: int, edges: str) -> tuple[Tensor, Tensor]:
    """Return the inputs and labels of a study.

    Raises:
        ValueError: for labels of another length, no input of the class, or an unknown kind of edges.
    """
    inputs, labels = check_inputs(inputs, 1), torch.as_tensor(labels).cpu()
    if labels.shape != (len(inputs),):
        raise ValueError(f"labels must hold one class per input, ({len(inputs)},), got {tuple(labels.shape)}")
    if not bool((labels == target).any()):
        raise ValueError(f"labels holds no input of class {target}, which the graph explains; give some")
    if edges not in EDGES:
        raise ValueError(f"edges must be one of {', '.join(EDGES)}, got {edges!r}")
    return inputs, labels


def study_layers(graph: ExplanatoryGraph, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the layers to mask in: all that do not read the network's input where None.

    Raises:
        ValueError: for a name that the graph does not hold.
    """
    names = [layer.name for layer in graph.layers]
    if layers is None:
        return tuple(layer.name for layer in graph.layers if "input" not in layer.parents and layer.targets)
    if not set(layers) <= set(names):
        raise ValueError(f"layers must be among {names}, got {sorted(set(layers) - set(names))} besides")
    return tuple(layers)


def wilson(successes: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; NaN where there is nothing to count."""
    if count == 0:
        return float("nan"), float("nan")
    interval = stats.binomtest(int(round(successes)), count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _choosers(model, found: Trace, graph, own: Tensor, used, generator) -> dict[str, Callable]:
    recording = Recording(model, found, own[:SCORED])
    layers = {name: found.layer(name) for name in used}
    scores = {name: weighted_activations(recording, x, graph[name].targets) for name, x in layers.items()}

    def necessary(counts: dict) -> dict:
        return {n: ranked(graph[n].effects, graph[n].necessary, c) for n, c in counts.items()}

    def largest(counts: dict) -> dict:
        return {n: ranked(scores[n], range(layers[n].num_nodes), c) for n, c in counts.items()}

    def random(counts: dict) -> dict:
        return {n: torch.randperm(layers[n].num_nodes, generator=generator)[:c].tolist() for n, c in counts.items()}

    return {"necessary": necessary, "random": random, "largest": largest}


def _accuracies(model, found, graph, nodes: dict, edges, inputs, labels, chunk_size) -> tuple[float, float]:
    masks = {name: (chosen, graph[name].targets if edges == "paths" else None) for name, chosen in nodes.items()}
    with masked(model, found, masks):
        right = predictions(model, inputs, chunk_size).argmax(1) == labels
    own = labels == graph.target
    return float(right[own].double().mean()), float(right[~own].double().mean())


def _summary(scores: list[tuple[float, float]], own: Tensor) -> tuple:
    """Means over the draws and their intervals: own, own interval, others, others interval."""
    out: list[Any] = []
    for k, count in ((0, int(own.sum())), (1, int((~own).sum()))):
        values = torch.tensor([s[k] for s in scores], dtype=torch.float64)
        mean = float(values.mean())
        spread = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        out += [mean, list(wilson(mean * count, count)) if len(scores) == 1 and count else spread]
    return tuple(out)
