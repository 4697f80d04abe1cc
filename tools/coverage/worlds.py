"""What several coverage cases share: laws of the inputs, networks, and the exact average over normal inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from acelib.lab.networks import mlp
from tools.coverage.case import generator

Model = Callable[[Tensor], Tensor]
WIDE = (-20.0, 20.0)  # a domain that every draw stays inside, where the domain is not the question
NODES = {1: 4001, 2: 161, 3: 61}  # along each axis


def normal(n: int, k: int, seed: int) -> Tensor:
    """Return ``(n, k)`` independent standard normal inputs."""
    return torch.randn(n, k, generator=generator(seed), dtype=torch.float64)


def uniform(n: int, k: int, seed: int) -> Tensor:
    """Return ``(n, k)`` independent inputs uniform on [0, 1]."""
    return torch.rand(n, k, generator=generator(seed), dtype=torch.float64)


def column(outputs: Tensor) -> Tensor:
    """Return a batch of numbers as one output ``(batch, 1)``."""
    return outputs[:, None]


@cache
def network(activation: str, inputs: int = 3) -> torch.nn.Sequential:
    """Return a network of one hidden layer of 16, whose weights are three times those it starts with: it is curved."""
    net = mlp((inputs, 16, 1), activation=activation, seed=1).eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    return net


def normal_grid(k: int) -> tuple[Tensor, Tensor]:
    """Return nodes ``(N, k)`` and weights ``(N,)`` of the trapezoidal rule for k independent standard normals.

    For smooth integrands it is exact to rounding, for kinked ones to the square of the distance of the nodes.

    Example:
        >>> nodes, weights = normal_grid(2)
        >>> assert abs(float(weights @ nodes.prod(1) ** 2) - 1) < 1e-9
    """
    ends = 9.0 if k == 1 else 7.0
    axis = torch.linspace(-ends, ends, NODES[k], dtype=torch.float64)
    density = torch.exp(-(axis**2) / 2)
    density /= density.sum()
    nodes = torch.cartesian_prod(*[axis] * k).reshape(-1, k)
    weights = torch.cartesian_prod(*[density] * k).reshape(-1, k).prod(1)
    return nodes, weights


def averages(model: Model, alphas: Sequence[float] | Tensor, rest: Tensor, weights: Tensor) -> Tensor:
    """Return the mean output ``(m,)`` with the first input at each alpha and the rest ``(N, k − 1)`` weighted."""
    found = []
    with torch.no_grad():
        for alpha in torch.as_tensor(alphas, dtype=torch.float64):
            rows = torch.cat([alpha.expand(len(rest), 1), rest], 1)
            found.append(weights @ model(rows)[:, 0])
    return torch.stack(found)


def effects(curve: Callable[[Tensor], Tensor], points: Sequence[float] | Tensor, low: float, high: float) -> Tensor:
    """Return E(points) minus the mean of E over [low, high], by the midpoint rule on 20,000 places."""
    places = low + (high - low) * (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    return curve(torch.as_tensor(points, dtype=torch.float64)) - curve(places).mean()


def smooth_curve(model: Model, low: float, high: float, rest: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
    """Return E as a function on [low, high]: a Chebyshev interpolant of order 60 of the exact average."""
    import numpy as np
    from numpy.polynomial import Chebyshev

    def exact(values: np.ndarray) -> np.ndarray:
        return averages(model, torch.from_numpy(np.asarray(values)), rest, weights).numpy()

    fitted = Chebyshev.interpolate(exact, 60, domain=[low, high])
    return lambda alphas: torch.from_numpy(np.asarray(fitted(alphas.numpy())))
