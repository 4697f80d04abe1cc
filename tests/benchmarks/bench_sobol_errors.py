"""How long do Sobol' indices take to the same error, SALib's pipeline and ours?

Wing weight, Ishigami, Sobol's G and borehole, all with known indices. SALib's pipeline (sampling, model in numpy and
analysis with 100 bootstrap resamples) at N = 2^10 and 2^12 base points; ours at the least power of two whose rms error
over 24 seeds and all inputs is not above SALib's, one for first-order and one for total indices. Both bring intervals.
The ratio is that of the times, a lower bound of the ratio at the same error. The errors stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from SALib.analyze import sobol as analysis
from SALib.sample import sobol

from acelib.intrinsic import SobolIndices, sobol_indices
from acelib.lab.contributions.sensitivity import KnownFunction, known_functions

SEEDS = 24
FUNCTIONS = known_functions()
OURS = {  # base points of ours for SALib's error of first-order and of total indices, found by ``measured()``
    ("wing weight", 10): (8, 8),
    ("wing weight", 12): (10, 9),
    ("Ishigami", 10): (9, 9),
    ("Ishigami", 12): (10, 10),
    ("Sobol' G", 10): (10, 10),
    ("Sobol' G", 12): (13, 12),
    ("borehole", 10): (9, 9),
    ("borehole", 12): (12, 12),
}


def salib(known: KnownFunction, power: int, seed: int = 0, resamples: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Return first-order and total indices by SALib's whole pipeline on 2^power base points."""
    k = len(known.bounds)
    bounds = [[float(end) for end in ends] for ends in known.bounds]
    problem = {"num_vars": k, "names": [f"x{i}" for i in range(k)], "bounds": bounds}
    points = sobol.sample(problem, 2**power, calc_second_order=False, seed=seed)
    options = dict(calc_second_order=False, num_resamples=resamples, seed=seed)
    found = analysis.analyze(problem, known.of_table(points), **options)
    return np.asarray(found["S1"]), np.asarray(found["ST"])


def ours(known: KnownFunction, power: int, seed: int = 0) -> SobolIndices:
    """Return our indices from 2^power base points, their intervals looked at."""
    options = dict(num_inputs=len(known.bounds), num_samples=2**power, seed=seed, shapley=False)
    found = sobol_indices(known.of_uniform, **options)
    found.interval("first"), found.interval("total")
    return found


def error(found: list[np.ndarray], truth: np.ndarray) -> float:
    """Return the root mean square error over seeds and inputs."""
    return float(np.sqrt(np.mean(np.square(np.stack(found) - truth))))


def name_of(who: str, name: str, power: int) -> str:
    return f"{who}, {name}, N = 2^{power}"


ratios = {
    f"SALib / acelib at the error of N = 2^{power}, {name}, {index}": (
        name_of("SALib", name, power),
        name_of("acelib", name, own),
    )
    for (name, power), both in OURS.items()
    for index, own in zip(("first", "total"), both, strict=True)
}
expect = {  # a run of ours takes about 5 ms however few its points, a third of SALib's on Ishigami at 2^10
    name: "at least 3" if "2^12" in name else "at least 2" for name in ratios
}


def measured() -> dict[str, float]:
    """Return the errors of first-order and total indices; SALib's without its resamples, which do not touch them."""
    found = {}
    for (name, power), both in OURS.items():
        known = FUNCTIONS[name]
        theirs = [salib(known, power, seed, resamples=2) for seed in range(SEEDS)]
        runs = {own: [ours(known, own, seed) for seed in range(SEEDS)] for own in set(both)}
        for j, (index, own) in enumerate(zip(("first", "total"), both, strict=True)):
            truth = getattr(known, index)
            found[f"error, {name_of('SALib', name, power)}, {index}"] = error([each[j] for each in theirs], truth)
            values = [getattr(each, index)[:, 0].numpy() for each in runs[own]]
            found[f"error, {name_of('acelib', name, own)}, {index}"] = error(values, truth)
    return found


def cases() -> dict[str, Callable[[], object]]:
    """Returns ``{name: callable}``."""
    calls = {}
    for (name, power), both in OURS.items():
        known = FUNCTIONS[name]
        calls[name_of("SALib", name, power)] = lambda known=known, power=power: salib(known, power)
        for own in both:
            calls[name_of("acelib", name, own)] = lambda known=known, own=own: ours(known, own)
    return calls
