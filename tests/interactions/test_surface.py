"""The surface of two inputs and its parts: products and sums in closed form, errors against many samples."""

import copy
import warnings

import pytest
import torch
from helpers import network

from acelib import EffectSurface, InputDistribution, effect_surface, interventional_expectation

F64 = torch.float64


@pytest.fixture(autouse=True)
def calm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def fitted(n=300, seed=0, **options):
    X = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return InputDistribution.fit(X, feature_names=["a", "b", "c"], **{"domain": (0.0, 1.0), **options})


def test_the_surface_of_a_product_is_exact():
    """ab + c: interaction (a − ½)(b − ½), main effects (a − ½) / 2; over a uniform grid the share is v / (v + ½ s)."""
    found = effect_surface(lambda x: (x[:, 0] * x[:, 1] + x[:, 2])[:, None], fitted(), ("a", "b"))
    a, b = found.values_a, found.values_b
    mean = float(fitted().samples[:, 2].mean())
    assert found.mean.shape == (12, 12, 1) and torch.allclose(found.mean[..., 0], a[:, None] * b + mean)
    assert torch.allclose(found.interaction[..., 0], (a[:, None] - 0.5) * (b - 0.5), atol=1e-12)
    assert torch.allclose(found.main_a[:, 0], (a - 0.5) / 2) and torch.allclose(found.main_b[:, 0], (b - 0.5) / 2)
    v = float(a.var(correction=0))
    assert float(found.share) == pytest.approx(v**2 / (v**2 + v / 2))
    error = fitted().samples[:, 2].std() / 300**0.5  # c moves the whole surface, and no part of it
    assert torch.allclose(found.stderr, error.expand(12, 12, 1))
    for part in ("interaction_stderr", "main_a_stderr", "main_b_stderr", "share_stderr"):
        assert float(getattr(found, part).max()) < 1e-8


def test_a_sum_has_no_interaction():
    found = effect_surface(lambda x: (x[:, 0].sin() + x[:, 1] ** 2 + x[:, 2])[:, None], fitted(), (0, 1))
    assert abs(float(found.share)) < 1e-12 and float(found.interaction.abs().max()) < 1e-12
    flat = effect_surface(lambda x: x[:, 2:] + 5, fitted(), (0, 1))
    assert float(flat.share) == 0 and float(flat.share_stderr) == 0


def test_parts_sum_to_the_surface_and_to_nothing():
    found = effect_surface(network(3), fitted(), ("b", "a"), [0.1, 0.5, 0.7, 1.0], [0.0, 0.2, 0.9])
    grand = found.mean.mean((0, 1))
    whole = grand + found.main_a[:, None] + found.main_b[None] + found.interaction
    assert torch.allclose(whole, found.mean)
    for part in (found.main_a.sum(0), found.main_b.sum(0), found.interaction.sum(0), found.interaction.sum(1)):
        assert float(part.abs().max()) < 1e-12
    pairs = torch.cartesian_prod(found.values_a, found.values_b)
    e = interventional_expectation(network(3), fitted(), ("b", "a"), pairs)
    assert found.expectation == e and torch.equal(found.mean.reshape(12, 3), e.values)
    assert torch.equal(found.stderr.reshape(12, 3), e.stderr) and torch.equal(found.support.flatten(), e.support)


def truth():
    X = torch.rand(200_000, 3, generator=torch.Generator().manual_seed(99), dtype=F64)
    inputs = InputDistribution.fit(X, feature_names=["a", "b", "c"], domain=(0.0, 1.0))
    return effect_surface(curved, inputs, ("a", "b"), GRID, GRID, budget=10**7)


def curved(x):
    return torch.sin(3 * x[:, :1] * (x[:, 1:2] + 1.5 * x[:, 2:])) + x[:, 1:2] * x[:, 2:]


GRID = [0.0, 0.3, 0.7, 1.0]


def test_errors_are_those_of_other_samples():
    """200 samples of 150 rows against 200,000 rows: spread and coverage of interaction, main effects and share."""
    exact, found = truth(), [effect_surface(curved, fitted(150, s), ("a", "b"), GRID, GRID) for s in range(200)]
    for part in ("interaction", "main_a", "main_b", "share"):
        values = torch.stack([getattr(one, part) for one in found])
        errors = torch.stack([getattr(one, f"{part}_stderr") for one in found])
        assert torch.allclose(errors.mean(0), values.std(0), rtol=0.2)
        covered = ((values - getattr(exact, part)).abs() <= 1.97 * errors).double().mean()
        assert 0.91 <= float(covered) <= 0.98, part
    inside = [(low <= exact.interaction) & (exact.interaction <= high) for low, high in (f.interval() for f in found)]
    assert 0.91 <= float(torch.stack(inside).double().mean()) <= 0.98
    shares = torch.stack([one.share for one in found])
    assert abs(float(shares.mean() - exact.share)) < 3 * float(shares.std()) / 200**0.5 + 0.2 * float(shares.std())


def test_the_squares_of_noise_are_taken_off():
    """a + 4 (c − ½)(a − ½)(b − ½), whose interaction is 0 on average: so is its share over 200 samples of 30 rows."""

    def noisy(x):
        return (x[:, 0] + 4 * (x - 0.5).prod(1))[:, None]

    shares = torch.cat([effect_surface(noisy, fitted(30, s), ("a", "b"), GRID, GRID).share for s in range(200)])
    assert abs(float(shares.mean())) < 3 * float(shares.std()) / 200**0.5 < 0.002


def test_the_squares_of_the_networks_noise_are_taken_off_too():
    """a + z (a − ½)(b − ½) with z of mean 0 over the seeds, three networks of them: 100 lists."""
    z = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    nets = [[lambda x, z=z: (x[:, 0] + z * (x[:, :2] - 0.5).prod(1))[:, None] for z in some] for some in z]
    shares = torch.cat([effect_surface(some, fitted(30), ("a", "b"), GRID, GRID).share for some in nets])
    assert abs(float(shares.mean())) < 3 * float(shares.std()) / 10 < 0.03  # without: 0.05


def test_a_list_of_networks_widens_the_errors():
    nets = [network(3, seed=s) for s in range(3)]
    both, one = (effect_surface(m, fitted(), (0, 1), GRID, GRID) for m in (nets, nets[0]))
    spread = both.expectation.models.reshape(3, 4, 4, 3)
    alone = torch.stack([effect_surface(m, fitted(), (0, 1), GRID, GRID).interaction for m in nets])
    assert torch.allclose(both.interaction, alone.mean(0)) and torch.allclose(both.mean, spread.mean(0))
    assert float((both.interaction_stderr**2 - alone.var(0) / 3).min()) > -1e-12
    assert float(both.interaction_freedom.min()) < 10 < float(one.interaction_freedom.min())
    assert float(both.share_stderr.max()) > float(one.share_stderr.max())


def test_options_and_finite_sets():
    X = torch.rand(100, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    X[:, 1] = torch.arange(100) % 3
    inputs = InputDistribution.fit(X, domain={"x0": (0.0, 1.0), "x1": {0, 1, 2}})
    found = effect_surface(network(3), inputs, (0, 1), outputs=[2], where={"x2": (0.5, None)})
    assert found.values_b.tolist() == [0, 1, 2] and found.mean.shape == (12, 3, 1)
    assert found.expectation.num_rows == int((X[:, 2] >= 0.5).sum())


def test_pairs_off_the_data_are_known():
    """Two inputs that are equal: the corners of the square leave the data."""
    line = torch.linspace(0, 1, 80, dtype=F64)
    inputs = InputDistribution.fit(torch.stack([line, line, line**2], 1))
    found = effect_surface(network(3), inputs, (0, 1), GRID, GRID)
    assert float(found.support[0, 3]) == float(found.support[3, 0]) == 1


def test_what_it_says_and_what_it_holds():
    found = effect_surface(network(3), fitted(), ("a", "b"), [0.0, 0.5, 1.0], [0.0, 1.0])
    assert repr(found).startswith("EffectSurface(do(a, b), 3 x 2 values, interaction holds ")
    frame = found.to_frame()
    assert list(frame.columns) == ["a", "b", "output", "mean", "stderr", "interaction", "interaction_stderr", "support"]
    row = frame[(frame.a == 0.5) & (frame.b == 1.0) & (frame.output == 2)]
    assert len(frame) == 18 and row["mean"].item() == float(found.mean[1, 1, 2])
    assert row["interaction"].item() == float(found.interaction[1, 1, 2])
    assert isinstance(found, EffectSurface) and copy.deepcopy(found) == found


@pytest.mark.parametrize(
    "call, error, says",
    [
        (
            lambda: effect_surface(network(3), fitted().samples, (0, 1)),
            TypeError,
            "inputs must be a causal input model",
        ),
        (
            lambda: effect_surface(network(3), fitted(), "ab"),
            ValueError,
            "features must be two single inputs, got 'ab'",
        ),
        (lambda: effect_surface(network(3), fitted(), (0, 1, 2)), ValueError, "features must be two single inputs"),
        (lambda: effect_surface(network(3), fitted(), (0, (1, 2))), ValueError, "features must be two single inputs"),
        (lambda: effect_surface(network(3), fitted(), (0, 0)), ValueError, "each once"),
        (lambda: effect_surface(network(3), fitted(), (0, 1), [0.5]), ValueError, "values_a must be at least two"),
        (lambda: effect_surface(network(3), fitted(), (0, 1), None, [1, 1]), ValueError, "values_b must be at least"),
    ],
)
def test_what_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()
