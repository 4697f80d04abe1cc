"""Curves with error bands in the manner of the displays of scikit-learn: ``EffectDisplay.from_estimator``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .._checks import as_count
from .._models import output_names
from .._names import as_list, chosen, is_one
from ..expectation import Expectation, interventional_expectation
from ..inputs import Categories, InputDistribution, InputModel
from .estimators import fitted_names, is_estimator
from .networks import as_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3  # panels side by side


@dataclass
class EffectDisplay:
    """Interventional expectations E[y | do(feature)] of an estimator, a panel for each feature, with 95 % bands.

    Where inputs are set one by one in every row, these curves are those of a ``PartialDependenceDisplay``; they have
    error bands, and show where most rows leave the data.

    Attributes:
        expectations: the expectations, by feature.
        target: name of the output that is drawn.
        figure_: the figure, once drawn.
        axes_: ``(rows, 3)`` axes of the panels, None where there is none; those that were given to ``plot``.
    """

    expectations: Mapping[str, Expectation]
    target: str
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    output: int = field(default=0, repr=False)
    figure_: Figure | None = field(default=None, init=False, repr=False)
    axes_: Any = field(default=None, init=False, repr=False)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        features: Any,
        *,
        target: Any = None,
        method: Any = None,
        categories: Categories | None = None,
        domain: Any = None,
        num: int = 50,
        ice: int = 12,
        ax: Any = None,
        **options: Any,
    ) -> EffectDisplay:
        """Draw the curves of some features and return the display.

        Args:
            estimator: a fitted estimator, or any model that acelib takes.
            X: data frame, array or tensor ``(n, k)`` over which averages are taken, or a causal input model. With
                ``categories`` a frame of words.
            features: names or indices of single inputs.
            target: class, or name or index of the output; the second of two classes where None.
            method: see ``as_model``.
            categories: columns of words, see ``as_model``.
            domain: see ``InputDistribution.fit``.
            num: values a curve; of a finite set its values.
            ice: individual curves a panel; 0 draws none.
            ax: axes for one feature, or an array of axes, one for each; new ones where None.
            options: of ``interventional_expectation``, such as ``groups``.

        Raises:
            ValueError: for unknown features, pairs of them, several outputs without a target, or other axes.

        Example:
            >>> from sklearn.linear_model import LogisticRegression
            >>> X = np.random.default_rng(0).normal(size=(80, 2))
            >>> model = LogisticRegression().fit(X, X[:, 0] > 0)
            >>> shown = EffectDisplay.from_estimator(model, X, [0, 1])
            >>> assert shown.axes_[0, 1].get_xlabel() == "x1" and shown.target == "True"
        """
        wrapped = isinstance(estimator, nn.Module) or (callable(estimator) and not is_estimator(estimator))
        named = None if categories is not None or fitted_names(estimator) is None else getattr(X, "columns", None)
        model: Any = estimator if wrapped else as_model(estimator, method, categories=categories, columns=named)
        if isinstance(X, InputModel):
            inputs = X
        elif categories is None:
            inputs = InputDistribution.fit(X, domain=domain)
        else:
            sets = categories.domain | dict(domain or {})
            inputs = InputDistribution.fit(categories.encode(X), domain=sets)
        columns = [_single(one, inputs) for one in ([features] if is_one(features) else as_list(features))]
        count = as_count(num, "num", "the values of a curve", minimum=2)
        found = {}
        for column in columns:
            values = inputs.domain[column].grid(count, "uniform")
            found[inputs.feature_names[column]] = interventional_expectation(model, inputs, column, values, **options)
        if not found:
            raise ValueError("features must name at least one input, got none")
        first = next(iter(found.values()))
        names = output_names([model], first.values.shape[1])
        output = _target(target, names)
        levels = {} if categories is None else categories.levels
        shown = cls(found, names[output], levels, output)
        return shown.plot(ax=ax, ice=ice)

    def plot(self, *, ax: Any = None, ice: int = 12) -> EffectDisplay:
        """Draw the curves again and return the display.

        Args:
            ax: axes for one feature, or an array of axes, one for each; new ones where None.
            ice: individual curves a panel.

        Raises:
            ValueError: for another number of axes.
        """
        import matplotlib.pyplot as plt

        from ..plots import plot_expectation, style

        count = len(self.expectations)
        if ax is None:
            rows, columns = -(-count // COLUMNS), min(count, COLUMNS)
            with style():
                figure, grid = plt.subplots(rows, columns, figsize=(3.4 * columns + 0.4, 3.2 * rows), squeeze=False)
            panels = list(grid.ravel())
            for empty in panels[count:]:
                empty.remove()
            grid.ravel()[count:] = None
            self.axes_, self.figure_ = grid, figure
        else:
            panels = list(np.asarray(ax, dtype=object).ravel())
            if len(panels) != count:
                raise ValueError(f"ax must be one for each of the {count} features, got {len(panels)}")
            self.axes_, self.figure_ = np.asarray(ax, dtype=object).reshape(np.shape(ax) or (1,)), panels[0].figure
        for panel, (name, e) in zip(panels, self.expectations.items(), strict=False):
            plot_expectation(e, output=self.output, ax=panel, ice=ice)
            panel.set_ylabel(f"average of {self.target}")
            if name in self.levels:
                codes = torch.arange(len(self.levels[name])).tolist()
                panel.set_xticks(codes, [str(level) for level in self.levels[name]])
        return self


def _single(feature: Any, inputs: InputModel) -> int:
    """Return the column of a single input."""
    if isinstance(feature, tuple | list):
        raise ValueError(f"features must be single inputs, got {feature!r}; use effect_surface for a pair")
    return chosen(feature, inputs.feature_names, "feature")


def _target(target: Any, names: Sequence[str]) -> int:
    """Return the output that is drawn."""
    if target is None:
        if len(names) > 2:
            raise ValueError(f"target must name one of the outputs {list(names)[:10]}, got None")
        return len(names) - 1
    named = str(target)
    return list(names).index(named) if named in names else chosen(target, names, "target")
