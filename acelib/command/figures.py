"""The pictures of the report: importances as bars, curves with band, single rows, rug and support; each an SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._warnings import SupportWarning
from ..plots.curves import plot_regressor
from ..plots.house_style import BLUE, ORANGE, as_text, shade_off_support, style
from ..plots.ink import darken_labels
from .answer import ranked
from .findings import Findings
from .words import all_short, number, output_name, reading, shortened

BARS = 20  # columns in a chart
CURVES = 24  # curves in a report, of all outputs together,
FEWEST = 4  # but so many of each
ICE = 12  # single rows behind a curve
RUG = 200  # marks under a curve
NAME = 26  # characters of a name in a picture
SALT = "acelib"  # of the ids in an SVG, so that the same picture is the same file


@dataclass(frozen=True)
class Picture:
    """A picture with what it says in words.

    Attributes:
        svg: the drawing.
        alt: what it shows, for those who do not see it.
        caption: what stands under it.
    """

    svg: bytes
    alt: str
    caption: str


def draw(findings: Findings) -> dict[tuple[str, str], Picture]:
    """Return the pictures by (output, column); the chart of an output's importances is that of column ""."""
    content = findings.content
    targets = [target["name"] for target in content["targets"]]
    most = max(FEWEST, CURVES // len(targets))
    found = {}
    for target in targets:
        curves = ranked(content, target)
        found[target, ""] = _importances(target, curves)
        limits = _limits(findings, curves[:most])
        for curve in curves[:most]:
            found[target, curve["feature"]] = _curve(findings, curve, limits)
    return found


def _figure(width: float, height: float, layout: Any = "none") -> tuple[Figure, Axes]:
    """Return a figure in the house style; room for long labels is measured by the layout "constrained", at a price."""
    figure = Figure(figsize=(width, height), layout=layout)
    darken_labels(figure)
    return figure, figure.add_subplot()


def _svg(figure: Figure) -> bytes:
    """Return a figure as an SVG, its letters as outlines; as text where the font of the pictures lacks some of them."""
    for kind in ("path", "none"):
        buffer = io.BytesIO()
        with warnings.catch_warnings(record=True) as seen, mpl.rc_context({"svg.fonttype": kind, "svg.hashsalt": SALT}):
            warnings.simplefilter("always")
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        missing = [one for one in seen if "missing from font" in str(one.message)]
        for one in seen:
            if one not in missing:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if not missing:
            break
    return buffer.getvalue()


def _importances(target: str, curves: list[dict[str, Any]]) -> Picture:
    """Draw the importance of each column for an output with its interval."""
    shown = curves[:BARS]
    names = all_short([curve["feature"] for curve in shown], NAME)
    size = np.array([[c["importance"][part] for part in ("value", "low", "high")] for c in shown])
    places = np.arange(len(shown))
    with style():
        figure, ax = _figure(4.4, 0.8 + 0.27 * len(shown), "constrained")
        colors = [BLUE if curve["verdict"] == "clear" else "0.6" for curve in shown]
        errors = np.stack([size[:, 0] - size[:, 1], size[:, 2] - size[:, 0]])
        ax.barh(places, size[:, 0], xerr=errors, color=colors, alpha=0.85, error_kw=dict(lw=1.2, capsize=3))
        ax.set_yticks(places, [as_text(name) for name in names])
        ax.set_ylim(len(shown) - 0.4, -0.6)
        ax.set_xlim(left=0)
        ax.locator_params(axis="x", nbins=5)
        ax.set_xlabel(f"importance for {as_text(output_name(target, NAME))}")
        svg = _svg(figure)
    each = [f"{shortened(c['feature'])} {number(c['importance']['value'])}" for c in shown[:6]]
    left = f" The {len(curves) - len(shown)} smallest are left out." if len(shown) < len(curves) else ""
    return Picture(
        svg,
        f"Bar chart of the importance of {len(shown)} columns for {output_name(target)}, the largest first: "
        f"{', '.join(each)}" + (", …" if len(shown) > 6 else ""),
        f"Importance for {output_name(target)}: standard deviation of the average output when a column is set "
        f"uniformly over "
        f"its domain, with 95 % intervals. Grey: not to be told from noise.{left}",
    )


def _limits(findings: Findings, curves: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the range of effects that all pictures of an output share, so that they compare."""
    ends = [[c[name] for name in ("ace_low", "ace_high")] for c in curves]
    every = [np.asarray(end, dtype=float).ravel() for end in ends]
    every += [_single(findings, curve)[1].ravel() for curve in curves]
    values = np.concatenate(every)
    low, high = (float(np.nanmin(values)), float(np.nanmax(values))) if np.isfinite(values).any() else (0.0, 0.0)
    room = 0.06 * (high - low) or 1.0
    return min(low, 0.0) - room, max(high, 0.0) + room


def _single(findings: Findings, curve: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return values and the effects of single rows ``(m, r)``; none of a table."""
    e = findings.curves.expectations[curve["feature"]]
    values = e.alphas.cpu().numpy()
    if e.individual is None or curve["family"] == "table":
        return values, np.empty((len(values), 0))
    every = e.individual[..., e.column(curve["target"])].cpu().numpy() - curve["baseline"]
    some = np.unique(np.linspace(0, every.shape[1] - 1, min(ICE, every.shape[1])).round().astype(int))
    return values, every[:, some]


def _curve(findings: Findings, curve: Mapping[str, Any], limits: tuple[float, float]) -> Picture:
    """Draw one curve of effects with its band, single rows, the rows' own values and the support."""
    feature, target = curve["feature"], curve["target"]
    regressor, e = findings.curves[feature, target], findings.curves.expectations[feature]
    (place,) = [i for i, one in enumerate(findings.content["features"]) if one["name"] == feature]
    with style():
        figure, ax = _figure(4.2, 2.9)
        figure.subplots_adjust(left=0.19, right=0.96, bottom=0.185, top=0.955)
        shade_off_support(ax, e.alphas.cpu(), e.support.cpu())
        ax.plot(*_single(findings, curve), color=BLUE, alpha=0.15, lw=0.7, zorder=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SupportWarning)  # regress has named these values
            plot_regressor(regressor, ax=ax)
        rug = np.quantile(findings.rows[:, place], np.linspace(0, 1, min(RUG, len(findings.rows))))
        inside = rug[(rug >= regressor.low) & (rug <= regressor.high)]
        marks = np.repeat(np.unique(inside), 3), np.tile([0.0, 0.03, np.nan], len(np.unique(inside)))
        ax.plot(*marks, lw=0.7, color=ORANGE, transform=ax.get_xaxis_transform())  # one line: a short file
        ax.set_ylim(limits)
        ax.locator_params(axis="both", nbins=5)
        ax.ticklabel_format(style="sci", scilimits=(-3, 4))  # so that every label fits its room
        ax.set(xlabel=as_text(shortened(feature, 2 * NAME)), ylabel=f"effect on {as_text(output_name(target, 14))}")
        svg = _svg(figure)
    return Picture(svg, _said(curve), shortened(feature))


def _said(curve: Mapping[str, Any]) -> str:
    """Return what a curve's picture shows, in words."""
    ends = [f"{number(curve['ace'][i])} at {reading(curve['value'][i])}" for i in (0, len(curve["value"]) // 2, -1)]
    ends = list(dict.fromkeys(ends))
    backed = "" if curve["backed"] is None else f" {100 * curve['backed']:.0f} % of the domain is backed by rows."
    return (
        f"Effect of setting {shortened(curve['feature'])} on {output_name(curve['target'])}, with a 95 % band: "
        f"{', '.join(ends)}.{backed}"
    )
