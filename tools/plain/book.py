"""What a chapter may refer to: records, labels, citations and pages of the whole book, as plain words and links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.address import published
from tools.chapters import ROOT, find_chapters, read_notebook, title
from tools.plain.citations import cite, read_citations
from tools.plain.labels import HEADING, Label, book_labels

POINTING = re.compile(r"^(.*?)\s*<([^<>]+)>$", re.DOTALL)


class Book:
    """Chapters with their records, labels, citations and published address.

    Attributes:
        chapters: the notebooks in their order, by file name without suffix.
        labels: what has a number or a label, by label.
        base: where the pages are published, ``html: baseurl:`` of ``_config.yml``; empty where they are not. Without it
            a reference is words and no link.
    """

    def __init__(self, chapters: Mapping[str, Any], root: Path = ROOT) -> None:
        import yaml

        from acelib.lab.ledger import collect

        self.chapters, self.root, self.labels = dict(chapters), root, book_labels(chapters)
        config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
        self.base = published(root)
        files = [root / name for name in config.get("bibtex_bibfiles", ())]
        self._citations = {key: entry for file in files for key, entry in read_citations(file).items()}
        self._records = {
            stem: {item["id"]: item["value"] for item in collect(notebook)[0]} for stem, notebook in chapters.items()
        }

    @classmethod
    def read(cls, root: Path = ROOT) -> Book:
        """Return the book of the stored chapters in ``root``."""
        return cls({path.stem: read_notebook(path) for path in find_chapters(root)}, root)

    def number(self, chapter: str) -> int:
        """Return a chapter's number."""
        return list(self.chapters).index(chapter) + 1

    def link(self, text: str, page: str, anchor: str = "") -> str:
        """Return a link to a place of the published pages, or the text alone where they are not published."""
        if not self.base:
            return text
        return f"[{text}]({self.base}book/{page}.html{'#' * bool(anchor)}{anchor})"

    def file_link(self, text: str, target: str) -> str:
        """Return what becomes of a link to a file of the book: to its page, to the notebook beside, or its text."""
        path, _, anchor = target.partition("#")
        if not path:
            return self.to_label(text, anchor)
        page = Path(path).stem
        if text == "":
            text = self._title_of(page)
        beside = not self.base and page in self.chapters
        return f"[{text}]({page}.ipynb)" if beside else self.link(text, page, anchor)

    def label(self, name: str) -> Label:
        """Return what a label names.

        Raises:
            ValueError: if nothing has it.
        """
        if name not in self.labels:
            raise ValueError(f"a reference must name a label of a chapter, got {name!r}; correct it")
        return self.labels[name]

    def to_label(self, text: str, name: str) -> str:
        """Return a link to what a label names; without a text, its kind and number or its title."""
        label = self.label(name)
        anchor = f"equation-{name}" if label.kind == "Equation" else name
        return self.link(text or _said(label), label.chapter, anchor)

    def record(self, text: str, chapter: str) -> str:
        """Return a record's value in the format that the text asks for.

        Args:
            text: ``key:format``, or ``file.ipynb::key:format`` for a record of another chapter.
            chapter: where the text stands.

        Raises:
            ValueError: if no such record is stored.
        """
        other, _, rest = text.rpartition("::")
        key, _, form = rest.partition(":")
        stem = Path(other).stem if other else chapter
        if key not in self._records.get(stem, {}):
            raise ValueError(f"a glued number must be a record of {stem}, got {key!r}; execute and store the chapter")
        value = self._records[stem][key]
        if form.endswith("s"):
            return format(str(value), form)
        return format(int(value) if form.endswith("d") else float(value), form) if form else str(value)

    def role(self, name: str, text: str, chapter: str) -> str:
        """Return a role in plain words.

        Args:
            name: the role, such as ``numref``.
            text: what stands between its backticks.
            chapter: where it stands.

        Raises:
            ValueError: for a role that is not known here, or a reference to nothing.
        """
        if name.startswith("glue"):
            return self.record(text, chapter)
        if name.startswith("cite"):
            return self._cite(name, text)
        if name == "math":
            return f"${text}$"
        pointing = POINTING.match(text)
        said, target = pointing.groups() if pointing else ("", text)
        if name == "term":
            place = re.sub(r"[^A-Za-z0-9]+", "-", target).strip("-")
            return self.link(said or target, "glossary", f"term-{place}")
        if name == "doc":
            return self.file_link(said, target)
        if name in ("numref", "ref", "prf:ref", "eq"):
            number = self.label(target).number
            return self.to_label(said.replace("%s", number).replace("{number}", number), target)
        raise ValueError(f"role must be one that tools/plain/book.py puts into words, got {name!r}; teach it there")

    def _cite(self, name: str, text: str) -> str:
        missing = [key.strip() for key in text.split(",") if key.strip() not in self._citations]
        if missing:
            raise ValueError(f"a citation must be in the bibliography, got {', '.join(missing)}; add it")
        return self.link(cite(self._citations, text, within=name == "cite:t"), "bibliography")

    def _title_of(self, page: str) -> str:
        if page in self.chapters:
            return title(self.chapters[page], page)
        path = self.root / f"book/{page}.md"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return next((heading[1] for heading in map(HEADING.match, lines) if heading), page)


def _said(label: Label) -> str:
    if label.kind == "Equation":
        return f"({label.number})"
    return label.title if label.kind == "Section" else f"{label.kind} {label.number}"
