"""Which polynomial in α describes E[y | do(x = α)], and how sure is the fit?

Bayesian linear regression (Bishop 2006, Ch. 3) with weights ``w ~ N(0, v I)``, noise ``N(0, σ²)`` and a flat prior on
the intercept. The basis is the Legendre family on [low, high], made orthogonal over the sampled values by a QR
factorisation: ``V = Φ R`` with ``ΦᵀΦ = m I``. There everything separates. With ``c_j = φ_jᵀ y / m``, ``C = Σ c_j²``
over j = 1..p and ``RSS`` the least-squares residual, the log evidence of the m − 1 contrasts of y is

    −½ [ (m−1) log 2π + p log(σ² + m v) + (m−1−p) log σ² + m C / (σ² + m v) + RSS / σ² ]

and its maximum has a closed form: ``σ² = RSS / (m−1−p)`` and ``v + σ²/m = C / p``. Where that would make v negative,
v = 0 and ``σ² = (RSS + m C) / (m−1)``. The same rows serve every α, so the expectations are smooth and nearly free of
noise; without a floor on σ the evidence has no upper bound. Contrasts are ``Uᵀy`` with U ``(m, m−1)`` orthonormal and
orthogonal to the constant, of y divided by its standard deviation: neither a shift nor a change of unit matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import solve_triangular

from .base import Regressor, leave_one_out, set_baseline
from .samples import Samples, check_array, check_samples

CONDITION_LIMIT = 1e8
"""Orders whose Legendre design has a larger condition number over the sampled values are not considered."""

TIE = 1e-3
"""Log evidences this close (in nats) count as equal, and the lower order is taken."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CausalRegressor(Regressor):
    """A causal regressor: a Bayesian polynomial whose order has the largest evidence.

    Attributes:
        order: Degree of the polynomial.
        evidences: Log evidence of every order from 0 on, in nats, ``(orders,)``.
        weight_variance: Prior variance v of the weights, squared units of the output.
        noise_variance: Noise variance σ², squared units of the output.
        triangle: The factor R that turns the working basis into Legendre polynomials, ``(order + 1, order + 1)``.

    References:
        Chattopadhyay et al. 2019, Sec. 4.3; Bishop 2006, Sec. 3.3 to 3.5.

    Example:
        >>> import numpy as np
        >>> alphas = np.linspace(-1, 1, 50)
        >>> curve = CausalRegressor.fit(alphas, 2 + 3 * alphas**2)
        >>> assert curve.order == 2
        >>> assert abs(curve.baseline - 3) < 1e-9
        >>> assert abs(curve.ace(0.0) + 1) < 1e-9
    """

    family: ClassVar[str] = "polynomial"

    order: int
    evidences: np.ndarray
    weight_variance: float
    noise_variance: float
    triangle: np.ndarray

    @classmethod
    def fit(
        cls,
        alphas,
        expectations,
        *,
        covariance=None,
        low=None,
        high=None,
        max_order: int = 15,
        baseline="uniform",
        noise_floor=None,
    ) -> CausalRegressor:
        """The polynomial of largest evidence through the expectations, a ``CausalRegressor``.

        Args:
            alphas: Distinct interventional values, ``(m,)``.
            expectations: E[y | do(x = α)] at these values, ``(m,)``.
            covariance: Covariance of their sampling errors, ``(m, m)``; None means no sampling error.
            low: Lower end of the interval; the smallest α where it is None.
            high: Upper end of the interval; the largest α where it is None.
            max_order: Largest order considered. At most m − 1, and at most the largest order whose Legendre design
                over ``alphas`` has a condition number up to 1e8.
            baseline: ``"uniform"``, ``("data", values)`` or a number; see ``with_baseline``.
            noise_floor: Smallest σ the fit may choose, in units of the expectations. The default is 1e-6 of their
                range, and never below 16 units of rounding of the largest.

        Raises:
            ValueError: If an argument has NaN or Inf, a wrong shape, repeated values or values outside the interval.

        Example:
            >>> curve = CausalRegressor.fit([0.0, 0.5, 1.0, 1.5], [1.0, 2.0, 3.0, 4.0], baseline=0.0)
            >>> assert curve.order == 1 and abs(curve.ace(1.0) - 2) < 1e-9
        """
        return cls.fit_many(
            alphas,
            check_array(expectations, "expectations")[None],
            covariance=None if covariance is None else check_array(covariance, "covariance")[None],
            low=low,
            high=high,
            max_order=max_order,
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
        max_order: int = 15,
        baseline="uniform",
        noise_floor=None,
    ) -> list[CausalRegressor]:
        """One regressor for each of P curves over the same values, a list of length P; they share one factorisation.

        Args:
            alphas: Distinct interventional values, ``(m,)``.
            expectations: One curve a row, ``(P, m)``.
            covariance: ``(P, m, m)``, or None.
            low: As in ``fit``.
            high: As in ``fit``.
            max_order: As in ``fit``.
            baseline: As in ``fit``; the same for every curve.
            noise_floor: As in ``fit``; one number, or one for each curve, ``(P,)``.

        Raises:
            ValueError: As in ``fit``.

        Example:
            >>> alphas = np.linspace(0, 1, 20)
            >>> curves = CausalRegressor.fit_many(alphas, np.stack([alphas, alphas**2]))
            >>> assert [curve.order for curve in curves] == [1, 2]
        """
        if isinstance(max_order, bool) or not isinstance(max_order, int | np.integer) or max_order < 0:
            raise ValueError(f"max_order must be an integer of at least 0, but is {max_order!r}.")
        samples = check_samples(alphas, expectations, covariance, low, high)
        basis, triangle = orthogonal_basis(samples.alphas, samples.low, samples.high, int(max_order))
        fits = fit_orders(samples, basis, noise_floor)
        curves: list[CausalRegressor | None] = [None] * len(samples.expectations)
        for order in np.unique(fits.order):
            index = np.flatnonzero(fits.order == order)
            parts = _select(samples, basis, fits, int(order), index)
            corner = np.ascontiguousarray(triangle[: order + 1, : order + 1])
            shared = {"low": samples.low, "high": samples.high, "order": int(order), "triangle": corner}
            shared |= {"baseline_weights": np.zeros(order + 1), "baseline_kind": "uniform"}
            same_order = [
                cls(
                    alphas=samples.alphas,
                    expectations=samples.expectations[i],
                    evidences=fits.evidences[i],
                    **shared,
                    **part,
                )
                for i, part in zip(index, parts, strict=True)
            ]
            for i, curve in zip(index, set_baseline(same_order, baseline), strict=True):
                curves[i] = curve
        return curves

    @property
    def log_evidence(self) -> float:
        """Log evidence of the chosen order, in nats."""
        return float(self.evidences[self.order])

    @property
    def coefficients(self) -> np.ndarray:
        """Coefficients in Legendre polynomials on [low, high], ``(order + 1,)``; the first is the uniform baseline."""
        return solve_triangular(self.triangle, self.weights)

    def smoother(self) -> np.ndarray:
        """The matrix L with ``coefficients = L @ expectations``, ``(order + 1, m)``, at the chosen hyperparameters."""
        basis = self._basis(self.alphas)
        return solve_triangular(self.triangle, (basis * self._shrink()).T / self.alphas.size)

    def _shrink(self) -> np.ndarray:
        return shrinkage(self.order, self.alphas.size, self.weight_variance, self.noise_variance)

    def _basis(self, values: np.ndarray) -> np.ndarray:
        design = legendre(values, self.low, self.high, self.order)
        return solve_triangular(self.triangle, design.T, trans="T").T

    def _uniform_row(self) -> np.ndarray:
        # Every Legendre polynomial but the constant integrates to zero over the interval.
        return solve_triangular(self.triangle, np.eye(1, self.order + 1)[0], trans="T")

    def _bayesian_variance(self, rows: np.ndarray) -> np.ndarray:
        """Bishop 3.59: noise plus posterior variance; ΦᵀΦ = m I makes the posterior covariance diagonal."""
        posterior = self._shrink() * self.noise_variance / self.alphas.size
        return self.noise_variance + rows**2 @ posterior

    def __repr__(self) -> str:
        return f"CausalRegressor(order={self.order}, log_evidence={self.log_evidence:.1f}, {self._describe()})"


@dataclass(frozen=True)
class Orders:
    """What ``fit_orders`` found for P curves and orders 0..K.

    ``order (P,)``; ``evidences``, ``weight_variance`` and ``noise_variance (P, K+1)`` of the standardised curves;
    ``scale (P,)``, the unit they were divided by; least-squares ``weights (P, K+1)`` in units of the outputs.
    """

    order: np.ndarray
    evidences: np.ndarray
    weight_variance: np.ndarray
    noise_variance: np.ndarray
    scale: np.ndarray
    weights: np.ndarray


def legendre(values: np.ndarray, low: float, high: float, order: int) -> np.ndarray:
    """Legendre polynomials of [low, high] at ``values (n,)``, ``(n, order + 1)``; of an empty interval: at t = 0."""
    width = high - low
    scaled = 2 * (values - low) / width - 1 if width > 0 else np.zeros_like(values)
    return np.polynomial.legendre.legvander(scaled, order)


def orthogonal_basis(alphas: np.ndarray, low: float, high: float, max_order: int) -> tuple[np.ndarray, np.ndarray]:
    """Φ ``(m, K+1)`` with ΦᵀΦ = m I and R with ``legendre = Φ R``, for the largest K ≤ max_order that is sound.

    Args:
        alphas: Distinct values, ``(m,)``.
        low: Lower end of the interval.
        high: Upper end of the interval.
        max_order: Largest order wanted; K is at most m − 1 and keeps the condition number of R up to 1e8.
    """
    order = min(max_order, alphas.size - 1)
    root = np.sqrt(alphas.size)
    basis, triangle = np.linalg.qr(legendre(alphas, low, high, order))
    signs = np.where(np.diagonal(triangle) < 0, -1.0, 1.0)
    basis, triangle = basis * signs * root, triangle * signs[:, None] / root
    basis[:, 0] = 1.0
    while order > 0 and np.linalg.cond(triangle[: order + 1, : order + 1]) > CONDITION_LIMIT:
        order -= 1
    return basis[:, : order + 1], triangle[: order + 1, : order + 1]


def fit_orders(samples: Samples, basis: np.ndarray, noise_floor=None) -> Orders:
    """Evidence-maximising hyperparameters of every order, and the order of largest evidence, as ``Orders``.

    Args:
        samples: Checked samples of P curves.
        basis: Φ of ``orthogonal_basis``, ``(m, K+1)``.
        noise_floor: Smallest σ, in units of the outputs.
    """
    num_points, num_orders = basis.shape
    floor = samples.floor(noise_floor)
    spread = np.maximum(samples.expectations.std(axis=1), floor)
    scale = np.where(spread > 0, spread, 1.0)
    # A curve of exact zeros has neither spread nor rounding error: any floor will do.
    floor = np.where(floor > 0, floor, 1.0) / scale
    mean = samples.expectations.mean(axis=1)
    residual = (samples.expectations - mean[:, None]) / scale[:, None]
    weights = np.zeros((len(mean), num_orders))
    noise, prior, evidences = (np.zeros_like(weights) for _ in range(3))
    for order in range(num_orders):
        if order:
            # Taken off the residual one by one: RSS as a difference of large sums would lose its digits.
            weights[:, order] = residual @ basis[:, order] / num_points
            residual = residual - weights[:, order, None] * basis[:, order]
        signal, rss = (weights**2).sum(axis=1), (residual**2).sum(axis=1)
        prior[:, order], noise[:, order] = hyperparameters(signal, rss, num_points, order, floor**2)
        evidences[:, order] = log_evidence(signal, rss, num_points, order, prior[:, order], noise[:, order])
    chosen = np.argmax(evidences >= evidences.max(axis=1, keepdims=True) - TIE, axis=1)
    weights = weights * scale[:, None]
    weights[:, 0] = mean
    return Orders(chosen, evidences, prior, noise, scale, weights)


def hyperparameters(signal, rss, num_points: int, order: int, floor):
    """The prior variance v and noise variance σ² of largest evidence with σ² ≥ floor, two arrays of signal's shape.

    Args:
        signal: ``C = Σ c_j²`` over j = 1..order, ``(P,)``.
        rss: Residual sum of squares of the least-squares fit, ``(P,)``.
        num_points: m.
        order: p.
        floor: Smallest σ², ``(P,)`` or a number.
    """
    pooled = np.maximum((rss + num_points * signal) / max(num_points - 1, 1), floor)
    if order == 0:
        return np.zeros_like(pooled), pooled
    free = num_points - 1 - order
    noise = np.maximum(rss / free if free else 0.0, floor)
    prior = signal / order - noise / num_points
    return np.where(prior > 0, prior, 0.0), np.where(prior > 0, noise, pooled)


def log_evidence(signal, rss, num_points: int, order: int, weight_variance, noise_variance):
    """Log marginal likelihood of the m − 1 contrasts, in nats, for any hyperparameters, an array of signal's shape.

    Args:
        signal: ``C = Σ c_j²`` over j = 1..order.
        rss: Residual sum of squares of the least-squares fit.
        num_points: m.
        order: p.
        weight_variance: v.
        noise_variance: σ².

    References:
        Bishop 2006, Eq. 3.86, here with a flat prior on the intercept.
    """
    total = noise_variance + num_points * weight_variance
    free = num_points - 1 - order
    logs = (num_points - 1) * np.log(2 * np.pi) + order * np.log(total) + free * np.log(noise_variance)
    return -0.5 * (logs + num_points * signal / total + rss / noise_variance)


def shrinkage(order: int, num_points: int, weight_variance, noise_variance) -> np.ndarray:
    """Posterior mean over least squares for every weight, ``(order + 1,)``: 1 for the intercept, mv/(mv+σ²) beyond."""
    slope = num_points * weight_variance / (num_points * weight_variance + noise_variance)
    return np.r_[1.0, np.full(order, slope)]


def _select(samples: Samples, basis: np.ndarray, fits: Orders, order: int, index: np.ndarray) -> list[dict]:
    """The entries that differ between the curves ``index``, which all have this order, one dict for each."""
    num_points = len(basis)
    phi = np.ascontiguousarray(basis[:, : order + 1])
    prior, noise = fits.weight_variance[index, order], fits.noise_variance[index, order]
    shrink = np.stack([shrinkage(order, num_points, v, s) for v, s in zip(prior, noise, strict=True)])
    weights = shrink * fits.weights[index, : order + 1]
    squares = fits.scale[index] ** 2
    covariance = samples.push(phi.T / num_points, index) * (shrink[:, :, None] * shrink[:, None, :])
    held_out = leave_one_out(samples.expectations[index] - weights @ phi.T, shrink @ (phi**2).T / num_points)
    return [
        {
            "weights": weights[i],
            "weight_covariance": covariance[i],
            "held_out": held_out[i],
            "weight_variance": float(prior[i] * squares[i]),
            "noise_variance": float(noise[i] * squares[i]),
        }
        for i in range(len(index))
    ]
