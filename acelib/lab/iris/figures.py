"""Figures of the Iris experiment that take more than a few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acelib import plots
from acelib.results import CausalRegressors

XLABEL = "{}, scaled to [0, 1]"


def plain(feature: str) -> str:
    """Return a feature's name without its unit, for axes in scaled units."""
    return feature.split(" [")[0]


def plot_seeds(
    ax: Axes,
    curves: Sequence[CausalRegressors],
    feature: str,
    *,
    seed: int | None = 0,
    others: bool = True,
    label: bool = False,
) -> None:
    """Draw the ACE of one feature on every class: one seed thick with its 95 % band, the others thin.

    Args:
        ax: axes to draw on.
        curves: the regressors of each seed's network.
        feature: name of the input.
        seed: position of the seed to draw thick; None for none.
        others: draw the other seeds.
        label: give the lines a label for a legend.
    """
    alphas = np.linspace(0, 1, 201)
    e = curves[0].expectations[feature]
    plots.shade_off_support(ax, e.alphas, e.support)
    for t, target in enumerate(curves[0].targets):
        color = plots.COLORS[t]
        for s, network in enumerate(curves):
            curve = network[feature, target]
            if s != seed:
                if others:
                    ax.plot(alphas, curve.ace(alphas), color=color, lw=0.6, alpha=0.55)
                continue
            mean, std = curve.ace(alphas, return_std=True)
            ax.fill_between(alphas, mean - plots.BAND * std, mean + plots.BAND * std, color=color, alpha=0.3, lw=0)
            ax.plot(alphas, mean, color=color, ls=plots.LINESTYLES[t], lw=2.2, label=target if label else None)
    ax.axhline(0, color="0.4", lw=0.8, zorder=0)
    ax.set(xlabel=XLABEL.format(plain(feature)), xlim=(0, 1))


def figure_of(curves: Sequence[CausalRegressors], ylabel: str) -> Figure:
    """Draw the curves of one estimator, a panel for each feature, on common axes; return the figure.

    Args:
        curves: the regressors of each seed's network.
        ylabel: label of the vertical axis, with the unit.
    """
    figure, axes = plt.subplots(2, 2, figsize=(7.6, 6.0), sharey=True)
    for ax, feature in zip(axes.flat, curves[0].features, strict=True):
        plot_seeds(ax, curves, feature, label=ax is axes.flat[0])
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)
    figure.legend(loc="outside upper center", ncols=len(curves[0].targets), handlelength=3)
    return figure


def count_map(counts: Mapping[str, Mapping[str, int]], total: int) -> Figure:
    """Draw for how many seeds each statement holds under each estimator, numbers in a heat map; return the figure.

    Args:
        counts: by estimator ("A on B" is broken before "on"), then by statement, the number of seeds.
        total: number of seeds.
    """
    statements = list(next(iter(counts.values())))
    table = np.array([[column[name] for column in counts.values()] for name in statements])
    figure, ax = plt.subplots(figsize=(7.6, 4.4))
    ax.imshow(table, cmap="cividis", vmin=0, vmax=total, aspect="auto")
    for (row, column), count in np.ndenumerate(table):
        shade = "black" if count > total / 2 else "white"
        ax.text(column, row, f"{count}/{total}", ha="center", va="center", color=shade, fontsize=11)
    ax.set_xticks(range(len(counts)), [name.replace(" on ", "\non ") for name in counts])
    ax.set_yticks(range(len(statements)), statements)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.xaxis.tick_top()
    return figure
