"""Which columns are finite sets by themselves, against a literal reading of the rule column by column."""

import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acelib import AverageCausalEffect, CausalRegressor, CausalTable, FiniteSet, InputDistribution, Interval


def literal(column, whole):
    """The domain of a list of numbers, as the docstring of ``fit`` says it; ``whole``: of an integer dtype."""
    counts, n = Counter(column), len(column)
    often = all(count >= 2 and count >= n / 100 for count in counts.values())
    if (set(counts) == {0.0, 1.0} and n > 2) or (often and (len(counts) == 2 or (whole and 2 < len(counts) <= 12))):
        return FiniteSet(counts)
    return Interval(min(column), max(column))


def fit(X, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant columns
        return InputDistribution.fit(X, **options)


@settings(deadline=None, max_examples=150)
@given(
    n=st.integers(2, 300),
    levels=st.integers(1, 16),
    step=st.sampled_from([1, 0.5, 10, -3]),
    start=st.sampled_from([0, 1, -1.5, 1900]),
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 300),
)
def test_the_rule(n, levels, step, start, seed, batch):
    """Random columns with some rare values, as a table and as a stream of any batches."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(levels, rng.choice([0.1, 1.0, 10.0])))
    x = torch.from_numpy(np.asarray(start + step * rng.choice(levels, size=(n, 2), p=shares)))
    expected = tuple(literal(column.tolist(), not x.is_floating_point()) for column in x.T)
    assert fit(x).domain == expected
    assert fit(iter(x.split(batch))).domain == expected


@pytest.mark.parametrize("dtype", [bool, "uint8", int, float, "boolean", "Int64", object])
def test_a_switch_whatever_its_kind(dtype):
    """0 and 1 need no more than three rows, and may be rare."""
    rare = np.zeros(500, dtype=int)
    rare[7] = 1
    assert fit(pd.DataFrame({"a": [0, 1, 1]}).astype(dtype)).domain == (FiniteSet((0, 1)),)
    assert fit(pd.DataFrame({"a": rare}).astype(dtype)).domain == (FiniteSet((0, 1)),)


def test_quantities_keep_their_interval():
    """Measurements, ages, years, seconds, whole floats, counts with a tail, two rows, a constant."""
    rng = np.random.default_rng(0)
    columns = {
        "measured": rng.normal(size=400),
        "age": rng.integers(18, 91, 400),
        "year": rng.integers(1990, 2020, 400),
        "seconds": 1_700_000_000 + np.arange(400),
        "graded": rng.integers(0, 4, 400) / 1,
        "visits": np.concatenate([rng.integers(0, 3, 399), [7]]),
        "rare": np.where(np.arange(400) < 3, 0.25, 0.0),
        "constant": np.ones(400),
    }
    assert all(isinstance(domain, Interval) for domain in fit(pd.DataFrame(columns)).domain)
    assert all(isinstance(domain, Interval) for domain in fit([[0.0, 1.0], [1.0, 3.0]]).domain)


def test_a_stream_is_of_integers_if_all_its_batches_are():
    x = torch.arange(60)[:, None] % 4
    assert fit([x[:20], x[20:]]).domain == (FiniteSet(range(4)),)
    for parts in ([x[:20], x[20:].double()], [x[:20].double(), x[20:]]):
        assert fit(parts).domain == (Interval(0, 3),)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (5, 2)])
@pytest.mark.parametrize("levels", [2, 4, 256])
def test_images_and_sequences_have_no_sets(shape, levels):
    x = np.random.default_rng(0).integers(0, levels, (100, *shape)).astype("uint8")
    for data in (x, torch.from_numpy(x).float() / 255, iter([x])):
        inputs = fit(data)
        assert all(isinstance(domain, Interval) for domain in inputs.domain) and "finite" not in repr(inputs)


def test_flat_pictures_with_many_levels_keep_intervals():
    """Dark rims too: a level of grey that is seen in a few pictures does not come again and again."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (300, 16))
    x[:, :4] = np.where(rng.random((300, 4)) < 0.005, x[:, :4], 0)
    assert all(isinstance(domain, Interval) for domain in fit(x).domain)
    assert all(isinstance(domain, Interval) for domain in fit(x / 255).domain)


def test_what_is_given_wins():
    x = pd.DataFrame({"a": [0, 1] * 20, "b": [1, 2, 3, 4] * 10, "c": np.linspace(0, 1, 40)})
    assert fit(x, domain={"a": (0, 1)}).domain == (Interval(0, 1), FiniteSet((1, 2, 3, 4)), Interval(0, 1))
    assert fit(x, domain=(0, 9)).domain == (Interval(0, 9),) * 3
    assert fit(x, domain=[(0, 1), {1, 2}, (0, 1)]).domain[1] == FiniteSet((1, 2))
    numbers = (np.float64(0), np.int64(9)), (torch.tensor(0), torch.tensor(9.0))
    assert all(fit(x, domain=pair).domain == (Interval(0, 9),) * 3 for pair in numbers)


def test_the_repr_says_how_many():
    x = pd.DataFrame({"a": [0, 1] * 20, "b": [1, 2, 3, 4] * 10, "c": np.linspace(0, 1, 40)})
    assert "2 of 3 features are finite sets" in repr(fit(x))
    assert "finite" not in repr(fit(x, domain=(0, 9)))


def test_a_switch_gets_a_table():
    """f = 3 s + x: the effect of the switch s on is 3 - 1.5, and no curve is drawn between 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    x = torch.stack([(torch.rand(60, generator=generator) < 0.5), torch.rand(60, generator=generator)], dim=1).double()
    curves = AverageCausalEffect(lambda z: 3 * z[:, :1] + z[:, 1:], fit(x, feature_names=["s", "x"])).regress(num=9)
    assert isinstance(curves["s", 0], CausalTable) and isinstance(curves["x", 0], CausalRegressor)
    assert float(curves["s", 0].ace(1.0)) == pytest.approx(1.5)


def test_explicit_texts_are_refused_in_words():
    for domain in ({"a"}, ("a", "b")):
        with pytest.raises(ValueError, match="domain of 'x0' must be a pair .* or a set of values|domain must be"):
            fit([[0.0], [1.0]], domain=[domain])
