"""The look of records and claims: numbers with the digits that their tolerance supports, and a boxed card per claim.

A card gives its verdict as text as well as in colour, on light and on dark pages."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from typing import Any

from acelib._paper import PAPER
from acelib.lab.claims.entries import CONDITION, EVIDENCE, FINDING, NUMBER, REFUTED, UNTESTED, Test, claim_from

PENDING = "not judged yet"
BADGES = {  # verdict -> (sign, background): white text on each has a contrast of at least 5 to 1
    NUMBER: ("=", "#1b6e3c"),
    FINDING: ("✓", "#1b6e3c"),
    CONDITION: ("◐", "#7a5200"),
    REFUTED: ("✗", "#a4262c"),
    UNTESTED: ("–", "#555b61"),
    PENDING: ("…", "#555b61"),
}
LABELS = {"reading": "Reading", "condition": "On condition", "control": "Control"}
SIGNS = {True: "✓", False: "✗"}
LINE = "var(--pst-color-border, var(--jp-border-color1, #8a8f94))"


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


def ours_text(numbers: Mapping[str, Any], tol: Mapping[str, float]) -> str:
    """Return numbers as one line, ``a = 3.4985, b = 7.4985``; a dash where there is none.

    Example:
        >>> ours_text({"a": 3.49850001, "n": 40}, {"a": 1e-4, "n": 0})
        'a = 3.4985, n = 40'
    """
    return ", ".join(f"{name} = {number_text(value, tol[name])}" for name, value in numbers.items()) or "–"


def shown(item: Mapping[str, Any]) -> tuple[str | None, bool, str]:
    """Return what a card shows of a claim: the verdict of the full run, whether it was edited since, and a remark.

    The verdict is computed again from the numbers it stands beside. It is None where no full run is on file.

    Raises:
        ValueError: if a stored verdict does not follow from its numbers.
    """
    claim = claim_from(item["id"], item["claim"])
    full = item if item["profile"] == "full" else item["full"]
    if not claim.tests:
        return UNTESTED, False, ""
    own = claim.verdict(item["numbers"]) if item["numbers"] else None
    if full is None:
        return None, False, f"no full run has judged it yet; the run of this page gives: {own or 'nothing'}"
    judged = claim_from(item["id"], full["claim"]).verdict(full["numbers"])
    if judged != full["verdict"]:
        raise ValueError(
            f"verdict of claim {item['id']!r} must follow from its numbers, {judged!r}, got {full['verdict']!r}"
        )
    if full is item:
        return judged, False, ""
    edited = full["digest"] != item["digest"]
    if own is None:
        return judged, edited, "only the full run computes it"
    agrees = own == judged
    return judged, edited, "the run of this page agrees" if agrees else f"the smaller run of this page gives: {own}"


def claim_rows(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (label, text) of every line of a claim below its statement, for the card and for the ledger."""
    claim = claim_from(item["id"], item["claim"])
    verdict, edited, remark = shown(item)
    full = item if item["profile"] == "full" else item["full"]
    seen = full if full is not None and not edited else item
    rows = [("Paper", claim.printed)] if claim.printed else []
    for test in claim.tests:
        rows.append((LABELS[test.role], test_text(test, seen["numbers"])))
    if claim.tests:
        rows.append(("Ours", ours_text(seen["numbers"], seen["tol"]) if seen["numbers"] else "–"))
    if verdict == CONDITION:
        rows.append(("Condition", claim.condition))
    rows.append(("Why", claim.why))
    if claim.pilots:
        rows.append(("Known before", claim.pilots))
    if edited:
        rows.append(("Edited", f"the claim was edited after its full run, which judged it: {verdict}"))
    if remark:
        rows.append(("This page", remark))
    return rows


def test_text(test: Test, numbers: Mapping[str, Any]) -> str:
    """Return a test as one line: the reading, on what it was run, the inequality, and what came out.

    Example:
        >>> test_text(Test("most of them", "share >= threshold", "recipe", 0.9, (0.5,)), {"share": 0.8})
        "most of them (the paper's recipe): share >= 0.9 ✗; at 0.5 ✓"
    """
    text = test.inequality
    if test.threshold is not None:
        text = re.sub(r"\bthreshold\b", f"{test.threshold:g}", text)
    line = f"{test.reading} ({EVIDENCE[test.evidence]}): {text}"
    if not numbers:
        return line
    line += f" {SIGNS[test.holds(numbers)]}"
    others = ", ".join(f"{other:g} {SIGNS[test.holds(numbers, other)]}" for other in test.others)
    return f"{line}; at {others}" if others else line


test_text.__test__ = False  # type: ignore[attr-defined]


def heading(item: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the verdict that a card or a row shows, None for a statement of ours, and the words for it."""
    if item["claim"]["paper"] is None:
        return None, "ours"
    verdict, edited, _ = shown(item)
    if verdict is None or edited:
        return PENDING, "edited after its run" if edited else PENDING
    return verdict, verdict


def claim_text(item: Mapping[str, Any]) -> str:
    """Return a claim as a few lines of plain text."""
    claim = claim_from(item["id"], item["claim"])
    first = f"[{heading(item)[1]}] {claim.id}: {claim.statement} ({claim.source})"
    return "\n".join([first, *(f"  {label.lower()}: {text}" for label, text in claim_rows(item))])


def claim_html(item: Mapping[str, Any], link: str = "") -> str:
    """Return a claim as a boxed card without script or class; its colours come from the page, dark or light.

    Args:
        item: the claim with its numbers.
        link: address that its id leads to; none by default.
    """
    claim = claim_from(item["id"], item["claim"])
    body = "".join(
        '<div style="display:flex;gap:.6em;margin:.15em 0">'
        f'<span style="flex:0 0 6.5em;opacity:.8">{label}</span>'
        f'<span style="flex:1;min-width:0">{html.escape(text)}</span></div>'
        for label, text in claim_rows(item)
    )
    name = f'<code style="background:transparent;color:inherit">{claim.id}</code>'
    name = f'<a href="{html.escape(link)}">{name}</a>' if link else name
    verdict, words = heading(item)
    badge = badge_html(verdict, words) if verdict is not None else '<span style="opacity:.8">ours:</span>'
    return (
        f'<div role="group" id="claim-{claim.id}" aria-label="Claim {claim.id}: {words}" '
        f'style="border:1px solid {LINE};'
        f"border-radius:6px;padding:.6em .9em;margin:.6em 0;max-width:46em;{PAPER};"
        'overflow-wrap:anywhere;line-height:1.45">'
        f'<div style="margin-bottom:.35em">{badge} {name} '
        f'<span style="opacity:.8">{html.escape(claim.source if claim.theirs else "")}</span></div>'
        f'<div style="margin-bottom:.35em"><strong>{html.escape(claim.statement)}</strong></div>{body}</div>'
    )


def badge_html(verdict: str, words: str = "") -> str:
    """Return the verdict as a small coloured badge that also holds it, or other words, as text."""
    sign, colour = BADGES[verdict]
    return (
        f'<span style="background:{colour};color:#fff;border-radius:4px;padding:.1em .5em;font-weight:600;'
        f'display:inline-block">{sign} {html.escape(words or verdict)}</span>'
    )
