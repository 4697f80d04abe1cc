"""Do the notebooks for Jupyter and Colab name what the pages name? Every number is compared with the rendered page."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from tools.chapters import ROOT, read_notebook
from tools.plain import Book, plain_notebook

NAMES = {"Fig.": "Figure"}
ROLE = re.compile(r"\{(glue:text|cite:?[pt]?)\}`([^`]+)`")


@pytest.fixture(scope="module")
def book(chapters) -> Book:
    return Book({stem: read_notebook(path) for stem, path in chapters.items()}, ROOT)


@pytest.fixture(scope="module")
def articles(parsed, chapters) -> dict[str, BeautifulSoup]:
    return {stem: parsed(f"book/{stem}.html").select_one("article") for stem in chapters}


def prose(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_chapters_have_the_numbers_of_the_pages(book, articles):
    for stem, article in articles.items():
        assert article.select_one("h1").get_text().startswith(f"{book.number(stem)}. ")
        assert prose(plain_notebook(book, stem)).startswith(f"# {book.number(stem)}. ")


def test_every_label_has_the_number_of_its_page(book, articles):
    """Figures, tables, exercises and theorems by their caption, equations by the number beside them."""
    kinds = set()
    for name, label in book.labels.items():
        article = articles[label.chapter]
        if label.kind == "Equation":
            said = article.find(id=f"equation-{name}").select_one(".eqno").get_text(strip=True).rstrip("#¶")
            assert said == f"({label.number})", name
        elif label.kind != "Section":
            caption = article.find(id=name).select_one(".caption-number").get_text(strip=True)
            kind, number = caption.split()
            assert (NAMES.get(kind, kind), number) == (label.kind, label.number), name
        kinds.add(label.kind)
    assert {"Figure", "Table", "Equation", "Exercise", "Definition", "Theorem"} <= kinds


def test_nothing_numbered_is_left_out(book, articles):
    """As many numbers as the page shows, of each kind."""
    for stem, article in articles.items():
        shown = [tag.get_text(strip=True) for tag in article.select(".caption-number")]
        shown = [f"{NAMES.get(kind, kind)} {number}" for kind, number in map(str.split, shown)]
        ours = [f"{x.kind} {x.number}" for x in book.labels.values() if x.chapter == stem]
        assert sorted(shown) == sorted(text for text in ours if not text.startswith(("Equation", "Section"))), stem
        assert len(article.select(".eqno")) == sum(text.startswith("Equation") for text in ours), stem


def test_numbers_and_citations_are_those_of_the_page(book, articles):
    """Every glued record in the order of the text, and every citation, brackets aside."""
    for stem, article in articles.items():
        sources = [cell for cell in book.chapters[stem].cells if cell.cell_type in ("markdown", "code")]
        texts = [
            c.source if c.cell_type == "markdown" else c.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
            for c in sources
        ]
        roles = ROLE.findall("\n".join(texts))
        glued = [book.role(name, text, stem) for name, text in roles if name.startswith("glue")]
        pasted = [tag.get_text() for tag in article.select(".pasted-text")]
        assert glued == pasted, stem
        cited = [book.role(name, text, stem) for name, text in roles if name.startswith("cite")]
        cited = re.sub(r"[()\[\]]", "", "; ".join(cited)).split("; ")
        words = re.sub(r"[()\[\]]", "", re.sub(r"\s+", " ", article.get_text()))
        assert [text for text in cited if text not in words] == [] and any(cited), stem


def test_the_download_is_the_converted_notebook(book, site, chapters):
    for stem in chapters:
        offered = nbformat.read(Path(site, f"_sources/book/{stem}.ipynb"), as_version=4)
        assert offered.cells == plain_notebook(book, stem).cells
