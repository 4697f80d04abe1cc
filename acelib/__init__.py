"""acelib: causal attribution in neural networks, with an error bar on every estimate.

A causal input model answers ``do(feature, values)``; the estimators see only its answer. Start with
``InputDistribution.fit`` and ``AverageCausalEffect``.
"""

from . import jets
from ._warnings import ApproximationWarning, ConstantFeatureWarning, ExtrapolationWarning, SupportWarning
from .attribution import AverageCausalEffect
from .curvature import UnsupportedOperation, half_trace
from .expectation import Check, Expectation, interventional_expectation
from .inputs import FiniteSet, InputDistribution, InputModel, Interval, Intervention, LatentPrior
from .quantus import quantus_explain
from .recurrent import FeedbackSequences
from .regressors import CausalRegressor, CausalTable, SplineRegressor
from .results import Attribution, CausalRegressors

__version__ = "0.1.0"

__all__ = [
    "ApproximationWarning",
    "Attribution",
    "AverageCausalEffect",
    "CausalRegressor",
    "CausalRegressors",
    "CausalTable",
    "Check",
    "ConstantFeatureWarning",
    "Expectation",
    "ExtrapolationWarning",
    "FeedbackSequences",
    "FiniteSet",
    "InputDistribution",
    "InputModel",
    "Interval",
    "Intervention",
    "LatentPrior",
    "SplineRegressor",
    "SupportWarning",
    "UnsupportedOperation",
    "half_trace",
    "interventional_expectation",
    "jets",
    "quantus_explain",
]
