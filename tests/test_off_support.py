"""Curves and attributions over rows that leave the data say so, at which values, once a call."""

from __future__ import annotations

import pickle
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from acelib import AverageCausalEffect, CausalRegressors, FiniteSet, InputDistribution, LatentPrior
from acelib._off_support import off_domain, off_values
from acelib._warnings import SupportWarning


def rows(kind: str, n: int = 400, k: int = 4, seed: int = 0) -> torch.Tensor:
    """``(n, k)`` rows: all columns nearly equal, independent ones, or the first two nearly equal."""
    g = torch.Generator().manual_seed(seed)
    X = torch.rand(n, k, generator=g, dtype=torch.float64)
    if kind == "line":
        X = X[:, :1] + 0.02 * X
    if kind == "pair":
        X[:, 1] = X[:, 0] + 0.002 * X[:, 1]
    return X


def effects(X: torch.Tensor, **options) -> AverageCausalEffect:
    return AverageCausalEffect(lambda x: x.sum(1, keepdim=True), InputDistribution.fit(X, **options))


def said(call) -> list[str]:
    """The sentences of the support warnings of a call."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    plt.close("all")
    return [str(w.message) for w in found if w.category is SupportWarning]


@pytest.mark.parametrize(
    "shares, of_domain, where",
    [
        ([0.1] * 9, False, ""),
        ([0.6] * 9, True, "0 to 8"),
        ([0.1] * 8 + [0.9], True, ""),  # 6 % of the domain: its outermost value
        ([0.1] * 8 + [0.9], False, "8"),
        ([0.1] * 7 + [0.6, 0.9], True, "7 to 8"),
        ([0.9] + [0.1] * 5 + [0.6, 0.1, 0.1], True, "0 and 6"),
        ([0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.1, 0.9, 0.9], True, "0, ..., 7 to 8"),
        ([float("nan")] * 9, True, ""),
        ([0.5] * 9, True, ""),  # half is not more than half
    ],
)
def test_values_are_judged_one_by_one(shares, of_domain, where):
    """The rule by hand, whatever the order of the values."""
    order = np.random.default_rng(0).permutation(9)
    assert off_values(np.arange(9)[order], np.array(shares)[order], of_domain=of_domain) == where


@pytest.mark.parametrize("via", ["regressors", "direct", "regress"])
def test_calls_warn_once_and_name_features_and_values(via):
    """On a line every row leaves when one input is set; of a pair only the two; independent inputs stay."""
    for kind, named, quiet in (("line", ["x0", "x3"], []), ("pair", ["x0", "x1"], ["x2", "x3"]), ("free", [], ["x0"])):
        X = rows(kind)
        ace = effects(X)
        inside = 0.2 + 0.6 * torch.ones(4, dtype=X.dtype)  # in the middle of the independent columns
        found = said(lambda: ace.regress(num=20) if via == "regress" else ace.attribute(inside, via=via))  # noqa: B023
        assert len(found) == bool(named)
        for name in named:
            assert f"{name} (" in found[0]
        assert not any(f"{name} (" in sentence for name in quiet for sentence in found)
        if via != "regress" and named:
            assert "x0 (0.8)" in found[0]


def test_a_call_asks_at_its_own_values():
    """Cubes of two dense blocks: a value between them, and one of the other block beside the own others, are off."""
    g = torch.Generator().manual_seed(1)
    X = 0.2 * torch.rand(300, 3, generator=g, dtype=torch.float64)
    X[150:] += 1.0
    X[150:, 0] -= 0.5  # blocks at (0, 0, 0) and (0.5, 1, 1)
    ace = effects(X, domain=(-1.0, 2.0))
    for via in ("regressors", "direct"):
        (sentence,) = said(lambda: ace.attribute(torch.tensor([1.9, 0.1, 0.1], dtype=torch.float64), via=via))  # noqa: B023
        assert "x0 (1.9)" in sentence
    many = said(lambda: ace.attribute(X.repeat(3, 1) + 5, features=[1], via="direct"))
    assert len(many) == 1 and "x1 (5 to 6.2)" in many[0]


def test_plots_warn_and_saved_curves_still_know(tmp_path):
    """Each plot once; from a file and from a pickle too, which hold no expectations."""
    curves = effects(rows("pair")).regress(num=20)
    saved = CausalRegressors.load(curves.save(tmp_path / "curves.json"))
    for one in (curves, saved, pickle.loads(pickle.dumps(curves))):
        assert one["x0", "0"].support.shape == (2, 9)
        (sentence,) = said(one.plot)
        assert "x0 (" in sentence and "x1 (" in sentence and "x2 (" not in sentence
        assert len(said(one["x0", "0"].plot)) == 1 and not said(one["x2", "0"].plot)
        assert len(said(lambda: one.plot(panels="feature"))) == 1  # noqa: B023
    assert saved == curves


@pytest.mark.parametrize("kind", ["line", "pair", "free"])
@pytest.mark.parametrize("n", [20, 300, 1500])
def test_a_quick_look_is_like_the_whole(kind, n):
    """Against the shares of an Expectation, of 500 rows among 2000: within 0.3, and 0.2 on average."""
    ace = effects(rows(kind, n))
    curve = ace.regress([0], num=9)["x0", "0"]
    e = ace.expectation("x0", curve.support[0])
    quick, whole = curve.support[1], e.support.numpy()
    assert np.abs(quick - whole).max() < 0.3 and abs((quick - whole).mean()) < 0.2


def test_what_is_not_judged_is_silent_and_weights_and_pins_count():
    """Latents, wide tables; rows of weight 0 are no rows; pinned inputs stay where they are."""
    prior = LatentPrior(2, 0, dtype=torch.float64)
    assert prior.quick_support(0, torch.zeros(2)) is None
    wide = effects(rows("line", 50, 65))
    assert wide.regress([0], num=5)["x0", "0"].support is None and not said(lambda: wide.attribute(wide.inputs.mean))
    X = torch.cat([rows("free"), 50 + rows("line")])
    weights = torch.cat([torch.ones(400), torch.zeros(400)])
    ace = AverageCausalEffect(lambda x: x.sum(1, keepdim=True), InputDistribution.fit(X, weights=weights))
    assert off_domain(ace.regress([0], num=5)["x0", "0"]) == ""
    inputs = InputDistribution.fit(rows("pair"))
    beside = inputs.do({"x1": 0.5})
    near, far = beside.quick_support(0, torch.tensor([0.5, 0.9])).tolist()
    assert near < 0.1 and far > 0.9


def test_tables_and_constants():
    """A set is judged at each of its values; a constant feature has none to speak of."""
    X = rows("free", 300, 3)
    X[:, 0] = (X[:, 1] > 0.5).double()
    X[:, 1] = 5 * X[:, 0] + 0.01 * X[:, 1]
    X[:, 2] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ace = effects(X)
    assert isinstance(ace.inputs.domain[0], FiniteSet)
    curves = ace.regress(num=9)
    assert curves["x0", "0"].support[0].tolist() == [0, 1] and curves["x2", "0"].support is None
    assert np.allclose(curves["x0", "0"].support[1], 0.5, atol=0.15)  # half of the rows move
