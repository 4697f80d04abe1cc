"""Curves of causal effects and the attributions read off them.

A curve always comes with what it hides: its band (1.96 standard errors), the individual curves it averages (ICE) and
grey shading where the intervened rows leave the data. Above 50 % of rows off the data the plot also warns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .house_style import (
    BAND,
    BLUE,
    COLORS,
    LINESTYLES,
    ORANGE,
    label_line,
    own_axes,
    shade_off_support,
    style,
    warn_off_support,
)

if TYPE_CHECKING:
    from ..expectation import Expectation
    from ..regressors import Regressor
    from ..results import Attribution, CausalRegressors


def plot_expectation(
    e: Expectation, *, output: int = 0, ax: Axes | None = None, ice: int = 30, color: str = BLUE, label: str = ""
) -> Axes:
    """Draw E[y | do(x = a)] against a with its band, individual curves and off-support shading; return the axes.

    Args:
        e: an expectation over values of one coordinate.
        output: number of the output.
        ax: axes to draw on; a new figure where None.
        ice: at most this many individual curves.
        color: colour of the curve.
        label: text at the curve's end.

    Raises:
        ValueError: if several coordinates were set at once: there is no single axis then.
    """
    if e.alphas.ndim != 1:
        raise ValueError(
            f"e must be over one coordinate, got do({e.feature}) with {e.alphas.shape[1]} coordinates at once"
        )
    ax = own_axes(ax)
    order = np.argsort(e.alphas.cpu().numpy())
    x, y, s = (t.cpu().numpy()[order] for t in (e.alphas, e.values[:, output], e.stderr[:, output]))
    support = e.support.cpu().numpy()[order]
    shade_off_support(ax, x, support)
    warn_off_support(support, e.feature)
    if e.individual is not None and ice:
        curves = _some(e.individual, ice)[..., output].cpu().numpy()[order]
        ax.plot(x, curves, color=color, alpha=0.18, lw=0.7, zorder=1)
    if not np.isnan(s).any():
        ax.fill_between(x, y - BAND * s, y + BAND * s, color=color, alpha=0.28, lw=0, zorder=2)
    ax.plot(x, y, color=color, zorder=3)
    if label:
        label_line(ax, x, y, label, color)
    ax.set(xlabel=e.feature, ylabel=f"E[y | do({e.feature})]")
    return ax


def plot_regressor(
    curve: Regressor,
    *,
    ax: Axes | None = None,
    color: str = BLUE,
    linestyle: Any = "-",
    label: str = "",
    band: str = "sampling",
) -> Axes:
    """Draw ACE(a) of one regressor with its 95 % band; return the axes. Tables are drawn as points with error bars."""
    ax = own_axes(ax)
    if curve.family == "table":
        y, s = curve.ace(curve.alphas, return_std=True)
        ax.errorbar(curve.alphas, y, BAND * s, fmt="o", color=color, capsize=3)
        x = curve.alphas
    else:
        x = np.linspace(curve.low, curve.high, 201)
        y, s = curve.ace(x, return_std=True, band=band)
        ax.fill_between(x, y - BAND * s, y + BAND * s, color=color, alpha=0.25, lw=0)
        ax.plot(x, y, color=color, ls=linestyle)
    if label:
        label_line(ax, x, y, label, color)
    ax.axhline(0, color="0.4", lw=0.8, zorder=0)
    ax.set(xlabel="value", ylabel="ACE")
    return ax


def plot_regressors(
    curves: CausalRegressors,
    *,
    targets: Sequence[str | int] | None = None,
    features: Sequence[str | int] | None = None,
    ice: int = 12,
    panels: str = "target",
) -> Figure:
    """Draw the regressors, one panel per target with a line per feature (or the other way round); return the figure.

    Args:
        curves: what ``AverageCausalEffect.regress`` returned.
        targets: names or indices of targets to show; default all.
        features: names or indices of features to show; default the first seven.
        ice: individual curves a line, where the expectations are still there (centred at the baseline).
        panels: "target" or "feature".
    """
    features = list(curves.features[: len(COLORS)] if features is None else features)
    targets = list(curves.targets if targets is None else targets)
    outer, inner = (targets, features) if panels == "target" else (features, targets)
    with style():
        figure, axes = plt.subplots(1, len(outer), figsize=(3.4 * len(outer) + 0.4, 3.4), sharey=True, squeeze=False)
    for ax, one in zip(axes[0], outer, strict=True):
        for i, other in enumerate(inner):
            feature, target = (other, one) if panels == "target" else (one, other)
            color = COLORS[i % len(COLORS)]
            curve = curves[feature, target]
            e = curves.expectations.get(feature) if isinstance(feature, str) else None
            if e is not None and panels == "feature" and i == 0:
                shade_off_support(ax, e.alphas.cpu(), e.support.cpu())
                warn_off_support(e.support.cpu().numpy(), e.feature)
            if e is not None and e.individual is not None and ice and curve.family != "table":
                position = (curves.targets if isinstance(target, str) else curves.target_index).index(target)
                lines = _some(e.individual, ice)[..., position].cpu() - curve.baseline
                ax.plot(e.alphas.cpu(), lines, color=color, alpha=0.15, lw=0.6, zorder=0)
            plot_regressor(curve, ax=ax, color=color, linestyle=LINESTYLES[i % len(LINESTYLES)])
        ax.set_title(str(one), loc="left")
        ax.set(xlabel="value of the input" if panels == "target" else str(one), ylabel="")
    axes[0, 0].set_ylabel("ACE")
    _spread_labels(axes[0, -1], curves, outer[-1], inner, panels)
    return figure


def plot_attribution(a: Attribution, *, names: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the effects of one input: bars with error bars, or a map where the input is an image; return the axes."""
    values, errors = a.values.cpu().numpy(), a.stderr.cpu().numpy()
    ax = own_axes(ax)
    if values.ndim >= 2 and min(values.shape[-2:]) > 1:
        image = values.reshape(-1, *values.shape[-2:])[0]
        limit = float(np.abs(image).max()) or 1.0
        shown = ax.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.figure.colorbar(shown, ax=ax, label=f"ACE on {a.target}")
        ax.set(xticks=[], yticks=[])
        return ax
    values, errors = values.reshape(-1), errors.reshape(-1)
    positions = np.arange(values.size)
    colors = [BLUE if v >= 0 else ORANGE for v in values]
    ax.barh(positions, values, xerr=BAND * errors, color=colors, alpha=0.8, error_kw=dict(lw=1, capsize=3))
    ax.set_yticks(positions, list(names) if names is not None else [f"x{i}" for i in positions])
    ax.invert_yaxis()
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_xlabel(f"ACE on {a.target}")
    return ax


def _some(individual: Any, count: int) -> Any:
    """Return at most ``count`` of the individual curves ``(m, r, outputs)``, evenly spaced."""
    r = individual.shape[1]
    return individual[:, np.unique(np.linspace(0, r - 1, min(count, r)).round().astype(int))]


def _spread_labels(ax: Axes, curves: CausalRegressors, one: Any, inner: Sequence[Any], panels: str) -> None:
    """Label the lines of the last panel at their ends, pushed apart so that no two labels overlap."""
    ends = []
    for i, other in enumerate(inner):
        curve = curves[(other, one) if panels == "target" else (one, other)]
        x = curve.alphas[-1] if curve.family == "table" else curve.high
        ends.append([float(curve.ace(np.array([x]))[0]), x, str(other), COLORS[i % len(COLORS)]])
    low, high = ax.get_ylim()
    gap = 0.065 * (high - low)
    ends.sort()
    places = []
    for y, *_ in ends:
        places.append(max(y, places[-1] + gap) if places else y)
    lift = np.mean([p - end[0] for p, end in zip(places, ends, strict=True)])  # centre the stack on the lines
    for place, (y, x, text, color) in zip(places, ends, strict=True):
        beside = (x + 0.03 * np.ptp(ax.get_xlim()), place - lift)
        ax.annotate(text, (x, y), xytext=beside, color=color, va="center", annotation_clip=False)
