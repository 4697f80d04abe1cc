"""Whole numbers keep their values: what float32 cannot hold becomes float64, what float64 cannot hold is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acelib import ApproximationWarning, InputDistribution, Interval, LatentPrior, interventional_expectation

FORMS = {
    "int64": lambda x: np.array(x, dtype=np.int64),
    "uint64": lambda x: np.array(x, dtype=np.uint64),
    "torch": lambda x: torch.tensor(x),
    "torch uint64": lambda x: torch.tensor(x).to(torch.uint64),
    "lists": lambda x: x,
    "objects": lambda x: np.array(x, dtype=object),
    "frame": lambda x: pd.DataFrame(x, columns=["a", "b"]),
    "nullable": lambda x: pd.DataFrame(x, columns=["a", "b"]).astype("Int64"),
    "beside floats": lambda x: pd.DataFrame(x, columns=["a", "b"]).astype({"b": "float32"}),
}


@settings(deadline=None, max_examples=60)
@given(start=st.integers(0, 2**53 - 200), form=st.sampled_from(list(FORMS)))
def test_whole_numbers_below_two_to_53_are_exact(start, form):
    """Rows and the ends of the domain are the numbers themselves, in float32 only where it holds them."""
    table = [[start + i, i] for i in range(100)]
    inputs = InputDistribution.fit(FORMS[form](table))
    assert [[int(v) for v in row] for row in inputs.samples.tolist()] == table
    assert (int(inputs.domain[0].low), int(inputs.domain[0].high)) == (start, start + 99)
    assert inputs.mean.dtype == (torch.float32 if start + 99 <= 2**24 else torch.float64) or start % 2 == 0


@pytest.mark.parametrize("form", [f for f in FORMS if f != "beside floats"])
def test_larger_ones_are_refused(form):
    """2^53 + 1 is between two floats; the message names it, and a frame's column."""
    with pytest.raises(
        ValueError, match="X must be whole numbers .* got 9007199254740993.*subtract an origin"
    ) as caught:
        InputDistribution.fit(FORMS[form]([[2**53 + 1, 1], [3, 2]]))
    assert ("column 'a'" in str(caught.value)) == (form in ("frame", "nullable"))


@pytest.mark.parametrize("table", [np.array([[2**64 - 1, 1], [3, 2]], np.uint64), [[2**70 + 1, 1], [3, 2]]])
def test_beyond_int64(table):
    with pytest.raises(ValueError, match="whole numbers that a float holds exactly"):
        InputDistribution.fit(table)
    large = [[2**70, 1], [3, 2]]  # which float64 holds
    assert InputDistribution.fit(large).samples[0, 0] == 2.0**70


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool])
def test_small_numbers_become_the_default_dtype(dtype):
    x = torch.tensor([[0, 1], [1, 0], [1, 1]]).to(dtype)
    assert InputDistribution.fit(x).samples.dtype == torch.float32


def test_another_dtype_tells_which_features_merge():
    """Seconds since 1970 and numbers of people merge in float32; a small column and measurements do not."""
    rng = np.random.default_rng(0)
    seconds, person = 1_700_000_000 + np.arange(500), 2**25 + 3 * rng.permutation(500)
    frame = pd.DataFrame({"t": seconds, "small": np.arange(500), "person": person, "x": rng.normal(size=500)})
    inputs = InputDistribution.fit(frame)
    with pytest.warns(
        ApproximationWarning, match=r"precision is lost in torch.float32.*: t \(500 values become \d+\)"
    ) as w:
        narrow = inputs.to(torch.float32)
    assert len(w) == 1 and "small" not in str(w[0].message) and " x " not in str(w[0].message)
    assert narrow.mean.dtype == torch.float32 and narrow.domain == inputs.domain
    few = np.concatenate([np.arange(498), [2**24, 2**24 + 1]])[:, None]
    with pytest.warns(ApproximationWarning, match=r"x0 \(500 values become 499\)"):
        InputDistribution.fit(few).to(torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inputs.to(torch.float64)
        InputDistribution.fit(frame[["small", "x"]]).to(torch.float32).to(torch.float64)
        InputDistribution.fit(rng.normal(size=(10_000, 2))).to(torch.float32)
        InputDistribution.fit((1000 * np.arange(50.0) + 1e7)[:, None]).to(torch.float32)  # rounded, but apart


def test_a_dtype_of_whole_numbers_is_refused():
    with pytest.raises(ValueError, match="target must be a device or a floating dtype, got torch.int64"):
        InputDistribution.fit(torch.rand(5, 2)).to(torch.int64)


def test_values_given_to_do():
    """Whole numbers that the inputs' dtype rounds are told; in float64 they are exact."""
    seconds = np.stack([1_700_000_000 + np.arange(100), np.arange(100)], axis=1)
    inputs = InputDistribution.fit(seconds)
    assert inputs.do(0, [1_700_000_001, 1_700_000_002]).values[:, 0].tolist() == [1_700_000_001, 1_700_000_002]
    narrow = InputDistribution.fit(torch.rand(9, 2), domain=(0, 2e9))
    for given_values in ([1_700_000_001], np.array([1_700_000_001]), torch.tensor([1_700_000_001])):
        with pytest.warns(ApproximationWarning, match="values .* 1700000001 becomes 1700000000"):
            narrow.do(0, given_values)
    with pytest.raises(ValueError, match="values must be whole numbers"):
        inputs.do(0, [2**53 + 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        narrow.do(0, [1, 2**24])
        narrow.do(0, [0.1])


def test_priors_and_seeds_take_numbers_of_any_kind():
    prior = LatentPrior(2, 0, draws=np.int64(50), seed=np.int64(3))
    e = interventional_expectation(lambda z: z[:, :1], prior, torch.tensor(0), [np.float32(1)], seed=torch.tensor(1))
    assert e.values.tolist() == [[1.0]]


@pytest.mark.parametrize("most", [5, 40, 1000])
def test_a_stream_whose_later_batches_need_float64(most):
    """Every row that is kept is one of the stream, to the last digit."""
    x = torch.arange(100)[:, None] * 1_000_003
    inputs = InputDistribution.fit([x[:10], x[10:50], x[50:]], max_rows=most)
    kept = inputs.samples[:, 0].long().tolist()
    assert set(kept) <= set(x[:, 0].tolist()) and len(set(kept)) == len(kept) == min(most, 100)
    assert inputs.domain[0] == Interval(0.0, 99 * 1_000_003.0)
