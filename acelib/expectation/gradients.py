"""First derivatives of a network at many rows: one reverse pass for each output, the whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._devices import double
from .._directional import twice_differentiable
from .._models import Model


def gradients(model: Model, points: Tensor, outputs: Sequence[int], chunk: int, along: Tensor | None = None) -> Tensor:
    """Return d output / d input at each point, ``(b, c, k)``, or its products ``(b, c, R)`` with ``along (.., k, R)``.

    Each output costs one backward pass; at most ``chunk`` gradients wait for the product, or those of one output.
    """
    # cuDNN's recurrent kernels have no backward pass in evaluation mode, so the plain ones are used.
    with torch.enable_grad(), twice_differentiable(recurrent=True):
        x = points.detach().requires_grad_(True)
        out = model(x.clone())  # a leaf must not be written to
        found, waiting = [], []
        for o in outputs:
            column = out[:, o].sum()
            g = None
            if column.requires_grad:
                (g,) = torch.autograd.grad(column, x, retain_graph=True, allow_unused=True)
            waiting.append(torch.zeros_like(x) if g is None else g.detach())
            if o == outputs[-1] or (len(waiting) + 1) * len(points) > chunk:
                slopes, waiting = torch.stack(waiting, dim=1), []
                found.append(slopes if along is None else double(slopes) @ along)
    return torch.cat(found, dim=1).detach()
