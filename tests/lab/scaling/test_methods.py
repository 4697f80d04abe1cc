"""Prices and errors of the estimators: against loops written out and against functions whose errors are known."""

import pytest
import torch

from acelib import InputDistribution
from acelib.lab import scaling
from acelib.lab.networks import mlp
from acelib.lab.scaling import frontier, intervened_outputs, methods, relative_error

VALUES = torch.linspace(-1, 1, 5, dtype=torch.float64)


@pytest.fixture
def inputs():
    X = torch.randn(60, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return InputDistribution.fit(X @ torch.tensor([[1.0, 0.5, 0], [0, 1, 0.3], [0, 0, 1]], dtype=torch.float64))


@pytest.fixture
def net():
    return mlp((6, 5, 3), activation="tanh", seed=0).eval().requires_grad_(False)


@pytest.fixture
def rows():
    return torch.rand(40, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def quadratic(x):
    return torch.stack([x[:, 0] * x[:, 1] + x[:, 2] ** 2, x[:, 0] - x[:, 1] * x[:, 2]], 1)


def test_intervened_outputs_are_those_of_a_loop_over_values(inputs):
    """Reference: overwrite the column and call the model, value by value."""
    got = intervened_outputs(quadratic, inputs, 1, VALUES)
    for value, block in zip(VALUES, got, strict=True):
        rows = inputs.samples.clone()
        rows[:, 1] = value
        assert torch.equal(block, quadratic(rows))


def test_inputs_keep_their_shape():
    """The model sees (batch, 2, 2), not the flattened rows."""
    X = torch.rand(10, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = intervened_outputs(lambda x: x.sum(-1), InputDistribution.fit(X), 0, VALUES)
    assert got.shape == (5, 10, 2)
    assert torch.equal(got[3, :, 1], X[:, 1].sum(-1))


def test_relative_error_by_hand():
    """Effects -1, 0, 1 and an estimate of twice them: the error is as large as the effect. Levels do not count."""
    exact = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    assert relative_error(2 * exact + 7, exact) == pytest.approx(1, abs=1e-6)
    assert relative_error(exact - 4, exact) == 0


def test_second_order_methods_are_exact_for_a_quadratic_and_all_rows_are_exact(inputs):
    """Closed form: E f = f(mu) + tr(H Sigma)/2 holds without remainder; f(mu) alone is off by a constant per output."""
    result = frontier(quadratic, inputs, [0, 2], VALUES, sizes=[5, 60], repeats=3, parts={"one": slice(0, 1)})
    assert result.errors["taylor"]["one"] < 1e-12
    assert result.errors["cubature"]["one"] < 1e-12
    assert result.rows["one"].shape == (2, 3)
    assert result.rows["one"][1].max() < 1e-12
    assert result.rows["one"][0].min() > 1e-3
    assert result.costs == {"mean point": 1, "taylor": 3 + 2, "cubature": 2 * 3}
    assert "taylor at 5 rows" in repr(result)


def test_a_cubic_tells_the_methods_apart(inputs):
    """f = a b^2 c under do(a): E = a E[b^2 c]; f(mu) gives a mu_b^2 mu_c, so its relative error is a known ratio."""
    result = frontier(lambda x: (x[:, 0] * x[:, 1] ** 2 * x[:, 2])[:, None], inputs, [0], VALUES, sizes=[10])
    b, c = inputs.samples[:, 1], inputs.samples[:, 2]
    truth, point = (b**2 * c).mean(), b.mean() ** 2 * c.mean()
    assert result.errors["mean point"]["output"] == pytest.approx(float(abs(point / truth - 1)), rel=1e-10)
    taylor = point + b.var(correction=0) * c.mean() + 2 * b.mean() * ((b - b.mean()) * (c - c.mean())).mean()
    assert result.errors["taylor"]["output"] == pytest.approx(float(abs(taylor / truth - 1)), rel=1e-10)


def test_the_seed_decides_the_subsets(inputs):
    """Same seed, same errors; another seed, others."""
    one, two, three = (frontier(quadratic, inputs, [0], VALUES, sizes=[5], seed=s).rows["output"] for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_a_size_beyond_the_rows_is_refused(inputs):
    with pytest.raises(ValueError, match="sizes must be numbers between 1 and 60, .* got .61"):
        frontier(quadratic, inputs, [0], VALUES, sizes=[61])


def test_both_puts_probabilities_beside_logits_in_chunks_too(net, rows, monkeypatch):
    whole = scaling.both(net)(rows)
    assert torch.equal(whole[:, :3], net(rows))
    assert torch.allclose(whole[:, 3:], torch.softmax(net(rows), 1), atol=1e-15)
    monkeypatch.setattr(methods, "CHUNK", 7)
    assert torch.allclose(scaling.both(net)(rows), whole, atol=1e-14)


def test_spread_pixels_leaves_out_those_that_hardly_vary():
    X = torch.rand(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X[:, [0, 2, 4, 6]] *= 1e-3
    assert scaling.spread_pixels(InputDistribution.fit(X), 4) == [1, 3, 5, 7]
    assert scaling.spread_pixels(InputDistribution.fit(X), 2) == [3, 7]


def test_errors_shrink_with_rows_and_vanish_with_all(net, rows):
    inputs = InputDistribution.fit(rows, domain=(0.0, 1.0))
    parts = {"logits": slice(0, 3), "probabilities": slice(3, 6)}
    pixels, values = scaling.spread_pixels(inputs, 3), torch.linspace(0, 1, 3, dtype=torch.float64)
    found = scaling.frontier(scaling.both(net), inputs, pixels, values, sizes=(4, 40), repeats=5, parts=parts)
    for part in parts:
        assert found.rows[part][1].max() < 1e-12 < found.rows[part][0].min()
