"""The comparison of stored notebooks, and the order of tests.

nbval stays strict; only records and claims are compared as numbers.

A record is equal to its stored self when its value lies within its tolerance; a claim, when its numbers do. All their
other fields must be equal, but for tolerances that follow from a number, and the stored text must be what the package
makes of the stored data, so that neither an old rendering nor an edited output passes. In players, which print numbers
without tolerances, two units of the last digit are let pass. Everything else is compared by nbval as it is.

pytest-randomly runs the tests in a random order, whose seed is printed at the end; the cells of a notebook keep theirs.
"""

from __future__ import annotations

import copy
import math
import os
import re
from importlib.util import find_spec
from typing import Any

import pytest
from nbval.plugin import IPyNbCell

collect_ignore = [] if find_spec("dowhy") else ["acelib/adapters/dowhy.py"]  # its example; not there on Python 3.13
_strict = IPyNbCell.compare_outputs
os.environ["ACELIB_EXPLORE"] = "page"  # for the kernels of nbval too: outputs are compared as tools.execute stores them


def close(stored: Any, new: Any, tol: Any) -> bool:
    """Return whether two values agree within ``tol``; texts and truth values exactly, dictionaries key by key."""
    if isinstance(stored, dict) or isinstance(new, dict):
        same_keys = isinstance(stored, dict) and isinstance(new, dict) and stored.keys() == new.keys()
        return same_keys and all(close(stored[key], new[key], tol[key]) for key in stored)
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (stored, new))
    return abs(stored - new) <= tol if numbers else type(stored) is type(new) and stored == new


def alike(stored: Any, new: Any) -> bool:
    """Return whether two tolerances are the same: one that follows from a number moves with its last digits."""
    if isinstance(stored, dict) and isinstance(new, dict):
        return stored.keys() == new.keys() and all(alike(stored[key], new[key]) for key in stored)
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (stored, new))
    return math.isclose(stored, new, rel_tol=0.01) if numbers else stored == new


FRAME = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")  # as tests/notebooks/sanitize.cfg has it
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def near(stored: str, new: str) -> bool:
    """Return whether texts are equal but for numbers that differ by two units of their last digit at most.

    Pictures and their descriptions print numbers without a tolerance, and processors round differently.
    """
    if NUMBER.sub("#", stored) != NUMBER.sub("#", new):
        return False
    for one, other in zip(NUMBER.findall(stored), NUMBER.findall(new), strict=True):
        digits = max(len(text.partition(".")[2]) for text in (one, other))
        if abs(float(one) - float(other)) > 2.001 * 10.0**-digits:
            return False
    return True


def accept_texts(test: list[Any], ref: list[Any]) -> list[Any]:
    """Return the new outputs, with the stored form of players whose texts are near the stored ones."""
    test = list(test)
    for number, (new, stored) in enumerate(zip(test, ref, strict=False)):
        one, other = (out.get("data", {}).get("text/html", "") for out in (stored, new))
        if "<figure" in one and one != other and near(FRAME.sub("", one), FRAME.sub("", other)):
            test[number] = copy.deepcopy(stored)
    return test


def explain(kind: str, number: str, stored: dict[str, Any], new: dict[str, Any]) -> str | None:
    """Return in one sentence how a record or claim differs from its stored self, or None where it does not."""
    name = f"{kind} {stored['id']!r}"
    for field in [key for key in stored if key != number] + [key for key in new if key not in stored]:
        if field == "tol" and alike(stored.get(field), new.get(field)):
            continue
        if stored.get(field) != new.get(field):
            return f"{name}: {field} was {stored.get(field)!r} and is now {new.get(field)!r}."
    if not close(stored[number], new[number], stored["tol"]):
        tol = stored["tol"]
        return f"{name}: stored {stored[number]!r}, now {new[number]!r}, which is not within its tolerance {tol!r}."
    return None


def accept_numbers(test: list[Any], ref: list[Any]) -> tuple[list[Any], list[str]]:
    """Return the new outputs, with the stored form of what is within tolerance, and the problems as sentences."""
    from acelib.lab.ledger import CLAIM_MIME, RECORD_MIME, render_claim, render_record

    test, problems = copy.deepcopy(list(test)), []
    kinds = (("record", RECORD_MIME, "value", render_record), ("claim", CLAIM_MIME, "numbers", render_claim))
    for kind, mime, number, render in kinds:
        stored = {out["data"][mime]["id"]: out["data"] for out in ref if mime in out.get("data", {})}
        new = {out["data"][mime]["id"]: out for out in test if mime in out.get("data", {})}
        problems += [f"{kind} {name!r} is stored and no longer shown." for name in stored if name not in new]
        problems += [f"{kind} {name!r} is shown and not stored." for name in new if name not in stored]
        for name in stored.keys() & new.keys():
            problem = explain(kind, number, stored[name][mime], new[name]["data"][mime])
            if problem:
                problems.append(problem)
            else:
                new[name]["data"] = render(stored[name][mime])
    return test, problems


def compare_outputs(self, test, ref, skip_compare=None) -> bool:
    """Compare outputs as nbval does, after records and claims have been compared as numbers."""
    test, problems = accept_numbers(test, ref)
    if problems:
        self.comparison_traceback = [*problems, "Look for the cause; if the new output is right: `make refresh`."]
        return False
    return _strict(self, accept_texts(test, ref), ref, skip_compare)


IPyNbCell.compare_outputs = compare_outputs


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the cells of each notebook back in their order."""
    cells = [item for item in items if isinstance(item, IPyNbCell)]
    cells.sort(key=lambda cell: (str(cell.path), cell.cell_num))
    items[:] = [item for item in items if not isinstance(item, IPyNbCell)] + cells


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the seed of the order, with which a failure can be repeated."""
    seed = config.getoption("randomly_seed", None)
    if seed is not None:
        terminalreporter.write_line(f"random order of the tests: --randomly-seed={seed} repeats it")
