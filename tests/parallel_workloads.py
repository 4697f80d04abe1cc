"""Networks and rows for the tests of executors; in a module, so that a worker can import them."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

FAILS_ABOVE = 1e6


def network(x):
    """Two outputs, one of them without any interaction."""
    return torch.stack([x.tanh().sum(1), (x[:, 0] * x[:, 1]).exp()], 1)


def failing(x):
    """Fails on rows with a large first entry."""
    if bool((x[:, 0] > FAILS_ABOVE).any()):
        raise OverflowError("too large for this network")
    return network(x)


class Counting(nn.Module):
    """Notes each call with more than the entrance's few rows in a file, which all processes share."""

    def __init__(self, log: str) -> None:
        super().__init__()
        self.log = log

    def forward(self, x):
        if len(x) > 2:
            with Path(self.log).open("a") as out:
                out.write(f"{os.getpid()} {len(x)} {float(x.double().sum()):.12g}\n")
        return network(x)


def rows(n: int = 3000, k: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolutional(seed: int) -> nn.Module:
    """A small network of images 3 x 32 x 32 in float64, with weights of its own for each seed."""
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 49, 10),
    ).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return net.eval()


def same(found, expected, tolerance: float = 1e-12) -> None:
    """Fail unless two expectations agree, relative to the largest number of each kind."""
    for name in ("values", "stderr", "covariances", "individual", "models"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert torch.allclose(one, other, rtol=tolerance, atol=tolerance * float(other.abs().max())), name
    # a root: where all curves are parallel nothing is left but the rounding of a variance
    size = 1e-7 * float(expected.individual.abs().max())
    assert torch.allclose(found.spread, expected.spread, rtol=1e-9, atol=size), "spread"
    assert (found.num_rows, found.cost, found.reason) == (expected.num_rows, expected.cost, expected.reason)
    assert (found.skewness is None) == (expected.skewness is None)
    assert abs(found.freedom - expected.freedom) < 1e-9 * expected.freedom
