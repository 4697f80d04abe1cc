"""The place where a case runs, the register of cases, and the networks and tables that several cases use."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Place:
    """Where networks and tensors of a case live, and their dtype."""

    device: torch.device
    dtype: torch.dtype

    @property
    def results(self) -> torch.device:
        """Where results in float64 live: beside the data, or on the CPU where the device has no float64."""
        return torch.device("cpu") if self.device.type == "mps" else self.device

    def tensor(self, values: Tensor) -> Tensor:
        """Return numbers there; integers and truth values keep their dtype."""
        return (values.to(self.dtype) if values.is_floating_point() else values).to(self.device)

    def network(self, net: nn.Module) -> nn.Module:
        """Return a copy of the network there, in evaluation mode."""
        return copy.deepcopy(net).to(self.dtype).to(self.device).eval()


CASES: dict[str, Callable[[Place], Any]] = {}
COVERED: dict[str, set[str]] = {}


def asks(*names: str) -> Callable:
    """Register a case and the public names that it uses there."""

    def register(case: Callable[[Place], Any]) -> Callable[[Place], Any]:
        CASES[case.__name__] = case
        for name in names:
            COVERED.setdefault(name, set()).add(case.__name__)
        return case

    return register


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Return uniform numbers, float64, on the CPU."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(net: nn.Module, *, seed: int = 0) -> nn.Module:
    """Return the network with normal weights from a generator of its own, of a size that keeps tanh curved."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(1.5 * torch.randn(p.shape, generator=generator, dtype=torch.float64) / max(1, p.shape[-1]) ** 0.5)
    return net


X = drawn(120, 4)
ALPHAS = [0.1, 0.5, 0.8]
NET = filled(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)))
IMAGES = drawn(40, 1, 8, 8, seed=1)
CONV = filled(
    nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3)
    )
)


def shown(result: Any, **options: Any) -> None:
    """Draw the result and put the picture away."""
    result.plot(**options)
    plt.close("all")


def saved(result: Any) -> Any:
    """Return the result after a file."""
    with tempfile.TemporaryDirectory() as folder:
        return type(result).load(result.save(Path(folder) / "result"))
