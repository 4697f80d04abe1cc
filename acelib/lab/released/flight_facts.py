"""Facts about the released network of the flights: its horizon by the released recipe, with untrained controls.

The recipe takes 17 gradients in float32, the determinant of the 17 × 17 Jacobian by the inputs of each second in
float64, and counts the seconds back from step 100 until its size is at most 1e-150. The network has 15 hidden units, so
the Jacobian has rank 15 at most, every such determinant is 0 in exact arithmetic, and what is counted is rounding.
The authors' flights are not in the repository. The inputs here are simulated landings, random numbers and one public
flight, all scaled by the released ranges of the channels.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from acelib import ApproximationWarning
from acelib.lab import flights
from acelib.lab.datasets import load_dashlink
from acelib.lab.datasets.registry import DataError
from acelib.lab.landings import load_landings
from acelib.lab.released.facts import Fact
from acelib.lab.released.folder import released_file
from acelib.lab.released.networks import FLIGHTS, released_flights
from acelib.recurrent import time_lag

STEP, THRESHOLD = 100, 1e-150
NUM, UNTRAINED, BACK = 40, (0, 1, 2), 60
TOLERANCES = {"tenth": 0.1, "hundredth": 0.01, "thousandth": 0.001}
_TAU = "Codes/Aircraft/find_tau.py"
_RANGES = ("Codes/Aircraft/feature_mins.npy", "Codes/Aircraft/feature_maxs.npy")
_PAIRED = ("Codes/Aircraft/aircraft_causal_interventions.py", "Codes/Aircraft/learn_causal_regressors.py")


def flight_facts(folder: str | Path | None = None) -> dict[str, Fact]:
    """Return the facts about the released network of the flights; the public flight's only where it can be had.

    Args:
        folder: the clone; default the one named by ``ACELIB_RELEASED``.

    Raises:
        DataError: if a file is missing or another one.

    References:
        Chattopadhyay et al. 2019, Sec. 4.5 (Prop. 3) and 5.3.
    """
    net = released_flights(folder)
    low, high = (torch.from_numpy(np.load(released_file(name, folder=folder))) for name in _RANGES)
    span = torch.where(high > low, high - low, torch.ones_like(high))
    landings = (load_landings().X[:NUM] - low) / span
    noise = torch.rand(NUM, STEP + 1, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    files, facts = (*FLIGHTS, *_RANGES, _TAU), {}

    def horizon(
        name: str, what: str, nets: Sequence[nn.Module], x: Tensor, files: tuple[str, ...], double: bool = False
    ) -> None:
        dtype = torch.float64 if double else torch.float32
        tau = np.mean([determinant_horizon(one, x, dtype).mean() for one in nets])
        what = f"horizon by the released recipe{', gradients in float64' if double else ''}, {what}"
        facts[f"flight-tau-{name}"] = Fact(float(tau), 3 if len(x) == 1 else 1.5, "s", what, files)

    untrained = [flights.flight_network(seed) for seed in UNTRAINED]
    horizon("landings", f"{NUM} simulated landings", [net], landings, files)
    horizon("double", f"{NUM} simulated landings", [net], landings, files, True)
    horizon("noise", f"{NUM} sequences of uniform random numbers", [net], noise, (*FLIGHTS, _TAU))
    controls = f"{len(untrained)} untrained networks, the same landings"
    horizon("untrained", controls, untrained, landings, (*_RANGES, _TAU))
    horizon("untrained-double", controls, untrained, landings, (*_RANGES, _TAU), True)
    try:
        flight = load_dashlink()
    except DataError:
        pass  # it is not there, and cannot be fetched
    else:
        windows = (flights.flight_windows([flight], length=STEP + 1, stride=50).X - low) / span
        rollout = (torch.from_numpy(flight.window(0, STEP).X)[None] - low) / span
        horizon("windows", f"{len(windows)} windows of the public flight", [net], windows, files)
        horizon("rollout", "the public flight's landing", [net], rollout, files)
    for name, one in (("released", net), ("untrained", untrained[0])):
        with warnings.catch_warnings():  # of standard errors, which are not used
            warnings.simplefilter("ignore", ApproximationWarning)
            tolerances = list(TOLERANCES.values())
            lags = time_lag(one, landings, target_step=STEP, max_lag=BACK, tolerance=tolerances).lag.tolist()
        for (part, tolerance), lag in zip(TOLERANCES.items(), lags, strict=True):
            what = f"horizon by the norm of the Jacobian, above {tolerance:g} of lag 0, {name} network, same landings"
            facts[f"flight-norm-{name}-{part}"] = Fact(
                lag, 0.1, "s", what, _RANGES if name == "untrained" else (*FLIGHTS, *_RANGES)
            )
    values = np.linspace(0, 1, 100)
    order = python2_order(python2_order(values.tolist()))  # once in memory, once from the file it is kept in
    right = int((np.array(order) == values).sum())
    facts["flight-paired"] = Fact(right, 0, "of 100", "expectations that are paired with their own α", _PAIRED)
    rank = float(spearmanr(order, values).statistic)
    facts["flight-paired-rank"] = Fact(rank, 1e-6, "", "rank correlation of the α with the ones paired with", _PAIRED)
    return facts


def determinant_horizon(net: nn.Module, x: Tensor, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """Return the ``(n,)`` seconds back from step 100 at which the Jacobian's determinant is first at most 1e-150.

    Args:
        net: a sequence model, ``(batch, steps, 17) -> (batch, steps, 17)`` and state.
        x: ``(n, steps, 17)`` sequences of at least 101 steps.
        dtype: of the gradients; the recipe's is float32.

    Example:
        >>> x = torch.zeros(1, 101, 17, dtype=torch.float64)
        >>> assert determinant_horizon(flights.flight_network(0), x).shape == (1,)
    """
    model, horizons = copy.deepcopy(net).to(dtype), []
    for sequence in x[:, : STEP + 1].to(dtype):
        row = sequence[None].requires_grad_(True)
        out = model(row)[0][0, STEP]
        slopes = [torch.autograd.grad(y, row, retain_graph=True)[0][0] for y in out]
        jacobians = torch.stack(slopes, 1).double().numpy()  # (steps, 17, 17)
        sizes = np.abs(np.linalg.det(jacobians[STEP:0:-1]))
        small = np.flatnonzero(sizes <= THRESHOLD)
        horizons.append(float(small[0]) if len(small) else 0.0)
    return np.array(horizons)


def python2_order(keys: Sequence[float]) -> list[float]:
    """Return the order in which a dictionary of Python 2.7 gives back keys that were put in one after another.

    The scripts are written in Python 2. One keeps the expectations in a dictionary by α and writes them in the
    dictionary's order; another pairs them with α from 0 to 1. A key's place is its hash, by open addressing.

    Args:
        keys: different numbers.

    References:
        CPython 2.7, Objects/dictobject.c and ``_Py_HashDouble``.

    Example:
        >>> assert python2_order([3.0, 1.0]) == [1.0, 3.0]
    """
    slots: list[float | None] = [None] * 8
    for used, key in enumerate(keys, 1):
        _put(slots, key)
        if 3 * used >= 2 * len(slots):
            size = 8
            while size <= 4 * used:
                size *= 2
            larger: list[float | None] = [None] * size
            for other in slots:
                if other is not None:
                    _put(larger, other)
            slots = larger
    return [key for key in slots if key is not None]


def _put(slots: list[float | None], key: float) -> None:
    place = perturb = _hash(key) % 2**64
    while slots[place % len(slots)] is not None:
        place = 5 * place + perturb + 1
        perturb >>= 5
    slots[place % len(slots)] = key


def _hash(key: float) -> int:
    if key == int(key):
        return int(key)
    fraction, exponent = math.frexp(key)
    high = int(fraction * 2**31)
    low = int((fraction * 2**31 - high) * 2**31)
    return high + low + (exponent << 15)
