"""Labels that name, for every element of an activation, the channels of earlier layers from which it was computed.

They are propagated beside the activations in one forward pass. Every tensor carries, for each layer it descends from
without passing another layer, one integer per element: the output channel of that layer it was computed from. Views,
concatenations and pools are applied to the labels themselves, so that a flattened channel stays one block and a
concatenation shifts nothing; element-wise operations and normalisations keep labels; an operation that mixes channels
(attention, a matrix product outside a layer) makes the element descend from ``ALL`` channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NONE, ALL = -1, -2  # an element that does not descend from a layer; one that descends from all of its channels
Labels = dict[int, Tensor]  # producer -> integers in the shape of the tensor

_MOVES = set(
    "view _unsafe_view reshape permute transpose t slice select split split_with_sizes unsafe_split chunk unbind "
    "expand squeeze unsqueeze clone contiguous flip roll cat stack index index_select alias detach pixel_shuffle "
    "pixel_unshuffle channel_shuffle narrow repeat gather as_strided lift_fresh".split()
)
_MIXES = set(
    "mm bmm addmm addbmm baddbmm matmul linear convolution _convolution mkldnn_convolution conv2d dot mv addmv cumsum "
    "cumprod sort argsort topk lstm gru fft_fft2 fft_rfft2".split()
)
_REDUCES = {"mean", "sum", "amax", "amin", "max", "min", "norm", "linalg_vector_norm", "var", "std", "logsumexp"}


def merge(first: Tensor, second: Tensor) -> Tensor:
    """Return the labels of a combination: equal ones stay, ``NONE`` is overridden, different ones become ``ALL``."""
    joined = torch.where((first == second) | (second == NONE), first, torch.full_like(first, ALL))
    return torch.where(first == NONE, second, joined)


def reduce(labels: Tensor, dims: list[int], keepdim: bool = False) -> Tensor:
    """Return the label that all elements along ``dims`` share, ignoring ``NONE``; ``ALL`` where they differ."""
    if not dims:
        return labels
    big = torch.iinfo(labels.dtype).max
    low = labels.masked_fill(labels == NONE, big).amin(dims, keepdim)
    high = labels.amax(dims, keepdim)
    mixed = (low != high) & (low != big)
    return torch.where(mixed, ALL, high)


class Provenance(TorchDispatchMode):
    """A mode that propagates the labels of every tensor that descends from one registered by ``own``."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[Tensor, Labels]] = {}  # holds the tensor, so that its id is not reused

    def own(self, tensor: Tensor, producer: int, labels: Tensor) -> None:
        """Register that ``tensor`` descends from ``producer`` alone, each element from the channel in ``labels``."""
        self._known[id(tensor)] = (tensor, {producer: labels})

    def of(self, tensor: Tensor) -> Labels:
        """Return the labels of ``tensor``, empty where it descends from no layer."""
        return self._known.get(id(tensor), (tensor, {}))[1]

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        sources = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and self.of(t)]
        if sources:
            self._propagate(func, args, kwargs, sources, out)
        return out

    def _propagate(self, func: Any, args: tuple, kwargs: dict, sources: list[Tensor], out: Any) -> None:
        name = func._schema.name.split("::")[-1]
        results = out if isinstance(out, tuple | list) else [out]
        producers = {p for t in sources for p in self.of(t)}
        found: list[Labels] = [{} for _ in results]
        for producer in producers:
            try:
                each = self._one(func, name, args, kwargs, sources, results, producer)
            except (RuntimeError, TypeError, IndexError):  # a call that no rule covers: any channel is possible
                each = [torch.full(r.shape, ALL) if isinstance(r, Tensor) else None for r in results]
            for slot, labels in enumerate(each):
                if labels is not None:
                    found[slot][producer] = labels
        for result, labels in zip(results, found, strict=True):
            if isinstance(result, Tensor) and labels:
                self._known[id(result)] = (result, labels)

    def _one(
        self, func: Any, name: str, args: tuple, kwargs: dict, sources: list[Tensor], results: Any, producer: int
    ) -> list[Tensor | None]:
        """Return the labels of each result with respect to one producer."""
        mine = [(t, self.of(t)[producer]) for t in sources if producer in self.of(t)]
        if name in _MOVES:
            labels = tree_map(lambda x: self._labels_for(x, producer), args)
            if name in ("view", "_unsafe_view"):  # labels may be expanded, which a view does not accept
                return [labels[0].reshape(args[1])]
            moved = func(*labels, **kwargs)
            return list(moved) if isinstance(moved, tuple | list) else [moved]
        if name.startswith(("constant_pad", "reflection_pad", "replication_pad", "upsample")):
            return [_through(func, name, mine[0][1], args, kwargs)]
        if "pool" in name:
            return [_pooled(name, mine[0][1], args, results[0])]
        return [self._spread(name, mine, args, kwargs, r) if isinstance(r, Tensor) else None for r in results]

    def _spread(self, name: str, mine: list, args: tuple, kwargs: dict, result: Tensor) -> Tensor | None:
        """Return the labels after an element-wise operation, a reduction or one that mixes channels."""
        if name.rstrip("_") in _MIXES or "attention" in name or "rnn" in name:
            return torch.full(result.shape, ALL)
        first = mine[0][1]
        if name in _REDUCES and result.numel() < first.numel():
            dims = args[1] if len(args) > 1 else kwargs.get("dim")
            dims = list(range(first.ndim)) if dims is None else [dims] if isinstance(dims, int) else list(dims)
            labels = reduce(first, dims)
            return labels.reshape(result.shape) if labels.numel() == result.numel() else None
        try:
            expanded = [labels.expand(result.shape) for _, labels in mine]
        except RuntimeError:
            return torch.full(result.shape, ALL)
        joined = expanded[0]
        for labels in expanded[1:]:
            joined = merge(joined, labels)
        return joined

    def _labels_for(self, x: Any, producer: int) -> Any:
        """Return what an operation that moves elements gets in place of its argument ``x``: labels for activations."""
        if not isinstance(x, Tensor):
            return x
        labels = self.of(x).get(producer)
        if labels is not None:
            return labels.contiguous()
        return torch.full(x.shape, NONE) if x.is_floating_point() else x.cpu()  # an index stays an index


def _through(func: Any, name: str, labels: Tensor, args: tuple, kwargs: dict) -> Tensor:
    """Return the labels after a padding or an interpolation; a padded border descends from nothing."""
    rest = list(args[1:])
    if name.startswith("constant_pad"):
        rest = [args[1], float(NONE)]
    return func(labels.double(), *rest, **kwargs).round().long()


def _pooled(name: str, labels: Tensor, args: tuple, result: Tensor) -> Tensor:
    """Return the labels after a pool over space; a window lies within one channel, so its largest label is right."""
    values = labels.double()
    if result.shape[:2] != labels.shape[:2]:
        return torch.full(result.shape, ALL)
    if "adaptive" in name or "2d" not in name or values.ndim != 4:
        spatial = list(range(2, labels.ndim))
        return reduce(labels, spatial, keepdim=True).expand(result.shape)
    kernel, stride, padding = args[1], args[2] if len(args) > 2 else [], args[3] if len(args) > 3 else 0
    pooled = torch.nn.functional.max_pool2d(values, kernel, stride or None, padding, ceil_mode=True)
    height, width = result.shape[-2:]
    return pooled[..., :height, :width].long() if pooled.shape[-2] >= height else labels[..., :height, :width]
