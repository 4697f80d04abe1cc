"""Interventional expectations E[y | do(x_i = a)]: row average, Taylor expansion, cubature."""

from .estimate import DEFAULT_BUDGET, METHODS, MIN_ROWS, interventional_expectation
from .result import Check, Expectation

__all__ = ["DEFAULT_BUDGET", "METHODS", "MIN_ROWS", "Check", "Expectation", "interventional_expectation"]
