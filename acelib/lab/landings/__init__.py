"""Chapter 7, the world's side: simulated landings and their known effects."""

from acelib.lab.datasets.dashlink import CHANNELS

from .compare import STATISTICS, compare_rollout, rollout_statistics
from .draw import KINDS
from .effect import StateEffect, state_effect
from .sensors import NAMES
from .simulate import Landings, join_landings, load_landings, save_landings, simulate_landings

__all__ = [
    "CHANNELS",
    "KINDS",
    "Landings",
    "NAMES",
    "STATISTICS",
    "StateEffect",
    "compare_rollout",
    "join_landings",
    "load_landings",
    "rollout_statistics",
    "save_landings",
    "simulate_landings",
    "state_effect",
]
