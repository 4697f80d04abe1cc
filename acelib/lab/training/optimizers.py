"""Optimisers on one flat vector of parameters: Adam and plain gradient descent.

With the weight decay added to the gradient, g ← g + λθ, Adam (Kingma and Ba 2015) follows
m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − η m̂ / (√v̂ + ε). This differs from ``torch.optim``, which gives the same
weights, in one point: all parameters are one vector, so that a step is a handful of operations however many tensors
and stacked networks there are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8


class FlatParameters:
    """All trainable parameters of a module as one vector ``theta`` with gradient ``grad``; the module sees views.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> flat = FlatParameters(layer)
        >>> flat.theta.zero_()[0]
        tensor(0.)
        >>> assert flat.theta.shape == (9,) and not layer.weight.any()
        >>> flat.release()
    """

    def __init__(self, model: nn.Module):
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.theta = torch.cat([p.detach().reshape(-1) for p in self.parameters])
        self.grad = torch.zeros_like(self.theta)
        start = 0
        for p in self.parameters:
            end = start + p.numel()
            p.data, p.grad = self.theta[start:end].view_as(p), self.grad[start:end].view_as(p)
            start = end

    def release(self) -> None:
        """Give every parameter memory of its own again."""
        for p in self.parameters:
            p.data, p.grad = p.data.clone(), None


class FlatAdam:
    """Adam on the flat vector, operation by operation as in ``torch.optim.Adam``.

    Args:
        flat: the parameters.
        lr: learning rate η.
        weight_decay: λ, added as λθ to the gradient.
    """

    def __init__(self, flat: FlatParameters, lr: float, weight_decay: float = 0.0):
        self.flat, self.lr, self.weight_decay, self.steps = flat, lr, weight_decay, 0
        self.tensors = {"m": torch.zeros_like(flat.theta), "v": torch.zeros_like(flat.theta)}

    def step(self) -> None:
        """Move the parameters once along the gradient that ``flat.grad`` holds."""
        self.steps += 1
        theta, g, m, v = self.flat.theta, self.flat.grad, self.tensors["m"], self.tensors["v"]
        if self.weight_decay:
            g = g.add(theta, alpha=self.weight_decay)
        m.lerp_(g, 1 - BETAS[0])
        v.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
        root = v.sqrt().div_((1 - BETAS[1] ** self.steps) ** 0.5).add_(EPSILON)
        theta.addcdiv_(m, root, value=-self.lr / (1 - BETAS[0] ** self.steps))


class FlatDescent:
    """Plain gradient descent on the flat vector, with the arguments of ``FlatAdam``."""

    def __init__(self, flat: FlatParameters, lr: float, weight_decay: float = 0.0):
        self.flat, self.lr, self.weight_decay, self.steps = flat, lr, weight_decay, 0
        self.tensors: dict[str, Tensor] = {}

    def step(self) -> None:
        """Move the parameters once along the gradient that ``flat.grad`` holds."""
        self.steps += 1
        self.flat.theta.mul_(1 - self.lr * self.weight_decay).sub_(self.flat.grad, alpha=self.lr)
