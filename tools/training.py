"""The programs that train what ships, side by side on whoever does it: ``python -m tools.training``.

A program goes on where an earlier run of it was stopped. With ``EXECUTOR=dask`` they run in processes of this machine,
with the address of a scheduler on any Dask cluster that sees this folder; see ``tools.executors``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tools.chapters import ROOT, say
from tools.execute import THREAD_VARIABLES
from tools.executors import crew

Program = tuple[str, ...]  # a module, and what it is given


def programs() -> dict[str, list[Program]]:
    """Return the programs by the networks' family: one for each recipe that its own program can be asked for.

    Example:
        >>> assert ("acelib.lab.gru",) in programs()["gru"]
    """
    from acelib.lab.mnist import NAMES
    from acelib.lab.vae import SHIPPED

    lenet = "acelib.lab.graphs.lenet"
    recipes = [("--beta", f"{r.beta:g}", "--seeds", str(r.seed), "--lr", f"{r.lr:g}") for r in SHIPPED]
    return {
        "mnist": [("acelib.lab.mnist", name) for name in NAMES],
        "lenet": [(lenet,), (lenet, "--siblings")],
        "vae": [("acelib.lab.vae", *recipe) for recipe in recipes],
        "flights": [("acelib.lab.flights",)],
        "gru": [("acelib.lab.gru",)],
    }


def run_program(program: Program, root: Path, threads: int | None) -> tuple[bool, str]:
    """Run one program to its end; return whether it got there, and a sentence.

    Args:
        program: its module, and what it is given.
        root: the repository, which a worker on another machine must see under the same name.
        threads: that it may use; None for all.
    """
    start, limits = time.perf_counter(), {} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads))
    paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    run = subprocess.run(
        [sys.executable, "-m", *program],
        cwd=root,
        env={**os.environ, **limits, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    name, last = " ".join(program), (run.stdout if run.returncode == 0 else run.stderr).strip().splitlines()[-1:]
    said = f"{name}: {last[0] if last else 'nothing was printed'}"
    return run.returncode == 0, f"{said} ({time.perf_counter() - start:.0f} s)"


def train(chosen: Iterable[Program], root: Path = ROOT, *, executor: str = "") -> int:
    """Run programs, tell of each as they end in their order, and return 0, or 1 where one failed.

    Raises:
        ValueError: if there is no such executor.
    """
    failures = 0
    with crew(executor) as (workers, threads):
        if workers is None:
            results: Iterable[tuple[bool, str]] = (run_program(one, root, threads) for one in chosen)
        else:
            futures = [(one, workers.submit(run_program, one, root, threads)) for one in chosen]
            results = (_result(one, future) for one, future in futures)
        for done, said in results:
            say(said if done else f"FAILED {said}")
            failures += not done
    return int(failures > 0)


def _result(program: Program, future: Future[Any]) -> tuple[bool, str]:
    """Return what ``run_program`` returned on a worker, or why it did not."""
    try:
        return future.result()
    except Exception as error:  # the worker is gone, or does not see the folder
        return False, f"{' '.join(program)}: {type(error).__name__}: {error}"


def main(arguments: list[str] | None = None) -> int:
    """Train the families that are named, or all, and return the exit status."""
    known = programs()
    parser = argparse.ArgumentParser(prog="training", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(known)}; default: all")
    names = parser.parse_args(arguments).names or list(known)
    try:
        if unknown := sorted(set(names) - set(known)):
            raise ValueError(f"names must be some of {', '.join(known)}, got {', '.join(unknown)}")
        return train([one for name in names for one in known[name]], executor=os.environ.get("EXECUTOR", ""))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
