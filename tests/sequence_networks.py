"""Small recurrent networks with seeded weights, float64, that several tests use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acelib.recurrent import Recurrent

CORES = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded(module: nn.Module, *, gain: float = 0.5, seed: int = 0) -> nn.Module:
    """The module in float64 with normal weights from an explicit generator."""
    module = module.double()
    with torch.no_grad():
        for number, p in enumerate(module.parameters()):
            p.copy_(gain * draw(*p.shape, seed=1000 * seed + number))
    return module


def network(kind: str, features: int, outputs: int | None, *, hidden: int = 4, seed: int = 0, **options) -> Recurrent:
    """nn.RNN, nn.GRU or nn.LSTM with a linear head; ``outputs=None`` leaves the head out."""
    head = None if outputs is None else nn.Linear(hidden, outputs)
    return seeded(Recurrent(CORES[kind](features, hidden, **options), head), seed=seed).eval()


def literal_output(net: Recurrent, x: Tensor) -> Tensor:
    """Output after the last step of one sequence ``(t, d)``, read from its beginning by the bare layer and its head."""
    with torch.no_grad():
        hidden = net.core(x[None] if net.core.batch_first else x[:, None])[0]
        last = hidden[0, -1] if net.core.batch_first else hidden[-1, 0]
        return last if net.head is None else net.head(last)
