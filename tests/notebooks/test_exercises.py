"""The form of the exercises in every chapter, read from the stored notebooks; the reference is ``tools.exercises``.

Each chapter has four or more; each has a starter that waits, a judge, and a worked solution that ends in its check.
"""

from importlib import import_module

import nbformat
import pytest
from tiny_exercises import EVERY

from acelib.lab.exercises import check
from tools.exercises import HEADING, IMPORT, find_exercises, source_of, without_check, words_of

each_chapter = pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def judges_of(path):
    module = path.stem.partition("-")[2].replace("-", "_")
    return import_module(f"acelib.lab.exercises.chapters.{module}").ANSWERS


def test_no_chapter_is_left_over():
    left = {}
    for path in EVERY:
        try:
            found = find_exercises({"cells": cells_of(path)})
        except ValueError as error:
            left[path.stem] = str(error)
            continue
        if len(found) < 4:
            left[path.stem] = f"{len(found)} exercises"
    assert left == {}


@each_chapter
def test_the_section_opens_with_how_to_check_and_holds_nothing_but_exercises(path):
    cells = cells_of(path)
    (start,) = [place for place, cell in enumerate(cells) if cell.source.startswith("## Exercises")]
    (stop,) = [place for place, cell in enumerate(cells) if cell.source.startswith("## Key ideas")]
    assert cells[start].source.split() == HEADING.split()
    opening = cells[start + 1]
    assert (opening.cell_type, opening.source, opening.metadata) == ("code", IMPORT, {})
    found = find_exercises({"cells": cells})
    places = [place for one in found for place in (one.starter - 2, one.starter - 1, one.starter, *one.solution)]
    assert places == list(range(start + 2, stop))


@each_chapter
def test_each_exercise_has_a_judge_in_its_chapter_and_each_judge_an_exercise(path):
    assert sorted(one.label for one in find_exercises({"cells": cells_of(path)})) == sorted(judges_of(path))


@each_chapter
def test_an_untouched_starter_needs_no_other_cell_and_waits(path):
    cells = cells_of(path)
    for one in find_exercises({"cells": cells}):
        names = {}
        exec(without_check(source_of(cells[one.starter]), one.label, asserted=False), names)
        assert check(one.label, names["answer"]).verdict == "open", one.label


@each_chapter
def test_solutions_say_why_before_they_compute(path):
    cells = cells_of(path)
    for one in find_exercises({"cells": cells}):
        words = words_of(cells[one.solution.start])
        assert len(words.split()) >= 12, f"{one.label}: {words!r} is no worked solution"
