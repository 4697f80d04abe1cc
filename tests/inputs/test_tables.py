"""Tables as people have them: frames with columns of every kind, arrays of every layout, streams, and what is refused.

What is accepted is compared with the same numbers as a float64 array; what is refused must name the place.
"""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from acelib import (
    AverageCausalEffect,
    ExtrapolationWarning,
    FeedbackSequences,
    FiniteSet,
    InputDistribution,
    Interval,
    interventional_expectation,
)
from acelib.recurrent import Recurrent

RNG = np.random.default_rng(0)
PLAIN = pd.DataFrame(
    {
        "age": RNG.normal(40, 10, 60),
        "smokes": RNG.random(60) < 0.4,
        "kids": RNG.integers(0, 4, 60),
        "dose": RNG.random(60),
    }
)
KINDS = {
    "plain": lambda f: f,
    "nullable": lambda f: f.convert_dtypes(),
    "objects": lambda f: f.astype(object),
    "some objects": lambda f: f.astype({"kids": object, "smokes": object}),
    "float32 beside others": lambda f: f.astype({"age": "float32", "dose": "float32"}),
    "small integers": lambda f: f.astype({"kids": "uint8"}),
    "sparse columns": lambda f: f.astype({"smokes": pd.SparseDtype(bool, False)}),
    "another index": lambda f: f.set_index(pd.Index(RNG.permutation(60) + 1000)),
    "decimals": lambda f: f.assign(kids=[Decimal(int(k)) for k in f["kids"]]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error")
def test_a_frame_is_its_numbers(kind):
    """Names, rows, mean and domains are those of the same numbers as one float array."""
    frame = KINDS[kind](PLAIN)
    inputs = InputDistribution.fit(frame)
    expected = np.stack([np.array([float(v) for v in frame[c]]) for c in PLAIN.columns], axis=1)
    assert inputs.feature_names == ("age", "smokes", "kids", "dose")
    assert np.array_equal(inputs.samples.numpy(), expected)
    assert np.allclose(inputs.mean.numpy(), expected.mean(0), rtol=1e-6)
    kids = Interval(0.0, 3.0) if kind == "decimals" else FiniteSet(range(4))
    assert inputs.domain[1:3] == (FiniteSet((0, 1)), kids) and isinstance(inputs.domain[0], Interval)


def test_get_dummies_in_every_form():
    """bool, uint8, float and sparse codes of categories with the first left out or not."""
    frame = PLAIN[["age"]].assign(group=RNG.choice(["a", "b", "c"], 60))
    for options in ({}, {"dtype": "uint8"}, {"dtype": float}, {"sparse": True}, {"drop_first": True}):
        coded = pd.get_dummies(frame, **options)
        inputs = InputDistribution.fit(coded)
        assert inputs.feature_names == tuple(coded.columns)
        assert np.allclose(inputs.mean.numpy(), coded.astype(float).mean().to_numpy(), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    kinds=st.lists(
        st.sampled_from(["float64", "float32", "int64", "int8", "bool", "Int64", "boolean", "object"]), min_size=1
    ),
    seed=st.integers(0, 10**6),
)
def test_any_mixture_of_columns(kinds, seed):
    """Columns drawn as whole numbers 0 to 9 or truth values, in any kinds and order, keep their values exactly."""
    rng = np.random.default_rng(seed)
    columns = {}
    for i, kind in enumerate(kinds):
        values = rng.integers(0, 2 if kind.startswith("bool") else 10, 5)
        columns[f"c{i}"] = pd.Series(values).astype("float64" if kind == "float64" else kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant ones
        inputs = InputDistribution.fit(pd.DataFrame(columns))
    assert inputs.samples.tolist() == [[float(v) for v in row] for row in zip(*columns.values(), strict=True)]


REFUSED = {
    "a missing number": (
        lambda f: f.assign(kids=f["kids"].astype("Int64").mask(f.index == 3)),
        "1 NaN, Inf or missing.*'kids'",
    ),
    "missing truth": (lambda f: f.assign(smokes=f["smokes"].astype("boolean").mask(f.index < 2)), "2 NaN.*'smokes'"),
    "NaN": (lambda f: f.assign(dose=f["dose"].mask(f.index == 3)), "1 NaN.*'dose'"),
    "Inf": (lambda f: f.assign(dose=np.inf), "60 NaN, Inf.*'dose'"),
    "None among objects": (lambda f: f.assign(kids=f["kids"].astype(object).mask(f.index == 1, None)), "1 NaN.*'kids'"),
    "two places": (
        lambda f: f.astype(object).mask(np.arange(60)[:, None].repeat(4, 1) == 3),
        "4 NaN.*in columns 'age', 'smokes', 'kids', 'dose'",
    ),
    "text": (lambda f: f.assign(town="north"), "text in column 'town', such as 'north'.*get_dummies"),
    "text as objects": (
        lambda f: f.assign(town=pd.Series("north", index=f.index, dtype=object)),
        "text in column 'town'",
    ),
    "categories": (lambda f: f.assign(g=pd.Categorical(["a", "b"] * 30)), "categories in column 'g'.*get_dummies"),
    "numbers as categories": (lambda f: f.assign(g=f["kids"].astype("category")), "categories in column 'g'"),
    "dates": (lambda f: f.assign(day=pd.date_range("2020", periods=60)), "dates in column 'day'.*seconds"),
    "dates with a zone": (lambda f: f.assign(day=pd.date_range("2020", periods=60, tz="UTC")), "column 'day'.*seconds"),
    "spans": (lambda f: f.assign(wait=pd.to_timedelta(range(60), unit="s")), "spans of time in column 'wait'"),
    "complex": (lambda f: f.assign(z=1j), "real, got complex128 in column 'z'"),
    "lists": (lambda f: f.assign(z=[[1, 2]] * 60), "list in column 'z'"),
    "twice a name": (lambda f: pd.concat([f, f[["age"]]], axis=1), "distinct column names, got .'age'."),
    "names equal as text": (lambda f: f.set_axis([1, "1", 2, 3], axis=1), "distinct column names, got .'1'."),
    "one row": (lambda f: f.iloc[0], "shape"),
    "one column": (lambda f: f["age"], r"shape .*X\[:, None\]"),
    "a mapping": (lambda f: dict(f), "pandas.DataFrame"),
    "a path": (lambda f: "data.csv", "numeric, got text"),
    "records": (lambda f: f.to_records(), "numeric"),
    "sparse": (lambda f: scipy.sparse.csr_matrix(f[["age", "dose"]]), "toarray"),
    "a data set": (lambda f: TensorDataset(torch.rand(9, 2)), "DataLoader"),
    "two inputs": (
        lambda f: (torch.rand(9, 2), torch.rand(9, 2)),
        r"tuple of 2; for a model of several inputs.*torch\.cat",
    ),
    "two arrays": (lambda f: (np.ones((9, 2)), np.ones(9)), "tuple of 2"),
    "two frames": (lambda f: (f, f), "tuple of 2"),
    "images": (lambda f: [torch.rand(3, 8, 8)] * 5, r"torch\.stack.*iter\(X\)"),
    "grey images": (lambda f: [np.ones((28, 28))] * 5, r"torch\.stack.*iter\(X\)"),
    "masked": (
        lambda f: np.ma.masked_array(np.ones((9, 2)), np.eye(9, 2)),
        "2 NaN or Inf of 18 entries, in columns 0, 1",
    ),
    "huge": (lambda f: torch.tensor([[1e200, 0.0], [-1e200, 1.0]], dtype=torch.float64), "rescale"),
    "meta": (lambda f: torch.ones(3, 2, device="meta"), "meta"),
    "a sparse tensor": (lambda f: torch.eye(3).to_sparse(), "to_dense"),
    "float8": (lambda f: torch.eye(3).to(torch.float8_e4m3fn), r"to\(torch.float32\)"),
    "streams of other columns": (
        lambda f: [f, f.rename(columns={"age": "old"})],
        "same columns in every part, got .'age', 'old'.",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_table_is_refused_in_words(what):
    """One sentence of the library's form that names the column or the remedy."""
    make, message = REFUSED[what]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        InputDistribution.fit(make(PLAIN.copy()))
    assert str(caught.value).startswith("X") and " must " in str(caught.value)


LAYOUTS = {
    "reversed": lambda x: x[::-1],
    "columns first": np.asfortranarray,
    "every second": lambda x: np.repeat(x, 2, axis=0)[::2],
    "other byte order": lambda x: x.astype(">f8"),
    "long double": lambda x: x.astype(np.longdouble),
    "read only": lambda x: np.broadcast_to(x[None], (1, *x.shape))[0],
    "nested lists": lambda x: x.tolist(),
    "a list of tensors": lambda x: list(torch.tensor(x)),
    "a list of tensors with gradients": lambda x: list(torch.tensor(x, requires_grad=True)),
    "masked nowhere": np.ma.masked_array,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.filterwarnings("error")
def test_arrays_of_every_layout(layout):
    x = RNG.normal(size=(7, 3))
    expected = x[::-1] if layout == "reversed" else x
    assert np.array_equal(InputDistribution.fit(LAYOUTS[layout](x)).samples.numpy(), expected)


def test_streams_of_frames_are_put_together_by_name():
    """Reordered columns in later batches change nothing; the names come along."""
    whole = InputDistribution.fit(PLAIN)
    turned = PLAIN.iloc[30:, ::-1]
    for stream in ([PLAIN.iloc[:30], turned], iter([PLAIN.iloc[:30], turned])):
        streamed = InputDistribution.fit(stream)
        assert streamed.feature_names == whole.feature_names and torch.equal(streamed.samples, whole.samples)
        assert streamed.domain == whole.domain and torch.allclose(streamed.mean, whole.mean, rtol=1e-12)


def test_a_list_of_batches_stays_a_stream_and_says_so_where_it_may_be_inputs():
    """Batches of different sizes say nothing; equal ones tell how they are read, an iterator never."""
    x = torch.rand(30, 3, dtype=torch.float64)
    whole = InputDistribution.fit(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet = [list(x.split(7)), iter(x.split(10)), [x], list(x.split(1)), DataLoader(TensorDataset(x), 10)]
        for stream in quiet:
            assert torch.allclose(InputDistribution.fit(stream).mean, whole.mean, rtol=1e-12)
    with pytest.warns(UserWarning, match=r"3 arrays of shape \(10, 3\), read as batches of rows of 3 features"):
        assert torch.equal(InputDistribution.fit(list(x.split(10))).samples, x)


def test_values_and_pins_by_name():
    """A row or a frame that carries names of features is read by them, whatever their order; others by position."""
    inputs = InputDistribution.fit(PLAIN)
    row, pair = PLAIN.iloc[3], ("kids", "age")
    wanted = [[float(row["kids"]), float(row["age"])]]
    assert inputs.do(pair, row).values.tolist() == wanted
    assert inputs.do(pair, row[["age", "kids"]]).values.tolist() == wanted
    assert inputs.do(pair, PLAIN[["age", "kids"]].iloc[3:4]).values.tolist() == wanted
    assert inputs.do({pair: row}).mean[[2, 0]].tolist() == wanted[0]
    assert inputs.do("age", row).values.tolist() == [[row["age"]]]
    assert inputs.do("age", PLAIN["age"].iloc[:5]).values[:, 0].tolist() == PLAIN["age"].iloc[:5].tolist()
    assert inputs.do("age", [torch.tensor(40.0), np.float32(41), 42]).values[:, 0].tolist() == [40.0, 41.0, 42.0]
    with pytest.raises(ValueError, match=r"\['kids', 'age'\].*got \['age', 'dose'\]"):
        inputs.do(pair, PLAIN[["age", "dose"]])
    with pytest.raises(TypeError, match="values must be numeric, got text"):
        inputs.do("age", ["old"])


@pytest.mark.parametrize("one", [1, np.int64(1), np.uint8(1), torch.tensor(1), np.array(1), np.str_("smokes"), -3])
def test_a_feature_by_any_number(one):
    assert InputDistribution.fit(PLAIN).feature(one) == (1,)


@pytest.mark.parametrize("one", [1.0, 1.7, True, np.True_, torch.tensor(True), torch.tensor(1.0), None, Decimal(1)])
def test_what_is_no_feature(one):
    with pytest.raises(TypeError, match="feature must be a name, an index or a tuple"):
        InputDistribution.fit(PLAIN).feature(one)


def test_columns_with_numbers_for_names():
    """A name is text; a number is a position, and one beyond the features tells that it is a name."""
    inputs = InputDistribution.fit(PLAIN.set_axis([2019, 2020, 2021, 2022], axis=1))
    assert inputs.feature("2020") == inputs.feature(1) == (1,)
    with pytest.raises(ValueError, match="got 2020: it is out of range; '2020' is a name"):
        inputs.do(2020, [0.0])


INSTEAD = {
    "tensor": (torch.rand(5, 2), r"got Tensor.*InputDistribution\.fit\(X\) with"),
    "array": (np.ones((5, 2)), r"got ndarray.*fit\(X\) with"),
    "frame": (PLAIN, r"got DataFrame.*fit\(X\) with"),
    "lists": ([[1.0, 2.0]], r"got list.*fit\(X\) with"),
    "loader": (DataLoader(torch.rand(5, 2)), r"got DataLoader.*fit\(X\) with"),
    "data set": (TensorDataset(torch.rand(5, 2)), r"fit\(DataLoader\(X"),
    "class": (InputDistribution, "the class itself"),
    "network": (nn.Linear(2, 1), "a model comes first"),
}


@pytest.mark.parametrize("what", INSTEAD)
def test_data_in_place_of_an_input_model(what):
    given, message = INSTEAD[what]
    for call in (
        lambda: AverageCausalEffect(nn.Linear(2, 1), given),
        lambda: interventional_expectation(nn.Linear(2, 1), given, 0, [0.0]),
    ):
        with pytest.raises(TypeError, match="inputs must be a causal input model such as .*" + message):
            call()


def test_inputs_and_model_swapped():
    with pytest.raises(TypeError, match="a model comes first, the inputs second"):
        AverageCausalEffect(InputDistribution.fit(PLAIN), nn.Linear(4, 1))


def test_sequences_of_frames_are_put_together_by_name():
    """A frame with its columns in another order is the same sequence."""
    parts = [pd.DataFrame(RNG.random((4, 2)), columns=["u", "v"]) for _ in range(3)]
    torch.manual_seed(0)
    net = Recurrent(nn.RNN(2, 3, batch_first=True), nn.Linear(3, 2)).double()
    one, other = (
        FeedbackSequences(net, each, target_step=3, domain=(-9, 9))
        for each in (parts, [parts[0], *(p[["v", "u"]] for p in parts[1:])])
    )
    assert torch.equal(one.samples, other.samples)
    with pytest.raises(ValueError, match="sequences must have the same columns"):
        FeedbackSequences(net, [parts[0], parts[1].rename(columns={"u": "w"})], target_step=3)


class Frame:
    """A data frame of another library: a list of names, columns as arrays, no iloc."""

    def __init__(self, columns):
        self.held, self.columns = columns, list(columns)

    def __len__(self):
        return len(next(iter(self.held.values())))

    def __getitem__(self, key):
        return np.asarray(self.held[key]) if isinstance(key, str) else Frame({name: self.held[name] for name in key})

    def to_numpy(self):
        raise AssertionError("columns of several kinds have no common array")


def test_frames_of_other_libraries():
    """Read column by column, named in messages, put together by name."""
    columns = {"a": [0.5, 1.5, 2.5], "b": [True, False, True], "c": [1, 2, 3]}
    inputs = InputDistribution.fit(Frame(columns))
    assert inputs.feature_names == ("a", "b", "c")
    assert inputs.samples.tolist() == [[0.5, 1, 1], [1.5, 0, 2], [2.5, 1, 3]]
    turned = dict(reversed(columns.items()))
    assert torch.equal(InputDistribution.fit([Frame(columns), Frame(turned)]).samples, inputs.samples.repeat(2, 1))
    for bad, message in (("text", "text in column 'b'"), (None, "in column 'b'")):
        with pytest.raises((TypeError, ValueError), match=message):
            InputDistribution.fit(Frame(columns | {"b": [bad, 1.0, 2.0]}))


def test_a_finite_set_is_shown_in_the_warning():
    with pytest.warns(ExtrapolationWarning, match=r"outside its domain \{0, 1\}, e.g. 0.5"):
        InputDistribution.fit(PLAIN).do("smokes", [0, 0.5])
