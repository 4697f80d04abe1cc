"""Sobol' indices against closed forms (Ishigami, Sobol's G), against scipy and SALib, and the coverage of intervals."""

import itertools
import math

import numpy as np
import pytest
import torch
from SALib.analyze import sobol as salib_analysis
from SALib.sample import sobol as salib_sample
from scipy.stats import sobol_indices as scipy_sobol_indices
from scipy.stats import uniform
from torch import nn

from acelib.intrinsic import sobol_indices
from acelib.intrinsic.error_bars import interval, mean_and_stderr, ratio_and_stderr
from acelib.intrinsic.games import allocate, subset_masks, subsets_needed
from acelib.intrinsic.nets import scrambled_nets
from acelib.intrinsic.pickfreeze import chain_plan, permutation_plan, scrambled_points, sizes, subsets_plan

F64 = torch.float64


def ishigami(u):
    """sin x1 + 7 sin² x2 + 0.1 x3⁴ sin x1 with x = π (2u − 1)."""
    x = math.pi * (2 * u - 1)
    return (x[:, 0].sin() + 7 * x[:, 1].sin() ** 2 + 0.1 * x[:, 2] ** 4 * x[:, 0].sin())[:, None]


def ishigami_truth():
    """First and total indices and the variance, by integrating each ANOVA term."""
    v1 = 0.5 * (1 + 0.1 * math.pi**4 / 5) ** 2
    v2 = 49 / 8
    v13 = 0.01 * math.pi**8 * (1 / 18 - 1 / 50)
    variance = v1 + v2 + v13
    first, total = np.array([v1, v2, 0.0]), np.array([v1 + v13, v2, v13])
    return first / variance, total / variance, variance


def g_function(a):
    """Sobol's product of (|4u − 2| + a) / (1 + a)."""
    return lambda u: ((abs(4 * u - 2) + u.new_tensor(a)) / (1 + u.new_tensor(a))).prod(1, keepdim=True)


def g_truth(a):
    """First and total indices and the variance: a product of independent factors with variance 1/(3 (1+a)²)."""
    v = 1 / 3 / (1 + np.asarray(a)) ** 2
    variance = np.prod(1 + v) - 1
    total = [v[i] * np.prod(1 + np.delete(v, i)) for i in range(len(v))]
    return v / variance, np.array(total) / variance, variance


G = [0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0]
CASES = {"ishigami": (ishigami, ishigami_truth()), "g": (g_function(G), g_truth(G))}


@pytest.mark.parametrize("name", CASES)
def test_closed_forms(name):
    """Within 3 standard errors of the closed form, errors below 0.004, at 2^14 base points; 1/8 more rows at most."""
    model, (first, total, variance) = CASES[name]
    r = sobol_indices(model, num_inputs=len(first), num_samples=2**14, seed=1)
    for truth, value, error in ((first, r.first, r.first_stderr), (total, r.total, r.total_stderr)):
        assert (abs(value[:, 0].numpy() - truth) < 3 * error[:, 0].numpy()).all()
        assert float(error.max()) < 0.004
    assert abs(float(r.variance) - variance) < 3 * float(r.variance_stderr)
    mixtures = 2**14 * (len(first) + 2)
    assert mixtures <= r.num_rows <= mixtures * 9 / 8 and r.num_samples == 2**14


def test_an_input_without_effect_has_none():
    """Exact zeros where the model never reads an input, to rounding."""
    r = sobol_indices(lambda u: u[:, :1] + 5, num_inputs=2, num_samples=512)
    assert float(r.total[1]) == 0 and float(r.total_stderr[1]) == 0
    assert abs(float(r.first[1])) < 1e-12 and abs(float(r.shapley[1])) < 1e-12
    assert abs(float(r.mean) - 5.5) < 1e-3


def test_agrees_with_scipy_and_salib_on_the_same_budget():
    """All three estimate the Ishigami indices from 2^13 (d + 2) rows, ours from at most 1/8 more; they agree within
    0.02, about three of our standard errors plus theirs (SALib's published half-width is about 0.03 here).
    """
    n = 2**13
    ours = sobol_indices(ishigami, num_inputs=3, num_samples=n, seed=0)
    other = scipy_sobol_indices(
        func=lambda x: ishigami(torch.from_numpy(x.T.copy()))[:, 0].numpy(),
        n=n,
        dists=[uniform()] * 3,
        rng=np.random.default_rng(0),
    )
    problem = {"num_vars": 3, "names": ["a", "b", "c"], "bounds": [[0.0, 1.0]] * 3}
    points = salib_sample.sample(problem, n, calc_second_order=False, seed=0)
    assert len(points) <= ours.num_rows <= len(points) * 9 / 8
    outputs = ishigami(torch.from_numpy(points))[:, 0].numpy()
    third = salib_analysis.analyze(problem, outputs, calc_second_order=False, seed=0)
    for first, total in ((other.first_order, other.total_order), (third["S1"], third["ST"])):
        assert abs(ours.first[:, 0].numpy() - first).max() < 0.02
        assert abs(ours.total[:, 0].numpy() - total).max() < 0.02


def test_intervals_cover():
    """Nominal 95 % t intervals over 1000 repetitions of 512 base points in 16 scramblings, both functions at once.

    Bars: between 93 and 97 % averaged over the twelve indices, between 90 and 99 % for each of them.
    """
    truths = [ishigami_truth(), g_truth(G[:3])]
    truth = torch.tensor(np.stack([np.stack(t[:2]) for t in truths], axis=-1))  # (2, inputs, outputs)
    g = g_function(G[:3])

    def both(u):
        return torch.cat([ishigami(u), g(u)], dim=1)

    hits = torch.zeros_like(truth)
    for seed in range(1000):
        r = sobol_indices(both, num_inputs=3, num_samples=512, seed=seed, scramblings=16)
        for i, index in enumerate(("first", "total")):
            low, high = r.interval(index)
            hits[i] += (low <= truth[i]) & (truth[i] <= high)
    shares = hits / 1000
    assert 0.93 < float(shares.mean()) < 0.97
    assert float(shares.min()) > 0.90 and float(shares.max()) < 0.99


def test_shapley_and_closed_indices():
    """G function with 3 inputs: closed indices are (Π (1 + v) − 1) / V; Shapley shares by averaging over all orders."""
    v = 1 / 3 / (1 + np.array(G[:3])) ** 2
    variance = np.prod(1 + v) - 1
    r = sobol_indices(g_function(G[:3]), num_inputs=3, num_samples=2**13, seed=3)
    closed = {u: (np.prod(1 + v[list(u)]) - 1) / variance for u in r.closed}
    assert len(closed) == 8
    for u, value in closed.items():
        assert abs(float(r.closed[u]) - value) <= 3 * float(r.closed_stderr[u]) + 1e-9
    shapley = np.zeros(3)
    for order in itertools.permutations(range(3)):
        for i, j in enumerate(order):
            shapley[j] += (closed[tuple(sorted(order[: i + 1]))] - closed[tuple(sorted(order[:i]))]) / 6
    assert (abs(r.shapley[:, 0].numpy() - shapley) < 3 * r.shapley_stderr[:, 0].numpy()).all()


def test_permutation_sampling_beyond_twelve_inputs():
    """14 inputs in 7 interacting pairs, y = Σ c z z' with z = √12 (u − ½): each input's Shapley effect is c²/2."""
    c = torch.linspace(0.5, 2, 7, dtype=F64)

    def pairs(u):
        z = math.sqrt(12) * (u - 0.5)
        return (z[:, :7] * z[:, 7:] * c).sum(1, keepdim=True)

    r = sobol_indices(pairs, num_inputs=14, num_samples=2**12, seed=0, shapley=True)
    truth = (c.square() / 2 / c.square().sum()).repeat(2)
    assert ((r.shapley[:, 0] - truth).abs() < 3.5 * r.shapley_stderr[:, 0]).all()
    assert float(r.shapley_stderr.max()) < 0.02 and abs(float(r.shapley.sum()) - 1) < 0.1
    with pytest.raises(ValueError, match="at most 12 inputs, got 14"):
        _ = r.closed


def test_walsh_pairs_equal_the_literal_double_loop():
    """D_c of the subsets plan is the mean of ½ (f(w) − f(w xor c))² over all w, computed here by loops."""
    f = torch.randn(8, 5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    fast = subsets_plan(3).statistics(f, None)
    for c in range(8):
        slow = sum(0.5 * (f[w] - f[w ^ c]).square() for w in range(8)) / 8
        assert (fast[c] - slow).abs().max() < 1e-12


def test_chain_and_permutation_statistics_equal_the_literal_loop():
    """Increments of ½ (f(A) − f(prefix))² along an order, given to the input that the step adds."""
    f = torch.randn(4, 6, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    d = 0.5 * (f[-1] - f).square()
    chain = chain_plan([2, 0, 1])
    assert chain.masks(6, None)[:, 0].int().tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]
    out = chain.statistics(f, None)
    assert torch.equal(out, torch.stack([d[1] - d[2], d[2] - d[3], d[0] - d[1]]))
    plan = permutation_plan(3)
    masks = plan.masks(6, torch.Generator().manual_seed(1))
    out = plan.statistics(f, masks)
    for point in range(6):
        for j in range(3):
            step = int((~masks[:, point, j]).sum())  # first mixture that takes j from A
            assert torch.equal(out[j, point], d[step - 1, point] - d[step, point])


@pytest.mark.parametrize("sequence", [scrambled_points, scrambled_nets])
def test_scramblings_are_the_same_in_blocks_and_whole(sequence):
    """Blocks smaller or larger than a scrambling give the same points, in the open cube, in the same order."""

    def gather(block):
        parts = list(sequence(2, 8, 16, block, 5))
        return np.concatenate([p for p, _ in parts]), np.concatenate([i for _, i in parts])

    whole, index = gather(2**10)
    for block in (1, 4, 8, 16):
        points, same = gather(block)
        assert np.array_equal(points, whole) and np.array_equal(index, same)
    assert ((whole > 0) & (whole < 1)).all() and np.bincount(index).tolist() == [8] * 16


def test_chunks_do_not_change_the_numbers_and_seeds_do():
    one = sobol_indices(ishigami, num_inputs=3, num_samples=256, seed=0)
    for chunk in (3, 100):
        r = sobol_indices(ishigami, num_inputs=3, num_samples=256, seed=0, chunk_size=chunk)
        assert (r.first - one.first).abs().max() < 1e-12 and (r.shapley - one.shapley).abs().max() < 1e-12
    assert not torch.equal(sobol_indices(ishigami, num_inputs=3, num_samples=256, seed=1).first, one.first)
    assert torch.equal(sobol_indices(ishigami, num_inputs=3, num_samples=256, seed=None).first, one.first)


def test_constant_output_has_no_shares():
    r = sobol_indices(lambda u: torch.ones(len(u), 1, dtype=u.dtype), num_inputs=2, num_samples=64)
    assert r.first.isnan().all() and float(r.variance) == 0


def test_list_of_models_and_float32():
    """Mean of two linear networks: its indices from the mean weights, each one's from its own; dtype follows them."""
    nets = [nn.Linear(2, 2), nn.Linear(2, 2)]
    weights = [torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])]
    with torch.no_grad():
        for net, w in zip(nets, weights, strict=True):
            net.weight.copy_(w)
    r = sobol_indices(nets, num_inputs=2, num_samples=4096)
    assert r.first.shape == (2, 2) and r.models.shape == (2, 2, 2, 2)
    assert abs(float(r.first[0, 0]) - 0.8) < 0.01 and abs(float(r.models[0, 0, 0, 0]) - 0.2) < 0.01
    assert abs(float(r.models[1, 1, 0, 0]) - 1.0) < 0.01 and r.model_spread.shape == (2, 2, 2)
    assert r.shapley.shape == (2, 2) and r.closed[(0,)].shape == (2,)


def test_table_picture_and_repr():
    r = sobol_indices(ishigami, num_inputs=3, num_samples=256)
    frame = r.to_frame()
    assert list(frame.columns) == ["input", "output", "first", "first_stderr", "total", "total_stderr"]
    assert "3 inputs" in repr(r) and len(r.plot(names=["a", "b", "c"]).get_xticks()) == 3
    with pytest.raises(ValueError, match="index must be"):
        r.interval("second")
    with pytest.raises(ValueError, match="level must lie"):
        r.interval("first", 95)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(num_inputs=0), "num_inputs must be at least 1"),
        (dict(num_inputs=2, num_samples=0), "num_samples must be at least 1, got 0"),
        (dict(num_inputs=2, scramblings=4), "scramblings must be at least 16"),
        (dict(num_inputs=2, chunk_size=0), "chunk_size must be positive, .*got 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        sobol_indices(ishigami, **options)


def test_a_seed_or_chunk_that_is_no_integer_is_refused_before_any_work():
    for options in (dict(seed=0.5), dict(seed="a"), dict(chunk_size=2.5)):
        with pytest.raises(TypeError, match=f"{next(iter(options))} must be an integer"):
            sobol_indices(None, num_inputs=2, **options)


def test_bad_models():
    with pytest.raises(ValueError, match="append .unsqueeze"):
        sobol_indices(lambda u: u[:, 0], num_inputs=2)
    with pytest.raises(ValueError, match="NaN or Inf"):
        sobol_indices(lambda u: u.log() * 0 / 0, num_inputs=2)
    with pytest.raises(ValueError, match="call model.eval"):
        sobol_indices(nn.Sequential(nn.Linear(2, 1), nn.Dropout()), num_inputs=2)


def test_the_variance_is_unbiased_with_one_point_a_scrambling():
    """Var(u) = 1/12 on average over 500 seeds, within 3 standard errors of about 0.7 %; without the term for the
    uncertain mean it would be about 3 % too small.
    """
    each = [float(sobol_indices(lambda u: u, num_inputs=1, num_samples=16, seed=s).variance) for s in range(500)]
    error = np.std(each, ddof=1) / math.sqrt(len(each))
    assert abs(np.mean(each) - 1 / 12) < 3 * error and error < 0.01 / 12


def test_sizes_are_powers_of_two():
    assert [sizes(n, 16) for n in (1, 16, 17, 1024, 1025)] == [1, 1, 2, 64, 128]


def test_contexts_of_a_small_game():
    """Two players with v = 0, 1, 3, 10: every context by hand."""
    v = torch.tensor([0.0, 1.0, 3.0, 10.0])
    expected = {"first": [1.0, 3.0], "total": [7.0, 9.0], "topological": [7.0, 3.0], "shapley": [4.0, 6.0]}
    for context, values in expected.items():
        order = [1, 0]
        assert allocate(v, context, order).tolist() == values
        assert allocate({b: v[b] for b in range(4)}, context, order).tolist() == values
        assert set(subsets_needed(context, order)) <= set(range(4))
    assert subset_masks(3).sum() == 12


def test_error_bars_of_replicates():
    """Mean and ratio against numpy; the ratio's error is that of the linearised residuals."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(16, generator=g, dtype=F64), 1 + torch.rand(16, generator=g, dtype=F64)
    assert abs(float(mean_and_stderr(x)[1]) - x.numpy().std(ddof=1) / 4) < 1e-15
    value, error = ratio_and_stderr(x, y)
    residual = (x - value * y) / y.mean()
    assert abs(float(value) - float(x.sum() / y.sum())) < 1e-15
    assert abs(float(error) - residual.numpy().std(ddof=1) / 4) < 1e-15
    low, high = interval(torch.tensor(0.0), torch.tensor(1.0), 16)
    assert abs(float(high) - 2.1314495) < 1e-6 and float(low) == -float(high)
