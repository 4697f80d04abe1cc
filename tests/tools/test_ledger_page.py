"""The ledger and status pages say what the chapters recorded. Tables are checked cell by cell."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from acelib.lab.claims import claim_from
from acelib.lab.ledger import PROVENANCE_MIME, claim_item, render_claim
from tools.chapters import find_chapters
from tools.ledger_page import counts, judged_items, ledger_markdown, status_markdown


def claimed(key, x=1.0, profile="full", full=None, **changes):
    """A claim that holds where x > 0, with its numbers."""
    entry = dict(
        paper="ace",
        where="Sec. 1",
        kind="finding",
        statement=f"Statement of {key}",
        printed="1 | 2",
        why="a < b & c.",
        pilots="none",
        condition="where it rains",
        tests=[dict(reading="as it stands", inequality="x > 0")],
    )
    claim = claim_from(key, entry | changes)
    return claim_item(claim, {"x": x} if claim.tests else None, tol=0.01, profile=profile, full=full)


def saved(*items, chapter="01-a"):
    """A full run as it lies in data/ledger."""
    claims = [{name: value for name, value in item.items() if name != "full"} for item in items]
    return {"chapter": chapter, "claims": claims, "records": [], "provenance": FACTS}


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


def ledger(*chapters, full=()):
    page = ledger_markdown(chapters, full)
    html = page.split("```{raw} html")[1].rsplit("```", 1)[0]
    return page, BeautifulSoup(html, "html.parser")


def test_ledger_has_one_row_a_claim_with_the_verdict_of_the_full_run():
    """The quick run says the opposite of the full one for t-a; t-c has only a quick run; ours is not counted."""
    ours = claimed("t-d", paper=None, profile="quick")
    first = notebook(claimed("t-a", -1.0, "quick"), claimed("t-b", profile="quick"), ours)
    second = notebook(claimed("t-c", profile="quick"), claimed("t-e", profile="quick", tests=[]))
    chapters = [("01-a", "First", first), ("02-b", "Second", second), ("03-c", "Nothing claimed", notebook())]
    page, html = ledger(*chapters, full=[saved(claimed("t-a"), claimed("t-b", -1.0, kind="finding"))])
    rows_of = {row["id"]: row for row in html.select("details.ledger-row")}
    assert {key: row["data-verdict"] for key, row in rows_of.items()} == {
        "claim-t-a": "finding holds",
        "claim-t-b": "refuted",
        "claim-t-c": "not judged yet",
        "claim-t-e": "cannot be tested here",
    }
    assert "the smaller run of this page gives: refuted" in rows_of["claim-t-a"].get_text(" ")
    assert rows_of["claim-t-c"].select_one("dd a")["href"] == "02-b.html#claim-t-c"
    assert "1 | 2" in rows_of["claim-t-a"].get_text(" ") and "a < b & c." in rows_of["claim-t-a"].get_text(" ")
    assert "Nothing claimed" not in page
    assert [line.rsplit("|", 2)[1].strip() for line in page.splitlines() if line.startswith("| <span")] == list(
        "010111"
    )
    assert rows(page, "| all | 4 | 4 |")


def test_ledger_can_be_filtered_by_verdict_paper_and_chapter():
    items = claimed("t-a"), claimed("t-b", -1.0, paper="icc")
    _, html = ledger(("01-a", "First", notebook(*items)), full=[saved(*items)])
    options = {s["name"]: [o["value"] for o in s.select("option")] for s in html.select("select.ledger-filter")}
    assert options == {
        "verdict": ["", "finding holds", "refuted"],
        "paper": ["", "ace", "icc"],
        "chapter": ["", "01-a"],
    }
    (first, second) = html.select("details.ledger-row")
    assert (first["data-paper"], second["data-paper"], first["data-chapter"]) == ("ace", "icc", "01-a")
    assert "http" not in str(html), "it works offline"


def test_ledger_says_how_many_tests_would_fail_by_chance():
    test = dict(reading="r", inequality="x > 0", chance=0.05)
    item = claimed("t-a", tests=[test, test | {"role": "control"}, dict(reading="s", inequality="x > 0")])
    page, _ = ledger(("01-a", "First", notebook(item)), full=[saved(item)])
    assert "are 3 tests. 2 of them are statistical" in page and "0.1 of those would be expected" in page


def test_the_counts_are_those_of_the_full_runs_on_file():
    """The ledger of the stored chapters counts what data/ledger says, claim by claim."""
    root = Path(__file__).resolve().parents[2]
    full = [json.loads(path.read_text()) for path in sorted((root / "data/ledger").glob("*.json"))]
    chapters = [(path.stem, path.stem, nbformat.read(path, 4)) for path in find_chapters(root)]
    shown = [item for _, _, items in judged_items(chapters, full) for item in items if item["claim"]["paper"]]
    found = {paper: {v: n for v, n in row.items() if n} for paper, row in counts(shown).items()}
    expected = {paper: {} for paper in found}
    for entry in full:
        for item in entry["claims"]:
            if item["claim"]["paper"]:
                row = expected[item["claim"]["paper"]]
                row[item["verdict"]] = row.get(item["verdict"], 0) + 1
    assert found == expected


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
