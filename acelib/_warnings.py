"""The warnings of acelib, in one place so that a user can silence or escalate one kind without the others."""

from __future__ import annotations

import inspect
import os
import warnings

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class ApproximationWarning(UserWarning):
    """A value that rests on an approximation whose error is unknown, or larger than it should be."""


class ExtrapolationWarning(UserWarning):
    """A value outside the interval on which an effect was estimated."""


class SupportWarning(UserWarning):
    """An intervention most of whose rows lie far from the data, so that the model extrapolates."""


class ConstantFeatureWarning(UserWarning):
    """A feature that is constant in the data and has no domain of its own, so that its effect is 0 by definition."""


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the caller's line: the nearest one outside this package, however many of its functions lie between.

    Args:
        message: what the user should know, and what to do.
        category: one of the classes above.
    """
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
