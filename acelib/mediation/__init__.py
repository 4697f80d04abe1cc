"""Inputs that cause each other: a causal input model with a graph, and total, direct and mediated effects."""

from .causal_inputs import CausalGraphInputs
from .effects import TotalAndDirect, total_and_direct

__all__ = ["CausalGraphInputs", "TotalAndDirect", "total_and_direct"]
