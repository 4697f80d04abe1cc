"""The blocks of a MyST text: directives with their options and bodies, fenced code, and lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

OPENING = re.compile(r"^ {0,3}(`{3,}|:{3,}|~{3,})(?:\{([\w:.-]+)\})?[ \t]*(.*?)[ \t]*$")
OPTION = re.compile(r"^:([\w-]+):[ \t]*(.*?)[ \t]*$")


@dataclass(frozen=True)
class Directive:
    """A fence with a name in braces.

    Attributes:
        name: what stands in the braces, such as ``prf:theorem``.
        argument: the rest of that line, such as a title.
        options: what the lines ``:name: value`` at its head say.
        body: the lines between head and end.
    """

    name: str
    argument: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    body: tuple[str, ...] = ()


def blocks(lines: list[str]) -> Iterator[Directive | list[str]]:
    """Yield the directives of a text, and between them the lines that belong to none; fenced code counts as lines.

    Args:
        lines: the text, line by line.

    Raises:
        ValueError: if a directive is not closed.

    Example:
        >>> (one,) = blocks(["```{note} Mind", ":class: tip", "", "the gap", "```"])
        >>> assert (one.name, one.argument, one.options, one.body) == ("note", "Mind", {"class": "tip"}, ("the gap",))
    """
    plain: list[str] = []
    at = 0
    while at < len(lines):
        opening = OPENING.match(lines[at])
        if opening is None:
            plain.append(lines[at])
            at += 1
            continue
        fence, name, argument = opening.groups()
        end = next((i for i in range(at + 1, len(lines)) if _closes(lines[i], fence)), None)
        if end is None and name:
            raise ValueError(f"directive {name!r} must be closed by {fence}, got the end of the cell; close it")
        end = len(lines) if end is None else end
        if name:
            if plain:
                yield plain
            plain = []
            yield _directive(name, argument, lines[at + 1 : end])
        else:
            plain += lines[at : end + 1]
        at = end + 1
    if plain:
        yield plain


def _closes(line: str, fence: str) -> bool:
    text = line.strip()
    return len(text) >= len(fence) and set(text) == {fence[0]}


def _directive(name: str, argument: str, lines: list[str]) -> Directive:
    options, at = {}, 0
    while at < len(lines) and (option := OPTION.match(lines[at])):
        options[option[1]] = option[2]
        at += 1
    body = "\n".join(lines[at:]).strip("\n")
    return Directive(name, argument, options, tuple(body.split("\n")) if body else ())
