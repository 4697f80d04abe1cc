"""What would a landing look like whose causes are known? Simulated landings, touchdown to 100 s after, at 1 Hz.

The flight experiment of the ACE paper used a landing on a slippery runway that is not public. Here landings are
SIMULATED from a stated model (plane motion on three wheels, brakes limited by the runway's friction, wind, pilot,
instruments with the noise and steps of a real recording), so that what causes what is known. ``normal`` landings are
on dry or wet runways with brakes within four seconds; ``slippery`` ones on a slippery runway with late and full
braking. Wind, aircraft and pilot are drawn from the same distributions in both.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acelib.lab import home
from acelib.lab.datasets.registry import DataError
from acelib.lab.landings.compare import compare_rollout as compare_rollout  # part of this module's interface
from acelib.lab.landings.draw import KINDS, RATE, RUNWAYS, SECONDS, Draws, draw
from acelib.lab.landings.effect import StateEffect as StateEffect
from acelib.lab.landings.effect import state_effect as state_effect
from acelib.lab.landings.model import advance, start
from acelib.lab.landings.sensors import CAS_REGAINED, CHANNELS, STEPS, UNITS, read
from acelib.lab.provenance import describe

TRUTH = ("x", "y", "u", "v", "r", "psi", "theta", "phi", "brake")
SHIPPED = {"normal": 300, "slippery": 150}
_BLOCK = 256  # landings simulated at once
_FILE = "simulated.npz"


@dataclass(frozen=True, eq=False)
class Landings:
    """Simulated landings.

    Attributes:
        X: Recorded values (n, 101, 17) float64 in ``units``, at 0, 1, … 100 s after touchdown.
        labels: 0 for normal and 1 for slippery (n,).
        parameters: What each landing was simulated with, by name (n,) float64: ``brake_delay`` in s, ``crosswind`` in
            kt and so on; ``runway`` is 0 dry, 1 wet, 2 slippery.
        truth: What no instrument shows, by name (n, 101) float64 in SI units: distance ``x`` and offset ``y`` from the
            centre line, velocities ``u`` and ``v`` along and across the body, yaw rate ``r``, heading ``psi`` from the
            runway's, ``brake`` demand; ``theta`` and ``phi`` in degrees. Empty for the shipped set.
        low: Least value of each channel (17,) over the landings, in units.
        high: Greatest value (17,).
        provenance: How they came about.
    """

    X: Tensor
    labels: Tensor
    parameters: Mapping[str, Tensor]
    truth: Mapping[str, Tensor] = field(default_factory=dict)
    low: Tensor | None = None
    high: Tensor | None = None
    provenance: Mapping[str, object] = field(default_factory=dict)
    channels: tuple[str, ...] = CHANNELS
    units: tuple[str, ...] = UNITS

    def __post_init__(self) -> None:
        flat = self.X.flatten(0, 1)
        if self.low is None:
            object.__setattr__(self, "low", flat.amin(0))
        if self.high is None:
            object.__setattr__(self, "high", flat.amax(0))

    def __len__(self) -> int:
        return len(self.X)

    def __repr__(self) -> str:
        normal, slippery = (int((self.labels == i).sum()) for i in (0, 1))
        return f"Landings(simulated: {normal} normal, {slippery} slippery, X {tuple(self.X.shape)})"

    def __getitem__(self, channel: str) -> Tensor:
        """The recorded values (n, 101) of one channel."""
        if channel not in self.channels:
            raise ValueError(f"channel is {channel!r}, expected one of {', '.join(self.channels)}")
        return self.X[:, :, self.channels.index(channel)]

    @property
    def runway(self) -> tuple[str, ...]:
        """``dry``, ``wet`` or ``slippery`` for each landing."""
        return tuple(RUNWAYS[int(code)] for code in self.parameters["runway"])

    def subset(self, rows: Tensor) -> Landings:
        """Some landings, by index or truth value; the scaling range stays that of the whole set."""
        pick = {name: value[rows] for name, value in self.parameters.items()}
        truth = {name: value[rows] for name, value in self.truth.items()}
        return Landings(self.X[rows], self.labels[rows], pick, truth, self.low, self.high, self.provenance)

    def scale(self, X: Tensor) -> Tensor:
        """Values in units (…, 17) on the scale on which ``low`` is 0 and ``high`` is 1; constant channels become 0."""
        span = (self.high - self.low).to(X)
        return (X - self.low.to(X)) / torch.where(span > 0, span, torch.ones_like(span))

    def unscale(self, scaled: Tensor) -> Tensor:
        """The inverse of ``scale``."""
        return self.low.to(scaled) + scaled * (self.high - self.low).to(scaled)


def simulate_landings(
    num: int,
    *,
    kind: str = "normal",
    seed: int = 0,
    first: int = 0,
    parameters: Mapping[str, float | np.ndarray] | None = None,
) -> Landings:
    """Simulated landings, X (num, 101, 17) float64 in recorded units.

    Args:
        num: How many.
        kind: ``"normal"``, or ``"slippery"`` for slippery runways with late braking.
        seed: Of all random draws; 0 is a seed. Landing i depends on seed, kind and i alone.
        first: Number of the first landing.
        parameters: Values that replace drawn parameters, each a number or (num,): the counterfactual landings of the
            same seed, which meet the same noise.

    Raises:
        ValueError: ``num`` below 1, an unknown kind or an unknown parameter.

    References:
        14 CFR 25.109(c) and FAA AC 25-32 (2015) for the friction of wet and slippery runways.

    Example:
        >>> from acelib.lab.landings import simulate_landings
        >>> drawn = simulate_landings(2, kind="slippery", seed=3)
        >>> dry = simulate_landings(2, kind="slippery", seed=3, parameters={"runway": 0})
        >>> assert drawn.X.shape == (2, 101, 17)
        >>> assert (dry.truth["u"][:, 30] < drawn.truth["u"][:, 30]).all()
    """
    _check(num, kind, parameters)
    blocks = []
    for begin in range(0, num, _BLOCK):
        count = min(_BLOCK, num - begin)
        part = {
            name: np.broadcast_to(np.asarray(value, float), (num,))[begin : begin + count]
            for name, value in (parameters or {}).items()
        }
        blocks.append(_simulate(draw(count, kind, seed, first + begin, part)))
    X, used, truth = blocks[0] if len(blocks) == 1 else _join(blocks)
    labels = torch.full((num,), KINDS.index(kind), dtype=torch.long)
    facts = {"simulated": True, "kind": kind, "seed": seed, "first": first}
    return Landings(torch.from_numpy(X), labels, _tensors(used), _tensors(truth), provenance=facts)


def load_landings(path: str | Path | None = None) -> Landings:
    """The shipped simulated landings: 300 normal ones, then 150 slippery ones, with the range of all for scaling.

    Args:
        path: Of another file that ``save_landings`` wrote.

    Raises:
        DataError: The file is missing or is no such file.

    Example:
        >>> from acelib.lab.landings import load_landings
        >>> landings = load_landings()
        >>> assert landings.X.shape == (450, 101, 17) and landings.labels.sum() == 150
        >>> assert landings.scale(landings.X).max() == 1
    """
    path = home.data_file("landings", _FILE) if path is None else Path(path)
    if not path.is_file():
        raise DataError(f"simulated landings {path} are missing; restore the file, or write it by save_landings")
    try:
        with np.load(path, allow_pickle=False) as file:
            steps, labels, values = file["steps"], file["labels"], file["parameters"]
            facts = json.loads(str(file["provenance"]))
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} holds no simulated landings ({error}); restore the file") from None
    X = torch.from_numpy(steps.astype(np.float64) * np.array([STEPS[name] for name in CHANNELS]))
    parameters = {name: torch.from_numpy(values[i]) for i, name in enumerate(facts["parameters"])}
    return Landings(X, torch.from_numpy(labels.astype(np.int64)), parameters, provenance=facts)


def save_landings(landings: Landings, path: str | Path) -> None:
    """Write simulated landings as whole numbers of the recorder's steps to an npz file; nothing comes back.

    Args:
        landings: Simulated; their truth is not written.
        path: The file, replaced where it exists.
    """
    steps = np.round(landings.X.numpy() / np.array([STEPS[name] for name in CHANNELS])).astype(np.int16)
    facts = {**landings.provenance, "simulated": True, "parameters": list(landings.parameters)}
    content = {
        "steps": steps,
        "labels": landings.labels.numpy().astype(np.int8),
        "parameters": np.stack([value.numpy() for value in landings.parameters.values()]),
        "provenance": np.array(json.dumps(facts)),
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:  # a name without .npz would get one
            np.savez_compressed(stream, **content)

    home.write_whole(Path(path), write)


def join_landings(*parts: Landings) -> Landings:
    """Several sets as one, in order, with the range of all.

    Example:
        >>> from acelib.lab.landings import join_landings, simulate_landings
        >>> both = join_landings(simulate_landings(2), simulate_landings(1, kind="slippery"))
        >>> assert both.labels.tolist() == [0, 0, 1]
    """
    pick = {name: torch.cat([part.parameters[name] for part in parts]) for name in parts[0].parameters}
    common = set.intersection(*(set(part.truth) for part in parts))
    truth = {name: torch.cat([part.truth[name] for part in parts]) for name in TRUTH if name in common}
    facts = {"simulated": True, "parts": [dict(part.provenance) for part in parts]}
    X, labels = torch.cat([part.X for part in parts]), torch.cat([part.labels for part in parts])
    return Landings(X, labels, pick, truth, provenance=facts)


def main() -> int:
    """Simulate the shipped set anew and write it, ``python -m acelib.lab.landings``; returns the exit status."""
    started = time.time()
    parts = [simulate_landings(count, kind=kind, seed=0) for kind, count in SHIPPED.items()]
    landings = join_landings(*parts)
    facts = {**landings.provenance, **describe(seed=0, profile="full", started=started)}
    path = home.data_dir() / "landings" / _FILE
    save_landings(dataclasses.replace(landings, provenance=facts), path)
    print(f"{load_landings(path)}, {path.stat().st_size} bytes")
    return 0


def _simulate(draws: Draws) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Records (n, 101, 17), parameters and truth of one block."""
    state, records, truth = start(draws), [], []
    for step in range(SECONDS * RATE + 1):
        before = dict(state) if step % RATE == 0 else None
        act = advance(state, draws, step)
        if before is not None:
            records.append(read(before, act, draws, step // RATE))
            truth.append([before[name] for name in TRUTH])
    X = np.ascontiguousarray(np.stack(records).transpose(2, 0, 1))
    cas = X[:, :, CHANNELS.index("CAS")]
    lost = np.logical_or.accumulate(cas == 0, axis=1)
    cas[lost & (cas < CAS_REGAINED)] = 0  # once lost, it does not flicker
    columns = np.stack([np.stack(row) for row in truth]).transpose(1, 2, 0)
    return X, draws.parameters, {name: np.ascontiguousarray(columns[i]) for i, name in enumerate(TRUTH)}


def _join(blocks: list) -> tuple[np.ndarray, dict, dict]:
    X = np.concatenate([block[0] for block in blocks])
    return X, *({name: np.concatenate([b[i][name] for b in blocks]) for name in blocks[0][i]} for i in (1, 2))


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def _check(num: int, kind: str, parameters: Mapping | None) -> None:
    if num < 1:
        raise ValueError(f"num is {num}, expected at least 1 landing")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, expected 'normal' or 'slippery'")
    known = draw(1, kind, 0).parameters
    for name in parameters or {}:
        if name not in known:
            raise ValueError(f"parameters names {name!r}, expected some of {', '.join(sorted(known))}")


if __name__ == "__main__":
    sys.exit(main())
