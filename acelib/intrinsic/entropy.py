"""Nats of a categorical target's entropy that subsets of the noises explain, H(Y) − H(Y | N_u).

The target is a label: drawn from the softmax (its sampling noise stays when all noises are known) or the arg-max class
(none stays). With p(n) the label's probabilities, ``H(Y | N_u) = E[ h(E[p | N_u]) ]`` with h the entropy of a
probability vector. The inner mean is an average over m mixtures, and as h is concave the plug-in value is too small by
about c/m. Two independent inner halves give it twice with error 2c/m and their pool once with c/m, so that
``2 h(pool) − average of h(half)`` is free of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._checks import as_generator
from .._fingerprint import stable
from .._pool import Task, Workers
from ._progress import progress_bar
from .cost import warn_of_cost
from .games import MAX_EXACT, allocate, subsets_needed
from .outcome import Outcome
from .pickfreeze import HALF_STEP, sizes

CATEGORICAL = ("softmax", "argmax")
SEQUENCES = 3  # of Sobol' points in a scrambling: the outer points and two halves of the inner ones
PERMUTATIONS = 4  # orders per scrambling where there are too many inputs for all subsets


def label_probabilities(outputs: Tensor, categorical: str | None, groups: int) -> Tensor:
    """Return the label's probabilities ``(batch, groups · classes)`` from a model's outputs of the same shape.

    Args:
        outputs: ``(batch, groups · classes)`` scores or probabilities.
        categorical: "softmax": the label drawn from the softmax of the outputs, or from the outputs where they are
            probabilities already; "argmax": the class with the largest output; None: the outputs must be probabilities.
        groups: models side by side.

    Raises:
        ValueError: if there is no categorical target in these outputs.
    """
    if categorical is not None and categorical not in CATEGORICAL:
        raise ValueError(f"categorical must be one of 'softmax', 'argmax', None, got {categorical!r}")
    scores = outputs.reshape(len(outputs), groups, -1)
    if scores.shape[-1] < 2:
        raise ValueError(
            "measure must be 'variance' for a continuous target, got 'entropy', which is minus infinity once all "
            "noises are known; or give a model with an output per class"
        )
    if categorical == "argmax":
        return torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).to(outputs).reshape(outputs.shape)
    total = scores.sum(-1, keepdim=True)
    if bool((scores >= 0).all()) and bool(((total - 1).abs() < _slack(scores)).all()):
        return (scores / total).reshape(outputs.shape)  # what is 1 up to rounding has no entropy
    if categorical is None:
        raise ValueError(
            "categorical must be 'softmax' (a label drawn from their softmax) or 'argmax' (the largest) where the "
            "outputs are no probabilities, got None; or use measure='variance'"
        )
    return scores.softmax(-1).reshape(outputs.shape)


def _slack(scores: Tensor) -> float:
    """Return how far from 1 a sum of probabilities may be, which may have been rounded to half precision."""
    for dtype in (torch.float16, torch.bfloat16):
        if torch.equal(scores.to(dtype).to(scores.dtype), scores):
            return 4 * torch.finfo(dtype).eps
    return 1e-5


def entropy(probabilities: Tensor, groups: int) -> Tensor:
    """Return the entropy ``(batch, groups)`` in nats of probability vectors ``(batch, groups · classes)``.

    Example:
        >>> h = entropy(torch.tensor([[0.5, 0.5]], dtype=torch.float64), 1)
        >>> assert abs(float(h) - float(torch.tensor(2.0).log())) < 1e-7
    """
    p = probabilities.reshape(*probabilities.shape[:-1], groups, -1)
    return torch.special.entr(p).sum(-1)


def replicate_entropy(
    what: Outcome | Sequence[Outcome],
    label: Callable[[Tensor], Tensor],
    groups: int,
    *,
    context: str,
    order: Sequence[int],
    num_samples: int,
    inner_samples: int,
    scramblings: int,
    seed: int | None,
    progress: bool,
    runs: int = 1,
    workers: Workers | None = None,
) -> tuple[Tensor, Tensor, list[dict[int, Tensor]], int]:
    """Return contributions and entropies in nats for every scrambling, the tables behind them and the model rows.

    Args:
        what: the target in terms of the noises; a sequence has one for every scrambling.
        label: function from outputs to probabilities.
        groups: models side by side.
        context: which subsets to visit.
        order: positions of the nodes in causal order.
        num_samples: model rows per subset over all scramblings.
        inner_samples: mixtures behind each inner mean, a power of two.
        scramblings: at least 16.
        seed: seed of scramblings and permutations; None means 0.
        progress: show a progress bar.
        runs: runs like this one whose time is predicted together; 0 says nothing.
        workers: who evaluates the scramblings; None does it here.

    Warns:
        UserWarning: after the first subset, where all are predicted to take more than two minutes.
    """
    k, rng = len(order), np.random.default_rng(as_generator(seed).initial_seed())
    outer = max(4, sizes(num_samples, scramblings) // inner_samples)
    orders, along = [list(order)], context
    many = context == "shapley" and k > MAX_EXACT
    content = what, label, groups, outer, inner_samples
    pool = (workers or Workers()).pool(content, lambda: stable(*content))

    def tasks() -> Iterator[Task]:
        for r in range(scramblings):
            state, some = _drawn(k, rng), orders
            if many:
                some = [rng.permutation(k).tolist() for _ in range(PERMUTATIONS)]
            predicted = scramblings * runs if not r and pool.executor is None else 0
            yield Task(
                _one_scrambling, (r, state, some, "topological" if many else along, predicted), f"scrambling {r}"
            )

    found = list(progress_bar(pool.run(tasks()), "entropy", progress, scramblings))
    numbers, tables, rows = zip(*found, strict=True)
    return torch.stack(numbers), torch.stack([-table[0] for table in tables]), list(tables), sum(rows)


_State = tuple[int, int, dict[str, Any]]  # entropy, spawned children and position of a generator


def _drawn(k: int, rng: np.random.Generator) -> _State:
    """Return the state of a generator, and let it draw what the scrambling of ``_Conditional`` draws."""
    from scipy.stats import qmc  # takes long to import

    bits: Any = rng.bit_generator
    state = int(bits.seed_seq.entropy), int(bits.seed_seq.n_children_spawned), bits.state
    for _ in range(SEQUENCES):
        qmc.Sobol(k, scramble=True, rng=rng)
    return state


def _generator(state: _State) -> np.random.Generator:
    """Return the generator that was in this state."""
    entropy_, spawned, position = state
    bits: Any = np.random.PCG64(np.random.SeedSequence(entropy_, n_children_spawned=spawned))
    bits.state = position
    return np.random.Generator(bits)


def _one_scrambling(
    content: tuple[Any, ...], r: int, state: _State, orders: list[list[int]], along: str, predicted: int
) -> tuple[Tensor, dict[int, Tensor], int]:
    """Return contributions, the table behind them and the model rows of one scrambling.

    Args:
        content: ``what``, ``label``, ``groups``, outer and inner samples; see ``replicate_entropy``.
        r: number of the scrambling.
        state: of the generator that draws it.
        orders: along which contributions are averaged.
        along: the context of each order.
        predicted: runs like this one whose time is predicted together after the first subset; 0 says nothing.
    """
    what, label, groups, outer, inner = content
    one = what if isinstance(what, Outcome) else what[r]
    estimate = _Conditional(one, label, groups, outer, inner, _generator(state))
    wanted = sorted({0, *(bits for o in orders for bits in subsets_needed(along, o))})
    started, table = time.perf_counter(), {0: -estimate(0)}
    if predicted:
        rows_of_all = predicted * estimate.rows * len(wanted)
        warn_of_cost(rows_of_all, estimate.rows, time.perf_counter() - started, len(wanted))
    table |= {bits: -estimate(bits) for bits in wanted[1:]}
    return torch.stack([allocate(table, along, o) for o in orders]).mean(0), table, estimate.rows


class _Conditional:
    """H(Y | N_u) from one scrambling: outer points fix the subset, two independent inner halves average the rest."""

    def __init__(
        self,
        what: Outcome,
        label: Callable[[Tensor], Tensor],
        groups: int,
        outer: int,
        inner: int,
        rng: np.random.Generator,
    ) -> None:
        self.what, self.label, self.groups, self.rows = what, label, groups, 0
        k = len(what.scm.graph)
        self.outer, self.inner = outer, inner

        from scipy.stats import qmc  # takes long to import

        def noise(count: int) -> Tensor:
            points = qmc.Sobol(k, scramble=True, rng=rng).random(count) + HALF_STEP
            return what.noise(torch.from_numpy(points))

        many = outer * inner
        self.fixed, self.halves = noise(many), [noise(many // 2) for _ in range(SEQUENCES - 1)]

    def __call__(self, bits: int) -> Tensor:
        """Return H(Y | N_u) ``(groups,)`` for the subset with these bits."""
        k, chunk = self.fixed.shape[1], self.what.chunk
        mask = torch.tensor([bits >> j & 1 == 1 for j in range(k)], device=self.fixed.device)
        if bits == 2**k - 1:
            known = [entropy(self._probabilities(rows), self.groups).sum(0) for rows in self.fixed.split(chunk)]
            return (torch.stack(known).sum(0) / len(self.fixed)).cpu()
        if bits == 0:
            means = [self._mean(half)[None] for half in self.halves]
        else:
            points = self.fixed[: self.outer].split(max(1, chunk // self.inner))  # memory is bounded by the chunk
            means = [torch.cat([self._inner(some, half, mask) for some in points]) for half in self.halves]
        pool = entropy((means[0] + means[1]) / 2, self.groups)
        halves = (entropy(means[0], self.groups) + entropy(means[1], self.groups)) / 2
        return (2 * pool - halves).mean(0).cpu()

    def _mean(self, noise: Tensor) -> Tensor:
        """Return the mean ``(groups · classes,)`` of the probabilities."""
        sums = [self._probabilities(rows).sum(0) for rows in noise.split(self.what.chunk)]
        return torch.stack(sums).sum(0) / len(noise)

    def _inner(self, points: Tensor, half: Tensor, mask: Tensor) -> Tensor:
        """Return the inner means ``(points, groups · classes)``: noises of the subset fixed, the others averaged."""
        inner = self.inner // 2
        rows = torch.where(mask, points[:, None], half[None, :inner])
        p = self._probabilities(rows.reshape(-1, rows.shape[-1]))
        return p.reshape(len(points), inner, -1).mean(1)

    def _probabilities(self, noise: Tensor) -> Tensor:
        self.rows += len(noise)
        return self.label(self.what.outputs(noise))
