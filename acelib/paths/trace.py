"""The layers of a network in the order of execution, and the channels that each of them reads.

They come from one forward pass over two inputs, never from attribute names: every call of a Linear or convolution is
noted in the order of execution, and labels that travel with the activations say which channels of which earlier layers
became which inputs of the next. The projections inside ``nn.MultiheadAttention`` count as Linear layers. Channels keep
their index through sums, normalisations, activations and pools; through a flattening they become blocks; through a
concatenation they move by its offset. A residual stream therefore has several producers: the input channel j of a
layer above descends from channel j of each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .._entrance import admit, two_rows
from .._models import check_mode, check_output, check_placement
from .._warnings import warn_caller
from ._attention import Parts, projections, routed
from ._forward import Weighted, check_linear, check_probes, has_own_forward, kind_of, refusal
from ._intercept import Functions, intercept, is_unwatched
from ._labels import Labels, Provenance
from ._operations import ALL, NONE, reduce

INPUT = -1  # the network's input as a producer
Source = tuple[int, int]  # (producer: index of a layer or INPUT, its channel or ALL)
_READS = {"numpy", "tolist", "__array__", "__dlpack__"}  # methods that hand values to code outside torch


@dataclass(frozen=True)
class Layer:
    """One Linear or convolution that a forward pass called.

    Attributes:
        name: qualified name of the module in the network.
        module: the module itself.
        index: its place in the order of execution, 0 first.
        kind: "Linear", "Conv1d", "Conv2d" or "Conv3d".
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

    @property
    def convolution(self) -> bool:
        """Whether its channels are the second dimension, not the last."""
        return self.kind != "Linear"


@dataclass(frozen=True)
class Trace:
    """The layers of a network in the order of execution and what feeds its outputs.

    Attributes:
        layers: every Linear and convolution that was called.
        outputs: for each output of the network, the channels it descends from.
        overwrites: whether the network changes its input or activations in place.
        attention: the projections of its attention modules.
        left_out: names of the parameters that activations pass through without being in ``layers``.
    """

    layers: tuple[Layer, ...]
    outputs: tuple[tuple[Source, ...], ...] = field(repr=False)
    overwrites: bool
    attention: Parts = field(default_factory=dict, repr=False)
    left_out: tuple[str, ...] = ()

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``.

        Raises:
            ValueError: if the forward pass called no such layer.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise ValueError(f"layer must be one of the Linear and convolution layers {names}, got {name!r}")

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
        ValueError: without Linear or convolution layers, with shared weights, a layer called twice, or one whose
            forward does more than apply its weight.

    Warns:
        UserWarning: where activations pass through weights that are in none of these layers.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
        >>> found = trace_layers(net, torch.zeros(2, 1, 4, 4))
        >>> assert [layer.num_nodes for layer in found.layers] == [1, 3]  # a flattened channel is one node
    """
    check_model(model, inputs)
    rows = inputs[:2] if len(inputs) > 1 else inputs.expand(2, *inputs.shape[1:])
    watch = _Watch(model, rows)
    with torch.no_grad():
        with intercept(watch.modules, watch.call), Functions(watch.function), watch.provenance:
            out = model(watch.rows)
        out = check_output(out, 2)
        if not watch.layers:
            raise ValueError(
                "model must call a Linear or convolution layer in its forward pass, got none; path interventions need "
                "weights"
            )
        for name, module, forward, x, args, kwargs in watch.probes:
            check_probes(name, module, forward, x, args, kwargs)
    left = tuple(watch.provenance.left_out)
    if left:
        warn_caller(_left_out(model, left), UserWarning)
    ends = _per_column(watch.labels_of(out), 1, out.shape[1])
    return Trace(watch.finished(), ends, watch.overwrites(), watch.parts, left)


def admitted_layers(model: nn.Module, inputs: Tensor) -> Trace:
    """Return the layers of a network of the user's, after the checks of the entrance on two of the inputs.

    Args:
        model: as for ``trace_layers``.
        inputs: ``(n, *shape)``.

    Raises:
        ValueError: as ``trace_layers``; or for a network that acts at random, or mixes the rows of a batch.
    """
    check_model(model, inputs)
    few = inputs[:64].flatten(1)
    admit(model, two_rows(few, few[0]), inputs.shape[1:])
    return trace_layers(model, inputs)


def _left_out(model: nn.Module, names: tuple[str, ...]) -> str:
    """Return the sentence that names the modules whose weights are in no layer."""
    owners = dict.fromkeys(name.rpartition(".")[0] for name in names)
    kinds = [f"'{o}' ({type(model.get_submodule(o)).__name__})" if o else f"{names} of the model" for o in owners]
    return (
        f"paths through the weights of {', '.join(kinds)} are left out of the graph, which cuts those of Linear, "
        "Conv1d, Conv2d, Conv3d and MultiheadAttention alone; all that they read is taken as a possible cause"
    )


def check_model(model: nn.Module, inputs: Tensor) -> None:
    """Raise an error if the model is no module, is in training mode, or differs from the inputs in device or dtype."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module whose layers can be found, got {type(model).__name__}")
    check_mode(model)
    check_placement([model], inputs)


class _Watch:
    """A handler that notes every call of the traced pass and gives the layers among them nodes and sources."""

    def __init__(self, model: nn.Module, rows: Tensor) -> None:
        self.parts = projections(model)
        self.names: dict[nn.Module, str] = {m: n for n, m in model.named_modules()}
        for module, parts in self.parts.items():
            self.names.update({part: f"{self.names[module]}.{name}" for name, part in parts.items()})
        self.modules = list(self.names)
        self.provenance = Provenance(dict(model.named_parameters()))
        self.rows = rows.clone()
        self.layers: list[Layer] = []
        self.sizes: list[tuple[int, int]] = []  # (layers called before, elements per row) of each output
        self.versions: list[tuple[Tensor, int]] = [(self.rows, self.rows._version)]
        self.probes: list[tuple] = []
        self.untracked = False
        elements = torch.arange(rows[0].numel()).reshape(rows[0].shape).expand(rows.shape)
        self.provenance.own(self.rows, INPUT, elements)

    def function(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Return what a torch function returns; note where values can be read or written behind torch's back."""
        reads, shares = getattr(func, "__name__", "") in _READS, is_unwatched(func)
        if (reads or shares) and self.provenance.of(args[0]):
            self.untracked |= shares
            if reads:
                self.provenance.leak(args[0])
        return func(*args, **kwargs)

    def call(self, module: nn.Module, forward: Callable, *args: Any, **kwargs: Any) -> Any:
        """Return what ``module`` returns, and note it."""
        if not isinstance(module, Weighted):
            out = routed(self.parts, module, forward)(*args, **kwargs)
            if isinstance(out, Tensor):
                self._note(out)
            return out
        name, number = self.names[module], len(self.layers)
        x, rest, named = _split(args, kwargs)
        if x is None:
            raise ValueError(refusal(name, module))
        self._refuse_repetition(module)
        labels = dict(self.labels_of(x))
        self.versions.append((x, x._version))
        own = has_own_forward(module, forward)
        before = x.clone() if own else x
        with self.provenance.inside():
            out = forward(*args, **kwargs)
            if own:
                check_linear(name, module, before, out)
        if len(self.layers) > number:  # a layer within a layer
            raise ValueError(refusal(name, module))
        if own:
            self.probes.append((name, module, forward, before, rest, named))
        conv = not isinstance(module, nn.Linear)
        if isinstance(module, nn.Linear):
            axis, count, width = x.ndim - 1, module.in_features, module.out_features
        else:
            axis, count, width = 1, module.in_channels, module.out_channels
            form = ("n, C, L", "n, C, H, W", "n, C, D, H, W")[len(module.kernel_size) - 1]
            if x.ndim != len(module.kernel_size) + 2:
                raise ValueError(
                    f"layer '{name}' must get an input with a batch dimension ({form}), got shape {tuple(x.shape)}; "
                    "add it"
                )
        nodes, sources = _nodes(labels, axis, count, conv)
        self.layers.append(Layer(name, module, number, kind_of(module).__name__, nodes, sources, width, 0))
        shape = [1, -1, *[1] * (out.ndim - 2)] if conv else [1] * (out.ndim - 1) + [-1]
        self.provenance.own(out, number, torch.arange(width).reshape(shape).expand(out.shape))
        self._note(out)
        return out

    def labels_of(self, x: Tensor) -> Labels:
        """Return the labels of what a layer reads; all channels of all layers so far where nothing is known of it."""
        known = self.provenance.of(x)
        return known or {p: torch.full(x.shape, ALL) for p in range(INPUT, len(self.layers))}

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
        """Return whether the input or an activation was, or may have been, changed in place after it was noted."""
        return self.untracked or any(tensor._version != version for tensor, version in self.versions)

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
            if _overlap(layer.module.weight, module.weight):
                raise ValueError(
                    f"model must have weights of its own in each layer, got the same in '{layer.name}' and '{name}'; "
                    "give each its own parameter, so that an edge can be cut alone"
                )


def _split(args: tuple, kwargs: dict) -> tuple[Tensor | None, tuple, dict]:
    """Return the input of a layer's call and its other arguments."""
    if args:
        return (args[0] if isinstance(args[0], Tensor) else None), args[1:], kwargs
    name = next((n for n, x in kwargs.items() if isinstance(x, Tensor)), None)
    return (None, (), kwargs) if name is None else (kwargs[name], (), {n: x for n, x in kwargs.items() if n != name})


def _overlap(first: Tensor, second: Tensor) -> bool:
    """Return whether two weights are one, or lie in the same memory."""
    if first is second:
        return True
    starts = [t.data_ptr() for t in (first, second)]
    ends = [start + t.numel() * t.element_size() for start, t in zip(starts, (first, second), strict=True)]
    return min(starts) != 0 and max(starts) < min(ends)


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
