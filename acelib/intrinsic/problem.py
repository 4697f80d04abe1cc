"""Independent inputs with names, distributions and groups: what Sobol' indices are asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .noise import drive, inverse_cdf


@dataclass(frozen=True)
class Problem:
    """Independent inputs.

    Attributes:
        names: the inputs, in their order.
        noises: ``{name: distribution}``, in any form that ``StructuralModel`` reads as noise.
        members: for each input the number of the group whose indices it shares.
        called: names of the groups; of the inputs where each is by itself.

    Example:
        >>> import torch
        >>> pair = Problem.uniform(2)
        >>> assert pair.called == ("x0", "x1") and pair.scaled(torch.full((1, 2), 0.25)).tolist() == [[0.25, 0.25]]
    """

    names: tuple[str, ...]
    noises: Mapping[str, Any]
    members: tuple[int, ...]
    called: tuple[str, ...]

    @classmethod
    def uniform(cls, count: int) -> Problem:
        """Return inputs x0, x1, ... that are U(0, 1)."""
        names = tuple(f"x{i}" for i in range(count))
        return cls(names, dict.fromkeys(names, "uniform"), tuple(range(count)), names)

    @property
    def grouped(self) -> bool:
        """Whether inputs share indices."""
        return len(self.called) < len(self.names)

    def scaled(self, u: Tensor) -> Tensor:
        """Return inputs ``(batch, inputs)`` at uniform points ``u (batch, inputs)``."""
        return drive(u, [inverse_cdf(self.noises[name], name) for name in self.names])
