"""What does the network say on average when one input is set to a value? E[y | do(x_i = a)].

Eq. 2 of Chattopadhyay et al. (2019) is an average over the interventional distribution. The sound estimator is the
row average: overwrite the input in every row of the data and average; it is exact for these rows and carries a
sampling error. The paper's own estimator, a second-order expansion around the interventional mean (Eq. 3-4), and
sigma-point cubature need only moments, but they are biased by an unknown amount.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .._models import DEFAULT_CHUNK, Model, as_models, check_placement, joint
from .._warnings import ApproximationWarning
from ..inputs.distribution import Feature, InputDistribution
from ..inputs.intervention import Intervention
from .estimators import Estimate, cubature, row_average, taylor

DEFAULT_BUDGET = 1_000_000  # model rows one call of method="auto" may spend
MIN_ROWS = 100  # below this many rows the error bar itself is unreliable
METHODS = ("auto", "monte_carlo", "taylor", "cubature")


@dataclass(frozen=True)
class Check:
    """How far an approximation is from the row average, value by value.

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
            cubature it says nothing of their bias: see ``check``.
        method: the estimator used: "monte_carlo", "taylor" or "cubature".
        check: a Check for approximations where the input model has rows, else None.
        num_rows: rows averaged; 0 for approximations.
        cost: model rows evaluated (Taylor: R + 2 per value, counting one second-order pass as a row).
        spread: ``(m, outputs)`` standard deviation of the centred individual curves; None without rows.
        individual: ``(m, r, outputs)`` curves of up to 50 single rows, evenly spaced (ICE); None without rows.
        models: ``(S, m, outputs)`` expectation of each model where a list was given, else None.
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
    _covariance: Tensor = field(repr=False)
    _support: Callable[[], Tensor] = field(repr=False)

    def covariance(self, output: int = 0) -> Tensor:
        """Return the ``(m, m)`` covariance of the sampling errors between values, for one output."""
        return self._covariance[output]

    @cached_property
    def support(self) -> Tensor:
        """``(m,)`` share of intervened rows that leave the data: 0 all near the data, 1 none; NaN without rows."""
        return self._support()

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


def interventional_expectation(
    model: Model | Sequence[Model],
    inputs: InputDistribution,
    feature: Feature,
    values: Any,
    *,
    method: str = "auto",
    budget: int = DEFAULT_BUDGET,
    chunk_size: int | None = None,
    seed: int | None = None,
    groups: Any = None,
    progress: bool = False,
    outputs: Sequence[int] | None = None,
) -> Expectation:
    """Return E[y | do(feature = value)] for every value and output, with standard errors.

    Args:
        model: torch callable ``(batch, *shape) -> (batch, outputs)``, or a list of them (training seeds): then the
            expectation is of their mean, and ``model_spread`` tells how much they differ.
        inputs: a causal input model, e.g. ``InputDistribution.fit(X)``.
        feature: name, index, or a tuple of them.
        values: ``(m,)``, or ``(m, w)`` for a tuple of w features.
        method: "monte_carlo" averages over all rows. "auto" does so while rows x values stay within ``budget``,
            else over a seeded subset that fits it (at least 100 rows); without rows it uses cubature and warns.
            "taylor" is the paper's estimator, "cubature" sigma points; both are checked against rows if there are any.
        budget: model rows "auto" and the checks may spend.
        chunk_size: model rows a call; bounds memory.
        seed: of the subset; None and 0 draw the same documented subset, so results repeat.
        groups: ``(n,)`` labels of dependent rows (windows of one flight): errors are then cluster-robust, and a
                subset takes whole groups. Default: what the input model says of its rows.
        progress: show a progress bar.
        outputs: only these columns of the model's output.

    Raises:
        ValueError: for unknown features, bad values, a model in training mode, or outputs of the wrong shape.

    References:
        Chattopadhyay et al. (2019), Eq. 2 (row average) and Eq. 3-4 (Taylor).

    Example:
        >>> X = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 6.0]], dtype=torch.float64)
        >>> e = interventional_expectation(lambda x: x.prod(1, keepdim=True), InputDistribution.fit(X), 0, [0.0, 2.0])
        >>> assert e.values[:, 0].tolist() == [0.0, 6.0]  # 2 times the mean of the other input
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if budget < 1 or (chunk_size is not None and chunk_size < 1):
        raise ValueError(f"budget and chunk_size must be positive, got {budget} and {chunk_size}")
    models = as_models(model)
    answer = inputs.do(feature, values)
    answer.check_models(models)
    check_placement(models, answer.values)
    call = joint(models, outputs)
    chunk = chunk_size or DEFAULT_CHUNK
    labels = _labels(groups, answer)
    index = None if method == "monte_carlo" else subset(answer, budget, seed, labels)

    def average() -> Estimate:
        part = None if labels is None else labels if index is None else labels[index]
        return row_average(call, answer, chunk=chunk, index=index, groups=part, progress=progress, columns=outputs)

    if method == "auto":
        method = "monte_carlo" if answer.num_rows else "cubature"
        if not answer.num_rows:
            warnings.warn(
                "the input model has no rows, so the expectation is approximated from its moments by cubature and "
                "its bias is unknown; give rows (InputDistribution.fit) for an average with an error bar",
                ApproximationWarning,
                stacklevel=2,
            )
    check = None
    if method == "monte_carlo":
        estimate = average()
    else:
        estimate = (taylor if method == "taylor" else cubature)(call, answer, chunk=chunk)
        if answer.num_rows:
            check = average()
    return _present(answer, estimate, check, method, len(models))


def subset(answer: Intervention, budget: int, seed: int | None, labels: Tensor | None = None) -> Tensor | None:
    """Return the seeded row numbers that fit ``budget`` model rows, at least 100; None where all rows fit.

    Dependent rows stay together: with ``labels (n,)`` whole groups are drawn, until the next would exceed the budget.
    """
    wanted = max(MIN_ROWS, budget // len(answer))
    if answer.num_rows <= wanted:
        return None
    generator = torch.Generator().manual_seed(0 if seed is None else seed)
    if labels is None:
        return torch.randperm(answer.num_rows, generator=generator)[:wanted].to(answer.values.device)
    sizes = labels.bincount().cpu()
    order = torch.randperm(len(sizes), generator=generator)
    count = max(2, int((sizes[order].cumsum(0) <= wanted).sum()))
    return torch.isin(labels, order[:count].to(labels.device)).nonzero()[:, 0]


def _labels(groups: Any, answer: Intervention) -> Tensor | None:
    if groups is None:
        return answer.groups
    _, labels = torch.unique(torch.as_tensor(groups), return_inverse=True)
    if labels.shape != (answer.num_rows,):
        raise ValueError(f"groups must hold one label per row, ({answer.num_rows},), got {tuple(labels.shape)}")
    if int(labels.max()) < 1:
        raise ValueError("groups holds a single group; the error between groups needs at least two")
    return labels.to(answer.values.device)


def _present(answer: Intervention, estimate: Estimate, check: Estimate | None, method: str, count: int) -> Expectation:
    """Split the columns of a joint model and name everything."""
    width = estimate.values.shape[1] if count == 1 else estimate.values.shape[1] // (count + 1)
    rows = estimate if check is None else check
    stderr = _stderr(estimate)
    models = None
    if count > 1:
        models = estimate.values[:, width:].reshape(len(answer), count, width).permute(1, 0, 2)
    comparison = None
    if check is not None:
        reference = check.values[:, :width]
        error = estimate.values[:, :width] - reference
        dropped = (None, None) if estimate.dropped is None else (t[:, :width] for t in estimate.dropped)
        comparison = Check(reference, _stderr(check)[:, :width], error, check.num_rows, *dropped)
    return Expectation(
        feature=answer.name,
        alphas=answer.alphas,
        values=estimate.values[:, :width],
        stderr=stderr[:, :width],
        method=method,
        check=comparison,
        num_rows=estimate.num_rows,
        cost=estimate.cost,
        spread=None if rows.spread is None else rows.spread[:, :width],
        individual=None if rows.individual is None else rows.individual[..., :width],
        models=models,
        _covariance=estimate.covariance[:width],
        _support=answer.support,
    )


def _stderr(estimate: Estimate) -> Tensor:
    return estimate.covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt().T
