"""Causal tables, for a feature that takes only a few values.

A category or an on/off switch has no values in between, so nothing is smoothed: the curve is the table of
E[y | do(x = α)] itself, and its uniform baseline is the plain mean over the listed values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Baseline, Regressor, set_baseline
from .fitting import shared_entries
from .samples import Array, check_samples, one_curve


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CausalTable(Regressor):
    """A causal regressor for a finite set of values: one expectation for each, no values in between.

    Its error bars are the sampling errors of these expectations; there is no lack of fit. A baseline over data takes
    the shares of the values among them as given: how far those shares are from a population's is in no error bar.

    Example:
        >>> table = CausalTable.fit([0.0, 1.0], [0.2, 0.8])
        >>> assert abs(table.baseline - 0.5) < 1e-12
        >>> assert abs(table.ace(1.0) - 0.3) < 1e-12
    """

    family: ClassVar[str] = "table"

    @classmethod
    def fit(
        cls, alphas: Array, expectations: Array, *, covariance: Array | None = None, baseline: Baseline = "uniform"
    ) -> CausalTable:
        """Return the table of these expectations.

        Args:
            alphas: the values the feature can take, distinct, ``(m,)``.
            expectations: E[y | do(x = α)] at these values, ``(m,)``.
            covariance: covariance of their sampling errors, ``(m, m)``; None means no sampling error.
            baseline: ``"uniform"`` (mean over the values), ``("data", observed)`` (mean over these observations) or
                one of the values.

        Raises:
            ValueError: if an argument has NaN or Inf, a wrong shape or repeated values.
        """
        expectations, covariance = one_curve(expectations, covariance)
        return cls.fit_many(alphas, expectations, covariance=covariance, baseline=baseline)[0]

    @classmethod
    def fit_many(
        cls, alphas: Array, expectations: Array, *, covariance: Array | None = None, baseline: Baseline = "uniform"
    ) -> list[CausalTable]:
        """Return one table for each of P outputs over the same values.

        The other arguments and the errors are those of ``fit``.

        Args:
            alphas: the values the feature can take, distinct, ``(m,)``.
            expectations: one output a row, ``(P, m)``.
            covariance: covariances of their sampling errors, ``(P, m, m)``, or None.
            baseline: the baseline of every table.
        """
        samples = check_samples(alphas, expectations, covariance)
        number = samples.alphas.size
        covariances = samples.push(np.eye(number), np.arange(len(samples.expectations)))
        shared = shared_entries(samples, number)
        tables = [
            cls(expectations=values, weights=values, weight_covariance=spread, held_out=np.zeros(number), **shared)
            for values, spread in zip(samples.expectations, covariances, strict=True)
        ]
        return set_baseline(tables, baseline)

    @property
    def coefficients(self) -> np.ndarray:
        """The expectations themselves, ``(m,)``."""
        return self.weights

    def _basis(self, values: np.ndarray) -> np.ndarray:
        distance = np.abs(values[:, None] - self.alphas)
        # Values that went through float32 still count as the listed ones.
        gaps = np.diff(np.sort(self.alphas))
        slack = min(1e-6 * max(np.abs(self.alphas).max(), 1e-300), 0.25 * gaps.min(initial=np.inf))
        unknown = values[distance.min(axis=1, initial=np.inf) > slack]
        if unknown.size:
            listed = ", ".join(f"{value:.6g}" for value in self.alphas)
            raise ValueError(
                f"alphas must be values that this table lists, {listed}, got {unknown[0]:.6g}; for values between them "
                "give the feature an interval, domain={name: (low, high)}, where its inputs are described"
            )
        return np.eye(self.alphas.size)[distance.argmin(axis=1)]

    def _uniform_row(self) -> np.ndarray:
        return np.full(self.alphas.size, 1 / self.alphas.size)

    def _misfit(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return zeros ``(n,)``: a table smooths nothing."""
        return np.zeros(values.size)

    def _average_misfit(self, curves: Sequence[Regressor], values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return zeros ``(P,)``: a table smooths nothing."""
        return np.zeros(len(curves))

    def _warn_outside(self, values: np.ndarray, name: str) -> None:
        """Raise nothing and warn of nothing: ``_basis`` refuses a value outside the table."""

    def __repr__(self) -> str:
        return f"CausalTable(values={self.alphas.size}, {self._describe()})"
