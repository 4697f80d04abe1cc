"""The row average of a small table: its numbers, and what waits until it is read."""

import gc
import pickle
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from acelib import Expectation, InputDistribution, interventional_expectation
from acelib._waiting import Waiting
from acelib.expectation import estimators
from acelib.expectation.curves import Curves
from acelib.expectation.row_moments import RowMoments

VALUES = np.linspace(-1.5, 1.9, 30)  # no output is the same for all rows at any of them
LATER = ("covariances", "spread", "individual")


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tailed(x):
    return torch.stack([(1.5 * x[:, 1]).exp() * (2 + x[:, 0]), (x[:, 2] * x[:, 0]).tanh()], dim=1)


def literal(y):
    """Mean, standard error, skewness, covariances and spread of ``y (m, n, o)``, one number after the other."""
    m, n, o = y.shape
    mean, stderr, skewness, spread = np.zeros((4, m, o))
    covariances = np.zeros((o, m, m))
    for k in range(o):
        d = y[:, :, k] - y[:, :, k].mean(1, keepdims=True)
        for a in range(m):
            mean[a, k] = y[a, :, k].mean()
            stderr[a, k] = np.sqrt((d[a] ** 2).sum() / (n - 1) / n)
            skewness[a, k] = (d[a] ** 3).sum() / max((d[a] ** 2).sum(), 1e-200) ** 1.5
            for b in range(m):
                covariances[k, a, b] = (d[a] * d[b]).sum() / (n - 1) / n
        centred = d - d.mean(0)
        spread[:, k] = np.sqrt((centred**2).sum(1) / (n - 1))
    return mean, stderr, skewness, covariances, spread


@pytest.mark.parametrize("m, n, o", [(1, 2, 1), (3, 40, 2), (7, 106, 3), (20, 17, 1)])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_numbers_are_those_of_the_definitions(m, n, o, offset):
    """Against loops, to 1e-12 of their size; outputs far from 0 lose only the digits of their own rounding."""
    y = draw(m, n, o, seed=m).exp() ** 2 + offset
    curves = Curves(y)
    mean, stderr, skewness, covariances, spread = literal(y.numpy())
    slack = 1e-12 * max(1.0, offset)
    np.testing.assert_allclose(curves.mean.numpy(), mean, rtol=1e-13)
    np.testing.assert_allclose(curves.stderr.numpy(), stderr, rtol=slack)
    if abs(skewness).max() > 0.3:
        np.testing.assert_allclose(curves.skewness.numpy(), skewness, rtol=1e3 * slack, atol=1e3 * slack)
    rest = curves.rest()
    np.testing.assert_allclose(rest["covariances"].numpy(), covariances, rtol=slack, atol=slack * covariances.max())
    np.testing.assert_allclose(rest["spread"].numpy(), spread, rtol=slack, atol=1e-7 * (m == 1))
    kept = torch.linspace(0, n - 1, min(50, n)).round().long()
    assert torch.equal(rest["individual"], y[:, kept])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", [1e-40, 1.0, 1e40])
def test_numbers_are_those_of_moments_taken_block_by_block(seed, dtype, scale):
    if dtype == torch.float32:
        scale = min(max(scale, 1e-30), 1e30)
    y = ((draw(9, 90, 3, seed=seed) ** 3) * scale).to(dtype)
    curves, moments = Curves(y), RowMoments(90)
    for part in y.split(11, dim=1):
        moments.add(part, part.new_ones(part.shape[1]))
    covariance = moments.covariance()
    close = dict(rtol=1e-12, atol=0.0)
    torch.testing.assert_close(curves.mean, moments.mean, rtol=1e-12, atol=1e-15 * scale)
    torch.testing.assert_close(curves.stderr, covariance.diagonal(dim1=1, dim2=2).sqrt().T, **close)
    skewness = moments.skewness(covariance)
    assert (curves.skewness is None) == (skewness is None)
    if skewness is not None:
        torch.testing.assert_close(curves.skewness, skewness, rtol=1e-10, atol=1e-12)
    assert curves.freedom == moments.freedom == 89
    torch.testing.assert_close(curves.rest()["spread"], moments.spread(), rtol=1e-12, atol=1e-15 * scale)


@pytest.mark.parametrize("kind", ["one", "list", "outputs", "float32", "taylor"])
def test_expectations_of_small_tables_are_those_of_large_ones(kind, monkeypatch):
    """All fields, with and without waiting, to 1e-12 of the largest entry."""
    dtype = torch.float32 if kind == "float32" else torch.float64
    inputs = InputDistribution.fit(draw(80, 3, dtype=dtype), domain=(-9.0, 9.0))
    model = [tailed, lambda x: tailed(x) + x[:, :2]] if kind == "list" else tailed
    options = {"outputs": [1]} if kind == "outputs" else {"method": "taylor"} if kind == "taylor" else {}

    def call():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of long tails
            return interventional_expectation(model, inputs, 0, VALUES, **options)

    e = call()
    assert isinstance(vars(e)["spread"], Waiting) and isinstance(vars(e)["individual"], Waiting)
    assert isinstance(vars(e)["covariances"], Waiting) == (kind != "taylor")
    monkeypatch.setattr(estimators.Curves, "serve", lambda *_: False)
    plain = call()
    assert not any(isinstance(one, Waiting) for one in vars(plain).values())
    for name in ("values", "stderr", "covariances", "spread", "individual", "skewness", "models"):
        one, other = getattr(e, name), getattr(plain, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert float((one - other).abs().max()) <= 1e-12 * float(other.abs().max()), name
            assert one.untyped_storage().nbytes() == 8 * one.numel()
    assert (e.freedom, e.num_rows, e.cost) == (plain.freedom, plain.num_rows, plain.cost)


def small():
    return interventional_expectation(tailed, InputDistribution.fit(draw(80, 3)), 0, VALUES, outputs=[1])


def test_what_is_shown_and_compared_at_once_waits_for_nothing():
    """Standard errors, intervals and the text need none of the three."""
    e = small()
    e.interval()
    assert "80 rows" in repr(e)
    assert all(isinstance(vars(e)[name], Waiting) for name in LATER)


@pytest.mark.parametrize("name", LATER)
def test_the_outputs_are_let_go_when_one_is_read(name):
    e = small()
    curves = weakref.ref(vars(e)[name].source.__closure__[0].cell_contents)
    assert isinstance(curves(), Curves)
    assert getattr(e, name).isfinite().all()
    gc.collect()
    assert curves() is None and all(isinstance(vars(e)[one], torch.Tensor) for one in LATER)


def test_files_and_pickles_hold_the_numbers(tmp_path):
    whole = small()
    assert whole.covariances.shape == (1, 30, 30)
    assert Expectation.load(small().save(tmp_path / "e.json")) == whole == pickle.loads(pickle.dumps(small()))
    assert len(pickle.dumps(small())) == len(pickle.dumps(whole))


def test_outputs_that_would_weigh_more_than_the_result_are_not_held():
    """Rows beyond twice the values and the kept curves: 110 at 5 values; then nothing waits."""
    for n, held in ((110, True), (111, False)):
        inputs = InputDistribution.fit(draw(n, 3))
        e = interventional_expectation(lambda x: x[:, :1] + x[:, 1:2].tanh(), inputs, 0, [-1.0, -0.5, 0.0, 0.5, 1.0])
        waiting = [name for name, one in vars(e).items() if isinstance(one, Waiting)]
        assert sorted(waiting) == (sorted(LATER) if held else [])


@pytest.mark.parametrize("case", ["groups", "weights", "a part", "blocks"])
def test_dependent_weighted_and_partial_rows_do_not_wait(case):
    X = draw(60, 3)
    inputs = InputDistribution.fit(X, weights=torch.rand(60) + 0.5 if case == "weights" else None)
    options = {"groups": {"groups": torch.arange(60) // 2}, "blocks": {"chunk_size": 100}}.get(case, {})
    values = VALUES
    e = interventional_expectation(nn.Linear(3, 2).double(), inputs, 0, values, **options)
    assert isinstance(vars(e)["covariances"], Waiting) == (case == "a part")


def test_a_network_may_write_its_next_outputs_into_the_same_memory():
    """What waits is a copy of the outputs."""
    memory = torch.empty(80 * 30, 1, dtype=torch.float64)

    def model(x):
        return torch.tanh(x[:, :1] * x[:, 1:2], out=memory[: len(x)])

    inputs, values = InputDistribution.fit(draw(80, 3)), VALUES
    e = interventional_expectation(model, inputs, 0, values)
    memory.fill_(7.0)
    right = interventional_expectation(lambda x: torch.tanh(x[:, :1] * x[:, 1:2]), inputs, 0, values)
    assert e == right and float(e.individual.max()) < 1


def test_rows_that_agree_have_no_error_at_all():
    """Exactly 0, from which the texts and warnings about events follow; beside them outputs that vary."""
    y = torch.cat([torch.zeros(4, 90, 1), torch.ones(4, 90, 1), draw(4, 90, 1)], dim=2).double()
    curves = Curves(y)
    assert bool((curves.stderr[:, :2] == 0).all()) and bool((curves.stderr[:, 2] > 0).all())
    assert curves.mean[0, :2].tolist() == [0.0, 1.0] and curves.skewness is None
