"""Labels that name, for every element of an activation, the channels of earlier layers from which it was computed.

They are propagated beside the activations in one forward pass. Every tensor carries, for each layer it descends from
without passing another layer, one integer per element: the output channel of that layer it was computed from. Views,
concatenations and pools are applied to the labels themselves, so that a flattened channel stays one block and a
concatenation shifts nothing; element-wise operations and normalisations keep labels. Any other operation may mix
channels (attention, a matrix product outside a layer, a scan, writing by index), so its result descends from ``ALL``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from . import _operations as operations
from ._memory import memory_of
from ._operations import ALL, NONE, merge

Labels = dict[int, Tensor]  # producer -> integers in the shape of the tensor

_SAME = operations.ELEMENTWISE | operations.NORMS | operations.MOVES | operations.FACTORIES | {"copy"}


class Provenance(TorchDispatchMode):
    """A mode that propagates the labels of every tensor that descends from one registered by ``own``.

    Args:
        weights: parameters of the network and their names.

    Attributes:
        left_out: names of the parameters that an operation outside the layers applied to activations.
    """

    def __init__(self, weights: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        self._known: dict[int, tuple[Tensor, Labels]] = {}  # holds the tensor, so that its id is not reused
        self._shared: dict[int, list[Tensor]] = {}  # address of a memory -> the known tensors in it
        self._leaked: set[int] = set()
        self._weights = {id(tensor): (tensor, {name}) for name, tensor in (weights or {}).items()}
        self._inside = False
        self.left_out: dict[str, None] = {}

    def own(self, tensor: Tensor, producer: int, labels: Tensor) -> None:
        """Register that ``tensor`` descends from ``producer`` alone, each element from the channel in ``labels``."""
        self._register(tensor, {producer: labels})

    def of(self, tensor: Tensor) -> Labels:
        """Return the labels of ``tensor``, empty where it descends from no layer.

        A tensor that shares its memory with known ones, such as ``x.data`` or one that was written to through a view,
        descends from all that they descend from.
        """
        found = self._known.get(id(tensor))
        if found is not None:
            return found[1]
        others = self._shared.get(memory_of(tensor), [])
        for other in others:
            if _place(other) == _place(tensor):
                return self._known[id(other)][1]
        producers = {p for other in others for p in self._known[id(other)][1]}
        return {p: torch.full(tensor.shape, ALL) for p in producers}

    def leak(self, tensor: Tensor) -> None:
        """Note that the values of ``tensor`` left torch: whatever is computed from now on may depend on them."""
        self._leaked |= set(self.of(tensor))

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Count the weights that are applied while the context is active as those of a layer."""
        before, self._inside = self._inside, True
        try:
            yield
        finally:
            self._inside = before

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._schema.name.split("::")[-1]
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        sources = [t for t in given if self.of(t)]
        self._note_weights(name, given, sources, out)
        if name == "_local_scalar_dense" and sources and sources[0].dtype != torch.bool:
            self.leak(sources[0])  # a truth value steers the program, a number may be computed with
        if sources or self._leaked:
            self._propagate(func, name, args, kwargs, sources, out)
        return out

    def _register(self, tensor: Tensor, labels: Labels) -> None:
        if id(tensor) not in self._known:
            self._shared.setdefault(memory_of(tensor), []).append(tensor)
        self._known[id(tensor)] = (tensor, labels)

    def _note_weights(self, name: str, given: list[Tensor], sources: list[Tensor], out: Any) -> None:
        """Note parameters that meet activations in an operation that mixes channels; follow them until they do."""
        names = {n for t in given if id(t) in self._weights for n in self._weights[id(t)][1]}
        if not names or self._inside:
            return
        results = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        if not sources:
            self._weights.update({id(t): (t, names) for t in results})
            return
        plain = name.removesuffix("_")
        spread = plain in ("mul", "multiply") and results[0].numel() > max(t.numel() for t in sources)
        if spread or plain in operations.INDEXED or plain not in _SAME:
            self.left_out.update(dict.fromkeys(sorted(names)))

    def _propagate(self, func: Any, name: str, args: tuple, kwargs: dict, sources: list[Tensor], out: Any) -> None:
        results = list(out) if isinstance(out, tuple | list) else [out]
        written = self._written(func, name, args, kwargs)
        results += [t for t in written if all(t is not r for r in results)]
        producers = {p for t in sources for p in self.of(t)} | self._leaked
        found: list[Labels] = [{} for _ in results]
        for producer in producers:
            try:
                each = self._one(func, name, args, kwargs, sources, results, producer)
            except (RuntimeError, TypeError, IndexError, AttributeError):  # a call that no rule covers
                each = self._all(results)
            for slot, labels in enumerate(each):
                if labels is not None:
                    found[slot][producer] = labels
        for result, labels in zip(results, found, strict=True):
            if isinstance(result, Tensor) and (labels or self.of(result)):
                if any(result is t for t in written):
                    self._overwrite(result, labels)
                self._register(result, labels)

    def _written(self, func: Any, name: str, args: tuple, kwargs: dict) -> list[Tensor]:
        """Return the arguments that the operation writes into; the statistics of a norm stay what they are."""
        if name in operations.NORMS:
            return []
        places = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        written = [operations.argument(func, args, kwargs, place) for place in places]
        return [t for t in tree_leaves(written) if isinstance(t, Tensor)]

    def _overwrite(self, result: Tensor, labels: Labels) -> None:
        """Let the other tensors in the memory of ``result`` descend from all of what was written into it."""
        before = self._known[id(result)][1] if id(result) in self._known else {}
        new = {p for p, found in labels.items() if p not in before or not torch.equal(before[p], found)}
        for other in self._shared.get(memory_of(result), []) if new else []:
            smeared = {p: torch.full(other.shape, ALL) for p in new}
            self._known[id(other)] = (other, self._known[id(other)][1] | smeared)

    def _one(
        self, func: Any, name: str, args: tuple, kwargs: dict, sources: list[Tensor], results: list, producer: int
    ) -> list[Tensor | None]:
        """Return the labels of each result with respect to one producer."""
        mine = [(t, self.of(t)[producer]) for t in sources if producer in self.of(t)]
        plain = name if name.startswith("__") else name.removesuffix("_")
        if plain in operations.FACTORIES or (plain == "fill" and len(mine) == 1 and mine[0][0] is args[0]):
            return [None for _ in results]
        if producer in self._leaked:
            return self._all(results)
        if name in operations.MOVES:
            return self._moved(func, name, args, kwargs, producer)
        if name.lstrip("_").startswith(("constant_pad", "reflection_pad", "replication_pad", "upsample")):
            return [operations.through(func, name, mine[0][1], args, kwargs)]
        if "pool" in name:
            labels = operations.pooled(func, name, mine[0][1], args, kwargs, results[0])
            return [labels] * len(results)
        if plain == "copy":  # the labels that were there are overwritten
            labels = self.of(args[1]).get(producer)
            return [None if labels is None else labels.expand(results[0].shape)]
        if name in operations.REDUCES and len(mine) == 1 and results[0].numel() <= mine[0][1].numel():
            return [operations.reduced(func, mine[0][1], args, kwargs, r) for r in results]
        if plain in operations.ELEMENTWISE | operations.NORMS or operations.fills_by_mask(plain, args):
            return [self._spread([labels for _, labels in mine], r) if isinstance(r, Tensor) else None for r in results]
        return self._all(results)

    def _moved(self, func: Any, name: str, args: tuple, kwargs: dict, producer: int) -> list[Tensor | None]:
        """Return the labels after an operation that moves elements."""
        places = tree_leaves((args[1:], kwargs)) if name in operations.INDEXED else []
        if any(isinstance(t, Tensor) and producer in self.of(t) for t in places):
            raise TypeError("which elements are taken depends on activations")
        if name == "as_strided" and not (args[0].is_contiguous() and args[0].storage_offset() == 0):
            raise TypeError("strides are those of the memory, not of the labels")
        rest = tree_map(lambda t: t.cpu() if isinstance(t, Tensor) else t, args[1:]) if places else None
        labels = tree_map(lambda x: self._labels_for(x, producer), args if rest is None else args[:1])
        if name in ("view", "_unsafe_view"):  # labels may be expanded, which a view does not accept
            return [labels[0].reshape(args[1])]
        moved = func(*labels, *(rest or ()), **kwargs)
        return list(moved) if isinstance(moved, tuple | list) else [moved]

    def _spread(self, mine: list[Tensor], result: Tensor) -> Tensor:
        """Return the labels after an element-wise operation or a normalisation, whose statistics mix all."""
        try:
            expanded = [labels.expand(result.shape) for labels in mine]
        except RuntimeError:
            return torch.full(result.shape, ALL)
        return functools.reduce(merge, expanded)

    def _all(self, results: list) -> list[Tensor | None]:
        return [torch.full(r.shape, ALL) if isinstance(r, Tensor) else None for r in results]

    def _labels_for(self, x: Any, producer: int) -> Any:
        """Return what an operation that moves elements gets in place of its argument ``x``: labels of tensors."""
        if not isinstance(x, Tensor):
            return x
        labels = self.of(x).get(producer)
        return torch.full(x.shape, NONE) if labels is None else labels.contiguous()


def _place(tensor: Tensor) -> tuple:
    """Return where in its memory a tensor lies."""
    return tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype
