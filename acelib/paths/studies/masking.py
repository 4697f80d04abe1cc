"""A context in which chosen weights of a network count as 0, and the choice of the nodes to mask.

Necessary nodes are masked to see a class collapse, noisy ones to see whether it recovers. The weights themselves are
never edited; a masked copy is used while the context is active.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..._devices import double
from .._attention import routed
from .._forward import Weighted, with_weight
from .._intercept import intercept
from ..batching import Recording, default_chunk, pieces
from ..edges import parent_signals
from ..trace import Layer, Trace

Masks = Mapping[str, tuple[Sequence[int], Sequence[int] | None]]


@contextmanager
def masked(model: nn.Module, found: Trace, masks: Masks) -> Iterator[None]:
    """Set the weights from chosen nodes to chosen targets to 0 while the context is active, on a copy.

    Args:
        model: the network.
        found: its trace.
        masks: for each layer name, the nodes and the targets; None means all targets.

    Raises:
        ValueError: for a layer that the trace does not hold.

    Example:
        >>> from acelib.paths.trace import trace_layers
        >>> net = nn.Sequential(nn.Linear(2, 1, bias=False))
        >>> x = torch.ones(2, 2)
        >>> with masked(net, trace_layers(net, x), {"0": ((0, 1), None)}):
        ...     assert net(x).abs().max() == 0
    """
    weights: dict[nn.Module, Tensor] = {}
    for name, (nodes, targets) in masks.items():
        if len(nodes):
            layer = found.layer(name)
            weights[layer.module] = _without(layer, nodes, targets)

    def handle(module: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(module, nn.MultiheadAttention):
            return routed(found.attention, module, forward)(*args, **kwargs)
        assert isinstance(module, Weighted)
        x = args[0] if args else next(iter(kwargs.values()))
        return with_weight(module, x, weights[module], module.bias)

    with intercept([*weights, *(found.attention if weights else ())], handle):
        yield


def _without(layer: Layer, nodes: Sequence[int], targets: Sequence[int] | None) -> Tensor:
    """Return a copy of the weight that is 0 from ``nodes`` to ``targets``."""
    weight = layer.module.weight.detach().clone()
    rows = range(layer.num_outputs) if targets is None else targets
    out = torch.as_tensor(list(rows), device=weight.device)
    module = layer.module
    for node in nodes:
        columns = torch.as_tensor(layer.nodes[node], device=weight.device)
        mine = out
        if not isinstance(module, nn.Linear) and module.groups > 1:
            inside, outside = module.in_channels // module.groups, module.out_channels // module.groups
            mine, columns = out[out // outside == columns // inside], columns % inside
        weight[mine[:, None], columns] = 0
    return weight


def ranked(effects: Tensor, nodes: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the ``count`` nodes of ``nodes`` with the largest absolute effects."""
    return tuple(sorted(nodes, key=lambda j: -abs(float(effects[j])))[:count])


def share_of(nodes: Sequence[int], share: float) -> int:
    """Return how many nodes a share is: rounded up, so that a share above 0 masks at least one."""
    return math.ceil(round(share * len(nodes), 9))


def weighted_activations(recording: Recording, layer: Layer, targets: Sequence[int]) -> Tensor:
    """Return mean ``|w * a|`` of every node ``(nodes,)``: the mean absolute signal it adds to the targets."""
    a, found = recording.input_of(layer), torch.zeros(layer.num_nodes, dtype=torch.float64)
    with torch.no_grad():
        for nodes in pieces(range(layer.num_nodes), len(a), default_chunk(layer)):
            part = parent_signals(layer, a, nodes, targets).abs()
            found[list(nodes)] = double(part).flatten(1).mean(1).cpu()
    return found
