"""Intrinsic causal contributions of a network's inputs, and Sobol' indices: what each input's own noise adds."""

from .contributions import intrinsic_contributions
from .flow import FlowModel
from .graph import CausalGraph
from .independence import Independence, correlation_test, rank_test
from .linear import LinearModel
from .noise import EmpiricalNoise, FiniteNoise
from .results import IntrinsicContributions
from .scm import CausalModel, StructuralModel
from .sobol import SobolIndices, sobol_indices
from .units import network_as_model

__all__ = [
    "CausalGraph",
    "CausalModel",
    "EmpiricalNoise",
    "FiniteNoise",
    "FlowModel",
    "Independence",
    "IntrinsicContributions",
    "LinearModel",
    "SobolIndices",
    "StructuralModel",
    "correlation_test",
    "intrinsic_contributions",
    "network_as_model",
    "rank_test",
    "sobol_indices",
]
