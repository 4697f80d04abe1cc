"""The benchmarks: cases that belong together are measured in turns, in one run, and compared by ratios.

Every file ``tests/benchmarks/bench_*.py`` offers ``cases()``, a dictionary of functions without arguments, and may
offer ``per`` (what one call of a case is divided by: values, interventions, …), ``ratios`` (name: (numerator,
denominator)), ``expect`` (what a ratio was promised to be, as text) and ``measured()``, numbers that belong beside the
times, such as errors. One round calls every case once, so a disturbance hits numerator and denominator alike; a ratio
is taken inside each round, then its median and quartiles over the rounds are reported.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from acelib.lab.home import write_whole
from acelib.lab.provenance import processor_name
from tools.chapters import ROOT
from tools.marks import between


def load(path: Path) -> ModuleType:
    """Return the module in the file ``path``, checked to offer ``cases()``.

    Raises:
        ValueError: if it does not, or ``per``, ``ratios`` or ``expect`` name a case that is not there.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, "cases", None)):
        raise ValueError(f"{path.name} must have a function `cases()` that returns a dictionary of functions, got none")
    return module


def _check(name: str, module: ModuleType, cases: dict[str, Callable]) -> None:
    ratios = getattr(module, "ratios", {})
    named = set(getattr(module, "per", {})) | {case for pair in ratios.values() for case in pair}
    lost = sorted(named - set(cases)) + sorted(set(getattr(module, "expect", {})) - set(ratios))
    if lost:
        raise ValueError(
            f"per, ratios and expect of {name} must name its cases and ratios, got {', '.join(lost)}; correct the name"
        )


def measure(
    cases: dict[str, Callable[[], object]],
    *,
    rounds: int = 11,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of every call, case by case, the cases taken in turns and in changing order.

    Args:
        cases: functions without arguments.
        rounds: calls of each case that count, at least 9.
        warmup: calls of each case beforehand that do not.
        clock: returns seconds.

    Raises:
        ValueError: for fewer than 9 rounds, or no case.

    Example:
        >>> seconds = measure({"nothing": lambda: None}, rounds=9)
        >>> assert len(seconds["nothing"]) == 9
    """
    if rounds < 9 or not cases:
        raise ValueError(
            f"rounds and cases must be at least 9 and 1, got {rounds} and {len(cases)}; a median of fewer says little"
        )
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    gc.collect()
    gc.disable()  # no collection in the middle of a case
    try:
        for number in range(-warmup, rounds):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                start = clock()
                cases[name]()
                if number >= 0:
                    seconds[name].append(clock() - start)
    finally:
        gc.enable()
    return seconds


def summary(values: list[float]) -> dict[str, float]:
    """Return the median and the quartiles.

    Example:
        >>> assert summary([1.0, 2.0, 3.0]) == {"median": 2.0, "lower_quartile": 1.5, "upper_quartile": 2.5}
    """
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "lower_quartile": lower, "upper_quartile": upper}


def run(module: ModuleType, *, rounds: int = 11, clock: Callable[[], float] = time.perf_counter) -> dict[str, dict]:
    """Return the seconds (divided by ``per``) of each case and each ratio of one module, as medians and quartiles."""
    cases = module.cases()
    _check(module.__name__, module, cases)
    seconds = measure(cases, rounds=rounds, clock=clock)
    per, expect = getattr(module, "per", {}), getattr(module, "expect", {})
    scaled = {name: [value / per.get(name, 1) for value in values] for name, values in seconds.items()}
    ratios = {}
    for name, (top, bottom) in getattr(module, "ratios", {}).items():
        ratios[name] = {"numerator": top, "denominator": bottom, "rounds": rounds}
        ratios[name] |= summary([a / b for a, b in zip(scaled[top], scaled[bottom], strict=True)])
        if name in expect:
            ratios[name]["expected"] = str(expect[name])
    found = {
        "seconds": {name: summary(values) | {"per": per.get(name, 1)} for name, values in scaled.items()},
        "ratios": ratios,
    }
    return found | ({"measured": module.measured()} if hasattr(module, "measured") else {})


def conditions(threads: int) -> dict[str, object]:
    """Return date, machine, threads and versions of a run."""
    import numpy
    import scipy
    import torch

    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": processor_name(),  # the cases compute on the CPU
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
    }


def show(name: str, result: dict[str, dict]) -> None:
    """Print one module's times and ratios, median first, quartiles in brackets."""
    print(f"\n{name}")
    for case, s in result["seconds"].items():
        divided = "" if s["per"] == 1 else f"  per 1/{s['per']:g} of a call"
        print(
            f"  {case:<44} {1e3 * s['median']:10.4g} ms  "
            f"[{1e3 * s['lower_quartile']:.4g}, {1e3 * s['upper_quartile']:.4g}]{divided}"
        )
    for ratio, s in result["ratios"].items():
        told = f"  (expected {s['expected']})" if "expected" in s else ""
        print(f"  {ratio:<44} {s['median']:10.4g}     [{s['lower_quartile']:.4g}, {s['upper_quartile']:.4g}]{told}")
    for what, number in result.get("measured", {}).items():
        print(f"  {what:<44} {number:10.4g}")


QUOTED = (
    (
        "jets",
        "full Hessian / collapsed",
        "exact second-order terms: full Hessian against collapsed forward mode, its first layer shared",
    ),
    (
        "jets",
        "collapsed unshared / forward",
        "collapsed forward mode against a plain forward pass over as many rows, nothing shared in either",
    ),
    ("jets", "collapsed / forward shared", "the same two, the first layer shared in both"),
    ("jets", "row average / shared row average", "row average against the same with a shared first layer"),
    (
        "expectation",
        "scikit-learn classifier / row average, 3 outputs",
        "scikit-learn's brute-force partial dependence against the row average with its error bars, Iris",
    ),
    ("regressors", "one at a time / together, per curve", "causal regressors fitted one at a time against all at once"),
    (
        "recurrent",
        "one at a time / batched, per sequence and value",
        "sequences with feedback simulated one at a time against all at once",
    ),
    (
        "paths",
        "loop over nodes / graph",
        "an explanatory graph of LeNet, a loop over nodes against one batched pass a layer",
    ),
    (
        "linearised",
        "100 shared rows / linearised, logits",
        "a pixel's effect from 100 shared rows against linear steps at 2,000, with an eighth of the error",
    ),
    ("sobol", "SALib / acelib, 10-32-1", "Sobol' indices with error bars: SALib's pipeline against ours, same budget"),
    (
        "sobol_errors",
        "SALib / acelib at the error of N = 2^12, borehole, total",
        "the same to the same error, borehole, total indices",
    ),
    (
        "executors",
        "one process / two, 10 ms a row",
        "a regression of a network of 10 ms a row by one process against two",
    ),
)
MARKS = ("<!-- benchmarks: written by make bench -->", "<!-- end of benchmarks -->")


def quote(content: dict, text: str) -> str:
    """Return ``text`` with the table between its two marks made anew from the content of ``data/benchmarks.json``.

    Raises:
        ValueError: if a mark is missing.
    """
    where = content["conditions"]
    lines = [
        f"| ratio of times ({where['threads']} threads, {where['device']}) | median | quartiles |",
        "|---|---:|---:|",
    ]
    for module, name, words in QUOTED:
        r = content["results"].get(module, {}).get("ratios", {}).get(name)
        own = content["results"].get(module, {}).get("conditions", where)
        if r is not None:
            words += "" if own["device"] == where["device"] else f" ({own['threads']} threads, {own['device']})"
            lines.append(f"| {words} | {r['median']:.3g} | {r['lower_quartile']:.3g} to {r['upper_quartile']:.3g} |")
    return between(MARKS, lines, text)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Measure every module under ``tests/benchmarks``, write ``data/benchmarks.json``, and return the exit status."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these modules (jets: bench_jets.py), unwritten but for --write")
    parser.add_argument("--write", action="store_true", help="store them, with their conditions, beside the others")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args(arguments)
    files = {path.stem.removeprefix("bench_"): path for path in sorted((root / "tests/benchmarks").glob("bench_*.py"))}
    try:
        wanted = chosen.names or list(files)
        if not wanted or set(wanted) - set(files):
            raise ValueError(
                f"names must be some of {', '.join(files) or '(tests/benchmarks is empty)'}, "
                f"got {', '.join(wanted) or 'none'}"
            )
        import torch

        torch.set_num_threads(chosen.threads)
        results = {}
        for name in wanted:
            results[name] = run(load(files[name]), rounds=chosen.rounds)
            show(name, results[name])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if not chosen.names or chosen.write:
        out, now = root / "data/benchmarks.json", conditions(chosen.threads)
        content = {"conditions": now, "rounds": chosen.rounds, "results": results}
        if chosen.names and out.exists():
            content = json.loads(out.read_text(encoding="utf-8"))
            content["results"] |= {name: found | {"conditions": now} for name, found in results.items()}
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        write_whole(out, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        readme = root / "README.md"
        if readme.exists():
            quoted = quote(content, readme.read_text(encoding="utf-8"))
            write_whole(readme, lambda temporary: temporary.write_text(quoted, encoding="utf-8"))
        print(f"\nwritten: {out.relative_to(root)} and the table in README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
