"""Chapters 3 and 8: costs and errors in many dimensions."""

from .costs import count, vector_products
from .methods import Frontier, both, frontier, intervened_outputs, relative_error, spread_pixels
from .pixel_curves import average_curves, drawn_rows, read_off, taylor_curves
from .sureness import logit_spread, probability_error

__all__ = [
    "Frontier",
    "average_curves",
    "both",
    "count",
    "drawn_rows",
    "frontier",
    "intervened_outputs",
    "logit_spread",
    "probability_error",
    "read_off",
    "relative_error",
    "spread_pixels",
    "taylor_curves",
    "vector_products",
]
