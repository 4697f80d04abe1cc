"""Causal input models: what answers ``do(feature, values)``, and the answer."""

from .distribution import InputDistribution
from .domain import FiniteSet, Interval
from .intervention import Intervention
from .latent import LatentPrior

__all__ = ["FiniteSet", "InputDistribution", "Intervention", "Interval", "LatentPrior"]
