"""Fitted causal models of DoWhy as causal models of acelib: their mechanisms, their noises, and refits of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._checks import as_count, as_generator
from .._optional import optional
from .._warnings import ApproximationWarning, warn_caller
from ..intrinsic import CausalGraph, EmpiricalNoise, StructuralModel
from ..intrinsic.fitted import FittedRows
from ..intrinsic.graph import read_columns

FITTED = "parents_during_fit"  # what gcm.fit notes on each node


class DoWhyModel(StructuralModel):
    """A structural model whose mechanisms and noises are those of a fitted ``dowhy.gcm`` model; see ``from_dowhy``.

    Attributes:
        source: the model of DoWhy.
    """

    how_to_refit = "from_dowhy(model, X).bootstrap()"

    def __init__(self, source: Any, nodes: Sequence[Any], X: Any = None) -> None:
        """Read the mechanisms in the order of these nodes, and keep the rows that they were fitted on."""
        parts = {str(node): _part(source, node) for node in nodes}
        parents = {str(node): [str(p) for p in sorted(source.graph.predecessors(node))] for node in nodes}
        mechanisms = {node: part for node, part in parts.items() if isinstance(part, _Mechanism)}
        super().__init__(parents, mechanisms, {node: part.noise for node, part in parts.items()})
        self.source, self._parts, self._nodes = source, mechanisms, tuple(nodes)
        if X is not None:
            self.fitted = FittedRows.of(read_columns(X, self.graph))

    def abduct(self, X: Tensor) -> Tensor:
        """Return the noises ``(batch, nodes)`` behind nodes ``(batch, nodes)``, as DoWhy's mechanisms tell them."""
        found = X.clone()
        for column, node in enumerate(self.nodes):
            if node in self._parts:
                given = [X[:, self.graph.index(parent)] for parent in self.graph.parents[node]]
                found[:, column] = self._parts[node].abduct(X[:, column], given)
        return found

    def bootstrap(self, *, repeats: int = 16, seed: int | None = 0) -> list[DoWhyModel]:
        """Return models fitted by ``gcm.fit`` to resamples of the rows, whose spread is the error of learning.

        ``CausalGraphInputs`` and ``intrinsic_contributions`` take the list.

        Args:
            repeats: number of models, at least 2.
            seed: seed of the resamples, and of what DoWhy's mechanisms draw; None means 0.

        Raises:
            ValueError: if the model has no rows.
        """
        if self.fitted is None:
            raise ValueError("model must have the rows it was fitted on, got none; use from_dowhy(model, X)")
        gcm = optional("dowhy.gcm", "bootstrap of a model of DoWhy")
        pandas = optional("pandas", "bootstrap of a model of DoWhy")
        rows, generator = self.fitted.rows, as_generator(seed)
        found = []
        with _seeded(generator), _quiet(gcm):
            for _ in range(as_count(repeats, "repeats", "the models of a bootstrap", minimum=2)):
                drawn = rows[torch.randint(len(rows), (self.fitted.count,), generator=generator)]
                copy = self.source.clone()
                gcm.fit(copy, pandas.DataFrame(drawn.numpy(), columns=list(self._nodes)))
                found.append(DoWhyModel(copy, self._nodes))
                found[-1].fitted = replace(FittedRows.of(drawn), resampled=True)
        return found


def from_dowhy(model: Any, X: Any = None, *, nodes: Sequence[Any] | None = None) -> DoWhyModel:
    """Return a fitted graphical causal model of DoWhy as a ``CausalModel``.

    ``CausalGraphInputs`` asks its mechanisms for total effects, ``intrinsic_contributions`` for the shares of its
    noises. A node without parents is its own noise. Mechanisms are ``AdditiveNoiseModel`` and ``PostNonlinearModel``
    with any regression; distributions are ``EmpiricalDistribution``, ``ScipyDistribution`` and
    ``BayesianGaussianMixtureDistribution``.

    Args:
        model: ``InvertibleStructuralCausalModel`` or ``StructuralCausalModel``, after ``gcm.fit``.
        X: the table that it was fitted on, for the checks against the data and for ``bootstrap``.
        nodes: all nodes in the order of the columns, which is that of a network's inputs; default that of the graph.

    Raises:
        ImportError: if ``dowhy`` is missing.
        TypeError: if it is no structural causal model of DoWhy.
        ValueError: for a node without mechanism, one that is not fitted, or one whose values are labels (categorical)
            or whose noise is not known from a row (non-invertible, discrete).

    Warns:
        ApproximationWarning: for a fitted model without X: nothing then tells the error of learning.

    References:
        Blöbaum et al. (2024), DoWhy-GCM.

    Example:
        >>> import networkx as nx
        >>> import numpy as np
        >>> from dowhy import gcm
        >>> from scipy import stats
        >>> given = gcm.StructuralCausalModel(nx.DiGraph([("a", "b")]))
        >>> given.set_causal_mechanism("a", gcm.ScipyDistribution(stats.norm, loc=1.0, scale=2.0))
        >>> line = gcm.AdditiveNoiseModel(gcm.ml.create_linear_regressor(), gcm.ScipyDistribution(stats.norm, loc=0.0))
        >>> line.fit(np.arange(9.0), 3 * np.arange(9.0))
        >>> given.set_causal_mechanism("b", line)
        >>> rows = from_dowhy(given).push(torch.tensor([[2.0, 1.0]]))
        >>> assert torch.allclose(rows, torch.tensor([[2.0, 7.0]]))
    """
    gcm = optional("dowhy.gcm", "from_dowhy")
    if not isinstance(model, gcm.ProbabilisticCausalModel):
        raise TypeError(
            f"model must be a StructuralCausalModel of dowhy.gcm with invertible mechanisms, got {type(model).__name__}"
        )
    there = list(model.graph.nodes)
    order = there if nodes is None else list(nodes)
    if sorted(map(str, order)) != sorted(map(str, there)):
        raise ValueError(f"nodes must name every node of the graph once, {there}, got {order}")
    named = {str(node): node for node in there}
    CausalGraph.of(model.graph)  # refuses names that are the same as text
    if X is None and any(FITTED in facts for _, facts in model.graph.nodes(data=True)):
        warn_caller(
            "the error bars leave out the error of learning of a fitted model of DoWhy; use from_dowhy(model, X) with "
            "its table, and its bootstrap",
            ApproximationWarning,
        )
    return DoWhyModel(model, [named[str(node)] for node in order], X)


class _Root:
    """A node without parents: its noise is its value."""

    def __init__(self, noise: Any) -> None:
        self.noise = noise


class _Mechanism:
    """A mechanism of DoWhy on tensors."""

    def __init__(self, mechanism: Any, noise: Any) -> None:
        self.mechanism, self.noise = mechanism, noise

    def __call__(self, *given: Tensor) -> Tensor:
        """Return the node ``(batch,)`` from its parents and its noise, each ``(batch,)``."""
        *parents, noise = given
        found = self.mechanism.evaluate(_table(parents), _table([noise]))
        return torch.from_numpy(np.array(found, dtype=float).reshape(-1)).to(noise)

    def abduct(self, own: Tensor, parents: Sequence[Tensor]) -> Tensor:
        """Return the noise ``(batch,)`` behind a node and its parents, each ``(batch,)``."""
        found = self.mechanism.estimate_noise(_table([own]), _table(parents))
        return torch.from_numpy(np.array(found, dtype=float).reshape(-1)).to(own)


class _Mixture:
    """A mixture of normal distributions, by the inverse of its distribution function."""

    def __init__(self, weights: Any, means: Any, variances: Any) -> None:
        self.weights, self.means = (np.asarray(one, dtype=float).reshape(-1) for one in (weights, means))
        self.stds = np.sqrt(np.asarray(variances, dtype=float).reshape(-1))

    def ppf(self, u: np.ndarray) -> np.ndarray:
        """Return the values below which shares ``u`` lie, by bisection between the parts' own quantiles."""
        from scipy.special import ndtr, ndtri  # takes long to import

        u = np.asarray(u, dtype=float)
        each = self.means + self.stds * ndtri(u)[..., None]
        low, high = each.min(-1), each.max(-1)
        for _ in range(80):
            middle = (low + high) / 2
            below = ndtr((middle[..., None] - self.means) / self.stds) @ self.weights < u
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def var(self) -> float:
        """Return the variance."""
        mean = self.weights @ self.means
        return float(self.weights @ (self.stds**2 + (self.means - mean) ** 2))


def _part(source: Any, node: Any) -> _Root | _Mechanism:
    """Return what makes a node, or raise a ValueError that says why it cannot be used."""
    gcm = optional("dowhy.gcm", "from_dowhy")
    facts = source.graph.nodes[node]
    mechanism, parents = facts.get("causal_mechanism"), sorted(source.graph.predecessors(node))
    if mechanism is None:
        raise ValueError(f"model must have a mechanism for {node!r}, got none; use gcm.auto.assign_causal_mechanisms")
    if facts.get(FITTED, parents) != parents:
        raise ValueError(f"model must have the graph it was fitted with, got other parents of {node!r}; fit it again")
    kind = type(mechanism).__name__
    if not parents:
        return _Root(_noise(mechanism, node, gcm))
    if isinstance(mechanism, gcm.ClassifierFCM):
        raise ValueError(f"model must have numbers at every node, got labels at {node!r} ({kind}); leave it out")
    if isinstance(mechanism, gcm.DiscreteAdditiveNoiseModel) or not hasattr(mechanism, "estimate_noise"):
        what = "discrete" if isinstance(mechanism, gcm.DiscreteAdditiveNoiseModel) else "not invertible"
        raise ValueError(
            f"mechanism of {node!r} must tell the noise behind every row, got {kind}, which is {what}; use an "
            "AdditiveNoiseModel or PostNonlinearModel"
        )
    if not hasattr(mechanism, "noise_model"):
        raise ValueError(
            f"mechanism of {node!r} must have a noise_model, whose distribution is known, got {kind}; use an "
            "AdditiveNoiseModel or PostNonlinearModel"
        )
    return _Mechanism(mechanism, _noise(mechanism.noise_model, node, gcm))


def _noise(model: Any, node: Any, gcm: Any) -> Any:
    """Return the distribution of a node's noise in a form that acelib drives."""
    unfitted = f"model must be fitted, got no distribution at {node!r}; call gcm.fit(model, X) first"
    if isinstance(model, gcm.EmpiricalDistribution):
        if model.data is None:
            raise ValueError(unfitted)
        if np.asarray(model.data).dtype.kind not in "biuf":
            raise ValueError(f"model must have numbers at every node, got labels at {node!r}; leave it out")
        return EmpiricalNoise(np.asarray(model.data, dtype=float).reshape(-1))
    if isinstance(model, gcm.ScipyDistribution):
        if model.scipy_distribution is None or not model.parameters:
            raise ValueError(unfitted)
        return model.scipy_distribution(**model.parameters)
    if isinstance(model, gcm.BayesianGaussianMixtureDistribution):
        fitted = getattr(model, "_gmm_model", None)
        if fitted is None:
            raise ValueError(unfitted)
        return _Mixture(fitted.weights_, fitted.means_, fitted.covariances_)
    raise ValueError(
        f"noise of {node!r} must have a known distribution, got {type(model).__name__}; use EmpiricalDistribution, "
        "ScipyDistribution or BayesianGaussianMixtureDistribution"
    )


def _table(columns: Sequence[Tensor]) -> np.ndarray:
    return torch.stack([one.detach().cpu().double() for one in columns], dim=1).numpy()


@contextmanager
def _seeded(generator: torch.Generator) -> Iterator[None]:
    """Seed NumPy's global generator, which regressions draw from, and put it back."""
    state = np.random.get_state()
    np.random.seed(int(torch.randint(2**31, (), generator=generator)))
    try:
        yield
    finally:
        np.random.set_state(state)


@contextmanager
def _quiet(gcm: Any) -> Iterator[None]:
    """Hide DoWhy's progress bars."""
    shown = gcm.config.show_progress_bars
    gcm.config.disable_progress_bars()
    try:
        yield
    finally:
        gcm.config.show_progress_bars = shown
