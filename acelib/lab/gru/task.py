"""The simulated sequences of the imputation experiment, and the networks trained on them.

Only the first three elements of a sequence carry its class: they are +1 or −1 with noise, the rest is noise alone
(Chattopadhyay et al. 2019, Sec. 5.2, after a task of Hochreiter and Schmidhuber 1997). The network is as small as it
can be: a GRU with one input and one hidden unit, a linear layer, a sigmoid; 14 numbers. ``train_grus`` trains many
seeds side by side by a quick recipe of our own, ``recipe`` follows the published one. ``imputation`` replaces single
elements, ``saliency`` compares attributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acelib.lab.gru.imputation import final_logits
from acelib.lab.networks import stream

SIGNAL, SPREAD, LENGTHS, LONG = 3, 0.2, (10, 14), (100, 109)
SETTINGS = {"epochs": 12, "batch_size": 64, "lr": 1e-2, "num": 4096}
REMEMBER, CLIP = 2.0, 1.0  # added to the first bias of the update gate; largest norm of a gradient
LOSSES = ("bce", "mse")
_ROWS, _ORDER, _WEIGHTS = 2, 3, 4  # streams of a seed: training rows, their order, initial weights


@dataclass(frozen=True, eq=False)
class Sequences:
    """Labelled sequences of different lengths.

    Attributes:
        values: ``(n, longest)`` elements, zero behind the end of a sequence.
        lengths: ``(n,)``.
        labels: ``(n,)``, 1 or 0 in the dtype of the values.
    """

    values: Tensor
    lengths: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def of_length(self, length: int) -> tuple[Tensor, Tensor]:
        """Return the sequences of one length ``(m, length)`` and their labels ``(m,)``."""
        chosen = self.lengths == length
        return self.values[:, :length][chosen], self.labels[chosen]


def make_sequences(
    num: int,
    *,
    seed: int,
    lengths: tuple[int, int] = LENGTHS,
    spread: float = SPREAD,
    dtype: torch.dtype = torch.float64,
) -> Sequences:
    """Return ``num`` sequences; with equal chances the first three are +1 (label 1) or −1 (label 0), plus noise.

    Args:
        num: number of sequences.
        seed: seed of the draw.
        lengths: smallest and largest length, each in between equally likely.
        spread: standard deviation of the noise.
        dtype: dtype of the values.

    Raises:
        ValueError: for no sequence, or lengths below 3 or in the wrong order.

    References:
        Chattopadhyay et al. 2019, Sec. 5.2.

    Example:
        >>> s = make_sequences(200, seed=0)
        >>> assert s.values.shape == (200, 14) and ((s.values[:, :3].sum(1) > 0) == (s.labels > 0)).all()
    """
    low, high = lengths
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    if not SIGNAL <= low <= high:
        raise ValueError(f"lengths must be (smallest, largest) with {SIGNAL} <= smallest <= largest, got {lengths}")
    return _draw(torch.Generator().manual_seed(seed), num, lengths, spread, dtype)


def _draw(
    generator: torch.Generator, num: int, lengths: tuple[int, int], spread: float, dtype: torch.dtype
) -> Sequences:
    """Return the sequences of ``make_sequences`` that a generator draws."""
    low, high = lengths
    size = torch.randint(low, high + 1, (num,), generator=generator)
    labels = torch.randint(0, 2, (num,), generator=generator).to(dtype)
    values = spread * torch.randn(num, high, generator=generator, dtype=dtype)
    values[:, :SIGNAL] += 2 * labels[:, None] - 1
    values[torch.arange(high) >= size[:, None]] = 0
    return Sequences(values, size, labels)


class SequenceGRU(nn.Module):
    """A GRU with one input and one hidden unit, a linear layer and a sigmoid, ``(batch, steps, 1) -> (batch, 1)``.

    The output is the one after a sequence's last step; ``lengths`` says which that is, without it all are whole.

    Args:
        seed: seed of the initial weights: uniform in [−1, 1], torch's own choice for one hidden unit, and 2 more on the
            bias of the update gate, so that the untrained network does not forget at once.
        dtype: dtype of the weights.

    Example:
        >>> p = SequenceGRU(seed=0)(torch.zeros(2, 10, 1, dtype=torch.float64))
        >>> assert p.shape == (2, 1) and ((p > 0) & (p < 1)).all()
    """

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float64):
        super().__init__()
        with torch.device("meta"):  # no draw from the global generator
            self.gru, self.linear = nn.GRU(1, 1, batch_first=True, dtype=dtype), nn.Linear(1, 1, dtype=dtype)
        self.to_empty(device="cpu")
        self.set_weights(_initial(seed).to(dtype))

    def set_weights(self, theta: Tensor) -> None:
        """Copy the 14 numbers ``(14,)`` in: input weights, hidden weights, both biases (r, z, n), then the output's."""
        start = 0
        with torch.no_grad():
            for p in (*self.gru.parameters(), *self.linear.parameters()):
                p.copy_(theta[start : start + p.numel()].view_as(p))
                start += p.numel()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the probability of label 1, ``(batch, 1)``."""
        states = self.gru(x)[0]
        if lengths is None:
            last = states[:, -1]
        else:
            last = states[torch.arange(len(x), device=x.device), lengths.to(x.device) - 1]
        return torch.sigmoid(self.linear(last))


@dataclass(frozen=True, eq=False)
class GRURun:
    """Networks trained side by side, one a seed.

    Attributes:
        seeds: one per network; a seed decides initial weights, training sequences and their order.
        losses: ``"bce"`` or ``"mse"``, one per network.
        networks: the trained networks.
        untrained: the same networks before training.
        history: ``(networks, epochs)`` mean training loss in each epoch.
    """

    seeds: tuple[int, ...]
    losses: tuple[str, ...]
    networks: tuple[SequenceGRU, ...]
    untrained: tuple[SequenceGRU, ...]
    history: Tensor

    def __repr__(self) -> str:
        return f"GRURun({len(self.seeds)} networks, losses {sorted(set(self.losses))}, {self.history.shape[1]} epochs)"


def train_grus(
    seeds: Sequence[int],
    *,
    loss: str | Sequence[str] = "mse",
    lengths: tuple[int, int] = LENGTHS,
    epochs: int = SETTINGS["epochs"],
    batch_size: int = SETTINGS["batch_size"],
    lr: float = SETTINGS["lr"],
    num: int = SETTINGS["num"],
    device: torch.device | str | None = None,
) -> GRURun:
    """Train GRUs of the given seeds, each on its own sequences by Adam, all in one go.

    The published recipe, ``recipe.train_by_recipe``, takes minutes. This one takes seconds: it is
    Adam at 1e-2 on batches of 64, the squared error or the cross-entropy, the update gate open to memory at first,
    and gradients clipped to norm 1: 768 steps then do, and hardly a network stays on the plateau at one half. Without
    the clipping, rounding errors grow until processors of different kinds get different networks.

    Args:
        seeds: one per network; equal seeds share data and initial weights.
        loss: ``"mse"`` on the probability or ``"bce"``, for all or one per network.
        lengths: smallest and largest length of the sequences.
        epochs: passes through the training sequences.
        batch_size: sequences a step.
        lr: learning rate.
        num: training sequences of each network.
        device: where to train, in float64, and where the networks are put; default: the CPU.

    Raises:
        ValueError: for no seed, a negative one, or an unknown or missing loss.
        RuntimeError: if the loss becomes NaN or infinite.

    References:
        Chattopadhyay et al. 2019, Sec. 5.2 (the task); Kingma and Ba 2015 (Adam).

    Example:
        >>> run = train_grus([0, 1], epochs=1, num=64)
        >>> assert len(run.networks) == 2 and run.history.shape == (2, 1)
    """
    seeds = [int(s) for s in seeds]
    losses = (loss,) * len(seeds) if isinstance(loss, str) else tuple(loss)
    if len(losses) != len(seeds) or not set(losses) <= set(LOSSES):
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, or one for each of the seeds, got {loss!r}")
    if not seeds or min(seeds) < 0:
        raise ValueError(f"seeds must be at least one number, none negative, got {seeds}")
    if min(epochs, batch_size, num) < 1:
        raise ValueError(f"epochs, batch_size and num must be at least 1, got {epochs}, {batch_size} and {num}")
    data = [_draw(stream(s, _ROWS), num, lengths, SPREAD, torch.float64) for s in seeds]
    x, size, y = (torch.stack([getattr(d, name) for d in data]).to(device) for name in ("values", "lengths", "labels"))
    theta = torch.stack([_initial(s) for s in seeds]).to(device).requires_grad_(True)
    squared = torch.tensor([one == "mse" for one in losses], device=device)[:, None]
    orders = [stream(s, _ORDER) for s in seeds]
    optimizer, each, history = torch.optim.Adam([theta], lr=lr), torch.arange(len(seeds), device=device)[:, None], []
    for epoch in range(epochs):
        order, losses_of_rows = torch.stack([torch.randperm(num, generator=g) for g in orders]).to(device), []
        for rows in order.split(batch_size, dim=1):
            target = y[each, rows]
            logits = stacked_logits(theta, x[each, rows], size[each, rows])
            entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
            errors = torch.where(squared, (logits.sigmoid() - target) ** 2, entropy)
            optimizer.zero_grad()
            errors.mean(1).sum().backward()
            norm = theta.grad.norm(dim=1, keepdim=True)
            theta.grad.mul_((CLIP / (norm + 1e-6)).clamp_max(1))
            optimizer.step()
            losses_of_rows.append(errors.detach())
        history.append(torch.cat(losses_of_rows, dim=1).mean(1).cpu())
        if not history[-1].isfinite().all():
            raise RuntimeError(f"the loss became {history[-1].tolist()} in epoch {epoch + 1}; try a smaller lr")
    networks, untrained = [], []
    for row, s in zip(theta.detach(), seeds, strict=True):
        untrained.append(SequenceGRU(s).to(device).eval().requires_grad_(False))
        networks.append(SequenceGRU(s).to(device).eval().requires_grad_(False))
        networks[-1].set_weights(row)
    return GRURun(tuple(seeds), losses, tuple(networks), tuple(untrained), torch.stack(history, dim=1))


def rule_of(network: nn.Module, *, steps: int = 10) -> tuple[bool, ...]:
    """Return p > 1/2 for each of the eight sign patterns of the first three elements, the rest zero.

    The patterns count up from (−, −, −) to (+, +, +), the first element being the highest digit.

    Args:
        network: a ``SequenceGRU``.
        steps: length of the sequences.

    Example:
        >>> assert len(rule_of(SequenceGRU(seed=0))) == 8
    """
    x = torch.zeros(2**SIGNAL, steps, dtype=torch.float64)
    x[:, :SIGNAL] = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * SIGNAL)
    return tuple((final_logits(network, x) > 0).tolist())


def stacked_logits(theta: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
    """Return the ``(S, B)`` logits after each sequence's last step, of S networks on their own sequences.

    Args:
        theta: ``(S, 14)`` weights in the order of ``SequenceGRU.set_weights``.
        x: ``(S, B, steps)``.
        lengths: ``(S, B)``.
    """
    w, u, b, c = (theta[:, i : i + 3, None] for i in (0, 3, 6, 9))
    inputs = x.permute(2, 0, 1)[:, :, None] * w + b  # (steps, S, 3, B): all that does not wait for the state
    inputs = torch.cat([inputs[:, :, :2] + c[:, :2], inputs[:, :, 2:]], dim=2)
    h, states = torch.zeros_like(x[..., 0]), []
    for now in inputs:
        back = h[:, None] * u
        gates = torch.sigmoid(now[:, :2] + back[:, :2])
        new = torch.tanh(now[:, 2] + gates[:, 0] * (back[:, 2] + c[:, 2]))
        h = torch.lerp(new, h, gates[:, 1])
        states.append(h)
    last = torch.stack(states).gather(0, lengths[None] - 1)[0]
    return last * theta[:, 12, None] + theta[:, 13, None]


def _initial(seed: int) -> Tensor:
    """Return the 14 initial weights of a seed, uniform in [−1, 1], with an update gate that remembers."""
    theta = 2 * torch.rand(14, generator=stream(seed, _WEIGHTS), dtype=torch.float64) - 1
    theta[7] += REMEMBER
    return theta
