"""The record of the coverage, ``data/coverage.json``: counts by subject and world, and what they were counted on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acelib.lab.home import write_whole
from tools.coverage.run import Repetitions


def summary(repetitions: Repetitions, truth: str) -> dict[str, Any]:
    """Return the coverage of one case, by reading, its standard error, and how often a warning stood beside.

    A repetition counts with the share of its values that were held, so that the standard error, of a mean over
    independent repetitions, is the binomial one where there is one value and takes their dependence into account where
    there are several. Where all repetitions agree it is that of one more hit and one more miss, so that 1000 of 1000 is
    not said to be exact.

    Example:
        >>> one = {"held": {"stderr": 1.0}, "values": 1, "warned": []}
        >>> found = summary({0: one, 1: one | {"held": {"stderr": 0.0}, "warned": ["SupportWarning"]}}, "By hand.")
        >>> assert found["readings"]["stderr"]["coverage"] == found["warned"] == 0.5 and found["repetitions"] == 2
    """
    count, readings = len(repetitions), {}
    for name in next(iter(repetitions.values()))["held"]:
        shares = [one["held"][name] for one in repetitions.values()]
        mean = sum(shares) / count
        variance = sum((share - mean) ** 2 for share in shares) / max(1, count - 1)
        least = (count + 1) / (count + 2) ** 2
        readings[name] = {"coverage": round(mean, 6), "error": round(((variance or least) / count) ** 0.5, 6)}
    classes = Counter(name for one in repetitions.values() for name in one["warned"])
    return {
        "truth": truth,
        "repetitions": count,
        "values": max(one["values"] for one in repetitions.values()),
        "readings": readings,
        "warned": round(sum(bool(one["warned"]) for one in repetitions.values()) / count, 6),
        "warnings": {name: round(number / count, 6) for name, number in sorted(classes.items())},
    }


def read(path: Path) -> dict[str, Any]:
    """Return the record in a file; an empty one where there is none yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"results": {}}


def merged(record: Mapping[str, Any], new: Mapping[str, Any], full: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return the record with new results by subject.

    A world that a subject no longer has is left out, and so is a subject that is gone. A short look costs the record
    nothing: a case is replaced by one of fewer repetitions only if these are a full run's.

    Args:
        record: the content of the file.
        new: ``{subject: {"quantity", "conditions", "cases": {world: summary}}}`` of a run.
        full: repetitions of a full run by subject and world, in the order of their files.
    """
    results = {}
    for name, worlds in full.items():
        old = record["results"].get(name, {"cases": {}})
        fresh, cases = new.get(name, {"cases": {}}), {}
        for world, count in worlds.items():
            before, now = old["cases"].get(world), fresh["cases"].get(world)
            if now and (not before or now["repetitions"] >= min(count, before["repetitions"])):
                cases[world] = now
            elif before:
                cases[world] = before
        if cases:
            replaced = any(case is fresh["cases"].get(world) for world, case in cases.items())
            results[name] = (fresh if replaced else old) | {"cases": cases}
    return {"results": results}


def write(path: Path, record: Mapping[str, Any]) -> Path:
    """Write the record, to a temporary name first, and return its path; the order of subjects and worlds is kept."""
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    return write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
