"""Records, the numbers that a chapter shows, and claims, a paper's statements with the numbers that judge them.

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

from acelib._optional import optional
from acelib._saved import write_whole
from acelib.lab.claims import UNTESTED, Claim, judged, read_claims
from acelib.lab.claims.cards import claim_html, claim_text, number_text
from acelib.lab.home import data_file

RECORD_MIME = "application/vnd.acelib.record+json"
CLAIM_MIME = "application/vnd.acelib.claim+json"
PROVENANCE_MIME = "application/vnd.acelib.provenance+json"
GLUE_PREFIX = "application/papermill.record/"

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
    key: str, numbers: Mapping[str, Any] | None = None, *, tol: float | Mapping[str, float] | None = None
) -> None:
    """Show a claim of ``book/claims.toml`` with our numbers and the verdict that follows from them.

    A full run shows its own verdict. Any other run shows the verdict of the last full run on file, and whether its own
    numbers lead to the same.

    Args:
        key: the claim's id.
        numbers: our numbers by the names that its inequalities use; more may be given, and are shown. None where the
            claim cannot be tested here, or where only a full run computes them.
        tol: the largest difference of a number between two runs that still counts as the same; one for all, or by
            name. Truth values and texts are exact.

    Raises:
        ValueError: for an id without a claim, a number that is missing or not finite, a missing or negative tolerance.
        TypeError: for a number that is no number, truth value or text.

    Example:
        >>> claim("ab-ig-printed", {"worst": 1e-5}, tol=1e-6)  # doctest: +SKIP
    """
    known = read_claims()
    if key not in known:
        raise ValueError(f"key must be the id of a claim in book/claims.toml, got {key!r}")
    profile = _profile()
    full = None if profile == "full" else judged(key)
    if full is not None:
        data_file("ledger", f"{full[0]}.json")  # a new full run changes the card
    item = claim_item(known[key], numbers, tol=tol, profile=profile, full=None if full is None else full[1])
    _remember("claim", key, item["digest"])
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
    claim: Claim,
    numbers: Mapping[str, Any] | None,
    *,
    tol: float | Mapping[str, float] | None = None,
    profile: str = "full",
    full: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a claim and the numbers of one run as plain JSON data, with the entry of the last full run beside them."""
    what = f"claim {claim.id!r}"
    if numbers is not None and not (claim.tests and numbers):
        raise ValueError(f"numbers of {what} must be left out where there is none to test, got {dict(numbers)}")
    if numbers is None and claim.tests and profile == "full":
        raise ValueError(f"numbers of {what} must be given in a full run, got none")
    plain = {str(k): _scalar(v, f"number {k!r} of {what}") for k, v in sorted((numbers or {}).items())}
    limits = {}
    for name, value in plain.items():
        own = tol.get(name) if isinstance(tol, Mapping) else tol
        if isinstance(value, (bool, str)):
            own = 0
        elif own is None and isinstance(value, float):
            raise ValueError(f"tol of {what} must be given for the float {name!r}, got none")
        limits[name] = _tolerance(own or 0, what)
    item = {"id": claim.id, "claim": claim.text(), "digest": claim.digest(), "profile": profile}
    if numbers is not None:
        item |= {"verdict": claim.verdict(plain), "outcomes": claim.outcomes(plain)}
    elif not claim.tests:
        item |= {"verdict": UNTESTED, "outcomes": []}
    kept = ("digest", "verdict", "outcomes", "numbers", "tol", "claim")
    before = None if full is None else {name: full[name] for name in kept}
    return item | {"numbers": plain, "tol": limits, "full": before}


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
    claims = [{name: value for name, value in item.items() if name != "full"} for item in claims]
    entry = {"chapter": path.stem, "profile": profile, "provenance": footers[-1], "records": records, "claims": claims}
    text = json.dumps(entry, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return entry


def _profile() -> str:
    """Return the profile of the notebook that runs, its parameter; ``quick`` outside of one."""
    shell = _shell()
    return "quick" if shell is None else str(shell.user_ns.get("profile", "quick"))


def _shell() -> Any:
    return optional("IPython", "a record of the book").get_ipython()


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
    shell = _shell()
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
    if _shell() is None:
        print(data["text/plain"])
    else:
        optional("IPython.display", "a record").display(data, raw=True, metadata=metadata)
