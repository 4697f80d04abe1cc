"""Numbers of results come from records: one that is typed into the prose must stand in ``typed.toml``, with a reason.

Judged are numbers with a decimal point or a percent sign and at least two significant digits, in markdown cells and in
captions. Equations are worked by hand and not judged, unless they hold one number and nothing else; nor are code,
references such as "Sec. 4.5", whole numbers, and the words that describe a picture.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tools.chapters import ROOT, find_chapters, read_notebook

LIST = Path(__file__).with_name("typed.toml")
CHAPTERS = find_chapters(ROOT)
LEFT_OUT = re.compile(
    r"\{[\w:]+\}`[^`]*`|`[^`]*`|^:\w+:.*?$|\$\$.*?\$\$|\$(?P<number>[−-]?\d[\d,.]*)\$|\$[^$]*\$", re.S | re.M
)
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+(?!\.?\d)(?:\s?%)?|\s?%)")
REFERENCE = re.compile(r"\b(Sec(?:tion)?|Definition|Corollary|Theorem|Proposition|Fig|Table|Python)\.? ([\d.]+ to )?$")


def significant(number: str) -> int:
    """How many digits of a number say something: 0.04 and 20 % have one, 0.10 and 95 % two."""
    digits = re.sub(r"\D", "", number).lstrip("0")
    return len(digits if "." in number else digits.rstrip("0"))


def typed(text: str, phrases: list[str]) -> tuple[list[str], set[str]]:
    """Return the judged numbers of a text with the words around them, and the phrases that excuse others."""
    text = re.sub(r"\s+", " ", LEFT_OUT.sub(lambda hit: hit["number"] or "\0", text))
    found, used = [], set()
    for hit in NUMBER.finditer(text):
        if significant(hit[0]) < 2 or REFERENCE.search(text[: hit.start()]):
            continue
        around = {p for p in phrases for at in re.finditer(re.escape(p), text) if at.start() <= hit.start() < at.end()}
        if not around:
            found.append(text[max(0, hit.start() - 50) : hit.end() + 30].replace("\0", "…"))
        used |= around
    return found, used


def texts(notebook) -> list[str]:
    """The prose of a chapter, cell by cell: markdown and captions."""
    captions = [cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for cell in notebook.cells]
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"] + list(filter(None, captions))


@pytest.fixture(scope="module")
def listed():
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_numbers_of_results_come_from_records(path, listed):
    own, common = listed.get(path.stem, {}), listed["everywhere"]
    found, used = [], set()
    for text in texts(read_notebook(path)):
        more, by = typed(text, [*own, *common])
        found, used = found + more, used | by
    remedy = f"glue a record of it; what is no result is listed with its reason in {LIST.name}"
    assert found == [], remedy
    assert sorted(set(own) - used) == [], f"no longer in the chapter: take it out of {LIST.name}"


def test_every_reason_is_one_and_every_chapter_of_the_list_is_there(listed):
    assert set(listed) - {path.stem for path in CHAPTERS} == {"everywhere"}
    assert all(len(reason.split()) >= 2 for entries in listed.values() for reason in entries.values())


CASES = {
    "The gap is 0.0371 in all.": ["The gap is 0.0371 in all."],
    "It holds in 93 % of the runs.": ["It holds in 93 % of the runs."],
    "It holds in 93\n% of 1,234.5 runs.": ["It holds in 93 % of 1,234.5 runs."] * 2,
    "So it is $0.0371$ at last.": ["So it is 0.0371 at last."],
    "It is −2.25, or $-2.25$.": ["It is −2.25, or -2.25."] * 2,
    "The gap is {glue:text}`iris-gap:.4f`, of 150 flowers.": [],
    "With $0.5 + 0.25 = 0.75$ and $$x = 1.25$$ it is done.": [],
    "See Sec. 4.5, Section 4.2 to 4.4 and Definition 4.1; in code `x = 0.125`.": [],
    "In 20 % of the cases, or 0.2, and 100 %; version 1.2.3 of v1.25.": [],
    "A 95 % interval, in 95 % of the cases.": ["A 95 % interval, in 95 % of the cases."],
}


@pytest.mark.parametrize("text", CASES)
def test_what_is_judged(text):
    """Hand-written sentences: a result that is typed is found, a glued one, an equation and a reference are not."""
    assert typed(text, ["95 % interval"])[0] == CASES[text]
