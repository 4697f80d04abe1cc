"""What do Sobol' indices cost, beside SALib and beside the model alone?

Small network, 10-32-1: SALib's Saltelli pipeline (sampling, model, analysis with 100 bootstrap resamples, first and
total order) against ``sobol_indices``, at the same number of model rows, N = 2^14 base points; both bring intervals.
Of SALib's two samplers of Saltelli's design the newer one is taken, which is several times faster than the older.
Large network, 10-256-256-1: ``sobol_indices`` against calls of the network on the same number of rows, in
calls of the same size, and nothing else. float32, as networks come. Nothing here asserts a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from SALib.analyze import sobol as analysis
from SALib.sample import sobol

from acelib.intrinsic import sobol_indices
from acelib.lab.networks import mlp

INPUTS, SAMPLES = 10, 2**14
CALL = 1024 * (INPUTS + 2)  # rows that sobol_indices gives the network at a time
PROBLEM = {"num_vars": INPUTS, "names": [f"x{i}" for i in range(INPUTS)], "bounds": [[0.0, 1.0]] * INPUTS}

ratios = {
    "SALib / acelib, 10-32-1": ("SALib, 10-32-1", "acelib, 10-32-1"),
    "acelib / model alone, 10-256-256-1": ("acelib, 10-256-256-1", "model alone, 10-256-256-1"),
}
expect = {"SALib / acelib, 10-32-1": "at least 5", "acelib / model alone, 10-256-256-1": "at most 1.2"}


def salib(model: torch.nn.Module) -> Callable[[], object]:
    """Returns a call of SALib's whole pipeline on N base points."""

    def run() -> object:
        with torch.no_grad():
            points = sobol.sample(PROBLEM, SAMPLES, calc_second_order=False, seed=0)
            outputs = model(torch.from_numpy(points.astype(np.float32)))[:, 0].double().numpy()
            return analysis.analyze(PROBLEM, outputs, calc_second_order=False, seed=0)

    return run


def alone(model: torch.nn.Module, rows: int) -> Callable[[], object]:
    """Returns a call of nothing but the network, on the rows that the indices need."""
    points = torch.rand(rows, INPUTS, generator=torch.Generator().manual_seed(0))

    def run() -> object:
        with torch.no_grad():
            return [model(part) for part in points.split(CALL)]

    return run


def cases() -> dict[str, Callable[[], object]]:
    """Returns ``{name: callable}``."""
    small = mlp((INPUTS, 32, 1), activation="tanh", dtype=torch.float32).eval()
    large = mlp((INPUTS, 256, 256, 1), activation="tanh", dtype=torch.float32).eval()
    options = dict(num_inputs=INPUTS, seed=0)
    rows = sobol_indices(large, num_samples=SAMPLES, **options).num_rows
    return {
        "acelib, 10-32-1": lambda: sobol_indices(small, num_samples=SAMPLES, **options).interval("first"),
        "SALib, 10-32-1": salib(small),
        "acelib, 10-256-256-1": lambda: sobol_indices(large, num_samples=SAMPLES, **options).interval("first"),
        "model alone, 10-256-256-1": alone(large, rows),
    }
