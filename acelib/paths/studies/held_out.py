"""Held-out data on which a graph is judged: what a network classifies with some of its nodes masked, and intervals.

Fidelity masks necessary nodes and repair masks noisy ones; both choose a share of the nodes of each layer, call the
masked network on the same inputs and count successes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..graph import ExplanatoryGraph
from ..run import check_inputs, check_labels, outputs_of
from ..trace import Trace, admitted_layers
from .masking import masked

EDGES = ("nodes", "paths")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A network, the graph of a class, and inputs of all classes on which the masked network is called.

    Attributes:
        model: the network that the graph explains.
        trace: its layers.
        graph: its explanatory graph for the class.
        inputs: ``(n, *shape)`` held-out inputs.
        labels: ``(n,)`` their classes.
        layers: names of the layers to mask in.
        edges: "nodes" masks all weights from a node in that layer, "paths" only those to the graph's targets.
        chunk_size: inputs a call.
    """

    model: nn.Module
    trace: Trace
    graph: ExplanatoryGraph
    inputs: Tensor
    labels: Tensor
    layers: tuple[str, ...]
    edges: str
    chunk_size: int

    @property
    def own(self) -> Tensor:
        """``(n,)`` boolean: the input is of the explained class."""
        return self.labels == self.graph.target

    def outputs(self) -> Tensor:
        """Return the outputs ``(n, classes)`` of the network as it is, in float64."""
        return outputs_of(self.model, self.inputs, self.chunk_size)

    def classes(self, nodes: Mapping[str, Sequence[int]]) -> Tensor:
        """Return the classes ``(n,)`` that the network gives with the ``nodes`` of each layer masked."""
        targets = {name: self.graph[name].targets if self.edges == "paths" else None for name in nodes}
        with masked(self.model, self.trace, {name: (chosen, targets[name]) for name, chosen in nodes.items()}):
            return self.outputs().argmax(1)


def held_out(
    model: nn.Module,
    graph: ExplanatoryGraph,
    inputs: Tensor,
    labels: Any,
    *,
    layers: Sequence[str] | None,
    edges: str,
    chunk_size: int,
) -> HeldOut:
    """Return the checked data of a study; the arguments are those of ``fidelity`` and ``repair``.

    Raises:
        ValueError: for labels of another length, no input of the class, an unknown layer or kind of edges.
    """
    inputs = check_inputs(inputs, 1)
    labels = check_labels(labels, inputs)
    if not bool((labels == graph.target).any()):
        raise ValueError(f"labels must hold class {graph.target}, which the graph explains, got none; give such inputs")
    if edges not in EDGES:
        raise ValueError(f"edges must be one of {', '.join(EDGES)}, got {edges!r}")
    found = admitted_layers(model, inputs)
    return HeldOut(model, found, graph, inputs, labels, study_layers(graph, layers), edges, chunk_size)


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


def check_shares(shares: Sequence[float]) -> Tensor:
    """Return ``shares`` as a tensor ``(s,)`` in float64.

    Raises:
        ValueError: if one is not between 0 and 1.
    """
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"shares must lie between 0 and 1, got {tuple(shares)}")
    return torch.tensor(list(shares), dtype=torch.float64)


def wilson(successes: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; NaN where there is nothing to count.

    Example:
        >>> low, high = wilson(8, 10)
        >>> assert abs(low - 0.490) < 1e-3 and abs(high - 0.943) < 1e-3
    """
    if count == 0:
        return float("nan"), float("nan")
    from scipy.stats import binomtest  # takes a second to import

    interval = binomtest(int(round(successes)), count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
