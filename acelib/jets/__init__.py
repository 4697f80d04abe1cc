"""Second derivatives of a whole network along R directions at once, at the cost of a forward pass.

For x(ε) = x + Σ_r ε_r s_r, one pass through ordinary forward code carries the value, the R slopes and the single sum
h = Σ_r ∂²/∂ε_r²; half of the last h is the second-order term ½ Tr(∇²f S Sᵀ) of Eq. 4 of Chattopadhyay et al. (2019),
exact to rounding (forward Laplacian, Li et al. 2023; collapsed Taylor mode, Dangel et al. 2025). The cost is that of
R + 2 rows, for all outputs at once, and less where interventions share a first layer.

Modules, functions and operators work unchanged. What has no rule is named in an error (``MissingRule``); a rule is one
line with ``register`` and the kinds ``pointwise``, ``linear``, ``multilinear``, ``composite`` and ``constant``, and
``check`` compares it with the whole Hessian. Some operations have zero derivative by convention, here as in automatic
differentiation: ``detach``, ``item`` and the branch that an ``if`` takes. Kinks contribute 0.
"""

from . import (  # noqa: F401  (the rules register themselves)
    rules_attention,
    rules_choices,
    rules_linear,
    rules_norms,
    rules_pointwise,
    rules_recurrent,
    rules_shapes,
)
from .forward import check, collapsed, propagate, supported
from .kinds import composite, constant, linear, multilinear, pointwise
from .registry import register
from .tensor import Jet, MissingRule

__all__ = [
    "Jet",
    "MissingRule",
    "check",
    "collapsed",
    "composite",
    "constant",
    "linear",
    "multilinear",
    "pointwise",
    "propagate",
    "register",
    "supported",
]
