"""Batched evaluation of interventions at a layer, from one recorded pass: only what lies above it is run again.

One pass over the inputs is recorded: what every module and torch function returned, in which order. To evaluate
interventions at a layer, the network is called again; everything that had finished before that layer returns what it
returned then, the layer returns the changed pre-activations, and the rest runs. ``torch.vmap`` carries the
interventions as an extra batch dimension, so that work which does not depend on them is done once. Where a network
cannot be run so, its rows are repeated instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from .._models import check_output
from ._attention import routed
from ._forward import check_linear, has_own_forward
from ._intercept import Functions, intercept, is_unwatched
from ._memory import memory_of
from .trace import Layer, Trace

ELEMENTS = 4_000_000  # activations in the widest tensor of a call; about what a processor's cache serves well


@dataclass
class _Call:
    """One module call of the recorded pass."""

    module: nn.Module | None
    inner: list[_Call] = field(default_factory=list)
    functions: list[tuple[Any, Any]] = field(default_factory=list)  # called between them, with what they returned
    input: Tensor | None = None
    output: Tensor | None = None
    end: int = -1
    tied: bool = False  # wrote into what was there before, or returned a part of it


@dataclass(frozen=True)
class Cost:
    """The most work a graph can cost, known before it is computed.

    Attributes:
        rows: for each layer, output side first: parent nodes x inputs, the network rows evaluated from it on.
        layers: for each of them, how many layers each row passes, itself included.
    """

    rows: tuple[int, ...]
    layers: tuple[int, ...]

    @property
    def total(self) -> int:
        """Sum of rows x layers, the length of the progress bar."""
        return sum(r * n for r, n in zip(self.rows, self.layers, strict=True))

    def __repr__(self) -> str:
        return f"Cost({sum(self.rows):,} rows in {len(self.rows)} layers, {self.total:,} row-layers)"


def predict_cost(found: Trace, num_inputs: int) -> Cost:
    """Return the most rows that a graph over ``num_inputs`` inputs needs, layer by layer from the output side.

    Example:
        >>> from acelib.paths.trace import trace_layers
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> assert predict_cost(trace_layers(net, torch.zeros(2, 3)), 10).total == 40 * 1 + 30 * 2
    """
    top_down = found.layers[::-1]
    return Cost(tuple(x.num_nodes * num_inputs for x in top_down), tuple(range(1, len(top_down) + 1)))


class Recording:
    """One pass of a network over a block of inputs, from which the part above any layer can be run again.

    The network gets a copy of the inputs in every pass. Where it writes into its input or into activations, these are
    copied when they are recorded, and modules that write, or return what was there before them, are run again.

    Args:
        model: the network, in evaluation mode.
        found: its trace.
        inputs: ``(n, *shape)``.

    Attributes:
        outputs: ``(n, classes)`` of the network.

    Raises:
        ValueError: if a layer does not return its weight applied to its input plus its bias.
    """

    def __init__(self, model: nn.Module, found: Trace, inputs: Tensor) -> None:
        self.model, self.inputs, self._found = model, inputs, found
        self._modules = [*model.modules(), *(part for parts in found.attention.values() for part in parts.values())]
        self._layers: dict[nn.Module, Layer] = {layer.module: layer for layer in found.layers}
        self._own: set[int] = set()  # layers with a forward of their own
        if not self._pass(found.overwrites):
            self._pass(True)
        self._check_layers()

    def input_of(self, layer: Layer) -> Tensor:
        """Return the input that ``layer`` received, ``(n, ...)``."""
        found = self._calls[layer.index].input
        assert found is not None
        return found

    def output_of(self, layer: Layer) -> Tensor:
        """Return the pre-activations that ``layer`` returned, ``(n, ...)``."""
        found = self._calls[layer.index].output
        assert found is not None
        return found

    def above(self, layer: Layer, changed: Tensor) -> Tensor:
        """Return the network's outputs ``(p, n, classes)`` had ``layer`` returned ``changed (p, n, ...)``."""
        with torch.no_grad():
            try:
                replay = torch.vmap(lambda rows: self._replay(layer, rows, 1, self._remembers))
                return plain(replay(self._keep(changed)))
            except (RuntimeError, NotImplementedError, ValueError):  # e.g. in-place sums, .item(), missing rules
                return self.above_by_rows(layer, changed)

    def above_by_rows(self, layer: Layer, changed: Tensor) -> Tensor:
        """Return the same by repeating the recorded activations for every intervention: slower, but for any network."""
        with torch.no_grad():
            rows = self._replay(layer, self._keep(changed).flatten(0, 1), len(changed))
            return plain(rows).unflatten(0, changed.shape[:2])

    def _pass(self, overwrites: bool) -> bool:
        """Record one pass; return False if activations that were not copied were written to."""
        self._overwrites = overwrites
        self._keep: Callable[[Tensor], Tensor] = lambda t: plain(t).clone() if overwrites else plain(t)
        self._calls: dict[int, _Call] = {}
        self._root = _Call(None)
        self._stack, self._ended = [self._root], 0
        self._versions: list[tuple[Tensor, int]] = []  # of what functions returned
        inputs = self.inputs.clone()
        self._seen: list[tuple[Tensor, int]] = [(inputs, inputs._version)]  # input and activations of modules
        with torch.no_grad(), intercept(self._modules, self._record), Functions(self._record_function):
            self.outputs = plain(check_output(self.model(inputs), len(inputs)))
        kept = all(t._version == v for t, v in self._seen)
        self._remembers = not overwrites and kept and all(t._version == v for t, v in self._versions)
        self._versions, self._seen = [], []
        return overwrites or kept

    def _record(self, module: nn.Module, forward: Callable, *args: Any, **kwargs: Any) -> Any:
        call = _Call(module)
        self._stack[-1].inner.append(call)
        if module in self._layers:
            x = args[0] if args else next(x for x in kwargs.values() if isinstance(x, Tensor))
            call.input = self._keep(x)
            self._seen.append((x, x._version))
            self._calls[self._layers[module].index] = call
            if has_own_forward(self._layers[module].module, forward):
                self._own.add(self._layers[module].index)
        before = [(t, t._version) for t in self._tensors(args, kwargs)] if self._overwrites else []
        self._stack.append(call)
        out = routed(self._found.attention, module, forward)(*args, **kwargs)
        self._stack.pop()
        if isinstance(out, Tensor):
            call.output = self._keep(out)
            self._seen.append((out, out._version))
        if self._overwrites:
            known = {memory_of(t) for t, _ in before}
            call.tied |= any(t._version != v for t, v in before)
            call.tied |= any(isinstance(t, Tensor) and memory_of(t) in known for t in tree_leaves(out))
        call.end, self._ended = self._ended, self._ended + 1
        return out

    def _tensors(self, args: tuple, kwargs: dict) -> list[Tensor]:
        """Return the tensors that a call is given, and all that were seen before it."""
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        return given + [t for t, _ in self._seen] + [t for t, _ in self._versions]

    def _record_function(self, func: Any, args: tuple, kwargs: dict) -> Any:
        out = func(*args, **kwargs)
        self._stack[-1].functions.append((func, plain(out) if isinstance(out, Tensor) else out))
        if isinstance(out, Tensor):
            self._versions.append((out, out._version))
        if is_unwatched(func):
            for call in self._stack:  # may write without a trace
                call.tied = True
        return out

    def _check_layers(self) -> None:
        """Check that every layer returned its contributions plus its bias: two rows, all where the code is its own."""
        with torch.no_grad():
            for layer in self._found.layers:
                rows = slice(None) if layer.index in self._own else slice(2)
                if layer.index in self._calls:
                    check_linear(layer.name, layer.module, self.input_of(layer)[rows], self.output_of(layer)[rows])

    def _replay(self, layer: Layer, rows: Tensor, times: int, remember: bool = False) -> Tensor:
        """Call the network with ``rows`` in place of what ``layer`` returned, the rest ``times`` times in a row."""
        wanted, places, reached = self._calls[layer.index], [[self._root, 0, 0]], False

        def function(func: Any, args: tuple, kwargs: dict) -> Any:
            place = places[-1]
            known = place[0].functions[place[2]] if place[2] < len(place[0].functions) else (None, None)
            place[2] += 1
            if not reached and known[0] is func and isinstance(known[1], Tensor):
                return known[1]
            return func(*args, **kwargs)

        def handle(module: nn.Module, forward: Callable, *args: Any, **kwargs: Any) -> Any:
            nonlocal reached
            forward = routed(self._found.attention, module, forward)
            if reached:
                return forward(*args, **kwargs)
            place = places[-1]
            call = place[0].inner[place[1]] if place[1] < len(place[0].inner) else _Call(None)
            place[1] += 1
            if call.module is not module:
                raise TypeError(
                    "model must call the same modules in every pass, got others when its activations change; "
                    "make its forward independent of them"
                )
            if call is wanted:
                reached = True
                return rows
            if call.end < wanted.end and call.output is not None and not call.tied:
                return repeat(self._keep(call.output), times)
            places.append([call, 0, 0])
            out = forward(*args, **kwargs)
            places.pop()
            return out

        with intercept(self._modules, handle), Functions(function if remember else None):
            return self.model(repeat(self.inputs.clone(), times))


def plain(tensor: Tensor) -> Tensor:
    """Return a tensor without the graph that a network may have made by switching gradients on by itself."""
    return tensor.detach() if tensor.requires_grad else tensor


def repeat(tensor: Tensor, times: int) -> Tensor:
    """Return ``times`` copies of the rows, one after the other."""
    return tensor if times == 1 else tensor.repeat(times, *[1] * (tensor.ndim - 1))


def default_chunk(layer: Layer) -> int:
    """Return the rows a call takes from ``layer`` on, so that its widest activation holds at most ``ELEMENTS``."""
    return max(1, ELEMENTS // layer.width)


def blocks(count: int, size: int) -> Iterator[slice]:
    """Yield slices that cover ``count`` in pieces of at most ``size``."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def pieces(nodes: Sequence[int], num_inputs: int, chunk: int) -> Iterator[Sequence[int]]:
    """Yield the nodes in pieces whose rows, and one unchanged copy, fit a call of ``chunk`` rows; at least one."""
    for part in blocks(len(nodes), max(1, chunk // num_inputs - 1)):
        yield nodes[part]
