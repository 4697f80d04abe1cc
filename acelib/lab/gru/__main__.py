"""Train the networks of the published recipe anew and write them: ``python -m acelib.lab.gru`` (needs numba)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from acelib.lab.gru.recipe import SEEDS, save_recipe, train_by_recipe
from acelib.lab.provenance import describe


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the checkpoint of one network a seed; return the exit status.

    Args:
        arguments: arguments of the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m acelib.lab.gru", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="networks trained at a time; default: 1")
    jobs = parser.parse_args(arguments).jobs

    def report(seed: int, steps: int, closeness: float) -> None:
        print(f"seed {seed}: {closeness:.4f} after {steps} steps", flush=True)

    started = time.time()
    run = train_by_recipe(SEEDS, jobs=jobs, report=report)
    save_recipe(run, describe(seed=0, profile="full", started=started))
    print(f"{int(run.learnt.sum())} of {len(SEEDS)} networks learnt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
