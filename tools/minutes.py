"""How long a chapter takes to read, by a rule: words of prose, lines of visible code, exercises by their mark.

Nobody was timed. The rule is the same for every section, so that the parts of a course can be compared and added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WORDS = 200  # of prose a minute
LINES = 12  # of visible code a minute: five seconds a line
EXERCISES = {"easy": 5, "medium": 10, "hard": 20}  # minutes, by the mark at the end of an exercise
RULE = (
    f"{WORDS} words of prose a minute, a formula or a number as one word; {LINES} lines of visible code a minute; "
    f"{', '.join(f'{minutes} minutes for an exercise marked {mark}' for mark, minutes in EXERCISES.items())}"
)
UNREAD = {"remove-cell", "remove-input", "hide-cell", "hide-input", "exercise"}  # the last: a cell for an answer
EXERCISE = re.compile(
    r"^```\{exercise-start\}([^\n]*)\n:label: (\S+)\n```\n(.*?)(?=^```\{exercise-end\}|\Z)", re.M | re.S
)
FENCE = re.compile(r"^\s*(```|:::|:[a-z]+:).*$", re.M)
AS_ONE_WORD = re.compile(r"\$\$.*?\$\$(\s*\([a-z0-9-]+\))?|\$[^$\n]+\$|(\{[a-z:]+\})?`[^`]*`", re.S)


@dataclass(frozen=True)
class Task:
    """An exercise: its label, its name, and the minutes that its mark stands for."""

    label: str
    name: str
    minutes: int


@dataclass(frozen=True)
class Section:
    """What stands under a heading of the second level (or the chapter's own, before the first of these).

    Attributes:
        title: the heading.
        words: words of prose in it.
        lines: lines of code that a reader sees.
        exercises: the exercises in it, whose text and solutions are in no other count.
    """

    title: str
    words: int
    lines: int
    exercises: tuple[Task, ...]

    @property
    def minutes(self) -> float:
        """Minutes of reading, without the exercises."""
        return self.words / WORDS + self.lines / LINES


def sections(notebook: Any) -> list[Section]:
    """Return the sections of a chapter in their order.

    Args:
        notebook: a node of ``nbformat``, or the JSON of a notebook.

    Example:
        >>> cells = [{"cell_type": "markdown", "metadata": {}, "source": "# T\\n" + " word" * 199 + "\\n## A"}]
        >>> [(part.title, part.minutes) for part in sections({"cells": cells})]
        [('T', 1.0), ('A', 0.005)]
    """
    title, words, lines, exercises, found, solving = "", 0, 0, [], [], False
    for kind, text in _pieces(notebook):
        if kind == "heading":
            if title:
                found.append(Section(title, words, lines, tuple(exercises)))
            title, words, lines, exercises = text, len(_plain(text).split()), 0, []
        elif kind == "code":
            lines += 0 if solving else sum(bool(line.strip()) for line in text.splitlines())
        else:
            for part in re.split(r"(?=^```\{solution-start\})|(?<=^```\{solution-end\}\n```)", text, flags=re.M):
                solving = solving or part.startswith("```{solution-start}")
                if not solving:
                    tasks = list(EXERCISE.finditer(part))
                    exercises += [Task(task[2], task[1].strip(), _marked(task[3])) for task in tasks]
                    words += len(_plain(EXERCISE.sub("", part)).split())
                solving = solving and "```{solution-end}" not in part
    return [*found, Section(title, words, lines, tuple(exercises))] if title else found


def _pieces(notebook: Any) -> Iterator[tuple[str, str]]:
    """Yield headings of the first two levels, the prose between them, and the code that is seen."""
    for cell in notebook["cells"]:
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        if cell["cell_type"] == "code":
            if not UNREAD & set(cell["metadata"].get("tags", ())):
                yield "code", source
            continue
        for part in re.split(r"^(##? [^\n]+)$", source, flags=re.M):
            heading = re.fullmatch(r"##? ([^\n]+)", part)
            yield ("heading", heading[1].strip()) if heading else ("prose", part)


def _plain(text: str) -> str:
    """Return prose with one word in place of each formula, role and name, and without mark-up."""
    text = AS_ONE_WORD.sub(" x ", FENCE.sub(" ", text))
    text = re.sub(r"\]\([^)]*\)", "] ", text)
    return re.sub(r"[^\w\s'’-]|(?<!\w)[-'’_]+(?!\w)", " ", text)


def _marked(text: str) -> int:
    mark = re.search(r"\*\((easy|medium|hard)\)\*", text)
    return EXERCISES[mark[1] if mark else "medium"]
