"""Chapter 7, the network's side: windows of flights, networks, maps and their scores."""

from .curves import (
    HIDDEN,
    OUTPUT,
    SEEDS,
    SETTINGS,
    TARGET,
    FlightCurves,
    ace_curves,
    counted_steps,
    flight_network,
    integrated_gradient_maps,
    load_networks,
    push_sizes,
    train_network,
)
from .scores import Separation, block, concentration, median_interval, score, separation
from .windows import FLIGHTS_VARIABLE, FlightWindows, flight_files, flight_windows

__all__ = [
    "FLIGHTS_VARIABLE",
    "FlightCurves",
    "FlightWindows",
    "HIDDEN",
    "OUTPUT",
    "SEEDS",
    "SETTINGS",
    "Separation",
    "TARGET",
    "ace_curves",
    "block",
    "concentration",
    "counted_steps",
    "flight_files",
    "flight_network",
    "flight_windows",
    "integrated_gradient_maps",
    "load_networks",
    "median_interval",
    "push_sizes",
    "score",
    "separation",
    "train_network",
]
