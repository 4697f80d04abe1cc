"""A tolerance that lets every value pass is none: records and claims must be able to fail.

Judged are a share (a number of [0, 1] without a unit) whose tolerance is the whole of [0, 1], a count whose tolerance
is as large as the count, and a number whose tolerance exceeds the error bar that the chapter itself states: the record
of that name with ``-err``, ``-error``, ``-stderr`` or ``-se`` behind it, or the one behind ± in the prose. Zeros are
not judged, nothing tells how large they could be; nor error bars of rounding, which another processor makes 0.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from acelib.lab.ledger import collect
from tools.chapters import ROOT, find_chapters, read_notebook

CHAPTERS = find_chapters(ROOT)
LIST = Path(__file__).with_name("loose.toml")  # what cannot fail yet
AROUND = re.compile(r"\{glue:text\}`([a-z0-9-]+):[^`:]*`\s*±\s*\{glue:text\}`([a-z0-9-]+):[^`:]*`")
ROUNDING = 1e-12
SUFFIXES = ("-err", "-error", "-stderr", "-se")


def cannot_fail(value: Any, tol: float, unit: str = "") -> str | None:
    """Return why a value with this tolerance passes whatever it becomes, or None."""
    if isinstance(value, bool | str) or tol == 0:
        return None
    if isinstance(value, int) and 0 < abs(value) <= tol:
        return f"a count of {value} with the tolerance {tol:g}"
    if isinstance(value, float) and not unit and 0 < value <= 1 <= tol:
        return f"a share of {value:.3g} with the tolerance {tol:g}"
    return None


def error_bars(values: dict[str, Any], prose: str) -> set[tuple[str, str]]:
    """Return the pairs of a record and the record that holds its error bar."""
    named = {(key, key + suffix) for key in values for suffix in SUFFIXES if key + suffix in values}
    written = {pair for pair in AROUND.findall(prose) if set(pair) <= values.keys()}
    return named | written


def loose(records: list[dict[str, Any]], claims: list[dict[str, Any]], prose: str) -> dict[str, str]:
    """Return what cannot fail in a chapter, by id (of a claim with its number), with the reason."""
    found = {}
    for item in records:
        found[item["id"]] = cannot_fail(item["value"], item["tol"], item["unit"])
    for item in claims:
        for name, value in item["numbers"].items():
            found[f"{item['id']}.{name}"] = cannot_fail(value, item["tol"][name])
    by_id = {item["id"]: item for item in records}
    for key, error in sorted(error_bars(by_id, prose)):
        tol, bar = by_id[key]["tol"], by_id[error]["value"]
        if tol > bar > ROUNDING:
            found[key] = f"± {bar:.3g} with the tolerance {tol:g}"
    return {key: reason for key, reason in found.items() if reason}


@pytest.fixture(scope="module")
def listed():
    return tomllib.loads(LIST.read_text(encoding="utf-8"))["cannot-fail"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_record_and_claim_can_fail(path, listed):
    notebook = read_notebook(path)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found, known = loose(*collect(notebook), prose), set(listed.get(path.stem, []))
    assert {key: why for key, why in found.items() if key not in known} == {}, "take a smaller tolerance"
    assert sorted(known - set(found)) == [], f"these can fail by now: take them out of {LIST.name}"


def record(key, value, tol, unit=""):
    return {"id": key, "value": value, "tol": tol, "unit": unit}


CASES = [
    (0.4, 2.0, "", "a share of 0.4"),
    (0.4, 0.1, "", None),
    (0.4, 2.0, "s", None),
    (1.4, 2.0, "", None),
    (0.0, 2.0, "", None),
    (2, 2.0, "", "a count of 2"),
    (2, 1.0, "", None),
    (0, 1.0, "", None),
    (True, 0, "", None),
    ("text", 0, "", None),
]


@pytest.mark.parametrize("value, tol, unit, said", CASES)
def test_what_cannot_fail(value, tol, unit, said):
    reason = cannot_fail(value, tol, unit)
    assert reason is None if said is None else reason.startswith(said)


def test_error_bars_are_found_by_name_and_in_the_prose():
    """Tolerances of 0.2 beside error bars of 0.1: by the name, by ±, and in a claim's share; a smaller one passes."""
    bars = [record("a-err", 0.1, 0.01), record("spread", 0.1, 0.01)]
    values = [record("a", 3.0, 0.2), record("b", 3.0, 0.2), record("c", 3.0, 0.2), record("d", 3.0, 0.1)]
    values += [record("e", 0.0, 0.1), record("e-se", 0.0, 0.1)]
    prose = "b = {glue:text}`b:.1f` ±\n{glue:text}`spread:.2f`, d = {glue:text}`d:.1f` ± {glue:text}`spread:.2f`"
    claims = [{"id": "t", "numbers": {"share": 0.5, "n": 3}, "tol": {"share": 1.0, "n": 0.0}}]
    found = loose(values + bars, claims, prose)
    assert found == {
        "a": "± 0.1 with the tolerance 0.2",
        "b": "± 0.1 with the tolerance 0.2",
        "t.share": "a share of 0.5 with the tolerance 1",
    }
