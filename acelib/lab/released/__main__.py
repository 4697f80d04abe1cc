"""Compute the facts about the released networks and write data/released.json: ``python -m acelib.lab.released``.

The clone is the folder that the environment variable ``ACELIB_RELEASED`` names.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from acelib.lab import home
from acelib.lab.datasets.registry import DataError
from acelib.lab.provenance import describe
from acelib.lab.released.facts import SHIPPED_FILE, as_json, differences, recorded
from acelib.lab.released.folder import ADDRESS, COMMIT, FILES, released_file
from acelib.lab.released.groups import GROUPS, compute
from acelib.lab.released.read_off import EARLIER, READ


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the facts, or compare them with those on file; return the exit status.

    Args:
        arguments: arguments of the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m acelib.lab.released", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the file and write nothing")
    check, started, facts = parser.parse_args(arguments).check, time.time(), {}
    try:
        for name in FILES:
            released_file(name)
        for prefix in GROUPS:
            facts |= compute(prefix)
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    if check:
        lines = differences(facts, recorded())
        print("\n".join(lines) or f"{len(facts)} facts agree with those on file")
        return int(bool(lines))
    whole = {
        "address": ADDRESS,
        "commit": COMMIT,
        "licence": "none stated; nothing of the repository is stored here",
        "files": FILES,
        "read": [asdict(reading) for reading in READ],
        "earlier": EARLIER,
        "facts": as_json(facts),
        "made": describe(seed=0, profile="full", started=started),
    }
    path = home.data_dir() / SHIPPED_FILE
    home.write_whole(path, lambda target: target.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n"))
    print(f"{path.name}, {len(facts)} facts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
