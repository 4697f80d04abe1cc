"""What is built for courses: terms with their sentence, the guide's links, and slides of every chapter."""

from __future__ import annotations

import re
import tomllib
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup

from tools.chapters import ROOT
from tools.slides import deck

RAW = re.compile(r"\{(glue|eq|ref|numref|doc|cite|math|prf|term|exercise|solution|figure|image)\b[^}]*\}|:::|```|\$\$")


@pytest.fixture(scope="module")
def page(parsed):
    """Returns a page of the book by its name."""
    return lambda name: parsed(f"book/{name}.html")


def test_every_chapter_explains_terms_under_the_mouse_and_by_a_link(page, chapters):
    known = {dt["id"]: dt.find_next("dd").get_text(" ", strip=True) for dt in page("glossary").select("dt[id]")}
    assert len(known) >= 60 and all(len(text) >= 15 for text in known.values())
    for stem in chapters:
        links = page(stem).select('article a[href*="glossary.html#term-"]')
        assert 1 <= len(links) <= 3, stem
        for link in links:
            assert link["title"].split() == known[link["href"].split("#")[1]].split()


@pytest.mark.parametrize("name", ["teaching", "which-method", "index"])
def test_links_with_an_anchor_lead_to_it(page, name):
    links = [urlsplit(link["href"]) for link in page(name).select("article a[href]")]
    links = [link for link in links if not link.scheme and link.path.endswith(".html") and "/" not in link.path]
    assert links
    for link in links:
        target = page(link.path.removesuffix(".html"))
        assert not link.fragment or target.find(id=link.fragment), f"{link.path}#{link.fragment}"


def test_the_front_page_lists_the_chapters_and_has_a_picture(page, chapters):
    links = [link["href"] for link in page("index").select("article ol a[href]")]
    assert links == [f"{stem}.html" for stem in chapters]
    assert page("index").select_one('article img[src*="card"]')
    assert "written by the press" not in page("index").get_text()


def test_every_chapter_has_slides_without_raw_markup(site, chapters):
    entries, course = (tomllib.loads((ROOT / f"book/{name}.toml").read_text()) for name in ("slides", "course"))
    for stem in chapters:
        text = deck(site, stem, entries[stem], course["chapters"][stem])
        found = BeautifulSoup(text, "html.parser")
        assert 8 <= len(found.select("section.slide")) <= 14
        assert found.select_one("section.slide.title p").get_text().endswith("?")
        for tag in found.select("img[src], script[src], link[href]"):
            source = tag.get("src") or tag["href"]
            assert source.startswith("data:") or (site / "slides" / source).resolve().is_file(), f"{stem}: {source}"
        for tag in found.select(".math, script, style, pre"):
            tag.decompose()
        seen = found.get_text(" ")
        assert not RAW.search(seen) and "\\(" not in seen, stem
