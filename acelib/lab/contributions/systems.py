"""Systems with known answers, and what their contributions are compared with (chapter 11).

Contributions are functions of ``v(u) = Var(E[Y | N_u])`` over subsets u of independent noises (Janzing et al. 2024,
Def. 1). Ishigami's function and Sobol's G have closed forms for it, random models on a grid can be enumerated, and
what happens when one noise is held fixed is simulated with plain random draws, apart from every estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from acelib.intrinsic import CausalModel, FiniteNoise, StructuralModel

Target = Callable[[Tensor], Tensor]
Map = Callable[[Tensor], Tensor]


def _swap(u: Tensor) -> Tensor:
    """Return (0, 1) with its two halves exchanged: its own inverse, and not continuous."""
    return (u + 0.5) % 1


_ndtr, _ndtri = torch.special.ndtr, torch.special.ndtri
DISGUISES: dict[str, tuple[tuple[Map, Map], tuple[Map, Map]]] = {  # (map, inverse) for P's noise on (0, 1), for e
    "as stated": ((lambda u: u, lambda m: m), (lambda e: e, lambda m: m)),
    "cubed": ((lambda u: u**3, lambda m: m ** (1 / 3)), (lambda e: e**3, lambda m: m.sign() * m.abs() ** (1 / 3))),
    "turned over": ((lambda u: 1 / u, lambda m: 1 / m), (lambda e: 1 / e, lambda m: 1 / m)),
    "cut and swapped": ((_swap, _swap), (lambda e: _ndtri(_swap(_ndtr(e))), lambda m: _ndtri(_swap(_ndtr(m))))),
}


def ishigami(u: Tensor) -> Tensor:
    """Return Ishigami's sin x₁ + 7 sin² x₂ + 0.1 x₃⁴ sin x₁ with x = π(2u − 1), ``(batch, 3) -> (batch, 1)``."""
    x = torch.pi * (2 * u - 1)
    return (x[:, 0].sin() + 7 * x[:, 1].sin() ** 2 + 0.1 * x[:, 2] ** 4 * x[:, 0].sin())[:, None]


def ishigami_indices() -> tuple[np.ndarray, np.ndarray]:
    """Return the first-order and total indices ``(3,)`` of Ishigami's function in closed form.

    References:
        Ishigami, Homma 1990.
    """
    pi4 = np.pi**4
    parts = np.array([(1 + 0.1 * pi4 / 5) ** 2 / 2, 49 / 8, 0.0])
    both = 0.01 * np.pi**8 * (1 / 18 - 1 / 50)  # of inputs 1 and 3 together
    variance = parts.sum() + both
    return parts / variance, (parts + np.array([both, 0, both])) / variance


def g_function(a: Sequence[float]) -> Target:
    """Return Sobol's G, Π (``|4u_i − 2|`` + a_i) / (1 + a_i), ``(batch, k) -> (batch, 1)``; small a_i matter much."""
    weights = torch.tensor(list(a), dtype=torch.float64)
    return lambda u: ((4 * u - 2).abs().add(weights) / (1 + weights)).prod(1, keepdim=True)


def g_indices(a: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first-order and total indices ``(k,)`` of Sobol's G function in closed form.

    References:
        Saltelli, Sobol' 1995.

    Example:
        >>> first, total = g_indices([0.0])
        >>> assert abs(first[0] - 1) < 1e-12 and abs(total[0] - 1) < 1e-12
    """
    own = 1 / (3 * (1 + np.asarray(a, dtype=float)) ** 2)
    variance = np.prod(1 + own) - 1
    return own / variance, own * np.prod(1 + own) / (1 + own) / variance


def random_grid(seed: int, *, nodes: int = 4, levels: int = 3) -> tuple[StructuralModel, Target]:
    """Return a random acyclic model whose noises take ``levels`` values each, and a random target of its nodes.

    Mechanisms are bent and multiply parents with noise, so that noises interact.

    Args:
        seed: seed of graph, mechanisms, noises and target.
        nodes: number of nodes.
        levels: number of values of each noise; their probabilities are random too.
    """
    rng = np.random.default_rng(seed)
    names = [f"x{i}" for i in range(nodes)]
    graph = {n: [p for p in names[:i] if rng.random() < 0.7] for i, n in enumerate(names)}
    noise = {n: FiniteNoise(rng.normal(size=levels), rng.dirichlet(np.full(levels, 2.0))) for n in names}
    mechanisms = {n: _bent(rng.normal(size=len(parents)), rng.normal()) for n, parents in graph.items()}
    weight, square = (torch.from_numpy(rng.normal(size=(nodes, 1))) for _ in range(2))
    return StructuralModel(graph, mechanisms, noise), lambda x: torch.tanh(x @ weight) + (x @ square).square()


def _bent(weights: np.ndarray, gain: float) -> Callable[..., Tensor]:
    """Return the mechanism sin(w · parents) + n (1 + gain · w · parents)."""

    def mechanism(*values: Tensor) -> Tensor:
        *parents, n = values
        drive = sum((float(w) * p for w, p in zip(weights, parents, strict=True)), torch.zeros_like(n))
        return torch.sin(drive) + n * (1 + gain * drive)

    return mechanism


def share_lost_when_held(
    scm: CausalModel, model: Target, node: str, *, values: int = 200, draws: int = 400, seed: int = 0
) -> tuple[float, float]:
    """Return the share of the output's variance lost by fixing one node's noise, and its standard error.

    The noise is held at random values one after the other while everything else varies freely: plain random draws in
    the simulated world, none of the estimators of the library. The standard error is over the values, of the variance
    that is left; the share is of the variance of all draws with nothing held.

    Args:
        scm: causal model of the inputs.
        model: ``(batch, nodes) -> (batch, 1)``.
        node: node whose noise is held.
        values: number of values at which it is held.
        draws: draws of the other noises for each value.
        seed: seed of the draws.
    """
    g = torch.Generator().manual_seed(seed)
    u = torch.rand(values, draws, len(scm.graph), generator=g, dtype=torch.float64)
    with torch.no_grad():
        free = model(scm.push(scm.noise(u.reshape(values * draws, -1)))).double().var()
        column = scm.graph.index(node)
        u[:, :, column] = torch.rand(values, 1, generator=g, dtype=torch.float64)
        held = model(scm.push(scm.noise(u.reshape(values * draws, -1)))).double().reshape(values, draws).var(1)
    return float(1 - held.mean() / free), float(held.std() / values**0.5 / free)


def complete_graph(order: Sequence[str], roots: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the graph in which every node has all earlier ones as parents; ``roots`` come first and have none.

    Example:
        >>> assert complete_graph(["b", "c"], ["a"]) == {"a": [], "b": ["a"], "c": ["a", "b"]}
    """
    names = [*roots, *order]
    return {n: [] if n in roots else names[:i] for i, n in enumerate(names)}


def mean_distance(shares: np.ndarray, other: np.ndarray | None = None) -> tuple[float, float]:
    """Return the mean total variation distance of two rows of shares ``(K, k)``, and its jackknife standard error.

    The distance of two share vectors is half the sum of the absolute differences: 0 for equal ones, 1 for disjoint
    ones. Pairs share rows, so that the error is taken by leaving out one row at a time.

    Args:
        shares: one row per repetition; each sums to 1.
        other: shares of another method in the same repetitions: the answer is then by how much its mean distance is
            smaller, with the error of that difference.

    Example:
        >>> assert mean_distance(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))[0] == 2 / 3
    """
    gaps = 0.5 * np.abs(shares[:, None] - shares[None]).sum(-1)
    if other is not None:
        gaps = gaps - 0.5 * np.abs(other[:, None] - other[None]).sum(-1)
    count = len(gaps)
    total = gaps.sum()
    left_out = (total - 2 * gaps.sum(1)) / ((count - 1) * (count - 2))
    error = ((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()) ** 0.5
    return float(total / (count * (count - 1))), float(error)
