"""Look up the judge of an exercise and ask it: the one call that a reader makes."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from acelib.lab.exercises.judges import Judge, reply_to
from acelib.lab.exercises.replies import Reply


def answers() -> dict[str, Judge]:
    """Return the judges of all exercises, ``{"ex-ab-third": judge, …}``.

    Each chapter's judges stand in a module of ``acelib.lab.exercises.chapters``, as a dictionary ``ANSWERS``.

    Raises:
        ValueError: if two chapters use the same name.

    Example:
        >>> assert all(name.startswith("ex-") for name in answers())
    """
    package = import_module("acelib.lab.exercises.chapters")
    found: dict[str, Judge] = {}
    for module in sorted(item.name for item in iter_modules(package.__path__)):
        own = import_module(f"{package.__name__}.{module}").ANSWERS
        twice = sorted(set(own) & set(found))
        if twice:
            raise ValueError(f"names of exercises must differ between chapters, got {twice} twice; rename one of each")
        found |= own
    return found


def check(exercise: str, answer: Any) -> Reply:
    """Say whether an answer is right, nearly right (and what is missing), or wrong, without giving the solution away.

    Args:
        exercise: the exercise's name, as in its link.
        answer: a number, a word, a list, a function or a dictionary of such parts; ``...`` where it is still open.

    Returns:
        A reply: its ``verdict``, a ``hint``, and true only where the answer is right.

    Raises:
        ValueError: if there is no such exercise.

    Example:
        >>> assert check("ex-ab-third", ...).verdict == "open"
        >>> assert check("ex-ab-third", {"IG": 26, "ACE": 100}).verdict == "nearly"
    """
    known = answers()
    if exercise not in known:
        raise ValueError(f"exercise must be one of {sorted(known)}, got {exercise!r}; copy its name from the exercise")
    return reply_to(known[exercise], answer)
