"""Other libraries' hands: their estimators, networks, problems and models in, acelib's results out.

Each file serves one library, which is imported when it is first used; where it is missing, one sentence says so.
"""

from . import captum, shap
from .display import EffectDisplay
from .dowhy import from_dowhy
from .networks import as_model
from .programs import load_network
from .salib import read_problem

__all__ = ["EffectDisplay", "as_model", "captum", "from_dowhy", "load_network", "read_problem", "shap"]
