"""Curves of causal effects and the attributions read off them.

A curve always comes with what it hides: its band (95 %, Student's t), the individual curves it averages (ICE) and
grey shading where the intervened rows leave the data. Above 50 % of rows off the data the plot also warns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._off_support import off_domain, warn_off
from .house_style import (
    BAND,
    BLUE,
    COLORS,
    LINESTYLES,
    ORANGE,
    as_text,
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


PANELS = 12  # in one row of a figure


def plot_expectation(
    e: Expectation, *, output: int | str = 0, ax: Axes | None = None, ice: int = 30, color: str = BLUE, label: str = ""
) -> Axes:
    """Draw E[y | do(x = a)] against a with its band, individual curves and off-support shading; return the axes.

    Args:
        e: an expectation over values of one coordinate.
        output: number of the output, or its name where the expectation knows it.
        ax: axes to draw on; a new figure where None.
        ice: at most this many individual curves.
        color: colour of the curve.
        label: text at the curve's end.

    Raises:
        ValueError: if several coordinates were set at once, so that there is no single axis, or for an unknown output.
    """
    output = e.column(output)
    if e.alphas.ndim != 1:
        raise ValueError(
            f"e must be over one coordinate, got do({e.feature}) with {e.alphas.shape[1]} coordinates at once"
        )
    ax = own_axes(ax)
    order = np.argsort(e.alphas.cpu().numpy())
    x, y = (t.cpu().numpy()[order] for t in (e.alphas, e.values[:, output]))
    low, high = (end[:, output].cpu().numpy()[order] for end in e.interval())
    support = e.support.cpu().numpy()[order]
    shade_off_support(ax, x, support)
    warn_off_support(support, e.feature, x)
    if e.individual is not None and ice:
        curves = _some(e.individual, ice)[..., output].cpu().numpy()[order]
        ax.plot(x, curves, color=color, alpha=0.18, lw=0.7, zorder=1)
    if not np.isnan(low).any():
        ax.fill_between(x, low, high, color=color, alpha=0.28, lw=0, zorder=2)
    ax.plot(x, y, color=color, zorder=3)
    if label:
        label_line(ax, x, y, as_text(label), color)
    ax.set(xlabel=as_text(e.feature), ylabel=f"E[y | do({as_text(e.feature)})]")
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
    """Draw ACE(a) of one regressor with its 95 % band; return the axes. Tables are drawn as points with error bars.

    A warning names the values at which most rows leave the data, where the curve knows.
    """
    warn_off({label or "this feature": off_domain(curve)})
    return _regressor(own_axes(ax), curve, color, linestyle, label, band)


def _regressor(
    ax: Axes, curve: Regressor, color: str, linestyle: Any = "-", label: str = "", band: str = "sampling"
) -> Axes:
    """Draw one regressor without a word of its support."""
    if curve.family == "table":
        x, y = curve.alphas, curve.ace(curve.alphas)
        ax.errorbar(x, y, y - curve.interval(x)[0], fmt="o", color=color, capsize=3)
    else:
        x = np.linspace(curve.low, curve.high, 201)
        if band == "sampling":
            y, (low, high) = curve.ace(x), curve.interval(x)
        else:
            y, s = curve.ace(x, return_std=True, band=band)
            low, high = y - BAND * s, y + BAND * s
        ax.fill_between(x, low, high, color=color, alpha=0.25, lw=0)
        ax.plot(x, y, color=color, ls=linestyle)
    if label:
        label_line(ax, x, y, as_text(label), color)
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
        features: names or indices of features to show; default the first seven, and as many targets where they are the
            lines; at most 12 panels. The picture says what is left out.
        ice: individual curves a line, where the expectations are still there (centred at the baseline).
        panels: "target" or "feature".
    """
    lines, columns = (len(COLORS), PANELS) if panels == "target" else (PANELS, len(COLORS))
    chosen = {"features": features, "targets": targets}
    features = list(curves.features[:lines] if features is None else features)
    targets = list(curves.targets[:columns] if targets is None else targets)
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
            if e is not None and e.individual is not None and ice and curve.family != "table":
                position = (curves.targets if isinstance(target, str) else curves.target_index).index(target)
                lines = _some(e.individual, ice)[..., position].cpu() - curve.baseline
                ax.plot(e.alphas.cpu(), lines, color=color, alpha=0.15, lw=0.6, zorder=0)
            _regressor(ax, curve, color, LINESTYLES[i % len(LINESTYLES)])
        ax.set_title(as_text(one), loc="left")
        ax.set(xlabel="value of the input" if panels == "target" else as_text(one), ylabel="")
    axes[0, 0].set_ylabel("ACE")
    _spread_labels(axes[0, -1], curves, outer[-1], inner, panels)
    warn_off({str(feature): off_domain(curves[feature, targets[0]]) for feature in features})
    shown = (("features", features, curves.features), ("targets", targets, curves.targets))
    cut = (f"{len(a)} of {len(b)} {what}" for what, a, b in shown if chosen[what] is None and len(a) < len(b))
    if said := ", ".join(cut):
        figure.text(0.0, 0.0, said, va="top", color="0.4", fontsize="small")
    return figure


def plot_attribution(
    a: Attribution,
    *,
    names: Sequence[str] | None = None,
    row: int = 0,
    channel: int | None = None,
    most: int = 40,
    ax: Axes | None = None,
) -> Axes:
    """Draw the effects of one input: bars with error bars, or a map where the input is an image; return the axes.

    Where there is more than is drawn, the title says what is.

    Args:
        a: what ``AverageCausalEffect.attribute`` returned.
        names: names of the inputs; those of the attribution where None.
        row: number of the explained input, where there are several.
        channel: of an image with several channels; None draws the sum of their effects.
        most: at most so many bars, the largest effects; the others are left out.
        ax: axes to draw on; a new figure where None.

    Raises:
        ValueError: for a row or channel that is not there, or another number of names.
    """
    k, count = len(a.names), len(a.rows)
    shape = tuple(a.shape) if count == 1 and a.values[0].numel() != k else tuple(a.shape[1:])
    shape = shape if torch.Size(shape).numel() == k else (k,)
    if not 0 <= row < count:
        raise ValueError(f"row must be one of the {count} explained inputs, from 0 to {count - 1}, got {row}")
    ax = own_axes(ax)
    values = a.rows[row].reshape(shape).cpu().numpy()
    errors = (a.values - a.interval()[0]).reshape(count, k)[row].cpu().numpy()
    target = a.target[row] if isinstance(a.target, tuple) else a.target
    said = [f"row {row} of {count}"] if count > 1 else []
    if len(shape) >= 2 and min(shape[-2:]) > 1:
        said += _image(ax, values, channel, target)
    else:
        said += _bars(ax, values.reshape(-1), errors, list(a.names if names is None else names), most, target)
    if said:
        ax.set_title(", ".join(said), loc="left")
    return ax


def _image(ax: Axes, values: np.ndarray, channel: int | None, target: str) -> list[str]:
    """Draw a map of one channel, or of the sum over channels, and return what should be said of it."""
    channels = values.reshape(-1, *values.shape[-2:])
    count = len(channels)
    if channel is not None and not 0 <= channel < count:
        raise ValueError(f"channel must be one of the {count} channels, from 0 to {count - 1}, got {channel}")
    image = channels.sum(0) if channel is None else channels[channel]
    limit = float(np.nanmax(np.abs(image), initial=0)) or 1.0
    shown = ax.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.figure.colorbar(shown, ax=ax, label=f"ACE on {as_text(target)}")
    ax.set(xticks=[], yticks=[])
    if count == 1:
        return []
    return [f"sum over {count} channels" if channel is None else f"channel {channel} of {count}"]


def _bars(ax: Axes, values: np.ndarray, errors: np.ndarray, names: list[str], most: int, target: str) -> list[str]:
    """Draw the largest effects as bars with their half intervals, and return what should be said of it."""
    if len(names) != len(values):
        raise ValueError(f"names must hold one name for each of the {len(values)} inputs, got {len(names)}")
    known = np.flatnonzero(~np.isnan(values))
    drawn = known
    if len(known) > most:
        drawn = np.sort(known[np.argsort(-np.abs(values[known]), kind="stable")[:most]])
    positions = np.arange(len(drawn))
    colors = [BLUE if v >= 0 else ORANGE for v in values[drawn]]
    lines = np.nan_to_num(errors[drawn], nan=0.0)
    ax.barh(positions, values[drawn], xerr=lines, color=colors, alpha=0.8, error_kw=dict(lw=1, capsize=3))
    ax.set_yticks(positions, [as_text(names[i]) for i in drawn])
    ax.invert_yaxis()
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_xlabel(f"ACE on {as_text(target)}")
    return [f"{len(drawn)} of {len(known)} inputs, the largest effects"] if len(drawn) < len(known) else []


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
        ends.append([float(curve.ace(np.array([x]))[0]), x, as_text(other), COLORS[i % len(COLORS)]])
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
