"""Pictures of intrinsic contributions and Sobol' indices: bars and points with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from .house_style import COLORS, LINESTYLES, as_text, own_axes

if TYPE_CHECKING:
    from ..intrinsic import IntrinsicContributions, SobolIndices

MARKERS = "osD^vPX"


def plot_contributions(
    results: IntrinsicContributions | Mapping[str, IntrinsicContributions],
    *,
    shares: bool = True,
    level: float = 0.95,
    truth: Mapping[str, Sequence[float]] | Sequence[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one bar per node with its interval, and the truth as a black tick where it is known; return the axes.

    Args:
        results: one result, or several of the same nodes by their names, drawn side by side.
        shares: whether shares of Var(Y) or H(Y) are drawn; else contributions in their own unit.
        level: level of the intervals.
        truth: ``(nodes,)`` true values in the same unit, or by the names of the results.
        ax: axes to draw on; a new figure where None.

    Raises:
        ValueError: if the results are of different nodes.
    """
    if not isinstance(results, Mapping):
        results = {"": results}
    truths = truth if isinstance(truth, Mapping) else {} if truth is None else {"": truth}
    first = next(iter(results.values()))
    if any(r.nodes != first.nodes for r in results.values()):
        different = sorted({r.nodes for r in results.values()})
        raise ValueError(f"results must be of the same nodes, got {different}; draw them on axes of their own")
    ax = own_axes(ax)
    positions, width = np.arange(len(first.nodes)), 0.8 / len(results)
    for i, (name, r) in enumerate(results.items()):
        middle = positions + (i - (len(results) - 1) / 2) * width
        value = (r.shares if shares else r.contributions).numpy()
        low, high = (end.numpy() for end in r.interval(level, shares=shares))
        error = None if not r.scramblings else np.stack([value - low, high - value])
        ax.bar(
            middle,
            value,
            width * 0.92,
            yerr=error,
            color=COLORS[i % len(COLORS)],
            alpha=0.8,
            label=name or None,
            error_kw=dict(lw=1, capsize=3),
        )
        known = truths.get(name)
        if known is not None:
            ax.hlines(known, middle - width * 0.46, middle + width * 0.46, color="black", lw=2, zorder=4)
    ax.set_xticks(positions, [as_text(node) for node in first.nodes])
    ax.axhline(0, color="0.4", lw=0.8)
    unit = {"variance": "Var(Y)", "entropy": "H(Y)"}[first.measure]
    own_unit = f"contribution to {unit}" + (" in nats" if first.measure == "entropy" else "")
    ax.set_ylabel(f"share of {unit}" if shares else own_unit)
    if len(results) > 1:
        ax.legend()
    return ax


def plot_sobol(
    r: SobolIndices, *, output: int = 0, level: float = 0.95, names: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw first-order and total index of every input with their intervals; return the axes.

    Args:
        r: what ``sobol_indices`` returned.
        output: number of the output.
        level: level of the intervals.
        names: names of the inputs; where None those of the result, else x0, x1, …
        ax: axes to draw on; a new figure where None.
    """
    ax = own_axes(ax)
    positions = np.arange(len(r.first))
    for i, index in enumerate(("first", "total")):
        value = getattr(r, index)[:, output].numpy()
        low, high = (end[:, output].numpy() for end in r.interval(index, level))
        ax.errorbar(
            positions + (i - 0.5) * 0.16,
            value,
            np.stack([value - low, high - value]),
            fmt=MARKERS[i],
            color=COLORS[i],
            capsize=3,
            label={"first": "first-order", "total": "total"}[index],
        )
    called = names if names is not None else r.names or [f"x{i}" for i in positions]
    ax.set_xticks(positions, [as_text(name) for name in called])
    ax.axhline(0, color="0.4", lw=0.8, ls=LINESTYLES[0])
    ax.set_ylabel("share of Var(Y)")
    ax.legend()
    return ax
