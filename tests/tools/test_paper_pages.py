"""The pages about the papers: their tables are sound, and say what the claims and the chapters say."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import nbformat
import pytest

from acelib.lab.claims import PAPERS, claim_from, read_claims
from acelib.lab.ledger import claim_item
from tools.paper_pages import ROWS, STATES, corrections_markdown, holds_markdown, items_markdown, written

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    name: tomllib.loads((ROOT / f"book/{name}.toml").read_text()) for name in ("papers", "corrections", "paper-items")
}


def item(key, x, paper="ace"):
    test = dict(reading="r", inequality="x > 0")
    entry = dict(paper=paper, where="Sec. 1", statement="S.", printed="p", why="W.", pilots="none", tests=[test])
    return claim_item(claim_from(key, entry if paper else {"statement": "S.", "why": "W.", "tests": [test]}), {"x": x})


PARTS = [
    ("01-a", "First", [item("t-a", 1), item("t-b", 0)]),
    ("02-b", "Second", [item("t-c", 1, "icc"), item("t-d", 1, None)]),
]
ENTRY = {
    "title": "What holds",
    "credit": "Thanks.",
    "rows": [{"group": "Findings", "text": "One | two", "claims": ["t-a", "t-b"]}, {"text": "None"}],
}


def test_a_paper_s_page_shows_the_verdicts_of_its_claims():
    page = holds_markdown("ace", ENTRY, PARTS)
    (row,) = [line for line in page.splitlines() if line.startswith("| One")]
    assert row.startswith("| One \\| two |") and "✓ finding holds" in row and "✗ refuted" in row
    assert 'href="ledger.html#claim-t-b"' in row and "## Findings" in page and "| None |  |" in page


@pytest.mark.parametrize("key", ["t-c", "t-d", "t-z"])
def test_a_paper_s_page_takes_its_own_claims_only(key):
    with pytest.raises(ValueError, match=f"its own and judged by a chapter, got '{key}'"):
        holds_markdown("ace", ENTRY | {"rows": [{"text": "x", "claims": [key]}]}, PARTS)


def test_a_paper_s_page_is_short():
    with pytest.raises(ValueError, match="at most 15, got 16"):
        holds_markdown("ace", ENTRY | {"rows": [{"text": "x"}] * 16}, PARTS)


def test_corrections_lead_to_the_ledger_where_the_claim_still_stands():
    page = corrections_markdown(
        {k: dict(was="refuted", now="holds", why="A | B.") for k in ("t-a", "t-d", "old")}, PARTS
    )
    assert (
        'href="ledger.html#claim-t-a"' in page
        and "| `t-d`<br>refuted → **holds** | A \\| B. |" in page
        and "| `old`<br>" in page
    )


def test_items_lead_to_figures_and_equations():
    entries = [
        dict(item="Fig. 1", what="w", chapter="01-a", place="fig-a"),
        dict(item="Eq. 1", what="w", chapter="01-a", place="eq-a", state="partly"),
        dict(item="Prop. 1", what="w", state="absent", note="n"),
    ]
    page = items_markdown({"ace": entries}, {"01-a": "First"})
    assert (
        "{numref}`fig-a`" in page
        and "**in part** [01](01-a.ipynb), {eq}`eq-a`" in page
        and "| **not here** | n |" in page
    )


def test_nothing_is_written_where_there_are_no_tables(tmp_path):
    assert written(tmp_path, PARTS) == {}


def test_every_paper_has_a_page_whose_claims_exist():
    claims = read_claims()
    for paper in PAPERS:
        rows = TABLES["papers"][paper]["rows"]
        assert 0 < len(rows) <= ROWS
        for key in (key for row in rows for key in row.get("claims", ())):
            assert key in claims and claims[key].paper == paper, key


def test_every_claim_of_a_paper_is_on_its_page():
    shown = {key for entry in TABLES["papers"].values() for row in entry["rows"] for key in row.get("claims", ())}
    missing = [claim.id for claim in read_claims().values() if claim.theirs and claim.id not in shown]
    assert not missing


def test_corrections_say_three_things():
    for key, entry in TABLES["corrections"].items():
        assert set(entry) == {"was", "now", "why"} and all(text.strip() for text in entry.values()), key


def test_corrections_agree_with_the_ledger():
    """Where a claim still stands, the word for now is the verdict of its last full run."""
    judged = [item for path in (ROOT / "data/ledger").glob("*.json") for item in json.loads(path.read_text())["claims"]]
    now = {item["id"]: item["verdict"] if item["claim"]["paper"] else "ours" for item in judged}
    wrong = {key: entry["now"] for key, entry in TABLES["corrections"].items() if now.get(key, "") not in entry["now"]}
    assert not wrong


@pytest.mark.parametrize("paper", PAPERS)
def test_items_are_where_the_table_says(paper):
    """The figure or equation is in the chapter, and the figure's caption or the text names the paper's item."""
    for entry in TABLES["paper-items"][paper]:
        assert entry.get("state", "here") in STATES and entry["what"].strip(), entry
        if "chapter" not in entry:
            assert entry["state"] == "absent" and entry["note"].strip(), entry
            continue
        notebook = nbformat.read(ROOT / f"book/{entry['chapter']}.ipynb", 4)
        figures = [cell.metadata.get("mystnb", {}).get("figure", {}) for cell in notebook.cells]
        captions = {figure["name"]: figure["caption"] for figure in figures if "name" in figure}
        prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        place = entry.get("place", "")
        if place.startswith("fig-"):
            assert place in captions, entry
            assert f"{entry['item']} of the paper" in captions[place], entry
        elif place.startswith("eq-"):
            assert f"({place})" in prose or f":label: {place}" in prose, entry
        else:
            assert place and place in prose, entry
