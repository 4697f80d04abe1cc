"""The facts about released networks as data: computed, stored in ``data/released.json``, and compared with a new run.

A fact is a number with its tolerance, its unit, one sentence that says what it is, and the released files that it comes
from. The file also names the repository's address and commit and the SHA-256 of every file, so that each sentence about
released code can be traced. Numbers that were read off the code rather than computed stand apart, under ``read``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acelib.lab.claims.cards import number_text
from acelib.lab.home import data_file

SHIPPED_FILE = "released.json"  # below data/


@dataclass(frozen=True)
class Fact:
    """One number about released networks.

    Attributes:
        value: the number.
        tol: how far a new run may be off, in the same unit.
        unit: of the value.
        what: what it is, half a sentence.
        files: the released files that it comes from, below the clone.
    """

    value: float
    tol: float
    unit: str
    what: str
    files: tuple[str, ...]

    @property
    def text(self) -> str:
        """The value with the digits that its tolerance supports, and its unit."""
        return f"{number_text(self.value, self.tol)} {self.unit}".strip()


def recorded(prefix: str = "", *, path: Path | None = None) -> dict[str, Fact]:
    """Return the facts on file whose name starts with ``prefix``, in the order of the file.

    Args:
        prefix: start of the names, such as ``"iris-"``.
        path: the file; default ``data/released.json``.

    Example:
        >>> fact = recorded("iris-")["iris-taylor-high"]
        >>> assert fact.value > 5 and "Models/iris_double_model_8" in fact.files  # a "probability" above 5
    """
    facts = stored(path=path)["facts"]
    return {name: Fact(**{**f, "files": tuple(f["files"])}) for name, f in facts.items() if name.startswith(prefix)}


def stored(*, path: Path | None = None) -> dict[str, Any]:
    """Return ``data/released.json`` whole: ``address``, ``commit``, ``files``, ``read``, ``facts`` and how it was made.

    Args:
        path: the file; default ``data/released.json``.

    Example:
        >>> assert len(stored()["commit"]) == 40
    """
    path = data_file(SHIPPED_FILE) if path is None else path
    return json.loads(path.read_text(encoding="utf-8"))


def differences(new: Mapping[str, Fact], old: Mapping[str, Fact]) -> list[str]:
    """Return one line for each fact of a new run that is unknown or further from the one on file than its tolerance.

    Args:
        new: facts of a new run; facts on file that it could not compute are left aside.
        old: facts on file.

    Example:
        >>> fact = Fact(1.0, 0.1, "s", "a time", ())
        >>> assert differences({"a": fact}, {"a": fact, "b": fact}) == []
        >>> assert differences({"a": Fact(1.2, 0.1, "s", "a time", ())}, {"a": fact}) == ["a is 1.2 s, on file 1 s"]
    """
    lines = []
    for name, fact in new.items():
        known = old.get(name)
        if known is None:
            lines.append(f"{name} is {fact.text}, not on file")
        elif not abs(fact.value - known.value) <= known.tol:  # a NaN differs, too
            lines.append(f"{name} is {fact.text}, on file {known.text}")
    return lines


def table(facts: Mapping[str, Fact]) -> str:
    """Return facts as text, one line each: value, unit and what it is.

    Example:
        >>> print(table({"a": Fact(2.5, 0.1, "s", "the time of a", ())}))
        2.5 s  the time of a
    """
    width = max((len(fact.text) for fact in facts.values()), default=0)
    return "\n".join(f"{fact.text:>{width}}  {fact.what}" for fact in facts.values())


def source(facts: Mapping[str, Fact], *, path: Path | None = None) -> str:
    """Return where facts come from, as text: address, commit, and each file with the first digits of its SHA-256.

    Example:
        >>> assert "github.com" in source(recorded("gru-"))
    """
    whole = stored(path=path)
    names = sorted({name for fact in facts.values() for name in fact.files})
    lines = [f"{whole['address']}, commit {whole['commit'][:12]}"]
    return "\n".join([*lines, *(f"  {name}  sha256 {whole['files'][name][:12]}…" for name in names)])


def as_json(facts: Mapping[str, Fact]) -> dict[str, Any]:
    """Return facts as plain JSON data.

    Example:
        >>> assert as_json({"a": Fact(2.5, 0.1, "s", "time", ("x",))})["a"]["files"] == ["x"]
    """
    return {name: {**asdict(fact), "files": list(fact.files)} for name, fact in facts.items()}
