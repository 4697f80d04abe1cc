"""Pieces of the figures of chapter 9: many small images in one picture, and the causal graph of a decoder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor

from acelib.plots import BLUE, ORANGE

EFFECTS = LinearSegmentedColormap.from_list("takes ink away, adds ink", [ORANGE, "white", BLUE])


def montage(images: Tensor, *, shape: tuple[int, int], columns: int, gap: int = 1) -> np.ndarray:
    """Return images side by side in rows of ``columns`` as one array, NaN in the gaps.

    Args:
        images: ``(n, height · width)``.
        shape: height and width of an image.
        columns: images in a row.
        gap: pixels between two images.

    Example:
        >>> import torch
        >>> picture = montage(torch.ones(3, 4), shape=(2, 2), columns=2)
        >>> assert picture.shape == (5, 5) and np.nansum(picture) == 12
    """
    height, width = shape
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for n, image in enumerate(images.reshape(-1, height, width).detach().cpu().numpy()):
        top, left = n // columns * (height + gap), n % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def show_montage(
    ax: Axes,
    images: Tensor,
    *,
    shape: tuple[int, int],
    columns: int,
    effects: float | None = None,
    rows: Iterable[object] = (),
    heads: Iterable[object] = (),
) -> Any:
    """Draw a montage and return the image: ink in grey, or effects in colour from −``effects`` to ``effects``.

    Args:
        ax: axes to draw on.
        images: ``(n, height · width)``.
        shape: height and width of an image.
        columns: images in a row.
        effects: end of the colour scale; None for pixel means in [0, 1].
        rows: labels of the rows, on the left.
        heads: labels of the columns, on top.
    """
    scale = dict(cmap="gray_r", vmin=0, vmax=1) if effects is None else dict(cmap=EFFECTS, vmin=-effects, vmax=effects)
    drawn = ax.imshow(montage(images, shape=shape, columns=columns), **scale, interpolation="nearest")
    height, width = shape[0] + 1, shape[1] + 1
    rows, heads = list(map(str, rows)), list(map(str, heads))
    ax.set_yticks([(r + 0.5) * height - 1 for r in range(len(rows))], rows)
    ax.set_xticks([(c + 0.5) * width - 1 for c in range(len(heads))], heads)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_facecolor("0.88")
    ax.grid(False)
    return drawn


def draw_decoder_model(ax: Axes) -> None:
    """Draw the causal graph of a decoder: latents and classes on top, pixels below, and what ties the classes."""
    tops = [
        (0.0, "$z_0$", BLUE),
        (1.0, "$z_1$", BLUE),
        (2.0, "…", None),
        (3.0, "$z_9$", BLUE),
        (4.6, "$c_0$", ORANGE),
        (5.6, "$c_1$", ORANGE),
        (6.6, "…", None),
        (7.6, "$c_9$", ORANGE),
    ]
    pixels = [(0.8, "$x_1$", "0.3"), (2.6, "$x_2$", "0.3"), (4.4, "…", None), (6.2, "$x_{784}$", "0.3")]
    for left, _, tone in tops:
        for right, _, other in pixels:
            if tone and other:
                arrow = dict(arrowstyle="-|>", color="0.75", lw=0.8, shrinkA=13, shrinkB=15)
                ax.annotate("", (right, 0), (left, 2), arrowprops=arrow)
    for height, nodes in ((2, tops), (0, pixels)):
        for left, text, tone in nodes:
            if tone:
                ax.plot(left, height, "o", ms=27, mfc="white", mec=tone, mew=1.8)
            ax.text(left, height, text, ha="center", va="center", fontsize=11, zorder=5)
    ax.plot([4.3, 4.3, 7.9, 7.9], [2.48, 2.6, 2.6, 2.48], color=ORANGE, lw=1.5)
    ax.text(6.1, 2.68, "one of them is 1", ha="center", va="bottom", color=ORANGE)
    ax.text(1.5, 2.68, "independent, N(0, 1)", ha="center", va="bottom", color=BLUE)
    ax.set(xlim=(-0.6, 8.3), ylim=(-0.5, 3.0))
    ax.axis("off")
