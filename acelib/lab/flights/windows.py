"""Windows of recorded flights: overlapping rows, with groups for the standard errors.

The 17 channels of recorded flights are read at 1 Hz and cut into windows of equal length. Neighbouring windows share
seconds, so they are no independent rows: with several flights a group is a flight; one flight is cut into stretches
first, which share no second, and a group is a stretch. Standard errors are then taken between groups.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acelib.lab.datasets import registry
from acelib.lab.datasets.dashlink import CHANNELS, FLIGHT, Flight
from acelib.lab.datasets.registry import DataError

FLIGHTS_VARIABLE = "ACELIB_FLIGHTS"
STRETCH = 300  # s of one flight that make a group


def flight_files(folder: str | Path | None = None) -> list[Path]:
    """Return the recorded flights to read: every ``.mat`` file of a folder, else the one flight of the registry.

    Args:
        folder: folder of a reader's own flights; default the one named by the environment variable
            ``ACELIB_FLIGHTS``, if it is set.

    Raises:
        DataError: if the folder holds no ``.mat`` file.
    """
    named = folder or os.environ.get(FLIGHTS_VARIABLE)
    if not named:
        return [Path(registry.fetch(FLIGHT))]
    files = sorted(Path(named).expanduser().glob("*.mat"))
    if not files:
        raise DataError(f"folder must hold .mat files of DASHlink, got {named}; name one in {FLIGHTS_VARIABLE}")
    return files


@dataclass(frozen=True, eq=False)
class FlightWindows:
    """Windows of recorded flights.

    Attributes:
        X: ``(n, length, 17)`` float64 in recorded units, at 1 Hz.
        groups: ``(n,)`` number of the stretch or flight of each window.
        starts: ``(n,)`` second of the recording at which each begins.
        low: ``(17,)`` minimum of each channel.
        high: ``(17,)`` maximum.
    """

    X: Tensor
    groups: Tensor
    starts: Tensor
    low: Tensor
    high: Tensor

    def __repr__(self) -> str:
        return f"FlightWindows({len(self.X)} windows of {self.X.shape[1]} s, {len(self.groups.unique())} groups)"

    def scale(self, X: Tensor) -> Tensor:
        """Return values ``(…, 17)`` on a scale with ``low`` at 0 and ``high`` at 1; constant channels become 0."""
        span = self.high - self.low
        return (X - self.low) / torch.where(span > 0, span, torch.ones_like(span))


def flight_windows(
    flights: Sequence[Flight], *, length: int = 61, stride: int = 20, channels: Sequence[str] = CHANNELS
) -> FlightWindows:
    """Return windows of flights at 1 Hz, averaged over each second, with their groups and range.

    Args:
        flights: recorded flights, one or more.
        length: seconds of a window.
        stride: seconds between the beginnings of neighbouring windows.
        channels: names of parameters.

    Raises:
        DataError: if a flight lacks a channel, or is shorter than a window.
    """
    X, groups, starts = [], [], []
    for number, flight in enumerate(flights):
        seconds = int(np.floor(flight.duration)) - 1
        if seconds < length:
            got = f"{flight.duration:g} s in {flight.path.name}"
            raise DataError(f"flights must last at least {length + 1} s, got {got}; leave it out")
        whole = torch.from_numpy(flight.window(0, seconds, channels, how="mean", since="start").X)
        first = torch.arange(0, len(whole) - length + 1, stride)
        group = torch.full_like(first, number)
        if len(flights) == 1:
            group = first // STRETCH
            inside = group == (first + length - 1) // STRETCH
            first, group = first[inside], group[inside]
        X.append(whole.unfold(0, length, 1)[first].transpose(1, 2))
        starts.append(first)
        groups.append(group)
    X, groups, starts = torch.cat(X), torch.cat(groups), torch.cat(starts)
    return FlightWindows(X, groups, starts, X.amin((0, 1)), X.amax((0, 1)))
