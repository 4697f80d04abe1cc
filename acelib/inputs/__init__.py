"""Causal input models: what answers ``do(feature, values)``, and the answers."""

from .base import Feature, InputModel
from .categories import Categories
from .distribution import InputDistribution
from .domain import Domain, FiniteSet, Interval
from .intervention import Intervention, SimulatedIntervention, TableIntervention
from .latent import LatentIntervention, LatentPrior

__all__ = [
    "Categories",
    "Domain",
    "Feature",
    "FiniteSet",
    "InputDistribution",
    "InputModel",
    "Interval",
    "Intervention",
    "LatentIntervention",
    "LatentPrior",
    "SimulatedIntervention",
    "TableIntervention",
]
