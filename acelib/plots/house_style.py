"""The house style of every picture: white background, colour-blind-safe colours, lines labelled directly.

It also has the grey shading and the warning of curves whose intervened rows leave the data.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes

from .._off_support import OFF_SUPPORT, off_values, warn_off
from .._warnings import SupportWarning, warn_caller

# Okabe and Ito's palette, without the yellow, which is too light for lines
BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
COLORS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK)
LINESTYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))
BAND = 1.96  # standard errors either side: a nominal 95 % band

STYLE: dict[Any, Any] = {
    "figure.figsize": (6.4, 3.8),
    "figure.hooks": ["acelib.plots.ink:darken_labels"],
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.transparent": False,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": cycler(color=COLORS),
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
    """Set the house style for the rest of the process; a notebook's figures get 200 dots per inch at the same size."""
    mpl.rcParams.update(STYLE)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and "inline" in mpl.get_backend():
        from .notebooks import show_sharp

        show_sharp(shell)


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
    place, horizontal, vertical = ((5, 0), "left", "center") if at == 1 else ((0, 4), "center", "bottom")
    ax.annotate(
        text,
        (x[i], y[i]),
        xytext=place,
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        color=color,
        annotation_clip=False,
    )


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


def warn_off_support(support: Any, name: str, values: Any = None) -> None:
    """Warn with a SupportWarning where most rows leave the data, on average or over a tenth of the values' range.

    Args:
        support: ``(m,)`` share of rows off the data.
        name: of the feature.
        values: ``(m,)`` what it is set to; None judges the average alone.
    """
    share = float(np.nanmean(support)) if not np.isnan(support).all() else 0.0
    if share > OFF_SUPPORT:
        warn_caller(
            f"{share:.0%} of the rows under do({name}) leave the data: the curve is mostly the network's "
            "behaviour on inputs it never met",
            SupportWarning,
        )
    elif values is not None:
        warn_off({name: off_values(values, support, of_domain=True)})


def as_text(name: Any) -> str:
    """Return a name as it is written: matplotlib sets what stands between two dollar signs as mathematics.

    Example:
        >>> assert as_text("price in $") == r"price in \\$"
    """
    return str(name).replace("$", r"\$")


def own_axes(ax: Axes | None) -> Axes:
    """Return ``ax``, or new axes in the house style where it is None."""
    if ax is not None:
        return ax
    with style():
        return plt.subplots()[1]
