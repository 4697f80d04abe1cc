"""The pages under test: the stored outputs, rendered once into a temporary folder, with nothing executed."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import address, browser, open_page

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
def site(chapters, tmp_path_factory) -> Path:
    """The folder of HTML pages; a warning of Jupyter Book fails here."""
    return render(chapters, root=ROOT, out=tmp_path_factory.mktemp("pages"))
