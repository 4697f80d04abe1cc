"""Small networks for tables: many trainings side by side, on the same rows or each on its own resample.

Inputs and target are standardised for training. Afterwards the scales are folded into the first and the last layer, so
that the networks read and answer in the units of the table.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acelib.lab.networks import stacked_mlp
from acelib.lab.training import train


def fit_networks(
    X: Tensor,
    y: Tensor,
    seeds: Sequence[int],
    *,
    rows: Tensor | None = None,
    hidden: int = 16,
    epochs: int = 100,
    batch_size: int = 64,
    lr: float = 5e-3,
    weight_decay: float = 1e-3,
    device: torch.device | str | None = None,
) -> list[nn.Sequential]:
    """Train networks ``(batch, k) -> (batch, 1)`` with one tanh layer, one per seed, in the units of the table.

    Args:
        X: table ``(n, k)``.
        y: target ``(n,)``.
        seeds: seeds of initial weights and batches, one per network.
        rows: rows ``(S, m)`` that each network trains on, such as bootstrap resamples; default all.
        hidden: number of hidden neurons.
        epochs: passes through the rows.
        batch_size: rows a step.
        lr: learning rate of Adam.
        weight_decay: added to the gradient, in standardised units.
        device: where to train, with float64, and where the networks stay; default: where the table is.

    Raises:
        ValueError: if ``rows`` is not one set of rows per seed.
    """
    X, y = X.to(device).double(), y.to(device).double().reshape(-1, 1)
    if rows is not None and len(rows) != len(seeds):
        raise ValueError(f"rows must hold one set for each of the {len(seeds)} seeds, got {len(rows)}")
    middle, scale = X.mean(0), X.std(0)
    shift, unit = y.mean(), y.std()
    Z, t = (X - middle) / scale, (y - shift) / unit
    rows = torch.arange(len(X), device=X.device).expand(len(seeds), -1) if rows is None else rows
    model = stacked_mlp((X.shape[1], hidden, 1), list(seeds), activation="tanh")
    options = dict(epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay)
    networks = train(model, Z[rows], t[rows], loss="mse", device=X.device, **options).model.unstack()
    for net in networks:
        _fold(net, middle, scale, shift, unit)
    return [net.eval().requires_grad_(False) for net in networks]


def _fold(net: nn.Sequential, middle: Tensor, scale: Tensor, shift: Tensor, unit: Tensor) -> None:
    """Fold the scales into the first and last layer, in place: raw inputs in, the unit of the target out."""
    first, last = net[0], net[-1]
    with torch.no_grad():
        first.weight /= scale
        first.bias -= first.weight @ middle
        last.weight *= unit
        last.bias.mul_(unit).add_(shift)


def fused(networks: Sequence[nn.Sequential]) -> nn.Sequential:
    """Return the mean of networks from ``fit_networks`` as one wide network ``(batch, k) -> (batch, 1)``.

    Args:
        networks: networks of a linear layer, tanh and a linear layer each.
    """
    first, last = [net[0] for net in networks], [net[-1] for net in networks]
    hidden = sum(layer.out_features for layer in first)
    wide = nn.utils.skip_init(nn.Linear, first[0].in_features, hidden, dtype=first[0].weight.dtype)
    out = nn.utils.skip_init(nn.Linear, hidden, 1, dtype=first[0].weight.dtype)
    with torch.no_grad():
        wide.weight.copy_(torch.cat([layer.weight for layer in first]))
        wide.bias.copy_(torch.cat([layer.bias for layer in first]))
        out.weight.copy_(torch.cat([layer.weight for layer in last], dim=1) / len(networks))
        out.bias.copy_(torch.stack([layer.bias for layer in last]).mean(0))
    return nn.Sequential(wide, nn.Tanh(), out).eval().requires_grad_(False)
