"""Small networks and tables that several tests use."""

from __future__ import annotations

import os

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from torch import Tensor, nn

from acelib.lab.datasets import Dataset

real = pytest.mark.skipif(
    "ACELIB_DATA" not in os.environ, reason="ACELIB_DATA does not name a folder with the real files"
)


def network(k: int, outputs: int = 3, *, activation: type[nn.Module] = nn.Tanh, gain: float = 2.0, seed: int = 0):
    """A float64 two-layer network with probabilities as outputs; weights from an explicit generator."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(k, 8), activation(), nn.Linear(8, outputs), nn.Softmax(dim=1)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(gain * torch.randn(p.shape, generator=generator, dtype=p.dtype) / p.shape[-1] ** 0.5)
    return net.eval()


def table(name: str) -> Tensor:
    """A scikit-learn table, min-max scaled, float64."""
    X = torch.from_numpy({"iris": load_iris, "cancer": load_breast_cancer}[name]().data)
    return (X - X.amin(0)) / (X.amax(0) - X.amin(0))


def correlated(n: int, k: int, *, seed: int = 0) -> Tensor:
    """Correlated normal rows, float64."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(k, k, generator=generator, dtype=torch.float64) / k**0.5
    return torch.randn(n, k, generator=generator, dtype=torch.float64) @ mix


def made_up_digits() -> tuple[Dataset, Dataset]:
    """Ten random pictures of 28×28 under noise in [0, 1], 300 rows to learn and 100 to test: easy to tell apart."""
    generator = torch.Generator().manual_seed(3)
    templates = torch.rand(10, 28, 28, generator=generator)

    def part(rows: int) -> Dataset:
        y = torch.arange(rows) % 10
        X = (templates[y] + 0.2 * torch.randn(rows, 28, 28, generator=generator)).clamp(0, 1)
        return Dataset("made up", X, y, (), tuple("0123456789"), source="made up for a test")

    return part(300), part(100)
