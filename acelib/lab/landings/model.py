"""The roll-out of a regional jet after touchdown: a plane model on three wheels, step by step.

Body axes: x forward, y right, yaw clockwise from above. Everything is per unit of mass, in SI units; pitch and roll in
degrees. With F the forces of tyres, brakes, thrust, drag and wind, k the radius of gyration and a, b the distances of
nose and main gear from the centre of gravity,

    u' = F_x + r v − g slope        v' = F_y − r u        k² r' = a F_nose − b F_main + t (F_right − F_left) + N_air

A tyre's side force is −μ N tanh(C slip / μ), what the friction ellipse leaves beside braking. Brakes give what the
pilot demands, at most μ N, with μ by runway, speed and place (left and right apart), and higher on a dry strip under
one gear while that lasts. Pitch, roll and heave are damped oscillators that braking, side force and the runway's
roughness excite. The pilot follows the centre line, then turns off, through a lag and with some noise. Gusts are
first-order processes with a length of 100 m (Dryden's longest component). The explicit Euler step of 1/16 s is stable
for the stiffest part, the tyres at 4 m/s.
"""

from __future__ import annotations

import numpy as np

from acelib.lab.landings.draw import CELL, CELLS, RATE, STEPS, Draws, braking_friction

G = 9.80665
KNOT = 0.514444
DT = 1 / RATE
_DEG = np.pi / 180
_NOSE, _MAIN, _TRACK, _GYRATION = 9.9, 1.1, 2.4, 40.0  # m, m, m (half), m²: a regional jet of 11 m wheelbase
_BASE = _NOSE + _MAIN
_STIFFNESS = 8.0  # side force per load and radian of slip
_LATERAL = 2.5  # greatest side friction over greatest braking friction
_SIDE, _WEATHERCOCK, _YAW_DAMPING, _RUDDER = 1.2e-3, 7e-5, 1.2e-3, 6e-5  # per metre, by the air
_SLOW = 4.0  # m/s, below which slip is taken as at this speed
_TRANSFER = 0.24  # height of the centre of gravity over wheelbase
_REFERENCE = 54.0  # m/s, at which the lift is stated
_SLOWING = 8.0  # s before the exit, at which the pilot slows down for it

STATES = (
    "x",
    "y",
    "psi",
    "u",
    "v",
    "r",
    "theta",
    "theta_rate",
    "theta_aim",
    "phi",
    "phi_rate",
    "z",
    "z_rate",
    "steer",
    "rudder",
    "brake",
    "reverse",
    "headgust",
    "sidegust",
    "upgust",
    "pilot",
    "rough",
    "bank",
    "heat",
    "warmth",
    "static",
    "vane",
    "psi_aim",
    "exit",
)

State = dict[str, np.ndarray]


def start(draws: Draws) -> State:
    """Return the state of n landings at touchdown, ``(n,)`` by name."""
    p = draws.parameters
    state = {name: np.zeros_like(p["speed"]) for name in STATES}
    speed, head, cross = (p[name] * KNOT for name in ("speed", "headwind", "crosswind"))
    state["psi"] = -p["crab"] * cross / (speed + head)  # nose still a little into the wind
    state["u"], state["v"] = speed * np.cos(state["psi"]), -speed * np.sin(state["psi"])
    state["y"], state["theta"], state["theta_aim"] = p["offset"].copy(), p["pitch"].copy(), p["pitch"].copy()
    state["phi"], state["z_rate"] = p["roll"].copy(), -p["sink"]
    state["vane"] = _vane_aim(state, p, speed + head)
    state["exit"] = np.full_like(speed, np.inf)
    return state


def advance(state: State, draws: Draws, step: int, push: State | None = None) -> State:
    """Move the state on by 1/16 s, in place; return what acted in the step, for the instruments.

    Args:
        state: state of all landings, ``(n,)`` by name.
        draws: parameters and noise.
        step: number of the step since touchdown.
        push: ``(n,)`` extra accelerations in m/s² by name: ``fx``, ``fy`` or ``fz``.
    """
    p, t = draws.parameters, step * DT
    noise = {name: white[min(step, STEPS - 1)] for name, white in draws.noise.items()}
    air = _air(state, p)
    act = _ground(state, draws, air, t)
    for name, value in (push or {}).items():
        act[name] = act[name] + value
    aim = _pilot(state, p, air, t)
    _move(state, p, act)
    _oscillate(state, p, act, air, t)
    _respond(state, p, aim, t)
    _disturb(state, p, air, noise)
    return {**air, **act}


def _air(s: State, p: State) -> State:
    """Return the velocity against the air in body axes and its size, never 0."""
    head, cross = p["headwind"] * KNOT + s["headgust"], p["crosswind"] * KNOT + s["sidegust"]
    sin, cos = np.sin(s["psi"]), np.cos(s["psi"])
    ua, va = s["u"] + head * cos - cross * sin, s["v"] - head * sin - cross * cos
    return {"ua": ua, "va": va, "airspeed": np.sqrt(ua**2 + va**2) + 1e-6}


def _friction(s: State, draws: Draws, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest braking coefficients under the left and the right gear, by runway, speed and place."""
    p = draws.parameters
    place = np.clip(s["x"] / CELL, 0, CELLS - 1.001)
    cell = place.astype(int)
    columns, part = np.arange(cell.shape[-1]), place - cell
    patch, uneven = (
        (1 - part) * field[cell, columns] + part * field[cell + 1, columns] for field in (draws.friction, draws.uneven)
    )
    patch = np.exp(p["patchiness"] * patch - p["patchiness"] ** 2 / 2)  # 1 on average
    smooth = p["grip"] * braking_friction(p["runway"], s["u"]) * patch
    tilt = np.clip(p["unevenness"] * uneven, -0.6, 0.6)
    strip = p["strip_grip"] * ((t >= p["strip_time"]) & (t < p["strip_time"] + p["strip_length"]))
    left = np.maximum(smooth * (1 - tilt), strip * (p["strip_side"] < 0))
    right = np.maximum(smooth * (1 + tilt), strip * (p["strip_side"] > 0))
    return np.minimum(left, 0.45), np.minimum(right, 0.45)


def _ground(s: State, draws: Draws, air: State, t: float) -> State:
    """Return the accelerations by tyres, brakes, thrust and air, along the body axes, and in yaw."""
    p, speed = draws.parameters, np.maximum(s["u"], _SLOW)
    wings = p["lift"] + (0.7 - p["lift"]) * np.exp(-t / 0.8) * (p["lift"] > 0)  # spoilers come out
    lift = np.minimum(wings * (air["airspeed"] / _REFERENCE) ** 2, 0.9)
    fz = -64 * s["z"] - 6.4 * s["z_rate"] + s["rough"] * G  # 8 rad/s, damping ratio 0.4
    load = G * np.maximum(1 - lift + fz / G, 0.05)
    contact = (s["theta"] < p["level"] + 0.9).astype(float)
    left, right = _friction(s, draws, t)
    mu = (left + right) / 2
    nose = load * contact * (0.1 + _TRANSFER * np.minimum(s["brake"] / load, mu))  # braking presses the nose down
    main = load - nose
    brake_left, brake_right = (np.minimum(s["brake"], grip * main) / 2 for grip in (left, right))
    braking = brake_left + brake_right
    moving = np.clip(s["u"] / 0.5, 0, 1)  # brakes hold, they do not push back
    side = _LATERAL * mu
    left_over = np.sqrt(np.maximum(1 - (braking / (side * main)) ** 2, 0.5))
    f_main = -main * side * left_over * np.tanh(_STIFFNESS * (s["v"] - _MAIN * s["r"]) / speed / (side * left_over))
    f_nose = -nose * side * np.tanh(_STIFFNESS * ((s["v"] + _NOSE * s["r"]) / speed - s["steer"]) / side)
    fx = _thrust(s, p, t) - moving * (braking + p["rolling"] * load) - s["reverse"]
    fx = fx - p["drag"] * air["airspeed"] * air["ua"] - f_nose * np.sin(s["steer"])
    fy = f_main + f_nose * np.cos(s["steer"]) - _SIDE * air["airspeed"] * air["va"]
    turning = _NOSE * f_nose - _MAIN * f_main + _TRACK * moving * (brake_right - brake_left)
    wind = _WEATHERCOCK * air["va"] - _YAW_DAMPING * s["r"] + _RUDDER * air["airspeed"] * s["rudder"]
    yaw = turning / _GYRATION + air["airspeed"] * wind
    return {"fx": fx, "fy": fy, "fz": fz, "yaw": yaw, "braking": braking, "contact": contact}


def _thrust(s: State, p: State, t: float) -> np.ndarray:
    """Return the idle thrust, more where the aircraft is too slow, and after the exit what keeps the taxi speed."""
    idle, missing = p["idle"] * G, _wanted_speed(s, p, t) - s["u"]
    return np.where((t > s["exit"]) | (missing > 0), np.clip(idle + 0.25 * missing, 0, 0.05 * G), idle)


def _wanted_speed(s: State, p: State, t: float) -> np.ndarray:
    turning = np.abs(_wanted_heading(s, p, t) - s["psi_aim"]) > 3 * _DEG
    taxi = np.where(turning, p["turn_speed"], p["taxi_speed"])
    runway = np.where(t < p["exit_after"] - _SLOWING, np.maximum(p["roll_speed"], p["exit_speed"]), p["exit_speed"])
    return KNOT * np.where(t > s["exit"], taxi, runway)


def _wanted_heading(s: State, p: State, t: float) -> np.ndarray:
    first = p["exit_turn"] * (t > s["exit"])
    return p["side"] * _DEG * (first + p["second_turn"] * (t > s["exit"] + p["second_delay"]))


def _pilot(s: State, p: State, air: State, t: float) -> State:
    """Return what the pilot aims at: heading, steering angle, rudder and brakes."""
    speed, rolling = np.maximum(s["u"], _SLOW), t <= s["exit"]
    limit = p["turn_limit"] * G / speed
    turn = np.clip(0.5 * (_wanted_heading(s, p, t) - s["psi_aim"]), -limit, limit) * ~rolling
    ahead = np.clip(s["y"] / np.maximum(4 * s["u"], 40), -0.05, 0.05)  # four seconds ahead, back on the centre line
    aim = np.where(rolling, -ahead, s["psi_aim"])
    track = s["psi"] + s["v"] / np.maximum(s["u"], 5.0)
    rate = p["pilot_gain"] * (aim - track) + turn + s["pilot"] * np.minimum(s["u"] / 20, 1)
    authority = np.clip(7 * _DEG * (15 / speed) ** 2, 5 * _DEG, 60 * _DEG)
    steer = np.clip(_BASE / speed * (rate + s["u"] / 18 * (rate - s["r"])), -authority, authority)
    total = p["brake_demand"] * G - p["drag"] * air["airspeed"] ** 2  # the pilot wants a steady deceleration
    wanted, level = _wanted_speed(s, p, t), np.where(rolling, np.maximum(total, 0), 0.06 * G)
    ease = np.where(rolling, np.clip(1.5 - np.abs(s["psi"]) / (3 * _DEG), 0, 1), 1)  # off the brakes to keep straight
    brake = level * ease * np.clip((s["u"] - wanted) / 3, 0, 1) * (t >= p["brake_delay"])
    reverse = p["reverse"] * G * (t >= p["reverse_delay"]) * (s["u"] > 60 * KNOT)
    return {
        "turn": turn,
        "steer": steer,
        "rudder": np.clip(3 * (rate - s["r"]), -0.4, 0.4),
        "brake": brake,
        "reverse": reverse,
    }


def _move(s: State, p: State, act: State) -> None:
    """Move position, heading and velocity; positions first, with the velocities of the step's beginning."""
    sin, cos = np.sin(s["psi"]), np.cos(s["psi"])
    s["x"] = s["x"] + DT * (s["u"] * cos - s["v"] * sin)
    s["y"] = s["y"] + DT * (s["u"] * sin + s["v"] * cos)
    s["psi"] = s["psi"] + DT * s["r"]
    u, v, r = s["u"], s["v"], s["r"]
    s["u"] = np.maximum(u + DT * (act["fx"] + r * v - G * _DEG * p["slope"]), 0)
    s["v"] = v + DT * (act["fy"] - r * u)
    s["r"] = r + DT * act["yaw"]


def _oscillate(s: State, p: State, act: State, air: State, t: float) -> None:
    """Move heave, pitch and roll; rates first, then angles, which keeps the oscillators from gaining energy."""
    s["z_rate"] = s["z_rate"] + DT * act["fz"]
    s["z"] = s["z"] + DT * s["z_rate"]
    down = np.maximum(s["theta_aim"] - p["derotation_rate"] * DT, p["level"])
    s["theta_aim"] = np.where(t >= p["derotation_delay"], down, s["theta_aim"])
    stiff = 3 + 2 * act["contact"]  # rad/s: elevator, then the nose gear's strut
    dive = s["theta_aim"] + act["contact"] * 0.5 * act["fx"] / G
    shake = 250 * s["rough"] * np.minimum(s["u"] / 25, 1)
    s["theta_rate"] = s["theta_rate"] + DT * (stiff**2 * (dive - s["theta"]) - 0.8 * stiff * s["theta_rate"] + shake)
    s["theta"] = s["theta"] + DT * s["theta_rate"]
    lean = p["bank"] + s["bank"] - 2.5 * act["fy"] / G  # outwards in a turn
    s["phi_rate"] = s["phi_rate"] + DT * (16 * (lean - s["phi"]) - 2.4 * s["phi_rate"])
    s["phi"] = s["phi"] + DT * s["phi_rate"]
    free = np.clip((air["airspeed"] - 15) / 10, 0, 1)  # below, the vane's own friction holds it
    rate = free * np.minimum((air["airspeed"] / 50) ** 2 / 0.15, 1 / DT)
    s["vane"] = s["vane"] + DT * rate * (_vane_aim(s, p, air["airspeed"]) - s["vane"])


def _vane_aim(s: State, p: State, airspeed: np.ndarray) -> np.ndarray:
    """Return the vane's degrees in steady flow: about 1.6 times the pitch, as in the recording, and gusts."""
    return 1.6 * (s["theta"] - p["level"]) - 3.1 + 0.2 * s["upgust"] / np.maximum(airspeed, 10) / _DEG


def _respond(s: State, p: State, aim: State, t: float) -> None:
    """Let the controls follow the pilot through a lag; the first second below the exit speed begins the turn-off."""
    s["psi_aim"] = s["psi_aim"] + DT * aim["turn"]
    for name in ("steer", "rudder"):
        s[name] = s[name] + DT * (aim[name] - s[name]) / p["pilot_lag"]
    for name, lag in (("brake", 0.6), ("reverse", 1.0)):
        s[name] = s[name] + DT * (aim[name] - s[name]) / lag
    slow = (s["u"] < p["exit_speed"] * KNOT + 1.0) & (t > np.maximum(5, p["exit_after"])) & np.isinf(s["exit"])
    s["exit"] = np.where(slow, t, s["exit"])


def _disturb(s: State, p: State, air: State, noise: State) -> None:
    """Move gusts, the pilot's noise, roughness, cross slope and the instruments' drifts: first-order processes."""
    wind = KNOT * np.hypot(p["headwind"], p["crosswind"])
    gust, flow = p["gustiness"] * wind + p["calm"] * KNOT, np.maximum(air["airspeed"], 5) / 100
    _follow(s, "headgust", flow, gust, noise["headwind"])
    _follow(s, "sidegust", flow, gust, noise["crosswind"])
    _follow(s, "upgust", 2 * flow, 0.5 * gust, noise["updraught"])
    _follow(s, "pilot", 2.0, p["pilot_noise"], noise["steering"])
    _follow(s, "rough", 10.0, 0.02 * p["roughness"] * np.clip(np.sqrt(s["u"] / 20), 0, 1.3), noise["rough"])
    _follow(s, "bank", 0.3, 0.17 * p["roughness"], noise["bank"])
    _follow(s, "heat", 1 / 20, 3.0, noise["heat"])
    s["warmth"] = s["warmth"] + DT * (s["heat"] - s["warmth"]) / 8
    _follow(s, "static", 0.3, 0.7, noise["static"])


def _follow(s: State, name: str, rate: np.ndarray | float, spread: np.ndarray | float, white: np.ndarray) -> None:
    """Take one exact step of a first-order process with the given rate (1/s) and standard deviation."""
    keep = np.exp(-DT * rate)
    s[name] = keep * s[name] + spread * np.sqrt(1 - keep**2) * white
