"""Editions for a course: what is left out, what a grader says of them, and that they run.

The reference for grading is nbgrader itself: its rules for cells, ``nbgrader validate`` and ``generate_assignment``.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbgrader.nbgraderformat import MetadataValidator
from tiny_exercises import EVERY, LEVELS, SOLUTIONS, STARTERS, WORDS, tiny_chapter

from tools import editions
from tools.chapters import ROOT, read_notebook
from tools.editions import BEGIN, END, KINDS, STUB, edition
from tools.exercises import POINTS, find_exercises, source_of, without_check, words_of

each_chapter = pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)


def made(chapter, kind):
    return nbformat.from_dict(edition(chapter, kind))


def named(notebook):
    """The cells with a name of nbgrader's, by that name."""
    marked = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    found = {cell.metadata.nbgrader.grade_id: cell for cell in marked}
    assert len(found) == len(marked), "names of graded cells differ"
    return found


def grader(folder, *arguments):
    """What nbgrader prints when it is called in a home of its own."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    places = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = os.environ | dict.fromkeys(places, str(home)) | {"JUPYTER_PREFER_ENV_PATH": "1"}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def validate(notebook, folder):
    """How many cells fail under ``nbgrader validate``, those that are not graded and those that warn included."""
    nbformat.write(notebook, folder / "validated.ipynb")
    every, patient = "--Validator.validate_all=True", "--Execute.timeout=600"
    said = grader(folder, "validate", every, patient, "validated.ipynb")
    if said == "Success! Your notebook passes all the tests.\n":
        return 0, said
    return int(re.search(r"VALIDATION FAILED ON (\d+) CELL", said)[1]), said


# ---------------------------------------------------------------- a tiny chapter


def test_the_student_edition_keeps_the_starters_and_the_instructor_edition_the_solutions():
    student, instructor = (named(made(tiny_chapter(), kind)) for kind in KINDS)
    assert (
        list(student) == list(instructor) == [f"{part}{label}" for label in STARTERS for part in ("", "check-", "why-")]
    )
    for label, starter in STARTERS.items():
        code = "\n\n\n".join(SOLUTIONS[label])
        assert student[label].source == starter
        assert instructor[label].source == f"{starter}\n{BEGIN}\n{code}\n{END}"
        test = f'reply = check("{label}", answer)\nassert reply, reply'
        assert student[f"check-{label}"].source == instructor[f"check-{label}"].source == test
        assert student[f"why-{label}"].source.endswith(f"(not graded)\n\n{STUB}")
        assert f"\n\n{WORDS[label]}\n\n" in instructor[f"why-{label}"].source


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_the_exercises_stays_and_the_chapter_is_left_alone(kind):
    chapter, before = tiny_chapter(), tiny_chapter()
    for one, other in zip(chapter.cells, before.cells, strict=True):
        other["id"] = one["id"]
    found = made(chapter, kind)
    assert chapter == before
    kept = [cell for cell in found.cells if "nbgrader" not in cell.metadata]
    fences = [cell.source for cell in kept if "```{exercise-" in cell.source]
    assert len(fences) == 6 and not any("{solution-" in cell.source for cell in found.cells)
    outside = [cell.source for cell in kept if "```{exercise-" not in cell.source]
    assert outside[:2] == ["# Title", "area = 3"] and outside[-2:] == ["## Key ideas", "area + 1"]
    assert outside[2] == editions.HOW and len(outside) == 6


def test_points_follow_the_grade_and_nbgrader_accepts_the_names():
    for kind in KINDS:
        notebook = made(tiny_chapter(), kind)
        MetadataValidator().validate_nb(notebook)
        for label, level in LEVELS.items():
            marks = named(notebook)[f"check-{label}"].metadata.nbgrader
            assert marks.points == POINTS[level] and marks.grade and marks.locked and not marks.solution


def test_plain_json_gives_the_same_as_a_node():
    node = tiny_chapter()
    plain = json.loads(nbformat.writes(node))
    for kind in KINDS:
        texts = [source_of(cell) for cell in edition(plain, kind)["cells"]]
        assert texts == [cell.source for cell in made(node, kind).cells]


@pytest.mark.parametrize("kind", KINDS)
def test_run_by_jupyter_solutions_pass_and_untouched_starters_fail(kind):
    notebook = made(tiny_chapter(), kind)
    NotebookClient(notebook, kernel_name="python3", allow_errors=True).execute()
    failed = [cell for cell in notebook.cells if any(out.output_type == "error" for out in cell.get("outputs", []))]
    names = [cell.metadata.nbgrader.grade_id for cell in failed]
    assert names == ([f"check-{label}" for label in STARTERS] if kind == "student" else [])
    assert all("Your turn." in cell.outputs[-1].evalue for cell in failed)


def test_run_by_nbgrader_solutions_pass_and_untouched_starters_fail(tmp_path):
    assert validate(made(tiny_chapter(), "instructor"), tmp_path)[0] == 0
    failures, said = validate(made(tiny_chapter(), "student"), tmp_path)
    assert failures == 3 and all(f'check("{label}", answer)' in said for label in STARTERS)


def test_nbgrader_makes_the_student_edition_from_the_instructor_edition(tmp_path):
    source = tmp_path / "source/one/chapter.ipynb"
    source.parent.mkdir(parents=True)
    nbformat.write(made(tiny_chapter(), "instructor"), source)
    grader(tmp_path, "generate_assignment", "one", "--no-db")
    released = named(nbformat.read(tmp_path / "release/one/chapter.ipynb", as_version=4))
    for name, cell in named(made(tiny_chapter(), "student")).items():
        stub = "\n# YOUR CODE HERE\nraise NotImplementedError()" if name in STARTERS else ""
        assert released[name].source == cell.source + stub


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of student, instructor, got 'teacher'"):
        edition(tiny_chapter(), "teacher")


def test_editions_are_written_for_every_chapter_and_failures_are_named(tmp_path, monkeypatch, capsys):
    paths = [tmp_path / "01-one.ipynb", tmp_path / "02-two.ipynb"]
    first, second = tiny_chapter(), tiny_chapter()
    del first.cells[10:-2], second.cells[4:10]  # the first exercise, and the others
    for path, chapter in zip(paths, (first, second), strict=True):
        nbformat.write(chapter, path)
    monkeypatch.setattr(editions, "find_chapters", lambda root: paths)
    (tmp_path / "_config.yml").write_text("title: A tiny book\n")
    assert editions.main(["student"], tmp_path) == 0
    assert capsys.readouterr().out == "student edition: _build/student\n"
    written = nbformat.read(tmp_path / "_build/student/02-two.ipynb", as_version=4)
    marked = marks(written)
    assert marked and marked == marks(made(second, "student"))
    assert not any("{exercise" in cell.source or cell.get("outputs") for cell in written.cells)
    first.cells[6].metadata.pop("tags")
    nbformat.write(first, paths[0])
    shutil.rmtree(tmp_path / "_build")
    assert editions.main(["instructor"], tmp_path) == 1
    assert "01-one: the cell after ex-ab-third must be its starter" in capsys.readouterr().out
    assert not (tmp_path / "_build/instructor").exists()


# ---------------------------------------------------------------- the chapters of the book


@pytest.mark.parametrize("kind", editions.KINDS)
def test_the_editions_that_are_written_are_in_plain_words_and_as_graded(tmp_path, kind):
    """Of all chapters together, as numbers are of the book: no token of the pages is left, graded cells are as made."""
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns("_static"))
    shutil.copy(ROOT / "_config.yml", tmp_path)
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    assert editions.write_editions(kind, tmp_path) == 0
    for path in EVERY:
        written = nbformat.read(tmp_path / "_build" / kind / path.name, as_version=4)
        text = "\n".join(cell.source for cell in written.cells if cell.cell_type == "markdown")
        assert not re.findall(r"\{(?:glue|numref|cite|eq|ref|prf|term)|```\{", text), path.stem
        assert marks(written) == marks(made(nbformat.read(path, as_version=4), kind))


def marks(notebook):
    """What nbgrader reads: its metadata and the source of the cells that have it."""
    return [(cell.metadata.nbgrader, cell.source) for cell in notebook.cells if "nbgrader" in cell.metadata]


def pieces(text):
    """The sentences and lines of a text, without spaces, of some length."""
    parts = [*text.splitlines(), *re.split(r"(?<=[.!?:])\s+", text)]
    return {"".join(part.split()) for part in parts if len("".join(part.split())) > 8}


@each_chapter
def test_no_solution_is_left_in_the_student_edition(path):
    """No sentence and no line of code of a solution, unless the chapter has it outside of its solutions too."""
    chapter = read_notebook(path)
    within = {place for one in find_exercises(chapter) for place in one.solution}
    outside = "".join("".join(cell.source.split()) for i, cell in enumerate(chapter.cells) if i not in within)
    shown = "".join("".join(cell.source.split()) for cell in made(chapter, "student").cells)
    solved = {piece for place in within for piece in pieces(chapter.cells[place].source)}
    assert len(solved) > 30
    assert [piece for piece in solved if piece in shown and piece not in outside] == []
    assert "SOLUTION" not in shown and "{solution-" not in shown


@each_chapter
def test_both_editions_are_whole(path):
    """Valid notebooks with names of their own, a starter for each exercise, and in one of them every solution."""
    chapter = read_notebook(path)
    found = find_exercises(chapter)
    for kind in KINDS:
        notebook = made(chapter, kind)
        nbformat.validate(notebook)
        MetadataValidator().validate_nb(notebook)
        ids = [cell.id for cell in notebook.cells]
        assert len(set(ids)) == len(ids)
        cells = named(notebook)
        assert len(cells) == 3 * len(found)
        for one in found:
            starter = without_check(chapter.cells[one.starter].source, one.label, asserted=False)
            assert cells[one.label].source.startswith(starter)
            for place in one.solution if kind == "instructor" else ():
                cell = chapter.cells[place]
                if cell.cell_type == "code":
                    code = re.sub(r"\n?assert check\(.*\)\s*\Z", "", cell.source)
                    assert code in cells[one.label].source
                elif place != one.solution[-1]:
                    assert words_of(cell) in cells[f"why-{one.label}"].source


def test_a_whole_chapter_passes_with_its_solutions_and_fails_in_each_exercise_without(tmp_path):
    """Every cell counts: one that raises or warns is a failure too, and there are none but the untouched checks."""
    chapter = read_notebook(ROOT / "book/01-attribution-bias.ipynb")
    assert validate(made(chapter, "instructor"), tmp_path)[0] == 0
    assert validate(made(chapter, "student"), tmp_path)[0] == len(find_exercises(chapter))
