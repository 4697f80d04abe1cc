"""The teaching guide: what it names exists, and its minutes are those of the chapters, added up again here."""

from __future__ import annotations

import re
import tomllib

import pytest
from docutils.nodes import make_id

from tools.chapters import ROOT, find_chapters, read_notebook, title
from tools.course_page import Chapters, homework, plan_lines, teaching_page

TABLE = tomllib.loads((ROOT / "book/course.toml").read_text())
SESSIONS = [session for plan in TABLE["plans"].values() for session in plan["sessions"]]


@pytest.fixture(scope="module")
def content():
    notebooks = {path.stem: read_notebook(path) for path in find_chapters(ROOT)}
    return [(stem, title(notebook, stem), notebook) for stem, notebook in notebooks.items()]


@pytest.fixture(scope="module")
def guide(content):
    return teaching_page((ROOT / "book/teaching.md").read_text(), ROOT, content)


def test_every_chapter_has_its_words(content):
    assert list(TABLE["chapters"]) == [stem for stem, *_ in content]
    for stem, entry in TABLE["chapters"].items():
        assert set(entry) == {"line", "able", "wrong", "right", "place", "ask"}, stem
        assert len(entry["able"]) >= 2 and entry["ask"].endswith("?") or entry["ask"].endswith("."), stem


def test_the_courses_have_six_and_twelve_sessions_and_the_long_one_the_whole_book(content):
    six, twelve = TABLE["plans"]["six"]["sessions"], TABLE["plans"]["twelve"]["sessions"]
    assert (len(six), len(twelve)) == (6, 12)
    assert [source for session in twelve for source in session["read"]] == [[stem] for stem, *_ in content]


def test_no_session_comes_before_what_it_needs():
    """In each course a needed chapter is read in part in an earlier session."""
    for plan in TABLE["plans"].values():
        seen = set()
        for session in plan["sessions"]:
            assert set(session["needs"]) <= seen, session["title"]
            seen |= {source[0] for source in session["read"]}


def test_exercises_exist_and_belong_to_a_chapter_of_the_session(content):
    """Labels are read again, from the fences; the long course leaves none out and gives none twice."""
    labels = {
        label: stem
        for stem, _, notebook in content
        for cell in notebook.cells
        for label in re.findall(r"^:label: (ex-\S+)", cell.source, re.M)
    }
    chapters = Chapters(content)
    for plan in TABLE["plans"].values():
        given = []
        for session in plan["sessions"]:
            stems = {source[0] for source in session["read"]}
            given += (here := [*session["exercises"], *homework(session, chapters)])
            assert {labels[label] for label in here} <= stems, session["title"]
        assert len(given) == len(set(given))
    assert set(given) == set(labels)


def test_a_session_fits_into_ninety_minutes(content):
    """Twenty-five minutes are for questions and the key ideas; the reading is done at home."""
    chapters = Chapters(content)
    for session in SESSIONS:
        assert chapters.doing(session["exercises"]) <= 65 and chapters.reading(session["read"]) <= 75, session["title"]


def test_links_lead_to_headings_and_figures(guide, content):
    headings = {
        stem: {make_id(h) for cell in notebook.cells for h in re.findall(r"^##? (.+)$", cell.source, re.M)}
        for stem, _, notebook in content
    }
    links = re.findall(r'href="([\w-]+)\.html#([\w-]+)"', guide)
    assert links and [link for link in links if link[1] not in headings[link[0]]] == []
    figures = {cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for *_, n in content for cell in n.cells}
    assert set(re.findall(r"\{numref\}`([^`]+)`", guide)) <= figures
    pages = set(re.findall(r"\]\(([\w-]+)\.(?:ipynb|md)\)", guide))
    assert pages <= {stem for stem, *_ in content} | {path.stem for path in (ROOT / "book").glob("*.md")}


def test_the_minutes_of_the_guide_add_up(guide, content):
    """Literally: the words and lines of each printed row at the printed rule, the rows of each printed sum."""
    words, lines = map(int, re.search(r"rule: (\d+) words .* (\d+) lines of", guide).groups())
    tables = guide.split("## Minutes, section by section")[1].split("\n:::{dropdown} ")[1:]
    assert len(tables) == len(content)
    for table in tables:
        whole, tasks = map(int, re.search(r"^\d+\. .*: (\d+) minutes of reading, (\d+) of exercises", table).groups())
        rows = re.findall(r"^\| <a .*\| (\d+) \| (\d+) \| ([\d.]+) \|$", table, re.M)
        assert rows
        for row in rows:
            assert float(row[2]) == pytest.approx(int(row[0]) / words + int(row[1]) / lines, abs=0.06)
        assert whole == pytest.approx(sum(float(row[2]) for row in rows), abs=0.5 + 0.05 * len(rows))
        assert tasks == sum(map(int, re.findall(r"^\| \{ref\}`ex-.*\| (\d+) \|$", table, re.M)))


def test_the_sums_of_a_course_are_those_of_its_rows(guide):
    for part in re.split(r"^## ", guide, flags=re.M):
        rows = re.findall(r"^\| \d+\. .*\| (\d+) min \| (\d+) min \| (\d+) min \|$", part, re.M)
        if rows:
            said = re.search(r"^\| together \| ([\d.]+) h \| ([\d.]+) h \| ([\d.]+) h \|$", part, re.M).groups()
            assert list(map(float, said)) == pytest.approx(
                [sum(map(int, c)) / 60 for c in zip(*rows, strict=True)], abs=0.051
            )


@pytest.mark.parametrize("change", [{"read": [["01-attribution-bias", "Nowhere"]]}, {"homework": ["ex-no"]}])
def test_a_name_that_does_not_exist_is_an_error(content, change):
    session = {"title": "T", "read": [["01-attribution-bias"]], "needs": [], "exercises": [], "homework": []} | change
    with pytest.raises(ValueError, match="that exists, got '(Nowhere|ex-no)'"):
        plan_lines({"title": "P", "about": "A", "sessions": [session]}, Chapters(content))


def test_a_page_without_marks_stays():
    assert teaching_page("# Guide\n", ROOT, []) == "# Guide\n"
