"""Labels that can be read: text in a colour of the palette is drawn darker than the line that it names."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from .house_style import COLORS

READABLE = 4.5  # to 1: the contrast that WCAG 2 asks of text


def contrast(color: Any) -> float:
    """Return the contrast of a colour on white, from 1 to 21.

    References:
        W3C, Web Content Accessibility Guidelines 2.2, "contrast ratio", 2023.

    Example:
        >>> assert contrast("white") == 1 and abs(contrast("black") - 21) < 1e-9
    """
    part = np.array(to_rgb(color))
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(1.05 / (linear @ np.array([0.2126, 0.7152, 0.0722]) + 0.05))


def readable(color: Any) -> str:
    """Return the colour, darkened as far as text on white needs, in hexadecimal digits.

    Example:
        >>> assert readable("#0072B2") == "#0072b2"  # 5.2 to 1 as it is
        >>> assert contrast("#E69F00") < 2.3 and contrast(readable("#E69F00")) >= 4.5
    """
    part = np.array(to_rgb(color))
    for share in np.linspace(1, 0, 101):
        darker = to_hex(tuple(share * part))
        if contrast(darker) >= READABLE:
            return darker
    return "#000000"


class Ink(Artist):
    """An artist without a picture of its own: drawn before all others, it darkens the figure's coloured labels."""

    def __init__(self) -> None:
        super().__init__()
        self.set_zorder(-np.inf)
        self.set_in_layout(False)

    def draw(self, renderer: Any) -> None:
        """Draw nothing, but change every text in a colour of the palette; others, such as white on a bar, stay."""
        darker = {to_hex(color): readable(color) for color in COLORS}
        figure = self.get_figure()
        for text in figure.findobj(Text) if figure is not None else ():
            color = to_hex(text.get_color())
            if color in darker:
                text.set_color(darker[color])


def darken_labels(figure: Figure) -> None:
    """Let a figure darken its coloured labels whenever it is drawn; the house style calls it for every new figure.

    Example:
        >>> figure = Figure()
        >>> darken_labels(figure)
        >>> text = figure.text(0, 0, "average", color="#E69F00")
        >>> figure.draw_without_rendering()
        >>> assert text.get_color() == readable("#E69F00")
    """
    figure.add_artist(Ink())
