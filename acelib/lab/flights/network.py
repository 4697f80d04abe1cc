"""The networks of the flight experiment, trained on simulated landings.

An LSTM with 15 hidden units reads 17 channels second by second and predicts the next second; its predictions become its
inputs where the data end (Chattopadhyay et al. 2019, Sec. 5.3). Five networks ship as a checkpoint;
``python -m acelib.lab.flights`` trains them again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from acelib.lab import home
from acelib.lab.landings import CHANNELS
from acelib.lab.training import load_shipped, train
from acelib.recurrent import Recurrent

HIDDEN = 15
SEEDS = (0, 1, 2, 3, 4)
STAGES = ((450, 5e-3), (100, 1e-3))  # epochs and learning rate
LENGTH = 61  # seconds 0 to 60: what is explained, and all before it
BATCH_SIZE = 32
SHIPPED_FILE = ("checkpoints", "flight-lstm.safetensors")  # below data/
_WEIGHTS = 2  # keeps the generator of the initial weights apart from others


class _Predictions(nn.Module):
    """A sequence model without its state, for training: ``(batch, steps, d) -> (batch, steps, d)``."""

    def __init__(self, net: Recurrent):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[0]


def flight_network(
    seed: int = 0, *, channels: int = len(CHANNELS), hidden: int = HIDDEN, dtype: torch.dtype = torch.float64
) -> Recurrent:
    """Return an untrained LSTM and linear layer, ``(batch, steps, channels) -> (batch, steps, channels)`` and state.

    Args:
        seed: seed of the weights, uniform in ±1/√hidden like torch's own.
        channels: number of channels of one step, read and predicted.
        hidden: units of the LSTM.
        dtype: dtype of the weights.

    References:
        Chattopadhyay et al. 2019, Sec. 5.3 (17 channels) and the released code (15 hidden units).

    Example:
        >>> y, state = flight_network(seed=0)(torch.zeros(2, 5, 17, dtype=torch.float64))
        >>> assert y.shape == (2, 5, 17) and state[0].shape == (1, 2, 15)
    """
    with torch.device("meta"):  # no draw from the global generator
        core = nn.LSTM(channels, hidden, batch_first=True, dtype=dtype)
        net = Recurrent(core, nn.Linear(hidden, channels, dtype=dtype))
    net = net.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed + (_WEIGHTS << 32))
    with torch.no_grad():
        for p in net.parameters():
            drawn = 2 * torch.rand(p.shape, generator=generator, dtype=torch.float64) - 1
            p.copy_(drawn / math.sqrt(hidden))
    return net.eval().requires_grad_(False)


def train_network(
    X: Tensor,
    seed: int = 0,
    *,
    stages: Sequence[tuple[int, float]] = STAGES,
    batch_size: int = BATCH_SIZE,
    hidden: int = HIDDEN,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> tuple[Recurrent, Tensor]:
    """Train a network to predict the next second; return it in float64, and its ``(epochs,)`` mean squared errors.

    Training itself runs in float32, with the data as inputs at every step.

    Args:
        X: ``(n, steps, channels)`` scaled sequences.
        seed: seed of the weights and of the order of the sequences.
        stages: epochs and learning rate of Adam, one pair after another.
        batch_size: sequences a step.
        hidden: units of the LSTM.
        progress: show a bar on standard error.
        device: where to train; default: where ``X`` is. The network comes back on the CPU, in float64.

    References:
        Chattopadhyay et al. 2019, Sec. 5.3; Kingma and Ba 2015 (Adam).

    Example:
        >>> net, history = train_network(torch.rand(8, 6, 17), stages=((2, 1e-2),))
        >>> assert len(history) == 2 and net(torch.rand(1, 6, 17).double())[0].shape == (1, 6, 17)
    """
    X = X.to(torch.float32)
    net = flight_network(seed, channels=X.shape[2], hidden=hidden, dtype=torch.float32)
    model, history = _Predictions(net.requires_grad_(True).train()), []
    for stage, (epochs, lr) in enumerate(stages):
        result = train(
            model,
            X[:, :-1],
            X[:, 1:],
            loss="mse",
            lr=lr,
            batch_size=batch_size,
            epochs=epochs,
            seed=seed + 1000 * stage,
            progress=progress,
            device=X.device if device is None else device,
        )
        model = result.model
        history.append(result.history)
    return model.net.cpu().double().eval().requires_grad_(False), torch.cat(history)


def load_networks(*, device: torch.device | str | None = None) -> tuple[tuple[Recurrent, ...], dict[str, Any]]:
    """Return the five shipped networks in float64, trained on the shipped simulated landings, and their provenance.

    Args:
        device: where the networks are put; default: the CPU.

    Raises:
        DataError: if the checkpoint is missing or damaged.

    Example:
        >>> from acelib.lab.flights import load_networks
        >>> networks, facts = load_networks()
        >>> assert len(networks) == 5 and facts["seeds"] == [0, 1, 2, 3, 4]
    """
    networks = nn.ModuleList([flight_network(s) for s in SEEDS])
    remedy = "restore it from the repository, or make it again by `python -m acelib.lab.flights`"
    facts = load_shipped(networks, home.data_file(*SHIPPED_FILE), remedy)
    return tuple(networks.to(device)), facts


@contextmanager
def counted_steps(net: nn.Module) -> Iterator[list[int]]:
    """Count the steps of a recurrent network, rows times seconds, while the context is active: the list's only number.

    Example:
        >>> net = flight_network(0)
        >>> with counted_steps(net) as steps:
        ...     _ = net(torch.zeros(4, 5, 17, dtype=torch.float64))
        >>> assert steps == [20]
    """
    steps = [0]

    def add(module: nn.Module, args: tuple) -> None:
        steps[0] += args[0].shape[0] * args[0].shape[1]

    handle = net.register_forward_pre_hook(add)
    try:
        yield steps
    finally:
        handle.remove()
