"""Are the pages whole, without a network and without raw markup? The HTML is parsed; test_browser.py looks."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from acelib.lab.claims import PAPERS
from acelib.lab.ledger import collect
from tools.address import PLACEHOLDER, is_public
from tools.colab import BRANCH, repository

ROOT = Path(__file__).resolve().parents[2]
RAW = re.compile(
    r"\{(glue|eq|ref|numref|doc|cite|math|prf|exercise|solution|admonition|figure|download)\b[^}]*\}|:::|```|\$\$"
)
FILES = (("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"), ("object", "data"))
LOADING = {"stylesheet", "preload", "modulepreload", "icon", "manifest", "prefetch", "preconnect", "dns-prefetch"}


@pytest.fixture(scope="session")
def pages(site, parsed) -> dict[str, BeautifulSoup]:
    """Address within the site -> parsed page."""
    found = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    names = [path.relative_to(site).as_posix() for path in found]
    return {name: parsed(name) for name in names}


@pytest.fixture(scope="session")
def articles(pages) -> dict[str, BeautifulSoup]:
    """Address -> the content of each page of the book, without navigation (and without Sphinx's own index pages)."""
    return {name: page.select_one("article") for name, page in pages.items() if name.startswith("book/")}


def listed() -> list[str]:
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(toc)["format"] == "jb-book"
    return re.findall(r"^\s*-?\s*(?:file|root):\s*(\S+)", toc, re.MULTILINE)


def test_index_exists_and_leads_to_the_first_page(site):
    assert (site / "index.html").is_file() and (site / "book/index.html").is_file()


def test_everything_in_the_contents_has_a_page(site, chapters):
    names = listed()
    assert [name for name in names if not (site / f"{name}.html").is_file()] == []
    assert [stem for stem in chapters if f"book/{stem}" not in names] == []


def test_every_picture_has_words(articles):
    """A hashed path is no alternative text: at least 20 characters with a blank among them."""
    for name, article in articles.items():
        for image in article.select("img"):
            alt = image.get("alt", "").strip()
            said = len(alt) >= 20 and " " in alt and not re.search(r"_images/|\.(png|svg|jpe?g)$", alt)
            assert said, f"{name}: {image.get('src', '')[:60]} has the alternative text {alt!r}"


def test_every_stored_picture_is_on_its_page(articles, chapters):
    for stem, path in chapters.items():
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        cells = [cell for cell in cells if not {"remove-cell", "remove-output"} & set(cell.metadata.get("tags", []))]
        stored = sum("image/png" in out.get("data", {}) for cell in cells for out in cell.outputs)
        shown = [img for img in articles[f"book/{stem}.html"].select("img") if not img["src"].startswith("data:")]
        assert len([img for img in shown if "_images/" in img["src"]]) >= stored, stem


def test_chapters_open_in_colab_where_the_book_has_an_address(pages, chapters):
    """Each its own converted notebook on the branch that holds those; without a public address there is no button."""
    url, _ = repository(ROOT)
    there = url.replace("https://github.com/", "https://colab.research.google.com/github/")
    for name, page in pages.items():
        links = {a["href"] for a in page.select('a[href*="colab.research.google.com"]')}
        chapter = Path(name).stem in chapters and is_public(url)
        assert links == ({f"{there}/blob/{BRANCH}/{name.removesuffix('html')}ipynb"} if chapter else set()), name


def test_nothing_leads_to_an_address_that_is_none(pages):
    """Neither the repository nor its issues, Colab or the citation."""
    for name, page in pages.items():
        links = [tag["href"] for tag in page.select("[href]")]
        assert not [link for link in links if f"/{PLACEHOLDER}/" in link or f"%2F{PLACEHOLDER}" in link], name
        assert f"github.com/{PLACEHOLDER}" not in page.get_text(" "), name


def test_nothing_is_loaded_from_the_network(pages):
    for name, page in pages.items():
        sources = [tag[attribute] for kind, attribute in FILES for tag in page.select(f"{kind}[{attribute}]")]
        sources += [tag["href"] for tag in page.select("link[href]") if LOADING & set(tag.get("rel", []))]
        away = [source for source in sources if re.match(r"(https?:)?//", source)]
        assert not away, f"{name} loads {away}"


def test_what_pages_load_is_there(pages, site):
    for name, page in pages.items():
        sources = [tag[attribute] for kind, attribute in FILES for tag in page.select(f"{kind}[{attribute}]")]
        sources += [tag["href"] for tag in page.select('link[rel~="stylesheet"]')]
        for source in sources:
            if not source.startswith(("data:", "about:")):
                target = (site / name).parent / unquote(urlsplit(source).path)
                assert target.is_file(), f"{name} loads {source}, which is not there"


def test_style_sheets_load_nothing_from_the_network(site):
    for path in site.rglob("*.css"):
        found = re.search(r"""(url\(\s*["']?|@import\s+["'])(https?:)?//[^)"']+""", path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(site)} loads {found[0]}"


def test_links_within_the_book_lead_somewhere(articles, site):
    for name, article in articles.items():
        for link in article.select("a[href]"):
            parts = urlsplit(link["href"])
            if parts.scheme or not parts.path:
                continue
            assert ((site / name).parent / unquote(parts.path)).exists(), f"{name}: {link['href']} leads nowhere"


def test_no_raw_markup_is_left(articles):
    for name, article in articles.items():
        copy = BeautifulSoup(str(article), "html.parser")
        for tag in copy.select("pre, code, script, style, .math, .highlight, .sig"):
            tag.decompose()
        text = copy.get_text(" ")
        found = RAW.search(text)
        assert not found, f"{name} shows {found[0]!r}: …{text[max(0, found.start() - 60) : found.end() + 60]}…"


def test_no_warning_box_of_the_renderer_is_left(articles):
    for name, article in articles.items():
        assert not article.select(".system-message, .problematic, .stderr, .traceback"), name


def test_equations_are_drawn_by_the_bundled_mathjax(pages, site, chapters):
    for stem in chapters:
        page = pages[f"book/{stem}.html"]
        assert page.select("article .math"), f"{stem} has no equation"
        scripts = [tag["src"] for tag in page.select("script[src]") if "mathjax" in tag["src"].lower()]
        assert scripts and all((site / "book" / unquote(urlsplit(src).path)).is_file() for src in scripts), scripts


def test_records_are_printed_in_the_prose_and_hidden_as_outputs(articles, chapters):
    for stem, path in chapters.items():
        article = articles[f"book/{stem}.html"]
        outputs = " ".join(tag.get_text(" ") for tag in article.select(".cell_output"))
        assert not [item["id"] for item in collect(path)[0] if f"{item['id']} = " in outputs], stem
        prose = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
        glued = "\n".join(prose).count("{glue:text}")
        assert len(article.select(".pasted-text")) == glued > 0, stem


def test_ledger_and_cards_lead_to_each_other(articles, chapters):
    """Every claim of a paper has one row; the row's link and the card's link find each other."""
    ledger = articles["book/ledger.html"]
    for stem, path in chapters.items():
        page = articles[f"book/{stem}.html"]
        for item in collect(path)[1]:
            card, row = page.find(id=f"claim-{item['id']}"), ledger.find(id=f"claim-{item['id']}")
            assert card is not None, item["id"]
            if item["claim"]["paper"] is None:
                assert row is None and not card.select("a"), item["id"]
                continue
            assert card.select_one("a")["href"] == f"ledger.html#claim-{item['id']}"
            assert row.select_one("dd a")["href"] == f"{stem}.html#claim-{item['id']}"
            assert item["claim"]["statement"] in row.get_text(" ") and row["data-verdict"] in row.get_text(" ")


def test_pages_about_the_papers_show_verdicts(articles):
    for paper in PAPERS:
        article = articles[f"book/holds-{paper}.html"]
        links = {link["href"].split("#")[1] for link in article.select('a[href^="ledger.html#"]')}
        assert links and all(articles["book/ledger.html"].find(id=name) for name in links)


def test_status_lists_every_chapter_and_the_versions(articles, chapters):
    article = articles["book/status.html"]
    targets = {link["href"] for link in article.select("td a[href]")}
    assert {f"{stem}.html" for stem in chapters} <= targets
    assert "torch" in article.get_text(" ")
