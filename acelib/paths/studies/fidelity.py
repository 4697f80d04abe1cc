"""Accuracy of a class as its most necessary nodes are masked, against controls.

A collapse means something only beside what masking other nodes does: as many at random in the same layers, and as
many with the largest ``|w * a|``, which anyone can compute without an intervention. The other classes show whether the
nodes belong to this class or to the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..._checks import as_generator
from ..._optional import optional
from ..._saved import Result
from ..batching import Recording
from ..graph import ExplanatoryGraph
from .held_out import HeldOut, check_shares, held_out, wilson
from .masking import ranked, share_of, weighted_activations

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
RANKINGS = ("necessary", "random", "largest")
SCORED = 100  # inputs of the class behind the |w * a| ranking

Counts = Mapping[str, int]  # nodes to mask, by layer
Nodes = Mapping[str, Sequence[int]]
Choose = Callable[[Counts], Nodes]


@dataclass(frozen=True, eq=False, repr=False)
class Fidelity(Result):
    """Accuracies under masking, for three ways to choose the nodes: "necessary", "random", "largest" ``|w * a|``.

    Attributes:
        target: the explained class.
        shares: ``(s,)`` share of the necessary nodes that was masked, or as many others.
        masked: ``(s,)`` number of nodes masked.
        own: for each ranking ``(s,)`` accuracy on inputs of the class.
        own_interval: for each ranking ``(s, 2)`` its 95 % interval: Wilson's over the inputs; for random choices
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
        pd = optional("pandas", "a data frame")
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
        seed: seed of those choices; None and 0 draw the same.
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
    data = held_out(model, graph, inputs, labels, layers=layers, edges=edges, chunk_size=chunk_size)
    values = check_shares(shares)
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    choosers = _choosers(data, as_generator(seed))
    results: dict[str, list[dict[str, Any]]] = {ranking: [] for ranking in RANKINGS}
    sizes = []
    for share in shares:
        counts = {name: share_of(graph[name].necessary, share) for name in data.layers}
        sizes.append(sum(counts.values()))
        for ranking, choose in choosers.items():
            repeats = draws if ranking == "random" and any(counts.values()) else 1
            results[ranking].append(_summary([_accuracies(data, choose(counts)) for _ in range(repeats)], data.own))

    def table(column: str) -> dict[str, Tensor]:
        return {ranking: torch.tensor([row[column] for row in rows]) for ranking, rows in results.items()}

    return Fidelity(
        target=graph.target,
        shares=values,
        masked=torch.tensor(sizes),
        own=table("own"),
        own_interval=table("own_interval"),
        others=table("others"),
        others_interval=table("others_interval"),
        draws=draws,
    )


def _choosers(data: HeldOut, generator: torch.Generator) -> dict[str, Choose]:
    """Return for each ranking the function from numbers of nodes by layer to the nodes chosen."""
    graph = data.graph
    recording = Recording(data.model, data.trace, data.inputs[data.own.to(data.inputs.device)][:SCORED])
    layers = {name: data.trace.layer(name) for name in data.layers}
    scores = {name: weighted_activations(recording, x, graph[name].targets) for name, x in layers.items()}

    def necessary(counts: Counts) -> Nodes:
        return {n: ranked(graph[n].effects, graph[n].necessary, c) for n, c in counts.items()}

    def random(counts: Counts) -> Nodes:
        return {n: torch.randperm(layers[n].num_nodes, generator=generator)[:c].tolist() for n, c in counts.items()}

    def largest(counts: Counts) -> Nodes:
        return {n: ranked(scores[n], range(layers[n].num_nodes), c) for n, c in counts.items()}

    return dict(zip(RANKINGS, (necessary, random, largest), strict=True))


def _accuracies(data: HeldOut, nodes: Nodes) -> tuple[float, float]:
    """Return the accuracies on inputs of the class and on all others with ``nodes`` masked."""
    right = data.classes(nodes) == data.labels
    return float(right[data.own].double().mean()), float(right[~data.own].double().mean())


def _summary(scores: list[tuple[float, float]], own: Tensor) -> dict[str, Any]:
    """Return the means over the draws and their intervals."""
    row: dict[str, Any] = {}
    for k, (column, mine) in enumerate((("own", own), ("others", ~own))):
        count, values = int(mine.sum()), torch.tensor([pair[k] for pair in scores], dtype=torch.float64)
        row[column] = mean = float(values.mean())
        limits = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        row[f"{column}_interval"] = list(wilson(mean * count, count)) if len(scores) == 1 and count else limits
    return row
