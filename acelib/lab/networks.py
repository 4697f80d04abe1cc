"""The small networks that the chapters explain: multilayer perceptrons, alone or several seeds side by side.

A layer is x W + b followed by an activation. Weights and biases are drawn uniformly from ±1/√fan_in, which is
PyTorch's own default (Kaiming-uniform with slope √5), here with an explicit generator, so that a seed alone decides
the network. ``StackedMLP`` holds the same layer of S seeds as one tensor (S, fan_in, fan_out) and evaluates all of them
by one batched product: on a CPU, S small networks then take the time of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


def stream(seed: int, number: int) -> torch.Generator:
    """Return a generator of its own for each seed and purpose: two purposes of one seed share no random number.

    Args:
        seed: the seed.
        number: one number for each purpose.

    Example:
        >>> assert torch.rand(1, generator=stream(0, 1)) != torch.rand(1, generator=stream(0, 2))
    """
    state = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def mlp(
    sizes: Sequence[int],
    *,
    activation: str = "relu",
    seed: int | None = None,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    output: str | None = None,
) -> nn.Sequential:
    """Return a perceptron ``(batch, sizes[0]) -> (batch, sizes[-1])``, its weights decided by the seed alone.

    Args:
        sizes: neurons per layer, inputs and outputs included, such as ``(4, 8, 3)``.
        activation: activation between layers, one of ``ACTIVATIONS``.
        seed: seed of the initial weights; None means 0.
        generator: a generator to draw from, in place of ``seed``.
        dtype: dtype of the parameters.
        output: none for logits, ``"softmax"`` for probabilities.

    Raises:
        ValueError: for a size, an activation or an output that does not exist.

    Example:
        >>> import torch
        >>> from acelib.lab.networks import mlp
        >>> model = mlp((4, 8, 3), seed=1, output="softmax")
        >>> p = model(torch.zeros(5, 4, dtype=torch.float64))
        >>> assert p.shape == (5, 3) and torch.allclose(p.sum(1), torch.ones(5, dtype=torch.float64))
    """
    sizes = _check(sizes, activation, output)
    if generator is None:
        generator = torch.Generator().manual_seed(seed or 0)
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        if index:
            layers.append(ACTIVATIONS[activation]())
        layers.append(_linear(*_draw(fan_in, fan_out, generator, dtype)))
    if output == "softmax":
        layers.append(nn.Softmax(dim=-1))
    return nn.Sequential(*layers)


class StackedMLP(nn.Module):
    """S perceptrons of one architecture as one module: (batch, inputs) or (S, batch, inputs) -> (S, batch, outputs).

    Args:
        weights: one tensor ``(S, fan_in, fan_out)`` per layer.
        biases: one tensor ``(S, 1, fan_out)`` per layer.
        seeds: the S seeds, kept for training and for reports.
        activation: activation between layers, one of ``ACTIVATIONS``.
        output: none for logits, ``"softmax"`` for probabilities.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        seeds: Sequence[int],
        *,
        activation: str = "relu",
        output: str | None = None,
    ):
        super().__init__()
        self.sizes = _check([weights[0].shape[1], *(weight.shape[2] for weight in weights)], activation, output)
        self.seeds, self.activation, self.output = tuple(seeds), activation, output
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            self.register_parameter(f"weight{index}", nn.Parameter(weight.detach().clone()))
            self.register_parameter(f"bias{index}", nn.Parameter(bias.detach().clone()))
        self._activate = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(S, batch, outputs)``; x is ``(batch, inputs)`` for all networks or ``(S, batch, inputs)``."""
        if x.ndim not in (2, 3) or x.shape[-1] != self.sizes[0] or (x.ndim == 3 and x.shape[0] != len(self.seeds)):
            expected = f"(batch, {self.sizes[0]}) or ({len(self.seeds)}, batch, {self.sizes[0]})"
            raise ValueError(f"x must have shape {expected}, got {tuple(x.shape)}")
        x = x.expand(len(self.seeds), *x.shape[-2:])
        for index, (weight, bias) in enumerate(self.layers()):
            x = torch.baddbmm(bias, self._activate(x) if index else x, weight)
        return torch.softmax(x, dim=-1) if self.output == "softmax" else x

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight ``(S, fan_in, fan_out)`` and bias ``(S, 1, fan_out)`` of each layer, from inputs to outputs."""
        parameters = list(self._parameters.values())  # the dictionary itself: this runs in every training step
        return list(zip(parameters[::2], parameters[1::2], strict=True))

    def unstack(self) -> list[nn.Sequential]:
        """Return copies of the networks as plain modules ``(batch, inputs) -> (batch, outputs)``, as in ``seeds``."""
        models = []
        for s in range(len(self.seeds)):
            layers: list[nn.Module] = []
            for index, (weight, bias) in enumerate(self.layers()):
                if index:
                    layers.append(ACTIVATIONS[self.activation]())
                layers.append(_linear(weight[s].detach().T, bias[s, 0].detach()))
            if self.output == "softmax":
                layers.append(nn.Softmax(dim=-1))
            models.append(nn.Sequential(*layers).train(self.training))
        return models

    def extra_repr(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, activation={self.activation!r}, seeds={self.seeds}"


def stacked_mlp(
    sizes: Sequence[int],
    seeds: Sequence[int],
    *,
    activation: str = "relu",
    dtype: torch.dtype = torch.float64,
    output: str | None = None,
) -> StackedMLP:
    """Return S perceptrons side by side as one module; the one of seed s equals ``mlp(sizes, seed=s)``.

    Args:
        sizes: neurons per layer, inputs and outputs included.
        seeds: one seed per network, all different.
        activation: activation between layers, one of ``ACTIVATIONS``.
        dtype: dtype of the parameters.
        output: none for logits, ``"softmax"`` for probabilities.

    Raises:
        ValueError: for no seed or a repeated one, or an argument that ``mlp`` refuses.

    Example:
        >>> import torch
        >>> from acelib.lab.networks import mlp, stacked_mlp
        >>> x = torch.ones(2, 4, dtype=torch.float64)
        >>> models = stacked_mlp((4, 8, 3), seeds=[0, 7]).unstack()
        >>> assert torch.equal(models[1](x), mlp((4, 8, 3), seed=7)(x))
    """
    sizes, seeds = _check(sizes, activation, output), [int(seed) for seed in seeds]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must hold at least one seed and none twice, got {seeds}")
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    weights, biases = [], []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        drawn = [_draw(fan_in, fan_out, generator, dtype) for generator in generators]
        weights.append(torch.stack([weight.T for weight, _ in drawn]))
        biases.append(torch.stack([bias[None] for _, bias in drawn]))
    return StackedMLP(weights, biases, seeds, activation=activation, output=output)


class Probabilities(nn.Module):
    """A classifier's class probabilities, ``(batch, …) -> (batch, classes)``: the softmax over its logits.

    Args:
        model: a module that returns logits, classes last.

    Example:
        >>> import torch
        >>> from acelib.lab.networks import Probabilities, mlp
        >>> p = Probabilities(mlp((2, 3), seed=0))(torch.zeros(4, 2, dtype=torch.float64))
        >>> assert p.shape == (4, 3) and p.min() > 0
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.model(x), dim=-1)


def _check(sizes: Sequence[int], activation: str, output: str | None) -> tuple[int, ...]:
    sizes = tuple(sizes)
    if len(sizes) < 2 or any(not isinstance(size, int) or size < 1 for size in sizes):
        raise ValueError(f"sizes must be at least two positive integers, from inputs to outputs, got {sizes}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    if output not in (None, "softmax"):
        raise ValueError(f"output must be None for logits or 'softmax', got {output!r}")
    return sizes


def _draw(fan_in: int, fan_out: int, generator: torch.Generator, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return weight ``(fan_out, fan_in)`` and bias ``(fan_out,)``, uniform in ±1/√fan_in and drawn in float64."""
    bound = 1 / math.sqrt(fan_in)
    weight = torch.rand(fan_out, fan_in, generator=generator, dtype=torch.float64, device=generator.device)
    bias = torch.rand(fan_out, generator=generator, dtype=torch.float64, device=generator.device)
    return ((2 * weight - 1) * bound).to(dtype), ((2 * bias - 1) * bound).to(dtype)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    # skip_init builds the layer without drawing from the global generator
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], dtype=weight.dtype, device=weight.device)
    # contiguous: another layout takes another product routine, which rounds differently
    layer.weight = nn.Parameter(weight.clone(memory_format=torch.contiguous_format))
    layer.bias = nn.Parameter(bias.clone())
    return layer
