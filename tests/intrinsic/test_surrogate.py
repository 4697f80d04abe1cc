"""The polynomial that takes noise out of Sobol' indices, against literal sums, quadrature and known indices."""

import itertools
import math

import numpy as np
import pytest
import torch

from acelib.intrinsic import sobol, sobol_indices
from acelib.intrinsic.nets import scrambled_nets
from acelib.intrinsic.surrogate import Surrogate, fit_surrogate
from acelib.lab.contributions.sensitivity import known_functions

F64 = torch.float64
KNOWN = known_functions()


def some_surrogate(k=3, degree=3, outputs=2, scale=1.0):
    """Random coefficients of all single inputs and of all pairs of different inputs."""
    g = torch.Generator().manual_seed(0)
    single = scale * torch.randn(outputs, degree * k, generator=g, dtype=F64)
    pairs = scale * torch.randn(outputs, degree * k, degree * k, generator=g, dtype=F64)
    same = torch.arange(degree * k) % k
    pairs = (pairs + pairs.transpose(1, 2)) * (same[:, None] != same)
    return Surrogate(k, degree, torch.randn(outputs, generator=g, dtype=F64), single, pairs)


def literal(s, u):
    """The sum over all terms of coefficient times Legendre polynomials, one at a time, ``(n, outputs)``."""
    k, x = s.inputs, 2 * u.numpy() - 1

    def feature(index):
        m, i = index // k + 1, index % k
        return math.sqrt(2 * m + 1) * np.polynomial.Legendre.basis(m)(x[:, i])

    found = np.tile(s.mean.numpy(), (len(u), 1))
    for output in range(len(s.mean)):
        for p in range(s.degree * k):
            found[:, output] += float(s.single[output, p]) * feature(p)
            for q in range(p):
                found[:, output] += float(s.pairs[output, p, q]) * feature(p) * feature(q)
    return torch.from_numpy(found)


def test_values_at_mixtures_equal_the_literal_sum():
    """A, B and every "A but i from B", to 1e-12."""
    s = some_surrogate()
    a, b = torch.rand(2, 50, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    found = s.mixtures(a, b)
    rows = [a, b] + [torch.where(torch.arange(3) == i, b, a) for i in range(3)]
    for value, row in zip(found, rows, strict=True):
        assert (value - literal(s, row)).abs().max() < 1e-12


def test_parts_equal_quadrature():
    """Variance, first-order and total parts against a grid of 6³ Gauss-Legendre nodes, exact for these polynomials."""
    s = some_surrogate(degree=2)
    x, w = np.polynomial.legendre.leggauss(6)
    grid = torch.from_numpy(np.array(list(itertools.product((x + 1) / 2, repeat=3))))
    table = literal(s, grid).reshape(6, 6, 6, 2).numpy()

    def averaged(values, axes):
        for axis in sorted(axes, reverse=True):
            values = np.tensordot(values, w / 2, axes=(axis, 0))
        return values

    def explained(*known):
        """The variance of the mean given the inputs ``known``, for each output."""
        moved = np.moveaxis(table, -1, 0)
        inner = averaged(moved, [1 + i for i in range(3) if i not in known])
        return averaged(inner**2, range(1, inner.ndim)) - averaged(moved, [1, 2, 3]) ** 2

    variance, first, total = (part.numpy() for part in s.parts())
    assert abs(variance - explained(0, 1, 2)).max() < 1e-11
    for i, others in enumerate([(1, 2), (0, 2), (0, 1)]):
        assert abs(first[i] - explained(i)).max() < 1e-11
        assert abs(total[i] - (explained(0, 1, 2) - explained(*others))).max() < 1e-11


@pytest.mark.parametrize("name", KNOWN)
def test_known_indices(name):
    """All indices of a function (up to 20) within 4.5 standard errors of the truth, at 2^12 base points; the errors are
    below 0.001 for the smooth functions and below 0.008 for Sobol's G, which has kinks.
    """
    known = KNOWN[name]
    r = sobol_indices(known.of_uniform, num_inputs=len(known.bounds), num_samples=2**12, seed=3, shapley=False)
    for truth, value, error in ((known.first, r.first, r.first_stderr), (known.total, r.total, r.total_stderr)):
        assert (abs(value[:, 0].numpy() - truth) <= 4.5 * error[:, 0].numpy() + 1e-12).all()
        assert float(error.max()) < (0.008 if name == "Sobol' G" else 0.001)


def test_formulas_agree_for_numpy_and_torch():
    for known in KNOWN.values():
        u = torch.rand(20, len(known.bounds), generator=torch.Generator().manual_seed(0), dtype=F64)
        low, high = np.array(known.bounds, dtype=float).T
        values = known.of_table(low + (high - low) * u.numpy())
        assert np.allclose(known.of_uniform(u)[:, 0].numpy(), values, rtol=1e-12)


def test_errors_are_smaller_with_it(monkeypatch):
    """The rms error over 12 seeds and all inputs of the wing weight, at 2^10 base points, is at least 5 times smaller
    with it than without; measured: 15 times.
    """
    known = KNOWN["wing weight"]

    def error():
        found = []
        for seed in range(12):
            r = sobol_indices(known.of_uniform, num_inputs=10, num_samples=2**10, seed=seed, shapley=False)
            found += [r.first[:, 0].numpy() - known.first, r.total[:, 0].numpy() - known.total]
        return float(np.sqrt(np.mean(np.square(found))))

    with_it = error()
    monkeypatch.setattr(sobol, "fit_surrogate", lambda *a: (None, 0))
    assert 5 * with_it < error()


def test_estimates_are_unbiased_whatever_the_polynomial(monkeypatch):
    """A wrong polynomial makes the indices noisier, not biased: the parts of the variance of u0 + u0 u1 in closed form,
    within 3.5 standard errors of their average over 400 seeds.
    """
    wrong = some_surrogate(k=2, degree=2, outputs=1, scale=0.1)
    monkeypatch.setattr(sobol, "fit_surrogate", lambda *a: (wrong, 0))
    # u0 + u0 u1 = 3/4 + 3/2 z0 + 1/2 z1 + z0 z1 with z = u - 1/2 of variance 1/12
    parts = np.array([9 / 4 / 12, 1 / 4 / 12, 1 / 144])
    truth = np.array([parts[0], parts[1], parts[0] + parts[2], parts[1] + parts[2]])
    found = []
    for seed in range(400):
        r = sobol_indices(lambda u: u[:, :1] * (1 + u[:, 1:]), num_inputs=2, num_samples=64, seed=seed, shapley=False)
        found.append(torch.cat([r.first, r.total])[:, 0].numpy() * float(r.variance))
    error = np.std(found, axis=0, ddof=1) / math.sqrt(len(found))
    assert (abs(np.mean(found, axis=0) - truth) < 3.5 * error).all() and error.max() < 0.002


def test_an_input_without_effect_has_none_whatever_the_polynomial(monkeypatch):
    """The output never reads the second input; a polynomial that does leaves its total index exactly 0."""
    wrong = some_surrogate(k=2, degree=2, outputs=1, scale=0.01)
    monkeypatch.setattr(sobol, "fit_surrogate", lambda *a: (wrong, 0))
    r = sobol_indices(lambda u: (u[:, :1] - 0.3).abs(), num_inputs=2, num_samples=1024, seed=0)
    assert float(r.total[1]) == 0 and float(r.total_stderr[1]) == 0 and abs(float(r.first[1])) < 1e-3


def test_interactions_alone_are_fitted():
    """12 z0 z1 with z = u - 1/2: no single terms, one pair, of variance 1."""
    found, _ = fit_surrogate(lambda u: 12 * (u[:, :1] - 0.5) * (u[:, 1:2] - 0.5), 3, 10_000, 0)
    variance, first, total = found.parts()
    assert abs(float(variance) - 1) < 1e-12 and float(first.max()) < 1e-12
    assert (total[:, 0] - torch.tensor([1.0, 1.0, 0.0], dtype=F64)).abs().max() < 1e-12


def test_none_is_used_where_it_would_not_help():
    """Long tails, waves too short for the degrees, constants, and runs too small for a pilot."""

    def fitted(call, rows=10_000):
        return fit_surrogate(call, 3, rows, 0)[0]

    assert fitted(lambda u: torch.exp(torch.special.ndtri(u).sum(1, keepdim=True))) is None
    assert fitted(lambda u: torch.exp(4 * u.sum(1, keepdim=True))) is None  # smooth, but few points carry the variance
    assert fitted(lambda u: torch.sin(200 * u).sum(1, keepdim=True)) is None
    assert fitted(lambda u: torch.full((len(u), 1), 1 / 3, dtype=F64)) is None
    assert fitted(lambda u: u[:, :1], rows=200) is None
    both = fitted(lambda u: torch.stack([u[:, 0], torch.sin(200 * u[:, 1])], 1))
    assert both.parts()[0][1] == 0 and abs(float(both.parts()[0][0]) - 1 / 12) < 1e-12


def test_rows_of_the_pilot_are_counted():
    """At most an eighth more rows than the mixtures; the base points are those asked for."""
    calls = []

    def model(u):
        calls.append(len(u))
        return u.square().sum(1, keepdim=True)

    r = sobol_indices(model, num_inputs=4, num_samples=1024, shapley=False)
    assert r.num_samples == 1024 and 0 < r.num_rows - 1024 * 6 <= 1024 * 6 / 8
    assert 0 <= sum(calls) - r.num_rows < 20  # the entrance looks at a few rows


def test_nets_are_balanced_and_uniform():
    """One point in every elementary interval of the first two coordinates, in each of the scramblings; and over 4000
    scramblings the first point is uniform, its mean and mean square within 4 standard errors.
    """
    points = np.concatenate([p for p, _ in scrambled_nets(5, 16, 16, 64, 0)]).reshape(16, 16, 5)
    for net in points:
        for i in range(5):
            assert sorted((16 * net[:, i]).astype(int)) == list(range(16))
        for rows in (2, 4, 8):
            cells = (rows * net[:, 0]).astype(int) * (16 // rows) + (16 // rows * net[:, 1]).astype(int)
            assert sorted(cells) == list(range(16))
    first = np.concatenate([p for p, _ in scrambled_nets(3, 1, 4000, 1024, 1)])
    assert first.shape == (4000, 3)
    assert (abs(first.mean(0) - 1 / 2) < 4 * math.sqrt(1 / 12 / 4000)).all()
    assert (abs((first**2).mean(0) - 1 / 3) < 4 * math.sqrt(4 / 45 / 4000)).all()
