"""The contract of a fitted causal curve, whatever its family.

Every regressor is a linear smoother. Once its hyperparameters are chosen, its weights are ``w = L y`` for the
sampled expectations ``y``, its prediction is ``B(α) w`` and its baseline is ``b w``, with a fixed row ``b``. Then

    ACE(α) = (B(α) − b) w                                        (the paper's Eq. 1)
    Var[ACE(α)] = (B(α) − b) L Σ Lᵀ (B(α) − b)ᵀ + misfit(α)² + baseline_misfit² + domain_std²

where ``Σ`` is the covariance of the sampling errors of ``y``. The same rows serve every α, so these errors are
strongly correlated and the baseline's error partly cancels the curve's: only the full ``Σ`` shows that. The other
terms are the lack of fit at α and in the baseline, which ``acelib.regressors.misfit`` derives, and the error of an
interval that is the range of a sample (``acelib.regressors.sampled_domain``), all taken as independent.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from .._intervals import ends, satterthwaite
from .._saved import Result
from .._warnings import ExtrapolationWarning, warn_caller
from .misfit import average_misfit, misfit, side_by_side, spread_over
from .sampled_domain import end_error
from .samples import Array, check_array, like, outside, shares_of, to_numpy
from .seeds import between_models, check_sources

Baseline = str | float | np.ndarray | torch.Tensor | tuple[str, Array]
"""``"uniform"``, ``("data", values)`` or a number."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Regressor(Result, ABC):
    """A curve α ↦ E[y | do(x = α)] with its baseline and error bars; the base of the three families.

    What is in the standard deviations of ``predict`` and ``ace``, and in ``baseline_std``:

    - the sampling error of the expectations, where their covariance was given;
    - for a list of networks (training seeds), how far their mean may be from that over all seeds, see
      ``acelib.regressors.seeds``;
    - the lack of fit, at the value and in the baseline, for polynomials and splines: what held-out values show, more in
      sparse gaps between the values and beyond them. A table smooths nothing and has none;
    - where the interval is the range of a sample, the error of its ends in a uniform baseline: how far it would be off
      in another sample of the same size, see ``acelib.regressors.sampled_domain``. An interval that was named has none;
    - not a bias of the expectations (as of a Taylor expansion), and not how far the interval, or the data, that the
      baseline is over are from the ones that were meant: the range of a sample grows with its size.

    ``band="bayesian"`` has neither error, but the noise and posterior of the fit. Sampling errors that are independent
    from one value to the next also look like lack of fit, and make the bands too wide by a factor of 2 to 3; those of
    averages over the same rows change smoothly and do not.

    Attributes:
        alphas: sampled interventional values, ``(m,)``.
        expectations: E[y | do(x = α)] at ``alphas``, ``(m,)``, in units of the output.
        low: lower end of the feature's interval.
        high: upper end of the feature's interval.
        weights: the fitted weights in the family's working basis, ``(p,)``.
        weight_covariance: their sampling covariance ``L Σ Lᵀ``, ``(p, p)``; zero where none was given.
        held_out: leave-one-out residuals at ``alphas``, ``(m,)``: sampled minus predicted without that value, and
            without others that lie much closer to it than to the rest.
        baseline_weights: the row ``b`` that turns weights into the baseline, ``(p,)``.
        baseline_kind: ``"uniform"``, ``"data"`` or the chosen value.
        baseline_misfit: the lack of fit in the baseline, in units of the output.
        freedom: degrees of freedom of the sampling covariance, independent rows or groups minus 1; None if unknown.
        model_weights: ``(S, p)`` weights of each network's curve where a list was given, whose mean is ``weights``.
        low_std, high_std: standard errors of the ends, in the feature's unit; 0 where the interval was named.
        domain_rows: rows whose range the interval is; None where it was named.
        support: some values and about the share of rows that leave the data there, ``(2, v)``; None where unknown.
    """

    family: ClassVar[str]

    alphas: np.ndarray
    expectations: np.ndarray
    low: float
    high: float
    weights: np.ndarray
    weight_covariance: np.ndarray
    held_out: np.ndarray
    baseline_weights: np.ndarray
    baseline_kind: str | float
    baseline_misfit: float = 0.0
    freedom: float | None = None
    model_weights: np.ndarray | None = None
    low_std: float = 0.0
    high_std: float = 0.0
    domain_rows: int | None = None
    support: np.ndarray | None = None

    @property
    def baseline(self) -> float:
        """The baseline E_α[E[y | do(x = α)]], a float in units of the output."""
        return float(self.baseline_weights @ self.weights)

    @property
    def baseline_std(self) -> float:
        """Standard error of the baseline, a float in units of the output.

        It has the sampling error, the spread of a list of networks, ``domain_std``, and ``baseline_misfit``: the lack
        of fit at a chosen value, or in an average, where it changes sign from gap to gap and mostly cancels.
        """
        variance = sum(part[0] for part, _ in self._sampling(self.baseline_weights[None]))
        variance += self.baseline_misfit**2 + self.domain_std**2
        return float(np.sqrt(max(variance, 0.0)))

    @property
    def domain_std(self) -> float:
        """The part of ``baseline_std`` that comes from the ends of a sampled interval; 0 for other baselines."""
        if self.baseline_kind != "uniform" or not (self.low_std or self.high_std):
            return 0.0
        return float(end_error(*self.end_effects, self.high - self.low, self.low_std, self.high_std))

    @cached_property
    def end_effects(self) -> tuple[float, float]:
        """The average causal effects at both ends of the interval, in units of the output."""
        low, high = self._basis(np.array([self.low, self.high])) @ self.weights - self.baseline
        return float(low), float(high)

    @property
    def lack_of_fit(self) -> float:
        """Root mean square of the held-out residuals, a float in units of the output: one number for the curve."""
        return float(np.sqrt(np.mean(self.held_out**2)))

    def misfit(self, alphas: Array) -> np.ndarray:
        """Return the lack of fit at ``alphas``, numpy of the same shape, in units of the output.

        It is what held-out values show around each sampled value, wider where the curve can run away between the values
        or beyond them; see ``acelib.regressors.misfit``.

        Args:
            alphas: interventional values, any shape.
        """
        values = to_numpy(alphas)
        return self._misfit(values.ravel(), self._basis(values.ravel())).reshape(values.shape)

    def predict(self, alphas: Array, return_std: bool = False, band: str = "sampling") -> Any:
        """Return E[y | do(x = α)] from the curve, float64 of ``alphas``' shape, in units of the output.

        Args:
            alphas: interventional values, any shape. A tensor gives a tensor, anything else a numpy array.
            return_std: whether ``(mean, std)`` is returned in place of the mean.
            band: ``"sampling"`` for an error bar, of the sampling error of the rows and the lack of fit;
                ``"bayesian"`` for the predictive deviation of the Bayesian fit, as in the paper, which is no error
                bar (polynomials only). Neither contains a bias of the expectations.

        Raises:
            ValueError: if ``alphas`` has NaN or Inf, or ``band`` is unknown.

        References:
            Chattopadhyay et al. 2019, Sec. 4.3.
        """
        return self._evaluate(alphas, np.zeros_like(self.weights), return_std, band)

    def ace(self, alphas: Array, return_std: bool = False, band: str = "sampling") -> Any:
        """Return the average causal effect E[y | do(x = α)] − baseline, float64 of ``alphas``' shape.

        It is in units of the output. Its error bar is that of the difference: sampling errors that the curve and its
        baseline share cancel, and the lack of fit at ``alphas`` and in the baseline adds up.

        Args:
            alphas: interventional values, any shape. A tensor gives a tensor, anything else a numpy array.
            return_std: whether ``(mean, std)`` is returned in place of the mean.
            band: as in ``predict``.

        Raises:
            ValueError: if ``alphas`` has NaN or Inf, or ``band`` is unknown.

        References:
            Chattopadhyay et al. 2019, Eq. 1.
        """
        return self._evaluate(alphas, self.baseline_weights, return_std, band)

    def interval(self, alphas: Array, level: float = 0.95, *, of: str = "ace") -> tuple[Any, Any]:
        """Return both ends of the intervals of Student's t, float64 of ``alphas``' shape, in units of the output.

        With few rows, groups or networks they are wider than ± 1.96 standard deviations, which cover too little there:
        the degrees of freedom of rows and networks are combined by Satterthwaite's formula.

        Args:
            alphas: interventional values, any shape. A tensor gives a tensor, anything else a numpy array.
            level: nominal coverage.
            of: "ace", or "expectation" for E[y | do(x = α)].

        Raises:
            ValueError: if ``alphas`` has NaN or Inf, or for another ``of``, or a level that is not between 0 and 1.

        Example:
            >>> from acelib import CausalTable
            >>> table = replace(CausalTable.fit([0.0, 1.0], [0.0, 2.0], covariance=np.eye(2)), freedom=4.0)
            >>> low, high = table.interval(1.0, of="expectation")
            >>> assert abs(float(high) - 2 - 2.776) < 1e-3  # Student's t of five rows
        """
        mean, std, freedom = (to_numpy(part) for part in self.estimate(alphas, of=of))
        low, high = ends(mean, std, freedom, level)
        return like(low, mean.shape, alphas), like(high, mean.shape, alphas)

    def estimate(self, alphas: Array, *, of: str = "ace") -> tuple[Any, Any, Any]:
        """Return mean, standard deviation and degrees of freedom, float64 of ``alphas``' shape; see ``interval``."""
        if of not in ("ace", "expectation"):
            raise ValueError(f"of must be 'ace' or 'expectation', got {of!r}")
        values = check_array(alphas, "alphas")
        offset = self.baseline_weights if of == "ace" else 0 * self.weights
        mean, sampling, fit = self._parts(values.ravel(), offset)
        std = np.sqrt(sum(variance for variance, _ in sampling) + fit)
        # A known variance would raise the number; but a lack of fit is often far below what its bound allows for.
        return tuple(like(part, values.shape, alphas) for part in (mean, std, satterthwaite(sampling)))

    def smoothed(self, expectations: np.ndarray) -> np.ndarray:
        """Return the weights ``(S, p)`` of other curves ``(S, m)`` over the same values, by this curve's smoother."""
        return np.linalg.lstsq(self._basis(self.alphas), expectations.T, rcond=None)[0].T

    def with_baseline(self: Curve, baseline: Baseline) -> Curve:
        """Return a new regressor: the same curve with another baseline.

        Args:
            baseline: ``"uniform"`` (the mean over the interval), ``("data", values)`` (the mean over these values), or
                ``("data", values, weights)`` (the weighted mean), or a number (the curve's value there).

        Raises:
            ValueError: if ``baseline`` is none of these.
        """
        return set_baseline([self], baseline)[0]

    def plot(self, ax: Any = None) -> Any:
        """Draw the curve of ``ace`` with its band; return the axes.

        Args:
            ax: axes to draw on; a new figure where it is None.
        """
        from .. import plots

        return plots.plot_regressor(self, ax=ax)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole regressor as numbers, strings and lists for JSON; ``from_dict`` restores it exactly."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in values.items()}
        return {"family": self.family, **plain}

    @classmethod
    def from_dict(cls: type[Curve], data: dict[str, Any]) -> Curve:
        """Return the regressor that ``to_dict`` wrote, equal to the last bit.

        Args:
            data: what ``to_dict`` returned, also after a trip through JSON.

        Raises:
            ValueError: if ``data`` is of another family, an entry is missing, or the entries do not fit together.
        """
        if data.get("family") != cls.family:
            raise ValueError(
                f"data must hold a regressor of family {cls.family!r}, got {data.get('family')!r}; use "
                "regressor_from_dict, which picks the class"
            )
        missing = [f.name for f in fields(cls) if f.name not in data and f.default is MISSING]
        if missing:
            raise ValueError(f"data must hold what {cls.__name__}.to_dict wrote, got none of {', '.join(missing)}")
        entries: dict[str, Any] = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        for name, value in entries.items():
            if isinstance(value, list):
                try:
                    entries[name] = np.array(value, dtype=np.float64)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"data must hold numbers in {name}, got {error}") from error
        curve = cls(**entries)
        curve._check_fit()
        return curve

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays: m values and p weights."""
        m, p = np.shape(self.alphas)[:1], np.shape(self.weights)[:1]
        values = dict.fromkeys(("alphas", "expectations", "held_out"), m)
        return values | {"weights": p, "baseline_weights": p, "weight_covariance": p * 2}

    def _check_fit(self) -> None:
        """Raise a ValueError where the entries do not fit together, as in a file that was changed by hand."""
        for name, shape in self._shapes().items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or len(shape) < 1 or array.shape != shape or not array.size:
                raise ValueError(f"data must hold numbers of the shape {shape} in {name}, got {np.shape(array)}")
            if not np.isfinite(array).all():
                raise ValueError(f"data must hold finite numbers in {name}, got NaN or Inf")
        ends = [self.low, self.high]
        if not all(isinstance(end, int | float) for end in ends) or not -np.inf < self.low <= self.high < np.inf:
            raise ValueError(f"data must hold finite ends low <= high, got {ends}")
        if self.baseline_kind not in ("uniform", "data") and not isinstance(self.baseline_kind, int | float):
            raise ValueError(f"data must hold the baseline 'uniform', 'data' or a number, got {self.baseline_kind!r}")
        check_sources(self.freedom, self.model_weights, np.size(self.weights))

    @abstractmethod
    def _basis(self, values: np.ndarray) -> np.ndarray:
        """Return the rows ``B(α)``, ``(n, p)``, for values ``(n,)``."""

    @abstractmethod
    def _uniform_row(self) -> np.ndarray:
        """Return the row that averages the curve over U(low, high), ``(p,)``, by exact integration."""

    def _triangle(self) -> np.ndarray:
        """Return R of the basis at the sampled values, ``(p, p)``, up to signs of its rows."""
        return np.linalg.qr(self._basis(self.alphas))[1]

    def _misfit(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the misfit at ``values (n,)``, where the basis is ``rows (n, p)``."""
        return misfit(side_by_side([self], self._triangle()), values, rows)[0]

    def _average_misfit(self, curves: Sequence[Regressor], values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the misfit of the weighted average of each of ``curves``, which share this one's basis, ``(P,)``."""
        fits = side_by_side(curves, self._triangle())
        return average_misfit(fits, weights, values, self._basis(values))

    def _bayesian_variance(self, rows: np.ndarray) -> np.ndarray:
        raise ValueError(
            f"band must be 'sampling' for {type(self).__name__}, got 'bayesian', which only CausalRegressor has"
        )

    def _warn_outside(self, values: np.ndarray, name: str) -> None:
        if outside(values, self.low, self.high).any():
            warn_caller(
                f"{name} reaches from {values.min():.6g} to {values.max():.6g}, beyond the range "
                f"[{self.low:.6g}, {self.high:.6g}] of this regressor; values there are extrapolated",
                ExtrapolationWarning,
            )

    def _evaluate(self, alphas: Array, offset: np.ndarray, return_std: bool, band: str) -> Any:
        if band not in ("sampling", "bayesian"):
            raise ValueError(f"band must be 'sampling' or 'bayesian', got {band!r}")
        values = check_array(alphas, "alphas")
        if return_std and band == "sampling":
            mean, sampling, fit = self._parts(values.ravel(), offset)
            variance = sum(one for one, _ in sampling) + fit
        else:
            rows = self._rows(values.ravel()) - offset
            mean = rows @ self.weights
            variance = self._bayesian_variance(rows) if return_std else None
        mean = like(mean, values.shape, alphas)
        return mean if variance is None else (mean, like(np.sqrt(np.maximum(variance, 0.0)), values.shape, alphas))

    def _rows(self, flat: np.ndarray) -> np.ndarray:
        """Return the basis at ``flat (n,)``, with a warning where it is extrapolated."""
        self._warn_outside(flat, "alphas")
        return self._basis(flat)

    def _parts(
        self, flat: np.ndarray, offset: np.ndarray
    ) -> tuple[np.ndarray, list[tuple[np.ndarray, float]], np.ndarray]:
        """Return means ``(n,)``, variances and degrees of freedom of their sampling errors, and the other variances."""
        basis = self._rows(flat)
        rest = self._misfit(flat, basis) ** 2
        if offset is self.baseline_weights:
            rest += self.baseline_misfit**2 + self.domain_std**2
        return (basis - offset) @ self.weights, self._sampling(basis - offset), rest

    def _sampling(self, rows: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """Return variances ``(n,)`` and degrees of freedom of contrasts ``(n, p)``: of the rows, of the networks."""
        of_rows = np.maximum(np.einsum("np,np->n", rows @ self.weight_covariance, rows), 0.0)
        return [(of_rows, math.inf if self.freedom is None else self.freedom), between_models(rows, self.model_weights)]

    def _baseline_row(self, baseline: Any) -> tuple[np.ndarray, str | float, tuple[np.ndarray, ...]]:
        """Return the row that turns weights into this baseline, its kind, and the values it averages with weights."""
        if isinstance(baseline, str) and baseline == "uniform":
            return self._uniform_row(), "uniform", spread_over(self.alphas, self.low, self.high)
        if isinstance(baseline, tuple | list) and len(baseline) in (2, 3) and isinstance(baseline[0], str):
            if baseline[0] == "data":
                values = check_array(baseline[1], "the baseline's data").ravel()
                if values.size == 0:
                    raise ValueError("baseline must be ('data', values) with at least one value, got none")
                shares = shares_of(baseline[2] if len(baseline) == 3 else None, values.size)
                self._warn_outside(values, "the baseline's data")
                points = spread_over(self.alphas, self.low, self.high, values, shares)
                return np.average(self._basis(values), axis=0, weights=shares), "data", points
        elif not isinstance(baseline, str | bool | tuple | list | None) and np.ndim(baseline) == 0:
            point = check_array(baseline, "baseline").ravel()
            self._warn_outside(point, "baseline")
            return self._basis(point)[0], float(point[0]), (point, np.ones(1))
        raise ValueError(f"baseline must be 'uniform', ('data', values) or a number, got {baseline!r}")

    def _describe(self) -> str:
        interval = f"[{self.low:.4g}, {self.high:.4g}]" + (f" of {self.domain_rows} rows" if self.domain_rows else "")
        return f"baseline={self.baseline:.4g}, range={interval}, lack_of_fit={self.lack_of_fit:.1e}"


Curve = TypeVar("Curve", bound=Regressor)


def set_baseline(curves: Sequence[Curve], baseline: Baseline) -> list[Curve]:
    """Return the curves with this baseline; they share one working basis, so its row is computed once."""
    row, kind, (values, weights) = curves[0]._baseline_row(baseline)
    misfits = curves[0]._average_misfit(curves, values, weights)
    return [
        replace(curve, baseline_weights=row, baseline_kind=kind, baseline_misfit=float(size))
        for curve, size in zip(curves, misfits, strict=True)
    ]
