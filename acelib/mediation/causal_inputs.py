"""Inputs that cause each other, which answer do() by abduction, action, prediction.

Where inputs cause each other, setting one moves those that descend from it: the total effect of an input runs through
them as well. Every row is asked what it would have been. Abduction finds the noises behind it, action sets the node and
cuts what led into it, prediction lets the mechanisms of its descendants answer again with the same noises. Rows that
overwrite the input alone, as ``InputDistribution`` does, give the direct effect.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._checks import as_count, as_generator
from .._warnings import ApproximationWarning, warn_caller
from ..inputs.base import InputModel
from ..inputs.distribution import InputDistribution
from ..inputs.intervention import SimulatedIntervention
from ..intrinsic import CausalModel, LinearModel
from ..intrinsic.graph import read_columns

REFITS = 32  # their standard deviation is known to an eighth
SURE = 1e-3  # chance that some pair of independent noises looks dependent


class CausalGraphInputs(InputModel):
    """Rows of inputs that cause each other, with a causal model of them; their answer to do() has the total effect.

    Coordinates are the nodes of the causal model, in the order of its graph, and the network takes them all. (One that
    takes some is ``lambda x: net(x[:, columns])``.) With ``InputDistribution`` every other input stays as it is in the
    row: a controlled direct effect, averaged over the rows. ``direct`` is that input model for the same rows, and
    ``total_and_direct`` gives both curves and their difference.

    Error bars hold the sampling of the rows and, where the causal model is learned, the error of learning: a fitted
    ``LinearModel`` is fitted again to 32 resamples of its rows, and of a list of models, such as
    ``FlowModel.bootstrap`` gives, the spread is taken and the mean is the answer. A single flow leaves it out, with a
    warning. The graph itself is an assumption, and no error bar holds it.

    Args:
        model: a causal model (``LinearModel``, ``StructuralModel``, ``FlowModel`` or one of your own), or a list of
            them with the same nodes.
        X: ``(n, nodes)`` rows, n >= 2; a data frame's columns are found by name. None: ``num_rows`` are drawn.
        num_rows: rows to draw from the model where X is None.
        names: names of X's columns where it is no data frame; default the nodes in the order of the graph.
        domain: as in ``InputDistribution.fit``.
        seed: seed of drawn rows and refits; None means 0.

    Attributes:
        models: the causal models.

    Raises:
        TypeError: for a model that is no causal model.
        ValueError: for models of different nodes, fewer than two rows, missing columns, NaN, or a mechanism that does
            not tell a row's noise.

    Warns:
        ApproximationWarning: where noises behind the rows depend on each other, so that the graph lacks an edge or a
            common cause; where the error of learning is unknown.

    References:
        Pearl (2009), Sec. 7.1 (counterfactuals by abduction, action, prediction) and 4.5 (total and direct effects).

    Example:
        >>> from acelib import interventional_expectation
        >>> chain = LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 2.0}})
        >>> inputs = CausalGraphInputs(chain, torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=torch.float64))
        >>> total = interventional_expectation(lambda x: x.sum(1, keepdim=True), inputs, "a", [0.0, 3.0])
        >>> assert total.values[:, 0].tolist() == [0.0, 9.0]  # 3 times the step: 1 directly, 2 through b
        >>> direct = interventional_expectation(lambda x: x.sum(1, keepdim=True), inputs.direct, "a", [0.0, 3.0])
        >>> assert direct.values[:, 0].tolist() == [1.0, 4.0]
    """

    def __init__(
        self,
        model: CausalModel | Sequence[CausalModel],
        X: Any = None,
        *,
        num_rows: int | None = None,
        names: Iterable[str] | None = None,
        domain: Any = None,
        seed: int | None = 0,
    ) -> None:
        self.models = _checked(model)
        first = self.models[0]
        if (X is None) == (num_rows is None):
            raise ValueError("X must be a table of rows, or None where num_rows are to be drawn, got both or neither")
        drawn = None
        if num_rows is not None:
            count = as_count(num_rows, "num_rows", "the rows to draw", minimum=2)
            generator = as_generator(seed)
            drawn = first.noise(torch.rand(count, len(first.graph), generator=generator, dtype=torch.float64))
            rows = first.push(drawn)
        else:
            rows = read_columns(X, first.graph, names)
        self._base = InputDistribution.fit(rows, feature_names=first.nodes, domain=domain)
        self.domain, self.feature_names, self.shape = self._base.domain, first.nodes, (len(first.graph),)
        self.fixed, self._pins = (), self._base.mean.new_zeros(0)
        self._noise = [_noise_of(m, self._rows) for m in self.models[1 if drawn is not None else 0 :]]
        if drawn is None:
            _warn_dependent(first, self._rows, self._noise[0])
        else:
            self._noise.insert(0, drawn)
        self._refits = self._learned(seed)

    def _learned(self, seed: int | None) -> list[CausalModel]:
        """Return refits of a single model, whose spread is the error of learning; none where it was given."""
        model = self.models[0]
        if len(self.models) > 1 or model.fitted is None:
            return []
        if isinstance(model, LinearModel):
            return list(model.refits(REFITS, seed=seed))
        warn_caller(
            f"the error bars leave out the error of learning of a single {type(model).__name__}; pass the list that "
            "its bootstrap returns",
            ApproximationWarning,
        )
        return []

    def __repr__(self) -> str:
        count = f", {len(self.models)} causal models" if len(self.models) > 1 else ""
        learned = f", {len(self._refits)} refits" if self._refits else ""
        pinned = f", {len(self.fixed)} pinned" if self.fixed else ""
        return (
            f"CausalGraphInputs({dict(self.models[0].graph.parents)}, {len(self._rows)} rows{count}{learned}{pinned}, "
            f"{self._rows.dtype}, {self._rows.device})"
        )

    @property
    def _rows(self) -> Tensor:
        assert self._base.samples is not None, "it was fitted on rows"
        return self._base.samples

    @property
    def samples(self) -> Tensor:
        """``(n, nodes)`` rows; as they would be under what ``do({...})`` has pinned."""
        if not self.fixed:
            return self._rows
        pinned = self._pins.expand(len(self._rows), -1)
        return self.models[0].counterfactual(self._rows, self.fixed, pinned, noise=self._noise[0])

    @property
    def mean(self) -> Tensor:
        """``(nodes,)`` mean of ``samples``."""
        return self.samples.mean(0) if self.fixed else self._base.mean

    @property
    def direct(self) -> InputDistribution:
        """The same rows where setting an input moves no other: its effects are controlled direct ones."""
        if not self.fixed:
            return self._base
        now = InputDistribution.fit(self.samples, feature_names=self.feature_names, domain=self.domain)
        held = dict(zip(self.fixed, self._pins.tolist(), strict=True))
        return replace(now.pin(held), observed=self._base.observed)

    def to(self, target: str | torch.device | torch.dtype) -> CausalGraphInputs:
        """Return the same rows on another device or in another floating dtype; the causal models stay as they are."""
        moved = copy.copy(self)
        moved._base, moved._pins = self._base.to(target), self._pins.to(target)
        moved._noise = [None if noise is None else noise.to(target) for noise in self._noise]
        return moved

    def keep_rows(self, index: Tensor) -> CausalGraphInputs:
        """Return these rows alone, with the noises behind them; causal models and refits stay as they are."""
        kept = copy.copy(self)
        kept._base = self._base.keep_rows(index)
        kept._noise = [None if noise is None else noise[index] for noise in self._noise]
        return kept

    def answer(self, columns: tuple[int, ...], values: Tensor, name: str) -> SimulatedIntervention:
        """Return the rows as they would be under each of m values, beside them those under every refit or model."""

        def under(model: CausalModel, noise: Tensor | None, **further: Any) -> SimulatedIntervention:
            return SimulatedIntervention(
                name=name,
                columns=columns,
                values=values,
                shape=self.shape,
                num_rows=len(self._rows),
                simulate=partial(_simulated, model, self._rows, noise, self.fixed + columns, self._pins),
                observed=self._base.observed,
                fixed=self.fixed,
                **further,
            )

        each = list(zip(self.models, self._noise, strict=True))
        others = [(model, None) for model in self._refits] if len(each) == 1 else each
        return under(*each[0], variants=tuple(under(*one) for one in others), pooled=len(each) > 1)

    def pin(self, pins: Mapping[int, float]) -> CausalGraphInputs:
        """Return the rows in which these nodes keep these values, and what descends from them follows."""
        result = copy.copy(self)
        result.fixed = self.fixed + tuple(pins)
        result._pins = torch.cat([self._pins, self._pins.new_tensor(list(pins.values()))])
        return result


def _simulated(
    model: CausalModel,
    rows: Tensor,
    noise: Tensor | None,
    columns: tuple[int, ...],
    pins: Tensor,
    values: Tensor,
    index: Tensor,
) -> Tensor:
    """Return rows of these numbers under each value, ``(v, b, nodes)``; the first of the columns are pinned."""
    v, b = len(values), len(index)
    settings = torch.cat([pins.expand(v, -1), values], dim=1).repeat_interleave(b, 0)
    own = None if noise is None else noise[index].repeat(v, 1)
    return model.counterfactual(rows[index].repeat(v, 1), columns, settings, noise=own).view(v, b, -1)


def _noise_of(model: CausalModel, rows: Tensor) -> Tensor | None:
    """Return the noises behind rows ``(n, nodes)``, or None for a linear model, which needs none."""
    return None if isinstance(model, LinearModel) else model.abduct(rows)


def _checked(model: Any) -> list[CausalModel]:
    """Return causal models as a list, or raise an error where they are none, or of different nodes."""
    models = list(model) if isinstance(model, list | tuple) else [model]
    for one in models:
        if not isinstance(one, CausalModel):
            raise TypeError(
                f"model must be a causal model such as LinearModel.fit(X, graph), or a list of them, got "
                f"{type(one).__name__}"
            )
    if not models or any(one.nodes != models[0].nodes for one in models):
        found = [list(one.nodes) for one in models]
        raise ValueError(f"model must be causal models of the same nodes in the same order, got {found}")
    return models


def _warn_dependent(model: CausalModel, rows: Tensor, noise: Tensor | None) -> None:
    """Warn where two noises behind the rows have a rank correlation that independent ones hardly ever have."""
    if noise is None:
        assert isinstance(model, LinearModel)
        noise = rows - rows @ model.matrix.to(rows).T
    from scipy.special import stdtr  # takes long to import
    from scipy.stats import rankdata

    table = noise.cpu().double()
    spread = table.std(0) / rows.cpu().double().std(0).clamp_min(1e-300)
    vary = [column for column in range(table.shape[1]) if float(spread[column]) > 1e-9]
    n = len(table)
    if n < 10 or len(vary) < 2:
        return
    ranks = np.corrcoef(rankdata(table[:, vary].numpy(), axis=0), rowvar=False)
    pairs = list(combinations(range(len(vary)), 2))
    size = np.abs([ranks[pair] for pair in pairs]).clip(max=1 - 1e-12)
    chance = 2 * stdtr(n - 2, -size * np.sqrt((n - 2) / (1 - size**2))) * len(pairs)
    if chance.min() < SURE:
        a, b = (model.nodes[vary[place]] for place in pairs[int(chance.argmin())])
        warn_caller(
            f"the noises behind {a!r} and {b!r} depend on each other (rank correlation {size[chance.argmin()]:.2f}), "
            "so the causal model is not the world of these rows: an edge or a common cause is missing, or a mechanism "
            "has another form. Error bars do not hold this; correct the graph or the mechanisms",
            ApproximationWarning,
        )
