"""Counted work against products counted by hand, and the loop of Hessian-vector products against the trace."""

import torch
from torch import nn

from acelib.lab import scaling
from acelib.lab.networks import mlp


def test_count_of_layers_is_rows_times_inputs_times_outputs():
    linear, conv = nn.Linear(7, 5), nn.Conv2d(2, 3, 3)
    assert scaling.count(lambda: linear(torch.zeros(4, 7))) == 4 * 7 * 5
    assert scaling.count(lambda: conv(torch.zeros(1, 2, 6, 6))) == 3 * 2 * 9 * 16
    assert scaling.count(lambda: torch.zeros(9).sin()) == 0


def test_count_sees_through_function_transforms():
    """A Jacobian of W x by reverse mode multiplies W once forward and once for each of the 5 outputs."""
    weight = torch.ones(5, 7)
    assert scaling.count(lambda: torch.func.jacrev(lambda x: weight @ x)(torch.zeros(7))) == 6 * 35


def test_the_loop_of_vector_products_is_the_trace():
    """Against half of Tr(H S S^T) with the whole Hessian from torch.func (1e-12)."""
    net = mlp((5, 4, 3), activation="tanh", seed=3)
    generator = torch.Generator().manual_seed(0)
    x, s = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((5,), (5, 2)))
    whole = torch.func.hessian(lambda z: net(z[None])[0])(x)
    expected = 0.5 * torch.einsum("oij,ir,jr->o", whole, s, s)
    assert torch.allclose(scaling.vector_products(net, x, s), expected, atol=1e-12)
