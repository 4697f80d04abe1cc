"""Input distributions: their moments against numpy's, their answers to do() against Cor. 2.1 written out."""

import numpy as np
import pandas as pd
import pytest
import torch

from acelib import (
    ConstantFeatureWarning,
    ExtrapolationWarning,
    FiniteSet,
    InputDistribution,
    Interval,
)


def table(n=40, k=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, k, generator=generator, dtype=dtype) @ torch.randn(k, k, generator=generator, dtype=dtype)


@pytest.mark.parametrize(("n", "k"), [(40, 3), (5, 8), (2, 1), (6, 6)])
def test_moments_are_numpys_population_moments(n, k):
    """mean and covariance equal numpy's with bias=True (ddof = 0), for tall and for wide tables."""
    X = table(n, k)
    inputs = InputDistribution.fit(X)
    assert torch.allclose(inputs.mean, torch.from_numpy(X.numpy().mean(0)), atol=1e-14)
    expected = np.cov(X.numpy().T, bias=True).reshape(k, k)
    assert np.allclose(inputs.covariance.numpy(), expected, atol=1e-12)
    assert inputs.num_observed == n and inputs.explained == pytest.approx(1.0)


def test_float32_moments_are_computed_in_float64():
    """A large mean cancels in float32; the moments must still be those of the rows to float32 rounding."""
    X = (table(200, 2) + 1e4).float()
    exact = np.cov(X.double().numpy().T, bias=True)
    inputs = InputDistribution.fit(X)
    assert inputs.mean.dtype == torch.float32
    assert np.allclose(inputs.covariance.double().numpy(), exact, rtol=1e-5)


@pytest.mark.parametrize("pairs", [False, True])
def test_a_stream_has_the_moments_of_the_whole_table(pairs):
    """Moments merged over batches equal those of the concatenated rows (tolerance 1e-12)."""
    X = table(103, 4)
    batches = [(b, torch.zeros(len(b))) for b in X.split(10)] if pairs else list(X.split(10))
    streamed, whole = InputDistribution.fit(iter(batches), max_rows=1000), InputDistribution.fit(X)
    assert torch.allclose(streamed.mean, whole.mean, atol=1e-13)
    assert torch.allclose(streamed.covariance, whole.covariance, atol=1e-12)
    assert torch.equal(streamed.samples, X) and streamed.domain == whole.domain


def reservoir(seed, batch=7, most=20):
    """The numbers of the rows that are kept of a stream of 60, in the order of the reservoir."""
    X = torch.arange(60.0, dtype=torch.float64)[:, None]
    return InputDistribution.fit(list(X.split(batch)), max_rows=most, seed=seed).samples[:, 0].long()


def test_the_reservoir_is_a_uniform_subset():
    """Of 60 rows each is among 20 with probability 1/3 and each pair with 1/3 * 19/59, as in a draw without
    replacement: counts over 600 seeds within 5 standard deviations of the binomial law."""
    kept = torch.zeros(600, 60, dtype=torch.float64)
    for seed in range(600):
        kept[seed, reservoir(seed)] = 1
    assert torch.equal(kept.sum(1), torch.full((600,), 20.0, dtype=torch.float64))
    assert (kept.sum(0) - 200).abs().max() < 5 * (600 / 3 * 2 / 3) ** 0.5
    p = 1 / 3 * 19 / 59
    pairs = (kept.T @ kept)[torch.triu(torch.ones(60, 60, dtype=torch.bool), 1)]
    assert (pairs - 600 * p).abs().max() < 5 * (600 * p * (1 - p)) ** 0.5


def test_the_reservoir_depends_on_the_seed_and_not_on_the_batches():
    """No seed is the seed 0; whatever batches a row comes in, its key is the same; few rows are kept in their order."""
    assert torch.equal(reservoir(0), reservoir(None)) and not torch.equal(reservoir(0), reservoir(1))
    for batch in (1, 13, 60):
        assert torch.equal(reservoir(0, batch).sort().values, reservoir(0).sort().values)
    assert torch.equal(reservoir(3, most=60), torch.arange(60)) and torch.equal(reservoir(3, most=99), torch.arange(60))


def test_the_rows_of_a_stream_are_not_written_to():
    X = torch.arange(60.0, dtype=torch.float64)[:, None]
    InputDistribution.fit([X[:20], X[20:]], max_rows=20)
    assert torch.equal(X[:, 0], torch.arange(60.0, dtype=torch.float64))


def test_truncation_by_rank_and_by_share():
    """The truncated factor keeps the largest eigenvalues; the share is theirs over the trace."""
    X = table(50, 5)
    values = np.sort(np.linalg.eigvalsh(np.cov(X.numpy().T, bias=True)))[::-1]
    two = InputDistribution.fit(X, rank=2)
    assert two.factor.shape == (5, 2)
    assert two.explained == pytest.approx(values[:2].sum() / values.sum(), rel=1e-10)
    share = InputDistribution.fit(X, rank=0.9)
    needed = int((np.cumsum(values) / values.sum() < 0.9).sum()) + 1
    assert share.factor.shape[1] == needed and share.explained >= 0.9


def test_do_sets_mean_and_zeroes_row_and_column():
    """Cor. 2.1: mu_i = a, row and column i of the covariance 0, everything else as observed."""
    inputs = InputDistribution.fit(table(), feature_names=["a", "b", "c"])
    answer = inputs.do("b", [-1.0, 0.5])
    assert answer.means[:, 1].tolist() == [-1.0, 0.5]
    assert torch.equal(answer.means[:, [0, 2]], inputs.mean[[0, 2]].expand(2, 2))
    expected = inputs.covariance.clone()
    expected[1], expected[:, 1] = 0, 0
    assert torch.allclose(answer.factor @ answer.factor.T, expected, atol=1e-14)
    assert answer.pinned.tolist() == [[False, True, False]] * 2 and len(answer) == 2


@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
def test_rows_are_the_data_with_one_column_overwritten(chunk):
    """Collected over blocks, rows equal the literal loop over values and rows, whatever the chunk."""
    X = table(12)
    answer = InputDistribution.fit(X, domain=(-9, 9)).do(1, [0.0, 5.0, -2.0])
    seen = {v: [] for v in range(3)}
    for which, rows, weights in answer.rows(chunk):
        assert rows.shape[0] * rows.shape[1] <= chunk or rows.shape[:2] == (1, 1)
        assert torch.equal(weights, torch.ones(rows.shape[1], dtype=X.dtype))
        for v, block in zip(which.tolist(), rows, strict=True):
            seen[v].append(block)
    for v, alpha in enumerate([0.0, 5.0, -2.0]):
        literal = X.clone()
        literal[:, 1] = alpha
        assert torch.equal(torch.cat(seen[v]), literal)
    assert torch.equal(X, table(12))  # the data themselves stay untouched


def test_rows_of_a_subset():
    X = table(12)
    index = torch.tensor([3, 1])
    ((_, rows, _),) = InputDistribution.fit(X).do(0, [0.0]).rows(100, index)
    assert torch.equal(rows[0, :, 1:], X[index][:, 1:])


def test_tuples_of_features_and_nested_do():
    X = table(k=4)
    inputs = InputDistribution.fit(X, feature_names=list("abcd"), domain=(-20, 20))
    joint = inputs.do(("a", 2), [[1.0, 2.0], [3.0, 4.0]])
    assert joint.means[:, [0, 2]].tolist() == [[1.0, 2.0], [3.0, 4.0]] and joint.name == "a, c"
    assert joint.alphas.shape == (2, 2)
    nested = inputs.do({"a": 1.0}).do("c", [2.0])
    assert torch.equal(nested.means, joint.means[:1])
    assert torch.equal(nested.factor, joint.factor)
    assert nested.pinned[0].tolist() == [True, False, True, False]
    ((_, rows, _),) = nested.rows(100)
    assert rows[0, :, [0, 2]].unique(dim=0).tolist() == [[1.0, 2.0]]
    pair = inputs.do({("a", "b"): (1.0, 2.0)})
    assert pair.mean[:2].tolist() == [1.0, 2.0] and "4 features" in repr(pair)


def test_images_keep_their_shape_and_flatten_in_order():
    X = table(10, 6).reshape(10, 2, 3)
    inputs = InputDistribution.fit(X)
    assert inputs.shape == (2, 3) and inputs.num_features == 6
    assert torch.equal(inputs.mean.reshape(2, 3), X.mean(0))


def test_data_frames_bring_their_names_and_ranges():
    frame = pd.DataFrame({"width": [1.0, 2.0, 4.0], "length": [0, 1, 0]})
    inputs = InputDistribution.fit(frame, domain={"length": {0, 1}})
    assert inputs.feature_names == ("width", "length")
    assert inputs.domain == (Interval(1.0, 4.0), FiniteSet((0.0, 1.0)))
    assert inputs.low.tolist() == [1.0, 0.0] and inputs.high.tolist() == [4.0, 1.0]


def test_from_moments_answers_without_rows():
    fitted = InputDistribution.fit(table())
    inputs = InputDistribution.from_moments(fitted.mean, fitted.factor, low=-3, high=[1, 2, 3], shape=(3,))
    answer = inputs.do(0, [0.0])
    assert torch.equal(answer.factor, fitted.do(0, [0.0]).factor)
    assert inputs.domain[1] == Interval(-3.0, 2.0) and "no rows" in repr(inputs)
    assert answer.support().isnan().all()
    with pytest.raises(ValueError, match="method must be .*no rows to average over"):
        answer.rows(10)


def test_to_moves_dtype_of_everything():
    inputs = InputDistribution.fit(table()).to(torch.float32)
    assert {inputs.mean.dtype, inputs.factor.dtype, inputs.samples.dtype} == {torch.float32}
    assert inputs.do(0, [0.0]).means.dtype == torch.float32


def test_constant_features_give_one_warning_that_names_them():
    X = torch.cat([table(9, 2), torch.ones(9, 12, dtype=torch.float64)], dim=1)
    with pytest.warns(ConstantFeatureWarning, match=r"x2, x3.* and 2 more") as caught:
        InputDistribution.fit(X)
    assert len(caught) == 1


@pytest.mark.filterwarnings("error")
def test_a_domain_for_a_constant_feature_silences_the_warning():
    X = torch.cat([table(9, 1), torch.ones(9, 1, dtype=torch.float64)], dim=1)
    assert InputDistribution.fit(X, domain={"x1": (0, 1)}).domain[1] == Interval(0.0, 1.0)


def test_values_outside_the_domain_warn():
    with pytest.warns(ExtrapolationWarning, match="1 of 2 values for 'x0'"):
        InputDistribution.fit(table()).do("x0", [0.0, 99.0])


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (torch.zeros(1, 3), ValueError, "at least n = 2 rows"),
        (torch.zeros(3), ValueError, "shape"),
        (torch.zeros(3, 0), ValueError, "no features"),
        (torch.tensor([[0.0, float("nan")], [1.0, 2.0]]), ValueError, "1 NaN or Inf of 4"),
        (torch.zeros(3, 2, dtype=torch.complex64), TypeError, "real"),
        (np.array([["a", "b"], ["c", "d"]]), TypeError, "numeric"),
        ([torch.zeros(2, 3), torch.zeros(2, 4)], ValueError, "one shape, got .*they differ"),
        ([torch.zeros(1, 3)], ValueError, "at least 2 rows, got a stream of 1"),
        (iter([torch.zeros(3)]), ValueError, r"X must hold batches of shape"),
    ],
)
def test_bad_tables(X, error, message):
    with pytest.raises(error, match=message):
        InputDistribution.fit(X)


def test_bad_options_and_features():
    X = table()
    for names, message in [
        (["a"], "one name per flattened input, 3, got 1"),
        (["a", "a", "b"], "must be distinct, got .'a'"),
    ]:
        with pytest.raises(ValueError, match=message):
            InputDistribution.fit(X, feature_names=names)
    for rank in (0, -1, 2.5, 0.0):
        with pytest.raises(ValueError, match="rank"):
            InputDistribution.fit(X, rank=rank)
    with pytest.raises(ValueError, match="max_rows"):
        InputDistribution.fit([X], max_rows=1)
    inputs = InputDistribution.fit(X, feature_names=["width", "length", "c"])
    with pytest.raises(ValueError, match="got 'widht'; did you mean 'width'"):
        inputs.do("widht", [0.0])
    with pytest.raises(ValueError, match="out of range"):
        inputs.do(7, [0.0])
    assert inputs.feature(-1) == (2,)
    for feature in [(), ("c", 2)]:
        with pytest.raises(ValueError, match="each once, got"):
            inputs.feature(feature)


def test_bad_interventions():
    inputs = InputDistribution.fit(table(), domain=(-9, 9))
    for values, message in [
        ([], "at least one value"),
        ([[1.0, 2.0]], r"\(m,\) or \(m, 1\)"),
        ([float("nan")], "NaN"),
        (None, "values must be given"),
    ]:
        with pytest.raises(ValueError, match=message):
            inputs.do(0, values)
    with pytest.raises(ValueError, match="at least one feature"):
        inputs.do({})
    with pytest.raises(ValueError, match="values must be left out"):
        inputs.do({0: 1.0}, [1.0])
    with pytest.raises(ValueError, match="pinned by an earlier do"):
        inputs.do({0: 1.0}).do(0, [2.0])
    with pytest.raises(ValueError, match="one value per input"):
        inputs.do({0: [1.0, 2.0]})
    assert inputs.do(0, 1.0).values.shape == (1, 1)  # a bare number is one value


def test_bad_moments():
    mean, factor = torch.zeros(3), torch.zeros(3, 2)
    for arguments, message in [
        (dict(mean=mean, factor=torch.zeros(2, 2), low=0, high=1), "factor must have shape"),
        (dict(mean=mean, factor=factor, low=0, high=1, shape=(2, 2)), "shape must hold the 3 entries"),
        (dict(mean=mean, factor=factor, low=[0, 1], high=1), "low and high"),
        (dict(mean=mean, factor=factor, low=2, high=1), "low <= high"),
    ]:
        with pytest.raises(ValueError, match=message):
            InputDistribution.from_moments(**arguments)
