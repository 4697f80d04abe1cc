"""The result of an interventional expectation, with its error bars and the check of an approximation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Check:
    """The difference between an approximation and the row average, value by value.

    Attributes:
        reference: ``(m, outputs)`` row average under the same interventions.
        stderr: ``(m, outputs)`` standard error of the reference.
        error: ``(m, outputs)`` approximation minus reference.
        num_rows: rows behind the reference.
        dropped: ``(m, outputs)`` second-order term that a truncated factor leaves out of the Taylor expansion,
            estimated along random directions; None where nothing was truncated.
        dropped_stderr: its standard error.
    """

    reference: Tensor
    stderr: Tensor
    error: Tensor
    num_rows: int
    dropped: Tensor | None = None
    dropped_stderr: Tensor | None = None

    @property
    def relative(self) -> Tensor:
        """``(outputs,)`` largest absolute error over the values, in units of the reference curve's range.

        Inf where the reference is flat and the approximation is not; 0 where both are the same.
        """
        span, worst = self.reference.amax(0) - self.reference.amin(0), self.error.abs().amax(0)
        return torch.where(worst > 0, worst / span, worst)

    def __repr__(self) -> str:
        worst = ", ".join(f"{r:.3g}" for r in self.relative.tolist()[:6])
        return f"Check(against {self.num_rows} rows; largest error / range per output: {worst})"


@dataclass(frozen=True, repr=False)
class Expectation:
    """E[y | do(feature = a)] for m values and all outputs, with its error bars.

    Attributes:
        feature: name of the intervened feature.
        alphas: ``(m,)`` values it was set to, in its unit; ``(m, w)`` for w coordinates at once.
        values: ``(m, outputs)`` expectations, in the unit of the output.
        stderr: ``(m, outputs)`` standard error from sampling the rows, model and domain held fixed. For Taylor and
            cubature it does not hold their bias: see ``check``.
        method: the estimator used: "monte_carlo", "taylor" or "cubature".
        check: a Check for approximations where the input model has rows, else None.
        num_rows: rows averaged; 0 for approximations.
        cost: model rows evaluated (Taylor: R + 2 per value, counting one second-order pass as a row).
        spread: ``(m, outputs)`` standard deviation of the centred individual curves; None without rows.
        individual: ``(m, r, outputs)`` curves of up to 50 single rows, evenly spaced (ICE); None without rows.
        models: ``(S, m, outputs)`` expectation of each model where a list was given, else None.
        covariances: ``(outputs, m, m)`` covariance of the sampling errors between values; NaN where it is unknown.
        support_source: computes ``support`` when it is first read.
    """

    feature: str
    alphas: Tensor
    values: Tensor
    stderr: Tensor
    method: str
    check: Check | None
    num_rows: int
    cost: int
    spread: Tensor | None
    individual: Tensor | None = field(repr=False)
    models: Tensor | None = field(repr=False)
    covariances: Tensor = field(repr=False)
    support_source: Callable[[], Tensor] = field(repr=False)

    def covariance(self, output: int = 0) -> Tensor:
        """Return the ``(m, m)`` covariance of the sampling errors between values, for one output."""
        return self.covariances[output]

    @cached_property
    def support(self) -> Tensor:
        """``(m,)`` share of intervened rows that leave the data: 0 all near the data, 1 none; NaN without rows."""
        return self.support_source()

    @property
    def model_spread(self) -> Tensor | None:
        """``(m, outputs)`` standard deviation over the models of a list; None for a single model."""
        return None if self.models is None else self.models.std(0)

    def __repr__(self) -> str:
        rows = f", {self.num_rows} rows" if self.num_rows else ""
        low, high = self.values.amin(0).tolist()[:6], self.values.amax(0).tolist()[:6]
        ranges = ", ".join(f"[{a:.4g}, {b:.4g}]" for a, b in zip(low, high, strict=True))
        return (
            f"Expectation(do({self.feature}), {self.alphas.shape[0]} values, {self.method}{rows}, "
            f"output ranges {ranges}, largest stderr {self.stderr.max():.2g})"
        )

    def plot(self, output: int = 0, ax: Any = None) -> Any:
        """Draw the curve with its band, individual curves and off-support shading; return the axes."""
        from .. import plots

        return plots.plot_expectation(self, output=output, ax=ax)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (value, output)."""
        import pandas as pd

        m, outputs = self.values.shape
        alphas = self.alphas if self.alphas.ndim == 1 else [tuple(a) for a in self.alphas.tolist()]
        repeat = [a for a in (alphas.tolist() if isinstance(alphas, Tensor) else alphas) for _ in range(outputs)]
        columns = {"alpha": repeat, "output": list(range(outputs)) * m}
        for name in ("values", "stderr", "spread"):
            tensor = getattr(self, name)
            columns[name] = torch.full((m * outputs,), torch.nan) if tensor is None else tensor.reshape(-1).cpu()
        columns["support"] = self.support.repeat_interleave(outputs).cpu()
        return pd.DataFrame({k: v.numpy() if isinstance(v, Tensor) else v for k, v in columns.items()})
