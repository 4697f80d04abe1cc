"""Total effects of a channel's state on a later reading, in the simulator, by simulating twice with one noise.

The effect of cause c at lag ℓ on target y at time t is y(t; do(state_c(t − ℓ) += size)) − y(t), with every random draw
the same in both runs. A channel is a reading; what is pushed is the physical state behind it: heading behind MH, speed
behind GS, a force in the second before for the accelerations, a gust for airspeed and wind. The pilot reacts to what
is pushed, so these are total effects. Behind ALT, AOA and TAT lie states that nothing else depends on, and the squat
switches have no state of their own: their effects are exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acelib.lab.datasets.dashlink import CHANNELS
from acelib.lab.landings.draw import KINDS, RATE, SECONDS, draw
from acelib.lab.landings.model import KNOT, G, State, advance, start
from acelib.lab.landings.sensors import UNITS, measure

# channel: (state, or force over the second before, that is pushed; size in SI units or degrees; size in its own units)
PUSHES: dict[str, tuple[str, float, float] | None] = {
    "ALT": ("static", 5.0, 5.0),
    "AOA1": ("vane", 1.0, 1.0),
    "AOA2": ("vane", 1.0, 1.0),
    "CAS": ("headgust", 2 * KNOT, 2.0),
    "GS": ("u", 2 * KNOT, 2.0),
    "LATG": ("fy", 0.02 * G, 0.02),
    "LONG": ("fx", 0.02 * G, 0.02),
    "MH": ("psi", np.pi / 180, 1.0),
    "MSQT_1": None,
    "MSQT_2": None,
    "NSQT": None,
    "PTCH": ("theta", 0.5, 0.5),
    "ROLL": ("phi", 0.5, 0.5),
    "TAT": ("warmth", 1.0, 1.0),
    "VRTG": ("fz", 0.05 * G, 0.05),
    "WD": ("sidegust", 2 * KNOT, 2.0),
    "WS": ("headgust", 2 * KNOT, 2.0),
}


@dataclass(frozen=True, eq=False)
class StateEffect:
    """Total effects of pushed states on a later reading.

    Attributes:
        values: ``(lags, causes, n)`` float64 differences, in the units of the target.
        causes: channels behind which a state was pushed.
        lags: seconds between the push and the reading.
        sizes: ``(causes,)`` size of each push, in its channel's units; knots of crosswind for WD.
        target: the channel that was read.
        time: seconds after touchdown at which it was read.
        units: units of the causes' channels.
    """

    values: Tensor
    causes: tuple[str, ...]
    lags: tuple[int, ...]
    sizes: Tensor
    target: str
    time: int
    units: tuple[str, ...]

    @property
    def mean(self) -> Tensor:
        """``(lags, causes)`` average effect over the landings; opposite signs cancel."""
        return self.values.mean(-1)

    @property
    def size(self) -> Tensor:
        """``(lags, causes)`` average size of the effect, mean ``|difference|``."""
        return self.values.abs().mean(-1)

    @property
    def stderr(self) -> Tensor:
        """``(lags, causes)`` standard error of ``size`` over the landings."""
        return self.values.abs().std(-1) / self.values.shape[-1] ** 0.5

    def __repr__(self) -> str:
        n = self.values.shape[-1]
        what = f"{len(self.causes)} causes, lags {self.lags}, {n} landings"
        return f"StateEffect(on {self.target} at {self.time} s: {what})"


def state_effect(
    causes: Sequence[str] = CHANNELS,
    lags: Sequence[int] = tuple(range(1, 11)),
    *,
    target: str = "LATG",
    time: int = 60,
    num: int = 100,
    kind: str = "slippery",
    seed: int = 0,
    first: int = 0,
    parameters: Mapping[str, float | np.ndarray] | None = None,
) -> StateEffect:
    """Return the effect of a push of each channel's state on a later reading, by simulating again with the same noise.

    Args:
        causes: channels; ``PUSHES`` gives the state behind each and the size of the push.
        lags: whole seconds, 1 or more, between the push and the reading.
        target: the channel read, before rounding to the recorder's steps.
        time: whole seconds after touchdown at which it is read; at least 1 more than the longest lag.
        num: number of landings.
        kind: ``"normal"`` or ``"slippery"``.
        seed: seed of the landings, which are those of ``simulate_landings`` with the same seed, kind and first.
        first: number of the first landing.
        parameters: values that replace drawn parameters, each a number or ``(num,)``.

    Raises:
        ValueError: for an unknown channel or kind, lags that are not whole and at least 1, or a time too early for
            them.

    Example:
        >>> from acelib.lab.landings import state_effect
        >>> effect = state_effect(["MH", "TAT"], [2], num=3)
        >>> assert effect.values.shape == (1, 2, 3)
        >>> assert (effect.values[0, 0] != 0).all() and (effect.values[0, 1] == 0).all()
    """
    causes, lags = tuple(causes), tuple(lags)
    _check(causes, lags, target, time, num, kind)
    draws = draw(num, kind, seed, first, parameters)
    state = start(draws)
    begin = (time - max(lags) - 1) * RATE
    for step in range(begin):
        advance(state, draws, step)
    # one more row than there are causes: the landing as it was
    state = {name: np.tile(value, (len(lags), len(causes) + 1, 1)) for name, value in state.items()}
    for step in range(begin, time * RATE + 1):
        push = _push(state, causes, lags, time, step)
        before = dict(state)
        act = advance(state, draws, step, push)
    read = measure(before, act, draws, time)[target]
    values = np.broadcast_to(read, state["u"].shape)
    difference = values[:, :-1] - values[:, -1:]
    if target in ("MH", "WD"):
        difference = (difference + 180) % 360 - 180
    sizes = torch.tensor([PUSHES[name][2] if PUSHES[name] else 0.0 for name in causes], dtype=torch.float64)
    units = tuple("KNOTS" if name == "WD" else UNITS[CHANNELS.index(name)] for name in causes)
    return StateEffect(torch.from_numpy(difference.copy()), causes, lags, sizes, target, time, units)


def _push(state: State, causes: tuple[str, ...], lags: tuple[int, ...], time: int, step: int) -> State:
    """Push the states that are due at this step, in place; return the forces of this step."""
    forces = {name: np.zeros(state["u"].shape) for name in ("fx", "fy", "fz")}
    for row, lag in enumerate(lags):
        due = (time - lag) * RATE
        for column, cause in enumerate(causes):
            name, size, _ = PUSHES[cause] or ("", 0.0, 0.0)
            if name in forces and due - RATE < step <= due:
                forces[name][row, column] = size
            elif name in state and step == due:
                state[name] = state[name].copy()
                state[name][row, column] += size
    return forces


def _check(causes: tuple, lags: tuple, target: str, time: int, num: int, kind: str) -> None:
    for name in (*causes, target):
        if name not in CHANNELS:
            raise ValueError(f"causes and target must be among {', '.join(CHANNELS)}, got {name!r}")
    if not causes or not lags or any(int(lag) != lag or lag < 1 for lag in lags):
        raise ValueError(f"lags must be whole seconds from 1, and causes at least one, got {lags} for causes {causes}")
    if int(time) != time or not max(lags) < time <= SECONDS:
        raise ValueError(f"time must be a whole second above the longest lag {max(lags)} up to {SECONDS}, got {time}")
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
