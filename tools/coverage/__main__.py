"""The command ``python -m tools.coverage``: repeats the cases, writes the record, and the tables made from it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from acelib.lab.home import write_whole
from tools.bench import conditions
from tools.chapters import ROOT, say
from tools.coverage import page, record
from tools.coverage.run import Store, find, measure, subject


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Measure the coverage of some or all subjects, write ``data/coverage.json``, and return the exit status."""
    parser = argparse.ArgumentParser(prog="coverage", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these subjects (groups: cover_groups.py)")
    parser.add_argument("--reps", type=int, help="so many repetitions of each case; default: what each says")
    parser.add_argument("--processes", type=int, default=2, help="how many at a time; 0 works in this process")
    parser.add_argument("--tables", action="store_true", help="only make the tables again, from the record")
    chosen = parser.parse_args(arguments)
    out = root / "data/coverage.json"
    if chosen.tables:
        return tables(record.read(out), root)
    try:
        files = find(root)
        names = chosen.names or list(files)
        if not names or set(names) - set(files):
            raise ValueError(
                f"names must be some of {', '.join(files) or '(tests/coverage is empty)'}, "
                f"got {', '.join(names) or 'none'}"
            )
        if chosen.reps is not None and chosen.reps < 2:
            raise ValueError(f"reps must be at least 2, got {chosen.reps}; a share of fewer says nothing")
        subjects = {name: subject(path) for name, path in files.items()}
    except ValueError as error:
        say(str(error))
        return 1
    wanted = {
        (name, world): case.repetitions if chosen.reps is None else chosen.reps
        for name in names
        for world, case in subjects[name][1].items()
    }
    store = Store(root / "_build/coverage")
    try:
        done, failures = measure(wanted, files, store, processes=chosen.processes, root=root)
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        return 1
    new = {
        name: {
            "quantity": subjects[name][0],
            "conditions": conditions(1),
            "cases": {
                world: record.summary(done[name, world], case.truth)
                for world, case in subjects[name][1].items()
                if (name, world) in done
            },
        }
        for name in names
    }
    show(new)
    full = {name: {world: case.repetitions for world, case in cases.items()} for name, (_, cases) in subjects.items()}
    content = record.merged(record.read(out), new, full)
    record.write(out, content)
    tables(content, root)
    say(f"\nwritten: {out.relative_to(root)} and the tables in README.md and book/coverage.md")
    for failure in failures:
        say(f"FAILED   {failure}")
    return 1 if failures else 0


def tables(content: dict, root: Path) -> int:
    """Write the tables of README.md and of the book's page from a record, where these files are, and return 0."""
    for place, write in (("README.md", page.quote), ("book/coverage.md", page.fill)):
        if (root / place).exists():
            text = write(content, (root / place).read_text(encoding="utf-8"))
            write_whole(root / place, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
    return 0


def show(new: dict) -> None:
    """Print what a run found, a line for each case."""
    for one in new.values():
        say(f"\n{one['quantity']}")
        for world, case in one["cases"].items():
            readings = "  ".join(f"{name} {page.percent(reading)}" for name, reading in case["readings"].items())
            sign = page.KINDS[page.kind(case)][0]
            say(f"  {sign} {world:<58} {readings}  warned {100 * case['warned']:.0f} %  ({case['repetitions']})")


if __name__ == "__main__":
    sys.exit(main())
