"""Tests of independence: other programs, exhaustive permutation, and their level and power by repetition."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, rankdata, t

from acelib.intrinsic import FiniteNoise, StructuralModel, correlation_test, rank_test

F64 = torch.float64


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def tables(model, count, rows, seed):
    return model.sample(count * rows, seed=seed).reshape(count, rows, -1)


def pair(arrow, *, bent=False, kinds=False):
    """U -> x1, U -> x2, and x1 -> x2 with this coefficient: a straight line, or a parabola around its mean given U."""
    if bent:
        equations = {"x1": lambda U, n: U + n, "x2": lambda U, x1, n: U**2 + arrow * (x1 - U) ** 2 + n}
    else:
        equations = {"x1": lambda U, n: U + n, "x2": lambda U, x1, n: U + arrow * x1 + n}
    noise = {"U": FiniteNoise([0.0, 1.0, 2.0])} if kinds else "normal"
    return StructuralModel({"U": [], "x1": ["U"], "x2": ["U", "x1"]}, equations, noise)


def test_without_other_columns_it_is_pearsons_test():
    x, y = drawn(2, 4, 30)
    found = correlation_test(x, y)
    for i in range(4):
        expected = pearsonr(x[i].numpy(), y[i].numpy())
        assert float(found.statistic[i]) == pytest.approx(expected.statistic, abs=1e-12)
        assert float(found.p[i]) == pytest.approx(expected.pvalue, abs=1e-12)


def test_with_other_columns_it_is_the_t_test_of_a_regression():
    """The coefficient of x in the least squares of y on x, the columns and a constant: the same p."""
    u, x, y = drawn(40, 2), drawn(40, seed=1), drawn(40, seed=2)
    y = y + u[:, 0] + 0.3 * x
    design = np.column_stack([x, u, np.ones(40)])
    coefficients, residual, *_ = np.linalg.lstsq(design, y.numpy(), rcond=None)
    error = np.sqrt(residual[0] / 36 * np.linalg.inv(design.T @ design)[0, 0])
    expected = 2 * t.sf(abs(coefficients[0] / error), 36)
    assert float(correlation_test(x, y, given=u).p) == pytest.approx(expected, rel=1e-9)


def test_a_perfect_dependence_has_a_p_of_next_to_nothing():
    x = drawn(50)
    assert float(correlation_test(x, 2 * x + 1).p) < 1e-100
    assert float(rank_test(x, 2 * x + 1, permutations=99).p) == 0.01


@pytest.mark.parametrize("strata", [None, [0, 0, 0, 4, 4, 4]])
def test_ranks_against_every_permutation(strata):
    """n = 6: all orders, or all within the strata, with scores written out; ties get mean ranks."""
    x, y = torch.tensor([1.0, 5.0, 2.0, 2.0, 9.0, 3.0]), torch.tensor([2.0, 4.0, 1.0, 7.0, 7.0, 6.0])
    labels = np.zeros(6) if strata is None else np.array(strata)

    def scores(v):
        z = np.zeros(6)
        for label in set(labels):
            inside = labels == label
            z[inside] = 2 * (rankdata(v[inside]) - 0.5) / inside.sum() - 1
        return np.stack([np.sqrt(3) * z, np.sqrt(5) * (3 * z**2 - 1) / 2])

    a, b = scores(x.numpy()), scores(y.numpy())
    orders = [list(o) for o in permutations(range(6)) if (labels[list(o)] == labels).all()]
    null = np.array([((a @ b[:, o].T) ** 2).sum() / 6 for o in orders])
    exact = (null >= null[0] * (1 - 1e-9)).mean()  # the first order is the identity
    label = None if strata is None else torch.tensor(strata)
    found = rank_test(x, y, strata=label, permutations=20_000)
    assert float(found.statistic) == pytest.approx(null[0], rel=1e-6)
    assert abs(float(found.p) - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4


def test_rows_may_come_in_any_order_and_on_any_monotone_scale():
    rows = pair(0.5, kinds=True).sample(90)
    x, y, u = rows[:, 1], rows[:, 2], rows[:, 0]
    order = torch.randperm(90, generator=torch.Generator().manual_seed(3))
    one = rank_test(x, y, strata=u).statistic
    assert float(one) == pytest.approx(float(rank_test(x[order].exp(), y[order] ** 3, strata=u[order]).statistic))


@pytest.mark.parametrize(
    ("arrow", "intervene", "low", "high"),
    [(0, False, 3, 7), (0, True, 3, 7), (0.5, False, 95, 100), (0.5, True, 95, 100)],
)
def test_level_and_power_of_the_correlation(arrow, intervene, low, high):
    """Given U, or with x1 set at random: 2000 tables of 200 rows; level 5 %, so the right graph falls in 3 to 7 %."""
    model = pair(arrow).do({"x1": "normal"}) if intervene else pair(arrow)
    rows = tables(model, 2000, 200, 1)
    found = correlation_test(rows[..., 1], rows[..., 2], given=None if intervene else rows[..., :1])
    assert low <= 100 * float(found.rejected().double().mean()) <= high


@pytest.mark.parametrize(("arrow", "low", "high"), [(0, 3, 7), (0.5, 95, 100)])
def test_level_and_power_of_the_ranks(arrow, low, high):
    """A parabola, given a common cause of three kinds: 1000 tables of 200 rows."""
    rows = tables(pair(arrow, bent=True, kinds=True), 1000, 200, 2)
    found = rank_test(rows[..., 1], rows[..., 2], strata=rows[..., 0], permutations=99)
    assert low <= 100 * float(found.rejected().double().mean()) <= high


def test_the_correlation_does_not_see_the_parabola():
    rows = tables(pair(0.5, bent=True, kinds=True), 1000, 200, 2)
    kinds = torch.nn.functional.one_hot(rows[..., 0].long(), 3)[..., 1:].double()
    assert correlation_test(rows[..., 1], rows[..., 2], given=kinds).rejected().double().mean() < 0.5


def test_ties_do_not_make_a_dependence():
    """Two coins: mean ranks, so that equal values are not told apart by the order of the rows."""
    x, y = (torch.randint(2, (1000, 60), generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    assert 0.01 < float(rank_test(x, y, permutations=99).rejected().double().mean()) < 0.07


def test_what_does_not_fit_is_said():
    x = drawn(2, 10)
    with pytest.raises(ValueError, match=r"x and y must have the same shape \(\.\.\., n\), got \(2, 10\) and \(10,\)"):
        correlation_test(x, x[0])
    with pytest.raises(ValueError, match=r"given must have shape \(\.\.\., 10, columns\), got \(10,\)"):
        correlation_test(x, x, given=x[0])
    with pytest.raises(ValueError, match="x must have at least 4 rows, got 3"):
        correlation_test(x[0, :3], x[1, :3], given=x[0, :3, None])
    with pytest.raises(ValueError, match="strata must be whole numbers"):
        rank_test(x, x, strata=x)
    with pytest.raises(ValueError, match="degree must be"):
        rank_test(x, x, degree=0)


def test_what_is_shown_of_one_table_and_of_many():
    x, y = drawn(2, 20, 30)
    assert repr(correlation_test(x, y)).startswith("Independence(20 tables, ")
    assert repr(correlation_test(x[0], y[0])).startswith("Independence(statistic=")
