"""The front door: what it says is what the ledger, the chapters and the bibliography say."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from PIL import Image

from acelib.lab.claims.cards import heading
from tools import card, front, sitemap
from tools.chapters import ROOT, find_chapters, read_notebook, title
from tools.ledger_page import judged_items

README = (ROOT / "README.md").read_text()
INDEX = (ROOT / "book/index.md").read_text()


@pytest.fixture(scope="module")
def content():
    notebooks = {path.stem: read_notebook(path) for path in find_chapters(ROOT)}
    return [(stem, title(notebook, stem), notebook) for stem, notebook in notebooks.items()]


@pytest.fixture(scope="module")
def full():
    return [json.loads(path.read_text()) for path in sorted((ROOT / "data/ledger").glob("*.json"))]


def masked(text):
    """Without the hours, which move a little with every edit of a chapter."""
    return re.sub(r"About \d+ hours of reading, and about \d+ of exercises", "About", text)


def test_the_readme_says_what_the_press_would_write():
    """After `make full` or a new chapter: ``python -m tools.front``."""
    assert masked(README) == masked(front.readme(README))


def test_the_hours_are_about_right(content):
    (said,) = re.findall(r"About (\d+) hours of reading, and about (\d+) of exercises", README)
    assert all(abs(int(a) - b) <= max(1, 0.2 * b) for a, b in zip(said, front.hours(content), strict=True))


def test_the_verdicts_are_counted_one_by_one(content, full):
    """Counted again from the headings of the cards, claim by claim."""
    parts = judged_items(content, full)
    found = Counter(heading(i)[0] for _, _, items in parts for i in items if i["claim"]["paper"] is not None)
    said = " ".join(front.findings(content, full, 3))
    numbers = list(map(int, re.findall(r"\d+", said)))
    untested = found["cannot be tested here"]
    order = ("number reproduced", "finding holds", "holds under a condition", "refuted")
    assert numbers == [found.total(), found.total() - untested, *(found[name] for name in order), 3]
    assert found["not judged yet"] == 0


def test_the_front_page_lists_every_chapter_in_order_and_its_minutes(content, full):
    page = front.front_page(INDEX, ROOT, content, full)
    links = re.findall(r"^(\d+)\. \[.*?\]\((.*?)\.ipynb\).*\((\d+) minutes; exercises (\d+)\)\*$", page, re.M)
    assert [(int(number), stem) for number, stem, *_ in links] == [
        (number, stem) for number, (stem, *_) in enumerate(content, 1)
    ]
    for caption in ("I · Attribution as effect", "IV · Inside and beyond"):
        assert f"\n**{caption}**\n" in page
    reading, tasks = (sum(int(link[column]) for link in links) / 60 for column in (2, 3))
    assert (round(reading), round(tasks)) == front.hours(content)


def test_a_page_without_marks_is_left_alone_and_a_chapter_needs_a_line(content, full):
    assert front.front_page("# Home\n", ROOT, content, full) == "# Home\n"
    with pytest.raises(ValueError, match="a line for every chapter, got none for '01-attribution-bias'"):
        front.chapter_list(content, {}, {})


def test_the_bibtex_has_the_book_and_the_three_papers(tmp_path):
    """The address stands in it only where it is somebody's."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book/references.bib").write_text((ROOT / "book/references.bib").read_text())
    for owner, there in (("OWNER", False), ("someone", True)):
        config = f"title: T\nauthor: A\ncopyright: 2026\nrepository:\n  url: https://github.com/{owner}/b\n"
        (tmp_path / "_config.yml").write_text(config)
        text = "\n".join(front.citation(tmp_path))
        assert re.findall(r"^@\w+\{(.*),$", text, re.M) == ["causal-attribution-book", *front.PAPERS_CITED]
        assert text.count("{") == text.count("}") and ("github.com/someone/b" in text) == there and "OWNER" not in text


def test_the_card_has_the_size_of_a_social_card_and_the_two_answers(tmp_path):
    """By hand: (3 - 2)(2 + b)/2 for b = 5 and 100; (3 - 2) times the mean price, in truth 50, whatever the house."""
    credit = card.credits_of_the_area(4000)
    assert [value for value, _ in credit["integrated gradients"]] == pytest.approx([3.5, 51.0])
    (one, error), (two, _) = credit["average causal effect"]
    assert one == pytest.approx(two) and abs(one - 50) < 4 * error
    drawn = card.draw_card(tmp_path / "card.png", rows=200)
    for path in (drawn, card.CARD):
        with Image.open(path) as picture:
            assert picture.size == (1200, 630)
        assert path.stat().st_size < 200_000


def test_the_site_map_is_written_where_there_is_an_address(tmp_path):
    site = tmp_path / "html"
    (site / "book").mkdir(parents=True)
    for name in ("index.html", "search.html", "book/a&b.html"):
        (site / name).write_text("x")
    config = tmp_path / "_config.yml"
    config.write_text("repository:\n  url: https://github.com/someone/b\n")  # where the code is, not the pages
    assert sitemap.map_site(site, tmp_path) is None and not (site / "sitemap.xml").exists()
    config.write_text("html:\n  baseurl: https://e.org/x\n")
    text = sitemap.map_site(site, tmp_path).read_text()
    assert re.findall("<loc>(.*)</loc>", text) == ["https://e.org/x/book/a&amp;b.html", "https://e.org/x/index.html"]


def test_the_readme_leads_to_the_published_pages_once_there_are_any(monkeypatch):
    assert "Read the book here" not in front.readme(README)
    monkeypatch.setattr(front, "published", lambda root: "https://e.org/x/")
    led = front.readme(README)
    assert "[Read the book here](https://e.org/x/)." in led and front.readme(led) == led
