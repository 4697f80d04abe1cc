"""Where curves leave the data: a quick look at a few values, which curves keep and warnings are read off.

It takes 64 rows and 512 observed ones at 9 values of a feature, for tables of at most 64 inputs. Beyond, distances are
all alike and say little (``acelib.inputs.support``); sequences would have to be simulated. There nothing is judged, and
``Expectation.support`` tells whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from .._off_support import off_values
from ..inputs.base import InputModel
from ..inputs.support import FEW_VALUES

if TYPE_CHECKING:
    from .base import Regressor

Curve = TypeVar("Curve", bound="Regressor")


def judged(curves: Sequence[Curve], inputs: InputModel, column: int) -> Sequence[Curve]:
    """Return the curves of a feature with its support at a few values: even ones, or those of a table."""
    first = curves[0]
    values = first.alphas if first.family == "table" else np.linspace(first.low, first.high, FEW_VALUES)
    shares = inputs.quick_support(column, torch.from_numpy(values)) if first.low < first.high else None
    if shares is None:
        return curves
    support = np.stack([values, shares.numpy()])
    return [replace(curve, support=support) for curve in curves]


def off_at(values: Tensor, curve: Regressor | None, inputs: InputModel, column: int) -> str:
    """Return those of ``values (d,)`` at which most rows leave the data, in words, from a curve or a quick look.

    A look is at no more than nine of them, spread over their order.
    """
    values = values.double()
    if curve is not None:
        if curve.support is None:
            return ""
        return off_values(values, np.interp(values.numpy(), *curve.support))
    some = values.sort().values[np.unique(np.linspace(0, len(values) - 1, FEW_VALUES).round().astype(int))]
    shares = inputs.quick_support(column, some)
    return "" if shares is None else off_values(some, shares)
