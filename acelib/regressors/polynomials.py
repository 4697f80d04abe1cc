"""Bayesian polynomials in α for E[y | do(x = α)], their order chosen by the evidence.

The model is linear regression (Bishop 2006, Ch. 3) with weights ``w ~ N(0, v I)``, noise ``N(0, σ²)`` and a flat prior
on the intercept. The basis is the Legendre family on [low, high], made orthogonal over the sampled values by a QR
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
from typing import Any, ClassVar

import numpy as np

from .base import Baseline, Regressor, fit_by_choice, shared_entries
from .basis import legendre, orthogonal_basis, sound_order
from .held_out import leave_clusters_out, leave_one_out
from .samples import Array, Samples, check_samples, one_curve, solve_triangular

TIE = 1e-3
"""Log evidences this close (in nats) count as equal, and the lower order is taken."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CausalRegressor(Regressor):
    """A causal regressor: a Bayesian polynomial whose order has the largest evidence of all sound orders.

    Attributes:
        order: degree of the polynomial.
        evidences: log evidence of every order from 0 on, in nats, ``(orders,)``; also of orders too high to be chosen
            between sparse values, see ``sound_order``.
        weight_variance: prior variance v of the weights, squared units of the output.
        noise_variance: noise variance σ², squared units of the output.
        triangle: the factor R that turns the working basis into Legendre polynomials, ``(order + 1, order + 1)``.

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
        alphas: Array,
        expectations: Array,
        *,
        covariance: Array | None = None,
        low: float | None = None,
        high: float | None = None,
        max_order: int = 15,
        baseline: Baseline = "uniform",
        noise_floor: Array | None = None,
    ) -> CausalRegressor:
        """Return the polynomial of largest evidence through the expectations.

        Args:
            alphas: distinct interventional values, ``(m,)``.
            expectations: E[y | do(x = α)] at these values, ``(m,)``.
            covariance: covariance of their sampling errors, ``(m, m)``; None means no sampling error.
            low: lower end of the interval; the smallest α where it is None.
            high: upper end of the interval; the largest α where it is None.
            max_order: largest order considered. At most m − 1, at most the largest order whose Legendre design over
                ``alphas`` has a condition number up to 1e8, and none that can run away between sparse values; see
                ``sound_order``. Values that were sampled several times with a little jitter count once.
            baseline: ``"uniform"``, ``("data", values)`` or a number; see ``with_baseline``.
            noise_floor: smallest σ the fit may choose, in units of the expectations. The default is 1e-6 of their
                range, and never below 16 units of rounding of the largest.

        Raises:
            ValueError: if an argument has NaN or Inf, a wrong shape, repeated values or values outside the interval.

        Example:
            >>> curve = CausalRegressor.fit([0.0, 0.5, 1.0, 1.5], [1.0, 2.0, 3.0, 4.0], baseline=0.0)
            >>> assert curve.order == 1 and abs(curve.ace(1.0) - 2) < 1e-9
        """
        expectations, covariance = one_curve(expectations, covariance)
        return cls.fit_many(
            alphas,
            expectations,
            covariance=covariance,
            low=low,
            high=high,
            max_order=max_order,
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
        max_order: int = 15,
        baseline: Baseline = "uniform",
        noise_floor: Array | None = None,
    ) -> list[CausalRegressor]:
        """Return one regressor for each of P curves over the same values; they share one factorisation.

        The other arguments and the errors are those of ``fit``, shared by all curves; ``noise_floor`` may be one
        number for each, ``(P,)``.

        Args:
            alphas: distinct interventional values, ``(m,)``.
            expectations: one curve a row, ``(P, m)``.
            covariance: covariances of their sampling errors, ``(P, m, m)``, or None.

        Example:
            >>> alphas = np.linspace(0, 1, 20)
            >>> curves = CausalRegressor.fit_many(alphas, np.stack([alphas, alphas**2]))
            >>> assert [curve.order for curve in curves] == [1, 2]
        """
        if isinstance(max_order, bool) or not isinstance(max_order, int | np.integer) or max_order < 0:
            raise ValueError(f"max_order must be an integer of at least 0, got {max_order!r}")
        samples = check_samples(alphas, expectations, covariance, low, high)
        samples.warn_uncovered()
        places = samples.clusters.max() + 1
        most = max_order if places == samples.alphas.size else min(max_order, max(places - 2, 1))
        basis, triangle = orthogonal_basis(samples.alphas, samples.low, samples.high, int(most))
        fits = fit_orders(samples, basis, noise_floor)
        orders = sound_orders(samples, triangle, fits)

        def make(order: int, index: np.ndarray) -> list[CausalRegressor]:
            corner = np.ascontiguousarray(triangle[: order + 1, : order + 1])
            parts = _select(samples, basis, fits, order, index)
            return [cls(order=order, triangle=corner, **part) for part in parts]

        return fit_by_choice(orders, make, baseline)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        if not isinstance(self.order, int) or not 0 <= self.order < np.size(self.evidences):
            raise ValueError(f"data must hold an order with an evidence, got {self.order!r}")
        return super()._shapes() | {"weights": (self.order + 1,), "triangle": (self.order + 1,) * 2}

    @property
    def log_evidence(self) -> float:
        """Log evidence of the chosen order, in nats."""
        return float(self.evidences[self.order])

    @property
    def coefficients(self) -> np.ndarray:
        """Coefficients in Legendre polynomials on [low, high], ``(order + 1,)``; the first is the uniform baseline."""
        return solve_triangular(self.triangle, self.weights)

    def smoother(self) -> np.ndarray:
        """Return the L ``(order + 1, m)`` with ``coefficients = L @ expectations``, at the chosen hyperparameters."""
        basis = self._basis(self.alphas)
        return solve_triangular(self.triangle, (basis * self._shrink()).T / self.alphas.size)

    def _shrink(self) -> np.ndarray:
        return shrinkage(self.order, self.alphas.size, self.weight_variance, self.noise_variance)

    def _basis(self, values: np.ndarray) -> np.ndarray:
        design = legendre(values, self.low, self.high, self.order)
        return solve_triangular(self.triangle, design.T, trans=1).T

    def _triangle(self) -> np.ndarray:
        return np.sqrt(self.alphas.size) * np.eye(self.order + 1)  # the basis is orthogonal over the sampled values

    def _uniform_row(self) -> np.ndarray:
        # Every Legendre polynomial but the constant integrates to zero over the interval.
        return solve_triangular(self.triangle, np.eye(1, self.order + 1)[0], trans=1)

    def _bayesian_variance(self, rows: np.ndarray) -> np.ndarray:
        """Return noise plus posterior variance (Bishop 3.59); ΦᵀΦ = m I makes the posterior covariance diagonal."""
        posterior = self._shrink() * self.noise_variance / self.alphas.size
        return self.noise_variance + rows**2 @ posterior

    def __repr__(self) -> str:
        return f"CausalRegressor(order={self.order}, log_evidence={self.log_evidence:.1f}, {self._describe()})"


@dataclass(frozen=True)
class Orders:
    """The evidence and hyperparameters of P curves for the orders 0..K.

    Attributes:
        order: ``(P,)`` order of largest evidence.
        evidences: ``(P, K+1)`` log evidences of the standardised curves, in nats.
        weight_variance: ``(P, K+1)`` prior variance v of the standardised curves.
        noise_variance: ``(P, K+1)`` noise variance σ² of the standardised curves.
        scale: ``(P,)`` the unit by which the curves were divided.
        weights: ``(P, K+1)`` least-squares weights in units of the outputs.
    """

    order: np.ndarray
    evidences: np.ndarray
    weight_variance: np.ndarray
    noise_variance: np.ndarray
    scale: np.ndarray
    weights: np.ndarray


def sound_orders(samples: Samples, triangle: np.ndarray, fits: Orders) -> np.ndarray:
    """Return the order of each curve, ``(P,)``: of largest evidence among those that are sound all over the interval.

    Sound are the orders up to ``sound_order`` whose fit leaves the range of the expectations by at most half of
    it within sparse gaps; elsewhere the sampled values hold the curve.

    Args:
        samples: checked samples of P curves.
        triangle: R of ``orthogonal_basis``.
        fits: what ``fit_orders`` found.
    """
    most = sound_order(samples.alphas, samples.low, samples.high, triangle)
    allowed = np.broadcast_to(np.arange(len(triangle)) <= most, fits.evidences.shape)
    at = samples.in_gaps()
    if at.size:
        corner = triangle[: most + 1, : most + 1]
        phi = solve_triangular(corner, legendre(at, samples.low, samples.high, most).T, trans=1)
        curves = np.cumsum(fits.weights[:, : most + 1, None] * phi, axis=1)
        allowed = allowed.copy()
        allowed[:, 1 : most + 1] &= ~samples.overshoots(curves)[:, 1:]
    if (allowed[np.arange(len(fits.order)), fits.order]).all():
        return fits.order
    return _most_evident(np.where(allowed, fits.evidences, -np.inf))


def _most_evident(evidences: np.ndarray) -> np.ndarray:
    """Return the lowest order whose evidence is the largest up to ``TIE``, for each curve."""
    return np.argmax(evidences >= evidences.max(axis=1, keepdims=True) - TIE, axis=1)


def fit_orders(samples: Samples, basis: np.ndarray, noise_floor: Array | None = None) -> Orders:
    """Return the evidence-maximising hyperparameters of every order, and the order of largest evidence.

    Args:
        samples: checked samples of P curves.
        basis: Φ of ``orthogonal_basis``, ``(m, K+1)``.
        noise_floor: smallest σ, in units of the outputs.
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
    chosen = _most_evident(evidences)
    if num_points == 2 and num_orders == 2:
        # One contrast says nothing about a variance, so the evidences tie; two values that differ make a line.
        chosen = np.where(np.ptp(samples.expectations, axis=1) > floor * scale, 1, 0)
    weights = weights * scale[:, None]
    weights[:, 0] = mean
    return Orders(chosen, evidences, prior, noise, scale, weights)


def hyperparameters(signal: Any, rss: Any, num_points: int, order: int, floor: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the prior variance v and noise variance σ² of largest evidence with σ² ≥ floor, in signal's shape.

    Args:
        signal: ``C = Σ c_j²`` over j = 1..order, ``(P,)``.
        rss: residual sum of squares of the least-squares fit, ``(P,)``.
        num_points: m.
        order: p.
        floor: smallest σ², ``(P,)`` or a number.
    """
    pooled = np.maximum((rss + num_points * signal) / max(num_points - 1, 1), floor)
    if order == 0:
        return np.zeros_like(pooled), pooled
    free = num_points - 1 - order
    noise = np.maximum(rss / free if free else 0.0, floor)
    prior = signal / order - noise / num_points
    return np.where(prior > 0, prior, 0.0), np.where(prior > 0, noise, pooled)


def log_evidence(
    signal: Any, rss: Any, num_points: int, order: int, weight_variance: Any, noise_variance: Any
) -> np.ndarray:
    """Return the log marginal likelihood of the m − 1 contrasts, in nats and in signal's shape.

    Args:
        signal: ``C = Σ c_j²`` over j = 1..order.
        rss: residual sum of squares of the least-squares fit.
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


def shrinkage(order: int, num_points: int, weight_variance: float, noise_variance: float) -> np.ndarray:
    """Return posterior mean over least squares of every weight ``(order + 1,)``: 1, then mv/(mv+σ²)."""
    slope = num_points * weight_variance / (num_points * weight_variance + noise_variance)
    return np.r_[1.0, np.full(order, slope)]


def _select(samples: Samples, basis: np.ndarray, fits: Orders, order: int, index: np.ndarray) -> list[dict[str, Any]]:
    """Return the entries of the curves ``index``, which all have this order, one dict for each."""
    num_points = len(basis)
    phi = np.ascontiguousarray(basis[:, : order + 1])
    prior, noise = fits.weight_variance[index, order], fits.noise_variance[index, order]
    shrink = np.stack([shrinkage(order, num_points, v, s) for v, s in zip(prior, noise, strict=True)])
    weights = shrink * fits.weights[index, : order + 1]
    squares = fits.scale[index] ** 2
    covariance = samples.push(phi.T / num_points, index) * (shrink[:, :, None] * shrink[:, None, :])
    residuals = samples.expectations[index] - weights @ phi.T
    held_out = leave_one_out(residuals, shrink @ (phi**2).T / num_points)
    held_out = leave_clusters_out(held_out, residuals, phi / np.sqrt(num_points), shrink, samples.clusters)
    shared = shared_entries(samples, order + 1)
    return [
        {
            **shared,
            "expectations": samples.expectations[index[i]],
            "evidences": fits.evidences[index[i]],
            "weights": weights[i],
            "weight_covariance": covariance[i],
            "held_out": held_out[i],
            "weight_variance": float(prior[i] * squares[i]),
            "noise_variance": float(noise[i] * squares[i]),
        }
        for i in range(len(index))
    ]
