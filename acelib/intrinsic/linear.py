"""A linear model of the inputs, fitted to data: ``x_j = b_j + Σ_p a_jp x_p + s_j e_j``, with independent noises e_j.

Each equation is a least-squares regression on the stated parents. Substituting them into each other gives
``x = (I − A)⁻¹ (b + S e)``, so every contribution has a closed form: with w = the target's weights times (I − A)⁻¹ it
is ``w_j² s_j²``, in every context.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import log, pi
from typing import Any

import torch
from torch import Tensor

from .._checks import as_count, as_generator
from .fitted import FittedRows
from .graph import CausalGraph, read_columns
from .noise import EmpiricalNoise, variance_of
from .scm import CausalModel


class LinearModel(CausalModel):
    """A linear structural model with additive noise; ``LinearModel.fit`` estimates it from data.

    Args:
        graph: ``{child: [parents]}``.
        coefficients: ``{child: {parent: coefficient}}``, one for every edge.
        intercepts: ``{node: number}``; 0 where missing.
        scales: ``{node: standard deviation of its noise}``; 1 where missing.
        noise: ``{node: noise}`` as for ``StructuralModel``, of any variance; normal where missing.

    Raises:
        ValueError: for an unknown node, an edge without coefficient or a coefficient without edge.

    Example:
        >>> chain = LinearModel({"X": [], "Y": ["X"], "Z": ["Y"]}, {"Y": {"X": 2.0}, "Z": {"Y": 3.0}})
        >>> assert chain.contributions("Z").tolist() == [36.0, 9.0, 1.0]
    """

    noise_kind = "normal"

    def __init__(
        self,
        graph: CausalGraph | Mapping[str, Iterable[str]],
        coefficients: Mapping[str, Mapping[str, float]],
        intercepts: Mapping[str, float] | None = None,
        scales: Mapping[str, float] | None = None,
        noise: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(graph, noise or {})
        given = noise if isinstance(noise, Mapping) else dict.fromkeys(self.graph.nodes, noise or "normal")
        known = {str(node): variance_of(each) for node, each in given.items()}
        self.noise_variances = torch.tensor([known.get(n, 1.0) for n in self.graph.nodes], dtype=torch.float64)
        for name, given in (("coefficients", coefficients), ("intercepts", intercepts), ("scales", scales)):
            self.graph.check_known(given or {}, name)
        k = len(self.graph)
        self.matrix = torch.zeros(k, k, dtype=torch.float64)
        for child, parents in self.graph.parents.items():
            given = _named(_named(coefficients).get(child, {}))
            if set(given) != set(parents):
                raise ValueError(
                    f"coefficients of {child!r} must be for its parents in the graph, {list(parents)}, got "
                    f"{sorted(given)}"
                )
            for parent, value in given.items():
                self.matrix[self.graph.index(child), self.graph.index(parent)] = float(value)
        self.intercepts, self.scales = self._vector(intercepts, 0.0), self._vector(scales, 1.0)

    def _vector(self, given: Mapping[str, float] | None, default: float) -> Tensor:
        return torch.tensor([float(_named(given or {}).get(n, default)) for n in self.graph.nodes], dtype=torch.float64)

    @classmethod
    def fit(
        cls,
        X: Any,
        graph: CausalGraph | Mapping[str, Iterable[str]],
        *,
        names: Iterable[str] | None = None,
        noise: str = "normal",
    ) -> LinearModel:
        """Return the model fitted by least squares, each node on its parents.

        It keeps up to 2^14 of the rows, from which contributions get the error of learning and a check: a column of few
        values is fitted as any other, and where that is not the world of the data, their variances tell.

        Args:
            X: ``(n, nodes)`` table; a data frame's columns are found by name.
            graph: ``{child: [parents]}``.
            names: names of X's columns where it is no data frame; default the nodes in the order of the graph.
            noise: "normal", or "empirical": the residuals themselves, each with the same probability.

        Raises:
            ValueError: for missing columns, NaN, collinear parents or fewer rows than coefficients.

        Example:
            >>> x = torch.arange(8.0, dtype=torch.float64)
            >>> model = LinearModel.fit(torch.stack([x, 2 * x + 1], dim=1), {"a": [], "b": ["a"]})
            >>> assert abs(float(model.matrix[1, 0]) - 2) < 1e-12
        """
        graph = CausalGraph.of(graph)
        if noise not in ("normal", "empirical"):
            raise ValueError(f"noise must be 'normal' or 'empirical', got {noise!r}")
        X = read_columns(X, graph, names).cpu().double()
        coefficients, intercepts, scales, noises = {}, {}, {}, {}
        for node, parents in graph.parents.items():
            design = torch.cat([X.new_ones(len(X), 1), X[:, [graph.index(p) for p in parents]]], dim=1)
            y = X[:, graph.index(node)]
            solution, residual = _least_squares(design, y, node, parents)
            intercepts[node] = float(solution[0])
            coefficients[node] = dict(zip(parents, solution[1:].tolist(), strict=True))
            scales[node] = float(residual.square().mean().sqrt())  # ddof 0: the maximum of the normal likelihood
            if noise == "empirical" and scales[node] > 0:
                noises[node] = EmpiricalNoise(residual / scales[node])
        model = cls(graph, coefficients, intercepts, scales, noises)
        model.fitted, model.noise_kind = FittedRows.of(X), noise
        return model

    @classmethod
    def bootstrap(
        cls,
        X: Any,
        graph: CausalGraph | Mapping[str, Iterable[str]],
        *,
        repeats: int = 20,
        names: Iterable[str] | None = None,
        noise: str = "normal",
        seed: int | None = 0,
    ) -> list[LinearModel]:
        """Return models fitted to resamples of the rows, whose spread is the error of learning from such a table.

        ``intrinsic_contributions`` takes the list. A single fitted model brings this error along by itself; the list
        shows every refit, and its mean.

        Args:
            X: ``(n, nodes)`` table, as for ``fit``; every resample draws n of its rows with replacement.
            graph: ``{child: [parents]}``.
            repeats: number of models, at least 2.
            names: names of X's columns where it is no data frame; default the nodes in the order of the graph.
            noise: "normal" or "empirical", as for ``fit``.
            seed: seed of the resamples; None means 0.

        Raises:
            ValueError: as ``fit``, or where hardly a resample has a regression, such as with a rare value.

        References:
            Efron and Tibshirani (1993).

        Example:
            >>> X = LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 2.0}}).sample(200)
            >>> models = LinearModel.bootstrap(X, {"a": [], "b": ["a"]}, repeats=5)
            >>> assert len({float(m.matrix[1, 0]) for m in models}) == 5
        """
        repeats = as_count(repeats, "repeats", "the number of models", minimum=2)
        model = cls.fit(X, graph, names=names, noise=noise)
        rows = read_columns(X, model.graph, names).cpu().double()
        return model.refits(repeats, seed=seed, rows=rows)

    def refits(self, repeats: int, *, seed: int | None = 0, rows: Tensor | None = None) -> list[LinearModel]:
        """Return models fitted to resamples of ``rows (n, nodes)``; default the rows that ``fit`` kept, at most 2^14.

        Raises:
            ValueError: if the model was not fitted, or where hardly a resample has a regression.
        """
        if self.fitted is None:
            raise ValueError("refits must be of a model that was fitted, got one with given coefficients; use fit")
        rows = self.fitted.rows if rows is None else rows
        generator, found, wrong = as_generator(seed), [], None
        for _ in range(3 * repeats):  # a rare value may be missing in a resample
            index = torch.randint(len(rows), (len(rows),), generator=generator)
            try:
                found.append(type(self).fit(rows[index], self.graph, noise=self.noise_kind))
            except ValueError as error:
                wrong = error
                continue
            found[-1].fitted = replace(self.fitted, resampled=True)
            if len(found) == repeats:
                return found
        raise ValueError(f"X must have a regression in most resamples of its rows, got {len(found)}: {wrong}")

    def push(self, noise: Tensor) -> Tensor:
        """Return nodes ``(batch, nodes)`` made from standardised noises ``(batch, nodes)``."""
        return (self.intercepts.to(noise) + noise * self.scales.to(noise)) @ self.mixing.to(noise).T

    def abduct(self, X: Tensor) -> Tensor:
        """Return the standardised noises ``(batch, nodes)`` behind nodes ``(batch, nodes)``."""
        residual = X - X @ self.matrix.to(X).T - self.intercepts.to(X)
        return residual / self.scales.to(X)

    def counterfactual(
        self, X: Tensor, columns: Sequence[int], values: Tensor, *, noise: Tensor | None = None
    ) -> Tensor:
        """Return rows ``(batch, nodes)`` as they would be, had some nodes been set; see ``CausalModel``.

        What the set nodes move by is passed on along the edges that are left, (I - A)^-1 without those into them; the
        noises, ``noise`` or not, stay what they are, also where they do not vary.
        """
        columns, left = list(columns), self.matrix.clone()
        left[columns] = 0
        passed = torch.linalg.inv(torch.eye(len(self.graph), dtype=torch.float64) - left)[:, columns].to(X)
        return self._put(X, columns, values, X + (values - X[:, columns]) @ passed.T)

    @property
    def mixing(self) -> Tensor:
        """``(nodes, nodes)`` total effects (I − A)⁻¹: row = node, column = whose noise."""
        return torch.linalg.inv(torch.eye(len(self.graph), dtype=torch.float64) - self.matrix)

    def weights(self, target: str | Tensor) -> Tensor:
        """Return what one standardised noise adds to the target, ``(nodes,)``.

        ``target`` is a node, or the weights ``(nodes,)`` of a linear function of the nodes.
        """
        if isinstance(target, str):
            row = self.mixing[self.graph.index(target)]
        else:
            row = torch.as_tensor(target, dtype=torch.float64) @ self.mixing
        return row * self.scales

    def contributions(self, target: str | Tensor) -> Tensor:
        """Return the intrinsic contribution ``(nodes,)`` of every node to a linear target, exactly, in every context.

        References:
            Janzing et al. (2024), the linear case.
        """
        weights = self.weights(target)
        if unknown := self.unknown_noises(target):
            raise ValueError(
                f"noise must have a finite variance that is known for the closed form, got none for {unknown}; use "
                "method='sampling', or a scipy distribution"
            )
        return weights.square() * self.noise_variances.nan_to_num(0.0)

    def unknown_noises(self, target: str | Tensor) -> list[str]:
        """Return the nodes that add to the target by a noise whose variance is infinite or cannot be known."""
        weights = self.weights(target)
        return [n for n, w, v in zip(self.nodes, weights, self.noise_variances, strict=True) if w != 0 and v.isnan()]

    def log_likelihood(self, X: Any, *, names: Iterable[str] | None = None) -> float:
        """Return the mean log density of rows ``(n, nodes)`` in nats under normal noises."""
        rows = read_columns(X, self.graph, names).cpu().double()
        e = self.abduct(rows)
        return float(-0.5 * e.square().sum(1).mean() - self.scales.log().sum() - 0.5 * len(self.graph) * log(2 * pi))


def _named(given: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a mapping whose keys are names of nodes as text."""
    return {str(node): value for node, value in given.items()}


def _least_squares(design: Tensor, y: Tensor, node: str, parents: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Return coefficients and residuals of a regression, or raise a ValueError where it has no single solution."""
    if len(design) <= design.shape[1]:
        need = design.shape[1] + 1
        raise ValueError(f"X must have at least {need} rows for {node!r} and its parents, got {len(design)}")
    scale = design.abs().amax(0).clamp_min(torch.finfo(design.dtype).tiny)
    if int(torch.linalg.matrix_rank(design / scale)) < design.shape[1]:
        raise ValueError(
            f"X must have independent, varying columns for the parents of {node!r}, got {list(parents)} constant or "
            "collinear; drop one of them"
        )
    solution = torch.linalg.lstsq(design / scale, y[:, None]).solution[:, 0] / scale
    return solution, y - design @ solution
