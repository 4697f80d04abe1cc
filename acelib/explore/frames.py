"""Precomputed pictures under a slider.

A player needs no kernel, no network and no script file: every frame is a PNG inside the page, and a few inline
handlers choose which one is seen."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._paper import PAPER
from .drawing import small_png

_PNG = b"\x89PNG\r\n\x1a\n"

# Handlers look only at their own figure, so any number of players, or the same one twice, can share a page.
_SHOW = (
    "const p=this.closest('figure');let t='';"
    "p.querySelectorAll('img').forEach((m,i)=>{const on=i==this.value;m.hidden=!on;m.style.display=on?'block':'none';"
    "if(on)t=m.dataset.label});"
    "p.querySelector('output').textContent=t;this.setAttribute('aria-valuetext',t)"
)
_PLAY = (
    "const r=this.closest('figure').querySelector('input'),b=this;"
    "if(b.dataset.timer){clearInterval(+b.dataset.timer);b.dataset.timer='';b.textContent='Play';return}"
    "b.textContent='Stop';b.dataset.timer=setInterval(()=>{if(!b.isConnected){clearInterval(+b.dataset.timer);return}"
    "r.value=(+r.value+1)%(+r.max+1);r.dispatchEvent(new Event('input'))},700)"
)


@dataclass(frozen=True, repr=False)
class Player:
    """Precomputed frames with a slider; Jupyter and the built book show ``_repr_html_``.

    A page may show it elsewhere than where it is made, by the directive ``glue`` and its name.

    Attributes:
        name: the player's name, from which its id in the page is made.
        frames: one PNG file per position of the slider, as bytes.
        labels: what the slider says at each position.
        alts: what each picture shows, as text.
        caption: a caption below the picture.
        play: whether a button steps through the frames.
        label: what the slider is of, in words; the name where it is empty.
    """

    name: str
    frames: tuple[bytes, ...]
    labels: tuple[str, ...]
    alts: tuple[str, ...]
    caption: str = ""
    play: bool = False
    label: str = ""

    def __repr__(self) -> str:
        return f"Player({self.name!r}, {len(self.frames)} frames: {self.labels[0]} … {self.labels[-1]})"

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the player and what MyST-NB reads to know it by its name."""
        return (
            {"text/plain": repr(self), "text/html": self.to_html()},
            {"scrapbook": {"name": self.name, "mime_prefix": ""}},
        )

    def to_html(self) -> str:
        """Return the player as HTML that needs nothing beside it."""
        images = "".join(
            f'<img alt="{html.escape(alt)}" data-label="{html.escape(label)}" src="data:image/png;base64,'
            f'{base64.b64encode(png).decode()}" style="display:{"none" if i else "block"};max-width:100%;height:auto;'
            f'margin:0 auto;padding:0;background:#fff;filter:none"{" hidden" if i else ""}>'
            for i, (png, label, alt) in enumerate(zip(self.frames, self.labels, self.alts, strict=True))
        )
        first, title = html.escape(self.labels[0]), html.escape(self.label or self.name.replace("-", " "))
        play = f'<button type="button" onclick="{html.escape(_PLAY)}">Play</button> ' if self.play else ""
        caption = html.escape(self.caption)
        return (
            f'<figure class="acelib-player" id="player-{self.name}" style="margin:1em 0;max-width:100%;{PAPER}">'
            f'<div style="display:flex;flex-wrap:wrap;gap:.3em .8em;align-items:center;margin-bottom:.4em">{play}'
            f'<label style="display:flex;flex:1 1 14em;gap:.6em;align-items:center;margin:0"><span>{title}</span>'
            f'<input type="range" min="0" max="{len(self.frames) - 1}" step="1" value="0" autocomplete="off" '
            f'aria-valuetext="{first}" oninput="{html.escape(_SHOW)}" style="flex:1;min-width:8em"></label>'
            f'<output aria-live="polite" style="font-variant-numeric:tabular-nums">{first}</output></div>'
            f'<div>{images}</div><figcaption style="color:inherit">{caption}</figcaption>'
            "<noscript>The slider needs JavaScript; without it the first picture is shown.</noscript></figure>"
        )


def player(
    figures: Sequence[Any],
    labels: Sequence[str],
    alts: Sequence[str],
    name: str,
    caption: str = "",
    *,
    dpi: int = 100,
    play: bool = False,
    label: str = "",
) -> Player:
    """Return a slider over precomputed frames, ready to be displayed.

    Args:
        figures: one Matplotlib figure (it is drawn and closed) or one PNG file as bytes per position of the slider.
        labels: what the slider says at each position, such as ``"α = 0.5"``.
        alts: one sentence per frame that says what can be seen, for readers who cannot see it.
        name: letters, digits and hyphens; the player's id, also shown beside the slider where ``label`` is empty.
        caption: text below the picture.
        dpi: dots per inch of frames that are drawn here.
        play: whether to add a button that steps through the frames.
        label: what the slider is of, in words and with its unit, shown beside it.

    Raises:
        ValueError: for no frames, lengths that differ, an empty label or alt text, or a bad name.
        TypeError: for a frame that is neither a figure nor PNG bytes.

    Example:
        >>> import matplotlib.figure
        >>> figures = [matplotlib.figure.Figure(figsize=(1, 1)) for _ in range(2)]
        >>> player(figures, ["0", "1"], ["An empty square.", "Another empty square."], "empty")
        Player('empty', 2 frames: 0 … 1)
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(
            f"name must be lower-case letters, digits and single hyphens, such as 'ab-slider', got {name!r}"
        )
    figures, labels, alts = list(figures), [str(label) for label in labels], [str(alt) for alt in alts]
    if not figures:
        raise ValueError("figures must hold at least one frame, got none")
    if not len(figures) == len(labels) == len(alts):
        raise ValueError(
            f"figures, labels and alts must be equally long, one of each per position of the slider, "
            f"got {len(figures)}, {len(labels)} and {len(alts)}"
        )
    for what, texts in (("labels", labels), ("alts", alts)):
        empty = [i for i, text in enumerate(texts) if not text.strip()]
        if empty:
            raise ValueError(f"{what} must hold a text for every frame, got an empty one at {empty[0]}")
    frames = tuple(_png(figure, dpi) for figure in figures)
    return Player(name, frames, tuple(labels), tuple(alts), caption, play, label)


def _png(figure: Any, dpi: int) -> bytes:
    """Return PNG bytes of a frame on opaque white; the same figure gives the same bytes (no date, no version)."""
    if isinstance(figure, (bytes, bytearray)):
        if not bytes(figure).startswith(_PNG):
            raise TypeError("figures must hold Matplotlib figures or PNG bytes, got bytes without the PNG signature")
        return bytes(figure)
    if not hasattr(figure, "savefig"):
        raise TypeError(f"figures must hold Matplotlib figures or PNG bytes, got {type(figure).__name__}")
    import matplotlib.pyplot as plt

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, facecolor="white", transparent=False)
    plt.close(figure)
    return small_png(drawn.getvalue())
