"""The layers of a network in the order of execution, and the channels that each of them reads.

They come from one forward pass over two inputs, never from attribute names: every call of a Linear or Conv2d is noted
in the order of execution, and labels that travel with the activations say which channels of which earlier layers
became which inputs of the next. Channels keep their index through sums, normalisations, activations and
pools; through a flattening they become blocks; through a concatenation they move by its offset. A residual stream
therefore has several producers: the input channel j of a layer above descends from channel j of each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .._models import check_mode, check_output, check_placement
from ._intercept import intercept
from ._labels import ALL, NONE, Labels, Provenance, reduce

INPUT = -1  # the network's input as a producer
Source = tuple[int, int]  # (producer: index of a layer or INPUT, its channel or ALL)
Weighted = nn.Linear | nn.Conv2d  # the modules whose weights are intervened on


@dataclass(frozen=True)
class Layer:
    """One Linear or Conv2d that a forward pass called.

    Attributes:
        name: qualified name of the module in the network.
        module: the module itself.
        index: its place in the order of execution, 0 first.
        kind: "Conv2d" or "Linear".
        nodes: input columns of each parent node: one channel or neuron, or the block of a flattened channel.
        sources: the channels of earlier layers each node descends from, as (layer index, channel).
        num_outputs: output channels or neurons, the possible targets.
        width: largest number of elements per input row in any module output from this layer on.
    """

    name: str
    module: Weighted = field(repr=False)
    index: int
    kind: str
    nodes: tuple[tuple[int, ...], ...] = field(repr=False)
    sources: tuple[tuple[Source, ...], ...] = field(repr=False)
    num_outputs: int
    width: int = field(repr=False)

    @property
    def num_nodes(self) -> int:
        """Number of parent nodes."""
        return len(self.nodes)


@dataclass(frozen=True)
class Trace:
    """The layers of a network in the order of execution and what feeds its outputs.

    Attributes:
        layers: every Linear and Conv2d that was called.
        outputs: for each output of the network, the channels it descends from.
        overwrites: whether the network changes activations in place.
    """

    layers: tuple[Layer, ...]
    outputs: tuple[tuple[Source, ...], ...] = field(repr=False)
    overwrites: bool

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``.

        Raises:
            ValueError: if the forward pass called no such layer.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise ValueError(f"layer must be one of the Linear and Conv2d layers {names}, got {name!r}")

    def parents(self, layer: Layer) -> tuple[str, ...]:
        """Return the names of the layers whose channels ``layer`` reads; "input" for the network's input."""
        found = sorted({p for node in layer.sources for p, _ in node})
        return tuple("input" if p == INPUT else self.layers[p].name for p in found)

    def targets(self, layer: Layer, wanted: list[Source]) -> tuple[int, ...]:
        """Return the output channels of ``layer`` among ``wanted``; all of them where one source is ``ALL``."""
        mine = {channel for producer, channel in wanted if producer == layer.index}
        return tuple(range(layer.num_outputs)) if ALL in mine else tuple(sorted(mine))


def trace_layers(model: nn.Module, inputs: Tensor) -> Trace:
    """Return the layers of ``model`` in the order of execution, with their nodes and where these come from.

    Args:
        model: a network ``(batch, *shape) -> (batch, outputs)`` in evaluation mode.
        inputs: ``(n, *shape)``, of which two rows are used.

    Raises:
        TypeError: if the model is no ``torch.nn.Module``.
        ValueError: without Linear or Conv2d layers, with shared weights, or a layer called twice.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
        >>> found = trace_layers(net, torch.zeros(2, 1, 4, 4))
        >>> assert [layer.num_nodes for layer in found.layers] == [1, 3]  # a flattened channel is one node
    """
    check_model(model, inputs)
    rows = inputs[:2] if len(inputs) > 1 else inputs.expand(2, *inputs.shape[1:])
    watch = _Watch({m: n for n, m in model.named_modules() if isinstance(m, Weighted)}, rows)
    with torch.no_grad(), intercept(list(model.modules()), watch.call), watch.provenance:
        out = model(watch.rows)
    out = check_output(out, 2)
    if not watch.layers:
        raise ValueError(
            "model must call a Linear or Conv2d layer in its forward pass, got none; path interventions need weights"
        )
    ends = _per_column(watch.provenance.of(out), 1, out.shape[1])
    return Trace(watch.finished(), ends, watch.overwrites())


def check_model(model: nn.Module, inputs: Tensor) -> None:
    """Raise an error if the model is no module, is in training mode, or differs from the inputs in device or dtype."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module whose layers can be found, got {type(model).__name__}")
    check_mode(model)
    check_placement([model], inputs)


class _Watch:
    """A handler that notes every call of the traced pass and gives the layers among them nodes and sources."""

    def __init__(self, names: dict[Weighted, str], rows: Tensor) -> None:
        self.names, self.provenance = names, Provenance()
        self.rows = rows.clone()
        self.layers: list[Layer] = []
        self.sizes: list[tuple[int, int]] = []  # (layers called before, elements per row) of each output
        self.versions: list[tuple[Tensor, int]] = []
        elements = torch.arange(rows[0].numel()).reshape(rows[0].shape).expand(rows.shape)
        self.provenance.own(self.rows, INPUT, elements)

    def call(self, module: nn.Module, forward: Callable, *args: Any, **kwargs: Any) -> Any:
        """Return what ``module`` returns, and note it."""
        if not isinstance(module, Weighted):
            out = forward(*args, **kwargs)
            if isinstance(out, Tensor):
                self._note(out)
            return out
        self._refuse_repetition(module)
        x = args[0] if args else kwargs["input"]
        labels, number = dict(self.provenance.of(x)), len(self.layers)
        self.versions.append((x, x._version))
        out = forward(*args, **kwargs)
        conv = isinstance(module, nn.Conv2d)
        if conv:
            if x.ndim != 4:
                raise ValueError(
                    f"layer '{self.names[module]}' must get an input with a batch dimension (n, C, H, W), "
                    f"got shape {tuple(x.shape)}; add it"
                )
            axis, count, width = 1, module.in_channels, module.out_channels
        else:
            axis, count, width = x.ndim - 1, module.in_features, module.out_features
        nodes, sources = _nodes(labels, axis, count, conv)
        kind = "Conv2d" if conv else "Linear"
        self.layers.append(Layer(self.names[module], module, number, kind, nodes, sources, width, 0))
        shape = [1, -1, 1, 1] if conv else [1] * (out.ndim - 1) + [-1]
        self.provenance.own(out, number, torch.arange(width).reshape(shape).expand(out.shape))
        self._note(out)
        return out

    def finished(self) -> tuple[Layer, ...]:
        """Return the layers, each with the largest width from it on."""
        widest, largest = {}, 0
        for number, size in reversed(self.sizes):
            largest = widest[number] = max(largest, size)
        return tuple(
            Layer(x.name, x.module, x.index, x.kind, x.nodes, x.sources, x.num_outputs, widest[x.index + 1])
            for x in self.layers
        )

    def overwrites(self) -> bool:
        """Return whether an activation was changed in place after it had been noted."""
        return any(tensor._version != version for tensor, version in self.versions)

    def _note(self, out: Tensor) -> None:
        self.sizes.append((len(self.layers), out.numel() // len(self.rows)))
        self.versions.append((out, out._version))

    def _refuse_repetition(self, module: Weighted) -> None:
        """Raise a ValueError if the layer was called before, or its weight used by another."""
        name = self.names[module]
        for layer in self.layers:
            if layer.module is module:
                raise ValueError(
                    f"model must call each layer once in a forward pass, got '{name}' twice; "
                    "give each call a layer of its own, so that a weight belongs to one edge"
                )
            if layer.module.weight is module.weight:
                raise ValueError(
                    f"model must have weights of its own in each layer, got the same in '{layer.name}' and '{name}'; "
                    "give each its own parameter, so that an edge can be cut alone"
                )


def _per_column(labels: Labels, axis: int, count: int) -> tuple[tuple[Source, ...], ...]:
    """Return for each index along ``axis`` the (producer, channel) pairs it descends from."""
    columns: list[list[Source]] = [[] for _ in range(count)]
    for producer in sorted(labels):
        shared = reduce(labels[producer], [d for d in range(labels[producer].ndim) if d != axis])
        for column, channel in zip(columns, shared.tolist(), strict=True):
            if channel != NONE:
                column.append((producer, channel))
    return tuple(tuple(column) for column in columns)


def _nodes(labels: Labels, axis: int, count: int, conv: bool) -> tuple[tuple, tuple]:
    """Return the nodes and their sources: columns of a Linear that descend from one channel are a single node."""
    sources = _per_column(labels, axis, count)
    groups: dict[Any, list[int]] = {}
    for column, source in enumerate(sources):
        known = [s for s in source if s[0] != INPUT]
        mixed = conv or not known or any(channel == ALL for _, channel in known)
        groups.setdefault(column if mixed else source, []).append(column)
    nodes = tuple(tuple(columns) for columns in groups.values())
    return nodes, tuple(sources[columns[0]] for columns in nodes)
