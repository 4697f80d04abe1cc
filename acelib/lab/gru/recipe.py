"""The published recipe, followed to the letter: squared error, plain gradient descent, one fresh sequence a step.

A million and more steps are needed before such a network leaves the plateau at one half, so the recursion, its
derivatives and the step are written out in plain numbers and compiled by numba. Forward, with the 14 numbers in the
order of ``SequenceGRU.set_weights``: r, z = σ(w x + b + u h + c), q = u_n h + c_n, n = tanh(w_n x + b_n + r q),
h' = n + z (h − n), and p = σ(v h + a) after the last step. Backward, with δ the derivative of (p − y)² by h':

    δ_n = δ (1 − z) (1 − n²)     for w_n (times x), b_n;  times r for u_n (times h) and c_n
    δ_z = δ (h − n) z (1 − z)    for w_z (times x), b_z, u_z (times h), c_z
    δ_r = δ_n q r (1 − r)        for w_r (times x), b_r, u_r (times h), c_r
    δ   ← δ z + δ_n r u_n + δ_z u_z + δ_r u_r

The source names no length of training. Here it ends when ``1 − mean |y − p|``, over the last ``BLOCK`` sequences as
they were before the network learnt from them, reaches the printed accuracy, or at ``LIMIT`` steps; such a seed is
counted as one that did not learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from acelib._optional import optional
from acelib.lab import home
from acelib.lab.gru.task import LENGTHS, SIGNAL, SPREAD, SequenceGRU
from acelib.lab.training import load_shipped, save_weights

RATE, GOAL = 1e-3, 0.9894  # learning rate and accuracy as printed
BLOCK, LIMIT = 10_000, 15_000_000  # sequences between two looks at the accuracy, and steps at most: our choice
SEEDS = tuple(range(64))  # of the networks that ship
SHIPPED_FILE = ("checkpoints", "gru-recipe.safetensors")  # below data/
_INITIAL, _SEQUENCES = 1, 2  # streams of a seed


@dataclass(frozen=True, eq=False)
class RecipeRun:
    """Networks trained by the published recipe, one a seed.

    Attributes:
        seeds: one per network.
        weights: ``(networks, 14)`` in the order of ``SequenceGRU.set_weights``.
        steps: ``(networks,)`` sequences seen.
        closeness: ``(networks,)`` 1 − mean ``|y − p|`` over the last block of training sequences.
        learnt: ``(networks,)`` whether the goal was reached within the limit.
    """

    seeds: tuple[int, ...]
    weights: Tensor
    steps: Tensor
    closeness: Tensor
    learnt: Tensor

    def __repr__(self) -> str:
        return f"RecipeRun({len(self.seeds)} networks, {int(self.learnt.sum())} learnt)"

    @property
    def untrained(self) -> tuple[SequenceGRU, ...]:
        """The same networks before training."""
        rows = [self.seeds[i] for i in self.learnt.nonzero()[:, 0].tolist()]
        return tuple(_network(torch.from_numpy(_first_weights(seed))) for seed in rows)

    @property
    def networks(self) -> tuple[SequenceGRU, ...]:
        """The networks that learnt, ready for evaluation."""
        return tuple(_network(theta) for theta in self.weights[self.learnt])


def train_by_recipe(
    seeds: Sequence[int],
    *,
    rate: float = RATE,
    goal: float = GOAL,
    limit: int = LIMIT,
    block: int = BLOCK,
    lengths: tuple[int, int] = LENGTHS,
    compiled: bool = True,
    jobs: int = 1,
    report: Callable[[int, int, float], None] | None = None,
) -> RecipeRun:
    """Train one network a seed by plain gradient descent on the squared error, one fresh sequence a step.

    The initial weights are uniform in [−1, 1], torch's own choice for one hidden unit. A step takes about a
    microsecond where numba is installed (``pip install numba``), hundreds of them without.

    Args:
        seeds: one per network; a seed decides initial weights and sequences.
        rate: learning rate.
        goal: 1 − mean ``|y − p|`` at which training ends.
        limit: steps at most.
        block: sequences over which the mean is taken.
        lengths: smallest and largest length of the sequences.
        compiled: whether numba compiles the steps; False runs the same lines in plain Python.
        jobs: networks trained at a time, each in a thread of its own; the result is the same.
        report: called with seed, steps and closeness after each network.

    Raises:
        ValueError: for no seed or a negative one, or a limit below one block.
        ImportError: if ``compiled`` and numba is missing.

    References:
        Chattopadhyay et al. 2019, Sec. 5.2.

    Example:
        >>> run = train_by_recipe([0], limit=50, block=50, compiled=False)
        >>> assert run.weights.shape == (1, 14) and not run.learnt.any() and run.steps.tolist() == [50]
    """
    seeds = [int(s) for s in seeds]
    if not seeds or min(seeds) < 0:
        raise ValueError(f"seeds must be at least one number, none negative, got {seeds}")
    if not 1 <= block <= limit:
        raise ValueError(f"block must be at least 1 and at most limit, got {block} and {limit}")
    descend = _compiled() if compiled else _descend

    def one(seed: int) -> tuple[np.ndarray, int, float]:
        theta = _first_weights(seed)
        steps, closeness = descend(theta, _stream(seed, _SEQUENCES), *lengths, SPREAD, SIGNAL, rate, goal, limit, block)
        if report is not None:
            report(seed, steps, closeness)
        return theta, steps, closeness

    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(one, seeds))
    theta, steps, closeness = (np.asarray(part) for part in zip(*found, strict=True))
    reached = torch.from_numpy(closeness >= goal)
    return RecipeRun(
        tuple(seeds), torch.from_numpy(theta), torch.from_numpy(steps), torch.from_numpy(closeness), reached
    )


def load_recipe() -> tuple[RecipeRun, dict]:
    """Return the shipped networks of the published recipe, those that did not learn included, and their provenance.

    Raises:
        DataError: if the checkpoint is missing or damaged.

    Example:
        >>> run, facts = load_recipe()
        >>> assert len(run.networks) >= 40 and facts["settings"]["rate"] == 1e-3
    """
    stored = _Stored(len(SEEDS))
    remedy = "restore it from the repository, or make it again by `python -m acelib.lab.gru`"
    facts = load_shipped(stored, home.data_file(*SHIPPED_FILE), remedy)
    reached = stored.closeness >= facts["settings"]["goal"]
    return RecipeRun(tuple(facts["seeds"]), stored.weights, stored.steps, stored.closeness, reached), facts


def save_recipe(run: RecipeRun, facts: dict) -> None:
    """Write networks and provenance to where ``load_recipe`` reads them."""
    stored = _Stored(len(run.seeds))
    stored.weights, stored.steps, stored.closeness = run.weights, run.steps, run.closeness
    settings = {"rate": RATE, "goal": GOAL, "block": BLOCK, "limit": LIMIT, "loss": "mse", "batch_size": 1}
    not_learnt = [s for s, good in zip(run.seeds, run.learnt.tolist(), strict=True) if not good]
    more = {"seeds": list(run.seeds), "not learnt": not_learnt, "settings": settings}
    save_weights(stored, home.data_dir().joinpath(*SHIPPED_FILE), {**facts, **more})


class _Stored(nn.Module):
    """What the file holds of ``count`` networks."""

    def __init__(self, count: int):
        super().__init__()
        self.register_buffer("weights", torch.zeros(count, 14, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("closeness", torch.zeros(count, dtype=torch.float64))


def _stream(seed: int, number: int) -> np.random.Generator:
    """Return numpy's generator of one purpose of a seed."""
    return np.random.default_rng(np.random.SeedSequence([seed, number]))


def _first_weights(seed: int) -> np.ndarray:
    """Return the 14 initial weights of a seed: torch's own choice for one hidden unit, uniform in [−1, 1]."""
    return _stream(seed, _INITIAL).uniform(-1, 1, 14)


def _network(theta: Tensor) -> SequenceGRU:
    """Return a network with the given 14 numbers, in evaluation mode and frozen."""
    network = SequenceGRU(0).eval().requires_grad_(False)
    network.set_weights(theta)
    return network


@cache
def _compiled() -> Callable:
    return optional("numba", "training by the recipe").njit(nogil=True)(_descend)


def _descend(theta, rng, low, high, spread, signal, rate, goal, limit, block):
    """Take the steps in place on ``theta (14,)`` and return how many, and the closeness of the last whole block.

    Plain loops over numbers, as numba wants them; the letters are those of the formulas above.
    """
    x, r, z, n, q = np.zeros(high), np.zeros(high), np.zeros(high), np.zeros(high), np.zeros(high)
    h, g = np.zeros(high + 1), np.zeros(14)
    missed, closeness, step = 0.0, 0.0, 0
    while step < limit:
        step += 1
        length = low + int(rng.random() * (high + 1 - low))
        label = 1.0 if rng.random() < 0.5 else 0.0
        for t in range(length):
            x[t] = spread * rng.standard_normal()
            if t < signal:
                x[t] += 2 * label - 1
            r[t] = 1 / (1 + math.exp(-(theta[0] * x[t] + theta[6] + theta[3] * h[t] + theta[9])))
            z[t] = 1 / (1 + math.exp(-(theta[1] * x[t] + theta[7] + theta[4] * h[t] + theta[10])))
            q[t] = theta[5] * h[t] + theta[11]
            n[t] = math.tanh(theta[2] * x[t] + theta[8] + r[t] * q[t])
            h[t + 1] = n[t] + z[t] * (h[t] - n[t])
        p = 1 / (1 + math.exp(-(theta[12] * h[length] + theta[13])))
        missed += abs(p - label)
        top = 2 * (p - label) * p * (1 - p)
        g[:] = 0
        g[12], g[13] = top * h[length], top
        d = top * theta[12]
        for i in range(length):
            t = length - 1 - i
            d_n = d * (1 - z[t]) * (1 - n[t] * n[t])
            d_z = d * (h[t] - n[t]) * z[t] * (1 - z[t])
            d_r = d_n * q[t] * r[t] * (1 - r[t])
            g[0] += d_r * x[t]
            g[1] += d_z * x[t]
            g[2] += d_n * x[t]
            g[3] += d_r * h[t]
            g[4] += d_z * h[t]
            g[5] += d_n * r[t] * h[t]
            g[6] += d_r
            g[7] += d_z
            g[8] += d_n
            g[11] += d_n * r[t]
            d = d * z[t] + d_n * r[t] * theta[5] + d_z * theta[4] + d_r * theta[3]
        g[9], g[10] = g[6], g[7]
        for i in range(14):
            theta[i] -= rate * g[i]
        if step % block == 0:
            closeness, missed = 1 - missed / block, 0.0
            if closeness >= goal:
                break
    return step, closeness
