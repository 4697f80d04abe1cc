"""What a reader is told about an answer: right, nearly, wrong, or not answered yet."""

from __future__ import annotations

import html
from dataclasses import dataclass

RIGHT, NEARLY, WRONG, OPEN = "right", "nearly", "wrong", "open"
SIGNS = {  # verdict -> (word, sign, background): white text on each has a contrast of at least 5 to 1
    RIGHT: ("Right", "✓", "#1b6e3c"),
    NEARLY: ("Nearly", "◐", "#7a5200"),
    WRONG: ("Not yet", "✗", "#a4262c"),
    OPEN: ("Your turn", "…", "#555b61"),
}


@dataclass(frozen=True)
class Reply:
    """Say what became of an answer; true only where it is right.

    Attributes:
        verdict: ``"right"``, ``"nearly"``, ``"wrong"`` or ``"open"``, where there is no answer yet.
        hint: what to look at next, one or two plain sentences; never the answer itself.

    Example:
        >>> reply = Reply("nearly", "The size is right, the sign is not.")
        >>> assert not reply and "Nearly" in str(reply)
    """

    verdict: str
    hint: str = ""

    def __bool__(self) -> bool:
        return self.verdict == RIGHT

    def __str__(self) -> str:
        return f"{SIGNS[self.verdict][0]}. {self.hint}".rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        word, sign, background = SIGNS[self.verdict]
        return (
            f'<p class="acelib-reply"><strong style="background:{background};color:#fff;padding:0.1em 0.5em;'
            f'border-radius:3px">{sign} {word}</strong> {html.escape(self.hint)}</p>'
        )
