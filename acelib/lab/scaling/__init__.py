"""Chapters 3 and 8: costs and errors in many dimensions."""

from .costs import (
    CHUNK,
    average_curves,
    both,
    count,
    drawn_rows,
    errors_of,
    read_off,
    spread_pixels,
    taylor_curves,
    vector_products,
)
from .methods import Frontier, frontier

__all__ = [
    "CHUNK",
    "Frontier",
    "average_curves",
    "both",
    "count",
    "drawn_rows",
    "errors_of",
    "frontier",
    "read_off",
    "spread_pixels",
    "taylor_curves",
    "vector_products",
]
