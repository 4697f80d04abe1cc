"""The picture of total, direct and mediated effect of one input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes

from .house_style import BAND, BLUE, GREEN, ORANGE, as_text, label_line, own_axes, shade_off_support, warn_off_support

if TYPE_CHECKING:
    from ..mediation import TotalAndDirect


def plot_total_and_direct(found: TotalAndDirect, *, output: int | str = 0, ax: Axes | None = None) -> Axes:
    """Draw the three effects, each from its mean over the values, with bands of 95 %; return the axes.

    Grey is where most rows of the total effect, descendants following, leave the data.

    Args:
        found: what ``total_and_direct`` returned, over values of one coordinate.
        output: number of the output.
        ax: axes to draw on; a new figure where None.

    Raises:
        ValueError: if several coordinates were set at once, so that there is no single axis.
    """
    total = found.total
    column = total.column(output)
    if total.alphas.ndim != 1:
        raise ValueError(
            f"found must be over one coordinate, got do({found.feature}) of {total.alphas.shape[1]} at once"
        )
    ax = own_axes(ax)
    order = np.argsort(total.alphas.cpu().numpy())
    x, support = total.alphas.cpu().numpy()[order], total.support.cpu().numpy()[order]
    shade_off_support(ax, x, support)
    warn_off_support(support, found.feature, x)
    centred = torch.eye(len(x), dtype=torch.float64) - 1 / len(x)
    for name, color, line in (("total", BLUE, "-"), ("direct", ORANGE, "--"), ("mediated", GREEN, "-.")):
        effects, stderr, _ = getattr(found, name).contrast(centred)
        y, s = (t[:, column].numpy()[order] for t in (effects, stderr))
        ax.fill_between(x, y - BAND * s, y + BAND * s, color=color, alpha=0.25, lw=0)
        ax.plot(x, y, color=color, ls=line)
        label_line(ax, x, y, name, color)
    ax.axhline(0, color="0.4", lw=0.8, zorder=0)
    ax.set(xlabel=as_text(found.feature), ylabel="effect, from its mean")
    return ax
