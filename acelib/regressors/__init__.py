"""Causal regressors: E[y | do(x_i = a)] as a function of a, with error bands."""

from .base import Regressor
from .families import FAMILIES, regressor_from_dict
from .polynomials import CausalRegressor
from .splines import SplineRegressor
from .tables import CausalTable

__all__ = ["FAMILIES", "CausalRegressor", "CausalTable", "Regressor", "SplineRegressor", "regressor_from_dict"]
