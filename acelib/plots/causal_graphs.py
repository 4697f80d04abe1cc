"""Pictures of causal graphs: nodes in columns by how far they are from the roots, arrows from causes to effects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from .house_style import AMBER, BLUE, as_text, style

RADIUS = 0.2  # of a node; columns are 1 apart
_NUMBERED = re.compile(r"([A-Za-z]+)(\d[\d.]*)")


def place_nodes(graph: Any) -> dict[str, tuple[float, float]]:
    """Return a place ``(x, y)`` for every node: x counts the arrows from a root.

    The longest way counts. A root stands one column before the first node that listens to it.

    Args:
        graph: a ``CausalGraph``, or anything with its ``order`` and ``parents``.

    Example:
        >>> from acelib.intrinsic import CausalGraph
        >>> places = place_nodes(CausalGraph({"U": [], "X": ["U"], "Y": ["X", "U"]}))
        >>> assert [x for x, _ in places.values()] == [0, 1, 2]
    """
    column: dict[str, int] = {}
    for node in graph.order:
        column[node] = 1 + max((column[p] for p in graph.parents[node]), default=-1)
    for node in graph.order:
        readers = [column[c] for c, parents in graph.parents.items() if node in parents]
        if readers and not graph.parents[node]:
            column[node] = min(readers) - 1
    places = {}
    for x in set(column.values()):
        inside = [n for n in graph.parents if column[n] == x]
        places |= {n: (float(x), (len(inside) - 1) / 2 - i) for i, n in enumerate(inside)}
    return {n: places[n] for n in graph.parents}


def plot_causal_graph(
    graph: Any,
    *,
    places: Mapping[str, tuple[float, float]] | None = None,
    latent: Iterable[str] = (),
    silent: Iterable[str] = (),
    held: Iterable[str] = (),
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw nodes and arrows of a causal graph and return the axes.

    Args:
        graph: a ``CausalGraph``, or anything with its ``order`` and ``parents``.
        places: ``{node: (x, y)}``, such as those of another graph; ``place_nodes`` where None.
        latent: nodes that nobody sees, drawn with a dotted edge.
        silent: nodes without a noise of their own, drawn as squares.
        held: nodes that an intervention has set, filled.
        title: text above.
        ax: axes to draw on; new ones where None.

    Raises:
        ValueError: if a node has no place.

    Example:
        >>> from acelib.intrinsic import CausalGraph
        >>> ax = plot_causal_graph(CausalGraph({"U": [], "X": ["U"]}), latent=["U"])
        >>> assert [text.get_text() for text in ax.texts] == ["U", "X"]
    """
    places = place_nodes(graph) if places is None else places
    missing = [n for n in graph.parents if n not in places]
    if missing:
        raise ValueError(f"places must have every node, got none for {missing}")
    where = {n: np.asarray(places[n], dtype=float) for n in graph.parents}
    spots = np.stack(list(where.values()))
    low, high = spots.min(0) - 2 * RADIUS, spots.max(0) + 2 * RADIUS
    if ax is None:
        with style():
            ax = plt.subplots(figsize=tuple(np.clip(1.1 * (high - low), 1.6, 8.0)))[1]
    latent, silent, held = (set(map(str, names)) for names in (latent, silent, held))
    shapes = {}
    for node, spot in where.items():
        line = {
            "ec": BLUE if node not in held else "black",
            "fc": AMBER if node in held else "white",
            "ls": ":" if node in latent else "-",
            "lw": 1.4,
            "zorder": 3,
        }
        square = node in silent and node not in held
        corner = (spot[0] - 0.9 * RADIUS, spot[1] - 0.9 * RADIUS)
        shape = Rectangle(corner, 1.8 * RADIUS, 1.8 * RADIUS, **line) if square else Circle(tuple(spot), RADIUS, **line)
        shapes[node] = ax.add_patch(shape)
        ax.text(float(spot[0]), float(spot[1]), _label(node), ha="center", va="center", fontsize=9, zorder=4)
    for child, parents in graph.parents.items():
        for parent in parents:
            others = [spot for n, spot in where.items() if n not in (parent, child)]
            ax.add_patch(_arrow(where[parent], where[child], shapes[parent], shapes[child], others))
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", title=title)
    ax.axis("off")
    return ax


def _arrow(start: np.ndarray, end: np.ndarray, tail: Any, head: Any, others: list[np.ndarray]) -> FancyArrowPatch:
    """Return the arrow between two nodes: straight, or bent where another node stands in the way."""
    way = end - start
    length = float(np.hypot(*way)) or 1.0
    blocked = False
    for spot in others:
        along = float((spot - start) @ way) / length**2
        blocked |= 0 < along < 1 and float(np.hypot(*(start + along * way - spot))) < 1.1 * RADIUS
    return FancyArrowPatch(
        tuple(start),
        tuple(end),
        patchA=tail,
        patchB=head,
        arrowstyle="-|>",
        mutation_scale=9,
        connectionstyle="arc3,rad=0.4" if blocked else "arc3",
        color="0.35",
        lw=0.9,
        zorder=2,
    )


def _label(node: str) -> str:
    """Return a name as it is written: ``x1`` with a lowered 1."""
    numbered = _NUMBERED.fullmatch(node)
    return f"${numbered[1]}_{{{numbered[2]}}}$" if numbered else as_text(node)
