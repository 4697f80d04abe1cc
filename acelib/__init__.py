"""acelib: causal attribution in neural networks, with an error bar on every estimate.

A causal input model answers ``do(feature, values)``; the estimators see only its answer. Start with
``InputDistribution.fit`` and ``AverageCausalEffect``. Each name is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import jets
    from ._warnings import ApproximationWarning, ConstantFeatureWarning, ExtrapolationWarning, SupportWarning
    from .adapters import as_model
    from .attribution import AverageCausalEffect
    from .curvature import UnsupportedOperation, half_trace
    from .expectation import Check, Expectation, interventional_expectation
    from .inputs import Categories, FiniteSet, InputDistribution, InputModel, Interval, Intervention, LatentPrior
    from .interactions import EffectSurface, RegionalEffects, effect_surface, regional_effects
    from .mediation import CausalGraphInputs
    from .quantus import quantus_explain
    from .recurrent import FeedbackSequences
    from .regressors import CausalRegressor, CausalTable, SplineRegressor
    from .results import Attribution, CausalRegressors

__version__ = "0.1.0"

__all__ = [
    "ApproximationWarning",
    "Attribution",
    "AverageCausalEffect",
    "CausalGraphInputs",
    "Categories",
    "CausalRegressor",
    "CausalRegressors",
    "CausalTable",
    "Check",
    "ConstantFeatureWarning",
    "EffectSurface",
    "Expectation",
    "ExtrapolationWarning",
    "FeedbackSequences",
    "FiniteSet",
    "InputDistribution",
    "InputModel",
    "Interval",
    "Intervention",
    "LatentPrior",
    "RegionalEffects",
    "SplineRegressor",
    "SupportWarning",
    "UnsupportedOperation",
    "as_model",
    "effect_surface",
    "half_trace",
    "interventional_expectation",
    "jets",
    "quantus_explain",
    "regional_effects",
]

_ROOMS = (
    "inputs jets curvature expectation regressors results attribution quantus recurrent paths intrinsic mediation "
    "interactions plots explore adapters command"
)
_HOMES = {
    "_warnings": "ApproximationWarning ConstantFeatureWarning ExtrapolationWarning SupportWarning",
    "adapters": "as_model",
    "attribution": "AverageCausalEffect",
    "curvature": "UnsupportedOperation half_trace",
    "expectation": "Check Expectation interventional_expectation",
    "mediation": "CausalGraphInputs",
    "inputs": "Categories FiniteSet InputDistribution InputModel Interval Intervention LatentPrior",
    "interactions": "EffectSurface RegionalEffects effect_surface regional_effects",
    "quantus": "quantus_explain",
    "recurrent": "FeedbackSequences",
    "regressors": "CausalRegressor CausalTable SplineRegressor",
    "results": "Attribution CausalRegressors",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Return a public name or a room of the package, imported when it is first asked for."""
    if name in _ROOMS.split():
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS.split()})
