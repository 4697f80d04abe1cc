"""What does the network do without some of its nodes? A context in which chosen weights count as 0.

Used by the studies: necessary nodes are masked to see a class collapse, noisy ones to see whether it recovers. The
weights themselves are never edited; a masked copy is used inside the context.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._intercept import intercept
from ..batching import Recording, default_chunk, pieces
from ..edges import contributions
from ..trace import Layer, Trace

EDGES = ("nodes", "paths")
Masks = Mapping[str, tuple[Sequence[int], Sequence[int] | None]]


@contextmanager
def masked(model: nn.Module, found: Trace, masks: Masks) -> Iterator[None]:
    """Nothing comes back: within the context the weights from chosen nodes to chosen targets count as 0.

    Args:
        model: the network.
        found: its trace.
        masks: for each layer name, the nodes and the targets (None: all of them).

    Raises:
        ValueError: for a layer that the trace does not hold.

    Example:
        >>> from acelib.paths.trace import trace_layers
        >>> net = nn.Sequential(nn.Linear(2, 1, bias=False))
        >>> x = torch.ones(2, 2)
        >>> with masked(net, trace_layers(net, x), {"0": ((0, 1), None)}):
        ...     assert net(x).abs().max() == 0
    """
    weights = {}
    for name, (nodes, targets) in masks.items():
        if len(nodes):
            layer = found.layer(name)
            weights[layer.module] = _without(layer, nodes, targets)

    def handle(module: nn.Module, forward: Any, x: Tensor) -> Tensor:
        if isinstance(module, nn.Conv2d):
            return module._conv_forward(x, weights[module], module.bias)
        return F.linear(x, weights[module], module.bias)

    with intercept(list(weights), handle):
        yield


def _without(layer: Layer, nodes: Sequence[int], targets: Sequence[int] | None) -> Tensor:
    weight = layer.module.weight.detach().clone()
    rows = range(layer.num_outputs) if targets is None else targets
    out = torch.as_tensor(list(rows), device=weight.device)
    groups = getattr(layer.module, "groups", 1)
    for node in nodes:
        columns = torch.as_tensor(layer.nodes[node], device=weight.device)
        mine = out
        if groups > 1:
            inside, outside = layer.module.in_channels // groups, layer.num_outputs // groups
            mine, columns = out[out // outside == columns // inside], columns % inside
        weight[mine[:, None], columns] = 0
    return weight


def predictions(model: nn.Module, inputs: Tensor, chunk_size: int = 1024) -> Tensor:
    """Return the outputs ``(n, classes)`` on the CPU in float64, without gradients."""
    with torch.no_grad():
        return torch.cat([model(part) for part in inputs.split(chunk_size)]).double().cpu()


def ranked(effects: Tensor, nodes: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the ``count`` nodes of ``nodes`` with the largest absolute effects."""
    return tuple(sorted(nodes, key=lambda j: -abs(float(effects[j])))[:count])


def share_of(nodes: Sequence[int], share: float) -> int:
    """Return how many nodes a share is: rounded up, so that a share above 0 masks at least one."""
    return math.ceil(round(share * len(nodes), 9))


def weighted_activations(recording: Recording, layer: Layer, targets: Sequence[int]) -> Tensor:
    """Return mean |w * a| of every node ``(nodes,)``: its mean absolute contribution to the targets."""
    a, found = recording.input_of(layer), torch.zeros(layer.num_nodes, dtype=torch.float64)
    with torch.no_grad():
        for nodes in pieces(range(layer.num_nodes), len(a), default_chunk(layer)):
            part = contributions(layer, a, nodes, targets).abs()
            found[list(nodes)] = part.double().flatten(1).mean(1).cpu()
    return found
