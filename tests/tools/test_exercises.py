"""What counts as an exercise, against the written rule of ``tools.exercises``: each departure from it is refused."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from tiny_exercises import LEVELS, STARTERS, exercise_cells, tiny_chapter

from tools.exercises import find_exercises, source_of, without_check


def test_a_chapter_tells_its_exercises_in_order():
    chapter = tiny_chapter()
    found = find_exercises(chapter)
    assert {one.label: one.level for one in found} == LEVELS
    for one in found:
        assert chapter.cells[one.starter].source.startswith(STARTERS[one.label])
        opening, closing = (source_of(chapter.cells[place]) for place in (one.solution[0], one.solution[-1]))
        assert opening.startswith(f"```{{solution-start}} {one.label}\n") and closing == "```{solution-end}\n```"


def test_lines_may_be_a_list_as_in_files():
    chapter = {"cells": [dict(cell, source=cell.source.splitlines(keepends=True)) for cell in tiny_chapter().cells]}
    assert find_exercises(chapter) == find_exercises(tiny_chapter())


def change(place, old, new):
    def changed(cells):
        assert old in cells[place].source
        cells[place].source = cells[place].source.replace(old, new)

    return changed


MENDED = {
    "a question": change(0, ":label: ex-", ":label: third-"),
    "graded": change(0, "*(easy)*", "(easy)"),
    "its end fence": lambda cells: cells.pop(1),
    "tagged exercise": lambda cells: cells[2].metadata.pop("tags"),
    "got 'answer = \\{": change(2, 'check("ex-ab-third"', 'check("ex-ab-bent"'),
    "words first": change(3, "\n\nThe mean price along the path is twenty-six. The population has another one.", ""),
    "its solution": change(3, "} ex-ab-third", "} ex-ab-bent"),
    "and then assert check": change(4, "assert check", "check"),
    "an assignment to answer": change(4, "answer = {", "reply = {"),
    "code and an end fence": lambda cells: cells.pop(-1),
    "closed before another fence": lambda cells: cells.insert(4, new_markdown_cell("```{exercise-start} More\n```")),
    "parts of an exercise": lambda cells: cells.append(new_code_cell("1", metadata={"tags": ["exercise"]})),
    "ex-ab-third twice": lambda cells: cells.extend(exercise_cells("ex-ab-third")),
}


@pytest.mark.parametrize("said", MENDED)
def test_what_departs_from_the_form_is_refused(said):
    cells = exercise_cells("ex-ab-third")
    assert len(find_exercises({"cells": cells})) == 1
    MENDED[said](cells)
    with pytest.raises(ValueError, match=said):
        find_exercises({"cells": cells})


def test_the_check_alone_is_taken_away():
    source = 'answer = {\n    "a": 1,  # one\n}\nassert check("ex-a", answer)'
    assert without_check(source, "ex-a", asserted=True) == 'answer = {\n    "a": 1,  # one\n}'
