"""Maps that show where in an image the necessary parents of a node act (Eq. 3).

The map of the node i is s_i = 1/``|J|`` * sum over its necessary parents j of f(w_ji, a_j), with f the convolution of
the parent's activations with the weights between the two. A single parent's map shows one filter. The map of a class
aggregates those of the relevant nodes of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._saved import Result
from .batching import Recording, default_chunk, pieces
from .edges import parent_signals
from .graph import ExplanatoryGraph
from .run import check_inputs
from .trace import Layer, admitted_layers

REDUCTIONS = ("mean", "top1", None)
NORMALISATIONS = ("max", "minmax", None)
AGGREGATES = ("mean", "effect", "max")


@dataclass(frozen=True, eq=False, repr=False)
class NodeMaps(Result):
    """Maps of the nodes of one convolution, for every input.

    Attributes:
        layer: name of the convolution.
        nodes: its mapped output channels.
        parents: their necessary parents.
        maps: ``(n, nodes, H, W)``; with every filter kept, ``(n, nodes, parents, H, W)``.
    """

    layer: str
    nodes: tuple[int, ...]
    parents: tuple[int, ...]
    maps: Tensor

    def __repr__(self) -> str:
        return f"NodeMaps({self.layer}: nodes {self.nodes}, parents {self.parents}, maps {tuple(self.maps.shape)})"

    def plot(self, images: Tensor | None = None, **options: Any) -> Any:
        """Draw the maps, over the images where given; return the figure."""
        from ..plots.graphs import plot_maps

        return plot_maps(self, images, **options)


def node_maps(
    model: nn.Module,
    inputs: Tensor,
    graph: ExplanatoryGraph,
    layer: str | None = None,
    *,
    nodes: Sequence[int] | None = None,
    reduction: str | None = "mean",
    upsample: bool = True,
    normalise: str | None = "max",
) -> NodeMaps:
    """Return the maps of nodes of a convolution from their necessary parents, ``(n, nodes, H, W)``.

    Args:
        model: the network that the graph explains.
        inputs: ``(n, channels, H, W)`` images to explain, any number.
        graph: the explanatory graph of the class.
        layer: name of a Conv2d; the one nearest to the output with necessary parents where None.
        nodes: output channels of it; the graph's targets there where None.
        reduction: over the parents: "mean" (Eq. 3), "top1" the parent whose map reaches highest on that input, None
            keeps every filter.
        upsample: whether to enlarge the maps to the size of the images, bilinearly.
        normalise: "max" divides each map by its largest absolute value, "minmax" brings it to [0, 1], None leaves it.

    Raises:
        ValueError: for unknown names or options, a linear layer, or a layer without necessary nodes.

    References:
        Ahmad et al. (2023), Eq. 3.

    Example:
        >>> from acelib.paths import explanatory_graph
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
        >>> _ = [nn.init.constant_(p, 0.1) for p in net.parameters()]
        >>> x = torch.rand(30, 1, 4, 4)
        >>> found = node_maps(net, x[:2], explanatory_graph(net, x, 0))
        >>> assert found.layer == "0" and found.maps.shape == (2, 2, 4, 4)
    """
    for name, value, allowed in (("reduction", reduction, REDUCTIONS), ("normalise", normalise, NORMALISATIONS)):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
    inputs = check_inputs(inputs, 1)
    found = admitted_layers(model, inputs)
    name = default_layer(graph) if layer is None else layer
    at = found.layer(name)
    if at.kind != "Conv2d":
        raise ValueError(f"layer must be a Conv2d, got the {at.kind} '{name}'; choose one of the graph")
    parents, chosen = graph[name].necessary, tuple(graph[name].targets if nodes is None else nodes)
    if not parents or not chosen:
        raise ValueError(
            f"layer must have necessary nodes in the graph of class {graph.target}, got none in '{name}'; choose one "
            "with such nodes"
        )
    recording = Recording(model, found, inputs)
    maps = _reduce(at, recording.input_of(at), parents, chosen, reduction)
    if upsample:
        flat = maps.flatten(1, -3)
        size = inputs.shape[-2:]
        flat = F.interpolate(flat, size=size, mode="bilinear", align_corners=False)
        maps = flat.reshape(*maps.shape[:-2], *size)
    return NodeMaps(name, chosen, parents, normalised(maps, normalise))


def class_map(
    model: nn.Module,
    inputs: Tensor,
    graph: ExplanatoryGraph,
    *,
    layer: str | None = None,
    aggregate: str = "mean",
    upsample: bool = True,
    normalise: str | None = "max",
) -> Tensor:
    """Return one map per input for the class, ``(n, H, W)``: the maps of a layer's relevant nodes together.

    Args:
        model: the network that the graph explains.
        inputs: ``(n, channels, H, W)`` images to explain.
        graph: the explanatory graph of the class.
        layer: name of a Conv2d; the one nearest to the output with necessary parents where None.
        aggregate: "mean" over the nodes, "effect" weighs each by what its removal costs the class, "max" takes the
            largest at each pixel.
        upsample: whether to enlarge the map to the size of the images.
        normalise: "max", "minmax" or None, see ``node_maps``.

    Raises:
        ValueError: as ``node_maps``.

    References:
        Ahmad et al. (2023), Eq. 3 and Sec. 3.

    Example:
        >>> from acelib.paths import explanatory_graph
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
        >>> _ = [nn.init.constant_(p, 0.1) for p in net.parameters()]
        >>> x = torch.rand(30, 1, 4, 4)
        >>> assert class_map(net, x[:2], explanatory_graph(net, x, 0)).shape == (2, 4, 4)
    """
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate must be one of {', '.join(AGGREGATES)}, got {aggregate!r}")
    found = node_maps(model, inputs, graph, layer, upsample=upsample, normalise=None)
    if aggregate == "max":
        return normalised(found.maps.amax(1), normalise)
    weights = torch.ones(len(found.nodes), dtype=torch.float64)
    if aggregate == "effect":
        weights = node_weights(graph, found.layer, found.nodes)
    weights = (weights / weights.sum()).to(found.maps)
    return normalised(torch.einsum("nthw,t->nhw", found.maps, weights), normalise)


def default_layer(graph: ExplanatoryGraph) -> str:
    """Return the name of the convolution nearest to the output that has necessary parents and targets.

    Raises:
        ValueError: if there is none.
    """
    for layer in graph.layers:
        if layer.kind == "Conv2d" and layer.necessary and layer.targets:
            return layer.name
    raise ValueError(f"graph must have a convolution with necessary nodes, got none for class {graph.target}")


def node_weights(graph: ExplanatoryGraph, name: str, nodes: Sequence[int]) -> Tensor:
    """Return what removing each output channel of a layer costs the class ``(nodes,)`` in the layers above it."""
    costs = torch.zeros(len(nodes), dtype=torch.float64)
    for layer in graph.layers:
        for j in layer.necessary:
            for origin in layer.origins[j]:
                if origin[0] == name and origin[1] in nodes:
                    costs[list(nodes).index(origin[1])] -= layer.effects[j]
    return costs if bool((costs > 0).any()) else torch.ones_like(costs)


def extrema(maps: Tensor, *, count: int = 5, radius: int = 1) -> list[list[tuple[int, int, float]]]:
    """Return the highest local maxima of each map ``(n, H, W)`` as (row, column, value), the highest first.

    Args:
        maps: ``(n, H, W)``.
        count: at most this many a map.
        radius: a maximum is the largest value within this distance, on a plateau its first pixel.

    Example:
        >>> maps = torch.zeros(1, 5, 5)
        >>> maps[0, 1, 1], maps[0, 3, 4] = 2.0, 1.0
        >>> assert extrema(maps, count=2) == [[(1, 1, 2.0), (3, 4, 1.0)]]
    """
    peaks = F.max_pool2d(maps[:, None], 2 * radius + 1, stride=1, padding=radius)[:, 0]
    found = []
    for one, high in zip(maps, peaks, strict=True):
        spots = ((one == high) & (one > one.min())).nonzero().tolist()
        spots.sort(key=lambda s: -float(one[s[0], s[1]]))
        found.append([(r, c, float(one[r, c])) for r, c in spots[:count]])
    return found


def normalised(maps: Tensor, how: str | None) -> Tensor:
    """Return maps ``(..., H, W)`` divided by their largest absolute value ("max"), or brought to [0, 1] ("minmax")."""
    if how is None:
        return maps
    if how == "max":
        return maps / maps.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)


def _reduce(at: Layer, a: Tensor, parents: Sequence[int], nodes: Sequence[int], reduction: str | None) -> Tensor:
    """Return the signals of the parents ``(n, nodes, [parents,] h, w)``, averaged or chosen in pieces."""
    kept: list[Tensor] = []
    found: Tensor | None = None  # the sum so far, or the best so far
    with torch.no_grad():
        for part in pieces(parents, len(a), default_chunk(at)):
            maps = parent_signals(at, a, part, nodes)  # (p, n, t, h, w)
            if reduction is None:
                kept.append(maps)
            elif reduction == "mean":
                found = maps.sum(0) / len(parents) + (0 if found is None else found)
            else:
                stack = maps if found is None else torch.cat([found[None], maps])
                winner = stack.amax((-2, -1)).argmax(0)[None, :, :, None, None]
                found = stack.gather(0, winner.expand(1, *stack.shape[1:]))[0]
    return torch.cat(kept).permute(1, 2, 0, 3, 4) if found is None else found
