"""The exercises of a chapter as they stand in its notebook: question, starter, worked solution.

A chapter's exercises have one form, which this module reads and refuses to bend: a question between two fences; the
starter, a code cell tagged ``exercise`` that ends in ``check("ex-…", answer)``; and a solution between two fences,
words first, whose last code cell ends in ``assert check("ex-…", answer)``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HEADING = (
    "## Exercises\n\nEach exercise has a cell for your answer. Replace the dots and run it: `check` says whether it is "
    "right, nearly right, or not yet, and why."
)
IMPORT = "from acelib.lab.exercises import check"
POINTS = {"easy": 1, "medium": 2, "hard": 3}

_QUESTION = re.compile(r"```\{exercise-start\} \S[^\n]*\n:label: (ex-[a-z0-9-]+)\n```\n\n\S", re.DOTALL)
_SOLUTION = re.compile(r"```\{solution-start\} (\S+)\n:class: dropdown\n```\n\n(?=\S)")


@dataclass(frozen=True)
class Exercise:
    """Where an exercise stands in a notebook, as places in its list of cells.

    Attributes:
        label: its name in links and in ``check``.
        level: ``"easy"``, ``"medium"`` or ``"hard"``.
        starter: the place of the cell for the reader's answer.
        solution: the places of the worked solution, both fences included.
    """

    label: str
    level: str
    starter: int
    solution: range


def source_of(cell: Mapping[str, Any]) -> str:
    """Return the text of a cell, which files may hold as a list of lines.

    Example:
        >>> assert source_of({"source": ["a\\n", "b"]}) == source_of({"source": "a\\nb"}) == "a\\nb"
    """
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def find_exercises(notebook: Mapping[str, Any]) -> list[Exercise]:
    """Return the exercises of a notebook, in order.

    Args:
        notebook: a notebook, read as JSON or by ``nbformat``.

    Raises:
        ValueError: if one of them has not the form of the module's first paragraph, or a name is used twice.
    """
    cells = notebook["cells"]
    starts = [place for place, cell in enumerate(cells) if "```{exercise-start}" in source_of(cell)]
    found = [_read(cells, place) for place in starts]
    used = {place for one in found for place in (one.starter, *one.solution)}
    stray = [
        place
        for place, cell in enumerate(cells)
        if place not in used and ("```{solution-" in source_of(cell) or "exercise" in cell["metadata"].get("tags", []))
    ]
    if stray:
        raise _malformed("solutions and starters", "parts of an exercise", source_of(cells[stray[0]]))
    labels = [one.label for one in found]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"names of exercises must differ, got {', '.join(twice)} twice; rename one of each")
    return found


def without_check(source: str, label: str, *, asserted: bool) -> str:
    """Return the code of an answer without its last statement, which must be the check.

    Args:
        source: the cell's code.
        label: the name of the exercise.
        asserted: whether the check must be asserted, as in solutions, or called, as in starters.

    Raises:
        ValueError: if ``answer`` is not assigned, or the last statement is another one.

    Example:
        >>> assert without_check('answer = 3\\ncheck("ex-a", answer)', "ex-a", asserted=False) == "answer = 3"
    """
    body = ast.parse(source).body
    call = f"check({label!r}, answer)"
    wanted = f"assert {call}" if asserted else call
    if len(body) < 2 or ast.unparse(body[-1]) != wanted:
        raise _malformed(f"the code of {label}", f"answer = … and then {wanted}", source)
    if not any(isinstance(node, ast.Name) and node.id == "answer" and _stores(node) for node in _names(body[:-1])):
        raise _malformed(f"the code of {label}", "an assignment to answer before the check", source)
    return "\n".join(source.splitlines()[: body[-1].lineno - 1]).rstrip()


def words_of(cell: Mapping[str, Any]) -> str:
    """Return the text of a cell without the fence that opens a solution.

    Example:
        >>> fence = "```{solution-start} ex-a\\n:class: dropdown\\n```\\n\\n"
        >>> assert words_of({"source": fence + "Because."}) == "Because."
    """
    return _SOLUTION.sub("", source_of(cell)).strip()


def _read(cells: list[Mapping[str, Any]], place: int) -> Exercise:
    """Read the exercise whose question stands at a place."""
    question = source_of(cells[place])
    head = _QUESTION.match(question)
    if head is None:
        raise _malformed("a question", "a fence with a title and :label: ex-…, and a text", question)
    label, levels = head[1], re.findall(r"\*\((easy|medium|hard)\)\*", question)
    if len(levels) != 1:
        raise _malformed(f"the question of {label}", "graded *(easy)*, *(medium)* or *(hard)*", question)
    end, starter, opening = ((cells[place + k] if place + k < len(cells) else _NOTHING) for k in (1, 2, 3))
    if source_of(end).strip() != "```{exercise-end}\n```":
        raise _malformed(f"the cell after the question of {label}", "its end fence", source_of(end))
    if starter["cell_type"] != "code" or starter["metadata"].get("tags") != ["exercise"]:
        raise _malformed(f"the cell after {label}", "its starter, tagged exercise", source_of(starter))
    without_check(source_of(starter), label, asserted=False)
    fence = _SOLUTION.match(source_of(opening))
    if fence is None or fence[1] != label:
        raise _malformed(f"the cell after the starter of {label}", "its solution, words first", source_of(opening))
    last = place + 4
    while last < len(cells) and source_of(cells[last]).strip() != "```{solution-end}\n```":
        if "-start}" in source_of(cells[last]):
            raise _malformed(f"the solution of {label}", "closed before another fence", source_of(cells[last]))
        last += 1
    code = [cell for cell in cells[place + 4 : last] if cell["cell_type"] == "code"]
    if last == len(cells) or not code:
        raise _malformed(f"the solution of {label}", "code and an end fence", source_of(opening))
    without_check(source_of(code[-1]), label, asserted=True)
    return Exercise(label, levels[0], place + 2, range(place + 3, last + 1))


_NOTHING: Mapping[str, Any] = {"cell_type": "none", "source": "", "metadata": {}}


def _names(body: list[ast.stmt]) -> list[ast.Name]:
    return [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)]


def _stores(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _malformed(what: str, wanted: str, text: str) -> ValueError:
    first = (text.strip().splitlines() or ["nothing"])[0]
    return ValueError(f"{what} must be {wanted}, got {first!r}; see another chapter's exercises for the form")
