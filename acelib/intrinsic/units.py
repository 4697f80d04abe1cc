"""A feed-forward network as a structural causal model: every unit a node, every layer a set of mechanisms.

The units of a layer listen to those of the layer before and have no noise of their own; what is random comes from the
model of the inputs below them, whose common causes are the exogenous variables U (Chattopadhyay et al., 2019, Prop. 1).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .noise import FiniteNoise
from .scm import StructuralModel

UNITWISE = (
    nn.Identity,
    nn.Tanh,
    nn.Sigmoid,
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Softplus,
    nn.Hardtanh,
)
"""Layers whose every unit reads one unit of the layer before; dropout in evaluation mode is another."""


def network_as_model(
    network: nn.Sequential, inputs: StructuralModel, *, reads: Iterable[str] | None = None, output: str = "y"
) -> StructuralModel:
    """Return the model of the inputs continued by a node for every unit of the network.

    Hidden units are named ``h1.1`` (layer, unit), the outputs ``y``, or ``y1``, ``y2`` where there are several. A unit
    has an arrow from every unit that it reads with a weight other than 0. ``model.without(hidden)`` substitutes the
    hidden units away, ``model.do`` sets any unit.

    Args:
        network: nn.Linear layers with activations between them that work on each unit alone.
        inputs: the structural model of what the network reads, latent common causes included.
        reads: the nodes that the network reads, in the order of its inputs; default all nodes of ``inputs``.
        output: name of the outputs.

    Raises:
        TypeError: for a network that is no nn.Sequential, or inputs that are no structural model.
        ValueError: for a layer that is neither nn.Linear nor unit by unit, sizes that do not fit, or names taken twice.

    References:
        Chattopadhyay et al. (2019), Prop. 1.

    Example:
        >>> world = StructuralModel({"U": [], "x1": ["U"], "x2": ["U"]}, {n: lambda U, n: U + n for n in ("x1", "x2")})
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
        >>> model = network_as_model(net, world, reads=["x1", "x2"])
        >>> assert model.nodes == ("U", "x1", "x2", "h1.1", "h1.2", "y")
        >>> rows = model.sample(5)
        >>> assert torch.allclose(rows[:, -1:], net(rows[:, 1:3]))
    """
    if not isinstance(network, nn.Sequential):
        raise TypeError(f"network must be an nn.Sequential, got {type(network).__name__}; write its layers as one")
    if not isinstance(inputs, StructuralModel):
        raise TypeError(f"inputs must be a StructuralModel, got {type(inputs).__name__}")
    below = [str(n) for n in (inputs.nodes if reads is None else reads)]
    inputs.graph.check_known(below, "reads")
    layers = _layers(network)
    graph = {n: list(parents) for n, parents in inputs.graph.parents.items()}
    mechanisms, noises, still = dict(inputs.mechanisms), dict(inputs.noises), FiniteNoise([0.0])
    for depth, (linear, after) in enumerate(layers, 1):
        if linear.in_features != len(below):
            raise ValueError(
                f"network must read {len(below)} units in its linear layer {depth}, got {linear.in_features}"
                + ("; name what it reads by reads" if depth == 1 else "")
            )
        count, last = linear.out_features, depth == len(layers)
        names = [f"{output}{j + 1}" if count > 1 else output for j in range(count)]
        units = names if last else [f"h{depth}.{j + 1}" for j in range(count)]
        if taken := sorted(set(units) & set(graph)):
            raise ValueError(f"inputs must not have nodes named like units of the network, got {taken}")
        for j, unit in enumerate(units):
            used = [i for i, weight in enumerate(linear.weight[j].tolist()) if weight != 0]
            graph[unit] = [below[i] for i in used]
            mechanisms[unit], noises[unit] = _Unit(linear, after, j, used), still
        below = units
    model = StructuralModel(graph, mechanisms, noises)
    model.held = inputs.held
    return model


class _Unit:
    """The mechanism of one unit: a weighted sum of what it reads, then its activation; it ignores its noise."""

    def __init__(self, linear: nn.Linear, after: list[nn.Module], number: int, used: list[int]) -> None:
        self.linear, self.after, self.number, self.used = linear, after, number, used

    def __call__(self, *_values: Tensor) -> Tensor:
        """Return the unit ``(batch,)`` from the units it reads and a noise, each ``(batch,)``."""
        *read, noise = _values
        weights = self.linear.weight.detach()[self.number, self.used].to(noise)
        total = torch.stack(read, dim=1) @ weights if read else torch.zeros_like(noise)
        if self.linear.bias is not None:
            total = total + self.linear.bias.detach()[self.number].to(noise)
        for layer in self.after:
            total = layer(total)
        return total


def _layers(network: nn.Sequential) -> list[tuple[nn.Linear, list[nn.Module]]]:
    """Return every linear layer with the unit-wise layers behind it, or raise a ValueError."""
    found: list[tuple[nn.Linear, list[nn.Module]]] = []
    for layer in network:
        asleep = isinstance(layer, nn.Dropout) and not layer.training
        if isinstance(layer, nn.Linear):
            found.append((layer, []))
        elif found and (isinstance(layer, UNITWISE) or asleep):
            found[-1][1].append(layer)
        else:
            raise ValueError(
                "network must start with nn.Linear and go on with nn.Linear or activations of single units, got "
                f"{type(layer).__name__}; take logits where it is a softmax, and call eval() where it is dropout"
            )
    if not found:
        raise ValueError("network must have a linear layer, got none")
    return found
