"""What do the Iris results look like? The pictures of the Iris experiment that take more than a few lines."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acelib import plots
from acelib.lab.iris.experiment import CLAIMS, IrisCurves

XLABEL = "{}, scaled to [0, 1]"


def plain(feature: str) -> str:
    """A feature's name without its unit, for axes in scaled units."""
    return feature.split(" [")[0]


def plot_seeds(
    ax: Axes, curves: IrisCurves, feature: str, *, seed: int | None = 0, others: bool = True, label: bool = False
) -> None:
    """Draw the ACE of one feature on every class: one seed thick with its 95 % band, the others thin.

    Args:
        ax: Axes to draw on.
        curves: The regressors of every seed.
        feature: Name of the input.
        seed: Position of the seed to draw thick; None for none.
        others: Whether the other seeds are drawn.
        label: Whether the lines get a label for a legend.
    """
    alphas = np.linspace(0, 1, 201)
    e = curves.expectations[feature]
    plots.shade_off_support(ax, e.alphas, e.support)
    for t, target in enumerate(curves.targets):
        color = plots.COLORS[t]
        for s, curve in enumerate(curves[feature, target]):
            if s != seed:
                if others:
                    ax.plot(alphas, curve.ace(alphas), color=color, lw=0.6, alpha=0.55)
                continue
            mean, std = curve.ace(alphas, return_std=True)
            ax.fill_between(alphas, mean - plots.BAND * std, mean + plots.BAND * std, color=color, alpha=0.3, lw=0)
            ax.plot(alphas, mean, color=color, ls=plots.LINESTYLES[t], lw=2.2, label=target if label else None)
    ax.axhline(0, color="0.4", lw=0.8, zorder=0)
    ax.set(xlabel=XLABEL.format(plain(feature)), xlim=(0, 1))


def figure_of(curves: IrisCurves, ylabel: str) -> Figure:
    """All features, one panel each, on common axes: what one estimator says about the three classes.

    Args:
        curves: The regressors of every seed.
        ylabel: Of the vertical axis, with the unit.
    """
    figure, axes = plt.subplots(2, 2, figsize=(7.6, 6.0), sharey=True)
    for ax, feature in zip(axes.flat, curves.features, strict=True):
        plot_seeds(ax, curves, feature, label=ax is axes.flat[0])
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)
    figure.legend(loc="outside upper center", ncols=len(curves.targets), handlelength=3)
    return figure


def count_map(counts: Mapping[str, Mapping[str, int]], total: int) -> Figure:
    """For how many seeds each claim holds under each estimator, as a heat map with the numbers in it.

    Args:
        counts: What ``count_claims`` returned, by the name of the estimator.
        total: Number of seeds.
    """
    table = np.array([[column[name] for column in counts.values()] for name in CLAIMS])
    figure, ax = plt.subplots(figsize=(7.6, 4.4))
    ax.imshow(table, cmap="cividis", vmin=0, vmax=total, aspect="auto")
    for (row, column), count in np.ndenumerate(table):
        shade = "black" if count > total / 2 else "white"
        ax.text(column, row, f"{count}/{total}", ha="center", va="center", color=shade, fontsize=11)
    ax.set_xticks(range(len(counts)), list(counts))
    ax.set_yticks(range(len(CLAIMS)), list(CLAIMS))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.xaxis.tick_top()
    return figure
