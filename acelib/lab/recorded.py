"""Numbers on file: the records of a chapter's last full run, and the ratios and seconds of the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from acelib.lab.home import data_file


def full_numbers(chapter: str, prefix: str = "", *, folder: Path | None = None) -> dict[str, tuple[Any, float]]:
    """Return ``{id: (value, tol)}`` of the records of a chapter's last full run whose id starts with ``prefix``.

    Args:
        chapter: name of the chapter's file without its ending.
        prefix: start of the ids.
        folder: folder of the ledger; default ``data/ledger``.

    Raises:
        ValueError: if the chapter has no full run on file.

    Example:
        >>> value, tol = full_numbers("08-high-dimensions", "scale-conv-")["scale-conv-real"]
        >>> assert 0 < value < 1 and tol > 0
    """
    path = data_file("ledger", f"{chapter}.json") if folder is None else folder / f"{chapter}.json"
    if not path.is_file():
        raise ValueError(f"chapter {chapter!r} has no full run in data/ledger; run `make full CHAPTERS={chapter}`")
    records = json.loads(path.read_text(encoding="utf-8"))["records"]
    return {r["id"]: (r["value"], r["tol"]) for r in records if r["id"].startswith(prefix)}


def full_or_stored(
    chapter: str,
    prefix: str,
    compute: Callable[[], Mapping[str, Any]],
    *,
    full: bool,
    otherwise: Callable[[], Mapping[str, Any]] | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Return ``compute()`` at the full profile, else the numbers of the chapter's last full run on file.

    Args:
        chapter: name of the chapter's file without its ending.
        prefix: start of the records' ids; it is not part of the keys that come back.
        compute: runs the experiment at full size; called only where ``full`` is true.
        full: whether this run is at the full profile.
        otherwise: what a quick run takes where no full run is on file; default: an error.
        folder: folder of the ledger; default ``data/ledger``.

    Raises:
        ValueError: if the chapter has no full run on file and ``otherwise`` is not given.

    Example:
        >>> full_or_stored("00-none", "x-", lambda: {"one": 1}, full=True)
        {'one': 1}
        >>> full_or_stored("00-none", "x-", dict, full=False, otherwise=lambda: {"one": 2})
        {'one': 2}
    """
    if full:
        return dict(compute())
    try:
        stored = full_numbers(chapter, prefix, folder=folder)
    except ValueError:
        if otherwise is None:
            raise
        return dict(otherwise())
    return {key.removeprefix(prefix): value for key, (value, _) in stored.items()}


def timed_ratio(module: str, name: str, *, folder: Path | None = None) -> float | None:
    """Return the median of one ratio of times in ``data/benchmarks.json``, None where it has not been measured.

    Args:
        module: name of the benchmarks, such as ``"jets"``.
        name: name of the ratio.
        folder: folder of the file; default ``data``.
    """
    return _median(module, "ratios", name, folder)


def timed_seconds(module: str, name: str, *, folder: Path | None = None) -> float | None:
    """Return the median seconds of one case in ``data/benchmarks.json``, None where it has not been measured.

    Args:
        module: name of the benchmarks, such as ``"jets"``.
        name: name of the case.
        folder: folder of the file; default ``data``.
    """
    return _median(module, "seconds", name, folder)


def _median(module: str, kind: str, name: str, folder: Path | None) -> float | None:
    path = data_file("benchmarks.json") if folder is None else folder / "benchmarks.json"
    results = json.loads(path.read_text(encoding="utf-8"))["results"] if path.is_file() else {}
    found = results.get(module, {}).get(kind, {}).get(name)
    return None if found is None else found["median"]
