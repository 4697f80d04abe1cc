"""Shares of a variance under a reader's hand: choose the context, and the order in which the noises become known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure

from ..intrinsic.games import MAX_EXACT, allocate, subset_of
from ..plots.house_style import BLUE, ORANGE, as_text, style
from .curves import between, output_words, short
from .drawing import Scene
from .explorer import Control, Explorer, Option, State, View

if TYPE_CHECKING:
    from ..intrinsic import IntrinsicContributions, SobolIndices

ALL_ORDERS = 4  # nodes up to which every order is offered; beyond, each node first and each last
WORDS = {
    "first": "alone, nothing else known",
    "total": "after all others",
    "shapley": "average over all orders",
    "topological": "along the causal order",
    "order": "in an order of my own",
}


@dataclass(frozen=True)
class Shares:
    """Shares ``(nodes,)`` of the variance, and both ends of their 95 % intervals; NaN where these are not known."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def explore_contributions(r: IntrinsicContributions) -> Explorer:
    """Return intrinsic contributions with lists of contexts and orders and a slider over the nodes.

    Contexts other than that of ``r`` are read off the closed indices, where all subsets were visited. In an order a
    node's share is the difference of two of them, whose errors are known one by one and not together: no interval.

    Args:
        r: what ``intrinsic_contributions`` returned.

    Example:
        >>> from acelib.intrinsic import StructuralModel, intrinsic_contributions
        >>> team = StructuralModel({"A": [], "B": []})
        >>> r = intrinsic_contributions(team, lambda x: x[:, :1] * x[:, 1:], num_samples=1024)
        >>> found = explore_contributions(r).at(context="order", order="B, A", node="A")
        >>> assert abs(found.numbers["share"] - r.closed["A", "B"] + r.closed["B",]) < 1e-9
    """
    unit = "Var(Y)" if r.measure == "variance" else "H(Y)"
    closed = {frozenset(key): value for key, value in r.closed.items()}
    own = Shares(r.shares.numpy(), *(end.numpy() for end in r.interval(shares=True)))

    def of(context: str, order: tuple[str, ...], output: int) -> Shares:
        return own if context == r.context else unsure(along(closed, r.nodes, context, order))

    contexts = [r.context, *(["first", "total", "shapley", "order"] if closed else [])]
    return _explorer(
        f"explore {r.target}", r.nodes, list(dict.fromkeys(contexts)), [r.target], unit, of, exact=not r.scramblings
    )


def explore_sobol(r: SobolIndices, *, names: Sequence[str] | None = None) -> Explorer:
    """Return Sobol' indices with lists of contexts, orders and outputs and a slider over the inputs.

    Orders and Shapley effects need all subsets, see ``sobol_indices(shapley=True)``.

    Args:
        r: what ``sobol_indices`` returned.
        names: names of the inputs; where None those of the result, else x0, x1, …

    Raises:
        ValueError: for another number of names.

    Example:
        >>> from acelib.intrinsic import sobol_indices
        >>> r = sobol_indices(lambda x: x[:, :1] * x[:, 1:], num_inputs=2, num_samples=1024)
        >>> assert explore_sobol(r).at(context="total", node="x1").numbers["share"] == float(r.total[1, 0])
    """
    k, outputs = r.first.shape
    names = r.names or tuple(f"x{i}" for i in range(k)) if names is None else tuple(names)
    if len(names) != k:
        raise ValueError(f"names must hold one name for each of the {k} inputs, got {len(names)}")
    full = r.further is not None and k <= MAX_EXACT
    closed = [
        {frozenset(names[i] for i in key): float(value[j]) for key, value in r.closed.items()} if full else {}
        for j in range(outputs)
    ]

    def of(context: str, order: tuple[str, ...], output: int) -> Shares:
        if context == "order":
            return unsure(along(closed[output], names, context, order))
        ends = (end[:, output].numpy() for end in r.interval(context))
        return Shares(getattr(r, context)[:, output].numpy(), *ends)

    contexts = ["first", "total", *(["shapley"] if r.further is not None else []), *(["order"] if full else [])]
    return _explorer("explore sobol", names, contexts, [str(i) for i in range(outputs)], "Var(Y)", of)


def along(
    closed: Mapping[frozenset[str], float], nodes: Sequence[str], context: str, order: Sequence[str]
) -> np.ndarray:
    """Return the shares ``(nodes,)`` in a context from the closed indices of all subsets."""
    everyone = frozenset(nodes)

    def gain(node: str, known: frozenset[str]) -> float:
        return closed[known | {node}] - closed[known]

    if context == "first":
        return np.array([gain(node, frozenset()) for node in nodes])
    if context == "total":
        return np.array([gain(node, everyone - {node}) for node in nodes])
    if context == "shapley":
        table = [closed[frozenset(nodes[j] for j in subset_of(bits, len(nodes)))] for bits in range(2 ** len(nodes))]
        return allocate(torch.tensor(table, dtype=torch.float64), "shapley", range(len(nodes))).numpy()
    place = {node: i for i, node in enumerate(order)}
    return np.array([gain(node, frozenset(order[: place[node]])) for node in nodes])


def unsure(values: np.ndarray) -> Shares:
    """Return shares whose errors are not known."""
    return Shares(values, np.full_like(values, np.nan), np.full_like(values, np.nan))


def _explorer(
    name: str,
    nodes: Sequence[str],
    contexts: list[str],
    outputs: list[str],
    unit: str,
    of: Callable[[str, tuple[str, ...], int], Shares],
    *,
    exact: bool = False,
) -> Explorer:
    """Return the explorer of the shares that ``of`` gives for a context, an order and an output."""

    @cache
    def scene(context: str, order: tuple[str, ...], output: int, how: str) -> Scene:
        return _bars(nodes, of(context, order, output), unit, how)

    def draw(state: State, advance: Any) -> View:
        context, order, output = state["context"], state["order"], state.get("output", 0)
        found, j = of(context, order, output), state["node"]
        share, ends = float(found.values[j]), (float(found.low[j]), float(found.high[j]))
        how = WORDS[context] if context != "order" else f"in the order {', '.join(order)}"
        sure = " (exact)" if exact else between(*ends)
        said = f"Share of {unit} that {nodes[j]} adds, {how}: {short(share)}{sure}."
        shares = ", ".join(f"{node} {short(float(v))}" for node, v in zip(nodes, found.values, strict=True))
        alt = f"Bars of the shares of {unit}, {how}, {nodes[j]} marked: {shares}."
        bars = scene(context, order, output, how)
        return View(bars.png(lambda: _marked(bars, j, share)), said, alt, {"share": share})

    def orders(state: State) -> list[Option]:
        if state["context"] != "order":
            return [("does not matter here", tuple(nodes))]
        some = permutations(nodes) if len(nodes) <= ALL_ORDERS else _rotations(nodes)
        return [(", ".join(order), tuple(order)) for order in some]

    controls = [Control("output", "output", [(output_words(o), i) for i, o in enumerate(outputs)], 0, "list")]
    controls = controls if len(outputs) > 1 else []
    controls += [
        Control("context", "context", [(WORDS[context], context) for context in contexts], 0, "list"),
        Control("order", "order in which they become known", orders, 0, "list"),
        Control("node", "noise of", [(node, j) for j, node in enumerate(nodes)]),
    ]
    return Explorer(name, controls, draw, main="context")


def _rotations(nodes: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the orders that begin with each node, and their reverses."""
    turned = [(*nodes[i:], *nodes[:i]) for i in range(len(nodes))]
    return [*turned, *(order[::-1] for order in turned)]


def _bars(nodes: Sequence[str], found: Shares, unit: str, how: str) -> Scene:
    """Return the bars of the shares with their intervals, and room for a mark."""
    with style():
        figure = Figure(figsize=(6.4, 3.4))
        ax = figure.subplots()
        errors = np.stack([found.values - found.low, found.high - found.values])
        bars = None if np.isnan(errors).all() else np.nan_to_num(errors)
        ax.bar(np.arange(len(nodes)), found.values, yerr=bars, color=BLUE, error_kw=dict(lw=1, capsize=3))
        ax.axhline(0, color="0.4", lw=0.8)
        ax.set_xticks(np.arange(len(nodes)), [as_text(node) for node in nodes])
        ax.set_ylim(min(0.0, float(found.values.min())) - 0.02, max(1.0, float(found.values.max())) + 0.1)
        ax.set(ylabel=f"share of {unit}", title=how)
        return Scene(figure)


def _marked(scene: Scene, j: int, share: float) -> list[Any]:
    """Return the artist that marks a node, above its bar."""
    return scene.canvas.figure.axes[0].plot(j, max(share, 0.0) + 0.06, "v", color=ORANGE, ms=9)
