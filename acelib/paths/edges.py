"""The signal that each parent node adds to the pre-activations of the next layer.

A Linear or convolution is linear in its input, so its output is a bias plus one signal per parent node: the weights
from that node alone, applied to that node alone. Setting those weights to u = beta * w changes the pre-activations of
the targets by (beta - 1) times the signal, exactly, without editing a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .trace import Layer


def parent_signals(layer: Layer, activations: Tensor, nodes: Sequence[int], targets: Sequence[int]) -> Tensor:
    """Return the signal that each of ``nodes`` adds to the pre-activations of ``targets``, without the bias.

    Args:
        layer: a traced Linear or convolution.
        activations: its input, ``(n, C, ...)`` or ``(n, ..., features)``.
        nodes: p parent nodes.
        targets: t output channels.

    Returns:
        ``(p, n, t, ...)`` for a convolution, as ``(p, n, t, h, w)``; ``(p, n, ..., t)`` for a linear layer.

    References:
        Ahmad et al. (2023), Eq. 3: f(w_ji, a_j), convolution or linear.
    """
    index = torch.as_tensor(list(targets), device=activations.device)
    if isinstance(layer.module, nn.Linear):
        return _linear(layer, activations, nodes, index)
    return _conv(layer, layer.module, activations, nodes, index)


def edge_weights(layer: Layer, nodes: Sequence[int], targets: Tensor) -> Tensor:
    """Return the weights between ``nodes`` and ``targets``: ``(t, p, *kernel)`` or ``(t, p, block)``; 0 for no edge."""
    module, weight = layer.module, layer.module.weight[targets]
    if isinstance(module, nn.Linear):
        columns, mask = _blocks(layer, nodes, weight)
        return weight[:, columns] * mask
    parents = torch.as_tensor([layer.nodes[j][0] for j in nodes], device=weight.device)
    inside, outside = module.in_channels // module.groups, module.out_channels // module.groups
    same = (targets // outside)[:, None] == (parents // inside)[None, :]
    return weight[:, parents % inside] * same.reshape(*same.shape, *[1] * len(module.kernel_size)).to(weight.dtype)


def reaching(layer: Layer, activations: Tensor, targets: Sequence[int]) -> list[int]:
    """Return the nodes that can have an effect: a weight to a target and an activation on some input differ from 0."""
    weight = layer.module.weight
    index = torch.as_tensor(list(targets), device=weight.device)
    connected = edge_weights(layer, range(layer.num_nodes), index).ne(0).flatten(2).any(2).any(0)
    axis = 1 if layer.convolution else activations.ndim - 1
    alive = activations.ne(0).movedim(axis, -1).flatten(0, -2).any(0)
    living = torch.stack([alive[list(columns)].any() for columns in layer.nodes])
    return (connected & living).nonzero()[:, 0].tolist()


def _blocks(layer: Layer, nodes: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the columns of each node ``(p, block)``, padded to one length, and 1 where a column is not padding."""
    size = max(len(layer.nodes[j]) for j in nodes)
    filled = [(list(layer.nodes[j]) + [0] * size)[:size] for j in nodes]
    own = [[1.0] * len(layer.nodes[j]) + [0.0] * (size - len(layer.nodes[j])) for j in nodes]
    return torch.tensor(filled, device=like.device), torch.tensor(own, device=like.device, dtype=like.dtype)


def _linear(layer: Layer, activations: Tensor, nodes: Sequence[int], targets: Tensor) -> Tensor:
    weights = edge_weights(layer, nodes, targets)  # (t, p, block)
    columns, _ = _blocks(layer, nodes, weights)
    if columns.shape[1] == 1:
        return torch.einsum("...p,tp->p...t", activations[..., columns[:, 0]], weights[..., 0])
    flat = activations[..., columns].flatten(0, -3).transpose(0, 1)  # (p, rows, block)
    return (flat @ weights.permute(1, 2, 0)).unflatten(1, activations.shape[:-1])


def _conv(
    layer: Layer,
    module: nn.Conv1d | nn.Conv2d | nn.Conv3d,
    activations: Tensor,
    nodes: Sequence[int],
    targets: Tensor,
) -> Tensor:
    p, t = len(nodes), len(targets)
    x = activations[:, [layer.nodes[j][0] for j in nodes]]
    padding: Any = module.padding
    if module.padding_mode != "zeros":
        x = F.pad(x, module._reversed_padding_repeated_twice, mode=module.padding_mode)
        padding = 0
    kernels = edge_weights(layer, nodes, targets).transpose(0, 1).reshape(p * t, 1, *module.kernel_size)
    convolve: Any = (F.conv1d, F.conv2d, F.conv3d)[len(module.kernel_size) - 1]
    out = convolve(x, kernels, None, module.stride, padding, module.dilation, groups=p)
    return out.unflatten(1, (p, t)).transpose(0, 1)
