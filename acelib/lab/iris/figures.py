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
REGION = "#fdf2b8"  # the yellow in which the paper shades a tree's regions


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
    ax.set(xlabel=XLABEL.format(feature), xlim=(0, 1))


def class_panels(curves: Sequence[CausalRegressors], cuts: Sequence[float], ylabel: str) -> Figure:
    """Draw a panel for each class with the ACE of all features, a tree's regions shaded; return the figure.

    Thick lines belong to the first network. A pale band holds the middle 80 % of all networks at every value.

    Args:
        curves: the regressors of each seed's network.
        cuts: where a tree cuts the last feature, increasing: one less than there are classes.
        ylabel: label of the vertical axis, with the unit.

    References:
        Chattopadhyay et al. 2019, Fig. 2a-c.
    """
    alphas, ends = np.linspace(0, 1, 201), [0.0, *cuts, 1.0]
    figure, axes = plt.subplots(1, len(curves[0].targets), figsize=(8.6, 3.9), sharey=True)
    for t, (ax, target) in enumerate(zip(axes, curves[0].targets, strict=True)):
        ax.axvspan(ends[t], ends[t + 1], color=REGION, lw=0, zorder=0)
        for i, feature in enumerate(curves[0].features):
            every = np.stack([network[feature, target].ace(alphas) for network in curves])
            low, high = np.quantile(every, (0.1, 0.9), axis=0)
            ax.fill_between(alphas, low, high, color=plots.COLORS[i], alpha=0.18, lw=0)
            style = {"color": plots.COLORS[i], "ls": plots.LINESTYLES[i], "label": feature if t == 0 else None}
            ax.plot(alphas, every[0], lw=2, **style)
        ax.axhline(0, color="0.4", lw=0.8, zorder=0.5)
        ax.set(xlabel="value given, scaled to [0, 1]", xlim=(0, 1))
        ax.set_title(target, fontsize=12)
    axes[0].set_ylabel(ylabel)
    figure.legend(loc="outside upper center", ncols=len(curves[0].features), handlelength=2.6)
    return figure


def reading_map(tables: Mapping[str, Mapping[str, Mapping[str, int]]], total: int) -> Figure:
    """Draw for how many seeds each sentence holds, a panel for each estimator, a column for each reading.

    Args:
        tables: by estimator, then by sentence, then by reading, the number of seeds.
        total: number of seeds.
    """
    figure, axes = plt.subplots(1, len(tables), figsize=(8.6, 4.4), sharey=True)
    for ax, (estimator, rows) in zip(np.atleast_1d(axes), tables.items(), strict=True):
        readings = list(next(iter(rows.values())))
        table = np.array([[row[name] for name in readings] for row in rows.values()])
        ax.imshow(table, cmap="cividis", vmin=0, vmax=total, aspect="auto")
        for (row, column), count in np.ndenumerate(table):
            shade = "black" if count > total / 2 else "white"
            ax.text(column, row, f"{count}", ha="center", va="center", color=shade, fontsize=11)
        ax.set_xticks(range(len(readings)), ["\n".join(name.rsplit(" ", 1)) for name in readings], fontsize=9.5)
        ax.set_yticks(range(len(rows)), list(rows))
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.xaxis.tick_top()
        ax.set_title(f"{estimator}, of {total}", fontsize=12)
    return figure
