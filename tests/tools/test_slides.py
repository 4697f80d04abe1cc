"""Slides are taken from a page: a page made by hand, whose title, question, claim and ideas can be read off."""

from __future__ import annotations

import re
import tomllib

import pytest
from bs4 import BeautifulSoup

from tools import slides
from tools.chapters import ROOT, find_chapters

PAGE = """<html><body><article><section id="t"><h1><span>1.</span> Title<a class="headerlink" href="#t">#</a></h1>
<p>Story. Who did it? “And <em>why</em>?” she asks. A reason.</p>
<p><strong>Try it first.</strong> Which one moves?</p>
CLAIM
<section id="a"><h2>A</h2><div class="math" id="equation-eq-a">\\[x\\]</div>
<figure id="fig-a"><img alt="words" src="../_images/a.png"><figcaption>
<p>See <a href="02-b.html#x">b</a>, <a href="#a">A</a>.</p>
</figcaption></figure><div id="def-a">A definition</div><table><tr><td>cell</td></tr></table></section>
<section id="key-ideas"><h2>Key ideas</h2>IDEAS</section></section></article></body></html>"""
CLAIM = "<section id='the-claim'><h2>The claim</h2><p><strong>All is <em>well</em>.</strong></p></section>"
IDEAS = "<ul><li>One <em>idea</em>.</li></ul>"
WORDS = {"wrong": "It is < so.", "right": "It is not.", "place": "fig-a", "ask": "And you?"}
ENTRIES = [{"head": "H", "say": ["a < b"]}, {"head": "E", "show": "eq-a"}, {"head": "D", "show": "#def-a"}]


@pytest.fixture
def built(tmp_path):
    """Writes the page with some claim and ideas and returns the folder of the site."""

    def write(claim=CLAIM, ideas=IDEAS):
        (tmp_path / "book").mkdir(exist_ok=True)
        (tmp_path / "book/01-a.html").write_text(PAGE.replace("CLAIM", claim).replace("IDEAS", ideas))
        return tmp_path

    return write


def test_a_deck_has_question_claim_own_slides_misconception_ideas_and_discussion(built):
    site = built()
    page = BeautifulSoup(slides.deck(site, "01-a", ENTRIES, WORDS), "html.parser")
    found = page.select("section.slide")
    assert [slide.select_one("h1, h2").get_text() for slide in found] == [
        *("1. Title", "The claim", "H", "E", "D", "Often thought", "Key ideas", "To discuss")
    ]
    assert [slide["id"] for slide in found] == [str(number) for number in range(1, 9)]
    assert found[0].p.get_text() == "And why?" and "All is well." in found[1].get_text()
    assert found[2].li.get_text() == "a < b" and found[3].select_one(".math") and "A definition" in found[4].get_text()
    assert "It is < so." in found[5].get_text() and found[5].img["alt"] == "words"
    assert found[6].li.get_text() == "One idea." and "And you?" in found[7].get_text()


def test_a_deck_stands_beside_the_pages_and_names_no_folder_of_this_machine(built):
    site = built()
    text = slides.deck(site, "01-a", ENTRIES, WORDS)
    page = BeautifulSoup(text, "html.parser")
    assert str(site) not in text and "file://" not in text and "http" not in text
    assert page.img["src"] == "../_images/a.png"
    assert [link["href"] for link in page.select("a")] == ["../book/02-b.html#x"]
    assert page.select_one('link[href="../_static/deck.css"]') and page.select_one('script[src="../_static/deck.js"]')


@pytest.mark.parametrize(
    "claim, said",
    [
        ("<p><strong>The claim of this chapter, in one sentence.</strong> A <em>b</em>.</p>", "A <em>b</em>."),
        ("<p><strong>The claim, in one sentence:</strong> c.</p>", "c."),
        (f"<p>More. The claim in one sentence: <strong>{'word ' * 20}</strong></p>", "word " * 20),
    ],
)
def test_a_claim_is_found_in_a_paragraph_too(built, claim, said):
    assert slides.claim_of(slides.article(built(claim), "01-a")) == said


def test_ideas_in_paragraphs_are_begun_with_whole_sentences(built):
    long = "A sentence that is long enough to stand upon a slide alone, is it not?"
    page = slides.article(built(ideas=f"<p>Short. {long} More.</p><p>Only one.</p>"), "01-a")
    assert slides.key_ideas(page) == [f"Short. {long}", "Only one."]


def test_what_a_slide_shows_must_be_there_and_there_is_a_least_and_a_most(built):
    site = built()
    with pytest.raises(ValueError, match="a part of its page, got 'fig-none'"):
        slides.deck(site, "01-a", [*ENTRIES, {"head": "X", "show": "fig-none"}], WORDS)
    with pytest.raises(ValueError, match="must be 8 to 14, got 7"):
        slides.deck(site, "01-a", ENTRIES[:2], WORDS)
    with pytest.raises(ValueError, match="must state its claim"):
        slides.deck(built(claim=""), "01-a", ENTRIES, WORDS)


def test_every_chapter_has_its_slides_with_definition_control_and_limits():
    """No number is typed: digits come from the page."""
    table = tomllib.loads((ROOT / "book/slides.toml").read_text())
    assert list(table) == [path.stem for path in find_chapters(ROOT)]
    for stem, entries in table.items():
        heads = " ".join(entry["head"] for entry in entries).lower()
        assert "control" in heads and "breaks" in heads, stem
        typed = heads + " ".join(line for entry in entries for line in entry.get("say", ()))
        assert not re.search(r"\d", typed), stem
        assert any(entry.get("show", "").startswith("fig-") for entry in entries), stem


def test_decks_are_written_beside_the_pages_or_the_reason_is_said(built, capsys):
    site = built()
    for name in ("slides.toml", "course.toml"):
        (site / "book" / name).write_text(
            '[[01-a]]\nhead = "H"\nsay = ["x"]\n' * 3
            if name == "slides.toml"
            else '[chapters.01-a]\nwrong = "W."\nright = "R."\nplace = "fig-a"\nask = "A?"\n[chapters.02-b]\n'
        )
    assert slides.main(["01-a", "--site", str(site)], site) == 0
    assert "01-a.html: 8 slides" in capsys.readouterr().out and (site / "slides/01-a.html").is_file()
    assert slides.main(["02-b", "--site", str(site)], site) == 1
    assert "got '02-b'; run `make book` first" in capsys.readouterr().out
