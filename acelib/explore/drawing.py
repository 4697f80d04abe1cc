"""Pictures as PNG bytes, drawn without pyplot: a figure is laid out once, and what moves is drawn over it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Scene:
    """A figure that is laid out and drawn once, and pictures of it with a few artists on top.

    The layout takes most of the time of a picture, and is the same wherever the slider stands.

    Args:
        figure: the figure as it stays; its axes keep their limits from now on.

    Example:
        >>> figure = Figure(figsize=(2, 1))
        >>> ax = figure.subplots()
        >>> scene = Scene(figure)
        >>> first, second = (scene.png(lambda x=x: [ax.axvline(x)]) for x in (0.2, 0.8))
        >>> assert size(first) == (200, 100) and first != second and not ax.lines
    """

    def __init__(self, figure: Figure) -> None:
        self.canvas = FigureCanvasAgg(figure)
        self.canvas.draw()
        for ax in figure.axes:
            ax.autoscale(False)
        self.background = self.canvas.copy_from_bbox(figure.bbox)

    def pixels(self, add: Callable[[], Iterable[Artist]] = tuple) -> np.ndarray:
        """Return ``(height, width, 4)`` pixels with the artists that ``add`` makes on the axes, and removes again."""
        self.canvas.restore_region(self.background)  # pyright: ignore[reportAttributeAccessIssue]
        for artist in add():
            artist.axes.draw_artist(artist)  # pyright: ignore[reportOptionalMemberAccess]
            artist.remove()
        return np.array(self.canvas.buffer_rgba())

    def png(self, add: Callable[[], Iterable[Artist]] = tuple) -> bytes:
        """Return the same as a PNG file."""
        return beside(self.pixels(add))


def beside(*pictures: np.ndarray) -> bytes:
    """Return pictures of one height side by side as a PNG file, quick rather than small: it goes to the next window."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.concatenate(pictures, axis=1)).convert("RGB").save(file, format="PNG", compress_level=3)
    return file.getvalue()


def size(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG file in pixels, which stand at a fixed place in it."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def small_png(png: bytes) -> bytes:
    """Return a PNG file with a palette of 256 colours, without date or version: the same picture, the same bytes.

    A palette holds a line drawing without loss to the eye, at a third of the size: a page carries all frames.
    """
    from PIL import Image

    small = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(small, format="PNG", optimize=True)
    return small.getvalue()
