"""What if E[y | do(x = α)] bends where no polynomial follows?

A cubic spline fitted by least squares, the alternative that the paper allows in its Sec. 4.3. Interior knots sit at
quantiles of the sampled values, and their number has the smallest generalised cross-validation score

    GCV(K) = m (RSS + m σ₀²) / (m − p)²,   p = K + 4 weights,

with σ₀ the noise floor: below it a smaller residual is rounding, not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.interpolate import BSpline

from .base import Regressor, leave_one_out, set_baseline
from .polynomials import CONDITION_LIMIT
from .samples import Samples, check_array, check_samples

DEGREE = 3


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SplineRegressor(Regressor):
    """A causal regressor made of cubic pieces; it follows kinks and steps better than one polynomial.

    Attributes:
        knots: The full knot vector, ends repeated four times, ``(p + 4,)``.
        scores: Generalised cross-validation score of every number of interior knots tried, ``(tried,)``.

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
        alphas,
        expectations,
        *,
        covariance=None,
        low=None,
        high=None,
        max_knots: int | None = None,
        baseline="uniform",
        noise_floor=None,
    ) -> SplineRegressor:
        """The spline with the smallest cross-validation score, a ``SplineRegressor``.

        Args:
            alphas: Distinct interventional values, ``(m,)``, at least 5 (or 1 where low equals high).
            expectations: E[y | do(x = α)] at these values, ``(m,)``.
            covariance: Covariance of their sampling errors, ``(m, m)``; None means no sampling error.
            low: Lower end of the interval; the smallest α where it is None.
            high: Upper end of the interval; the largest α where it is None.
            max_knots: Largest number of interior knots; (m − 4) / 2, at most 30, where it is None.
            baseline: ``"uniform"``, ``("data", values)`` or a number; see ``with_baseline``.
            noise_floor: Noise below which a residual is rounding, in units of the expectations; 1e-6 of their range
                where it is None.

        Raises:
            ValueError: If an argument has NaN or Inf, a wrong shape, repeated values or values outside the interval.

        Example:
            >>> alphas = np.linspace(-1, 1, 60)
            >>> curve = SplineRegressor.fit(alphas, np.abs(alphas))
            >>> assert curve.num_knots > 5 and abs(curve.baseline - 0.5) < 1e-3
        """
        return cls.fit_many(
            alphas,
            check_array(expectations, "expectations")[None],
            covariance=None if covariance is None else check_array(covariance, "covariance")[None],
            low=low,
            high=high,
            max_knots=max_knots,
            baseline=baseline,
            noise_floor=noise_floor,
        )[0]

    @classmethod
    def fit_many(
        cls,
        alphas,
        expectations,
        *,
        covariance=None,
        low=None,
        high=None,
        max_knots: int | None = None,
        baseline="uniform",
        noise_floor=None,
    ) -> list[SplineRegressor]:
        """One spline for each of P curves over the same values, a list of length P.

        Args:
            alphas: Distinct interventional values, ``(m,)``.
            expectations: One curve a row, ``(P, m)``.
            covariance: ``(P, m, m)``, or None.
            low: As in ``fit``.
            high: As in ``fit``.
            max_knots: As in ``fit``.
            baseline: As in ``fit``; the same for every curve.
            noise_floor: As in ``fit``; one number, or one for each curve, ``(P,)``.

        Raises:
            ValueError: As in ``fit``.
        """
        samples = check_samples(alphas, expectations, covariance, low, high)
        num_points = samples.alphas.size
        if num_points < 5 and samples.low < samples.high:
            raise ValueError(
                f"alphas must hold at least 5 values for a cubic spline, but holds {num_points}; sample more values or "
                "fit a CausalRegressor."
            )
        candidates = _candidates(samples.alphas, samples.low, samples.high, _most_knots(max_knots, num_points))
        floor = samples.floor(noise_floor)
        scores = np.stack([_score(samples.expectations, q, floor) for _, q, _ in candidates], axis=1)
        chosen = scores.argmin(axis=1)
        curves: list[SplineRegressor | None] = [None] * len(chosen)
        for number in np.unique(chosen):
            index = np.flatnonzero(chosen == number)
            same_knots = [
                cls(scores=scores[i], knots=candidates[number][0], **part)
                for i, part in zip(index, _select(samples, candidates[number], index), strict=True)
            ]
            for i, curve in zip(index, set_baseline(same_knots, baseline), strict=True):
                curves[i] = curve
        return curves

    @property
    def coefficients(self) -> np.ndarray:
        """B-spline coefficients for ``knots``, ``(p,)``."""
        return self.weights

    @property
    def num_knots(self) -> int:
        """Number of interior knots."""
        return max(self.weights.size - DEGREE - 1, 0)

    def _basis(self, values: np.ndarray) -> np.ndarray:
        return _design(values, self.knots)

    def _uniform_row(self) -> np.ndarray:
        if self.low == self.high:
            return np.ones(1)
        # A B-spline of degree d on the knots t_j .. t_{j+d+1} integrates to (t_{j+d+1} − t_j) / (d + 1).
        return (self.knots[DEGREE + 1 :] - self.knots[: -DEGREE - 1]) / ((DEGREE + 1) * (self.high - self.low))

    def __repr__(self) -> str:
        return f"SplineRegressor(knots={self.num_knots}, gcv={self.scores.min():.2e}, {self._describe()})"


def _most_knots(max_knots, num_points: int) -> int:
    default = max(min((num_points - 4) // 2, 30), 0)
    if max_knots is None:
        return default
    if isinstance(max_knots, bool) or not isinstance(max_knots, int | np.integer) or max_knots < 0:
        raise ValueError(f"max_knots must be None or an integer of at least 0, but is {max_knots!r}.")
    return int(min(max_knots, max(num_points - 5, 0)))


def _candidates(alphas: np.ndarray, low: float, high: float, most: int) -> list[tuple[np.ndarray, ...]]:
    """Knot vector and QR factors of the design for every number of interior knots up to ``most``."""
    found = []
    for number in range(most + 1):
        inner = np.quantile(alphas, np.linspace(0, 1, number + 2)[1:-1])
        knots = np.r_[[low] * (DEGREE + 1), inner, [high] * (DEGREE + 1)]
        q, triangle = np.linalg.qr(_design(alphas, knots))
        if number and np.linalg.cond(triangle) > CONDITION_LIMIT:
            break
        found.append((knots, q, triangle))
    return found


def _design(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """B-splines at ``values``, ``(n, p)``; a single constant where the interval is one point."""
    if knots[0] == knots[-1]:
        return np.ones((values.size, 1))
    return BSpline.design_matrix(values, knots, DEGREE, extrapolate=True).toarray()


def _score(expectations: np.ndarray, q: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """GCV of the least-squares fit on the columns of q ``(m, p)``, ``(P,)``; zero where no residual is left over."""
    num_points, num_weights = q.shape
    rss = ((expectations - (expectations @ q) @ q.T) ** 2).sum(axis=1)
    return num_points * (rss + num_points * floor**2) / max(num_points - num_weights, 1) ** 2


def _select(samples: Samples, candidate: tuple[np.ndarray, ...], index: np.ndarray) -> list[dict]:
    """What the base class holds for the curves ``index``, which all have these knots, one dict for each."""
    _, q, triangle = candidate
    smoother = np.linalg.solve(triangle, q.T)
    outputs = samples.expectations[index]
    held_out = leave_one_out(outputs - (outputs @ q) @ q.T, (q**2).sum(axis=1))
    covariances = samples.push(smoother, index)
    return [
        {
            "alphas": samples.alphas,
            "expectations": outputs[i],
            "low": samples.low,
            "high": samples.high,
            "weights": smoother @ outputs[i],
            "weight_covariance": covariances[i],
            "held_out": held_out[i],
            "baseline_weights": np.zeros(len(smoother)),
            "baseline_kind": "uniform",
        }
        for i in range(len(index))
    ]
