"""Long tails under Sobol' indices and contributions: the kurtosis against a literal one, warnings, and intervals."""

import dataclasses
import json
import math
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis

from acelib import ApproximationWarning
from acelib.intrinsic import (
    IntrinsicContributions,
    LinearModel,
    SobolIndices,
    StructuralModel,
    intrinsic_contributions,
    sobol_indices,
)
from acelib.intrinsic.error_bars import student_interval
from acelib.intrinsic.pickfreeze import kurtosis_of

F64 = torch.float64
ROOTS = StructuralModel({"A": [], "B": [], "C": []})


def lognormal(sigma):
    """The product of three lognormals as a function of uniform inputs."""
    return lambda u: torch.exp(sigma * torch.special.ndtri(u.clamp(1e-12, 1 - 1e-12)).sum(1, keepdim=True))


def heavy(x):
    return torch.exp(x.sum(1, keepdim=True))


def mild(x):
    return torch.cat([x[:, :1] * x[:, 1:2] + x[:, 2:], torch.tanh(x[:, :1] - x[:, 2:])], 1)


def told(call):
    """What a call returns, and its warnings of this kind."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = call()
    return result, [str(w.message) for w in found if "tails so long" in str(w.message)]


@pytest.mark.parametrize("chunk", [None, 100])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_kurtosis_is_that_of_all_rows(chunk, offset):
    """Literal reference: scipy's kurtosis of every output that the model gave after the pilot, to 1e-6, in one block or
    in many.
    """
    seen = []

    def model(u):
        y = lognormal(0.7)(u) + offset
        if len(u) > 8:  # the entrance looks at two rows
            seen.append(y)
        return y

    r, _ = told(lambda: sobol_indices(model, num_inputs=3, num_samples=256, chunk_size=chunk, shapley=False))
    rows = torch.cat(seen)
    assert len(rows) == r.num_rows
    rows = rows[r.num_rows - 256 * 5 :]
    assert float(r.kurtosis) == pytest.approx(kurtosis(rows.numpy(), fisher=False)[0], rel=1e-6)


def test_kurtosis_from_powers_against_scipy():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=F64).exp()
    found = kurtosis_of(*[(x**p).mean(0) for p in (1, 2, 3, 4)])
    assert np.allclose(found.numpy(), kurtosis(x.numpy(), fisher=False), rtol=1e-9)


@pytest.mark.parametrize("n", [1024, 4096])
def test_long_tails_warn_in_every_repetition_and_mild_outputs_in_none(n):
    """Three lognormals with σ = 1 have a kurtosis beyond 10⁵, of which any sample shows a part; 20 seeds each."""
    for seed in range(20):
        r, said = told(lambda s=seed: sobol_indices(lognormal(1.0), num_inputs=3, num_samples=n, seed=s))
        assert len(said) == 1 and "output 0 has tails so long that about" in said[0] and f"of {n} points" in said[0]
        assert "; long tails: about" in repr(r) and n / float(r.kurtosis) < 30
        few, said = told(
            lambda s=seed: sobol_indices(lambda u: mild(torch.special.ndtri(u)), num_inputs=3, num_samples=n, seed=s)
        )
        assert not said and "tails" not in repr(few) and 1 < float(few.kurtosis.min()) < float(few.kurtosis.max()) < 12


def test_a_mild_lognormal_warns_at_few_points_and_seldom_at_many():
    """σ = 1/2 has a kurtosis of 49 by its formula: 21 of 1024 points, and 84 of 4096; 40 seeds each."""
    s2 = 3 * 0.25
    truth = math.exp(4 * s2) + 2 * math.exp(3 * s2) + 3 * math.exp(2 * s2) - 3
    assert 48 < truth < 50
    rates = [
        np.mean(
            [
                len(told(lambda s=s, n=n: sobol_indices(lognormal(0.5), num_inputs=3, num_samples=n, seed=s))[1])
                for s in range(40)
            ]
        )
        for n in (1024, 4096)
    ]
    assert rates[0] > 0.25 and rates[1] < 0.15


def test_few_points_alone_are_no_long_tail():
    """64 points of a normal output: 21 of them carry its variance, and no logarithm would help."""
    assert not told(lambda: sobol_indices(torch.special.ndtri, num_inputs=1, num_samples=64))[1]


def test_outputs_are_named_and_constant_ones_are_not():
    def model(u):
        y = lognormal(1.0)(u)
        return torch.cat([0 * y + 3, u[:, :1], y, 2 * y], 1)

    r, (said,) = told(lambda: sobol_indices(model, num_inputs=3, num_samples=1024))
    assert "output 3 (and 1 more)" in said or "output 2 (and 1 more)" in said
    assert r.kurtosis.isnan().tolist() == [True, False, False, False]
    assert not told(lambda: sobol_indices(lambda u: 0 * u[:, :1] + 1, num_inputs=2, num_samples=64))[1]


@pytest.mark.parametrize("context", ["shapley", "topological", "first", "total"])
def test_contributions_warn_of_their_target(context):
    options = dict(context=context, num_samples=1024, seed=3)
    r, said = told(lambda: intrinsic_contributions(ROOTS, heavy, **options))
    assert len(said) == 1 and "output 0 has tails so long" in said[0] and "long tails" in repr(r)
    rows = float(f"{30 * r.kurtosis:.2g}")
    assert f"num_samples of about {rows:.0f} or more" in said[0]
    few, said = told(lambda: intrinsic_contributions(ROOTS, mild, **options))
    assert not said and "tails" not in repr(few) and few.kurtosis > 1


def test_the_longest_tails_of_a_list_of_causal_models_count():
    def scaled(size):
        return StructuralModel({"A": []}, noise={"A": lambda u: size * torch.special.ndtri(u)})

    options = dict(num_samples=1024, seed=0)
    model = lambda x: torch.exp(x)  # noqa: E731
    alone = told(lambda: intrinsic_contributions(scaled(2.0), model, **options))[0]
    both, said = told(lambda: intrinsic_contributions([scaled(0.1), scaled(2.0)], model, **options))
    assert len(said) == 1 and both.kurtosis == alone.kurtosis


def test_exact_answers_and_entropies_have_no_tails():
    line = LinearModel({"X": [], "Y": ["X"]}, {"Y": {"X": 2.0}})
    for r in (
        intrinsic_contributions(line, None, target="Y"),
        intrinsic_contributions(ROOTS, mild, measure="entropy", categorical="softmax", num_samples=256),
    ):
        assert r.kurtosis is None and "tails" not in repr(r)


def test_the_interval_of_the_variance_is_students():
    """Reference: the quantile of t with 15 degrees; of a fitted model those of both errors; a point where exact."""
    r = intrinsic_contributions(ROOTS, mild, num_samples=256)
    low, high = r.uncertainty_interval(0.9)
    assert (high - low) / 2 == pytest.approx(1.7531 * r.uncertainty_stderr, rel=1e-4) and r.uncertainty_degrees is None
    line = LinearModel({"X": [], "Y": ["X"]}, {"Y": {"X": 2.0}})
    assert intrinsic_contributions(line, None, target="Y").uncertainty_interval() == (5.0, 5.0)
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    fitted = LinearModel.fit(torch.stack([x[:, 0], x.sum(1)], 1), {"X": [], "Y": ["X"]})
    r = intrinsic_contributions(fitted, None, target="Y")
    assert 2 < r.uncertainty_degrees < 60
    ends = student_interval(
        *(torch.tensor(v, dtype=F64) for v in (r.uncertainty, r.uncertainty_stderr)),
        torch.tensor(r.uncertainty_degrees, dtype=F64),
        0.95,
    )
    assert r.uncertainty_interval() == tuple(map(float, ends))
    wide = dataclasses.replace(r, uncertainty_stderr=r.uncertainty)
    assert wide.uncertainty_interval()[0] == 0
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 1"):
        r.uncertainty_interval(1)


def test_files_from_before_these_numbers_load(tmp_path):
    indices = sobol_indices(lambda u: u, num_inputs=1, num_samples=64)
    for made in (indices, intrinsic_contributions(ROOTS, mild, num_samples=64)):
        path = made.save(tmp_path / "r.json")
        assert type(made).load(path) == made
        content = json.loads(path.read_text())
        for name in ("kurtosis", "uncertainty_degrees"):
            content.pop(name, None)
        if content.get("further"):
            del content["further"]["kurtosis"]
        path.write_text(json.dumps(content))
        found = (SobolIndices if made is indices else IntrinsicContributions).load(path)
        assert found.kurtosis is None and "tails" not in repr(found)


def test_the_warning_points_here_and_is_of_our_class():
    with pytest.warns(ApproximationWarning, match="the standard error says too little") as caught:
        sobol_indices(lognormal(1.0), num_inputs=3, num_samples=256)
    assert caught[0].filename == __file__
