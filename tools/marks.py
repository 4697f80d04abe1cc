"""Tables that a program writes into a page: they stand between two comments, and nothing between those is typed."""

from __future__ import annotations

from collections.abc import Sequence


def between(marks: tuple[str, str], lines: Sequence[str], text: str, name: str = "README.md") -> str:
    """Return ``text`` with these lines, in place of what stood there, between its two marks.

    Args:
        marks: the comments before and after the table.
        lines: the lines of Markdown between them.
        text: the page.
        name: its file, for the error.

    Raises:
        ValueError: if a mark is missing, or is there more than once.

    Example:
        >>> between(("<!-- a -->", "<!-- b -->"), ["| 1 |"], "x <!-- a --> old <!-- b --> y")
        'x <!-- a -->\\n\\n| 1 |\\n\\n<!-- b --> y'
    """
    if any(text.count(mark) != 1 for mark in marks):
        raise ValueError(f"{name} must hold {' and '.join(marks)}, each once; put them where the table belongs")
    before, rest = text.split(marks[0])
    return before + "\n".join([marks[0], "", *lines, "", marks[1]]) + rest.split(marks[1])[1]
