"""The look of records and claims: numbers with the digits that their tolerance supports, and a boxed card per claim.

A card gives its verdict as text as well as in colour, on light and on dark pages."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

BADGES = {  # verdict -> (sign, background): white text on each has a contrast of at least 5 to 1
    "reproduced": ("✓", "#1b6e3c"),
    "reproduced with a correction": ("✎", "#7a5200"),
    "not reproduced": ("✗", "#a4262c"),
    "cannot be tested here": ("–", "#555b61"),
}
LINE = "var(--pst-color-border, var(--jp-border-color1, #8a8f94))"
# The page's own colours, in the built book, in Jupyter, or (inherit) anywhere else, so that a card reads on dark pages.
PAPER = (
    "background:var(--pst-color-background, var(--jp-layout-color0, transparent));"
    "color:var(--pst-color-text-base, var(--jp-ui-font-color1, inherit))"
)


def number_text(value: Any, tol: float) -> str:
    """Return the value as text, with no more decimals than its tolerance supports (at most 12).

    Example:
        >>> number_text(3.49850000012, 1e-6), number_text(True, 0), number_text(1234, 0)
        ('3.4985', 'True', '1234')
    """
    if isinstance(value, (bool, int, str)):
        return str(value)
    if tol == 0:
        return repr(value)
    decimals = min(12, max(0, math.ceil(-math.log10(tol))))
    text = f"{value:.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def ours_text(ours: Any, tol: float) -> str:
    """Return our numbers as one line: ``3.4985``, or ``a = 3.4985, b = 7.4985``; a dash where there is none."""
    if ours is None:
        return "–"
    if isinstance(ours, Mapping):
        return ", ".join(f"{name} = {number_text(value, tol)}" for name, value in ours.items())
    return number_text(ours, tol)


def claim_text(item: Mapping[str, Any]) -> str:
    """Return a claim as a few lines of plain text."""
    lines = [
        f"[{item['verdict']}] {item['id']}: {item['statement']} ({item['source']})",
        f"  test: {item['inequality']}",
        f"  paper: {item['paper']} | ours: {ours_text(item['ours'], item['tol'])}",
    ]
    if item["correction"]:
        lines.append(f"  corrected: {item['correction']}")
    return "\n".join([*lines, f"  {item['reason']}"])


def claim_html(item: Mapping[str, Any]) -> str:
    """Return a claim as a boxed card without script or class; its colours come from the page, dark or light."""
    rows = [("Test", item["inequality"]), ("Paper", item["paper"]), ("Ours", ours_text(item["ours"], item["tol"]))]
    if item["correction"]:
        rows.append(("Corrected", item["correction"]))
    rows.append(("Why", item["reason"]))
    body = "".join(
        '<div style="display:flex;gap:.6em;margin:.15em 0">'
        f'<span style="flex:0 0 5.5em;opacity:.8">{name}</span>'
        f'<span style="flex:1;min-width:0">{html.escape(text)}</span></div>'
        for name, text in rows
    )
    return (
        f'<div role="group" aria-label="Claim {item["id"]}: {item["verdict"]}" style="border:1px solid {LINE};'
        f"border-radius:6px;padding:.6em .9em;margin:.6em 0;max-width:46em;{PAPER};"
        'overflow-wrap:anywhere;line-height:1.45">'
        f'<div style="margin-bottom:.35em">{badge_html(item["verdict"])} '
        f'<code style="background:transparent;color:inherit">{item["id"]}</code> '
        f'<span style="opacity:.8">{html.escape(item["source"])}</span></div>'
        f'<div style="margin-bottom:.35em"><strong>{html.escape(item["statement"])}</strong></div>{body}</div>'
    )


def badge_html(verdict: str) -> str:
    """Return the verdict as a small coloured badge that also holds it as text."""
    sign, colour = BADGES[verdict]
    return (
        f'<span style="background:{colour};color:#fff;border-radius:4px;padding:.1em .5em;font-weight:600;'
        f'display:inline-block">{sign} {verdict}</span>'
    )
