"""Small networks and tables that several tests use."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from torch import Tensor, nn

from acelib import InputDistribution
from acelib.lab.datasets import Dataset

real = pytest.mark.skipif(
    "ACELIB_DATA" not in os.environ, reason="ACELIB_DATA does not name a folder with the real files"
)


# A claim as book/claims.toml holds it.
CLAIM = {
    "paper": "ace",
    "where": "Sec. 1",
    "kind": "number",
    "statement": "A third is 0.333.",
    "printed": "0.333",
    "why": "The fourth digit is rounded away.",
    "pilots": "none",
    "tests": [{"reading": "to the last digit", "inequality": "abs(third - 0.333) < threshold", "threshold": 5e-4}],
}

# Laws of a feature, skewed and heavy-tailed ones among them: 2000 draws each.
LAWS = {
    "lognormal": lambda rng: np.exp(rng.normal(size=2000)),
    "exponential": lambda rng: rng.exponential(size=2000),
    "income": lambda rng: np.exp(rng.normal(10, 0.8, 2000)),
    "normal": lambda rng: rng.normal(size=2000),
    "t3": lambda rng: rng.standard_t(3, size=2000),
    "beta": lambda rng: rng.beta(0.5, 3, size=2000),
}


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


def layer(*sizes: int, seed: int = 0) -> nn.Linear:
    """A linear layer in float64 as torch draws it after this seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(*sizes, dtype=torch.float64)


def product(x: Tensor) -> Tensor:
    """Two outputs of three inputs: a product of the first two, and a sum of the first and three times the third."""
    return torch.stack([x[:, 0] * x[:, 1], x[:, 0] + 3 * x[:, 2]], dim=1)


def cube() -> InputDistribution:
    """Three independent inputs a, b, c on [0, 1], 300 rows."""
    generator = torch.Generator().manual_seed(0)
    X = torch.rand(300, 3, generator=generator, dtype=torch.float64)
    return InputDistribution.fit(X, feature_names=["a", "b", "c"], domain=(0.0, 1.0))


def in_threads(*tasks):
    """Run the tasks at the same time; raise the first error."""
    errors, gate = [], threading.Barrier(len(tasks))

    def guarded(task):
        try:
            gate.wait()
            task()
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
