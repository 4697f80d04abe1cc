"""Cubic splines for E[y | do(x = α)], which follow kinks that no polynomial does.

A spline is fitted by least squares, the alternative that the paper allows in its Sec. 4.3. Interior knots sit at
quantiles of the sampled values, and their number has the smallest generalised cross-validation score

    GCV(K) = m (RSS + m σ₀²) / (m − p)²,   p = K + 4 weights,

with σ₀ the noise floor: below it a smaller residual is rounding, not fit. Where every cubic runs away within a sparse
gap between the values, one polynomial of a lower degree takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .base import Baseline, Regressor, fit_by_choice, shared_entries
from .basis import CONDITION_LIMIT
from .held_out import leave_clusters_out, leave_one_out
from .samples import GROWTH_LIMIT, Array, Samples, between, check_samples, growth, one_curve

DEGREE = 3


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SplineRegressor(Regressor):
    """A causal regressor made of cubic pieces; it follows kinks and steps better than one polynomial.

    Attributes:
        knots: the full knot vector, ends repeated ``degree + 1`` times, ``(p + degree + 1,)``. They end where the
            sampled values end if the interval reaches far beyond; there the curve is constant.
        scores: generalised cross-validation score of every number of interior knots tried, ``(tried,)``.

    References:
        Chattopadhyay et al. 2019, Sec. 4.3; Craven and Wahba 1979 for the score.

    Example:
        >>> import numpy as np
        >>> alphas = np.linspace(-1, 1, 60)
        >>> curve = SplineRegressor.fit(alphas, alphas**3 + 1)
        >>> assert curve.num_knots == 0
        >>> assert abs(curve.baseline - 1) < 1e-9
    """

    family: ClassVar[str] = "spline"

    knots: np.ndarray
    scores: np.ndarray

    @classmethod
    def fit(
        cls,
        alphas: Array,
        expectations: Array,
        *,
        covariance: Array | None = None,
        low: float | None = None,
        high: float | None = None,
        max_knots: int | None = None,
        baseline: Baseline = "uniform",
        noise_floor: Array | None = None,
    ) -> SplineRegressor:
        """Return the spline with the smallest cross-validation score.

        Args:
            alphas: distinct interventional values, ``(m,)``, at least 5 (or 1 where low equals high).
            expectations: E[y | do(x = α)] at these values, ``(m,)``.
            covariance: covariance of their sampling errors, ``(m, m)``; None means no sampling error.
            low: lower end of the interval; the smallest α where it is None.
            high: upper end of the interval; the largest α where it is None.
            max_knots: largest number of interior knots; (m − 4) / 2, at most 30, where it is None.
            baseline: ``"uniform"``, ``("data", values)`` or a number; see ``with_baseline``.
            noise_floor: noise below which a residual is rounding, in units of the expectations; 1e-6 of their range
                where it is None.

        Raises:
            ValueError: if an argument has NaN or Inf, a wrong shape, repeated values or values outside the interval.

        Example:
            >>> alphas = np.linspace(-1, 1, 60)
            >>> curve = SplineRegressor.fit(alphas, np.abs(alphas))
            >>> assert curve.num_knots > 5 and abs(curve.baseline - 0.5) < 1e-3
        """
        expectations, covariance = one_curve(expectations, covariance)
        return cls.fit_many(
            alphas,
            expectations,
            covariance=covariance,
            low=low,
            high=high,
            max_knots=max_knots,
            baseline=baseline,
            noise_floor=noise_floor,
        )[0]

    @classmethod
    def fit_many(
        cls,
        alphas: Array,
        expectations: Array,
        *,
        covariance: Array | None = None,
        low: float | None = None,
        high: float | None = None,
        max_knots: int | None = None,
        baseline: Baseline = "uniform",
        noise_floor: Array | None = None,
    ) -> list[SplineRegressor]:
        """Return one spline for each of P curves over the same values.

        The other arguments and the errors are those of ``fit``, shared by all curves; ``noise_floor`` may be one
        number for each, ``(P,)``.

        Args:
            alphas: distinct interventional values, ``(m,)``.
            expectations: one curve a row, ``(P, m)``.
            covariance: covariances of their sampling errors, ``(P, m, m)``, or None.
        """
        samples = check_samples(alphas, expectations, covariance, low, high)
        num_points = samples.alphas.size
        if num_points < 5 and samples.low < samples.high:
            raise ValueError(
                f"alphas must hold at least 5 values for a cubic spline, got {num_points}; sample more values or fit a "
                "CausalRegressor"
            )
        samples.warn_uncovered()
        low, high = _ends(samples)
        most = _most_knots(max_knots, int(samples.clusters.max()) + 1)
        candidates = _candidates(samples.alphas, low, high, most)
        floor = samples.floor(noise_floor)
        scores = np.stack([_score(samples.expectations, q, floor) for _, q, _ in candidates], axis=1)

        def make(number: int, index: np.ndarray) -> list[SplineRegressor]:
            parts = zip(index, _select(samples, candidates[number], index), strict=True)
            return [cls(scores=scores[i], knots=candidates[number][0], **part) for i, part in parts]

        sound = _sound(samples, candidates)
        if not sound.any(axis=1).all():
            lower = [_factors(samples.alphas, low, high, 0, degree) for degree in range(DEGREE)]
            candidates, sound = candidates + lower, np.c_[sound, _sound(samples, lower)]
        every = np.stack([_score(samples.expectations, q, floor) for _, q, _ in candidates], axis=1)
        every[:, scores.shape[1] :][sound[:, : scores.shape[1]].any(axis=1)] = np.inf
        return fit_by_choice(np.where(sound, every, np.inf).argmin(axis=1), make, baseline)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return super()._shapes() | {"knots": (np.size(self.weights) + DEGREE + 1,)}

    @property
    def coefficients(self) -> np.ndarray:
        """B-spline coefficients for ``knots``, ``(p,)``."""
        return self.weights

    @property
    def degree(self) -> int:
        """Degree of the pieces: 3, or less where no cubic stays near its samples between sparse values."""
        return self.knots.size - self.weights.size - 1 if self.low < self.high else 0

    @property
    def num_knots(self) -> int:
        """Number of interior knots."""
        return self.weights.size - self.degree - 1

    def _basis(self, values: np.ndarray) -> np.ndarray:
        first, last = self.knots[0], self.knots[-1]
        values = np.where((values >= self.low) & (values < first), first, values)
        values = np.where((values <= self.high) & (values > last), last, values)
        return _design(values, self.knots, self.degree)

    def _uniform_row(self) -> np.ndarray:
        if self.low == self.high:
            return np.ones(1)
        # A B-spline of degree d on the knots t_j .. t_{j+d+1} integrates to (t_{j+d+1} − t_j) / (d + 1).
        order = self.degree + 1
        row = (self.knots[order:] - self.knots[:-order]) / order
        # Beyond the outer knots the curve stays at its end values, the first and the last weight.
        row[0] += self.knots[0] - self.low
        row[-1] += self.high - self.knots[-1]
        return row / (self.high - self.low)

    def __repr__(self) -> str:
        return f"SplineRegressor(knots={self.num_knots}, gcv={self.scores.min():.2e}, {self._describe()})"


def _ends(samples: Samples) -> tuple[float, float]:
    """Return where the outer knots go: the interval's ends, or those of the values where a cubic would run away."""
    low, high = samples.low, samples.high
    if samples.covered() == (low, high):
        return low, high
    knots = np.r_[[low] * (DEGREE + 1), [high] * (DEGREE + 1)]
    triangle = np.linalg.qr(_design(samples.alphas, knots))[1] / np.sqrt(samples.alphas.size)
    stable = np.linalg.cond(triangle) <= CONDITION_LIMIT
    size = growth(_design(between(samples.alphas, low, high), knots), triangle)[-1] if stable else np.inf
    return (low, high) if size <= GROWTH_LIMIT else samples.covered()


def _most_knots(max_knots: Any, num_points: int) -> int:
    """Return the largest number of interior knots to try, for values that lie in so many places."""
    default = max(min((num_points - 4) // 2, 30), 0)
    if max_knots is None:
        return default
    if isinstance(max_knots, bool) or not isinstance(max_knots, int | np.integer) or max_knots < 0:
        raise ValueError(f"max_knots must be None or an integer of at least 0, got {max_knots!r}")
    return int(min(max_knots, max(num_points - 5, 0)))


def _candidates(alphas: np.ndarray, low: float, high: float, most: int) -> list[tuple[np.ndarray, ...]]:
    """Return knot vector and QR factors of the design for every number of interior knots up to ``most``."""
    found = []
    for number in range(most + 1):
        candidate = _factors(alphas, low, high, number, DEGREE)
        if number and np.linalg.cond(candidate[2]) > CONDITION_LIMIT:
            break
        found.append(candidate)
    return found


def _factors(alphas: np.ndarray, low: float, high: float, number: int, degree: int) -> tuple[np.ndarray, ...]:
    """Return knot vector and QR factors of the design for this ``number`` of interior knots."""
    inner = np.quantile(alphas, np.linspace(0, 1, number + 2)[1:-1])
    knots = np.r_[[low] * (degree + 1), inner, [high] * (degree + 1)]
    return knots, *np.linalg.qr(_design(alphas, knots, degree))


def _sound(samples: Samples, candidates: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    """Return which candidates stay near the samples of each curve in sparse gaps, ``(P, tried)``; a constant does."""
    at = samples.in_gaps()
    sound = np.ones((len(samples.expectations), len(candidates)), dtype=bool)
    for number, (knots, q, triangle) in enumerate(candidates):
        if len(triangle) > 1 and at.size:
            design = _design(np.clip(at, knots[0], knots[-1]), knots, knots.size - len(triangle) - 1)
            rows = design @ np.linalg.solve(triangle, q.T)
            sound[:, number] = ~samples.overshoots(samples.expectations @ rows.T)
    return sound


def _design(values: np.ndarray, knots: np.ndarray, degree: int = DEGREE) -> np.ndarray:
    """Return B-splines at ``values``, ``(n, p)``; a single constant where the interval is one point."""
    if knots[0] == knots[-1]:
        return np.ones((values.size, 1))
    from scipy.interpolate import BSpline  # when the first spline is fitted: it takes long to import

    return BSpline.design_matrix(values, knots, degree, extrapolate=True).toarray()


def _score(expectations: np.ndarray, q: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Return the GCV ``(P,)`` of the least-squares fit on the columns of q ``(m, p)``; 0 where no residual is left."""
    num_points, num_weights = q.shape
    rss = ((expectations - (expectations @ q) @ q.T) ** 2).sum(axis=1)
    return num_points * (rss + num_points * floor**2) / max(num_points - num_weights, 1) ** 2


def _select(samples: Samples, candidate: tuple[np.ndarray, ...], index: np.ndarray) -> list[dict[str, Any]]:
    """Return the base class's entries of the curves ``index``, which all have these knots, one dict for each."""
    _, q, triangle = candidate
    smoother = np.linalg.solve(triangle, q.T)
    outputs = samples.expectations[index]
    residuals = outputs - (outputs @ q) @ q.T
    held_out = leave_one_out(residuals, (q**2).sum(axis=1))
    held_out = leave_clusters_out(held_out, residuals, q, np.ones((len(outputs), q.shape[1])), samples.clusters)
    covariances = samples.push(smoother, index)
    shared = shared_entries(samples, len(smoother))
    return [
        {
            **shared,
            "expectations": outputs[i],
            "weights": smoother @ outputs[i],
            "weight_covariance": covariances[i],
            "held_out": held_out[i],
        }
        for i in range(len(index))
    ]
