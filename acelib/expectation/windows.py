"""What a few pixels reach through convolutions and pools, and the same layers on that window of the grid alone.

A unit at position o of a layer with kernel k, stride s, padding p and dilation d reads the positions from o s - p to
o s - p + d (k - 1). So a pixel reaches few units, and these can be computed from a crop of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import CONVOLUTIONS, MEANS, POOLS

Span = tuple[int, int]  # first and last position along one dimension


@dataclass(frozen=True)
class Reach:
    """What a layer reads along one dimension: see the module's formula."""

    kernel: int
    stride: int
    before: int
    after: int
    dilation: int
    length: int  # positions that come in

    @property
    def results(self) -> int:
        """Positions that come out."""
        return (self.length + self.before + self.after - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    def reached(self, span: Span) -> Span:
        """Return the positions that come out which read any of those; the last before the first where none does."""
        first = -((self.dilation * (self.kernel - 1) - span[0] - self.before) // self.stride)
        return max(0, first), min(self.results - 1, (span[1] + self.before) // self.stride)

    def read(self, span: Span) -> Span:
        """Return the positions that come in which those read, some of them in the padding."""
        reach = self.dilation * (self.kernel - 1)
        return span[0] * self.stride - self.before, span[1] * self.stride - self.before + reach


def reaches(layer: nn.Module, lengths: Sequence[int]) -> list[Reach]:
    """Return what a layer reads along each dimension of a grid with these lengths.

    Example:
        >>> (one,) = reaches(nn.Conv1d(1, 1, 5, stride=2, padding=2), [10])
        >>> assert one.results == 5 and one.reached((4, 4)) == (1, 3) and one.read((1, 3)) == (0, 8)
    """
    if not isinstance(layer, (*CONVOLUTIONS, *POOLS, *MEANS)):
        return [Reach(1, 1, 0, 0, 1, length) for length in lengths]
    given: Any = layer
    kernel, stride, dilation = (
        _each(value, len(lengths)) for value in (given.kernel_size, given.stride, getattr(given, "dilation", 1))
    )
    if given.padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding = [(total // 2, total - total // 2) for total in totals]
    else:
        padding = [(p, p) for p in _each(0 if given.padding == "valid" else given.padding, len(lengths))]
    parts = zip(kernel, stride, padding, dilation, lengths, strict=True)
    return [Reach(k, s, *p, d, length) for k, s, p, d, length in parts]


def _each(value: Any, count: int) -> list[int]:
    return list(value) if isinstance(value, (tuple, list)) else [value] * count


@dataclass(frozen=True)
class Window:
    """Layers on the window of a grid that some positions reach.

    Attributes:
        layers: the layers.
        first: the window of the input that is read, along each dimension.
        last: the window of the last layer's units that are reached.
        padding: for each layer what is added before and after each dimension of its window.
    """

    layers: tuple[nn.Module, ...]
    first: tuple[Span, ...]
    last: tuple[Span, ...]
    padding: tuple[tuple[Span, ...], ...]

    @classmethod
    def of(cls, layers: Sequence[nn.Module], lengths: Sequence[int], spans: Sequence[Span]) -> Window | None:
        """Return the window that some positions reach, or None where they reach nothing.

        Args:
            layers: layers on a grid, one after the other.
            lengths: positions of the input along each dimension.
            spans: the first and the last of the positions that are set, along each dimension.
        """
        tables, reached = [], list(spans)
        for layer in layers:
            table = reaches(layer, lengths)
            tables.append(table)
            reached = [one.reached(span) for one, span in zip(table, reached, strict=True)]
            lengths = [one.results for one in table]
        if any(last < first for first, last in reached):
            return None
        wanted, padding = reached, []
        for table in reversed(tables):
            read = [one.read(span) for one, span in zip(table, wanted, strict=True)]
            inside = [(max(0, a), min(one.length - 1, b)) for one, (a, b) in zip(table, read, strict=True)]
            padding.append(tuple((c - a, b - d) for (a, b), (c, d) in zip(read, inside, strict=True)))
            wanted = inside
        return cls(tuple(layers), tuple(wanted), tuple(reached), tuple(reversed(padding)))

    def __call__(self, x: Tensor) -> Tensor:
        """Return the reached units ``(batch, channels, *window)`` of crops ``(batch, channels, *window)``."""
        for layer, padding in zip(self.layers, self.padding, strict=True):
            x = _applied(layer, x, padding)
        return x


def _applied(layer: nn.Module, x: Tensor, padding: Sequence[Span]) -> Tensor:
    """Return a layer of a window, with padding given for each side."""
    if isinstance(layer, (*CONVOLUTIONS, *POOLS, *MEANS)) and any(any(sides) for sides in padding):
        flat = [amount for sides in reversed(padding) for amount in sides]
        x = F.pad(x, flat, value=-torch.inf if isinstance(layer, POOLS) else 0.0)
    dims, given = len(padding) - 1, cast("Any", layer)
    if isinstance(layer, CONVOLUTIONS):
        convolution = (F.conv1d, F.conv2d, F.conv3d)[dims]
        return convolution(x, given.weight, given.bias, given.stride, 0, given.dilation, given.groups)
    if isinstance(layer, POOLS):
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[dims]
        return pool(x, given.kernel_size, given.stride, 0, given.dilation)
    if isinstance(layer, MEANS):
        return (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dims](x, given.kernel_size, given.stride, 0)
    return layer(x)


def crop(x: Tensor, spans: Sequence[Span]) -> Tensor:
    """Return a window ``(..., *window)`` of a grid whose dimensions are the last ones of ``x``."""
    for dim, (first, last) in enumerate(spans, x.ndim - len(spans)):
        x = x.narrow(dim, first, last - first + 1)
    return x
