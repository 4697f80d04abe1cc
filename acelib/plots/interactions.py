"""Pictures of interactions: the curves of two regions beside what explains them, and the surface of two inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .._intervals import ends
from .._off_support import OFF_SUPPORT
from .house_style import BLACK, BLUE, ORANGE, as_text, shade_off_support, style, warn_off_support

if TYPE_CHECKING:
    from ..interactions import EffectSurface, RegionalEffects

MOST_BARS = 15
SIDES = (ORANGE, BLUE)


def plot_regions(r: RegionalEffects, *, ice: int = 25, most: int = MOST_BARS) -> Figure:
    """Draw the centred curves of both regions with their bands, and the shares of the candidates; return the figure.

    The left panel has individual curves in the colour of their region, the two averages with 95 % bands, and the
    overall average, dashed, all measured from their means over the values. In the right one a bar is the best share of
    a candidate in the rows that chose it, the point its share on other rows with 1.96 standard errors, and the dashed
    line what 5 % of the permuted searches exceed.

    Args:
        r: what ``regional_effects`` returned.
        ice: at most so many individual curves of each region.
        most: at most so many candidates, those with the largest shares.
    """
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.6), width_ratios=(3, 2))
    order = np.argsort(r.overall.alphas.cpu().numpy())
    x = r.overall.alphas.cpu().numpy()[order]
    regions = list(zip(r.regions, r.sides, SIDES, strict=False)) or [(r.overall, "all rows, which are alike", BLUE)]
    for e, side, color in regions:
        _region(left, e, x, order, color, ice)
        support = e.support.cpu().numpy()[order]
        shade_off_support(left, x, support)
        warn_off_support(support, e.feature, x)
        left.plot([], [], color=color, label=as_text(side.replace("<=", "≤").replace(">=", "≥")))
    if r.regions:
        overall = r.overall.values[:, 0].cpu().numpy()[order]
        left.plot(x, overall - overall.mean(), color=BLACK, ls="--", lw=1.2, label="all rows")
    left.legend(fontsize="small")
    left.axhline(0, color="0.4", lw=0.8, zorder=0)
    left.locator_params(axis="x", nbins=5)
    left.set(xlabel=as_text(r.feature), ylabel="effect, from its mean over the values")
    _shares(right, r, most)
    return figure


def _region(ax: Axes, e: Any, x: np.ndarray, order: np.ndarray, color: str, ice: int) -> None:
    """Draw the centred average of a region with its band, and individual curves."""
    centring = torch.eye(len(x), dtype=torch.float64) - 1 / len(x)
    value, error, freedom = (t[:, 0].cpu().numpy() for t in e.contrast(centring))
    low, high = ends(value, error, freedom, 0.95)
    if e.individual is not None and ice:
        curves = e.individual[..., 0].cpu().numpy()
        some = np.unique(np.linspace(0, curves.shape[1] - 1, min(ice, curves.shape[1])).round().astype(int))
        ax.plot(x, (curves - curves.mean(0))[:, some][order], color=color, alpha=0.2, lw=0.7, zorder=1)
    ax.fill_between(x, low[order], high[order], color=color, alpha=0.3, lw=0, zorder=2)
    ax.plot(x, value[order], color=color, lw=2, zorder=3)


def _shares(ax: Axes, r: RegionalEffects, most: int) -> None:
    """Draw the share of each candidate, the permutations' line, and say what is left out."""
    best, shares, errors = (t.cpu().numpy() for t in (r.best, r.shares, r.shares_stderr))
    drawn = np.argsort(-best, kind="stable")[:most]
    places = np.arange(len(drawn))
    colors = [BLUE if r.candidates[i] == r.by else "0.7" for i in drawn]
    ax.barh(places, best[drawn], color=colors, alpha=0.8)
    ax.errorbar(shares[drawn], places, xerr=1.96 * errors[drawn], fmt="o", ms=4, color=BLACK, capsize=3, lw=1)
    if len(r.null):
        ax.axvline(r.line, color=ORANGE, ls="--", lw=1.2)
        ax.annotate(
            "95 % of\npermutations",
            (r.line, 0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 2),
            textcoords="offset points",
            va="bottom",
            color=ORANGE,
            fontsize="small",
        )
    ax.set_yticks(places, [as_text(r.candidates[i]) for i in drawn])
    ax.set_ylim(len(drawn) - 0.1, -0.6)  # room for the words at the line
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_xlabel("share of the spread explained")
    if len(drawn) < len(best):
        ax.set_title(f"{len(drawn)} of {len(best)} candidates", loc="left")


def plot_surface(s: EffectSurface, *, output: int | str = 0) -> Figure:
    """Draw the surface and its interaction as maps over the two inputs; return the figure.

    Pairs at which most of the intervened rows leave the data are hatched in grey, and a warning tells where they are
    most of all pairs.

    Args:
        s: what ``effect_surface`` returned.
        output: number of the output, or its name where the expectation knows it.
    """
    output = s.expectation.column(output)
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), sharey=True)
    a, b = s.values_a.cpu().numpy(), s.values_b.cpu().numpy()
    first, second = np.argsort(a), np.argsort(b)
    support = s.support.cpu().numpy()[np.ix_(first, second)]
    warn_off_support(support.ravel(), ", ".join(s.features))
    edges = _edges(a[first]), _edges(b[second])
    name = as_text(", ".join(s.features))
    for ax, part, label in zip(axes, (s.mean, s.interaction), (f"E[y | do({name})]", "interaction"), strict=True):
        values = part[..., output].cpu().numpy()[np.ix_(first, second)]
        limit = float(np.abs(values).max()) or 1.0
        colors: dict[str, Any] = dict(cmap="RdBu_r", vmin=-limit, vmax=limit) if ax is axes[1] else dict(cmap="viridis")
        shown = ax.pcolormesh(*edges, values.T, **colors)
        figure.colorbar(shown, ax=ax, label=label)
        _hatch(ax, *edges, support)
        ax.set_xlabel(as_text(s.features[0]))
    axes[0].set_ylabel(as_text(s.features[1]))
    share, error = float(s.share[output]), float(s.share_stderr[output])
    axes[1].set_title(f"{share:.1%} ± {error:.1%} of the variance", loc="left")
    return figure


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the edges ``(m + 1,)`` of cells around ascending values."""
    middles = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middles[0]], middles, [2 * values[-1] - middles[-1]]])


def _hatch(ax: Axes, x: np.ndarray, y: np.ndarray, support: np.ndarray) -> None:
    """Lay grey, hatched cells over the pairs at which most rows leave the data."""
    for i, j in np.argwhere(np.nan_to_num(support) > OFF_SUPPORT):
        corner, size = (float(x[i]), float(y[j])), (float(x[i + 1] - x[i]), float(y[j + 1] - y[j]))
        cell = Rectangle(corner, *size, facecolor="0.7", alpha=0.55, edgecolor="0.35", hatch="///", lw=0)
        ax.add_patch(cell)
