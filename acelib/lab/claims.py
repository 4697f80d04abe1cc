"""Claims as data: what the papers say, with the tests that judge it, read from ``book/claims.toml``.

A chapter passes numbers and nothing else. Whether a test holds is computed here, from the test's own inequality and the
numbers that are printed beside it; the verdict follows from the tests. So a badge cannot differ from its test.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from acelib.lab.home import root
from acelib.lab.inequality import holds, names_in

NUMBER, FINDING, CONDITION, REFUTED, UNTESTED = VERDICTS = (
    "number reproduced",
    "finding holds",
    "holds under a condition",
    "refuted",
    "cannot be tested here",
)
PAPERS = {"ace": "ACE, 2019", "paths": "Path interventions, 2023", "icc": "Intrinsic contributions, 2025"}
KINDS = ("number", "finding", "method", "reason")
EVIDENCE = {
    "released": "the authors' network",
    "recipe": "the paper's recipe",
    "variation": "our variation",
}
ROLES = ("reading", "condition", "control")

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Test:
    """One test of a claim.

    Attributes:
        reading: the sentence as this test understands it.
        inequality: comparison of named numbers, and of ``threshold``.
        evidence: on what it is run: ``released``, ``recipe`` or ``variation``.
        threshold: the value of the name ``threshold``, None where the inequality has none.
        others: other thresholds at which the outcome is shown too.
        role: ``reading``, an honest reading of the sentence; ``condition``, the sentence under the claim's condition;
            or ``control``, shown beside them and deciding nothing.
        chance: probability that it comes out wrong by chance, for a statistical test.
    """

    reading: str
    inequality: str
    evidence: str = "recipe"
    threshold: float | None = None
    others: tuple[float, ...] = ()
    role: str = "reading"
    chance: float | None = None

    __test__ = False  # no test of pytest's

    def holds(self, numbers: Mapping[str, Any], threshold: float | None = None) -> bool:
        """Return whether the inequality is true of the numbers, at its own threshold or at another."""
        own = self.threshold if threshold is None else threshold
        return holds(self.inequality, {**numbers, **({} if own is None else {"threshold": own})})


@dataclass(frozen=True)
class Claim:
    """One statement of a paper, or of ours, and how it is judged.

    Attributes:
        id: its name.
        statement: what is said, in one sentence of our own.
        why: what explains the outcome.
        paper: ``ace``, ``paths`` or ``icc``; None for a statement of ours, which gets no verdict.
        where: section, figure or equation.
        kind: ``number``, ``finding``, ``method`` or ``reason``.
        printed: the paper's number, or its words.
        condition: under which it holds, where it holds under a condition.
        pilots: what had been seen before the inequalities were fixed.
        tests: none where it cannot be tested here.
    """

    id: str
    statement: str
    why: str
    paper: str | None = None
    where: str = ""
    kind: str = "finding"
    printed: str = ""
    condition: str = ""
    pilots: str = ""
    tests: tuple[Test, ...] = ()

    @property
    def theirs(self) -> bool:
        """Whether a paper says it."""
        return self.paper is not None

    @property
    def source(self) -> str:
        """The paper and the place in it."""
        return f"{PAPERS[self.paper]}, {self.where}" if self.paper is not None else "ours"

    def text(self) -> dict[str, Any]:
        """Return the claim as plain JSON data, without its id; ``claim_from`` reads it."""
        return json.loads(json.dumps({k: v for k, v in asdict(self).items() if k != "id"}))

    def digest(self) -> str:
        """Return a short hash of what is claimed and how it is judged; reasons and pilots are not part of it."""
        deciding = {name: value for name, value in self.text().items() if name not in ("why", "pilots", "where")}
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]

    def outcomes(self, numbers: Mapping[str, Any]) -> list[bool]:
        """Return whether each test holds of the numbers."""
        return [test.holds(numbers) for test in self.tests]

    def verdict(self, numbers: Mapping[str, Any]) -> str:
        """Return the verdict, one of ``VERDICTS``, that follows from the tests.

        Example:
            >>> third = Claim("third", "A third is 0.333.", "Rounded.", "ace", "Sec. 1", "number", "0.333", pilots="none",
            ...               tests=(Test("to the last digit", "abs(ours - 0.333) < threshold", threshold=5e-4),))
            >>> third.verdict({"ours": 1 / 3}), third.verdict({"ours": 0.34})
            ('number reproduced', 'refuted')
        """
        if not self.tests:
            return UNTESTED
        readings, conditions = (
            [test.holds(numbers) for test in self.tests if test.role == role] for role in ("reading", "condition")
        )
        if readings and all(readings):
            return NUMBER if self.kind == "number" else FINDING
        return CONDITION if any(readings) or any(conditions) else REFUTED


def claim_from(key: str, entry: Mapping[str, Any]) -> Claim:
    """Return the claim that a table of ``book/claims.toml`` describes.

    Raises:
        ValueError: for a bad id, a missing, empty or unknown entry, or an inequality that is none.
    """
    entry = dict(entry)
    tests = tuple(_test(key, number, test) for number, test in enumerate(entry.pop("tests", ())))
    _only(entry, Claim, f"claim {key!r}")
    claim = Claim(key, **{"statement": "", "why": "", **entry}, tests=tests)
    needed = ("statement", "why", *(("where", "kind", "printed", "pilots") if claim.theirs and tests else ()))
    for name in needed:
        text = getattr(claim, name)
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name} of claim {key!r} must be a text that is not empty, got {text!r}")
    if not _ID.fullmatch(key):
        raise ValueError(f"key must be lower-case letters, digits and single hyphens, such as 'iris-setosa', got {key!r}")
    _one_of(claim.paper, (*PAPERS, None), f"paper of claim {key!r}")
    _one_of(claim.kind, KINDS, f"kind of claim {key!r}")
    roles = [test.role for test in tests]
    if tests and set(roles) == {"control"}:
        raise ValueError(f"tests of claim {key!r} must hold a reading or a condition, got controls alone")
    if claim.theirs and ("condition" in roles or roles.count("reading") > 1) and not claim.condition.strip():
        raise ValueError(f"condition of claim {key!r} must say under which it may hold, got none")
    return claim


def _test(key: str, number: int, entry: Mapping[str, Any]) -> Test:
    what = f"test {number} of claim {key!r}"
    _only(entry, Test, what)
    test = Test(**{"reading": "", "inequality": "", **entry, "others": tuple(entry.get("others", ()))})
    if not test.reading.strip():
        raise ValueError(f"reading of {what} must be a text that is not empty, got {test.reading!r}")
    asks = "threshold" in names_in(test.inequality)
    if asks != (test.threshold is not None):
        raise ValueError(f"threshold of {what} must be given if its inequality asks for it, and only then")
    if test.others and not asks:
        raise ValueError(f"others of {what} must be left out where there is no threshold, got {test.others}")
    _one_of(test.evidence, tuple(EVIDENCE), f"evidence of {what}")
    _one_of(test.role, ROLES, f"role of {what}")
    return test


def _only(entry: Mapping[str, Any], kind: type, what: str) -> None:
    unknown = sorted(set(entry) - {field.name for field in fields(kind)})
    if unknown:
        raise ValueError(f"{what} must have the entries of {kind.__name__}, got {', '.join(unknown)}")


def _one_of(value: Any, known: tuple[Any, ...], what: str) -> None:
    if value not in known:
        raise ValueError(f"{what} must be one of {', '.join(map(str, known))}, got {value!r}")


def read_claims(path: Path | None = None) -> dict[str, Claim]:
    """Return every claim by id, in the order of the file.

    Args:
        path: the file; default ``book/claims.toml``.

    Raises:
        ValueError: as ``claim_from``.
    """
    path = root() / "book/claims.toml" if path is None else path
    return _read(path, path.stat().st_mtime_ns)


@cache
def _read(path: Path, changed: int) -> dict[str, Claim]:
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {key: claim_from(key, entry) for key, entry in entries.items()}


def judged(key: str, folder: Path | None = None) -> tuple[str, dict[str, Any]] | None:
    """Return the chapter and the entry of a claim in the full runs on file, None where no full run has judged it.

    Args:
        key: the claim's id.
        folder: folder of the ledger; default ``data/ledger``.
    """
    folder = root() / "data/ledger" if folder is None else folder
    for path in sorted(folder.glob("*.json")):
        entries = {entry["id"]: entry for entry in _run(path, path.stat().st_mtime_ns)}
        if key in entries and "digest" in entries[key]:
            return path.stem, entries[key]
    return None


@cache
def _run(path: Path, changed: int) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["claims"]
