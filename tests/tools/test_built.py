"""Paper and slides are made from built pages: what is left out, where links lead, and that nothing is cut."""

from __future__ import annotations

import os
import re
import shutil

import pytest
from bs4 import BeautifulSoup

from tools import pdf
from tools.built import anchor, article, relocate
from tools.chapters import ROOT
from tools.chromium import chromium

PAGE = """<html><body><article class="bd-article"><section id="one"><h1>One<a class="headerlink" href="#one">#</a></h1>
<p>See <a href="02-b.html#part">two</a>, <a href="02-b.html">all</a>, <a href="#one">here</a>,
<a href="ledger.html#x">row</a>, <a href="https://e.org/x">away</a>, <a href="../search.html">search</a>.</p>
<details class="admonition hide above-input"><pre>folded</pre></details>
<figure class="acelib-player"><button>Play</button><input type="range">
<img style="display:none" src="data:image/png;base64,AA==">
<img src="data:image/png;base64,BB=="></figure><img src="../_images/a%20b.png" alt="x">
<div class="solution dropdown admonition" id="s"><p>answer</p></div>
<pre>CODE</pre></section><script>1</script></article></body></html>"""
LONG = "value = " + " + ".join(f"name_{number}" for number in range(40)) + "  # the last words"


@pytest.fixture
def site(tmp_path):
    """Two built pages and what they need."""
    for folder in ("book", "_static", "_images"):
        (tmp_path / folder).mkdir()
    (tmp_path / "book/01-a.html").write_text(PAGE.replace("CODE", LONG))
    (tmp_path / "book/02-b.html").write_text(PAGE.replace("One", "Two").replace("CODE", "x" * 400))
    for name in ("print.css", "deck.css", "deck.js"):
        shutil.copy(ROOT / "book/_static" / name, tmp_path / "_static" / name)
    return tmp_path


def test_what_works_on_a_screen_only_is_left_out(site):
    found = article(site, "01-a")
    assert not found.select("button, input, script, details, a.headerlink") and "folded" not in found.get_text()
    assert len(found.select("figure.acelib-player img")) == 1 and "style" not in found.select_one("img").attrs
    assert "answer" in found.get_text() and "answer" not in article(site, "01-a", solutions=False).get_text()


def test_links_follow_their_pages_and_others_go_to_the_web_or_stay_words(site):
    found = article(site, "01-a")
    relocate(found, "01-a", site, beside=("01-a", "02-b"))
    links = {a.get_text(): a["href"] for a in found.select("a")}
    assert links == {"two": "#02-b--part", "all": "#02-b", "here": "#01-a--one", "away": "https://e.org/x"}
    assert found.select_one("section")["id"] == anchor("01-a", "one") and "row," in found.get_text()
    assert found.select("img")[-1]["src"] == (site / "_images/a b.png").resolve().as_uri()
    found = article(site, "01-a")
    relocate(found, "01-a", site, beside=("01-a",), base="https://b.org/")
    links = {a.get_text(): a["href"] for a in found.select("a")}
    assert links["row"] == "https://b.org/book/ledger.html#x" and "search" not in links


def test_a_page_that_was_not_built_is_an_error(site):
    with pytest.raises(ValueError, match="one that was built, got 'no'"):
        article(site, "no")


def test_the_whole_book_has_every_page_once_and_links_that_lead_somewhere(site):
    page = BeautifulSoup(pdf.whole_book(site, ["01-a", "02-b"], "T"), "html.parser")
    assert [main.get("id") for main in page.select("main")] == [None, "01-a", "02-b"]
    names = [tag["id"] for tag in page.select("[id]")]
    assert len(names) == len(set(names))
    assert page.select_one('a[href="#02-b"]') and page.find(id="02-b")


@pytest.fixture(scope="module")
def browser():
    try:
        with chromium(seconds=120) as driver:
            yield driver
    except RuntimeError as error:
        if os.environ.get("ACELIB_BROWSER") == "required":
            pytest.fail(str(error))
        pytest.skip(str(error))


def test_a_long_line_is_wrapped_on_paper_and_the_pdf_has_bookmarks_and_links(site, browser, tmp_path):
    """The reference is the PDF itself: its outline, its links, its tags; three paragraphs make one page."""
    path = tmp_path / "pdf/01-a.pdf"
    assert pdf.print_pdf(browser, pdf.handout(site, "01-a"), path, footer="a < b") == 1
    data = path.read_bytes()
    assert data.startswith(b"%PDF") and b"/Outlines" in data and b"e.org/x" in data and b"/StructTreeRoot" in data
    seen = browser.execute_script(
        "const range = document.createRange(), code = document.querySelector('pre').firstChild;"
        "range.setStart(code, code.length - 5); range.setEnd(code, code.length);"
        "return [range.getBoundingClientRect().right, document.body.getBoundingClientRect().right,"
        " document.querySelector('pre').getClientRects()[0].height]"
    )
    assert seen[0] <= seen[1] and seen[2] > 40, "the last word is inside the page, on a line of its own"


def test_what_would_be_cut_is_an_error(site, browser, tmp_path):
    """The same page with a style that does not wrap."""
    text = pdf.handout(site, "01-a").replace("</head>", "<style>pre {white-space: pre !important}</style></head>")
    with pytest.raises(ValueError, match=r"must fit the paper, got 1 too wide: \['PRE value"):
        pdf.print_pdf(browser, text, tmp_path / "x.pdf", footer="")
    assert not (tmp_path / "x.pdf").exists()


def test_a_missing_page_is_said(site, monkeypatch, capsys, browser):
    import contextlib

    monkeypatch.setattr(pdf, "chromium", lambda **_: contextlib.nullcontext(browser))
    assert pdf.main(["03-none", "--site", str(site), "--to", str(site / "pdf")]) == 1
    assert "got '03-none'; run `make book` first" in capsys.readouterr().out
    assert pdf.main(["02-b", "--site", str(site), "--to", str(site / "pdf")]) == 0
    assert re.search(r"02-b\.pdf: 1 pages, 0\.\d MB", capsys.readouterr().out)
