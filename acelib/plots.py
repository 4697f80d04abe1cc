"""Every picture of causal effects, in one house style: white background, colour-blind-safe, labelled directly.

A curve always comes with what it hides: its band (1.96 standard errors), the individual curves it averages (ICE) and
grey shading where the intervened rows leave the data. Above 50 % of rows off the data the plot also warns.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._warnings import SupportWarning
from .expectation import Expectation
from .results import Attribution, CausalRegressors
from .smoothers import Regressor

# Okabe and Ito's palette, without the yellow, which is too light for lines
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINESTYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))
BAND = 1.96  # standard errors either side: a nominal 95 % band
OFF_SUPPORT = 0.5  # share of rows off the data from which a curve is shaded, and a plot warns

STYLE = {
    "figure.figsize": (6.4, 3.8),
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.transparent": False,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": mpl.cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "font.size": 10.5,
    "font.family": "DejaVu Sans",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.cmap": "cividis",
}


def use_style() -> None:
    """Set the house style for the rest of the process."""
    mpl.rcParams.update(STYLE)


@contextmanager
def style() -> Iterator[None]:
    """Use the house style inside a ``with`` block.

    Example:
        >>> with style():
        ...     assert mpl.rcParams["figure.facecolor"] == "white"
    """
    with mpl.rc_context(STYLE):
        yield


def label_line(ax: Axes, x: Any, y: Any, text: str, color: str, *, at: float = 1.0) -> None:
    """Write ``text`` beside a line at the share ``at`` of its points, in the line's colour (no legend needed)."""
    x, y = np.asarray(x), np.asarray(y)
    i = round(at * (len(x) - 1))
    side = dict(ha="left", va="center", xytext=(5, 0)) if at == 1 else dict(ha="center", va="bottom", xytext=(0, 4))
    ax.annotate(text, (x[i], y[i]), textcoords="offset points", color=color, annotation_clip=False, **side)


def shade_off_support(ax: Axes, alphas: Any, support: Any) -> None:
    """Shade the values at which more than half of the intervened rows leave the data; darker where more do."""
    alphas, support = np.asarray(alphas, dtype=float), np.asarray(support, dtype=float)
    if len(alphas) < 2 or np.isnan(support).all():
        return
    edges = np.concatenate([[alphas[0]], (alphas[1:] + alphas[:-1]) / 2, [alphas[-1]]])
    excess = np.clip((np.nan_to_num(support) - OFF_SUPPORT) / (1 - OFF_SUPPORT), 0, 1)
    for left, right, depth in zip(edges[:-1], edges[1:], excess, strict=True):
        if depth > 0:
            ax.axvspan(left, right, color="0.5", alpha=0.10 + 0.20 * depth, lw=0, zorder=0)


def warn_off_support(support: Any, name: str) -> None:
    """Warn with a SupportWarning where most rows of the mean over the values leave the data."""
    share = float(np.nanmean(support)) if not np.isnan(support).all() else 0.0
    if share > OFF_SUPPORT:
        warnings.warn(
            f"{share:.0%} of the rows under do({name}) leave the data: the curve is mostly the network's "
            "behaviour on inputs it never met",
            SupportWarning,
            stacklevel=3,
        )


def plot_expectation(
    e: Expectation, *, output: int = 0, ax: Axes | None = None, ice: int = 30, color: str = COLORS[0], label: str = ""
) -> Axes:
    """Draw E[y | do(x = a)] against a with its band, individual curves and off-support shading; return the axes.

    Args:
        e: an expectation over values of one coordinate.
        output: which output.
        ax: axes to draw on; a new figure where None.
        ice: at most this many individual curves.
        color: of the curve.
        label: written at the curve's end.

    Raises:
        ValueError: where several coordinates were set at once: there is no single axis then.
    """
    if e.alphas.ndim != 1:
        raise ValueError(f"do({e.feature}) sets {e.alphas.shape[1]} coordinates at once and has no single axis to plot")
    ax = _axes(ax)
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
    color: str = COLORS[0],
    linestyle: Any = "-",
    label: str = "",
    band: str = "sampling",
) -> Axes:
    """Draw ACE(a) of one regressor with its 95 % band; return the axes. Tables are drawn as points with error bars."""
    ax = _axes(ax)
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
    ax = _axes(ax)
    if values.ndim >= 2 and min(values.shape[-2:]) > 1:
        image = values.reshape(-1, *values.shape[-2:])[0]
        limit = float(np.abs(image).max()) or 1.0
        shown = ax.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.figure.colorbar(shown, ax=ax, label=f"ACE on {a.target}")
        ax.set(xticks=[], yticks=[])
        return ax
    values, errors = values.reshape(-1), errors.reshape(-1)
    positions = np.arange(values.size)
    colors = [COLORS[0] if v >= 0 else COLORS[1] for v in values]
    ax.barh(positions, values, xerr=BAND * errors, color=colors, alpha=0.8, error_kw=dict(lw=1, capsize=3))
    ax.set_yticks(positions, list(names) if names is not None else [f"x{i}" for i in positions])
    ax.invert_yaxis()
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_xlabel(f"ACE on {a.target}")
    return ax


def _some(individual: Any, count: int) -> Any:
    """At most ``count`` of the individual curves ``(m, r, outputs)``, evenly spaced."""
    r = individual.shape[1]
    return individual[:, np.unique(np.linspace(0, r - 1, min(count, r)).round().astype(int))]


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    with style():
        return plt.subplots()[1]


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
