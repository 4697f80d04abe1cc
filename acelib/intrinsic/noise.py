"""Noises from uniform points: every distribution is driven through its inverse distribution function.

If u ~ U(0, 1) and F is a distribution function, ``F⁻¹(u)`` has that distribution. Quasi-random points u therefore
serve every noise, normal or not, continuous or finite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

InverseCDF = Callable[[Tensor], Tensor]
"""From uniform points to noise of the same shape."""
OPEN = 2.0**-32  # uniform points are kept this far from 0 and 1, where a normal noise would be infinite


class FiniteNoise:
    """Noise that takes finitely many values, so that contributions can be enumerated exactly.

    Args:
        values: ``(g,)`` finite numbers.
        probabilities: ``(g,)`` non-negative numbers that sum to 1; equal where None.

    Raises:
        ValueError: for an empty or non-finite grid, or probabilities that are not ones.

    Example:
        >>> coin = FiniteNoise([-1.0, 1.0])
        >>> assert coin(torch.tensor([0.2, 0.7])).tolist() == [-1.0, 1.0] and float(coin.variance) == 1.0
    """

    def __init__(self, values: Any, probabilities: Any = None) -> None:
        self.values = torch.as_tensor(values, dtype=torch.float64).clone()  # whatever the caller writes there later
        count = self.values.numel()
        if self.values.ndim != 1 or not count or not torch.isfinite(self.values).all():
            raise ValueError(f"values must be a non-empty list of finite numbers, got {self.values.tolist()}")
        equal = torch.full((count,), 1 / count, dtype=torch.float64)
        p = equal if probabilities is None else torch.as_tensor(probabilities, dtype=torch.float64)
        if p.shape != (count,) or bool((p < 0).any()) or abs(float(p.sum()) - 1) > 1e-9:
            raise ValueError(f"probabilities must be {count} non-negative numbers that sum to 1, got {p.tolist()}")
        self.probabilities = p / p.sum()

    def __call__(self, u: Tensor) -> Tensor:
        """Return the noise at uniform points ``u``, in u's shape."""
        edges = self.probabilities.cumsum(0)[:-1].to(u)
        return self.values.to(u)[torch.bucketize(u.contiguous(), edges, right=True)]

    @property
    def variance(self) -> Tensor:
        """Variance of the noise."""
        mean = self.probabilities @ self.values
        return self.probabilities @ (self.values - mean) ** 2

    def __repr__(self) -> str:
        return f"FiniteNoise({self.values.numel()} values)"


class EmpiricalNoise(FiniteNoise):
    """Noise drawn from observed residuals, each with the same probability; sorted, so that it increases with u."""

    def __init__(self, residuals: Any) -> None:
        super().__init__(torch.as_tensor(residuals, dtype=torch.float64).sort().values)


def normal(u: Tensor) -> Tensor:
    """Return standard normal noise at uniform points ``u``."""
    return torch.special.ndtri(u)


def uniform(u: Tensor) -> Tensor:
    """Return uniform noise on (0, 1): ``u`` itself."""
    return u


_NAMED: dict[str, InverseCDF] = {"normal": normal, "uniform": uniform}


def inverse_cdf(noise: Any, node: str) -> InverseCDF:
    """Return a function from uniform points to noise for whatever describes it.

    Args:
        noise: "normal", "uniform", a FiniteNoise, a torch distribution with ``icdf``, a frozen scipy distribution
            with ``ppf``, or a torch callable ``u -> noise``.
        node: its name, for the error.

    Raises:
        ValueError: for an unknown name.
        TypeError: for anything else.
    """
    if isinstance(noise, str):
        if noise not in _NAMED:
            raise ValueError(f"noise of {node!r} must be one of {list(_NAMED)} or a distribution, got {noise!r}")
        return _NAMED[noise]
    if isinstance(noise, FiniteNoise):
        return noise
    if hasattr(noise, "icdf"):
        try:
            noise.icdf(torch.tensor(0.5, dtype=torch.float64))
        except NotImplementedError as error:
            raise ValueError(
                f"noise of {node!r} must have an inverse distribution function icdf, got {noise!r} without one; give a "
                "frozen scipy distribution, or a function of uniform points"
            ) from error
        except (RuntimeError, ValueError, TypeError):  # of its batch shape or its dtype; the first use says so
            pass
        return noise.icdf
    if (ppf := getattr(noise, "ppf", None)) is not None:
        return lambda u: torch.as_tensor(np.asarray(ppf(u.cpu().numpy()))).to(u)
    if callable(noise):
        return cast(InverseCDF, noise)
    raise TypeError(
        f"noise of {node!r} must be 'normal', 'uniform', FiniteNoise, a distribution with icdf or ppf, or a function "
        f"of uniform points, got {type(noise).__name__}"
    )


def variance_of(noise: Any) -> float:
    """Return the variance of a noise, in whatever form ``inverse_cdf`` reads; NaN where it cannot be known.

    A function of uniform points is integrated over u = 1 / (1 + exp(-t)) by the trapezoidal rule, and its variance is
    known where half the points give the same to 1e-9.
    """
    if isinstance(noise, str):
        return 1.0 if noise == "normal" else 1 / 12
    if isinstance(noise, FiniteNoise):
        return float(noise.variance)
    if hasattr(noise, "icdf"):
        return _finite(lambda: noise.variance)
    if hasattr(noise, "ppf"):
        return _finite(noise.var)

    def by(count: int) -> float:
        t = torch.linspace(-22, 22, count, dtype=torch.float64)
        u = torch.sigmoid(t)
        weights = u * (1 - u)
        weights = weights / weights.sum()
        values = noise(u)
        return float(weights @ (values - weights @ values).square())

    fine = _finite(lambda: by(8001))
    coarse = _finite(lambda: by(4001))
    return fine if abs(fine - coarse) <= 1e-9 * fine else float("nan")


def _finite(compute: Callable[[], Any]) -> float:
    """Return a number computed, NaN where it cannot be or is not finite."""
    try:
        value = float(compute())
    except (NotImplementedError, RuntimeError, TypeError, ValueError):
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def inside(u: Tensor) -> Tensor:
    """Return uniform points ``u`` moved off 0 and 1, as far as their dtype tells them apart."""
    return u.clamp(OPEN, 1 - OPEN) if u.dtype == torch.float64 else u.clamp(1e-7, 1 - 1e-7)


def drive(u: Tensor, sources: Sequence[InverseCDF]) -> Tensor:
    """Return noises ``(batch, nodes)`` at uniform points ``u (batch, nodes)``, column by column."""
    u = inside(u)
    columns = [source(u[:, j]) for j, source in enumerate(sources)]
    return torch.stack(columns, dim=1)
