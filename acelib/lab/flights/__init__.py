"""Chapter 7, the network's side: networks that forecast landings, scores of maps, windows of recorded flights."""

from .network import counted_steps, flight_network, load_networks, train_network
from .scores import Separation, block, concentration, over_networks, score, separation
from .skill import forecast_skill
from .windows import FLIGHTS_VARIABLE, FlightWindows, flight_files, flight_windows

__all__ = [
    "FLIGHTS_VARIABLE",
    "FlightWindows",
    "Separation",
    "block",
    "concentration",
    "counted_steps",
    "flight_files",
    "flight_network",
    "flight_windows",
    "forecast_skill",
    "load_networks",
    "over_networks",
    "score",
    "separation",
    "train_network",
]
