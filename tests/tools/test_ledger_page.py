"""The ledger and status pages say what the chapters recorded. Tables are checked cell by cell."""

from __future__ import annotations

import nbformat
import pytest

from acelib.lab.ledger import PROVENANCE_MIME, claim_item, record_item, render_claim
from tools.ledger_page import ledger_markdown, status_markdown


def claimed(key, holds=True, **more):
    texts = dict(source="Paper, Sec. 1", paper="1 | 2", inequality="a < b", reason="Why.")
    return claim_item(key, f"Statement of {key}", **texts, ours=1.25, tol=0.01, holds=holds, **more)


def notebook(*items, footer=None, seconds=None):
    data = [render_claim(item) for item in items] + ([{PROVENANCE_MIME: footer}] if footer else [])
    outputs = [nbformat.v4.new_output("display_data", data=d) for d in data]
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=outputs)])
    if seconds is not None:
        node.metadata["papermill"] = {"duration": seconds}
    return node


FACTS = {
    "seed": 3,
    "device": "A | B",
    "versions": {"torch": "2"},
    "data": None,
    "seconds": 61.4,
    "profile": "full",
    "threads": 4,
}


def rows(page, word):
    return [line for line in page.splitlines() if line.startswith("|") and word in line]


def test_ledger_counts_and_lists_every_claim():
    chapters = [
        ("01-a", "First", notebook(claimed("t-a"), claimed("t-b", False))),
        ("02-b", "Second", notebook(claimed("t-c", True, correction="the *sign*"))),
        ("03-c", "Nothing claimed", notebook()),
    ]
    page = ledger_markdown(chapters)
    counts = [line.rsplit("|", 2)[1].strip() for line in page.splitlines() if line.startswith("| <span")]
    assert counts == ["1", "1", "1", "0"] and rows(page, "| all | 3 |")
    assert "[To the chapter](01-a.ipynb)" in page and "## Second" in page and "Nothing claimed" not in page
    (row,) = rows(page, "`t-c`")
    assert "Corrected: the \\*sign\\*" in row and "reproduced with a correction" in row and "1.25" in row
    assert "1 \\| 2" in row and "Test: a \\< b" in row, "signs of Markdown are escaped"
    assert row.replace("\\|", "").count("|") == 5


def test_ledger_puts_full_results_beside_quick_ones():
    """A claim of both runs gets two rows and is counted once; one of the full run alone gets one row and is counted."""
    full = {
        "chapter": "01-a",
        "claims": [claimed("t-a", False), claimed("t-z", None)],
        "provenance": FACTS,
        "records": [record_item("t-r", 2.5, tol=0.1, unit="s")],
    }
    page = ledger_markdown([("01-a", "First", notebook(claimed("t-a")))], [full])
    quick_row, full_row = rows(page, "`t-a`")
    assert "(full run)" not in quick_row and "✓ reproduced" in quick_row
    assert "(full run)" in full_row and "not reproduced" in full_row
    assert len(rows(page, "`t-z`")) == 1 and rows(page, "| all | 2 |")
    assert "## Full run of 01-a" in page and "61 seconds" in page and rows(page, "| `t-r` | 2.5 s | 0.1 |")


def test_ledger_refuses_an_id_in_two_chapters():
    both = [(stem, stem, notebook(claimed("t-a"))) for stem in ("01-a", "02-b")]
    with pytest.raises(ValueError, match="used once, got 't-a' in 01-a and in 02-b"):
        ledger_markdown(both)


def test_status_lists_chapters_and_versions():
    page = status_markdown(
        [("01-a", "First", notebook(footer=FACTS, seconds=12.34)), ("02-b", "Second", notebook())], {"torch": "2.13.0"}
    )
    assert rows(page, "| [First](01-a.ipynb) | 12.3 | full | 3 | A \\| B | 4 | – |")
    assert rows(page, "| [Second](02-b.ipynb) | – | – | – | – | – | – |")
    assert rows(page, "| torch | 2.13.0 |")
