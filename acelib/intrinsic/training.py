"""The training of a causal flow by maximum likelihood, and the rows of a flow in blocks that bound memory."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ._progress import progress_bar

CHECK_EVERY = 25  # steps between two looks at the held-out rows
PATIENCE = 8  # looks without a better likelihood after which training ends
BLOCK = 2**18  # parameters of splines in memory at once; each needs about a kilobyte
AVERAGED = 50  # steps over which weights are averaged


def negative_log_likelihood(transform: nn.Module, rows: Tensor) -> Tensor:
    """Return minus the log density ``(batch,)`` of standardised rows under standard normal noises."""
    noises, ladj = transform().call_and_ladj(rows)
    return 0.5 * noises.square().sum(1) + 0.5 * noises.shape[1] * torch.log(noises.new_tensor(2 * torch.pi)) - ladj


def losses(transform: nn.Module, rows: Tensor) -> Tensor:
    """Return minus the log density ``(batch,)`` of standardised rows, in blocks and without a graph."""
    with torch.no_grad():
        return torch.cat([negative_log_likelihood(transform, block) for block in blocks(transform, rows)])


def blocks(transform: nn.Module, rows: Tensor) -> tuple[Tensor, ...]:
    """Return the rows in blocks small enough for the widest layer, or 16 numbers a node: memory is bounded."""
    width = max([16 * rows.shape[1], *(len(p) for p in transform.parameters() if p.ndim > 1)])
    return rows.split(max(1, BLOCK // width))


def train(
    transform: nn.Module,
    rows: Tensor,
    generator: torch.Generator,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    progress: bool,
) -> list[float]:
    """Return the mean loss of every epoch; the likelihood of ``transform`` is maximised in place."""
    optimizer = torch.optim.Adam(transform.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    history = []
    for _ in progress_bar(range(epochs), "flow", progress):
        total = 0.0
        for index in torch.randperm(len(rows), generator=generator).split(batch_size):
            loss = negative_log_likelihood(transform, rows[index]).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(index)
        schedule.step()
        history.append(total / len(rows))
    return history


def train_until_held_out(
    transform: nn.Module,
    rows: Tensor,
    held: Tensor,
    generator: torch.Generator,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    progress: bool,
) -> list[float]:
    """Return the held-out losses up to the best one, whose averaged weights ``transform`` is left with."""
    average, optimizer = copy.deepcopy(transform), torch.optim.Adam(transform.parameters(), lr=learning_rate)
    pairs = list(average.parameters()), list(transform.parameters())
    history, best, kept = [float(losses(average, held).mean())], 0, copy.deepcopy(average.state_dict())
    batches: list[Tensor] = []
    for step in progress_bar(range(1, steps + 1), "flow", progress):
        batches = batches or list(torch.randperm(len(rows), generator=generator).split(batch_size))
        loss = negative_log_likelihood(transform, rows[batches.pop()]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mean, weight in zip(*pairs, strict=True):
                mean.lerp_(weight, max(1 / step, 1 / AVERAGED))
        if step % CHECK_EVERY and step < steps:
            continue
        history.append(float(losses(average, held).mean()))
        if history[-1] < history[best] - 1e-4:
            best, kept = len(history) - 1, copy.deepcopy(average.state_dict())
        if len(history) - 1 - best >= PATIENCE:
            break
    transform.load_state_dict(kept)
    return history[: best + 1]
