"""Contributions without sampling: enumeration of finite noises, and the closed form of a linear model.

Where every noise takes finitely many values, ``E[Y | N_u]`` is a weighted sum over the grid and every subset's value
is exact. Where every equation and the target are linear, ``Y = Σ_j w_j n_j + const`` with w the total effects, and the
contribution of j is ``w_j² Var(n_j)`` in every context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import torch
from torch import Tensor, nn

from .games import subset_of
from .noise import FiniteNoise
from .outcome import Outcome
from .pickfreeze import constant, rounding
from .scm import CausalModel, StructuralModel

MAX_STATES = 1_000_000  # joint states of the noises that are enumerated
Measure = Callable[[Tensor], Tensor]


def finite_noises(scm: CausalModel) -> list[FiniteNoise] | None:
    """Return the noises of a model in which all are finite and their grid is small enough, else None."""
    each = list(scm.noises.values()) if isinstance(scm, StructuralModel) else []
    noises = [n for n in each if isinstance(n, FiniteNoise)]
    if not noises or len(noises) < len(each):
        return None
    return noises if prod(len(n.values) for n in noises) <= MAX_STATES else None


def grid_outputs(what: Outcome, noises: Sequence[FiniteNoise]) -> Tensor:
    """Return the outputs ``(g_1, .., g_k, outputs)`` at every joint state of the noises."""
    axes = torch.meshgrid(*(n.values for n in noises), indexing="ij")
    points = torch.stack([a.reshape(-1) for a in axes], dim=1).to(device=what.device, dtype=what.dtype)
    outputs = what.outputs(points).cpu()
    still = constant(torch.stack([outputs.amin(0), outputs.amax(0)]), rounding(outputs))
    outputs = torch.where(still, outputs[:1], outputs)  # rounding errors are no variance
    return outputs.reshape(*axes[0].shape, -1)


def conditional_means(outputs: Tensor, noises: Sequence[FiniteNoise]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for every subset u by its bits, E[Y | N_u] ``(states, outputs)`` and the states' probabilities."""
    k = len(noises)
    for bits in range(2**k):
        kept, mean, weight = subset_of(bits, k), outputs, torch.ones((), dtype=outputs.dtype)
        for axis in reversed(range(k)):  # from the last axis, so that the earlier ones keep their numbers
            if axis not in kept:
                mean = torch.tensordot(noises[axis].probabilities, mean.movedim(axis, 0), 1)
        for axis in kept:
            weight = weight[..., None] * noises[axis].probabilities
        yield mean.reshape(-1, outputs.shape[-1]), weight.reshape(-1)


def enumerate_variance(outputs: Tensor, noises: Sequence[FiniteNoise]) -> Tensor:
    """Return the closed variances Var(E[Y | N_u]) ``(2^k, outputs)`` of all subsets.

    Example:
        >>> coin = FiniteNoise([-1.0, 1.0])
        >>> y = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)[..., None]  # a product: interaction only
        >>> assert enumerate_variance(y, [coin, coin])[:, 0].tolist() == [0.0, 0.0, 0.0, 1.0]
    """
    weights = torch.ones((), dtype=outputs.dtype)
    for noise in noises:
        weights = weights[..., None] * noise.probabilities
    outputs = outputs - outputs.reshape(-1, outputs.shape[-1])[0]  # a constant is exactly 0 then
    centred = outputs - (weights.reshape(-1) @ outputs.reshape(-1, outputs.shape[-1]))
    return torch.stack([p @ mean.square() for mean, p in conditional_means(centred, noises)])


def enumerate_entropy(outputs: Tensor, noises: Sequence[FiniteNoise], entropy: Measure) -> Tensor:
    """Return H(Y | N_u) ``(2^k, groups)`` in nats for all subsets.

    Args:
        outputs: label probabilities ``(g_1, .., g_k, groups · classes)`` at every joint state.
        noises: the noises of the grid's axes.
        entropy: function from probabilities ``(states, groups · classes)`` to entropies ``(states, groups)``.
    """
    return torch.stack([p @ entropy(mean) for mean, p in conditional_means(outputs, noises)])


def linear_weights(model: nn.Module | None, target: int, columns: Sequence[int], nodes: int) -> Tensor | None:
    """Return the weight ``(nodes,)`` of every node in a target that is linear in them, else None.

    Args:
        model: None where the target is the node ``target``; else a network, of which only ``nn.Linear`` is linear.
        target: column of the node, or output of the network.
        columns: nodes that the network reads.
        nodes: their number.
    """
    weights = torch.zeros(nodes, dtype=torch.float64)
    if model is None:
        weights[target] = 1.0
        return weights
    if isinstance(model, nn.Sequential) and len(model) == 1:
        model = model[0]
    if not isinstance(model, nn.Linear) or model.in_features != len(columns):
        return None
    weights[list(columns)] = model.weight[target].detach().cpu().double()
    return weights
