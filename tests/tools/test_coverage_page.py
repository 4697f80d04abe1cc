"""The tables of the coverage: made from a record whose numbers are known, and up to date where they are shown."""

import json
import re

import pytest

from tools.chapters import ROOT
from tools.coverage import page
from tools.coverage.run import find


def case(coverage, *, warned=0.0, interval=None, **more):
    readings = {"stderr": {"coverage": coverage, "error": 0.01}}
    if interval is not None:
        readings["interval"] = {"coverage": interval, "error": 0.02}
    return {"readings": readings, "warned": warned, "repetitions": 100, "values": 1, "truth": "A | B.", **more}


CONDITIONS = {"date": "2026-01-02", "device": "A processor", "torch": "2"}
RECORD = {
    "results": {
        "one": {
            "quantity": "first quantity",
            "conditions": CONDITIONS,
            "cases": {"good": case(0.95), "bad | worse": case(0.60, warned=0.25), "best": case(0.99)},
        },
        "two": {
            "quantity": "second quantity",
            "conditions": CONDITIONS,
            "cases": {"only": case(0.80, interval=0.94, warned=1.0)},
        },
    }
}


@pytest.mark.parametrize(
    "coverage, warned, kind",
    [
        *[(1.0, 0, "wide"), (0.971, 1, "wide"), (0.97, 0, "holds"), (0.93, 0, "holds"), (0.929, 1, "short")],
        *[(0.90, 0, "short"), (0.899, 0.49, "silent"), (0.899, 0.5, "said"), (0.0, 0, "silent")],
    ],
)
def test_each_coverage_has_its_mark(coverage, warned, kind):
    assert page.kind(case(coverage, warned=warned)) == kind


def test_the_results_own_interval_is_judged_where_there_is_one():
    assert page.kind(case(0.5, interval=0.95)) == "holds"
    assert page.read_off(case(0.5) | {"readings": {n: n for n in ("test", "stderr")}}) == "test"


def test_the_short_table_has_the_typical_and_the_worst_of_each_quantity():
    assert page.quantities(RECORD) == [
        ["first quantity", "3", "95 %", "60 %", "bad \\| worse", "25 %"],
        ["second quantity", "1", "94 %", "94 %", "only", "100 %"],
    ]
    summary = "\n".join(page.summary_lines(RECORD))
    counts = {words: re.search(rf"{words}</span> (\d)", summary)[1] for _, words, _ in page.KINDS.values()}
    assert list(counts.values()) == ["1", "2", "0", "0", "1"] and "All 4 worlds" in summary


def test_the_long_tables_have_a_row_for_each_world_and_as_many_cells_as_their_head():
    text = "\n".join(page.tables_lines(RECORD))
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert [len(table) - 2 for table in tables] == [3, 1]
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert "### First quantity" in text and "| 80.0 ± 1.0 | 94.0 ± 2.0 | 100 % |" in text
    assert "bad \\| worse" in text and "2026-01-02, A processor, torch 2" in text


def test_subjects_are_shown_as_the_method_builds_on_them():
    assert list(page.subjects({"results": dict.fromkeys(["new", "paths", "groups", "expectation"], {})})) == [
        *("expectation", "groups", "paths", "new")
    ]
    assert set(page.ORDER) == set(find(ROOT)), "give a new subject its place"


def test_a_page_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="README.md must hold"):
        page.quote(RECORD, "no marks")
    with pytest.raises(ValueError, match="book/coverage.md must hold"):
        page.fill(RECORD, " ".join(page.SUMMARY))


def test_what_is_shown_is_what_was_recorded():
    """The tables of README.md and of the book are what ``data/coverage.json`` makes; no number there is typed."""
    content = json.loads((ROOT / "data/coverage.json").read_text())
    for name, write in (("README.md", page.quote), ("book/coverage.md", page.fill)):
        text = (ROOT / name).read_text()
        assert write(content, text) == text, f"{name} is not what `make coverage` writes"
    assert "book/coverage" in (ROOT / "_toc.yml").read_text()


def test_every_mark_can_be_read():
    """White on the colour of each mark: a contrast of at least 5 to 1, by the formula of WCAG 2."""
    for _, _, colour in page.KINDS.values():
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        assert 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05) >= 5


ADVICE = {  # what the page says can be trusted, and from which coverage on
    "expectation": (["tanh network, 50 rows", "tanh network, 200 rows", "relu network, 50 rows"], 0.93),
    "groups": (["20 groups of 20 rows", "50 groups of 20 rows"], 0.92),
    "effects": (["curve, tanh network, uniform inputs, 200 rows", "attribute, direct, 200 rows"], 0.93),
    "domains": (["uniform input, domain given, 500 rows", "rain-like input, domain given, 500 rows"], 0.93),
    "sobol": (["Ishigami function, N = 4096", "G function of Sobol', N = 4096"], 0.93),
    "paths": ([f"{law}, each node, 100 inputs" for law in ("normal", "skewed (exponential)")], 0.93),
}


@pytest.mark.parametrize("name", ADVICE)
def test_the_advice_follows_from_what_was_counted(name):
    """Within three standard errors of the count."""
    cases = json.loads((ROOT / "data/coverage.json").read_text())["results"][name]["cases"]
    for world in ADVICE[name][0]:
        reading = page.read_off(cases[world])
        assert reading["coverage"] + 3 * reading["error"] >= ADVICE[name][1], world
