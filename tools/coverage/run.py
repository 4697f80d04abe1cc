"""The repetitions of the coverage cases: in parallel, repetition r with seed r, and kept as they finish.

What has been repeated lies in ``_build/coverage``, one file per case, with a key of the sources it belongs to. A run
that was killed goes on there; after a change of the method or of the case it starts anew.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

from acelib.lab.home import write_whole
from tools.bench import load
from tools.chapters import ROOT, digest, hash_files, say
from tools.coverage.case import READINGS, Case
from tools.imports import Modules

CHUNK = 8.0  # seconds of repetitions that a process does at a time: what a killed run loses
PROBED = 2  # repetitions that tell how long a case takes; the first also computes the truth
Repetitions = dict[int, dict[str, Any]]
"""Seed to {"held": {reading: share of the values}, "values": how many, "warned": [classes], "seconds": …}."""


def find(root: Path = ROOT) -> dict[str, Path]:
    """Return the files of the subjects, ``tests/coverage/cover_NAME.py``, by name."""
    return {path.stem.removeprefix("cover_"): path for path in sorted((root / "tests/coverage").glob("cover_*.py"))}


def subject(path: Path) -> tuple[str, dict[str, Case]]:
    """Return the quantity and the cases of one file.

    Raises:
        ValueError: if the file offers no quantity, or no ``cases()``, or they are no cases.
    """
    module = load(path)
    cases, quantity = module.cases(), vars(module).get("quantity")
    if not isinstance(quantity, str) or not cases or not all(isinstance(case, Case) for case in cases.values()):
        raise ValueError(f"{path.name} must have `quantity`, a text, and cases of tools.coverage.case; add them")
    return quantity, cases


def key(path: Path, root: Path = ROOT) -> str:
    """Return a hash of what the cases of a file rest on: the method, what they use of the laboratory, the versions."""
    method = [p for p in (root / "acelib").rglob("*.py") if p.relative_to(root).parts[:2] != ("acelib", "lab")]
    used = Modules(root, "acelib.lab").reached([path.read_text(encoding="utf-8")])
    own = [path, *(root / "tools/coverage" / name for name in ("case.py", "worlds.py")), root / "constraints.txt"]
    return digest([hash_files(root, [*method, *used, *own]), list(sys.version_info[:3])])


def repeat(case: Case, seeds: Iterable[int]) -> Repetitions:
    """Return what held in the repetitions with these seeds, and which of our warnings were given beside the number.

    Raises:
        ValueError: if the case returns no reading, or one of another name.
    """
    found = {}
    for seed in seeds:
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            held = case.run(seed)
        if not held or set(held) - set(READINGS):
            raise ValueError(f"run must return some of {', '.join(READINGS)}, got {', '.join(held) or 'none'}")
        ours = {w.category.__name__ for w in caught if w.category.__module__.split(".")[0] == "acelib"}
        found[seed] = {
            "held": {name: float(hit.double().mean()) for name, hit in held.items()},
            "values": max(len(hit) for hit in held.values()),
            "warned": sorted(ours),
            "seconds": time.perf_counter() - start,
        }
    return found


class Store:
    """The repetitions done so far, one JSON file per case, written whole.

    Args:
        folder: where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: tuple[str, str], key: str) -> Repetitions:
        """Return the repetitions of (subject, world) that belong to this key; none where there are others, or none."""
        try:
            content = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return {int(seed): one for seed, one in content["repetitions"].items()} if content["key"] == key else {}

    def write(self, name: tuple[str, str], key: str, repetitions: Repetitions) -> None:
        """Keep the repetitions of (subject, world)."""
        content = {"subject": name[0], "world": name[1], "key": key, "repetitions": repetitions}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(name), lambda path: path.write_text(json.dumps(content), encoding="utf-8"))

    def _path(self, name: tuple[str, str]) -> Path:
        return self.folder / f"{name[0]}-{hashlib.sha256(name[1].encode()).hexdigest()[:12]}.json"


def measure(
    wanted: dict[tuple[str, str], int],
    files: dict[str, Path],
    store: Store,
    *,
    processes: int = 2,
    root: Path = ROOT,
) -> tuple[dict[tuple[str, str], Repetitions], list[str]]:
    """Return the repetitions 0 to R − 1 of every case, what the store has and what is done now, and the failures.

    The predicted time is said before the work starts, and a line whenever a case is done.

    Args:
        wanted: repetitions R by (subject, world).
        files: the file of each subject.
        store: where they are kept.
        processes: how many at a time, with one thread each; 0 works in this process.
        root: the book's folder.
    """
    keys = {name: key(path, root) for name, path in files.items()}
    done = {name: store.read(name, keys[name[0]]) for name in wanted}
    failures: dict[tuple[str, str], str] = {}

    def take(jobs: Sequence[tuple[tuple[str, str], list[int]]]) -> None:
        for name, seeds, found in _work(pool, [(name, files[name[0]], seeds) for name, seeds in jobs]):
            if isinstance(found, str):
                failures[name] = f"{name[0]}, {name[1]}, seeds {seeds[0]} to {seeds[-1]}: {found}"
                continue
            done[name] |= found
            store.write(name, keys[name[0]], done[name])
            if not missing(name):
                say(f"  {name[0]}: {name[1]} ({len(done[name])})")

    def missing(name: tuple[str, str]) -> list[int]:
        return [seed for seed in range(wanted[name]) if seed not in done[name]]

    pool = _pool(processes)
    try:
        say("taking the time of each case")
        take([(name, missing(name)[:PROBED]) for name in wanted if missing(name) and len(done[name]) < PROBED])
        pace = {name: min(one["seconds"] for one in found.values()) for name, found in done.items() if found}
        left = {name: missing(name) for name in wanted if name not in failures}
        seconds = sum(len(seeds) * pace[name] for name, seeds in left.items() if seeds)
        say(
            f"{len(wanted)} cases, {sum(map(len, left.values()))} repetitions to do: about "
            f"{seconds / max(1, processes) / 60:.1f} minutes in {max(1, processes)} process(es)"
        )
        jobs = []
        for name in sorted((n for n, seeds in left.items() if seeds), key=lambda n: -pace[n]):
            size = max(1, min(200, int(CHUNK / max(pace[name], 1e-4))))
            jobs += [(name, left[name][i : i + size]) for i in range(0, len(left[name]), size)]
        take(jobs)
    except BaseException:  # what is under way is lost, at most CHUNK seconds of it
        for child in multiprocessing.active_children() if pool is not None else ():
            child.terminate()
        raise
    finally:
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
    wanted = {name: count for name, count in wanted.items() if name not in failures}
    return {name: {seed: done[name][seed] for seed in range(count)} for name, count in wanted.items()}, [
        *failures.values()
    ]


def _pool(processes: int) -> Executor | None:
    if not processes:
        return None
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"  # the processes inherit it
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)


def _begin() -> None:
    """Prepare a process of the pool: one thread, and an end when the run that started it ends, even by a kill."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for that run to hear
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _work(
    pool: Executor | None, jobs: Sequence[tuple[tuple[str, str], Path, list[int]]]
) -> Iterator[tuple[tuple[str, str], list[int], Repetitions | str]]:
    """Yield (name, seeds, their repetitions or what went wrong) as they finish."""
    if pool is None:
        for name, path, seeds in jobs:
            yield name, seeds, work(path, name[1], seeds)
        return
    waiting: dict[Future, tuple] = {pool.submit(work, path, n[1], seeds): (n, seeds) for n, path, seeds in jobs}
    for future in as_completed(waiting):
        yield *waiting[future], future.result()


@cache
def loaded(path: Path) -> dict[str, Case]:
    """Return the cases of a file, loaded once in each process, where a truth is then computed once."""
    return subject(path)[1]


def work(path: Path, world: str, seeds: list[int]) -> Repetitions | str:
    """Return the repetitions of one case, in whatever process this runs, or the error as text."""
    try:
        return repeat(loaded(path)[world], seeds)
    except Exception as error:  # of one case: the others go on
        return f"{type(error).__name__}: {error}"
