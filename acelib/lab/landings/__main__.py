"""Simulate the shipped set of landings anew and write it: ``python -m acelib.lab.landings``."""

from __future__ import annotations

import dataclasses
import sys
import time

from acelib.lab import home
from acelib.lab.landings.simulate import SHIPPED, SHIPPED_FILE, join_landings, load_landings, save_landings
from acelib.lab.landings.simulate import simulate_landings as simulate
from acelib.lab.provenance import describe


def main() -> int:
    """Write the shipped set of landings; return the exit status."""
    started = time.time()
    landings = join_landings(*(simulate(count, kind=kind, seed=0) for kind, count in SHIPPED.items()))
    facts = {**landings.provenance, **describe(seed=0, profile="full", started=started)}
    path = home.data_dir().joinpath(*SHIPPED_FILE)
    save_landings(dataclasses.replace(landings, provenance=facts), path)
    print(f"{load_landings(path)}, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
