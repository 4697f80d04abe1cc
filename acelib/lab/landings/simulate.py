"""Simulated landings, from touchdown to 100 s after, at 1 Hz, whose causes are known.

The flight experiment of the ACE paper used a landing on a slippery runway that is not public. Here landings are
SIMULATED from a stated model (plane motion on three wheels, brakes limited by the runway's friction, wind, pilot,
instruments with the noise and steps of a real recording), so that what causes what is known. ``normal`` landings are
on dry or wet runways with brakes within four seconds, and roll along the runway for more than a minute; ``slippery``
ones are on a slippery runway with late and full braking, no reverse thrust, and an event 54 to 57.5 s after touchdown:
one main gear runs over a dry strip for a few seconds. Wind and aircraft come from the same distributions in both.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acelib._saved import write_whole
from acelib.lab import home
from acelib.lab.datasets import DataError
from acelib.lab.datasets.dashlink import CHANNELS
from acelib.lab.landings.draw import KINDS, RATE, RUNWAYS, SECONDS, Draws, draw
from acelib.lab.landings.model import advance, start
from acelib.lab.landings.sensors import CAS_REGAINED, STEPS, UNITS, read

TRUTH = ("x", "y", "u", "v", "r", "psi", "theta", "phi", "brake")
SHIPPED = {"normal": 300, "slippery": 150}
SHIPPED_FILE = ("landings", "simulated.npz")  # below data/
_BLOCK = 256  # landings simulated at once


@dataclass(frozen=True, eq=False)
class Landings:
    """Simulated landings.

    Attributes:
        X: ``(n, 101, 17)`` float64 recorded values in ``units``, at 0, 1, … 100 s after touchdown.
        labels: ``(n,)`` 0 for normal and 1 for slippery.
        parameters: ``(n,)`` float64 by name, of the simulation: ``brake_delay`` in s, ``crosswind`` in kt and so on;
            ``runway`` is 0 dry, 1 wet, 2 slippery.
        low: ``(17,)`` minimum of each channel over the landings that set the scale, in units.
        high: ``(17,)`` maximum.
        truth: ``(n, 101)`` float64 by name, in SI units, what no instrument shows: distance ``x`` and offset ``y`` from
            the centre line, velocities ``u`` and ``v`` along and across the body, yaw rate ``r``, heading ``psi`` from
            the runway's, ``brake`` demand; ``theta`` and ``phi`` in degrees. Empty for the shipped set.
        provenance: generator, seed and versions.
        channels: names of the channels.
        units: units of the channels.
    """

    X: Tensor
    labels: Tensor
    parameters: Mapping[str, Tensor]
    low: Tensor
    high: Tensor
    truth: Mapping[str, Tensor] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    channels: tuple[str, ...] = CHANNELS
    units: tuple[str, ...] = UNITS

    def __len__(self) -> int:
        return len(self.X)

    def __repr__(self) -> str:
        normal, slippery = (int((self.labels == i).sum()) for i in (0, 1))
        return f"Landings(simulated: {normal} normal, {slippery} slippery, X {tuple(self.X.shape)})"

    def __getitem__(self, channel: str) -> Tensor:
        """Return the recorded values ``(n, 101)`` of one channel."""
        if channel not in self.channels:
            raise ValueError(f"channel must be one of {', '.join(self.channels)}, got {channel!r}")
        return self.X[:, :, self.channels.index(channel)]

    @property
    def runway(self) -> tuple[str, ...]:
        """``dry``, ``wet`` or ``slippery``, for each landing."""
        return tuple(RUNWAYS[int(code)] for code in self.parameters["runway"])

    def subset(self, rows: Tensor) -> Landings:
        """Return some landings, by index or mask; the scaling range stays that of the whole set."""
        pick = {name: value[rows] for name, value in self.parameters.items()}
        truth = {name: value[rows] for name, value in self.truth.items()}
        return Landings(self.X[rows], self.labels[rows], pick, self.low, self.high, truth, self.provenance)

    def scale(self, X: Tensor) -> Tensor:
        """Return values ``(…, 17)`` on a scale with ``low`` at 0 and ``high`` at 1; constant channels become 0."""
        span = (self.high - self.low).to(X)
        return (X - self.low.to(X)) / torch.where(span > 0, span, torch.ones_like(span))


def simulate_landings(
    num: int,
    *,
    kind: str = "normal",
    seed: int = 0,
    first: int = 0,
    parameters: Mapping[str, float | np.ndarray] | None = None,
) -> Landings:
    """Return simulated landings, ``X (num, 101, 17)`` float64 in recorded units.

    Args:
        num: number of landings.
        kind: ``"normal"``, or ``"slippery"`` for slippery runways with late braking.
        seed: seed of all random draws. Landing i depends on seed, kind and i alone.
        first: number of the first landing.
        parameters: values that replace drawn parameters, each a number or ``(num,)``: the counterfactual landings of
            the same seed, with the same noise.

    Raises:
        ValueError: for ``num`` below 1, an unknown kind or an unknown parameter.

    References:
        14 CFR 25.109(c) and FAA AC 25-32 (2015) for the friction of wet and slippery runways.

    Example:
        >>> from acelib.lab.landings import simulate_landings
        >>> drawn = simulate_landings(2, kind="slippery", seed=3)
        >>> dry = simulate_landings(2, kind="slippery", seed=3, parameters={"runway": 0})
        >>> assert drawn.X.shape == (2, 101, 17)
        >>> assert (dry.truth["u"][:, 50] < drawn.truth["u"][:, 50]).all()
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
    return _with_range(torch.from_numpy(X), labels, _tensors(used), _tensors(truth), facts)


def load_landings(path: str | Path | None = None, *, device: torch.device | str | None = None) -> Landings:
    """Return the shipped simulated landings: 300 normal ones, then 150 slippery ones, with the range of all.

    Args:
        path: another file that ``save_landings`` wrote.
        device: where the tensors are put, in float64; default: the CPU.

    Raises:
        DataError: if the file is missing or is no such file.

    Example:
        >>> from acelib.lab.landings import load_landings
        >>> landings = load_landings()
        >>> assert landings.X.shape == (450, 101, 17) and landings.labels.sum() == 150
        >>> assert landings.scale(landings.X).max() == 1
    """
    path = home.data_file(*SHIPPED_FILE) if path is None else Path(path)
    if not path.is_file():
        raise DataError(f"simulated landings {path} are missing; restore the file, or write it by save_landings")
    try:
        with np.load(path, allow_pickle=False) as file:
            steps, labels, values = file["steps"], file["labels"], file["parameters"]
            facts = json.loads(str(file["provenance"]))
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} holds no simulated landings ({error}); restore the file") from None
    X = torch.from_numpy(steps.astype(np.float64) * np.array([STEPS[name] for name in CHANNELS])).to(device)
    parameters = {name: torch.from_numpy(values[i]).to(device) for i, name in enumerate(facts["parameters"])}
    return _with_range(X, torch.from_numpy(labels.astype(np.int64)).to(device), parameters, {}, facts)


def save_landings(landings: Landings, path: str | Path) -> None:
    """Write simulated landings as whole numbers of the recorder's steps to an npz file.

    Args:
        landings: simulated; their truth is not written.
        path: the file, replaced where it exists.
    """
    steps = np.round(landings.X.cpu().numpy() / np.array([STEPS[name] for name in CHANNELS])).astype(np.int16)
    facts = {**landings.provenance, "simulated": True, "parameters": list(landings.parameters)}
    content = {
        "steps": steps,
        "labels": landings.labels.cpu().numpy().astype(np.int8),
        "parameters": np.stack([value.cpu().numpy() for value in landings.parameters.values()]),
        "provenance": np.array(json.dumps(facts)),
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:  # a name without .npz would get one
            np.savez_compressed(stream, **content)

    write_whole(Path(path), write)


def join_landings(*parts: Landings) -> Landings:
    """Return several sets as one, in order, with the range of all.

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
    return _with_range(X, labels, pick, truth, facts)


def _with_range(
    X: Tensor, labels: Tensor, parameters: dict[str, Tensor], truth: dict[str, Tensor], facts: dict[str, object]
) -> Landings:
    """Return landings whose scaling range is their own."""
    return Landings(X, labels, parameters, X.amin((0, 1)), X.amax((0, 1)), truth, facts)


def _simulate(draws: Draws) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return records ``(n, 101, 17)``, parameters and truth of one block."""
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
        raise ValueError(f"num must be at least 1, got {num}")
    if kind not in KINDS:
        raise ValueError(f"kind must be 'normal' or 'slippery', got {kind!r}")
    known = draw(1, kind, 0).parameters
    for name in parameters or {}:
        if name not in known:
            raise ValueError(f"parameters must be among {', '.join(sorted(known))}, got {name!r}")
