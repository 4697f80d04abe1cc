"""The random part of simulated landings: weather, runway, pilot and instruments, drawn from a seed.

Each landing has a random stream of its own, keyed by (seed, kind, number), and draws everything in one fixed order
before anything is simulated. So landing 7 is the same among 10 and among 1000, and it keeps its noise when a parameter
is replaced: common random numbers, which every counterfactual needs.

Braking coefficients are those of the regulations: wet runway 14 CFR 25.109(c)(1) for 200 psi tyres; slippery runway
FAA AC 25-32 (2015), wheel braking 0.05 to 0.20 for runway condition codes 1 to 4, hydroplaning 0.05; dry runway 0.4,
the usual certified value. Real measurements of the same order: Sawyer and Kolnick, NASA TR R-20, 1959.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SECONDS = 100
RATE = 16  # steps of the integration per second
STEPS = SECONDS * RATE
KINDS = ("normal", "slippery")
RUNWAYS = ("dry", "wet", "slippery")
CELL = 25.0  # metres of runway that share a patch of friction and of roughness
CELLS = 240
_NOISES = ("headwind", "crosswind", "updraught", "steering", "rough", "bank", "heat", "static")
_SENSED = 17

# name: (distribution, its two numbers); "uniform" low, high; "normal" mean, sd
_COMMON = {
    "speed": ("normal", 108, 5),  # kt, ground speed at touchdown
    "headwind": ("uniform", -2, 10),  # kt
    "crosswind": ("normal", 0, 5),  # kt, from the left is positive: it blows towards the right
    "gustiness": ("uniform", 0.10, 0.25),  # standard deviation of gusts over mean wind
    "calm": ("uniform", 0.5, 1.5),  # kt, standard deviation of gusts in still air
    "drag": ("normal", 3.0e-4, 0.3e-4),  # 1/m: D / m = drag · v², with spoilers and air brake about 0.09 g at 54 m/s
    "lift": ("uniform", 0.06, 0.14),  # share of the weight borne by wings with spoilers out, at 54 m/s
    "rolling": ("uniform", 0.012, 0.018),  # rolling friction
    "idle": ("uniform", 0.010, 0.025),  # g, thrust of idling engines
    "reverse": ("uniform", 0.0, 0.06),  # g, reverse thrust above 60 kt
    "reverse_delay": ("uniform", 2, 5),  # s
    "exit_speed": ("uniform", 14, 22),  # kt
    "exit_turn": ("uniform", 30, 60),  # degrees
    "second_turn": ("uniform", 0, 50),  # degrees, to the same side
    "second_delay": ("uniform", 15, 28),  # s after the first turn began
    "turn_speed": ("uniform", 8, 14),  # kt
    "taxi_speed": ("uniform", 12, 20),  # kt
    "turn_limit": ("uniform", 0.05, 0.09),  # g, lateral
    "pilot_gain": ("uniform", 0.5, 0.9),  # 1/s, from heading error to wanted yaw rate
    "pilot_lag": ("uniform", 0.25, 0.45),  # s
    "pilot_noise": ("uniform", 0.002, 0.005),  # rad/s
    "crab": ("uniform", 0.1, 0.5),  # share of the drift angle left at touchdown
    "offset": ("normal", 0, 2.0),  # m from the centre line
    "pitch": ("normal", 3.0, 0.6),  # degrees at touchdown
    "derotation_delay": ("uniform", 0.3, 1.5),  # s
    "derotation_rate": ("uniform", 1.5, 2.5),  # degrees/s
    "sink": ("uniform", 0.05, 0.5),  # m/s
    "roll": ("normal", 0, 0.6),  # degrees
    "slope": ("normal", 0, 0.15),  # degrees, of the runway along its length
    "bank": ("normal", -0.25, 0.15),  # degrees, mean reading of roll on the ground
    "level": ("normal", -0.15, 0.05),  # degrees, mean reading of pitch on the ground
    "roughness": ("uniform", 0.8, 1.2),
    "elevation": ("normal", 800, 40),  # feet of pressure altitude
    "temperature": ("normal", 16, 2.5),  # °C
    "patchiness": ("uniform", 0.0, 0.1),  # standard deviation of log friction along the runway
    "unevenness": ("uniform", 0.0, 0.05),  # the same for the difference between the two main gears
    "grip": ("uniform", 0.9, 1.1),  # on the friction of the runway's kind
    "exit_after": ("uniform", 72, 88),  # s, the exit lies so far down the runway
    "roll_speed": ("uniform", 24, 42),  # kt, until 8 s before that
    "strip_time": ("uniform", 54, 57.5),  # s, when one main gear runs onto a dry strip
    "strip_length": ("uniform", 2.5, 4.5),  # s
}
_KIND = {
    "normal": {
        "brake_delay": ("uniform", 1.0, 4.0),
        "brake_demand": ("uniform", 0.14, 0.20),
        "strip_grip": ("uniform", 0.0, 0.0),  # no strip
    },
    "slippery": {
        "brake_delay": ("uniform", 28.0, 40.0),  # late
        "brake_demand": ("uniform", 0.30, 0.40),  # g, more than the runway gives
        "patchiness": ("uniform", 0.5, 0.8),
        "unevenness": ("uniform", 0.15, 0.3),
        "grip": ("uniform", 0.4, 0.6),
        "reverse": ("uniform", 0.0, 0.0),
        "roll_speed": ("uniform", 14, 20),
        "strip_grip": ("uniform", 0.3, 0.4),  # the strip's braking coefficient
    },
}
_WET_SHARE = 0.3  # of the normal landings


@dataclass(frozen=True)
class Draws:
    """Everything random of n landings: parameters, and standard normal noise.

    Attributes:
        parameters: ``(n,)`` float64 by name; ``runway`` is 0 dry, 1 wet, 2 slippery.
        noise: ``(steps, n)`` by name.
        friction: ``(cells, n)`` patches along the runway, standard normal and smooth.
        uneven: the same for the difference between left and right gear.
        sensor: ``(101, channels, n)`` white noise of the instruments.
    """

    parameters: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    friction: np.ndarray
    uneven: np.ndarray
    sensor: np.ndarray

    def take(self, columns: np.ndarray) -> Draws:
        """Return the draws of some landings, in any order and with repeats."""
        return Draws(
            {name: value[columns] for name, value in self.parameters.items()},
            {name: value[:, columns] for name, value in self.noise.items()},
            self.friction[:, columns],
            self.uneven[:, columns],
            self.sensor[:, :, columns],
        )


def draw(num: int, kind: str, seed: int, first: int = 0, replaced: Mapping[str, object] | None = None) -> Draws:
    """Return the draws of landings first … first + num − 1 of a kind, with some parameters replaced afterwards."""
    streams = (np.random.default_rng([seed, KINDS.index(kind), number]) for number in range(first, first + num))
    each = [_one(stream, kind) for stream in streams]
    parameters = {name: np.array([p[name] for p, *_ in each]) for name in each[0][0]}
    for name, value in (replaced or {}).items():
        parameters[name] = np.broadcast_to(np.asarray(value, np.float64), (num,)).copy()
    noise = np.stack([white for _, white, *_ in each], axis=-1)
    return Draws(
        parameters,
        {name: noise[i] for i, name in enumerate(_NOISES)},
        np.stack([patches[0] for *_, patches, _ in each], axis=-1),
        np.stack([patches[1] for *_, patches, _ in each], axis=-1),
        np.stack([sensed for *_, sensed in each], axis=-1),
    )


def braking_friction(runway: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Return the greatest wheel braking coefficient on a smooth stretch, by runway (0, 1, 2) and speed in m/s.

    References:
        14 CFR 25.109(c)(1) and (2), 200 psi, fully modulating anti-skid; FAA AC 25-32, 2015.

    Example:
        >>> import numpy as np
        >>> from acelib.lab.landings.draw import braking_friction
        >>> mu = braking_friction(np.array([0, 1, 2]), np.array([50.0, 50.0, 50.0]))
        >>> assert (np.diff(mu) < 0).all()
    """
    v = np.clip(speed / 0.514444, 0, 160) / 100
    wet = 0.8 * (-0.0331 * v**3 + 0.252 * v**2 - 0.658 * v + 0.692)  # 0.8: efficiency of the anti-skid system
    # code 1, poor, at low speed, falling to 0.05 where the tyres ride on the film
    slippery = np.clip(0.08 - 0.03 * (v - 0.2) / 0.6, 0.05, 0.08)
    return np.choose(np.asarray(runway, int), [np.full_like(v, 0.4), wet, slippery])


def _one(rng: np.random.Generator, kind: str) -> tuple[dict[str, float], np.ndarray, np.ndarray, np.ndarray]:
    """Return parameters, noise (names, steps), patches (2, cells) and sensor noise (101, channels) of a landing."""
    recipe = {**_COMMON, **_KIND[kind]}
    parameters = {}
    for name, (shape, a, b) in recipe.items():
        normal = a + b * np.clip(rng.standard_normal(), -2.5, 2.5) if shape == "normal" else 0.0
        parameters[name] = normal if shape == "normal" else rng.uniform(a, b)
    wet, side, strip = rng.uniform(size=3)
    parameters["runway"] = 2.0 if kind == "slippery" else float(wet < _WET_SHARE)
    parameters["side"] = 1.0 if side < 0.5 else -1.0  # of the exit: right is positive
    parameters["strip_side"] = 1.0 if strip < 0.5 else -1.0
    white = rng.standard_normal((len(_NOISES), STEPS))
    patches = _smooth(rng.standard_normal((2, CELLS + 4)))
    return parameters, white, patches, rng.standard_normal((SECONDS + 1, _SENSED))


def _smooth(white: np.ndarray) -> np.ndarray:
    """Average white noise ``(2, cells + 4)`` over five cells, variance 1: patches about a hundred metres long."""
    return sum(white[:, i : i + CELLS] for i in range(5)) / np.sqrt(5)
