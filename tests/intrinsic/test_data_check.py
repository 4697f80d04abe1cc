"""Var(Y) and H(Y) under a causal model, held against the data: right worlds pass, wrong ones are told."""

import math
import warnings

import numpy as np
import pytest
import torch

from acelib import ApproximationWarning
from acelib.intrinsic import LinearModel, StructuralModel, intrinsic_contributions
from acelib.intrinsic.data_check import entropy_of_rows, variance_of_rows

F64 = torch.float64


def pair(n=2000, noise=0.1, seed=0):
    """b is a and a little noise."""
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(n, generator=g, dtype=F64)
    return torch.stack([a, a + noise * torch.randn(n, generator=g, dtype=F64)], 1)


def gap(x):
    return (x[:, :1] - x[:, 1:]).square()


def said(*args, **options):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        r = intrinsic_contributions(*args, **options)
    return r, [w for w in seen if "on the data" in str(w.message) or "rows of data" in str(w.message)]


@pytest.mark.parametrize("measure", ["variance", "entropy"])
@pytest.mark.parametrize("edge", [True, False])
def test_an_arrow_left_out_is_told(measure, edge):
    X = pair()
    model = LinearModel.fit(X, {"a": [], "b": ["a"] if edge else []})
    f = gap if measure == "variance" else lambda x: torch.cat([gap(x) - 0.01, 0 * gap(x)], 1) * 50
    categorical = None if measure == "variance" else "softmax"
    r, seen = said(model, f, measure=measure, categorical=categorical, num_samples=2**12)
    assert len(seen) == (not edge)
    assert all(w.category is ApproximationWarning and w.filename == __file__ for w in seen)
    assert all("missing arrows" in str(w.message) for w in seen)
    if measure == "variance":
        y = gap(X)[:, 0]
        assert abs(r.data_uncertainty - float(y.var(correction=0))) < 1e-15
        assert "under the model" in repr(r) and "on the data" in repr(r)
    world, options = (
        StructuralModel({"a": [], "b": []}),
        dict(measure=measure, categorical=categorical, num_samples=512),
    )
    given, none = said(world, f, **options)
    assert given.data_uncertainty is None and not none
    _, seen = said(world, f, data=X, **options)
    assert len(seen) == 1 and "training" not in str(seen[0].message)


def test_a_world_of_eleven_nodes_with_a_lost_third_is_told():
    """A latent cause of all makes them correlated; the graph has every second arrow. About 2/3 of Var(sum) are left."""
    g = torch.Generator().manual_seed(0)
    hidden, own = torch.randn(850, 1, generator=g, dtype=F64), torch.randn(850, 11, generator=g, dtype=F64)
    X = own + 0.7 * hidden
    nodes = [f"x{i}" for i in range(11)]
    some = {n: nodes[i - i % 2 - (i % 2 == 0) * 2 : i][:3] if i > 1 else [] for i, n in enumerate(nodes)}
    every = {n: nodes[:i] for i, n in enumerate(nodes)}
    total = torch.nn.Linear(11, 1).double()
    with torch.no_grad():
        total.weight.fill_(1.0)
    r, seen = said(LinearModel.fit(X, some), total)
    assert len(seen) == 1 and r.uncertainty < 0.75 * r.data_uncertainty
    r, seen = said(LinearModel.fit(X, every), total)
    assert not seen and abs(r.uncertainty / r.data_uncertainty - 1) < 1e-9  # least squares keep all covariances


@pytest.mark.parametrize("n", [100, 1000])
def test_right_worlds_are_seldom_called_wrong(n):
    """20 tables of a true linear world and a curved target: at most 1, where three errors would allow 0.05."""
    true = LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 1.0}})
    wrong = sum(
        len(said(LinearModel.fit(true.sample(n, seed=s), true.graph), lambda x: x[:, 1:].sin(), num_samples=128)[1])
        for s in range(20)
    )
    assert wrong <= 1


def test_variances_and_entropies_of_rows():
    """Against numpy and many tables: the stated error is the spread of the estimate, and the entropy has no bias."""
    rng = np.random.default_rng(0)
    found = [variance_of_rows(torch.from_numpy(rng.exponential(size=400))) for _ in range(400)]
    values, errors = np.array(found).T
    assert abs(np.median(errors) / values.std() - 1) < 0.25 and abs(values.mean() - 1) < 0.06
    p = np.array([0.7, 0.2, 0.1])
    truth = -(p * np.log(p)).sum()
    found = []
    for _ in range(600):
        label = rng.choice(3, size=60, p=p)
        found.append(entropy_of_rows(torch.nn.functional.one_hot(torch.from_numpy(label), 3).double()))
    values, errors = np.array(found).T
    assert abs(values.mean() - truth) < 4 * values.std() / math.sqrt(600) + 1e-3
    assert abs(errors.mean() / values.std() - 1) < 0.15
    found = []
    for _ in range(400):  # at the top the linear term vanishes: H is ln 2 less a chi-squared number over 2n
        label = rng.integers(0, 2, 60)
        found.append(entropy_of_rows(torch.nn.functional.one_hot(torch.from_numpy(label), 2).double()))
    values, errors = np.array(found).T
    assert values.max() <= math.log(2) and errors.mean() > values.std()
    assert entropy_of_rows(torch.tensor([[1.0, 0.0]] * 5, dtype=F64)) == (0.0, 0.0)


def test_the_data_may_be_a_frame_whose_columns_are_found_by_name():
    pandas = pytest.importorskip("pandas")
    X = pair(300)
    frame = pandas.DataFrame({"text": ["u"] * 300, "b": X[:, 1].numpy(), "a": X[:, 0].numpy()})
    model = LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 1.0}}, scales={"b": 0.1})
    r, seen = said(model, None, target="b", data=frame)
    assert abs(r.data_uncertainty - float(X[:, 1].var(correction=0))) < 1e-12 and not seen
    with pytest.raises(ValueError, match="X must have a column for every node, got none for \\['a'\\]"):
        intrinsic_contributions(model, None, target="b", data=frame[["b", "text"]])
    r, _ = said(model, lambda x: x[:, :1], inputs=["b"], data=frame, num_samples=64)
    assert abs(r.data_uncertainty - float(X[:, 1].var(correction=0))) < 1e-12
