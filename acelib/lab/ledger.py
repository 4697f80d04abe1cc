"""Records, the numbers that a chapter shows, and claims, a paper's statements with a verdict.

Both are readable by programs: each is one cell output that carries its text, its JSON and, for a record, the value that
the prose prints. A record is equal to its stored self when ``|new - stored| <= tol``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acelib._saved import write_whole
from acelib.lab.cards import claim_html, claim_text, number_text

RECORD_MIME = "application/vnd.acelib.record+json"
CLAIM_MIME = "application/vnd.acelib.claim+json"
PROVENANCE_MIME = "application/vnd.acelib.provenance+json"
GLUE_PREFIX = "application/papermill.record/"
VERDICTS = ("reproduced", "reproduced with a correction", "not reproduced", "cannot be tested here")

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_seen: dict[tuple[str, str], tuple[Any, Any]] = {}  # (kind, id) -> (what it says, the cell run that said it)


def record(key: str, value: Any, *, tol: float | None = None, unit: str = "") -> None:
    """Show ``key = value`` once and make the value readable for the prose, the ledger and the tests.

    Args:
        key: the record's name: lower-case letters, digits and single hyphens, unique in the book.
        value: a finite number, a truth value or a text; numpy and torch scalars are accepted.
        tol: the largest difference that still counts as the same value, in the value's unit. Needed for a float;
            whole numbers, truth values and texts are exact unless it is given (the last two always are).
        unit: the unit as it should stand behind the number, such as ``"s"`` or ``"model rows"``.

    Raises:
        ValueError: for a bad key, a value that is not finite, a negative or missing tolerance, a key used twice.
        TypeError: for a value that is no number, truth value or text.

    Example:
        >>> record("doc-half", 0.5, tol=1e-6)
        doc-half = 0.5
    """
    item = record_item(key, value, tol=tol, unit=unit)
    _remember("record", key, None)
    publish(render_record(item), {"scrapbook": {"name": key, "mime_prefix": GLUE_PREFIX}})


def record_all(values: Mapping[str, Any], prefix: str = "", *, tol: float | None = None, unit: str = "") -> None:
    """Show each value as the record ``prefix + its name``, all with one tolerance and one unit.

    Args:
        values: the values by name; names complete the ids.
        prefix: start of every id.
        tol: as for ``record``; truth values and texts stay exact.
        unit: as for ``record``.

    Raises:
        ValueError: as for ``record``.
        TypeError: as for ``record``.

    Example:
        >>> record_all({"half": 0.5, "third": 1 / 3, "same": False}, "doc-all-", tol=1e-3)
        doc-all-half = 0.5
        doc-all-third = 0.333
        doc-all-same = False
    """
    for name, value in values.items():
        value = _scalar(value, f"the value of record {prefix + name!r}")
        record(prefix + name, value, tol=None if isinstance(value, bool | str) else tol, unit=unit)


def claim(
    key: str,
    statement: str,
    *,
    source: str,
    paper: str | float,
    inequality: str,
    ours: Any,
    tol: float,
    holds: bool | None,
    reason: str,
    correction: str | None = None,
) -> None:
    """Show a paper's statement beside our numbers, with the verdict that follows from them.

    Args:
        key: the claim's name: lower-case letters, digits and single hyphens, unique in the book.
        statement: what the paper says, in one sentence of our own.
        source: where it says so, such as ``"ACE paper, Sec. 2"``.
        paper: the paper's number or words.
        inequality: the test that was written down before the run.
        ours: our number, a dictionary of named numbers, or None where nothing could be run.
        tol: the largest difference of ``ours`` between two runs that still counts as the same.
        holds: whether the inequality holds; None where it cannot be tested here.
        reason: one or two plain sentences that explain the verdict.
        correction: what had to be corrected before it held.

    Raises:
        ValueError: for a bad key, an empty text, a number that is not finite, a negative tolerance, missing ``ours``,
            or a key that already stands for another statement in this session.
        TypeError: if ``holds`` is neither a truth value nor None.

    Example:
        >>> claim("doc-third", "A third is 0.333.", source="school", paper=0.333, inequality="|ours - paper| < 5e-4",
        ...       ours=1 / 3, tol=1e-9, holds=abs(1 / 3 - 0.333) < 5e-4, reason="The fourth digit is rounded away.")
        [reproduced] doc-third: A third is 0.333. (school)
          test: |ours - paper| < 5e-4
          paper: 0.333 | ours: 0.333333333
          The fourth digit is rounded away.
    """
    item = claim_item(
        key,
        statement,
        source=source,
        paper=paper,
        inequality=inequality,
        ours=ours,
        tol=tol,
        holds=holds,
        reason=reason,
        correction=correction,
    )
    _remember("claim", key, statement)
    publish(render_claim(item), {})


def record_item(key: str, value: Any, *, tol: float | None = None, unit: str = "") -> dict[str, Any]:
    """Return the checked record as plain JSON data: id, value, tol, unit."""
    _check_id(key)
    value = _scalar(value, f"the value of record {key!r}")
    if tol is None and isinstance(value, float):
        raise ValueError(f"tol of record {key!r} must be given for a float, got none; take its error bar or less")
    tol = _tolerance(tol or 0, f"record {key!r}")
    if tol > 0 and isinstance(value, (bool, str)):
        raise ValueError(f"tol of record {key!r} must be 0 for a {type(value).__name__}, got {tol}; leave it out")
    return {"id": key, "value": value, "tol": tol, "unit": str(unit)}


def claim_item(
    key: str,
    statement: str,
    *,
    source: str,
    paper: str | float,
    inequality: str,
    ours: Any,
    tol: float,
    holds: bool | None,
    reason: str,
    correction: str | None = None,
) -> dict[str, Any]:
    """Return the checked claim as plain JSON data, with its verdict."""
    _check_id(key)
    texts = {"statement": statement, "source": source, "paper": str(paper), "inequality": inequality, "reason": reason}
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name} of claim {key!r} must be a text that is not empty, got {text!r}")
    if holds is not None:
        holds = _scalar(holds, f"holds of claim {key!r}")
        if not isinstance(holds, bool):
            raise TypeError(f"holds of claim {key!r} must be True, False or None (cannot be tested), got {holds!r}")
    if correction is not None and not str(correction).strip():
        raise ValueError(
            f"correction of claim {key!r} must be a text, got {correction!r}; leave it out if there is none"
        )
    if ours is None and holds is not None:
        raise ValueError(f"ours of claim {key!r} must be what decided it, got none; if nothing was run, holds is None")
    if isinstance(ours, Mapping):
        named = sorted((str(name), value) for name, value in ours.items())  # notebooks store keys in this order
        ours = {name: _scalar(value, f"ours[{name!r}] of claim {key!r}") for name, value in named}
    elif ours is not None:
        ours = _scalar(ours, f"ours of claim {key!r}")
    return {
        "id": key,
        **texts,
        "ours": ours,
        "tol": _tolerance(tol, f"claim {key!r}"),
        "holds": holds,
        "correction": None if correction is None else str(correction),
        "verdict": verdict(holds, correction),
    }


def verdict(holds: bool | None, correction: str | None = None) -> str:
    """Return the verdict as text, one of ``VERDICTS``.

    Example:
        >>> verdict(True), verdict(True, "the sign"), verdict(False), verdict(None)
        ('reproduced', 'reproduced with a correction', 'not reproduced', 'cannot be tested here')
    """
    if holds is None:
        return VERDICTS[3]
    if not holds:
        return VERDICTS[2]
    return VERDICTS[1] if correction else VERDICTS[0]


def render_record(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mime bundle of a record; the glued value keeps every digit, so that the prose may format it."""
    return {
        "text/plain": f"{item['id']} = {number_text(item['value'], item['tol'])} {item['unit']}".rstrip(),
        GLUE_PREFIX + "text/plain": repr(item["value"]),
        RECORD_MIME: dict(item),
    }


def render_claim(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mime bundle of a claim: plain text, a boxed card, and its JSON."""
    return {"text/plain": claim_text(item), "text/html": claim_html(item), CLAIM_MIME: dict(item)}


def collect(notebook: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the records and the claims stored in a notebook's outputs, in order, as plain dictionaries.

    Args:
        notebook: the path of an ``.ipynb`` file, or a notebook node already read.

    Raises:
        ValueError: for an id that occurs twice.
    """
    records, claims = outputs_of(notebook, RECORD_MIME), outputs_of(notebook, CLAIM_MIME)
    for kind, items in (("record", records), ("claim", claims)):
        names = [item["id"] for item in items]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"notebook must hold every id once, got the {kind} {twice[0]!r} more than once")
    return records, claims


def outputs_of(notebook: Any, mime: str) -> list[dict[str, Any]]:
    """Return every output of one mime type in a notebook (path or node), in order, as plain dictionaries."""
    if isinstance(notebook, (str, os.PathLike)):
        notebook = json.loads(Path(notebook).read_text(encoding="utf-8"))
    outputs = (out for cell in notebook["cells"] for out in cell.get("outputs", ()))
    return [json.loads(json.dumps(out["data"][mime])) for out in outputs if mime in out.get("data", {})]


def save_ledger(notebook: Any, path: str | os.PathLike, *, profile: str) -> dict[str, Any]:
    """Write a run's records, claims and provenance as JSON, by renaming, and return what was written.

    Args:
        notebook: the executed notebook (path or node).
        path: the file to write, such as ``data/ledger/04-causal-regressors.json``.
        profile: the profile the notebook was executed with.

    Raises:
        ValueError: if the notebook carries no provenance, or was run at another profile.
    """
    records, claims = collect(notebook)
    footers = outputs_of(notebook, PROVENANCE_MIME)
    if not footers:
        raise ValueError("notebook must end with its provenance, got none; call provenance(...) in its last cell")
    if footers[-1]["profile"] != profile:
        raise ValueError(f"profile of the run must be {profile!r}, got {footers[-1]['profile']!r}")
    path = Path(path)
    entry = {"chapter": path.stem, "profile": profile, "provenance": footers[-1], "records": records, "claims": claims}
    text = json.dumps(entry, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return entry


def _check_id(key: Any) -> None:
    if not isinstance(key, str) or not _ID.fullmatch(key):
        raise ValueError(f"key must be lower-case letters, digits and single hyphens, such as 'ab-ig-a', got {key!r}")


def _tolerance(tol: Any, what: str) -> float:
    tol = _scalar(tol, f"tol of {what}")
    if isinstance(tol, (bool, str)) or tol < 0:
        raise ValueError(f"tol of {what} must be a number >= 0 in the value's own unit, got {tol!r}")
    return float(tol)


def _scalar(value: Any, what: str) -> bool | int | float | str:
    """Return a plain finite Python scalar from a Python, numpy or torch one."""
    if hasattr(value, "item") and getattr(value, "size", None) is not None:
        size = value.numel() if hasattr(value, "numel") else value.size
        if size != 1:
            raise TypeError(f"{what} must be a single number, got an array of {size}; choose an element or an average")
        value = value.item()
    if not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"{what} must be a number, a truth value or a text, got {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{what} must be finite, got {value}; look for the division or logarithm that made it")
    return value


def _remember(kind: str, key: str, says: Any) -> None:
    """Refuse an id that means two things; running the same cell again is fine."""
    from IPython import get_ipython

    shell = get_ipython()
    run = None if shell is None else shell.execution_count
    before = _seen.get((kind, key))
    if before is not None and before[0] != says:
        raise ValueError(
            f"key must stand for one {kind}, got {key!r} for another statement; take a new one, or restart"
        )
    if before is not None and run is not None and before[1] == run:
        raise ValueError(f"key must be used once in the book, got the {kind} {key!r} twice in one cell")
    _seen[kind, key] = (says, run)


def publish(data: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Display one output; outside IPython print its text."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(data["text/plain"])
    else:
        display(data, raw=True, metadata=metadata)
