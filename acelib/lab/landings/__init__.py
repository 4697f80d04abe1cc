"""Chapter 7, the world's side: simulated landings and their known effects."""

from .compare import compare_rollout
from .draw import KINDS, RATE, RUNWAYS, SECONDS, Draws, draw
from .effect import StateEffect, state_effect
from .model import advance, start
from .sensors import CAS_REGAINED, CHANNELS, STEPS, UNITS, read
from .simulate import SHIPPED, TRUTH, Landings, join_landings, load_landings, save_landings, simulate_landings

__all__ = [
    "CAS_REGAINED",
    "CHANNELS",
    "Draws",
    "KINDS",
    "Landings",
    "RATE",
    "RUNWAYS",
    "SECONDS",
    "SHIPPED",
    "STEPS",
    "StateEffect",
    "TRUTH",
    "UNITS",
    "advance",
    "compare_rollout",
    "draw",
    "join_landings",
    "load_landings",
    "read",
    "save_landings",
    "simulate_landings",
    "start",
    "state_effect",
]
