"""Minutes are counted by the written rule: cells made by hand, whose words and lines can be counted by eye."""

from __future__ import annotations

import pytest

from tools.minutes import EXERCISES, sections


def cell(kind, source, *tags):
    return {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)}}


def test_words_lines_and_exercises_are_counted_where_they_stand():
    """Six words under the title (formula, number and role are one each); two visible lines, blank ones do not count."""
    notebook = {
        "cells": [
            cell("markdown", "# T\n\nOne $a + b$ is {glue:text}`k:.2f` **[there](x.md)** {numref}`fig-a`."),
            cell("code", "x = 1\n\ny = 2\n"),
            cell("code", "z = 3", "hide-input"),
            cell("code", "answer = ...", "exercise"),
            cell("markdown", "## A part\n\nword\n\n```{exercise-start} Name\n:label: ex-a\n```\n\nDo it. *(hard)*"),
            cell("markdown", "```{exercise-end}\n```\n"),
            cell("markdown", "```{solution-start} ex-a\n:class: dropdown\n```\n\nMany words that nobody reads first."),
            cell("code", "assert True"),
            cell("markdown", "```{solution-end}\n```\n\n## The end\n\nlast words"),
        ]
    }
    first, second, third = sections(notebook)
    assert (first.title, first.words, first.lines, first.exercises) == ("T", 1 + 6, 2, ())
    assert first.minutes == pytest.approx(7 / 200 + 2 / 12)
    assert (second.title, second.words, second.lines) == ("A part", 2 + 1, 0)
    assert [(task.label, task.name, task.minutes) for task in second.exercises] == [("ex-a", "Name", EXERCISES["hard"])]
    assert (third.title, third.words, third.exercises) == ("The end", 2 + 2, ())


def test_an_exercise_without_a_mark_is_a_medium_one():
    source = "# T\n\n```{exercise-start} N\n:label: ex-b\n```\n\nDo it.\n\n```{exercise-end}\n```"
    (part,) = sections({"cells": [cell("markdown", source)]})
    assert part.exercises[0].minutes == EXERCISES["medium"] and part.words == 1


def test_a_displayed_formula_and_a_directive_are_no_prose():
    source = "# T\n\n$$\na = b + c\n$$ (eq-a)\n\n```{prf:definition} D\n:label: def-d\n\ntwo words\n```"
    (part,) = sections({"cells": [cell("markdown", source)]})
    assert part.words == 1 + 1 + 2
