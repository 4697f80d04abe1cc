"""Pages about the papers, from tables in ``book/``: what holds of each, what was corrected, where its items are.

The tables hold words and ids; verdicts, figures and links are filled in from the claims and the chapters.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acelib.lab.claims import PAPERS
from acelib.lab.claims.cards import badge_html, heading

ROWS = 15  # a reader forms a judgement from one page, or not at all
STATES = {"here": "here", "partly": "in part", "absent": "not here"}
CITED = {"ace": "chattopadhyay2019", "paths": "ahmad2023", "icc": "saha2025"}
_WIDE = ("---", "html_theme.sidebar_secondary.remove: true", "---", "")


def written(root: Path, parts: Sequence[tuple[str, str, list[dict[str, Any]]]]) -> dict[str, str]:
    """Return the Markdown of every page by name, of those whose table is there.

    Args:
        root: the book's folder.
        parts: (stem, title, claims) of the chapters, from ``ledger_page.judged_items``.
    """
    pages = {}
    tables = {name: root / f"book/{name}.toml" for name in ("papers", "corrections", "paper-items")}
    read = {name: tomllib.loads(p.read_text(encoding="utf-8")) for name, p in tables.items() if p.is_file()}
    for paper, entry in read.get("papers", {}).items():
        pages[f"holds-{paper}"] = holds_markdown(paper, entry, parts)
    if "corrections" in read:
        pages["corrections"] = corrections_markdown(read["corrections"], parts)
    if "paper-items" in read:
        pages["paper-items"] = items_markdown(read["paper-items"], {stem: title for stem, title, _ in parts})
    return pages


def holds_markdown(paper: str, entry: Mapping[str, Any], parts: Sequence[tuple[str, str, list[dict[str, Any]]]]) -> str:
    """Return the page that says what holds of a paper, in at most 15 rows with the verdicts of their claims.

    Args:
        paper: ``ace``, ``paths`` or ``icc``.
        entry: ``title``, ``credit`` (what the field owes to it) and ``rows``, each with ``text`` and ``claims``, and
            ``group`` where a new group of rows begins.
        parts: (stem, title, claims) of the chapters.

    Raises:
        ValueError: for more rows than 15, or a claim that no chapter judges or another paper makes.
    """
    known = {item["id"]: (stem, item) for stem, _, items in parts for item in items}
    rows = entry["rows"]
    if len(rows) > ROWS:
        raise ValueError(f"rows about {paper!r} must be at most {ROWS}, got {len(rows)}")
    lines = [*_WIDE, f"# {entry['title']}", "", entry["credit"].strip(), ""]
    started = False
    for row in rows:
        if "group" in row:
            lines += [*([""] if started else []), f"## {row['group']}", "", "| | |", "|---|---|"]
        started = True
        badges: dict[str, list[str]] = {}
        for key in row.get("claims", ()):
            if key not in known or known[key][1]["claim"]["paper"] != paper:
                raise ValueError(f"claims about {paper!r} must be its own and judged by a chapter, got {key!r}")
            verdict, words = heading(known[key][1])
            link = f'<a href="ledger.html#claim-{key}"><code>{key}</code></a>'
            badges.setdefault(badge_html(str(verdict), words), []).append(link)
        seen = "<br>".join(f"{badge} {', '.join(links)}" for badge, links in badges.items())
        lines.append(f"| {_line(row['text'])} | {seen} |")
    lines += ["", "A name leads to the row of the [ledger](ledger.md), with the test and the numbers."]
    lines += ["Are you one of the authors, and is something here unfair? Please write to us; we would like to mend it."]
    return "\n".join(lines) + "\n"


def corrections_markdown(
    entries: Mapping[str, Mapping[str, str]], parts: Sequence[tuple[str, str, list[dict[str, Any]]]]
) -> str:
    """Return the page of corrections: what the first edition said of a claim, what is said now, and why.

    Args:
        entries: ``was``, ``now`` and ``why`` by the claim's id.
        parts: (stem, title, claims) of the chapters.
    """
    known = {item["id"] for _, _, items in parts for item in items if item["claim"]["paper"] is not None}
    lines = [
        *_WIDE,
        "# Corrections",
        "",
        "We ask of papers that what does not hold be said. The same goes for this book. These are the verdicts of its",
        "first edition that were wrong, unfair, or no verdicts at all, with what stands in their place and the runs",
        f"that showed it: {len(entries)} of them.",
        "",
        "| Claim: the first edition → now | Why |",
        "|---|---|",
    ]
    for key, entry in entries.items():
        name = f'<a href="ledger.html#claim-{key}"><code>{key}</code></a>' if key in known else f"`{key}`"
        change = f"{name}<br>{_line(entry['was'])} → **{_line(entry['now'])}**"
        lines.append(f"| {change} | {_line(entry['why'])} |")
    return "\n".join(lines) + "\n"


def items_markdown(papers: Mapping[str, Iterable[Mapping[str, Any]]], titles: Mapping[str, str]) -> str:
    """Return the page that says where every figure, equation, proposition and algorithm of the papers is in the book.

    Args:
        papers: entries by paper: ``item``, ``what``, and ``chapter`` with ``place`` (the name of a figure or an
            equation, or some words of the chapter), ``state`` (here, partly, absent) and ``note``.
        titles: title by chapter stem.
    """
    lines = [*_WIDE, "# Where the papers' items are", ""]
    lines += [
        "Every figure, equation, definition, proposition and algorithm of the papers, and its place in this book.",
        "",
    ]
    for paper, entries in papers.items():
        lines += [f"## {PAPERS[paper]}", "", "| Item | What it is | Here | Note |", "|---|---|---|---|"]
        for entry in entries:
            state = entry.get("state", "here")
            place = f"**{STATES[state]}**" if state != "here" else ""
            if "chapter" in entry:
                place = f"{place} {_place(entry, titles)}".strip()
            lines.append(f"| {entry['item']} | {_line(entry['what'])} | {place} | {_line(entry.get('note', ''))} |")
        lines.append("")
    return "\n".join(lines)


def _place(entry: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    stem, place = entry["chapter"], entry.get("place", "")
    chapter = f"[{stem[:2]}]({stem}.ipynb)"
    if place.startswith("fig-"):
        return f"{chapter}, {{numref}}`{place}`"
    return f"{chapter}, {{eq}}`{place}`" if re.fullmatch(r"eq-[a-z0-9-]+", place) else chapter


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
