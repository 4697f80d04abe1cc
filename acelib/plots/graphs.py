"""Pictures of the nodes that carry a class: effects per layer, the graph, maps on images, and the studies.

Necessary nodes are drawn in vermilion and as discs, noisy ones in blue and as squares, neutral ones in grey and
small: colour never stands alone. Curves carry their 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from .house_style import BAND, BLUE, COLORS, LINESTYLES, ORANGE, own_axes, style

if TYPE_CHECKING:
    from ..paths import ExplanatoryGraph, Fidelity, NodeMaps, Reliability, Repair, TreatmentEffects

NECESSARY, NOISY, NEUTRAL = ORANGE, BLUE, "#9A9A9A"
MARKERS = {"necessary": ("o", NECESSARY, 34), "noisy": ("s", NOISY, 26), "neutral": (".", NEUTRAL, 14)}
WAYS = {"necessary": (NECESSARY, "-"), "largest": (COLORS[0], "--"), "random": (NEUTRAL, ":")}
EDGES_DRAWN = 4000  # more lines than that are a grey block
ALL = -2  # the channel of an origin that stands for all channels of its layer


def plot_effects(effects: TreatmentEffects, *, ax: Axes | None = None) -> Axes:
    """Draw the effects of one layer's nodes as bars with 95 % intervals, coloured by role; return the axes."""
    ax = own_axes(ax)
    values, error = effects.effects.numpy(), BAND * effects.stderr.numpy()
    colors = np.full(len(values), NEUTRAL, dtype=object)
    colors[list(effects.necessary)], colors[list(effects.noisy)] = NECESSARY, NOISY
    ax.bar(np.arange(len(values)), values, yerr=error, color=list(colors), width=0.8, error_kw={"lw": 0.8})
    ax.axhline(0, color="0.3", lw=0.8)
    ax.set(xlabel=f"node of {_parents(effects)}", ylabel="change of the class output")
    return ax


def plot_heat(
    graphs: ExplanatoryGraph | Iterable[ExplanatoryGraph],
    *,
    layers: Sequence[str] | Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
    unit: str = "class",
) -> Figure:
    """Draw relative effects as heat maps, a panel per layer, a row per graph, a column per node; return the figure.

    Necessary nodes are orange, noisy ones violet, neutral ones grey; all rows of a panel share one scale.

    Args:
        graphs: an explanatory graph, or those of several classes of one network.
        layers: names of the layers to draw, from the top; with a mapping, what to write for each below its panel.
        names: names of the rows; the targets where None.
        unit: what a row stands for, e.g. "digit".
    """
    graphs = list(graphs) if isinstance(graphs, Iterable) else [graphs]
    shown = list(graphs[0].necessary if layers is None else layers)
    labels = dict(layers) if isinstance(layers, Mapping) else {n: _parents(graphs[0][n]) for n in shown}
    rows = [str(name) for name in (names or [graph.target for graph in graphs])]
    ticks = range(0, len(rows), 1 + len(rows) // 5)
    with style():
        height = len(shown) * (0.85 + 0.1 * len(rows))
        figure, axes = plt.subplots(len(shown), 1, figsize=(7.2, height), squeeze=False)
    for ax, name in zip(axes[:, 0], shown, strict=True):
        table = np.stack([graph[name].relative.numpy() for graph in graphs])
        neutral = np.zeros(table.shape, dtype=bool)
        for row, graph in zip(neutral, graphs, strict=True):
            row[list(graph[name].neutral)] = True
        limit = float(np.quantile(np.abs(table), 0.995)) or 1.0  # a single extreme effect would pale all others
        ax.set_facecolor("0.82")
        image = ax.imshow(
            np.ma.masked_array(table, neutral),
            aspect="auto",
            cmap="PuOr",
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
        )
        ax.set(ylabel=unit, xlabel=f"node: {labels[name]}")
        ax.set_yticks(ticks, [rows[i] for i in ticks])
        ax.grid(False)
        figure.colorbar(image, ax=ax, pad=0.01, label="share of output")
    return figure


def plot_graph(graph: ExplanatoryGraph, *, ax: Axes | None = None, most: int = 48) -> Axes:
    """Draw the graph from the input (left) to the class output (right), a column per layer; return the axes.

    Args:
        graph: the graph.
        ax: axes to draw on; new ones where None.
        most: at most this many nodes a column, the largest effects first.
    """
    if ax is None:
        with style():
            ax = plt.subplots(figsize=(1.5 + 1.15 * (len(graph.layers) + 1), 4.2))[1]
    columns = list(graph.layers)[::-1]
    shown = [_largest(layer, most) for layer in columns]
    places = [dict(zip(nodes, _heights(len(nodes)), strict=True)) for nodes in shown]
    for x, layer in enumerate(columns):
        lines = _lines(columns, places, x)
        ax.add_collection(LineCollection(lines, colors=NECESSARY, lw=0.5, alpha=min(0.6, 0.08 + 30 / (len(lines) + 1))))
        for role, (marker, color, size) in MARKERS.items():
            own = [j for j in getattr(layer, role) if j in places[x]]
            heights = [places[x][j] for j in own]
            ax.scatter([x] * len(own), heights, s=size, marker=marker, color=color, zorder=3)
        hidden = layer.num_nodes - len(shown[x])
        count = f"{len(layer.necessary)} / {len(layer.noisy)} / {len(layer.neutral)}"
        ax.text(
            x,
            -0.09,
            f"{layer.name or 'input'}\n{count}" + (f"\n({hidden} not drawn)" if hidden else ""),
            ha="center",
            va="top",
            fontsize=7,
        )
    ax.scatter([len(columns)], [0.5], s=90, color="black", zorder=3)
    ax.annotate(f"class {graph.target}", (len(columns), 0.5), xytext=(0, 9), textcoords="offset points", ha="center")
    ax.set(xlim=(-0.6, len(columns) + 0.6), ylim=(-0.05, 1.05))
    ax.axis("off")
    ax.text(-0.6, 1.06, "● necessary", color=NECESSARY, fontsize=8)
    ax.text(0.6, 1.06, "■ noisy", color=NOISY, fontsize=8)
    ax.text(1.5, 1.06, "· neutral      below: their numbers, read by the layer named", color="0.35", fontsize=8)
    return ax


def plot_maps(found: NodeMaps | Tensor, images: Tensor | None = None, *, rows: int = 4, nodes: int = 6) -> Figure:
    """Draw maps, a row per input and a column per node, over the images where given; return the figure.

    Args:
        found: ``NodeMaps``, or a tensor ``(n, H, W)`` of class maps.
        images: ``(n, channels, H, W)``; drawn in the first column and under the maps.
        rows: inputs to show.
        nodes: nodes to show.
    """
    if isinstance(found, Tensor):
        maps, names = found[:, None], ["class map"]
    elif found.maps.ndim == 5:
        maps, names = found.maps[:, 0], [f"node {found.nodes[0]}\nparent {j}" for j in found.parents]
    else:
        maps, names = found.maps, [f"node {j}" for j in found.nodes]
    maps, names = maps[:rows, :nodes].detach().cpu(), names[:nodes]
    first = 0 if images is None else 1
    with style():
        figure, axes = plt.subplots(
            len(maps), len(names) + first, squeeze=False, figsize=(1.35 * (len(names) + first), 1.35 * len(maps) + 0.4)
        )
    for i, row in enumerate(axes):
        size = maps.shape[-2:]
        extent = (-0.5, size[1] - 0.5, size[0] - 0.5, -0.5)
        if images is not None:
            row[0].imshow(_picture(images[i]), cmap="gray")
        for ax, one in zip(row[first:], maps[i], strict=True):
            if images is not None:
                ax.imshow(_picture(images[i]), cmap="gray", alpha=0.35, extent=extent)
            top = float(one.abs().max()) or 1.0
            ax.imshow(one.numpy(), cmap="RdBu_r", vmin=-top, vmax=top, alpha=0.75 if first else 1.0, extent=extent)
        for ax in row:
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(False)
    for ax, name in zip(axes[0], (["input"] * first) + list(names), strict=True):
        ax.set_title(name, fontsize=8)
    return figure


def plot_fidelity(study: Fidelity, *, figure: Figure | None = None) -> Figure:
    """Draw accuracy of the class (left) and of all others (right) against the share masked; return the figure."""
    if figure is None:
        with style():
            figure = plt.figure(figsize=(7.4, 3.3))
    axes = figure.subplots(1, 2, sharey=True)
    x = 100 * study.shares.numpy()
    panels = (study.own, study.own_interval, f"class {study.target}"), (study.others, study.others_interval, "others")
    for ax, (values, spans, title) in zip(axes, panels, strict=True):
        for way, (color, line) in WAYS.items():
            y, span = values[way].numpy(), spans[way].numpy()
            ax.fill_between(x, span[:, 0], span[:, 1], color=color, alpha=0.18, lw=0)
            ax.plot(x, y, color=color, ls=line, marker="o", ms=3, label=way if way != "largest" else "largest |w·a|")
        ax.set(xlabel="necessary nodes masked, %", title=title, ylim=(-0.03, 1.03))
    axes[0].set_ylabel("accuracy")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def plot_repair(study: Repair, *, figure: Figure | None = None) -> Figure:
    """Draw recall, precision and accuracy against the share of noisy nodes masked; return the figure."""
    if figure is None:
        with style():
            figure = plt.figure(figsize=(8.4, 3.1))
    axes = figure.subplots(1, 3, sharey=True)
    x = 100 * study.shares.numpy()
    ways = (
        (study.by_mask, study.by_mask_interval, "noisy nodes masked", NOISY, "-"),
        (study.by_constant, study.by_constant_interval, "constant on the logit", "black", "--"),
    )
    for ax, measure in zip(axes, ("recall", "precision", "accuracy"), strict=True):
        for values, spans, name, color, line in ways:
            span = spans[measure].numpy()
            ax.fill_between(x, span[:, 0], span[:, 1], color=color, alpha=0.16, lw=0)
            ax.plot(x, values[measure].numpy(), color=color, ls=line, marker="o", ms=3, label=name)
        ax.set(
            xlabel="noisy nodes masked, %",
            title=measure if measure == "accuracy" else f"{measure}, class {study.target}",
            ylim=(-0.03, 1.03),
        )
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def plot_reliability(study: Reliability, *, control: Reliability | None = None, ax: Axes | None = None) -> Axes:
    """Draw the share of nodes that reappear against the attenuation b, a line per layer; return the axes.

    Args:
        study: the study.
        control: another one, e.g. of an untrained network, drawn thin and dotted.
        ax: axes to draw on; new ones where None.
    """
    ax = own_axes(ax)
    for one, thin in ((study, False), *([(control, True)] if control is not None else [])):
        b = one.attenuations.unique_consecutive()
        for i, name in enumerate(one.layers):
            y = np.array([one.by_run[i][one.attenuations == value].mean() for value in b])
            if np.isnan(y).all():
                continue
            color = COLORS[i % len(COLORS)]
            if thin:
                ax.plot(b, y, color=color, lw=0.9, ls=":")
            else:
                ax.plot(b, y, color=color, ls=LINESTYLES[i % len(LINESTYLES)], label=name)
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    ax.set(xlabel="centre b of the attenuation", ylabel="share of nodes that reappear", ylim=(-0.03, 1.08))
    return ax


def _parents(effects: TreatmentEffects) -> str:
    """Return the names of the layers whose nodes were intervened on, as text."""
    return ", ".join(effects.parents)


def _largest(layer: TreatmentEffects, most: int) -> list[int]:
    """Return the nodes to draw, rising: necessary ones are chosen first, then those with the largest effects."""
    first = set(layer.necessary)
    order = sorted(range(layer.num_nodes), key=lambda j: (j not in first, -abs(float(layer.effects[j]))))
    return sorted(order[:most])


def _heights(count: int) -> list[float]:
    """Return evenly spaced heights from 1 down to 0; 0.5 for a single node."""
    return [0.5] if count == 1 else list(np.linspace(1, 0, count)) if count else []


def _lines(columns: list[TreatmentEffects], places: list[dict[int, float]], x: int) -> list[Any]:
    """Return line segments from the necessary nodes of column x to the columns that read the targets."""
    layer, lines = columns[x], []
    readers: dict[int, list[tuple[int, float]]] = {}
    for x2, other in enumerate(columns):
        for j in other.necessary:
            for name, channel in other.origins[j]:
                if name == layer.name and j in places[x2]:
                    readers.setdefault(channel, []).append((x2, places[x2][j]))
    for j, t in layer.edges:
        if j in places[x]:
            ends = readers.get(t, []) + readers.get(ALL, [])
            if x == len(columns) - 1:
                ends = [(len(columns), 0.5)]
            lines += [[(x, places[x][j]), end] for end in ends]
    return lines[:: max(1, len(lines) // EDGES_DRAWN)]


def _picture(image: Tensor) -> np.ndarray:
    """Return an image as matplotlib draws it: ``(H, W)``, or ``(H, W, 3)`` within [0, 1]."""
    picture = image.detach().cpu().numpy()
    if picture.shape[0] == 3:
        return np.clip(picture.transpose(1, 2, 0), 0, 1)
    return picture.mean(0)
