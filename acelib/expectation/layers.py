"""The first layers of a network, one after the other, and the rest of it: places where it can be cut in two.

A network whose input passes through a chain of layers is read with ``torch.fx``; where that fails, or a chain ends,
there is no cut. The layers of a chain act on positions of a grid: convolutions, pools, and what acts on each number.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

POINTWISE: tuple[type[nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Softsign,
    nn.Sigmoid,
    nn.Tanh,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
)
NOTHING: tuple[type[nn.Module], ...] = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLS: tuple[type[nn.Module], ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
MEANS: tuple[type[nn.Module], ...] = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
LAYERS = (*POINTWISE, *NOTHING, *NORMS, *CONVOLUTIONS, *POOLS, *MEANS)

_FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    **dict.fromkeys((F.relu, torch.relu, "relu"), nn.ReLU),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), nn.Tanh),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), nn.Sigmoid),
    F.gelu: nn.GELU,
    F.silu: nn.SiLU,
    F.elu: nn.ELU,
    F.softplus: nn.Softplus,
    F.leaky_relu: nn.LeakyReLU,
    F.max_pool1d: nn.MaxPool1d,
    F.max_pool2d: nn.MaxPool2d,
    F.max_pool3d: nn.MaxPool3d,
    F.avg_pool1d: nn.AvgPool1d,
    F.avg_pool2d: nn.AvgPool2d,
    F.avg_pool3d: nn.AvgPool3d,
}


@dataclass(frozen=True, eq=False)
class Cut:
    """A network in two parts.

    Attributes:
        layers: what the input passes through first, one after the other.
        rest: the network from there on.
    """

    layers: tuple[nn.Module, ...]
    rest: Callable[[Tensor], Tensor]

    def block(self, x: Tensor) -> Tensor:
        """Return what the first layers make of inputs ``(batch, *shape)``."""
        for layer in self.layers:
            x = layer(x)
        return x


def cuts(model: Any) -> list[Cut]:
    """Return the places behind which a network goes on with another product: one for each layer that bends or pools.

    Args:
        model: a module that ``torch.fx`` can read; for any other callable the list is empty.

    Example:
        >>> maps = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3), nn.ReLU()
        >>> net, x = nn.Sequential(*maps, nn.Flatten(), nn.Linear(8, 2)), torch.ones(1, 1, 10, 10)
        >>> found = cuts(net)
        >>> assert [len(cut.layers) for cut in found] == [3, 5]
        >>> assert all(torch.equal(cut.rest(cut.block(x)), net(x)) for cut in found)
    """
    if not isinstance(model, nn.Module):
        return []
    try:
        traced = fx.symbolic_trace(model)
    except Exception:  # noqa: BLE001  (whatever a network does that cannot be read: it is then not cut)
        return []
    found, layers, chain = [], [], []
    inputs = [node for node in traced.graph.nodes if node.op == "placeholder"]
    for node, layer in _chain(traced, inputs[0]) if len(inputs) == 1 else ():
        layers.append(layer)
        chain.append(node)
        if _bends(layer) and not _bends(_following(traced, node)) and any(isinstance(x, CONVOLUTIONS) for x in layers):
            found.append(Cut(tuple(layers), _rest(traced, inputs[0], chain)))
    return found


def _bends(layer: nn.Module | None) -> bool:
    """Return whether a layer bends, pools or passes on, so that a network is cut behind it and not before."""
    return isinstance(layer, (*POINTWISE, *POOLS, *MEANS, *NOTHING))


def _chain(traced: fx.GraphModule, start: fx.Node) -> Iterator[tuple[fx.Node, nn.Module]]:
    """Yield nodes and layers that follow each other and that nothing else reads, as far as they are known."""
    node = start
    while len(node.users) == 1:
        (following,) = node.users
        layer = _layer(traced, following, node)
        if layer is None:
            return
        yield following, layer
        node = following


def _following(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the known layer that alone reads a node, or None."""
    if len(node.users) != 1:
        return None
    (following,) = node.users
    return _layer(traced, following, node)


def _layer(traced: fx.GraphModule, node: fx.Node, before: fx.Node) -> nn.Module | None:
    """Return a node that reads one other alone as a layer, or None where it is none that is known."""
    if not node.args or node.args[0] is not before or len(node.all_input_nodes) != 1:
        return None
    if node.op == "call_module":
        layer = traced.get_submodule(str(node.target))
        return layer if _known(layer) and len(node.args) == 1 and not node.kwargs else None
    make = _FUNCTIONS.get(node.target) if node.op in ("call_function", "call_method") else None
    if make is None:
        return None
    settings = {name: value for name, value in node.kwargs.items() if name != "inplace" or not value}
    try:
        layer = make(*node.args[1:5], **settings)
    except TypeError:
        return None
    return layer if len(node.args) <= 5 and settings.keys() == node.kwargs.keys() and _known(layer) else None


def _known(layer: nn.Module) -> bool:
    """Return whether a layer is one of those whose reach is known, and does what its type says."""
    if type(layer) not in LAYERS or layer._forward_hooks or layer._forward_pre_hooks:
        return False
    if isinstance(layer, CONVOLUTIONS):
        return layer.padding_mode == "zeros"
    if isinstance(layer, POOLS):
        return not (layer.ceil_mode or layer.return_indices)
    if isinstance(layer, MEANS):
        plain = bool(layer.count_include_pad) or not any(_numbers(layer.padding))
        return plain and not layer.ceil_mode and getattr(layer, "divisor_override", None) is None
    return True


def _numbers(one_or_more: Any) -> tuple[int, ...]:
    return tuple(one_or_more) if isinstance(one_or_more, (tuple, list)) else (operator.index(one_or_more),)


def _rest(traced: fx.GraphModule, start: fx.Node, chain: list[fx.Node]) -> fx.GraphModule:
    """Return the network behind the last node of a chain."""
    graph, known = fx.Graph(), {}
    known[chain[-1]] = graph.placeholder("units")
    for node in traced.graph.nodes:
        if node is not start and node not in chain:
            known[node] = graph.node_copy(node, lambda one: known[one])
    return fx.GraphModule(traced, graph)
