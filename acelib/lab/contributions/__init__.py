"""Chapter 11: systems with known contributions, rival methods, small networks."""

from .methods import METHODS, global_shares, marginal_shapley
from .networks import fit_networks, fused
from .systems import (
    DISGUISES,
    complete_graph,
    g_function,
    g_indices,
    ishigami,
    ishigami_indices,
    mean_distance,
    random_grid,
    share_lost_when_held,
)

__all__ = [
    "DISGUISES",
    "METHODS",
    "complete_graph",
    "fit_networks",
    "fused",
    "g_function",
    "g_indices",
    "global_shares",
    "ishigami",
    "ishigami_indices",
    "marginal_shapley",
    "mean_distance",
    "random_grid",
    "share_lost_when_held",
]
