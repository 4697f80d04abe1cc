"""Bayesian polynomial fits against literal linear algebra: evidence, order, smoother, held-out residuals, bands."""

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.linalg import cho_factor, cho_solve, null_space

from acelib.regressors import CausalRegressor
from acelib.regressors.polynomials import hyperparameters, legendre, log_evidence, orthogonal_basis
from acelib.regressors.samples import clusters


def sample_points(seed, num=24, low=-1.5, high=4.0):
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(low, high, num)), rng


def chebyshev_basis(alphas, low, high, order, at=None):
    """The orthogonal basis from another family: Chebyshev polynomials, Gram-Schmidt over the points, signs by R."""
    scale = lambda x: (2 * np.asarray(x) - low - high) / (high - low)  # noqa: E731
    design = np.polynomial.chebyshev.chebvander(scale(alphas), order)
    factor = np.linalg.cholesky(design.T @ design / len(alphas)).T
    at = design if at is None else np.polynomial.chebyshev.chebvander(scale(at), order)
    return np.linalg.solve(factor.T, at.T).T


def gram_error(alphas, low, high, order):
    """Bound κ² ε on the relative error of ``chebyshev_basis``, which factorises the Gram matrix of its design.

    Rounding moves the entries of that matrix by about ε of its norm, and its smallest eigenvalue is only κ⁻² of the
    norm, with κ the condition number of the design: ΦᵀΦ/m differs from I by up to about κ² ε. On the samples of these
    tests it is 0.2 κ² ε or less, with κ = 8e4 for order 15 over the most uneven of them.
    """
    design = np.polynomial.chebyshev.chebvander((2 * alphas - low - high) / (high - low), order)
    return np.linalg.cond(design) ** 2 * np.finfo(np.float64).eps


def random_covariance(rng, num, scale=0.1):
    """A smooth covariance like that of averaged curves, plus a little of everything."""
    root = rng.normal(size=(num, num)) * scale
    return root @ root.T / num


def gaussian_log_density(y, covariance):
    factor = cho_factor(covariance, lower=True)
    logdet = 2 * np.log(np.diagonal(factor[0])).sum()
    return -0.5 * (len(y) * np.log(2 * np.pi) + logdet + y @ cho_solve(factor, y))


# Evidence


def exact_log_density(alphas, y, order, prior, noise):
    """log N(Uᵀy; 0, v UᵀΦΦᵀU + σ²I) in 40 digits: Φ by Gram-Schmidt on powers of α, U from Helmert's matrix."""
    num = len(alphas)
    with mpmath.workdps(40):
        points = [mpmath.mpf(float(a)) for a in alphas]
        frame = []
        for k in range(order + 1):
            vector = [a**k for a in points]
            for other in frame:
                dot = mpmath.fdot(vector, other)
                vector = [x - dot * z for x, z in zip(vector, other, strict=True)]
            size = mpmath.sqrt(mpmath.fdot(vector, vector))
            frame.append([x / size for x in vector])
        # Helmert's k-th contrast: k ones, then −k, over sqrt(k (k + 1)).
        sizes = [mpmath.sqrt(k * (k + 1)) for k in range(1, num)]
        helmert = [[((i < k) - k * (i == k)) / size for i in range(num)] for k, size in enumerate(sizes, 1)]
        spread = [[mpmath.fdot(row, phi) for phi in frame[1:]] for row in helmert]
        z = [mpmath.fdot(row, [mpmath.mpf(float(v)) for v in y]) for row in helmert]
        matrix = mpmath.mpf(float(noise)) * mpmath.eye(num - 1)
        for i in range(num - 1):
            for j in range(num - 1):
                matrix[i, j] += num * mpmath.mpf(float(prior)) * mpmath.fdot(spread[i], spread[j])
        factor = mpmath.cholesky(matrix)
        for i in range(num - 1):
            z[i] = (z[i] - mpmath.fsum(factor[i, k] * z[k] for k in range(i))) / factor[i, i]
        logdet = 2 * mpmath.fsum(mpmath.log(factor[i, i]) for i in range(num - 1))
        return float(-((num - 1) * mpmath.log(2 * mpmath.pi) + logdet + mpmath.fdot(z, z)) / 2)


@pytest.mark.parametrize("order", range(16))
def test_evidence_equals_the_gaussian_density_of_the_contrasts(order):
    """The full m−1 by m−1 Gaussian formula in 40 digits, at the fitted and at arbitrary v, σ² up to v/σ² = 1e6 (1e-9).

    The 40 digits matter: in float64 a Cholesky factor of the full matrix is itself good to 1e-8 at that ratio only.
    """
    alphas, rng = sample_points(order, 20)
    y = np.sin(2 * alphas) + 0.3 * rng.normal(size=alphas.size)
    y = (y - y.mean()) / y.std()
    basis, _ = orthogonal_basis(alphas, -1.5, 4.0, order)
    weights = basis[:, 1:].T @ y / alphas.size
    signal, rss = weights @ weights, np.sum((y - y.mean() - basis[:, 1:] @ weights) ** 2)
    for prior, noise in (hyperparameters(signal, rss, alphas.size, order, 1e-12), (3.0, 3e-6), (1e-3, 2.0)):
        assert prior / noise <= 1.01e6
        expected = exact_log_density(alphas, y, order, prior, noise)
        assert log_evidence(signal, rss, alphas.size, order, prior, noise) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_reports_that_evidence_for_every_order(seed):
    """The evidences of a fit equal the m−1 dimensional Gaussian density of the standardised expectations.

    In nats to κ² ε, the error of the density's basis (``gram_error``), plus 1e-12 of the evidence for the sums and the
    dense factorisation. The error is that of the reference: a frame changed by δ moves each of the m − 1 terms of
    order one by δ at most, and on average over their signs the sum by about δ (measured: 0.06 κ² ε or less with
    OpenBLAS' Haswell, Zen and Prescott kernels, whose roundings differ).
    """
    alphas, rng = sample_points(10 + seed)
    raw = 5 + 40 * (np.cos(alphas) + 0.2 * rng.normal(size=alphas.size))
    fitted = CausalRegressor.fit(alphas, raw, low=-1.5, high=4.0)
    y = (raw - raw.mean()) / raw.std()
    contrasts = null_space(np.ones((1, alphas.size)))
    for order, evidence in enumerate(fitted.evidences):
        phi = chebyshev_basis(alphas, -1.5, 4.0, order)[:, 1:]
        weights = phi.T @ y / alphas.size
        rss = np.sum((y - phi @ weights) ** 2)
        prior, noise = hyperparameters(weights @ weights, rss, alphas.size, order, 1e-12)
        matrix = prior * contrasts.T @ phi @ phi.T @ contrasts + noise * np.eye(alphas.size - 1)
        expected = gaussian_log_density(contrasts.T @ y, matrix)
        assert abs(evidence - expected) <= gram_error(alphas, -1.5, 4.0, order) + 1e-12 * abs(expected)
    assert fitted.log_evidence == fitted.evidences[fitted.order]
    assert fitted.order == np.flatnonzero(fitted.evidences >= fitted.evidences.max() - 1e-3)[0]
    prior, noise = fitted.weight_variance / raw.var(), fitted.noise_variance / raw.var()
    matrix = prior * contrasts.T @ (phi := chebyshev_basis(alphas, -1.5, 4.0, fitted.order)[:, 1:]) @ phi.T @ contrasts
    matrix += noise * np.eye(alphas.size - 1)
    expected = gaussian_log_density(contrasts.T @ y, matrix)
    slack = gram_error(alphas, -1.5, 4.0, fitted.order) + 1e-12 * abs(expected)
    assert abs(fitted.log_evidence - expected) <= slack


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e-6, 10.0),
    st.floats(1e-9, 100.0),
    st.integers(3, 40),
    st.integers(0, 15),
    st.sampled_from([1e-12, 1e-2, 10.0]),
)
def test_no_other_hyperparameters_have_more_evidence(signal, rss, num_points, order, floor):
    """The closed form against a grid over v (0 included) and σ² ≥ floor around and far from it (1e-9 nats)."""
    assume(order < num_points)
    if order == 0:
        signal = 0.0
    if order == num_points - 1:
        rss = 0.0
    prior, noise = hyperparameters(signal, rss, num_points, order, floor)
    assert noise >= floor and prior >= 0
    best = log_evidence(signal, rss, num_points, order, prior, noise)
    factors = np.r_[0.0, 10.0 ** np.linspace(-6, 6, 121), 1 + np.linspace(-0.01, 0.01, 21)]
    priors = np.r_[factors * prior, factors * (signal + 1e-3)]
    noises = np.maximum(np.r_[factors * noise, floor * (1 + factors)], floor)
    grid = log_evidence(signal, rss, num_points, order, priors[:, None], noises[None, :])
    assert grid.max() <= best + 1e-9 * max(1.0, abs(best))


@pytest.mark.parametrize("num", [5, 10, 30, 100, 400])
@pytest.mark.parametrize("ends", [(0.0, 1.0), (-3.0, 50.0), (1e4, 1e4 + 1)])
def test_exact_polynomials_get_their_own_order(num, ends):
    """A noise-free polynomial of degree d = 0..3 gets order d, in any unit."""
    alphas = np.linspace(*ends, num)
    scaled = (alphas - ends[0]) / (ends[1] - ends[0])
    truths = [np.full(num, 0.3), 1 - scaled, (scaled - 0.3) ** 2, scaled**3 - scaled]
    for unit in (1e-8, 1.0, 1e8):
        assert [CausalRegressor.fit(alphas, unit * y).order for y in truths] == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [0.0, 1 / 3, -1e6, 1e6, 1e-300])
def test_constants_get_order_zero(value):
    """A constant, also with rounding errors of a few units in the last place, gets order 0 and a finite evidence."""
    alphas = np.linspace(0, 1, 60)
    rng = np.random.default_rng(0)
    for noise in (0.0, 1.0, 2.0):
        y = value + noise * np.spacing(value) * rng.choice([-1, 0, 1], size=60)
        fitted = CausalRegressor.fit(alphas, y)
        assert fitted.order == 0
        assert np.isfinite(fitted.evidences).all()
        assert abs(fitted.ace(0.7)) <= 4 * np.spacing(abs(value))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(1e-3, 1e3), st.booleans(), st.integers(3, 40))
def test_shift_and_scale_of_the_output_change_nothing(seed, shift, scale, flip, num):
    """Order, evidences (1e-6) and the ACE in its new unit (1e-9 of the range) are unmoved by y → shift + scale y."""
    alphas, rng = sample_points(seed, num)
    assume(np.diff(alphas).min() > 1e-3)
    y = np.tanh(alphas) + 0.1 * rng.normal(size=num)
    first = CausalRegressor.fit(alphas, y)
    gaps = np.abs(first.evidences - (first.evidences.max() - 1e-3))
    assume(gaps.min() > 1e-6)
    scale = -scale if flip else scale
    second = CausalRegressor.fit(alphas, shift + scale * y)
    assert second.order == first.order
    np.testing.assert_allclose(second.evidences, first.evidences, atol=1e-6)
    unit = abs(scale) * np.ptp(y) + 1e-3 * abs(shift)
    np.testing.assert_allclose(second.ace(alphas), scale * first.ace(alphas), atol=1e-9 * unit)


def test_noise_floor_decides_what_counts_as_noise():
    """A ripple under the floor is noise, above it is fitted; the default floor is 1e-6 of the range."""
    alphas = np.linspace(-1, 1, 50)
    y = alphas + 1e-3 * np.polynomial.legendre.legval(alphas, [0, 0, 0, 0, 1])
    assert CausalRegressor.fit(alphas, y).order == 4
    assert CausalRegressor.fit(alphas, y, noise_floor=0.01).order == 1
    many = CausalRegressor.fit_many(alphas, [y, y], noise_floor=[1e-6, 0.01])
    assert [c.order for c in many] == [4, 1]
    for size, order in ((1e-8, 1), (1e-5, 4)):
        ripple = size * np.polynomial.legendre.legval(alphas, [0, 0, 0, 0, 1])
        assert CausalRegressor.fit(alphas, alphas + ripple).order == order


# The basis


def test_order_thirty_is_well_conditioned():
    """100 equispaced points: cond(design) < 20, Φ orthonormal to 1e-13, a degree-30 polynomial back to 1e-9."""
    alphas = np.linspace(2.0, 7.0, 100)
    basis, triangle = orthogonal_basis(alphas, 2.0, 7.0, 30)
    assert np.linalg.cond(legendre(alphas, 2.0, 7.0, 30)) < 20
    assert np.linalg.cond(triangle) < 20
    np.testing.assert_allclose(basis.T @ basis / 100, np.eye(31), atol=1e-13)
    truth = np.polynomial.Legendre(np.random.default_rng(3).normal(size=31), domain=[2.0, 7.0])
    fitted = CausalRegressor.fit(alphas, truth(alphas), max_order=30)
    grid = np.linspace(2.0, 7.0, 1001)
    assert fitted.order == 30
    np.testing.assert_allclose(fitted.predict(grid), truth(grid), atol=1e-9 * np.ptp(truth(alphas)))
    np.testing.assert_allclose(fitted.coefficients, truth.coef, atol=1e-9)
    assert fitted.baseline == pytest.approx(fitted.coefficients[0], abs=1e-13)


def test_orders_without_a_sound_design_are_not_considered():
    """Two tight clusters carry a line and a little more: the condition number stays below 1e8."""
    alphas = np.r_[np.linspace(0, 1e-3, 10), np.linspace(1 - 1e-3, 1, 10)]
    fitted = CausalRegressor.fit(alphas, alphas**2)
    assert 1 <= len(fitted.evidences) - 1 < 15
    assert np.linalg.cond(legendre(alphas, 0, 1, len(fitted.evidences) - 1)) <= 1e8
    assert np.linalg.cond(legendre(alphas, 0, 1, len(fitted.evidences))) > 1e8


# The smoother, its held-out residuals and its bands


@pytest.fixture(scope="module")
def noisy():
    alphas, rng = sample_points(5, 22)
    y = 2 + np.sin(alphas) + 0.2 * rng.normal(size=22)
    covariance = random_covariance(rng, 22)
    return CausalRegressor.fit(alphas, y, covariance=covariance, low=-2.0, high=4.5), covariance


def literal_smoother(alphas, order, ratio, at):
    """Predictions at ``at`` from the normal equations (ΦᵀΦ + λD) w = Φᵀy with an unpenalised intercept."""
    phi = chebyshev_basis(alphas, -2.0, 4.5, order)
    penalty = ratio * np.diag(np.r_[0.0, np.ones(order)])
    return chebyshev_basis(alphas, -2.0, 4.5, order, at) @ np.linalg.solve(phi.T @ phi + penalty, phi.T)


def test_the_smoother_solves_the_normal_equations(noisy):
    """L and the predictions equal those of the literal penalised normal equations (1e-10)."""
    curve, _ = noisy
    assert 2 <= curve.order <= 12 and curve.weight_variance > 0
    at = np.linspace(-2.0, 4.5, 77)
    reference = literal_smoother(curve.alphas, curve.order, curve.noise_variance / curve.weight_variance, at)
    ours = legendre(at, -2.0, 4.5, curve.order) @ curve.smoother()
    np.testing.assert_allclose(ours, reference, atol=1e-10)
    np.testing.assert_allclose(curve.predict(at), reference @ curve.expectations, atol=1e-10)
    np.testing.assert_allclose(curve.smoother() @ curve.expectations, curve.coefficients, atol=1e-12)


def test_held_out_residuals_equal_refits_without_each_point(noisy):
    """Against m literal refits with basis and λ held fixed (1e-10), clusters together; their rms is the lack of fit."""
    curve, _ = noisy
    phi = chebyshev_basis(curve.alphas, -2.0, 4.5, curve.order)
    ratio = curve.noise_variance / curve.weight_variance
    penalty = ratio * np.diag(np.r_[0.0, np.ones(curve.order)])
    expected, places = [], clusters(curve.alphas)
    for i in range(curve.alphas.size):
        keep = places != places[i]
        weights = np.linalg.solve(phi[keep].T @ phi[keep] + penalty, phi[keep].T @ curve.expectations[keep])
        expected.append(curve.expectations[i] - phi[i] @ weights)
    np.testing.assert_allclose(curve.held_out, expected, atol=1e-10)
    assert curve.lack_of_fit == pytest.approx(np.sqrt(np.mean(np.square(expected))), rel=1e-9)


def test_misfit_is_the_local_rms_of_the_held_out_residuals(noisy):
    """At a sampled value: rms over it and its neighbours (at an end the one neighbour counts twice)."""
    curve, _ = noisy
    squares = curve.held_out**2
    assert curve.misfit(curve.alphas[7]) == pytest.approx(np.sqrt(squares[6:9].mean()), rel=1e-12)
    assert curve.misfit(curve.alphas[0]) == pytest.approx(np.sqrt((squares[0] + 2 * squares[1]) / 3), rel=1e-12)
    middle = curve.misfit((curve.alphas[7] + curve.alphas[8]) / 2)
    assert middle == pytest.approx(curve.misfit(curve.alphas[7:9]).mean(), rel=1e-12)
    shuffled = np.random.default_rng(0).permutation(curve.alphas.size)
    again = CausalRegressor.fit(curve.alphas[shuffled], curve.expectations[shuffled], low=-2.0, high=4.5)
    np.testing.assert_allclose(again.misfit(curve.alphas), curve.misfit(curve.alphas), atol=1e-10)


def test_the_sampling_band_is_the_covariance_pushed_through_the_fit(noisy):
    """Var = L(α) Σ L(α)ᵀ from the literal smoother and the misfits, for the curve, the ACE and the baseline (1e-10)."""
    curve, covariance = noisy
    at = np.linspace(-2.0, 4.5, 31)
    ratio = curve.noise_variance / curve.weight_variance
    rows = literal_smoother(curve.alphas, curve.order, ratio, at)
    nodes, gauss = np.polynomial.legendre.leggauss(30)
    mean_row = gauss / 2 @ literal_smoother(curve.alphas, curve.order, ratio, (nodes + 1) / 2 * 6.5 - 2.0)
    for method, row, more in ((curve.predict, rows, 0), (curve.ace, rows - mean_row, curve.baseline_misfit)):
        mean, std = method(at, return_std=True)
        np.testing.assert_allclose(mean, row @ curve.expectations, atol=1e-10)
        expected = np.einsum("ij,jk,ik->i", row, covariance, row) + curve.misfit(at) ** 2 + more**2
        np.testing.assert_allclose(std**2, expected, atol=1e-10)
    expected = mean_row @ covariance @ mean_row + curve.baseline_misfit**2
    assert curve.baseline_std == pytest.approx(np.sqrt(expected), rel=1e-9)


def test_the_bayesian_band_is_bishops_predictive_variance(noisy):
    """σ² + φ A⁻¹ φᵀ with the posterior precision A written out, intercept prior flat (1e-10)."""
    curve, _ = noisy
    at = np.linspace(-2.0, 4.5, 31)
    phi = chebyshev_basis(curve.alphas, -2.0, 4.5, curve.order)
    precision = phi.T @ phi / curve.noise_variance + np.diag(np.r_[0.0, np.ones(curve.order)]) / curve.weight_variance
    rows = chebyshev_basis(curve.alphas, -2.0, 4.5, curve.order, at)
    expected = curve.noise_variance + np.einsum("ij,jk,ik->i", rows, np.linalg.inv(precision), rows)
    mean, std = curve.predict(at, return_std=True, band="bayesian")
    np.testing.assert_allclose(std**2, expected, rtol=1e-9)
    np.testing.assert_allclose(mean, curve.predict(at), atol=0)
    difference = rows - chebyshev_basis(curve.alphas, -2.0, 4.5, curve.order, [1.0])
    expected = curve.noise_variance + np.einsum("ij,jk,ik->i", difference, np.linalg.inv(precision), difference)
    _, std = curve.with_baseline(1.0).ace(at, return_std=True, band="bayesian")
    np.testing.assert_allclose(std**2, expected, rtol=1e-9)


def test_no_covariance_leaves_only_the_lack_of_fit():
    alphas = np.linspace(0, 1, 20)
    curve = CausalRegressor.fit(alphas, np.abs(alphas - 0.5))
    np.testing.assert_allclose(curve.predict(alphas, return_std=True)[1], curve.misfit(alphas), rtol=1e-12)
    both = np.hypot(curve.misfit(alphas), curve.baseline_misfit)
    np.testing.assert_allclose(curve.ace(alphas, return_std=True)[1], both, rtol=1e-12)
    assert curve.baseline_std == pytest.approx(curve.baseline_misfit, rel=1e-12)
