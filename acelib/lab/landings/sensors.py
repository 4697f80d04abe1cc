"""The instruments: from the state of an aircraft to 17 channels, with noise, limits and steps.

Steps and limits are facts of the real recording (tail 666, 186 parameters): the smallest difference between recorded
values of each channel, airspeed 0 below 30 knots and ground speed 0 below 50.6, and a wind computer that takes a true
airspeed of at least 100 knots, so that below it "wind" is mostly what the aircraft has lost in speed.
"""

from __future__ import annotations

import numpy as np

from acelib.lab.datasets.dashlink import CHANNELS
from acelib.lab.landings.draw import Draws
from acelib.lab.landings.model import KNOT, G, State

NAMES = {
    "ALT": "altitude",
    "AOA1": "angle of attack, first vane",
    "AOA2": "angle of attack, second vane",
    "CAS": "airspeed",
    "GS": "ground speed",
    "LATG": "lateral acceleration",
    "LONG": "longitudinal acceleration",
    "MH": "magnetic heading",
    "MSQT_1": "first main-gear switch",
    "MSQT_2": "second main-gear switch",
    "NSQT": "nose-gear switch",
    "PTCH": "pitch",
    "ROLL": "roll",
    "TAT": "air temperature",
    "VRTG": "vertical acceleration",
    "WD": "wind direction",
    "WS": "wind speed",
}
UNITS = (
    "FEET",
    "DEG",
    "DEG",
    "KNOTS",
    "KNOTS",
    "G",
    "G",
    "DEG",
    "",
    "",
    "",
    "DEG",
    "DEG",
    "DEG",
    "G",
    "DEG",
    "KNOTS",
)
STEPS = {
    "ALT": 1.0,
    "AOA1": 0.0439453125,
    "AOA2": 0.0439453125,
    "CAS": 0.0625,
    "GS": 0.125,
    "LATG": 0.000508,
    "LONG": 0.000508,
    "MH": 0.0054931640625,
    "MSQT_1": 1.0,
    "MSQT_2": 1.0,
    "NSQT": 1.0,
    "PTCH": 0.010986328125,
    "ROLL": 0.010986328125,
    "TAT": 0.25,
    "VRTG": 0.002288818359375,
    "WD": 0.703125,
    "WS": 0.99609375,
}
CAS_FLOOR, CAS_REGAINED, GS_FLOOR, TAS_FLOOR = 30.0, 35.0, 50.6, 100.0  # knots
RUNWAY, VARIATION = -62.0, 2.6  # degrees: magnetic heading of the runway, true minus magnetic
_DEG = np.pi / 180


def read(s: State, act: State, draws: Draws, second: int) -> np.ndarray:
    """Return the recorded values ``(channels, n)`` at one whole second, rounded to the recorder's steps."""
    values = measure(s, act, draws, second)
    return np.stack([quantise(name, values[name]) for name in CHANNELS])


def measure(s: State, act: State, draws: Draws, second: int) -> State:
    """Return the instruments' values at one whole second, by channel, before rounding to the recorder's steps.

    Args:
        s: state of the aircraft.
        act: what acts on it, from ``advance``.
        draws: parameters and the instruments' noise.
        second: seconds since touchdown.
    """
    p, white = draws.parameters, dict(zip(CHANNELS, draws.sensor[second], strict=True))
    fast = np.minimum(s["u"] / 50, 1)
    airspeed, ground = act["airspeed"] / KNOT, np.hypot(s["u"], s["v"]) / KNOT
    free = np.clip((act["airspeed"] - 15) / 10, 0, 1)
    recovery = 1.2 * (act["airspeed"] / 54) ** 2  # kelvin, of air brought to rest
    cas = airspeed + white["CAS"] * (0.4 + 0.8 * (airspeed < 50))
    wd, ws = _wind_computer(s, act, white)
    return {
        "ALT": p["elevation"] + 25 * (1 - (airspeed / 105) ** 2) + 3.28084 * p["slope"] * _DEG * s["x"] + s["static"],
        "AOA1": s["vane"] + 0.06 * white["AOA1"] * free,
        "AOA2": s["vane"] - 0.4 * free + 0.06 * white["AOA2"] * free,
        "CAS": np.where(cas >= CAS_FLOOR, cas, 0),
        "GS": np.where(ground >= GS_FLOOR, ground, 0),
        "LATG": act["fy"] / G - np.sin(_DEG * (s["phi"] - p["bank"])) + white["LATG"] * (0.002 + 0.008 * fast),
        "LONG": act["fx"] / G + np.sin(_DEG * s["theta"]) + 0.01 + white["LONG"] * (0.004 + 0.012 * fast),
        "MH": _wrap(RUNWAY + s["psi"] / _DEG + 0.05 * white["MH"]),
        "MSQT_1": 0 * fast,  # touchdown is the last time that the main gears are loaded: 0 from there on
        "MSQT_2": 0 * fast,
        "NSQT": 1 - act["contact"],
        "PTCH": s["theta"] + 0.02 * white["PTCH"],
        "ROLL": s["phi"] + 0.05 * white["ROLL"],
        "TAT": p["temperature"] + recovery + s["warmth"] + 0.03 * white["TAT"],
        "VRTG": 1 + act["fz"] / G + 0.005 * white["VRTG"],
        "WD": wd,
        "WS": ws,
    }


def quantise(channel: str, values: np.ndarray) -> np.ndarray:
    """Return values rounded to the recorder's step of a channel."""
    return STEPS[channel] * np.round(values / STEPS[channel])


def _wind_computer(s: State, act: State, white: State) -> tuple[np.ndarray, np.ndarray]:
    """Return the wind's direction (degrees true) and speed (knots): motion through the air minus over ground."""
    sin, cos = np.sin(s["psi"]), np.cos(s["psi"])
    air = np.maximum(act["ua"] / KNOT, TAS_FLOOR) + 0.5 * white["WS"]
    along = air * cos - (s["u"] * cos - s["v"] * sin) / KNOT
    drift = act["va"] / KNOT * np.minimum(s["u"] / 30, 1)  # no vane for sideslip: it comes from the air data at speed
    across = air * sin + drift * cos - (s["u"] * sin + s["v"] * cos) / KNOT + 0.5 * white["WD"]
    return _wrap(RUNWAY + VARIATION + np.arctan2(across, along) / _DEG), np.hypot(along, across)


def _wrap(degrees: np.ndarray) -> np.ndarray:
    return (degrees + 180) % 360 - 180
