"""Allocation of the values of all subsets to the inputs: first, total, along a causal order, or the Shapley average.

A table of values ``v`` has one row per subset of k inputs, numbered by its bits: bit j is set where input j belongs
to it. The contribution of j in the context I is ``v(I ∪ {j}) − v(I)``. With ``v`` the closed index (variance explained
by a subset of the noises) I = ∅ gives the first-order index and I = all others the total index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

import torch
from torch import Tensor

CONTEXTS = ("shapley", "topological", "first", "total")
MAX_EXACT = 12  # inputs up to which all 2^k subsets are visited


def subset_masks(k: int) -> Tensor:
    """Return the ``(2^k, k)`` bool membership of every subset, in the order of their bits.

    Example:
        >>> assert subset_masks(2).tolist() == [[False, False], [True, False], [False, True], [True, True]]
    """
    return (torch.arange(2**k)[:, None] >> torch.arange(k)) & 1 == 1


def subset_of(bits: int, k: int) -> tuple[int, ...]:
    """Return the members of the subset with these bits."""
    return tuple(j for j in range(k) if bits >> j & 1)


def allocate(table: Tensor | Mapping[int, Tensor], context: str, order: Sequence[int]) -> Tensor:
    """Return the contribution of each input ``(k, ...)`` from the values of all subsets ``(2^k, ...)``.

    Args:
        table: values by subset bits, all of them or a mapping with those that ``subsets_needed`` names.
        context: "shapley", "topological" (along ``order``), "first" or "total".
        order: positions of the inputs in causal order, causes first.

    References:
        Janzing et al. (2024), with the Shapley average over contexts.

    Example:
        >>> v = torch.tensor([0.0, 1.0, 3.0, 10.0])
        >>> assert allocate(v, "shapley", [0, 1]).tolist() == [4.0, 6.0]
    """
    k = len(order)
    full = 2**k - 1
    if context == "first":
        return torch.stack([table[1 << j] - table[0] for j in range(k)])
    if context == "total":
        return torch.stack([table[full] - table[full ^ (1 << j)] for j in range(k)])
    if context == "topological":
        gains, bits = {}, 0
        for j in order:
            gains[j] = table[bits | 1 << j] - table[bits]
            bits |= 1 << j
        return torch.stack([gains[j] for j in range(k)])
    return _shapley(table if isinstance(table, Tensor) else torch.stack([table[bits] for bits in range(2**k)]), k)


def _shapley(table: Tensor, k: int) -> Tensor:
    """Return the Shapley values ``(k, ...)`` of a whole table ``(2^k, ...)``."""
    masks = subset_masks(k).to(table.device)
    sizes = masks.sum(1)
    weights = table.new_tensor([1 / (k * comb(k - 1, s)) for s in range(k)])
    out = []
    for j in range(k):
        without = (~masks[:, j]).nonzero()[:, 0]
        w = weights[sizes[without]].reshape(-1, *[1] * (table.ndim - 1))
        out.append((w * (table[without | 1 << j] - table[without])).sum(0))
    return torch.stack(out)


def subsets_needed(context: str, order: Sequence[int]) -> list[int]:
    """Return the bits of the subsets whose values ``allocate`` reads in this context.

    Example:
        >>> assert subsets_needed("topological", [1, 0]) == [0, 2, 3]
    """
    k = len(order)
    full = 2**k - 1
    if context == "first":
        return [0, *(1 << j for j in range(k))]
    if context == "total":
        return [*(full ^ (1 << j) for j in range(k)), full]
    if context == "topological":
        return [sum(1 << j for j in order[:i]) for i in range(k + 1)]
    return list(range(2**k))
