"""The numbers of a book's figures, tables, equations, exercises and theorems, by the rule of the pages.

Each kind is counted by itself within a chapter, and the chapter's number stands before it: Figure 3.2. Equations count
where they have a label. The page tests compare every number with the rendered pages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.plain.fences import Directive, blocks

EQUATION = re.compile(r"(?<!\$)\$\$(?!\$)(.*?)\$\$(?:[ \t]*\(([\w:.-]+)\))?", re.DOTALL)
TARGET = re.compile(r"^\(([\w:.-]+)\)=[ \t]*$")
HEADING = re.compile(r"^#{1,6}[ \t]+(.*?)[ \t]*$")
UNNUMBERED = {"prf:proof"}


@dataclass(frozen=True)
class Label:
    """What a label names.

    Attributes:
        kind: ``Figure``, ``Table``, ``Equation``, ``Exercise``, ``Section``, ``Theorem`` and so on.
        number: as the page shows it, such as ``3.2``; empty for a section.
        title: title or caption as the source writes it.
        chapter: file name without suffix.
        anchor: its name in the page's address.
    """

    kind: str
    number: str
    title: str
    chapter: str
    anchor: str


def kind_of(directive: Directive) -> str | None:
    """Return the kind under which a directive is counted, or None where it has no number."""
    if "nonumber" in directive.options or directive.name in UNNUMBERED:
        return None
    if directive.name.startswith("prf:"):
        return directive.name.removeprefix("prf:").capitalize()
    return {"exercise-start": "Exercise", "table": "Table"}.get(directive.name)


def chapter_labels(notebook: Any, chapter: str, number: int) -> list[Label]:
    """Return what has a number or a label in a chapter, in order; a label that is missing is an empty anchor.

    Args:
        notebook: the chapter.
        chapter: its file name without suffix.
        number: the chapter's number in the book.
    """
    counts: Counter[str] = Counter()
    found = []
    for kind, anchor, title in _named(notebook):
        counts[kind] += 1
        said = "" if kind == "Section" else f"{number}.{counts[kind]}"
        found.append(Label(kind, said, title, chapter, anchor))
    return found


def book_labels(chapters: Mapping[str, Any]) -> dict[str, Label]:
    """Return the labels of a book by name.

    Args:
        chapters: the notebooks in their order, by file name without suffix.

    Raises:
        ValueError: if a label occurs twice.
    """
    found: dict[str, Label] = {}
    for number, (chapter, notebook) in enumerate(chapters.items(), 1):
        for label in chapter_labels(notebook, chapter, number):
            if label.anchor in found:
                raise ValueError(f"label {label.anchor!r} must be used once, got two in {chapter}; rename one")
            if label.anchor:
                found[label.anchor] = label
    return found


def _named(notebook: Any) -> Iterator[tuple[str, str, str]]:
    """Yield kind, label and title of everything that has a number or a label."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from _in_text(cell.source.split("\n"))
        elif cell.cell_type == "code":
            figure = cell.metadata.get("mystnb", {}).get("figure")
            if figure:
                yield "Figure", figure.get("name", ""), figure.get("caption", "")


def _in_text(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    for block in blocks(lines):
        if isinstance(block, Directive):
            kind = kind_of(block)
            if kind:
                yield kind, block.options.get("label", block.options.get("name", "")), block.argument
            yield from _in_text(list(block.body))
            continue
        for _, label in EQUATION.findall("\n".join(block)):
            if label:
                yield "Equation", label, ""
        for at, line in enumerate(block):
            target = TARGET.match(line)
            if target:
                headings = (HEADING.match(later) for later in block[at + 1 :])
                yield "Section", target[1], next((heading[1] for heading in headings if heading), "")
