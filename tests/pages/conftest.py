"""The pages under test: the stored outputs, rendered once into a temporary folder, with nothing executed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from chromium import address, browser, open_page
from filelock import FileLock

from tools.chapters import find_chapters
from tools.pages import render

__all__ = ["address", "browser", "open_page"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def chapters() -> dict[str, Path]:
    """The stored notebooks by chapter name, in the book's order."""
    found = {path.stem: path for path in find_chapters(ROOT)}
    assert found, "_toc.yml lists no chapter: there are no pages to test"
    return found


@pytest.fixture(scope="session")
def site(chapters, tmp_path_factory, worker_id) -> Path:
    """The folder of HTML pages; a warning of Jupyter Book fails here. Processes side by side share one rendering."""
    if worker_id == "master":
        return render(chapters, root=ROOT, out=tmp_path_factory.mktemp("pages"))
    shared = tmp_path_factory.getbasetemp().parent
    with FileLock(shared / "pages.lock"):
        pages = shared / "pages" / "html"
        return pages if pages.exists() else render(chapters, root=ROOT, out=shared / "pages")


@pytest.fixture(scope="session")
def parsed(site) -> Callable[[str], BeautifulSoup]:
    """Returns a page by its address within the site, parsed once; tests leave it as it is."""

    @cache
    def parse(name: str) -> BeautifulSoup:
        return BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser")

    return parse
