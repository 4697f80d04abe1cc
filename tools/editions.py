"""Editions of the chapters for a course: ``python -m tools.editions student|instructor``.

The student edition leaves the solutions out and keeps a cell for each answer; the instructor edition has the worked
solution in its place. Both carry the metadata of nbgrader: the answer is a solution cell, the check after it is an
autograded test that is locked, and the reasoning is a text of no points. In the instructor edition solutions stand
between nbgrader's marks, so that ``nbgrader generate_assignment`` makes the student's version from it.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.chapters import ROOT, find_chapters, read_notebook, say
from tools.exercises import HEADING, POINTS, Exercise, find_exercises, source_of, without_check, words_of
from tools.plain import Book, plain_notebook

KINDS = ("student", "instructor")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
HOW = (
    "## Exercises\n\nEach exercise has a cell for your answer, and below it one that checks it. Replace the dots and "
    "run both: the check is silent if the answer is right, and otherwise says what is wrong with it."
)
REASONING, STUB = "**Your reasoning** (not graded)\n\n", "YOUR ANSWER HERE"  # the stub is nbgrader's own


def edition(notebook: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return a copy of a chapter as its student or its instructor edition.

    Everything but the exercises stays as it is, fences and outputs included.

    Args:
        notebook: the chapter, read as JSON or by ``nbformat``; it is left alone.
        kind: ``"student"`` or ``"instructor"``.

    Raises:
        ValueError: if the kind is another one, or an exercise has not the form of ``tools.exercises``.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}; choose one of them")
    found = copy.deepcopy(dict(notebook))
    cells, made, done = found["cells"], [], 0
    for exercise in find_exercises(notebook):
        made += cells[done : exercise.starter] + _cells(cells, exercise, kind)
        done = exercise.solution.stop
    found["cells"] = made + cells[done:]
    for cell in found["cells"]:
        if cell["cell_type"] == "markdown" and source_of(cell).split() == HEADING.split():
            cell["source"] = HOW
    return found


def write_editions(kind: str, root: Path = ROOT) -> int:
    """Write an edition of every chapter into ``_build/KIND``, numbers and references in plain words.

    Returns 0, or 1 where an exercise has not its form; then nothing is written.

    Args:
        kind: ``"student"`` or ``"instructor"``.
        root: the book's folder.
    """
    import nbformat

    folder, made, failures = root / "_build" / kind, {}, []
    for path in find_chapters(root):
        try:
            made[path.stem] = nbformat.from_dict(edition(read_notebook(path), kind))
        except ValueError as error:
            failures.append(f"{path.stem}: {error}")
    if failures:
        say("\n".join(failures))
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    book = Book(made, root)
    for stem in made:
        nbformat.write(plain_notebook(book, stem), folder / f"{stem}.ipynb")
    say(f"{kind} edition: {folder.relative_to(root)}")
    return 0


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write one edition and return the exit status."""
    parser = argparse.ArgumentParser(prog="editions", description="Write the chapters for students or instructors.")
    parser.add_argument("kind", choices=KINDS)
    return write_editions(parser.parse_args(arguments).kind, root)


def _cells(cells: list[dict[str, Any]], exercise: Exercise, kind: str) -> list[dict[str, Any]]:
    """Return the three cells of an exercise after its question: answer, check, reasoning."""
    label, solution = exercise.label, [cells[place] for place in exercise.solution]
    start = without_check(source_of(cells[exercise.starter]), label, asserted=False)
    reasoning = STUB
    if kind == "instructor":
        code = [source_of(cell).rstrip() for cell in solution if cell["cell_type"] == "code"]
        code[-1] = without_check(code[-1], label, asserted=True)
        texts = [words_of(cell) for cell in solution[:-1] if cell["cell_type"] == "markdown"]
        start = "\n".join([start, BEGIN, "\n\n\n".join(code), END])
        reasoning = "\n\n".join([f"<!-- {BEGIN} -->", *texts, f"<!-- {END} -->"])
    test = f'reply = check("{label}", answer)\nassert reply, reply'
    return [
        _cell(label, start, solution=True, tags=["exercise"]),
        _cell(f"check-{label}", test, grade=True, locked=True, points=POINTS[exercise.level]),
        _cell(f"why-{label}", REASONING + reasoning, kind="markdown", solution=True, grade=True, points=0),
    ]


def _cell(
    name: str,
    source: str,
    *,
    kind: str = "code",
    grade: bool = False,
    solution: bool = False,
    locked: bool = False,
    points: int | None = None,
    tags: list[str] | None = None,
) -> dict[str, Any]:
    """Return a new cell with nbgrader's metadata, in its third version."""
    marks: dict[str, Any] = {"schema_version": 3, "grade_id": name, "cell_type": kind, "task": False}
    marks |= {"grade": grade, "solution": solution, "locked": locked}
    marks |= {} if points is None else {"points": points}
    metadata = {"nbgrader": marks} | ({"tags": tags} if tags else {})
    cell: dict[str, Any] = {"cell_type": kind, "id": name[:64], "metadata": metadata, "source": source}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


if __name__ == "__main__":
    sys.exit(main())
