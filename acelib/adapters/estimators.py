"""Estimators of scikit-learn, LightGBM and XGBoost, and functions of arrays, as black boxes that take tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from .._models import plain_name
from .._optional import optional
from ..inputs import Categories
from ._outputs import as_rows

METHODS = ("predict_proba", "predict", "decision_function")


class Estimator:
    """An estimator, or a function of arrays, that is called with tensors; see ``as_model``.

    Attributes:
        estimator: the estimator or the function.
        method: the name of the method that answers, or the function that does.
        named_columns: names of the columns by which it is given data frames, in the order of the rows; None where it
            is given arrays.
        target_names: names of its outputs, where they are known: the classes of a classifier.
    """

    def __init__(
        self,
        estimator: Any,
        method: str | Callable | None = None,
        *,
        columns: Sequence[str] | None = None,
        categories: Categories | None = None,
    ) -> None:
        """Choose the method that answers, and the names of columns and outputs."""
        self.estimator, self.categories = estimator, categories
        self.method = method if callable(method) else _method(estimator, method)
        own = fitted_names(estimator)
        if categories is not None and columns is None:
            columns = categories.names
        names = own if columns is None else tuple(str(column) for column in columns)
        self.named_columns, self._own = names, own or names
        self._places = None if names is None or self._own is None else _places(names, self._own, _name(estimator))
        if categories is not None and names != categories.names:
            raise ValueError(
                f"columns must be left out where categories are given, whose table has {list(categories.names)[:20]}, "
                f"got {list(names or ())[:20]}"
            )
        classes = [] if callable(self.method) else _classes(estimator)
        self._labels = classes[0] if self.method == "predict" and len(classes) == 1 else None
        if self.method == "predict" and len(classes) > 1:
            raise ValueError(
                "method must be 'predict_proba' for a classifier of several outputs, got 'predict' of "
                f"{_name(estimator)}"
            )
        self.target_names = _target_names(self.method, classes)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs ``(batch, outputs)`` of rows ``(batch, columns)``, in their dtype and on their device.

        Raises:
            RuntimeError: if the rows carry a derivative, which stops here.
            ValueError: if the estimator fails on such rows.
        """
        if (torch.is_grad_enabled() and x.requires_grad) or forward_ad.unpack_dual(x).tangent is not None:
            raise RuntimeError(f"{_name(self.estimator)} computes no derivative; it has inputs that require grad")
        rows = self._rows(x.detach().cpu().double().numpy())
        try:
            call = self.method if callable(self.method) else getattr(self.estimator, self.method)
            found = call(rows)
        except Exception as error:  # noqa: BLE001  (libraries raise errors of any kind for a table they do not take)
            first = (str(error).strip().splitlines() or [""])[0][:200]
            raise ValueError(
                f"{_name(self.estimator)} must answer a table of shape {tuple(x.shape)}, got {type(error).__name__}: "
                f"{first}; fit it, and give it the columns it was fitted on"
            ) from error
        return as_rows(self._outputs(found), len(x)).to(x.dtype).to(x.device)

    def _rows(self, table: np.ndarray) -> Any:
        """Return a table as the estimator knows it: an array, or a data frame by name, its categories as words."""
        names, places = self.named_columns, self._places
        if names is None or places is None:
            return table
        if table.ndim != 2 or table.shape[1] != len(names):
            raise ValueError(f"inputs must have the {len(names)} columns {list(names)[:20]}, got shape {table.shape}")
        pandas = optional("pandas", "an estimator that knows its columns by name")
        frame = pandas.DataFrame(table, columns=list(names))
        if self.categories is not None:
            frame = self.categories.decode(frame)
        return frame.iloc[:, places].set_axis(list(self._own or names), axis=1)

    def _outputs(self, found: Any) -> Tensor:
        """Return what an estimator answers as float64: labels as one column a class, lists side by side."""
        if isinstance(found, list):
            found = np.concatenate([np.asarray(one) for one in found], axis=1)
        array = np.asarray(found)
        if self._labels is not None and array.size == len(array):  # several columns are truth values already
            array = array.reshape(-1, 1) == self._labels[None, :]
        if array.dtype.kind not in "biuf":
            raise ValueError(
                f"method must give numbers, got {array.dtype} from {_name(self.estimator)}; use method='predict_proba'"
            )
        return torch.from_numpy(np.array(array, dtype=np.float64))

    def __repr__(self) -> str:
        said = self.method if isinstance(self.method, str) else getattr(self.method, "__name__", "a function")
        return f"Estimator({_name(self.estimator)}, {said!r})"


def is_estimator(model: Any) -> bool:
    """Return whether an object answers by a method of its own, as estimators of scikit-learn do."""
    return any(callable(getattr(model, name, None)) for name in METHODS)


def owner_of(function: Any) -> Any:
    """Return the estimator whose method a function is, or None: a method by itself does not know its columns."""
    owner = getattr(function, "__self__", None)
    named = getattr(function, "__name__", "") in METHODS
    return owner if named and is_estimator(owner) and not isinstance(owner, type) else None


def _name(estimator: Any) -> str:
    return getattr(estimator, "__name__", type(estimator).__name__)


def _method(estimator: Any, method: Any) -> Any:
    """Return the name of the method that answers, or the function itself where there is no estimator."""
    there = [name for name in METHODS if callable(getattr(estimator, name, None))]
    if method is None:
        if not there:
            return estimator
        return next(n for n in ("predict_proba", "decision_function", "predict") if n in there and _suits(estimator, n))
    if method not in there:
        got = f"{method!r} of {_name(estimator)}"
        raise ValueError(f"method must be one of {there}, or a function of a table, got {got}, which it does not have")
    return method


def _suits(estimator: Any, name: str) -> bool:
    """Return whether a method is what one asks first: scores of a classifier, else the prediction."""
    return name == "predict" or bool(_classes(estimator))


def _classes(estimator: Any) -> list[np.ndarray]:
    """Return the classes of a classifier, one array for each of its outputs; none for what is no classifier."""
    found = getattr(estimator, "classes_", None)
    if found is None:
        return []
    return [np.asarray(one) for one in found] if isinstance(found, list) else [np.asarray(found)]


def _target_names(method: Any, classes: list[np.ndarray]) -> tuple[str, ...] | None:
    """Return names of the outputs of a method, where the classes tell them."""
    if callable(method) or not classes:
        return None
    if len(classes) > 1:
        return tuple(f"{place}={one}" for place, each in enumerate(classes) for one in each)
    names = tuple(str(one) for one in classes[0])
    return names[1:] if method == "decision_function" and len(names) == 2 else names


def fitted_names(estimator: Any) -> tuple[str, ...] | None:
    """Return the names of the columns that an estimator was fitted on; None where it was fitted on an array."""
    for name in ("feature_names_in_", "feature_name_"):
        try:
            found = getattr(estimator, name, None)
        except Exception:  # noqa: BLE001  (an estimator may refuse to tell before it is fitted)
            found = None
        if found is not None and len(found) and not all(_made_up(str(one), i) for i, one in enumerate(found)):
            return tuple(str(one) for one in found)
    return None


def _places(names: Sequence[str], own: Sequence[str], estimator: str) -> list[int]:
    """Return where the columns that an estimator was fitted on are among those of the rows."""
    if sorted(map(plain_name, names)) != sorted(map(plain_name, own)):
        raise ValueError(
            f"columns must be those that {estimator} was fitted on, {list(own)[:20]}, in any order, got "
            f"{list(names)[:20]}"
        )
    given = [plain_name(name) for name in names]
    return [given.index(plain_name(name)) for name in own]


def _made_up(name: str, place: int) -> bool:
    """Return whether a name is the one that LightGBM gives to the column of an array."""
    return name == f"Column_{place}"
