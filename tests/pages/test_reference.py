"""Is the reference whole and free of what rendering can do to docstrings? Names are read from the packages."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "acelib acelib.recurrent acelib.paths acelib.mediation acelib.intrinsic acelib.jets acelib.plots acelib.regressors "
    "acelib.adapters"
)


@pytest.fixture(scope="module")
def reference(parsed) -> dict[str, BeautifulSoup]:
    """The page of the method and that of the laboratory."""
    return {name: parsed(f"book/{name}.html").article for name in ("api", "api-laboratory")}


def documented(page) -> set[str]:
    """Last parts of the names that a page describes."""
    return {tag["id"].rpartition(".")[2] for tag in page.select("dt.sig[id]")}


@pytest.mark.parametrize("package", PACKAGES.split())
def test_every_public_name_is_in_the_reference(reference, package):
    module = importlib.import_module(package)
    there = documented(reference["api"])
    things = {name: getattr(module, name) for name in module.__all__}
    public = {name for name, thing in things.items() if inspect.isclass(thing) or inspect.isfunction(thing)}
    assert public and public <= there, sorted(public - there)


def test_the_method_and_the_laboratory_have_pages_of_their_own(reference):
    ids = {name: [tag["id"] for tag in page.select("dt.sig[id]")] for name, page in reference.items()}
    assert not [name for name in ids["api"] if name.startswith("acelib.lab")]
    assert ids["api-laboratory"] and all(name.startswith("acelib.lab.") for name in ids["api-laboratory"])


def test_what_chapters_import_from_the_laboratory_is_described(reference):
    """Functions and classes named in an import of a chapter's code."""
    there, missing = documented(reference["api-laboratory"]), []
    for path in sorted((ROOT / "book").glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        for module, names in re.findall(r"^ *from (acelib\.lab\S*) import (\([^)]*\)|.*)$", code, re.MULTILINE):
            for name in re.findall(r"[a-zA-Z]\w*", names):
                thing = getattr(importlib.import_module(module), name, None)
                if (inspect.isclass(thing) or inspect.isfunction(thing)) and name not in there | {"build_dir"}:
                    missing.append(f"{path.name}: {module}.{name}")
    assert not missing


def test_names_lead_to_their_source_and_to_the_index(reference, site):
    for name, page in reference.items():
        links = page.select("dt.sig a.viewcode-link, dt.sig a:has(span.viewcode-link)")
        assert len(links) > 30, name
        assert all((site / "book" / link["href"].split("#")[0]).is_file() for link in links)
        assert page.select_one('p a[href="../genindex.html"]'), name


def test_initials_are_no_lists_and_sentences_are_not_split(reference):
    """“R. A. Fisher” at the start of a line, and “A: B” in the docstring of a property, are sentences."""
    for name, page in reference.items():
        lists = page.select("ol.upperalpha, ol.loweralpha, ol.upperroman, ol.lowerroman")
        assert not lists, f"{name}: {lists[0].get_text(' ')[:80]}"
        for entry in page.select("dl.property, dl.py.property"):
            fields = [tag.get_text(" ", strip=True).rstrip(":") for tag in entry.select("dl.field-list > dt")]
            assert not any(field.startswith("Type") for field in fields), entry.select_one("dt")["id"]
