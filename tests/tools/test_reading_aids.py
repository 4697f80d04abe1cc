"""What the Sphinx extension computes: widths from the resolution in the file, summaries from the document's tree."""

import pytest
from docutils.core import publish_doctree
from PIL import Image

from tools import reading_aids

CHAPTER = """
Title
=====

A story with a kiosk, a lake and quite a few parasols. It goes on and on.

The claim, in one sentence
--------------------------

**{claim}**
"""


@pytest.mark.parametrize(("density", "shown"), [(None, 400), (72, 400), (100, 400), (200, 200)])
def test_a_figure_is_as_wide_as_it_was_drawn(tmp_path, density, shown):
    """400 pixels: at 100 dots per inch and below, or where the file is silent, one pixel each; at 200 two."""
    path = tmp_path / "figure.png"
    Image.new("RGB", (400, 10)).save(path, **({"dpi": (density, density)} if density else {}))
    assert reading_aids.drawn_width(path) == shown


def test_a_page_is_summed_up_by_its_claim_or_its_first_sentences():
    claim = "An effect is an average over a population, and it has an error bar like every other average."
    assert reading_aids.summary(publish_doctree(CHAPTER.format(claim=claim))) == claim
    story = CHAPTER.partition("The claim")[0]
    assert reading_aids.summary(publish_doctree(story)).startswith("A story with a kiosk")
    assert reading_aids.summary(publish_doctree("Short.")) == "" == reading_aids.summary(None)


def test_a_summary_ends_with_a_sentence_or_a_word():
    sentences = "One sentence of fifty letters, more or less, is here. " * 6
    said = reading_aids.summary(publish_doctree(CHAPTER.format(claim=sentences.strip())))
    assert said.endswith("is here.") and len(said) <= reading_aids.LENGTH
    endless = "word " * 80
    said = reading_aids.summary(publish_doctree(CHAPTER.format(claim=endless.strip())))
    assert said.endswith("word…") and len(said) <= reading_aids.LENGTH


def test_docstrings_keep_their_colons_and_initials():
    lines = ["(m,) shares: 0 all, 1 none.", "", "R. A. Fisher, Metron 3: the distribution, 1924."]
    reading_aids.hide_colons(None, "property", "p", None, None, lines)
    assert ":" not in lines[0] and ":" in lines[2]
    reading_aids.show_colons(None, "property", "p", None, None, lines)
    assert lines == ["(m,) shares: 0 all, 1 none.", "", "\\R. A. Fisher, Metron 3: the distribution, 1924."]
    untouched = ["a: b"]
    reading_aids.hide_colons(None, "method", "m", None, None, untouched)
    assert untouched == ["a: b"]


def test_the_day_of_the_last_change_needs_a_repository(tmp_path):
    assert reading_aids.last_change(tmp_path / "absent") == ""
