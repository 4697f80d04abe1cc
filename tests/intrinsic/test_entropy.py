"""Contributions to the entropy of a label: by hand, by loops over a finite grid, and sampled against both."""

import itertools
import math

import pytest
import torch

from acelib.intrinsic import FiniteNoise, StructuralModel, intrinsic_contributions
from acelib.intrinsic.entropy import entropy, label_probabilities

F64 = torch.float64
LN2 = math.log(2)
NODES = {"a": [], "b": ["a"], "c": ["a", "b"]}
WEIGHTS = torch.tensor([[1.0, -0.5, 0.3], [-0.4, 0.8, 0.1], [0.2, -0.6, 0.9]], dtype=F64)


def system(noise):
    return StructuralModel(NODES, {"b": lambda a, n: 0.5 * a + n, "c": lambda a, b, n: a * b + n}, noise)


def scores(x):
    return 2 * x @ WEIGHTS.to(x)


def probabilities(x):
    return scores(x).softmax(1)


def literal(categorical):
    """H(Y | N_u) for all u by loops over a grid of 27 states."""
    grid = [-1.0, 0.2, 1.5]
    scm, states = system(FiniteNoise(grid)), list(itertools.product(range(3), repeat=3))
    p = {}
    for s in states:
        row = probabilities(scm.push(torch.tensor([[grid[i] for i in s]], dtype=F64)))[0]
        p[s] = row.tolist() if categorical == "softmax" else [float(i == int(row.argmax())) for i in range(3)]

    def conditional(known):
        answer = 0.0
        for key in {tuple(s[j] for j in known) for s in states}:
            group = [s for s in states if tuple(s[j] for j in known) == key]
            mean = [sum(p[s][i] for s in group) / len(group) for i in range(3)]
            answer -= len(group) / 27 * sum(q * math.log(q) for q in mean if q > 0)
        return answer

    return scm, conditional


@pytest.mark.parametrize("categorical", ["softmax", "argmax"])
def test_enumeration_equals_loops(categorical):
    """To 1e-12; the label's own noise is the residual, and none is left for the arg-max class."""
    scm, conditional = literal(categorical)
    r = intrinsic_contributions(scm, scores, measure="entropy", categorical=categorical, context="topological")
    for j in range(3):
        assert abs(float(r.contributions[j]) - (conditional(range(j)) - conditional(range(j + 1)))) < 1e-12
    assert abs(r.uncertainty - conditional([])) < 1e-12 and r.method == "enumeration"
    assert abs(r.residual - conditional(range(3))) < 1e-12
    assert (r.residual < 1e-12) == (categorical == "argmax")


@pytest.mark.parametrize("categorical", ["softmax", "argmax"])
@pytest.mark.parametrize("context", ["shapley", "topological", "first", "total"])
def test_sampling_agrees_with_enumeration(categorical, context):
    """Within 3.5 standard errors plus 0.003 nats, the bound here on the bias that is left at 256 inner mixtures."""
    scm, _ = literal(categorical)
    options = dict(measure="entropy", categorical=categorical, context=context)
    exact = intrinsic_contributions(scm, scores, **options)
    r = intrinsic_contributions(scm, scores, method="sampling", num_samples=2**15, **options)
    assert ((r.contributions - exact.contributions).abs() < 3.5 * r.stderr + 0.003).all()
    assert abs(r.uncertainty - exact.uncertainty) < 3.5 * r.uncertainty_stderr + 0.003
    assert float(r.stderr.max()) < 0.03 and r.scramblings == 16


def test_the_bias_of_the_inner_mean_is_removed():
    """With only 8 inner mixtures the plug-in entropy given a is too small by about 0.014 nats; ours is within 0.007."""
    scm, _ = literal("softmax")
    options = dict(measure="entropy", categorical="softmax", context="first")
    exact = intrinsic_contributions(scm, scores, **options)
    few = dict(method="sampling", num_samples=2**15, inner_samples=8, scramblings=512)
    r = intrinsic_contributions(scm, scores, **few, **options)
    assert float(r.stderr[0]) < 0.0025 and abs(float(r.contributions[0] - exact.contributions[0])) < 0.007


def test_exclusive_or_by_hand():
    """Y = [a > 0] xor [b > 0] of two normals: first 0, total ln 2 each, Shapley ln 2 / 2; sampled within 0.01."""
    roots = StructuralModel({"a": [], "b": []})
    label = lambda x: torch.nn.functional.one_hot(((x[:, 0] > 0) ^ (x[:, 1] > 0)).long(), 2).double()  # noqa: E731
    for context, truth in (("first", 0.0), ("total", LN2), ("shapley", LN2 / 2)):
        r = intrinsic_contributions(roots, label, measure="entropy", context=context)
        assert (r.contributions - truth).abs().max() < 0.01 and abs(r.uncertainty - LN2) < 0.01
        assert r.target == "label" and "H(Y)" in repr(r) and "H(Y)" in r.plot().get_ylabel()


def test_permutations_beyond_twelve_nodes():
    """14 coins, Y = majority of the first three: 0 for the others; the shares of the three are equal by symmetry."""
    names = [f"v{i}" for i in range(14)]
    scm = StructuralModel({n: [] for n in names})
    label = lambda x: torch.stack([x[:, :3].sign().sum(1), -x[:, :3].sign().sum(1)], 1)  # noqa: E731
    options = dict(measure="entropy", categorical="argmax", num_samples=2**13)
    r = intrinsic_contributions(scm, label, **options)
    assert ((r.contributions[:3] - LN2 / 3).abs() < 4 * r.stderr[:3]).all()
    assert r.contributions[3:].abs().max() < 0.01 and abs(r.residual) < 1e-9


def test_list_of_models():
    """The label of two networks: drawn from the mean of their probabilities; each one's own beside it."""
    scm, _ = literal("softmax")
    flat = lambda x: torch.full((len(x), 3), 1 / 3, dtype=x.dtype)  # noqa: E731
    r = intrinsic_contributions(scm, [probabilities, flat], measure="entropy")
    alone = intrinsic_contributions(scm, probabilities, measure="entropy")
    assert (r.models[0] - alone.contributions).abs().max() < 1e-12 and r.models[1].abs().max() < 1e-12
    assert (r.contributions < alone.contributions).all()


def test_entropy_only_of_a_categorical_target():
    scm = system("normal")
    with pytest.raises(ValueError, match="measure must be 'variance' for a continuous target, got 'entropy'"):
        intrinsic_contributions(scm, lambda x: x[:, :1], measure="entropy")
    with pytest.raises(ValueError, match="measure must be 'variance' for a continuous target, got 'entropy'"):
        intrinsic_contributions(scm, None, target="c", measure="entropy")
    with pytest.raises(ValueError, match="where the outputs are no probabilities, got None"):
        intrinsic_contributions(scm, scores, measure="entropy")
    with pytest.raises(ValueError, match="categorical must be"):
        label_probabilities(torch.ones(2, 2), "class", 1)


def test_probabilities_are_taken_as_they_are():
    """Outputs that are probabilities are not squashed a second time; scores are."""
    p = torch.tensor([[0.9, 0.1]], dtype=F64)
    assert torch.equal(label_probabilities(p, "softmax", 1), p) and torch.equal(label_probabilities(p, None, 1), p)
    assert torch.equal(label_probabilities(p * 2, "softmax", 1), (p * 2).softmax(1))
    assert float(entropy(torch.tensor([[1.0, 0.0]], dtype=F64), 1)) == 0.0


@pytest.mark.parametrize("chunk", [1000, None])
def test_memory_is_bounded_by_the_chunk(chunk):
    """No call has more rows, whatever the context; blocks give the same to 1e-12."""
    scm, seen = system("normal"), []

    def counted(x):
        seen.append(len(x))
        return probabilities(x)

    for context in ("shapley", "total"):
        options = dict(measure="entropy", num_samples=2**16, context=context)
        r = intrinsic_contributions(scm, counted, chunk_size=chunk, **options)
        assert max(seen) <= (chunk or 2**14)
        whole = intrinsic_contributions(scm, probabilities, chunk_size=2**20, **options)
        assert (r.contributions - whole.contributions).abs().max() < 1e-12


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("measure", ["variance", "entropy"])
def test_long_runs_of_every_kind_say_so(measure, count, monkeypatch):
    """A clock of 10 s a look: 2^14 · 2^3 rows of each causal model, all predicted at once and said once."""
    clock = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: 10.0 * next(clock))
    with pytest.warns(UserWarning, match=f"{count * 2**17:,} model rows will take about .* minutes") as seen:
        options = dict(measure=measure, chunk_size=2**10, seed=0)
        intrinsic_contributions([system("normal")] * count, probabilities, **options)
    assert len(seen) == 1 and seen[0].filename == __file__
