"""A chapter as a notebook in plain Markdown, without outputs, its code as it was."""

from __future__ import annotations

import copy
import html
import re
from typing import Any

from tools.plain.book import Book
from tools.plain.fences import Directive, blocks
from tools.plain.labels import EQUATION, TARGET, Label, chapter_labels, kind_of

FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
BOXES = "note tip hint warning important caution attention danger error seealso".split()
COMMENT = re.compile(r"^(%.*|\+\+\+.*)$")
INLINE = re.compile(
    r"(?P<fenced>^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^(?P=fence)[`~]*[ \t]*$)"
    r"|\{(?P<role>[a-z][\w:.-]*)\}(?P<ticks>`+)(?P<text>.+?)(?P=ticks)"
    r"|(?P<code>(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`))"
    r"|(?P<display>\$\$.*?\$\$(?:[ \t]*\([\w:.-]+\))?)"
    r"|(?P<math>(?<![\\$])\$(?![\s$])(?:[^$\\]|\\.)+?\$)"
    r"|(?<!!)\[(?P<words>[^\[\]]*)\]\((?P<target>[^()\s]+)\)",
    re.DOTALL | re.MULTILINE,
)


def plain_notebook(book: Book, chapter: str) -> Any:
    """Return a chapter for Jupyter and Colab: no MyST, no outputs, and every code cell as it was.

    Numbers, figures, tables, equations, exercises and citations are named in words as the pages name them. Solutions
    are folded, and so are cells that the pages hide.

    Args:
        book: the book that the chapter refers to.
        chapter: its file name without suffix.

    Raises:
        ValueError: for mark-up that is not known here, or a reference to nothing.
    """
    from nbformat.v4 import new_markdown_cell

    writer, notebook = _Writer(book, chapter), copy.deepcopy(book.chapters[chapter])
    cells: list[Any] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = writer.cell(cell.source)
            if cell.source:
                cells.append(cell)
        elif cell.cell_type == "code":
            cells.append(_bare(cell))
            if cell.metadata.get("mystnb", {}).get("figure"):
                cells.append(new_markdown_cell(writer.caption(), id=f"{cell.id}-caption"))
        else:
            cells.append(cell)
    cells.insert(1, new_markdown_cell(_foreword(book, chapter), id="foreword"))
    notebook.cells = cells
    return notebook


def _bare(cell: Any) -> Any:
    """Return a code cell without outputs, folded where the pages hide its code."""
    cell.outputs, cell.execution_count = [], None
    if FOLDED & set(cell.metadata.get("tags", [])):
        cell.metadata.setdefault("jupyter", {})["source_hidden"] = True
        cell.metadata["cellView"] = "form"
    return cell


def _foreword(book: Book, chapter: str) -> str:
    page = book.link("as a page", chapter)
    read = f" It can also be read {page}." if book.base else ""
    return (
        f"*Chapter {book.number(chapter)} of the book, for Jupyter and Colab. Run the cells in order; figures appear "
        f"then. The numbers in the text are those of the book's own run; yours agree within their tolerances.{read}*"
    )


class _Writer:
    """Turns the Markdown cells of one chapter into plain ones, in their order."""

    def __init__(self, book: Book, chapter: str) -> None:
        self._book, self._chapter = book, chapter
        self._numbered = iter(
            label
            for label in chapter_labels(book.chapters[chapter], chapter, book.number(chapter))
            if label.kind not in ("Equation", "Section")
        )
        self._solving, self._titled = "", False

    def cell(self, source: str) -> str:
        """Return a cell's text; a solution that goes on from the cell before stays folded."""
        lines: list[str] = _open(f"{self._solving}, continued") if self._solving else []
        for block in blocks(source.split("\n")):
            lines += self._directive(block) if isinstance(block, Directive) else self._text(block)
        if self._solving:
            lines = ["", *lines, "", "</details>"]
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
        return re.sub(r"<details>\n<summary><b>.*</b></summary>\n*</details>\n*", "", text)

    def caption(self) -> str:
        """Return the caption of the next figure that a code cell draws."""
        label = self._next("Figure")
        return f"**Figure {label.number}.** {self._inline(label.title)}"

    def _next(self, kind: str) -> Label:
        label = next(self._numbered)
        assert label.kind == kind, (label, kind)  # both walk the cells in their order
        return label

    def _text(self, lines: list[str]) -> list[str]:
        kept = [line for line in lines if not TARGET.match(line) and not COMMENT.match(line)]
        text = self._inline("\n".join(kept))
        if not self._titled and (heading := re.search(r"^# ", text, re.MULTILINE)):
            self._titled = True
            at = heading.end()
            text = f"{text[:at]}{self._book.number(self._chapter)}. {text[at:]}"
        return text.split("\n")

    def _inline(self, text: str) -> str:
        return INLINE.sub(self._in_words, text)

    def _in_words(self, match: re.Match[str]) -> str:
        if match["role"]:
            return self._book.role(match["role"], match["text"], self._chapter)
        if match["display"]:
            return _equation(match["display"], self._book)
        if match["target"] is None or re.match(r"[a-z]+:", match["target"]):
            return match[0]
        return self._book.file_link(self._inline(match["words"]), match["target"])

    def _directive(self, block: Directive) -> list[str]:
        """Return a directive as bold words, a quotation, or something folded."""
        name, title = block.name, self._inline(block.argument)
        if name in ("exercise-end", "solution-end"):
            closing = ["", "</details>", ""] if name == "solution-end" and self._solving else []
            self._solving = "" if name == "solution-end" else self._solving
            return closing
        if name == "solution-start":
            label = self._book.label(block.argument.strip())
            self._solving = f"Solution to {_heading(label.kind, label.number, self._inline(label.title))}"
            return _open(self._solving)
        if name == "glue":
            return ["*(On the page a slider stands here. In this notebook a cell further down draws it.)*"]
        kind = kind_of(block)
        number = self._next(kind).number if kind else ""
        head = _heading(kind, number, title) if kind else title
        body = self._body(block)
        if name == "table":
            return [f"**Table {number}.** {title}", "", *body]
        if name == "exercise-start":
            return [f"**{head}.**", "", *body]
        if name == "prf:proof":
            return ["", *_quoted(["*Proof.*", "", *body, "", "∎"]), ""]
        if name.startswith("prf:"):
            return ["", *_quoted([f"**{head}.**", "", *body]), ""]
        if name in (*BOXES, "admonition", "dropdown"):
            head = title if name in ("admonition", "dropdown") else name.capitalize()
            body = ([title, "", *body] if title else body) if name in BOXES else body
            if name == "dropdown" or "dropdown" in block.options.get("class", ""):
                return [*_open(head), *body, "", "</details>", ""]
            return ["", *_quoted([f"**{head}.**", "", *body]), ""]
        raise ValueError(
            f"directive must be one that tools/plain/notebook.py puts into words, got {name!r}; teach it there"
        )

    def _body(self, block: Directive) -> list[str]:
        lines: list[str] = []
        for inner in blocks(list(block.body)):
            lines += self._directive(inner) if isinstance(inner, Directive) else self._text(inner)
        return lines


def _open(title: str) -> list[str]:
    return ["", "<details>", f"<summary><b>{html.escape(re.sub(r'[*`]', '', title), quote=False)}</b></summary>", ""]


def _heading(kind: str, number: str, title: str) -> str:
    return f"{kind} {number} ({title})" if title else f"{kind} {number}"


def _quoted(lines: list[str]) -> list[str]:
    """Return a quotation; Jupyter takes a formula before it reads the signs of one, so each stays on one line."""

    def on_one_line(match: re.Match[str]) -> str:
        return match[0].replace("\n", " ") if match["display"] or match["math"] else match[0]

    return [f"> {line}".rstrip() for line in INLINE.sub(on_one_line, "\n".join(lines)).split("\n")]


def _equation(text: str, book: Book) -> str:
    """Return a displayed equation with its number as a tag in place of its label."""
    found = EQUATION.fullmatch(text)
    if found is None or not found[2]:
        return text
    body = found[1].rstrip()
    return f"$${body} \\tag{{{book.label(found[2]).number}}}\n$$"
