"""Count the predictions that change when one input of a sequence is replaced, a million sequences in a second.

A GRU with one input and one hidden unit is a recursion of plain numbers,
r = σ(w_r x + u_r h + b_r), z = σ(w_z x + u_z h + b_z), n = tanh(w_n x + b_n + r (u_n h + c_n)), h ← n + z (h − n),
so all sequences of one length take a step at once, each gate a few operations on one vector. Three savings, all exact:
sequences are grouped by length, so nothing is padded; the vectors are short enough to stay in the processor's cache;
and an input replaced at step i changes nothing before i, so every replacement starts from the clean state there.
The recursion runs on s = (h + 1) / 2, for which tanh becomes one more σ, since tanh(a) = 2 σ(2a) − 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from acelib.lab.intervals import clopper_pearson
from acelib.lab.networks import stream

CHUNK = 16_384  # sequences at a time: a handful of such vectors fits into the cache, and one thread serves them
_DRAWN = 1  # keeps the generator of the imputed values apart from the one of the sequences


@dataclass(frozen=True, eq=False)
class ImputationCheck:
    """The effect of replaced inputs on the predictions of some networks, split by length.

    Attributes:
        positions: the steps whose input was replaced, counted from 0.
        lengths: the lengths that occur, increasing.
        totals: ``(lengths,)`` sequences of each length.
        changed: ``(networks, lengths, positions)`` predictions that changed sides of one half.
        moved: same shape, sum over the sequences of the change ``|Δp|`` of the output.
        right: ``(networks, lengths)`` predictions on the label's side before anything is replaced.
        distance: same shape, sum over the sequences of ``|label − p|``.
    """

    positions: tuple[int, ...]
    lengths: tuple[int, ...]
    totals: Tensor
    changed: Tensor
    moved: Tensor
    right: Tensor
    distance: Tensor

    def __repr__(self) -> str:
        networks, count = self.changed.shape[0], int(self.totals.sum())
        return f"ImputationCheck({networks} networks, {count} sequences, positions {list(self.positions)})"

    @property
    def num(self) -> int:
        """The number of sequences of all lengths together."""
        return int(self.totals.sum())

    @property
    def counts(self) -> Tensor:
        """``(networks, positions)`` changed predictions over all lengths."""
        return self.changed.sum(1)

    @property
    def accuracy(self) -> Tensor:
        """``(networks,)`` share of predictions on the right side of one half."""
        return self.right.sum(1) / self.num

    @property
    def closeness(self) -> Tensor:
        """``(networks,)`` 1 − mean ``|label − p|``."""
        return 1 - self.distance.sum(1) / self.num

    def interval(self, level: float = 0.95) -> np.ndarray:
        """Return the ``(networks, positions, 2)`` Clopper-Pearson intervals of the share of changed predictions."""
        return clopper_pearson(self.counts.numpy(), self.num, level=level)

    def of_length(self, length: int) -> ImputationCheck:
        """Return the same check on the sequences of one length only."""
        if length not in self.lengths:
            raise ValueError(f"length must be one of {', '.join(map(str, self.lengths))}, got {length}")
        i = self.lengths.index(length)
        parts = (t[:, i : i + 1] for t in (self.changed, self.moved, self.right, self.distance))
        return ImputationCheck(self.positions, (length,), self.totals[i : i + 1], *parts)


def scalar_weights(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, float]]:
    """Return the ten numbers of a GRU(1, 1), named as in the recursion above, and its output's weight and bias.

    Args:
        network: a module with ``gru``, an ``nn.GRU(1, 1)``, and ``linear``, an ``nn.Linear(1, 1)``.

    Raises:
        ValueError: if the recurrent part is of another kind or size.
    """
    gru, linear = getattr(network, "gru", None), getattr(network, "linear", None)
    known = isinstance(gru, nn.GRU) and isinstance(linear, nn.Linear) and gru.bias and not gru.bidirectional
    if not known or (gru.input_size, gru.hidden_size, gru.num_layers) != (1, 1, 1):
        raise ValueError(
            "network must hold .gru, an nn.GRU(1, 1) with biases, and .linear, an nn.Linear(1, 1), got "
            f"{type(network).__name__}"
        )
    w, u = gru.weight_ih_l0[:, 0].tolist(), gru.weight_hh_l0[:, 0].tolist()
    b, c = gru.bias_ih_l0.tolist(), gru.bias_hh_l0.tolist()
    cell = (*w, *u, b[0] + c[0], b[1] + c[1], b[2], c[2])
    return cell, (linear.weight.item(), linear.bias.item())


def imputation_check(
    networks: nn.Module | Sequence[nn.Module],
    sequences: Any,
    positions: Sequence[int] = (0, 1, 2),
    *,
    spread: float = 0.2,
    seed: int = 0,
    chunk: int = CHUNK,
) -> ImputationCheck:
    """Return the predictions that change when x_i is replaced by a draw from N(0, spread²).

    Every network gets the same sequences and the same drawn values, one position at a time; float32.

    Args:
        networks: one or several ``SequenceGRU``.
        sequences: ``Sequences`` with labels.
        positions: steps to replace, counted from 0, below the smallest length.
        spread: standard deviation of the drawn values, in the inputs' unit.
        seed: seed of the draws.
        chunk: sequences at a time.

    Raises:
        ValueError: for a position outside the shortest sequence, or a network of another kind.

    References:
        Chattopadhyay et al. 2019, Sec. 5.2: one million sequences, x_i ~ N(0, 0.2).
    """
    networks = [networks] if isinstance(networks, nn.Module) else list(networks)
    shortest = int(sequences.lengths.min())
    if not positions or min(positions) < 0 or max(positions) >= shortest:
        raise ValueError(f"positions must be at least one step in 0..{shortest - 1}, got {list(positions)}")
    weights = [_in_halves(*scalar_weights(network)) for network in networks]
    generator = stream(seed, _DRAWN)
    lengths = sequences.lengths.unique()
    shape = (len(networks), len(lengths))
    changed = torch.zeros(*shape, len(positions), dtype=torch.int64)
    moved = torch.zeros(*shape, len(positions), dtype=torch.float64)
    right, distance = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.float64)
    for i, length in enumerate(lengths.tolist()):
        x, labels = sequences.of_length(length)
        x = x.to(torch.float32).T.contiguous()  # one row a step
        drawn = spread * torch.randn(len(positions), x.shape[1], generator=generator)
        blocks = (t.split(chunk, dim=-1) for t in (x, labels.to(torch.float32), drawn))
        for part, y, new in zip(*blocks, strict=True):
            for j, (cell, output) in enumerate(weights):
                clean, logits = _replaced(cell, output, part, positions, new)
                p = clean.sigmoid()
                right[j, i] += ((clean > 0) == (y > 0.5)).sum()
                distance[j, i] += (p - y).abs().sum(dtype=torch.float64)
                for k, other in enumerate(logits):  # one at a time: short vectors again
                    changed[j, i, k] += ((other > 0) != (clean > 0)).sum()
                    moved[j, i, k] += other.sigmoid_().sub_(p).abs_().sum(dtype=torch.float64)
    totals = torch.stack([(sequences.lengths == length).sum() for length in lengths])
    return ImputationCheck(tuple(positions), tuple(lengths.tolist()), totals, changed, moved, right, distance)


def final_logits(network: nn.Module, x: Tensor) -> Tensor:
    """Return the ``(n,)`` logits after the last step of sequences of one length, by the recursion above.

    Args:
        network: a ``SequenceGRU``.
        x: ``(n, steps)``, of any floating dtype, which is the one it is computed in.
    """
    cell, (weight, bias) = _in_halves(*scalar_weights(network))
    parts = []
    for part in x.T.contiguous().split(CHUNK, dim=1):
        s = torch.full_like(part[0], 0.5)
        _run(cell, part, s, [torch.empty_like(s) for _ in range(3)])
        parts.append(s.mul_(weight).add_(bias))
    return torch.cat(parts)


def _replaced(
    cell: tuple[float, ...], output: tuple[float, float], x: Tensor, positions: Sequence[int], new: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the logits before ``(m,)`` and after each replacement ``(positions, m)``, for ``x (steps, m)``."""
    buffers = [torch.empty_like(x[0]) for _ in range(3)]
    s, logits = torch.full_like(x[0], 0.5), torch.empty_like(new)
    where = {position: k for k, position in enumerate(positions)}
    for step in range(len(x)):
        if step in where:
            k = where[step]
            logits[k] = s
            _run(cell, new[k : k + 1], logits[k], buffers)
            _run(cell, x[step + 1 :], logits[k], buffers)
            logits[k].mul_(output[0]).add_(output[1])
        _run(cell, x[step : step + 1], s, buffers)
    return s.mul_(output[0]).add_(output[1]), logits


def _in_halves(cell: tuple[float, ...], output: tuple[float, float]) -> tuple[tuple[float, ...], tuple[float, float]]:
    """Return the weights for s = (h + 1) / 2: h = 2 s − 1 put into every weight, both arguments of tanh doubled."""
    w_r, w_z, w_n, u_r, u_z, u_n, b_r, b_z, b_n, c_n = cell
    gates = (w_r, w_z, 2 * w_n, 2 * u_r, 2 * u_z, 4 * u_n, b_r - u_r, b_z - u_z, 2 * b_n, 2 * (c_n - u_n))
    return gates, (2 * output[0], output[1] - output[0])


def _run(cell: tuple[float, ...], x: Tensor, s: Tensor, buffers: list[Tensor]) -> None:
    """Let the states ``s`` take the steps ``x (steps, m)``, in place, with the weights of ``_in_halves``."""
    w_r, w_z, w_n, u_r, u_z, u_n, b_r, b_z, b_n, c_n = cell
    r, z, n = buffers
    for x_t in x:
        torch.mul(x_t, w_r, out=r).add_(s, alpha=u_r).add_(b_r).sigmoid_()
        torch.mul(x_t, w_z, out=z).add_(s, alpha=u_z).add_(b_z).sigmoid_()
        torch.mul(s, u_n, out=n).add_(c_n).mul_(r).add_(x_t, alpha=w_n).add_(b_n).sigmoid_()
        torch.lerp(n, s, z, out=s)
