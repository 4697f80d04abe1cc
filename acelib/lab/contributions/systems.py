"""Systems with known answers for the chapter on intrinsic contributions, and what they are held against.

Contributions are functions of ``v(u) = Var(E[Y | N_u])`` over subsets u of independent noises. On a grid of finite or
quadrature noises all of them follow from averages along axes: once literally, as expected conditional variances
(Janzing et al. 2024, Def. 1), once from the components of Sobol's decomposition (Sobol' 2001), so that the two can be
compared. What happens when one noise is stilled is simulated with plain random draws, apart from every estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from acelib.intrinsic import FiniteNoise, LinearModel, StructuralModel
from acelib.intrinsic.scm import CausalModel
from acelib.lab.contributions.methods import METHODS, global_shares, marginal_shapley
from acelib.lab.contributions.networks import fit_networks, fused

__all__ = [
    "DISGUISES",
    "METHODS",
    "closed_from_components",
    "complete_graph",
    "conditional_variances",
    "disguised",
    "fit_networks",
    "fused",
    "g_function",
    "g_indices",
    "global_shares",
    "ishigami",
    "ishigami_indices",
    "linear_orders",
    "marginal_shapley",
    "mean_distance",
    "quadrature_noises",
    "random_grid",
    "stilled",
    "synthetic",
    "synthetic_target",
]

Target = Callable[[Tensor], Tensor]
_STEP = 0.1**0.5  # standard deviation of the noises of Q and R


def synthetic(noise: dict | None = None) -> StructuralModel:
    """The system P ~ U(0, 1), Q = 2P + √0.1·e, R = 2P − Q + √0.1·e, with normal e.

    Args:
        noise: other noises ``{"P": …, "Q": …, "R": …}``, such as those of a quadrature.

    Example:
        >>> P, Q, R = synthetic().sample(20_000, seed=0).T
        >>> assert abs(float(P.mean()) - 0.5) < 0.01 and abs(float((2 * P - Q - R).var()) - 0.1) < 0.005
    """
    graph = {"P": [], "Q": ["P"], "R": ["P", "Q"]}
    mechanisms = {"Q": lambda P, n: 2 * P + _STEP * n, "R": lambda P, Q, n: 2 * P - Q + _STEP * n}
    return StructuralModel(graph, mechanisms, noise or {"P": "uniform"})


def synthetic_target(x: Tensor) -> Tensor:
    """The target f = R² + exp(Q/2) of that system, ``(batch, 3) -> (batch, 1)``; it does not read P."""
    return x[:, 2:] ** 2 + torch.exp(x[:, 1:2] / 2)


def _swap(u: Tensor) -> Tensor:
    """The two halves of (0, 1) exchanged: its own inverse, and not continuous."""
    return (u + 0.5) % 1


Map = Callable[[Tensor], Tensor]
_ndtr, _ndtri = torch.special.ndtr, torch.special.ndtri
DISGUISES: dict[str, tuple[tuple[Map, Map], tuple[Map, Map]]] = {  # (map, inverse) for P's noise on (0, 1), for e
    "as stated": ((lambda u: u, lambda m: m), (lambda e: e, lambda m: m)),
    "cubed": ((lambda u: u**3, lambda m: m ** (1 / 3)), (lambda e: e**3, lambda m: m.sign() * m.abs() ** (1 / 3))),
    "turned over": ((lambda u: 1 / u, lambda m: 1 / m), (lambda e: 1 / e, lambda m: 1 / m)),
    "cut and swapped": ((_swap, _swap), (lambda e: _ndtri(_swap(_ndtr(e))), lambda m: _ndtri(_swap(_ndtr(m))))),
}


def disguised(name: str) -> StructuralModel:
    """The same system with every noise sent through an invertible map, which its mechanism undoes.

    Args:
        name: one of ``DISGUISES``.

    Example:
        >>> plain, other = (disguised(n).sample(100, seed=0) for n in ("as stated", "cubed"))
        >>> assert (plain - other).abs().max() < 1e-9
    """
    (forward, back), (hide, show) = DISGUISES[name]
    mechanisms = {
        "P": back,
        "Q": lambda P, n: 2 * P + _STEP * show(n),
        "R": lambda P, Q, n: 2 * P - Q + _STEP * show(n),
    }
    noise = {"P": forward, "Q": lambda u: hide(_ndtri(u)), "R": lambda u: hide(_ndtri(u))}
    return StructuralModel({"P": [], "Q": ["P"], "R": ["P", "Q"]}, mechanisms, noise)


def quadrature_noises(order: int = 40) -> dict[str, FiniteNoise]:
    """Gauss points and weights for the three noises of ``synthetic``: sums over them are integrals to rounding.

    Args:
        order: points of each rule.

    Example:
        >>> n = quadrature_noises()["Q"]
        >>> assert abs(float(n.probabilities @ n.values**4) - 3) < 1e-9
    """
    x, w = np.polynomial.legendre.leggauss(order)
    z, v = np.polynomial.hermite_e.hermegauss(order)
    normal = FiniteNoise(z, v / v.sum())
    return {"P": FiniteNoise((x + 1) / 2, w / w.sum()), "Q": normal, "R": normal}


def ishigami(u: Tensor) -> Tensor:
    """Ishigami's function sin x₁ + 7 sin² x₂ + 0.1 x₃⁴ sin x₁ with x = π(2u − 1), ``(batch, 3) -> (batch, 1)``."""
    x = torch.pi * (2 * u - 1)
    return (x[:, 0].sin() + 7 * x[:, 1].sin() ** 2 + 0.1 * x[:, 2] ** 4 * x[:, 0].sin())[:, None]


def ishigami_indices() -> tuple[np.ndarray, np.ndarray]:
    """First-order and total indices ``(3,)`` of Ishigami's function in closed form.

    References:
        Ishigami, Homma 1990.
    """
    pi4 = np.pi**4
    parts = np.array([(1 + 0.1 * pi4 / 5) ** 2 / 2, 49 / 8, 0.0])
    both = 0.01 * np.pi**8 * (1 / 18 - 1 / 50)  # of inputs 1 and 3 together
    variance = parts.sum() + both
    return parts / variance, (parts + np.array([both, 0, both])) / variance


def g_function(a: Sequence[float]) -> Target:
    """Sobol's G function Π (|4u_i − 2| + a_i) / (1 + a_i), ``(batch, k) -> (batch, 1)``; small a_i matter much."""
    weights = torch.tensor(list(a), dtype=torch.float64)
    return lambda u: ((4 * u - 2).abs().add(weights) / (1 + weights)).prod(1, keepdim=True)


def g_indices(a: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """First-order and total indices ``(k,)`` of Sobol's G function in closed form.

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
    """A random acyclic model whose noises take ``levels`` values each, and a random target of its nodes.

    Mechanisms are bent and multiply parents with noise, so that noises interact.

    Args:
        seed: of everything.
        nodes: their number.
        levels: values of each noise; their probabilities are random too.
    """
    rng = np.random.default_rng(seed)
    names = [f"x{i}" for i in range(nodes)]
    graph = {n: [p for p in names[:i] if rng.random() < 0.7] for i, n in enumerate(names)}
    noise = {n: FiniteNoise(rng.normal(size=levels), rng.dirichlet(np.full(levels, 2.0))) for n in names}
    mechanisms = {n: _bent(rng.normal(size=len(parents)), rng.normal()) for n, parents in graph.items()}
    weight, square = (torch.from_numpy(rng.normal(size=(nodes, 1))) for _ in range(2))
    return StructuralModel(graph, mechanisms, noise), lambda x: torch.tanh(x @ weight) + (x @ square).square()


def _bent(weights: np.ndarray, gain: float) -> Callable[..., Tensor]:
    def mechanism(*values: Tensor) -> Tensor:
        *parents, n = values
        drive = sum((float(w) * p for w, p in zip(weights, parents, strict=True)), torch.zeros_like(n))
        return torch.sin(drive) + n * (1 + gain * drive)

    return mechanism


def conditional_variances(y: np.ndarray, weights: Sequence[np.ndarray]) -> dict[frozenset[int], float]:
    """E[Var(Y | N_u)] of every subset u, literally: the variance within each state of N_u, averaged over the states.

    Args:
        y: target at every joint state of the noises, ``(g_1, …, g_k)``.
        weights: probabilities ``(g_j,)`` of each noise.
    """
    k, out = y.ndim, {}
    for bits in range(2**k):
        known = [j for j in range(k) if bits >> j & 1]
        rest = [j for j in range(k) if j not in known]
        p, q = (_joint([weights[j] for j in group]) for group in (known, rest))
        table = y.transpose(known + rest).reshape(len(p), len(q))
        within = ((table - (table @ q)[:, None]) ** 2) @ q
        out[frozenset(known)] = float(p @ within)
    return out


def closed_from_components(y: np.ndarray, weights: Sequence[np.ndarray]) -> dict[frozenset[int], float]:
    """Closed Sobol' indices of every subset: sums of the variances of the components of Sobol's decomposition.

    The component of u is what remains after averaging over the axes outside u and taking the mean out of every axis
    in u.

    Args:
        y: target at every joint state of the noises, ``(g_1, …, g_k)``.
        weights: probabilities ``(g_j,)`` of each noise.
    """
    k, parts = y.ndim, {}
    density = _joint(weights).reshape(y.shape)
    for bits in range(2**k):
        component = y
        for j in range(k):
            mean = np.tensordot(component, weights[j], axes=([j], [0]))
            mean = np.expand_dims(mean, j)
            component = component - mean if bits >> j & 1 else np.broadcast_to(mean, y.shape)
        parts[bits] = float((density * component**2).sum())
    total = sum(value for bits, value in parts.items() if bits)
    sums = {u: sum(v for bits, v in parts.items() if bits and bits & ~u == 0) for u in parts}
    return {frozenset(j for j in range(k) if u >> j & 1): value / total for u, value in sums.items()}


def _joint(weights: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities of the joint states, flat, last noise fastest."""
    out = np.ones(1)
    for w in weights:
        out = np.outer(out, w).reshape(-1)
    return out


def stilled(
    scm: CausalModel, model: Target, node: str, *, values: int = 200, draws: int = 400, seed: int = 0
) -> tuple[float, float]:
    """Share of the output's variance that goes when one node's own noise is held still, and its standard error.

    The noise is held at random values one after the other, everything else varies freely: plain random draws in the
    simulated world, none of the estimators of the library. The standard error is that over the values, of the variance
    left; the share is of the variance of all draws with nothing held.

    Args:
        scm: the causal model.
        model: ``(batch, nodes) -> (batch, 1)``.
        node: whose noise is held.
        values: at which it is held.
        draws: of the other noises for each.
        seed: of the draws.
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
    """The graph in which every node has all earlier ones as parents; ``roots`` come first and have none.

    Example:
        >>> assert complete_graph(["b", "c"], ["a"]) == {"a": [], "b": ["a"], "c": ["a", "b"]}
    """
    names = [*roots, *order]
    return {n: [] if n in roots else names[:i] for i, n in enumerate(names)}


def mean_distance(shares: np.ndarray, other: np.ndarray | None = None) -> tuple[float, float]:
    """Mean total variation distance between two rows of shares ``(K, k)``, and its jackknife standard error.

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


def linear_orders(X: Tensor, names: Sequence[str]) -> dict[tuple[str, ...], LinearModel]:
    """Linear models of the same table under every causal order, each with its complete graph."""
    return {order: LinearModel.fit(X, complete_graph(order), names=names) for order in permutations(names)}
