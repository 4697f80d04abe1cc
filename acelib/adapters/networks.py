"""Whatever answers rows of a table, as the torch callable that acelib takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from .._models import Model
from ..inputs import Categories
from ._outputs import as_rows, picked
from .estimators import Estimator, is_estimator, owner_of
from .programs import load_network


class Selected(nn.Module):
    """A network of which one output is explained, and one input by its name; see ``as_model``."""

    def __init__(self, model: Callable[..., Any], output: str | int | None, input: str | None) -> None:
        super().__init__()
        self.model, self.output, self.input = model, output, input
        self.training = getattr(model, "training", False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the chosen output ``(batch, outputs)`` of inputs ``(batch, *shape)``."""
        found = self.model(x) if self.input is None else self.model(**{self.input: x})
        if self.output is None and isinstance(found, Tensor):
            return as_rows(found, len(x))
        return as_rows(picked(found, self.output, type(self.model).__name__), len(x))


def as_model(
    model: Any,
    method: str | Callable | None = None,
    *,
    columns: Sequence[str] | None = None,
    categories: Categories | None = None,
    output: str | int | None = None,
    input: str | None = None,
) -> Model:
    """Return a torch callable ``(batch, *shape) -> (batch, outputs)`` of an estimator, network, file or function.

    - An estimator of scikit-learn, LightGBM or XGBoost answers by one of its methods. It is a black box: averages over
      rows work, and what needs a derivative says that there is none. One that was fitted on a data frame is given data
      frames with its column names; inputs whose columns have other names or another order are refused. Outputs bear
      the names of the classes.
    - A torch network that returns several outputs, as a dictionary, ``ModelOutput`` or tuple, is asked for one of
      them, and may be given its input by name; it stays differentiable.
    - A path of a ``.pt2`` or ``.onnx`` file is read by ``load_network``.
    - Any other function is called with NumPy arrays of float64 (data frames where ``columns`` names them).

    A single output for each row, ``(batch,)``, becomes a column ``(batch, 1)``. Results have dtype and device of the
    inputs.

    Args:
        model: estimator, torch network, path or function.
        method: of an estimator: "predict_proba", "decision_function", "predict", or a function of a table. Default:
            probabilities, else scores, of a classifier, the prediction of a regressor. "predict" of a classifier gives
            a column for each class, 1 where it is predicted, so that averages are shares.
        columns: names of the columns in the order of the rows, where the estimator was fitted on a data frame with
            these columns in another order, or a function wants data frames.
        categories: how columns of words were coded; the estimator is given the words, missing ones as NaN.
        output: of a network: key, attribute or place of the output.
        input: of a network: name of the argument that takes the inputs.

    Raises:
        TypeError: if ``model`` is none of these.
        ValueError: for a method that the estimator does not have, other columns than it was fitted on, an unknown
            output, or a file that is not read.

    Example:
        >>> import numpy as np
        >>> from acelib import InputDistribution, interventional_expectation
        >>> X = np.random.default_rng(0).random((100, 2))
        >>> model = as_model(lambda table: table[:, 0] + 2 * table[:, 1])
        >>> found = interventional_expectation(model, InputDistribution.fit(X), 1, [0.0, 0.5])
        >>> assert abs(float(found.values[1, 0] - found.values[0, 0]) - 1.0) < 1e-12
    """
    owner = owner_of(model)
    if owner is not None and method is None:
        model, method = owner, model.__name__
    if isinstance(model, str | os.PathLike):
        _refuse(model, "a file", method=method, columns=columns, categories=categories, input=input)
        return load_network(model, output=output)
    if isinstance(model, nn.Module) or output is not None or input is not None:
        if not callable(model):
            raise TypeError(f"model must be a torch network where output or input is named, got {type(model).__name__}")
        _refuse(model, "a torch network", method=method, columns=columns, categories=categories)
        return Selected(model, output, input)
    if not is_estimator(model) and not callable(model) and not callable(method):
        raise TypeError(
            "model must be an estimator with predict, a torch network, a function of arrays, or the path of a .pt2 or "
            f".onnx file, got {type(model).__name__}"
        )
    return Estimator(model, method, columns=columns, categories=categories)


def _refuse(model: Any, what: str, **options: Any) -> None:
    """Raise a ValueError for options that say nothing of a model of this kind."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ValueError(f"{given[0]} must be left out for {what}, got {options[given[0]]!r}")
