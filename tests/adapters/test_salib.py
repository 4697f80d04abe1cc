"""SALib's problems: its own scaling on random points, its indices, its groups, and what is wrong in one sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from acelib.adapters import read_problem
from acelib.intrinsic import SobolIndices, sobol_indices

pytest.importorskip("SALib")
from SALib import ProblemSpec  # noqa: E402
from SALib.analyze import sobol as analyze  # noqa: E402
from SALib.sample import sobol as sample  # noqa: E402
from SALib.test_functions import Ishigami  # noqa: E402
from SALib.util import scale_samples  # noqa: E402

DISTS = {
    "unif": [-1.5, 4],
    "logunif": [0.1, 30],
    "triang": [1.0, 3.0, 0.25],
    "norm": [2, 0.5],
    "lognorm": [0.3, 0.8],
    "truncnorm": [-1, 2.5, 1, 0.7],
    "weibull": [1.7, 2.0],
}
FURTHER = {"triang": [3, 0.5], "weibull": [0.8, 2.0, -1.0]}
CIRCLE = {"num_vars": 3, "names": ["x1", "x2", "x3"], "bounds": [[-np.pi, np.pi]] * 3}


def ishigami(x):
    return (x[:, :1].sin() + 7 * x[:, 1:2].sin() ** 2) + 0.1 * x[:, 2:3] ** 4 * x[:, :1].sin()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore:Two-value format:DeprecationWarning")
def test_inputs_are_scaled_as_salib_scales_them(seed):
    """Every distribution, in any order and repeated, at random points; to 1e-12 of each column's spread."""
    rng = np.random.default_rng(seed)
    kinds = [*rng.permutation(list(DISTS)), *rng.choice(list(DISTS), 4), *FURTHER]
    bounds = [DISTS[kind] for kind in kinds[:-2]] + list(FURTHER.values())
    problem = {"num_vars": len(kinds), "names": [f"v{i}" for i in range(len(kinds))], "bounds": bounds, "dists": kinds}
    u = rng.uniform(0.001, 0.999, (200, len(kinds)))
    theirs = scale_samples(u.copy(), dict(problem))
    ours = read_problem(problem).scaled(torch.tensor(u)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_indices_are_those_of_salib():
    """Of the Ishigami function, within three of SALib's 95 % half widths, and within 5 standard errors of theory."""
    found = sobol_indices(ishigami, problem=CIRCLE, seed=1)
    points = sample.sample(CIRCLE, 4096, calc_second_order=False, seed=2)
    theirs = analyze.analyze(CIRCLE, Ishigami.evaluate(points), calc_second_order=False, seed=3)
    for ours, error, name in ((found.first, found.first_stderr, "S1"), (found.total, found.total_stderr, "ST")):
        gap = np.abs(ours[:, 0].numpy() - theirs[name])
        assert (gap <= 3 * theirs[f"{name}_conf"] + 5 * error[:, 0].numpy()).all()
    exact = np.array([0.313905191147811, 0.442411144790041, 0.0])
    assert (np.abs(found.first[:, 0].numpy() - exact) <= 5 * found.first_stderr[:, 0].numpy() + 1e-12).all()


def test_normal_inputs_have_the_closed_form_of_a_linear_function():
    """Shares a_i² s_i² of Σ a_i x_i, whatever the means; also with a network in float32."""
    problem = {"names": ["a", "b"], "bounds": [[5.0, 0.5], [-1.0, 2.0]], "dists": ["norm", "norm"]}
    net = torch.nn.Linear(2, 1)
    with torch.no_grad():
        net.weight[:] = torch.tensor([[2.0, 1.0]])
    for model in (net, net.double()):
        found = sobol_indices(model, problem=problem, num_samples=2**12)
        assert found.first[:, 0].tolist() == pytest.approx([0.2, 0.8], abs=2e-3)
        assert float(found.variance) == pytest.approx(5.0, rel=2e-2)


def test_groups_share_an_index():
    """Ishigami with x1 and x3 together: S = T = 1 - S_2, since nothing interacts across; SALib's groups agree."""
    problem = {**CIRCLE, "groups": ["inner", "outer", "inner"]}
    found = sobol_indices(ishigami, problem=problem)
    assert found.names == ("inner", "outer") and found.first.shape == (2, 1)
    exact = [1 - 0.442411144790041, 0.442411144790041]
    for index in ("first", "total", "shapley"):
        assert getattr(found, index)[:, 0].tolist() == pytest.approx(exact, abs=0.02)
    assert float(found.closed[0,]) == pytest.approx(exact[0], abs=0.02)
    points = sample.sample(problem, 2048, calc_second_order=False, seed=2)
    theirs = analyze.analyze(problem, Ishigami.evaluate(points), calc_second_order=False, seed=3)
    assert np.abs(found.total[:, 0].numpy() - theirs["ST"]).max() <= 3 * theirs["ST_conf"].max()


def test_names_stay_with_the_result(tmp_path):
    spec = ProblemSpec({"names": ["x1", "x2", "x3"], "bounds": [[-np.pi, np.pi]] * 3, "groups": None, "outputs": ["Y"]})
    found = sobol_indices(ishigami, problem=spec, num_samples=1024)
    assert list(found.to_frame()["input"]) == ["x1", "x2", "x3"]
    assert SobolIndices.load(found.save(tmp_path / "s.json")) == found
    assert [t.get_text() for t in found.plot().get_xticklabels()] == ["x1", "x2", "x3"]
    assert "x2" in str(found.explore().controls)
    plain = sobol_indices(ishigami, num_inputs=3, num_samples=1024)
    assert plain.names == () and pd.api.types.is_integer_dtype(plain.to_frame()["input"])


@pytest.mark.parametrize(
    "change, said",
    [
        ({"bound": []}, r"got 'bound'; did you mean 'bounds'\?"),
        ({"bounds": None}, "problem must have 'bounds' for each input, got none"),
        ({"bounds": "ab"}, "must have a list as 'bounds', got 'ab'"),
        ({"num_vars": 4}, "bounds for each of its num_vars = 4 inputs, got 3"),
        ({"names": ["a", "b"]}, "one of 'names' for each of its 3 inputs, got 2"),
        ({"names": ["a", "b", "a"]}, r"distinct names, got \['a'\] twice"),
        ({"groups": ["a", "b"]}, "one of 'groups' for each of its 3 inputs, got 2"),
        ({"dists": ["unif", "uniform", "norm"]}, r"got 'uniform' for 'x2'; did you mean 'unif'\?"),
        ({"dists": ["unif"] * 2}, "one of 'dists' for each of its 3 inputs, got 2"),
        ({"bounds": [[0, 1], [1, 0], [0, 1]]}, r"\[low, high\] with low < high as bounds of 'x2'"),
        ({"bounds": [[0, 1], [0, 1, 2], [0, 1]]}, "as bounds of 'x2'"),
        ({"bounds": [[0, 1], [0, np.inf], [0, 1]]}, "as bounds of 'x2'"),
        ({"bounds": [[0, 1], "01", [0, 1]]}, "as bounds of 'x2'"),
        ({"dists": ["logunif", "unif", "unif"]}, r"0 < low < high as bounds of 'x1'"),
        ({"dists": ["norm", "truncnorm", "unif"], "bounds": [[0, 1], [0, 1], [0, 1]]}, r"\[low, high, mean, standard"),
        ({"dists": ["norm"] * 3, "bounds": [[0, 1], [0, 0], [0, 1]]}, "positive standard deviation as bounds of 'x2'"),
        ({"dists": ["triang"] * 3, "bounds": [[0, 1, 1.5]] * 3}, "peak, a share of the width"),
        ({"dists": ["weibull"] * 3, "bounds": [[-1, 1]] * 3}, "positive shape and scale"),
    ],
)
def test_a_bad_problem_is_one_sentence(change, said):
    with pytest.raises(ValueError, match=said):
        sobol_indices(ishigami, problem={**CIRCLE, **change})


def test_wrong_calls_end_in_one_sentence():
    with pytest.raises(TypeError, match="problem must be SALib's dictionary with names and bounds, got list"):
        sobol_indices(ishigami, problem=[1, 2])
    for options in ({}, {"problem": CIRCLE, "num_inputs": 3}):
        with pytest.raises(ValueError, match="num_inputs must be the number of inputs, or left out for a problem"):
            sobol_indices(ishigami, **options)
