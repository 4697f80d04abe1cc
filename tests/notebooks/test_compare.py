"""The comparison of stored notebooks lets a number move within its tolerance, and nothing else.

Small notebooks are executed, their stored outputs are changed by hand, and nbval is run on them in a process of its own
with the project's own conftest.py.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import conftest
from acelib.lab.claims import claim_from
from acelib.lab.ledger import CLAIM_MIME, RECORD_MIME, claim_item, record_item, render_claim, render_record

ROOT = Path(__file__).resolve().parents[2]
CLAIM = dict(
    paper="ace",
    where="here",
    statement="A half.",
    kind="number",
    printed="0.5",
    why="It is.",
    pilots="none",
    tests=[dict(reading="nearly", inequality="abs(a - 0.5) < 0.1")],
)
SOURCE = [
    "from acelib.lab.claims import claim_from\nfrom acelib.lab.ledger import claim_item, publish, record, render_claim",
    "record('t-half', 0.5, tol=1e-3, unit='m')",
    "record('t-flag', True)\nrecord('t-count', 7)",
    f"item = claim_item(claim_from('t-claim', {CLAIM}), {{'a': 0.5}}, tol=1e-3, profile='quick')\n"
    "publish(render_claim(item), {})",
]


@pytest.fixture(scope="module")
def executed():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in SOURCE])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return NotebookClient(notebook, kernel_name="python3", timeout=60).execute()


@pytest.fixture(scope="module")
def verdicts(executed, tmp_path_factory):
    """name of each change -> whether nbval passed, and everything it printed; all in one run of pytest."""
    folder = tmp_path_factory.mktemp("compare")
    shutil.copy(ROOT / "conftest.py", folder / "conftest.py")
    for name, change in CHANGES.items():
        notebook = copy.deepcopy(executed)
        change(notebook)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "-rA", "-q"]
    command += ["--nbval-sanitize-with", str(ROOT / "tests/notebooks/sanitize.cfg"), "--rootdir", str(folder), folder]
    run = subprocess.run(
        command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    text = run.stdout
    return {name: f"FAILED {name}.ipynb" not in text and f"PASSED {name}.ipynb" in text for name in CHANGES}, text


def _record(cell: int, output: int = 0, **new):
    """A change: the stored record gets other fields, rendered as record() would render them."""

    def change(notebook):
        out = notebook.cells[cell].outputs[output]
        out["data"] = nbformat.from_dict(render_record(dict(out["data"][RECORD_MIME]) | new))

    return change


def _claim(**new):
    def change(notebook):
        out = notebook.cells[3].outputs[0]
        out["data"] = nbformat.from_dict(render_claim(dict(out["data"][CLAIM_MIME]) | new))

    return change


def _drop(notebook):
    del notebook.cells[2].outputs[1]


def _add(notebook):
    item = record_item("t-more", 1)
    notebook.cells[2].outputs.append(nbformat.v4.new_output("display_data", data=render_record(item)))


def _edit_text(notebook):
    notebook.cells[1].outputs[0]["data"]["text/plain"] = "t-half = 0.7 m"


def _extra_text(notebook):
    notebook.cells[1].outputs.append(nbformat.v4.new_output("stream", name="stdout", text="more\n"))


CHANGES = {
    "same": lambda notebook: None,
    "half-tolerance": _record(1, value=0.5005),
    "two-tolerances": _record(1, value=0.502),
    "other-tolerance": _record(1, tol=1.0),
    "other-unit": _record(1, unit="s"),
    "flag-flipped": _record(2, 0, value=False),
    "flag-as-number": _record(2, 0, value=1),
    "count-off-by-one": _record(2, 1, value=8),
    "record-missing": _drop,
    "record-extra": _add,
    "text-edited": _edit_text,
    "text-added": _extra_text,
    "claim-half-tolerance": _claim(numbers={"a": 0.4995}),
    "claim-two-tolerances": _claim(numbers={"a": 0.498}),
    "claim-more-numbers": _claim(numbers={"a": 0.5, "b": 0.5}, tol={"a": 1e-3, "b": 1e-3}),
    "claim-verdict": _claim(outcomes=[False], verdict="refuted"),
    "claim-reason": _claim(claim=claim_from("t-claim", CLAIM | {"why": "It was."}).text()),
}
PASS = {"same", "half-tolerance", "claim-half-tolerance"}
SAYS = {
    "two-tolerances": "stored 0.502, now 0.5, which is not within its tolerance 0.001",
    "other-tolerance": "record 't-half': tol was 1.0 and is now 0.001",
    "record-missing": "record 't-count' is shown and not stored",
    "record-extra": "record 't-more' is stored and no longer shown",
    "claim-verdict": "claim 't-claim': outcomes was [False] and is now [True]",
}


@pytest.mark.parametrize("name", CHANGES)
def test_comparison(verdicts, name):
    """Half a tolerance passes; two tolerances, another verdict, tolerance, unit, id or text fail."""
    passed, printed = verdicts
    assert passed[name] == (name in PASS), f"{name}: {'passed' if passed[name] else 'failed'}\n{printed[-6000:]}"


@pytest.mark.parametrize("name", SAYS)
def test_failure_says_what_changed(verdicts, name):
    assert SAYS[name] in verdicts[1]


def test_items_of_this_file_are_what_record_and_claim_emit(executed):
    """The stored outputs are the renderings used above, so that each change alters one thing only."""
    data = executed.cells[1].outputs[0]["data"]
    assert dict(data) == render_record(record_item("t-half", 0.5, tol=1e-3, unit="m"))
    item = claim_item(claim_from("t-claim", CLAIM), {"a": 0.5}, tol=1e-3, profile="quick")
    assert dict(executed.cells[3].outputs[0]["data"]) == render_claim(item)


@pytest.mark.parametrize(
    "stored, new, equal",
    [
        ("ACE = 0.1864 (0.15 to 0.21); 72% leave", "ACE = 0.1865 (0.15 to 0.21); 71% leave", True),
        ("ACE = 0.1864", "ACE = 0.1867", False),
        ("72% leave the data", "72% left the data", False),
        ("at -1.5", "at 1.5", False),
        ("3 of 5", "3 of 5 and 2", False),
    ],
)
def test_texts_of_players_are_near_where_the_last_digits_differ(stored, new, equal):
    assert conftest.near(stored, new) is equal


@pytest.mark.parametrize(
    "stored, new, equal",
    [(0.1, 0.1000001, True), ({"a": 1.0}, {"a": 1.001}, True), (0.1, 0.2, False), ({"a": 1.0}, {"b": 1.0}, False)],
)
def test_tolerances_that_follow_from_a_number_may_round(stored, new, equal):
    assert conftest.alike(stored, new) is equal
