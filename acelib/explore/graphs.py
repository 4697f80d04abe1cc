"""Explanatory graphs under a reader's hand: choose the class, the layer and the threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from ..plots.graphs import plot_effects
from ..plots.house_style import style
from .drawing import Scene
from .explorer import Control, Explorer, Option, State, View

if TYPE_CHECKING:
    from ..paths import ExplanatoryGraph, TreatmentEffects

LEVELS = (0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def explore_graphs(
    graphs: ExplanatoryGraph | Mapping[Any, ExplanatoryGraph],
    *,
    again: Callable[[Any, float], ExplanatoryGraph] | None = None,
    levels: Sequence[float] = LEVELS,
) -> Explorer:
    """Return the effects of a layer's nodes with lists of classes and layers and a slider over the test's level.

    The sentence counts the necessary, noisy and neutral nodes. The targets of a layer are the necessary nodes above it;
    they stay those of the graph, unless ``again`` descends once more with another level.

    Args:
        graphs: a graph, or those of several classes by name.
        again: a function of a class (a key of ``graphs``) and a level that returns the graph at this level; its graphs
            are kept.
        levels: the levels to choose from; that of each graph is added.

    Example:
        >>> import torch
        >>> from acelib.paths import explanatory_graph
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
        >>> graph = explanatory_graph(net, torch.rand(40, 3), 0)
        >>> found = explore_graphs(graph).at(layer="2", level=0.05)
        >>> assert found.numbers["necessary"] == len(graph["2"].necessary)
    """
    every = graphs if isinstance(graphs, Mapping) else {graphs.target: graphs}
    descend = None if again is None else cache(again)

    def draw(state: State, advance: Any) -> View:
        key, name, level = state["target"], state["layer"], state["level"]
        graph = every[key]
        if descend is not None and level != graph.alpha:
            graph = descend(key, level)
            advance(0.7)
        layer = judged_at(graph[name], level)
        necessary, noisy, neutral = (len(nodes) for nodes in (layer.necessary, layer.noisy, layer.neutral))
        with style():
            figure = Figure(figsize=(6.6, 3.2))
            ax = plot_effects(layer, ax=figure.subplots())
            ax.set_title(f"class {key}, layer {name}, level {level:g}")
        said = (
            f"Class {key}, nodes of {', '.join(layer.parents)} read by {name}, level {level:g}: {necessary} necessary, "
            f"{noisy} noisy and {neutral} neutral of {layer.num_nodes}, to {len(layer.targets)} targets."
        )
        alt = (
            f"Bars of the change of the output of class {key} where each of the {layer.num_nodes} nodes read by {name} "
            "is removed; necessary nodes are orange, noisy ones blue, neutral ones grey."
        )
        numbers = {"necessary": necessary, "noisy": noisy, "neutral": neutral}
        return View(Scene(figure).png(), said, alt, numbers)

    def layers(state: State) -> list[Option]:
        return [
            (f"{layer.name} (reads {', '.join(layer.parents)})", layer.name) for layer in every[state["target"]].layers
        ]

    values = sorted({*levels, *(graph.alpha for graph in every.values())})
    alpha = next(iter(every.values())).alpha
    controls = [
        Control("target", "class", [(str(key), key) for key in every], 0, "list"),
        Control("layer", "layer", layers, 0, "list"),
        Control("level", "level of the test", [(f"{value:g}", value) for value in values], values.index(alpha)),
    ]
    return Explorer("explore graph", controls, draw, main="level")


def judged_at(layer: TreatmentEffects, level: float) -> TreatmentEffects:
    """Return a layer's effects with the roles that its nodes have at a level: significant, and the sign decides.

    Args:
        layer: tested effects.
        level: of the test, for the p-values adjusted as they are.
    """
    significant, z = (layer.p_adjusted < level).tolist(), layer.z.tolist()
    roles = ["neutral" if not s else "necessary" if at < 0 else "noisy" for s, at in zip(significant, z, strict=True)]
    found = {role: tuple(j for j, own in enumerate(roles) if own == role) for role in ("necessary", "noisy", "neutral")}
    return replace(layer, **found)  # pyright: ignore[reportArgumentType]
