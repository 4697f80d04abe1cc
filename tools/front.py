"""The front door: what is found, the chapters with a line each, and how to cite, for the front page and the README.

``python -m tools.front`` writes the README's part again; the front page is filled whenever the pages are rendered.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acelib.lab.claims.entries import CONDITION, FINDING, NUMBER, REFUTED, UNTESTED
from acelib.lab.home import write_whole
from tools.address import current, is_public, published
from tools.chapters import ROOT, find_chapters, read_notebook, title
from tools.marks import between
from tools.minutes import sections

MARKS = {
    name: (f"<!-- {name}: written by the press -->", f"<!-- end of {name} -->")
    for name in ("findings", "chapters", "citation")
}
PAPERS_CITED = ("chattopadhyay2019", "ahmad2023", "saha2025")
CONTENT = Sequence[tuple[str, str, Any]]
"""(file stem, title, notebook) of each chapter, in the book's order."""


def findings(content: CONTENT, full: Sequence[Mapping[str, Any]], corrected: int) -> list[str]:
    """Return the sentence that counts the verdicts of the last full run.

    Args:
        content: the chapters.
        full: entries of ``data/ledger``.
        corrected: how many verdicts of the first edition were taken back.
    """
    from tools.ledger_page import counts, judged_items

    items = [item for _, _, found in judged_items(content, full) for item in found]
    table = counts([item for item in items if item["claim"]["paper"] is not None])
    total = {verdict: sum(row[verdict] for row in table.values()) for verdict in (NUMBER, FINDING, CONDITION, REFUTED)}
    untested = sum(row[UNTESTED] for row in table.values())
    tested = sum(total.values())
    said = (
        f"**Of {tested + untested} statements of three papers, {tested} could be put to the test: {total[NUMBER]} "
        f"numbers came back, {total[FINDING]} findings hold, {total[CONDITION]} hold under a condition that can be "
        f"named, and {total[REFUTED]} are refuted.** Our own first edition had {corrected} verdicts that were "
        "wrong, unfair, or none; they have a page of their own."
    )
    return textwrap.wrap(said, 118)


def chapter_list(
    content: CONTENT, lines: Mapping[str, str], parts: Mapping[str, str], *, folder: str = "", timed: bool = True
) -> list[str]:
    """Return the chapters as Markdown, a line each under the name of its part.

    Args:
        content: the chapters.
        lines: what a chapter is about, by its stem.
        parts: the name of the part that begins with a chapter, by its stem.
        folder: what stands before the chapters' file names.
        timed: whether to give the minutes of reading and of exercises.

    Raises:
        ValueError: for a chapter without a line.
    """
    found = []
    for number, (stem, name, notebook) in enumerate(content, 1):
        if stem not in lines:
            raise ValueError(f"book/course.toml must have a line for every chapter, got none for {stem!r}; write one")
        if stem in parts:
            found += [*([""] if found else []), f"**{parts[stem]}**", ""]
        reading = sections(notebook)
        minutes = round(sum(part.minutes for part in reading))
        tasks = sum(task.minutes for part in reading for task in part.exercises)
        times = f" *({minutes} minutes; exercises {tasks})*" if timed else ""
        found.append(f"{number}. [{name}]({folder}{stem}.ipynb): {lines[stem]}{times}")
    return found


def hours(content: CONTENT) -> tuple[int, int]:
    """Return the hours of reading and of exercises in the whole book, rounded."""
    every = [part for _, _, notebook in content for part in sections(notebook)]
    tasks = sum(task.minutes for part in every for task in part.exercises)
    return round(sum(part.minutes for part in every) / 60), round(tasks / 60)


def citation(root: Path) -> list[str]:
    """Return BibTeX for the book, with its address where it has one, and for the three papers from the bibliography."""
    import yaml

    address = current(root)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    entries = (root / "book/references.bib").read_text(encoding="utf-8")
    lines = ["```bibtex", "@book{causal-attribution-book,", f"  title  = {{{config['title']}}},"]
    lines += [f"  author = {{{{{config['author']}}}}},", f"  year   = {{{config['copyright']}}},"]
    lines += [f"  url    = {{{address}}},"] if is_public(address) else []
    lines.append("}")
    for key in PAPERS_CITED:
        lines += ["", *re.search(rf"^@\w+\{{{key},.*?^\}}", entries, re.M | re.S)[0].splitlines()]
    return [*lines, "```"]


def first_of_parts(root: Path) -> dict[str, str]:
    """Return the captions of ``_toc.yml`` by the stem of the first file under each."""
    import yaml

    parts = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    return {Path(part["chapters"][0]["file"]).name: part["caption"] for part in parts}


def front_page(text: str, root: Path, content: CONTENT, full: Sequence[Mapping[str, Any]]) -> str:
    """Return the front page with its three parts written in; a page without their marks comes back as it is."""
    if not all(mark in text for marks in MARKS.values() for mark in marks):
        return text
    written = {
        "findings": findings(content, full, _corrected(root)),
        "chapters": [*_hours_line(content), "", *chapter_list(content, _lines(root), first_of_parts(root))],
        "citation": citation(root),
    }
    for name, lines in written.items():
        text = between(MARKS[name], lines, text, "book/index.md")
    return text


def readme(text: str, root: Path = ROOT) -> str:
    """Return the README with what is found and the chapters written in, from the stored notebooks and the full runs."""
    content = [(path.stem, title(read_notebook(path), path.stem), read_notebook(path)) for path in find_chapters(root)]
    full = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((root / "data/ledger").glob("*.json"))]
    listed = chapter_list(content, _lines(root), first_of_parts(root), folder="book/", timed=False)
    text = between(MARKS["findings"], findings(content, full, _corrected(root)), text)
    base = published(root)
    told = [f"[Read the book here]({base}).", ""] if base else []
    return between(MARKS["chapters"], [*told, *_hours_line(content), "", *listed], text)


def _hours_line(content: CONTENT) -> list[str]:
    reading, tasks = hours(content)
    return [f"About {reading} hours of reading, and about {tasks} of exercises."]


def _lines(root: Path) -> dict[str, str]:
    table = tomllib.loads((root / "book/course.toml").read_text(encoding="utf-8"))
    return {stem: entry["line"] for stem, entry in table["chapters"].items()}


def _corrected(root: Path) -> int:
    return len(tomllib.loads((root / "book/corrections.toml").read_text(encoding="utf-8")))


if __name__ == "__main__":
    page = ROOT / "README.md"
    text = readme(page.read_text(encoding="utf-8"))
    write_whole(page, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    print(page)
    sys.exit(0)
