"""The prior of a generator: its answers against closed forms and loops written out; its error bars by counting."""

import itertools

import numpy as np
import pytest
import torch

from acelib import AverageCausalEffect, ExtrapolationWarning, FiniteSet, Interval, interventional_expectation
from acelib.inputs.latent import LatentPrior

P = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
ALPHAS = torch.tensor([-2.0, -0.5, 1.0, 2.5], dtype=torch.float64)


def prior(**options):
    return LatentPrior(continuous=2, categories=3, probabilities=P, **{"dtype": torch.float64, "draws": 40} | options)


def coefficients(seed=0):
    """A, B, and the table of a quadratic form over (z0, z1, c0, c1, c2)."""
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(*s, generator=g, dtype=torch.float64) for s in ((2, 4), (3, 4), (5, 5))]


A, B, Q = coefficients()


def linear(x):
    return x[:, :2] @ A + x[:, 2:] @ B + 1


def quadratic(x):
    """Two outputs: a quadratic form of all latents, with products of z and c, plus a linear part."""
    return torch.stack([((x @ Q) * x).sum(1), x[:, 1] * x[:, 3] - x[:, 1] ** 2 + x[:, 4]], dim=1)


def exact_quadratic(z, law):
    """E[quadratic] by hand: the class enumerated; z entries given, or None for N(0, 1), where E[z²] = 1."""
    total = torch.zeros(2, dtype=torch.float64)
    for c, p in enumerate(law):
        x = torch.zeros(5, dtype=torch.float64)
        x[2 + c] = 1
        variance = torch.zeros(5, dtype=torch.float64)
        for k, value in enumerate(z):
            x[k], variance[k] = (0.0, 1.0) if value is None else (value, 0.0)
        total += p * (quadratic(x[None])[0] + torch.stack([(Q.diagonal() * variance).sum(), -variance[1]]))
    return total


def all_rows(answer, chunk=50):
    """Rows of every value, ``(m, n, k)``, and their weights ``(n,)``, collected block by block."""
    parts, weights, pending = [], [], []
    for which, rows, w in answer.rows(chunk):
        assert rows.shape[0] * rows.shape[1] <= max(chunk, len(answer))
        pending.append(rows)
        if which[-1] == len(answer) - 1:
            parts.append(torch.cat(pending))
            weights.append(w)
            pending = []
    return torch.cat(parts, dim=1), torch.cat(weights)


# ---------------------------------------------------------------- moments


def test_mean_and_covariance_are_those_of_the_prior():
    """z has mean 0 and unit covariance, a one-hot class has mean p and covariance diag(p) - p pᵀ (tolerance 1e-12)."""
    inputs = prior()
    expected = torch.block_diag(torch.eye(2, dtype=torch.float64), P.diag() - torch.outer(P, P))
    assert torch.allclose(inputs.mean, torch.cat([torch.zeros(2, dtype=torch.float64), P]), atol=1e-15)
    assert torch.allclose(inputs.covariance, expected, atol=1e-12)
    assert inputs.feature_names == ("z0", "z1", "c0", "c1", "c2") and inputs.shape == (5,)
    assert inputs.domain == (Interval(-3, 3),) * 2 + (FiniteSet((0, 1)),) * 3
    assert inputs.low.tolist() == [-3, -3, 0, 0, 0] and inputs.high.tolist() == [3, 3, 1, 1, 1]


@pytest.mark.parametrize(
    ("feature", "values", "law"),
    [
        ("z1", [0.5, 2.0], [P, P]),
        ("c1", [0.0, 1.0], [torch.tensor([2, 0, 5]) / 7, torch.tensor([0, 1, 0])]),
        (("c0", "c2"), [[0, 0], [1, 0], [0, 1]], [[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
        (("c2", "z0"), [[0, 1.0], [1, -1.0]], [torch.tensor([2, 3, 0]) / 5, torch.tensor([0, 0, 1])]),
    ],
)
def test_moments_and_rows_of_an_answer_agree(feature, values, law):
    """Class means are the renormalised frequencies written out; the factor squares to diag(q) - q qᵀ; weighted rows
    have exactly these class frequencies, one class each, and the intervened values."""
    inputs = prior()
    answer = inputs.do(feature, values)
    law = torch.stack([torch.as_tensor(p, dtype=torch.float64) for p in law])
    assert torch.allclose(answer.means[:, 2:], law, atol=1e-6)
    columns = inputs.feature(feature)
    assert torch.equal(answer.means[:, columns], answer.values)
    rows, weights = all_rows(answer)
    assert rows.shape == (len(values), answer.num_rows, 5)
    assert torch.equal(rows[..., 2:].sum(2), torch.ones(rows.shape[:2], dtype=torch.float64))
    assert bool(((rows[..., 2:] == 0) | (rows[..., 2:] == 1)).all())
    assert torch.equal(rows[..., columns], answer.values[:, None].expand(-1, rows.shape[1], -1))
    seen = (rows[..., 2:] * weights[:, None]).sum(1) / weights.sum()
    assert torch.allclose(seen, answer.means[:, 2:], atol=1e-12)
    factor = answer.factor if answer.factor.ndim == 3 else answer.factor.expand(len(values), -1, -1)
    for i, q in enumerate(answer.means[:, 2:]):
        free = torch.tensor([float(k not in columns) for k in range(2)], dtype=torch.float64)
        expected = torch.block_diag(free.diag(), q.diag() - torch.outer(q, q))
        assert torch.allclose(factor[i] @ factor[i].T, expected, atol=1e-12)
        assert not factor[i][answer.pinned[i]].any()
    assert bool(answer.pinned[:, columns].all())
    one_hot = (answer.means[:, 2:] == 1).any(1)
    assert torch.equal(answer.pinned[:, 2:].all(1), one_hot)


def test_the_same_draws_stand_under_every_value_feature_and_pin():
    """Common random numbers: the free z of row r is draw r of ``normals`` everywhere; another seed draws others."""
    inputs = prior()
    for answer, every in (
        (inputs.do("z0", ALPHAS), 3),
        (inputs.do("c1", [0.0, 1.0]), 2),
        (inputs.do({"c1": 1}).do("z0", ALPHAS), 1),
    ):
        rows, _ = all_rows(answer)
        assert answer.num_rows == 40 * every
        assert torch.equal(rows[..., 1], inputs.normals[:, 1].repeat_interleave(every).expand(len(answer), -1))
        labels = torch.arange(40).repeat_interleave(every)
        assert answer.groups is None if every == 1 else torch.equal(answer.groups, labels)
    assert torch.equal(prior(seed=None).normals, inputs.normals)
    assert not torch.equal(prior(seed=1).normals, inputs.normals)
    assert torch.equal(prior(dtype=torch.float32).normals, inputs.normals.float())


def test_rows_by_number_are_those_rows():
    """``index`` picks the same rows as picking from all of them, in any order and chunk."""
    answer = prior().do("z1", ALPHAS)
    every, weights = all_rows(answer, chunk=1000)
    index = torch.tensor([7, 3, 100, 0])
    blocks = list(answer.rows(6, index))
    assert [len(which) for which, _, _ in blocks] == [4] * 4
    assert torch.equal(torch.cat([rows for _, rows, _ in blocks], dim=1), every[:, index])
    assert torch.equal(torch.cat([w for _, _, w in blocks]), weights[index])


# ---------------------------------------------------------------- expectations


def test_a_linear_generator_is_averaged_exactly_over_classes():
    """Values: α A_k + mean of the draws · A_rest + p B + 1; error: sd over draws (not over rows) / √n, to 1e-12."""
    inputs = prior()
    e = interventional_expectation(linear, inputs, "z0", ALPHAS, chunk_size=64)
    other = inputs.normals[:, 1, None] * A[1]
    assert torch.allclose(e.values, ALPHAS[:, None] * A[0] + other.mean(0) + P @ B + 1, atol=1e-12)
    assert torch.allclose(e.stderr, (other.std(0) / 40**0.5).expand(4, -1), atol=1e-12)
    assert e.cost == 4 * 40 * 3 and e.method == "monte_carlo" and bool(e.support.isnan().all())


def test_the_effect_of_a_class_is_a_paired_difference():
    """Of a linear generator E[do(c1=1)] - E[do(c1=0)] = B_1 - (2 B_0 + 5 B_2)/7 without any error, though both terms
    have one: the draws cancel. With z-c products the error is that of the differences, by a loop over draws."""
    inputs = prior()
    curves = AverageCausalEffect(linear, inputs).regress(["c1"], baseline=0.0)
    for t in range(4):
        effect, error = curves["c1", t].ace(1.0, return_std=True)
        assert effect == pytest.approx(float(B[1, t] - (2 * B[0, t] + 5 * B[2, t]) / 7), abs=1e-12)
        assert error < 1e-8 < float(curves.expectations["c1"].stderr[0, t])
    curves = AverageCausalEffect(quadratic, inputs).regress(["c1"], baseline=0.0)
    differences = []
    for z in inputs.normals:
        under = [quadratic(torch.cat([z, torch.eye(3, dtype=torch.float64)[c]])[None])[0] for c in range(3)]
        differences.append(under[1] - (2 * under[0] + 5 * under[2]) / 7)
    differences = torch.stack(differences)
    for t in range(2):
        effect, error = curves["c1", t].ace(1.0, return_std=True)
        assert effect == pytest.approx(float(differences[:, t].mean()), abs=1e-12)
        assert error == pytest.approx(float(differences[:, t].std() / 40**0.5), abs=1e-9)


@pytest.mark.parametrize("method", ["taylor", "cubature"])
@pytest.mark.parametrize("given", [{}, {"c2": 1}, {"c0": 0}, {"z1": 0.7}])
def test_second_order_estimators_are_exact_on_a_quadratic_generator(method, given):
    """Eq. 3-4 and sigma points give E of a quadratic without error: against the enumeration by hand, to 1e-10."""
    inputs = prior().do(given) if given else prior()
    law = inputs.mean[2:]
    e = interventional_expectation(quadratic, inputs, "z0", ALPHAS, method=method)
    expected = torch.stack([exact_quadratic((float(a), given.get("z1")), law) for a in ALPHAS])
    assert torch.allclose(e.values, expected, atol=1e-10)
    assert float(e.stderr.max()) == 0  # the moments are known exactly
    assert bool(((e.check.reference - expected).abs() <= 5 * e.check.stderr + 1e-12).all())


@pytest.mark.parametrize("method", ["taylor", "cubature", "monte_carlo"])
def test_setting_classes_by_every_estimator(method):
    """do(c1 = 0) and do(c1 = 1) at z pinned: nothing is left to chance, so the average is exact too (1e-10)."""
    inputs = prior().do({"z0": 0.3, "z1": -1.2})
    e = interventional_expectation(quadratic, inputs, "c1", [0.0, 1.0], method=method)
    laws = torch.tensor([[2 / 7, 0, 5 / 7], [0, 1, 0]], dtype=torch.float64)
    expected = torch.stack([exact_quadratic((0.3, -1.2), law) for law in laws])
    assert torch.allclose(e.values, expected, atol=1e-10)
    assert float(e.stderr.max()) < 1e-12
    assert method != "monte_carlo" or e.cost == 2 * 2 * 2  # values x equal draws x possible classes


def test_nested_and_joint_interventions_are_one():
    """do({c2: 1}) then do(z0) equals do((z0, c2)) with a column of ones, whatever the order; pins show in the mean."""
    nested = prior().do({"c2": 1}).do("z0", ALPHAS)
    pairs = torch.stack([ALPHAS, torch.ones(4, dtype=torch.float64)], dim=1)
    joint = prior().do(("z0", "c2"), pairs)
    turned = prior().do(("c2", "z0"), pairs.flip(1))
    for other in (joint, turned):
        assert torch.equal(all_rows(nested)[0], all_rows(other)[0]) and torch.equal(nested.means, other.means)
    twice = prior().do({"z1": 2.0}).do({("c0", "c1"): [0, 0]})
    assert twice.mean.tolist() == [0, 2, 0, 0, 1]
    assert twice.covariance.diagonal().tolist() == [1, 0, 0, 0, 0]
    assert "do(z1 = 2, c0 = 0, c1 = 0)" in repr(twice)
    assert prior().do({"c0": 0}).do("c1", [0, 1]).means[:, 2:].tolist() == [[0, 0, 1], [0, 1, 0]]


def test_error_bars_cover():
    """Nominal 95 % intervals of a quadratic generator under do(z0, c1), 200 draws, 2000 seeds: 93 to 97 % hold the
    truth, and so do those of the contrast of the two values. (Rows taken for independent units: 85 to 100 %.)"""
    laws = torch.tensor([[2 / 7, 0, 5 / 7], [0, 1, 0]], dtype=torch.float64)
    truth = torch.stack([exact_quadratic((z, None), law) for z, law in zip((-1.0, 2.0), laws, strict=True)])
    held = []
    for seed in range(2000):
        e = interventional_expectation(quadratic, prior(draws=200, seed=seed), ("z0", "c1"), [[-1, 0], [2, 1]])
        v = torch.stack([e.covariance(o) for o in range(2)])
        errors = torch.stack([*e.stderr, (v[:, 0, 0] + v[:, 1, 1] - 2 * v[:, 0, 1]).sqrt()])
        off = e.values - truth
        held.append(torch.stack([*off, off[1] - off[0]]).abs() <= 1.96 * errors)
    shares = torch.stack(held).double().mean(0)  # (two values and their contrast, outputs)
    assert bool(((shares > 0.93) & (shares < 0.97)).all()), shares


def test_regressors_of_a_generator():
    """f = z0² + c2: the curve of z0 is α² + 0.5, of order 2; a class gets a table; (effect of α) = α² - 3, 1e-6."""
    ace = AverageCausalEffect(lambda x: (x[:, 0] ** 2 + x[:, 4])[:, None], prior())
    curves = ace.regress(["z0", "c2"], num=20)
    assert curves["z0", 0].order == 2
    assert np.allclose(curves["z0", 0].ace(np.array([-3.0, 0.0, 2.0])), [6.0, -3.0, 1.0], atol=1e-6)
    assert curves["c2", 0].ace(1.0) == pytest.approx(0.5, abs=1e-12)
    effects = ace.attribute(torch.tensor([1.0, 0, 0, 0, 1]), via="direct").values.tolist()
    assert effects == pytest.approx([-2, 0, 5 / 16, 5 / 14, 0.5], abs=1e-6)  # c0 = 0 makes c2 likelier: 0.5 / 0.8


def test_equal_classes_no_classes_and_classes_alone():
    """None means equal frequencies; without classes only z is left; without z the enumeration is exact."""
    assert LatentPrior().probabilities.tolist() == pytest.approx([0.1] * 10)
    assert LatentPrior().mean.dtype == torch.get_default_dtype()
    plain = LatentPrior(3, 0, dtype=torch.float64, draws=30)
    e = interventional_expectation(lambda x: x.sum(1, keepdim=True), plain, 1, [2.0])
    assert e.values.item() == pytest.approx(2 + float(plain.normals[:, [0, 2]].sum(1).mean()), abs=1e-12)
    only = LatentPrior(0, 3, P, dtype=torch.float64)
    e = interventional_expectation(lambda x: x @ B, only, "c0", [0, 1])
    assert torch.allclose(e.values, torch.stack([(3 * B[1] + 5 * B[2]) / 8, B[0]]), atol=1e-12)
    assert float(e.stderr.max()) < 1e-12


def test_a_class_that_never_occurs_costs_no_rows():
    """Classes of probability 0 are not enumerated, but can be set."""
    inputs = LatentPrior(2, 3, [0.5, 0.0, 0.5], draws=10)
    assert inputs.do("z0", [0.0]).num_rows == 20
    assert inputs.do("c1", [1]).num_rows == 10
    assert inputs.do("c1", [0, 1]).means[:, 2:].tolist() == [[0.5, 0, 0.5], [0, 1, 0]]


def test_moving_changes_dtype_and_keeps_draws():
    """``to`` keeps pins and draws; rows come in the wanted dtype."""
    inputs = prior().do({"c2": 1}).to(torch.float32).to("cpu")
    assert inputs.mean.dtype == torch.float32 and inputs.pins == ((4, 1.0),)
    rows, weights = all_rows(inputs.do("z0", ALPHAS))
    assert rows.dtype == weights.dtype == torch.float32


def test_a_budget_takes_whole_draws():
    """A subset keeps every class of a draw: 100 rows at least, in multiples of three."""
    e = interventional_expectation(linear, prior(draws=400), "z0", ALPHAS, budget=4 * 150)
    assert e.num_rows == 150 and e.num_rows % 3 == 0


# ---------------------------------------------------------------- what can be wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(continuous=-1), "continuous must be a number of latents"),
        (dict(continuous=0, categories=0), "at least one latent"),
        (dict(probabilities=[0.5, 0.5]), "one number for each of the 10 classes, got 2"),
        (dict(categories=2, probabilities=[0.5, 0.6]), "sum to 1, got a sum of 1.1; divide counts"),
        (dict(categories=2, probabilities=[1.5, -0.5]), "at least 0"),
        (dict(categories=2, probabilities=[np.nan, 1.0]), "NaN"),
        (dict(draws=1), "draws must be at least 2"),
        (dict(reach=0.0), "reach must be a positive number"),
    ],
)
def test_bad_priors_are_refused(options, message):
    """One sentence that names the argument."""
    with pytest.raises(ValueError, match=message):
        LatentPrior(**options)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda p: p.do("c8", [1]), "got 'c8'; did you mean"),
        (lambda p: p.do("c1", [0.5]), "values for 'c1' must be 0 or 1, got 0.5"),
        (lambda p: p.do(("c0", "c1"), [1, 1]), "got c0 and c1 set to 1 at once"),
        (lambda p: p.do({"c0": 1, "c1": 1}), "got c0 and c1 set to 1 at once"),
        (lambda p: p.do({"c0": 0, "c1": 0, "c2": 0}), "leave no class"),
        (lambda p: p.do({"c0": 1}).do("c1", [0]), r"pinned by an earlier do\(\), got \['c1'\]"),
        (lambda p: p.do({"z0": 1.0}).do({"z0": 2.0}), r"pinned by an earlier do\(\), got \['z0'\]"),
        (lambda p: p.do({"z0": 1.0, 0: 2.0}), r"once in one do\(\), got \['z0'\] twice"),
        (lambda p: p.do({"z0": [1.0, 2.0]}), "one value per input, got 2"),
        (lambda p: p.do({}), "at least one feature"),
        (lambda p: p.do({"z0": 1.0}, [1.0]), "values must be left out"),
        (lambda p: p.do("z0"), "values must be given"),
        (lambda p: p.do("z0", [float("nan")]), "NaN"),
        (lambda p: p.do("z0", []), "at least one value"),
    ],
)
def test_bad_interventions_are_refused(ask, message):
    """One sentence that names the latent or the argument."""
    with pytest.raises(ValueError, match=message):
        ask(prior())


def test_values_beyond_three_deviations_warn():
    """A z outside its domain is an extrapolation, named at the caller's line."""
    with pytest.warns(ExtrapolationWarning, match=r"'z1' lie outside its domain \[-3, 3\]") as caught:
        interventional_expectation(linear, prior(), "z1", [0.0, 4.0])
    assert caught[0].filename == __file__
    with pytest.warns(ExtrapolationWarning):
        prior(reach=1.0).do({"z1": 2.0})


def test_every_pair_of_classes_keeps_the_sum_at_one():
    """Σ c = 1 for every combination of two class latents that is possible."""
    for a, b in itertools.permutations(("c0", "c1", "c2"), 2):
        for values in ([0, 0], [0, 1], [1, 0]):
            rows, _ = all_rows(prior().do((a, b), values))
            assert bool((rows[..., 2:].sum(2) == 1).all())
