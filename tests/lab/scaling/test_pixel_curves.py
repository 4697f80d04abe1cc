"""Curves of all pixels and the maps read off them, against the library's estimators and known effects."""

import pytest
import torch
from torch import nn

from acelib import InputDistribution, interventional_expectation
from acelib.lab import scaling
from acelib.lab.networks import mlp


@pytest.fixture
def net():
    return mlp((6, 5, 3), activation="tanh", seed=0).eval().requires_grad_(False)


@pytest.fixture
def rows():
    return torch.rand(40, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_average_curves_are_the_library_s_row_averages(net, rows):
    values = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    curves = scaling.average_curves(net, rows, values)
    inputs = InputDistribution.fit(rows, domain=(0.0, 1.0))
    for i in range(6):
        expected = interventional_expectation(net, inputs, i, values).values
        assert (curves[i] - expected).abs().max() < 1e-13
    assert torch.equal(scaling.average_curves(net, rows, values, pixels=[4])[0], curves[4])


def test_taylor_curves_are_the_library_s_expansion(net, rows):
    values = torch.tensor([0.2, 0.9], dtype=torch.float64)
    inputs = InputDistribution.fit(rows, domain=(0.0, 1.0))
    first, second = scaling.taylor_curves(net, inputs.mean, inputs.factor, values, pixels=[1, 5])
    for place, i in enumerate((1, 5)):
        expected = interventional_expectation(net, inputs, i, values, method="taylor").values
        assert (first[place] + second[place] - expected).abs().max() < 1e-13


def test_curves_of_images_keep_the_shape_the_model_wants(rows):
    model = nn.Sequential(nn.Flatten(), mlp((6, 3), seed=0)).eval().requires_grad_(False)
    values = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert scaling.average_curves(model, rows, values, shape=(1, 2, 3)).shape == (6, 2, 3)
    first, second = scaling.taylor_curves(model, rows.mean(0), rows[:2].T, values, shape=(1, 2, 3))
    assert first.shape == (6, 2, 3) and second.abs().max() == 0  # a linear model does not bend


def test_read_off_is_the_ace_of_a_straight_curve(rows):
    """A linear model w·x has ACE w (x − ½), whatever the rows."""
    weight = torch.tensor([[1.0], [-2.0], [3.0], [0.0], [5.0], [-1.0]], dtype=torch.float64)
    values = torch.linspace(0, 1, 4, dtype=torch.float64)
    image = torch.tensor([0.0, 1.0, 0.4, 0.7, 0.5, 0.1], dtype=torch.float64)
    effect = scaling.read_off(scaling.average_curves(lambda x: x @ weight, rows, values), values, image)
    assert (effect[:, 0] - weight[:, 0] * (image - 0.5)).abs().max() < 1e-12


def test_drawn_rows_follow_the_moments_inside_the_range():
    """Mean and covariance within four standard errors where the cut at 0 and 1 is 25 standard deviations away."""
    mean, factor = torch.full((2,), 0.5, dtype=torch.float64), torch.tensor([[0.02, 0.0], [0.01, 0.01]]).double()
    X = scaling.drawn_rows(mean, factor, 20_000, seed=3)
    assert (X.mean(0) - mean).abs().max() < 4 * 0.02 / 20_000**0.5
    assert (torch.cov(X.T) - factor @ factor.T).abs().max() < 4 * 2**0.5 * 0.02**2 / 20_000**0.5
    assert torch.equal(X, scaling.drawn_rows(mean, factor, 20_000, seed=3))
    wide = scaling.drawn_rows(mean, 9 * torch.eye(2).double(), 50)
    assert wide.min() == 0 and wide.max() == 1


def test_a_grid_of_one_value_has_no_average():
    with pytest.raises(ValueError, match="at least 2"):
        scaling.read_off(torch.zeros(2, 1, 1), torch.tensor([0.5]), torch.zeros(2))
