"""Intrinsic causal contributions of a network's inputs, and Sobol' indices: what each input's own noise adds."""

from .contributions import intrinsic_contributions
from .flow import FlowModel
from .graph import CausalGraph
from .linear import LinearModel
from .noise import EmpiricalNoise, FiniteNoise
from .results import IntrinsicContributions
from .scm import CausalModel, StructuralModel
from .sobol import SobolIndices, sobol_indices

__all__ = [
    "CausalGraph",
    "CausalModel",
    "EmpiricalNoise",
    "FiniteNoise",
    "FlowModel",
    "IntrinsicContributions",
    "LinearModel",
    "SobolIndices",
    "StructuralModel",
    "intrinsic_contributions",
    "sobol_indices",
]
