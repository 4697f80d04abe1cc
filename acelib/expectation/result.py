"""The result of an interventional expectation, with its error bars and the check of an approximation."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._intervals import ends, satterthwaite, wilson_ends
from .._names import chosen
from .._optional import optional
from .._saved import Result, check_entries, plain, reading, rebuilt, same, save_json
from .._waiting import waits
from ..inputs.support import Later

FORMAT = "acelib.expectation/1"


@dataclass(frozen=True, eq=False, repr=False)
class Check(Result):
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


@waits("spread", "individual", "covariances")
@dataclass(frozen=True, eq=False, repr=False)
class Expectation(Result):
    """E[y | do(feature = a)] for m values and all outputs, with its error bars.

    Its tensors are float64 on the device of the inputs, or on the CPU where that device has no float64 (Apple's MPS).

    Attributes:
        feature: name of the intervened feature.
        alphas: ``(m,)`` values it was set to, in its unit; ``(m, w)`` for w coordinates at once.
        values: ``(m, outputs)`` expectations, in the unit of the output.
        stderr: ``(m, outputs)`` standard error from sampling the rows, model and domain held fixed. For Taylor and
            cubature it is that of mean and covariance, which are estimated from the rows; without rows that of the mean
            alone, NaN where their number is unknown. It does not hold their bias: see ``check``.
        method: the estimator used: "monte_carlo", "linearised", "taylor" or "cubature".
        check: a Check for approximations where the input model has rows, else None.
        num_rows: rows averaged, or linearised; 0 for approximations.
        cost: model rows evaluated. Taylor: R + 2 per value, counting one second-order pass as a row. Linearised: the
            drawn rows under all values, and 1 + 2 per output for each row in the pass that all features share.
        spread: ``(m, outputs)`` standard deviation of the centred individual curves; None without rows.
        individual: ``(m, r, outputs)`` curves of up to 50 single rows, evenly spaced (ICE); None without rows.
        models: ``(S, m, outputs)`` expectation of each model where a list was given, else None.
        covariances: ``(outputs, m, m)`` covariance of the sampling errors between values; NaN where it is unknown.
        target_names: names of the outputs where they have some, else ``()``.
        freedom: degrees of freedom of ``stderr``: independent rows (or groups) minus 1, of weighted ones the effective
            number, (Σw)² / Σw², and fewer for linear steps whose error a few of the drawn rows carry; None where it is
            unknown or infinite.
        skewness: ``(m, outputs)`` skewness of the sampling law of ``values``, that of the rows divided by √n; None if
            it is below 0.2 in size. Long tails and rare events have more, and ``interval`` corrects for it.
        reason: why "auto" took this method and these rows; None where the method was given.

    For the rows at hand ``values`` are exact, whatever their number; ``stderr`` says how far they are from those of the
    population that the rows are a sample of, with the networks as they are. ``interval`` has Student's t for few rows
    and, where a list of networks was given, counts how far their mean may be from that over all training seeds.

    A result is finished: nothing that happens to network or data later changes it. It holds no network and none of the
    data but at most 500 rows and 2000 observed ones, until ``support`` is read, pickled or saved. (Sequences with
    feedback are simulated again for that: their support is NaN, with a warning, once their network has changed.) Of a
    small table ``covariances``, ``spread`` and ``individual`` are computed when one of them is first read, from outputs
    that it holds until then and that take at most twice the memory of the three.

    Example:
        >>> import pickle
        >>> from acelib import InputDistribution, interventional_expectation
        >>> X = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> e = interventional_expectation(lambda x: x.sum(1, keepdim=True), InputDistribution.fit(X), 0, [0.2, 0.5])
        >>> assert pickle.loads(pickle.dumps(e)) == e and e.support.shape == (2,)
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
    target_names: tuple[str, ...] = ()
    freedom: float | None = None
    skewness: Tensor | None = field(default=None, repr=False)
    reason: str | None = field(default=None, repr=False)
    _later: Later | None = field(default=None, repr=False, compare=False)  # the support

    def covariance(self, output: int | str = 0) -> Tensor:
        """Return the ``(m, m)`` covariance of the sampling errors between values, for one output."""
        return self.covariances[self.column(output)]

    def column(self, output: int | str) -> int:
        """Return the column of an output given by number, or by name where ``target_names`` holds it.

        Raises:
            ValueError: for an output that is not there.
        """
        return chosen(output, self.target_names or [str(i) for i in range(self.values.shape[1])], "target")

    @property
    def support(self) -> Tensor:
        """``(m,)`` share of intervened rows that leave the data: 0 all near the data, 1 none; NaN without rows."""
        return torch.full((len(self.alphas),), torch.nan, dtype=torch.float64) if self._later is None else self._later()

    @property
    def model_spread(self) -> Tensor | None:
        """``(m, outputs)`` standard deviation over the models of a list; None for a single model."""
        return None if self.models is None else self.models.std(0)

    def interval(self, level: float = 0.95, *, method: str = "student") -> tuple[Tensor, Tensor]:
        """Return both ends ``(m, outputs)`` of intervals for the values, in the unit of the output.

        They hold the sampling error of the rows and, for a list of S networks, their variance over S, as a sample of
        all training seeds; the degrees of freedom are combined by Satterthwaite's formula. With few rows, groups or
        networks they are wider than ± 1.96 ``stderr``, and where outputs are skewed they reach farther to the side of
        the long tail (Hall's transformation). Of "linearised" the degrees of freedom count how few draws may carry the
        error, and the side without the tail is not shortened. They do not hold the bias of Taylor and cubature.

        Args:
            level: nominal coverage of each interval.
            method: "student", or "wilson" for outputs between 0 and 1 that are events or nearly so, as those of a steep
                classifier: it keeps its level for rare events, also where no row shows one and ``stderr`` is 0. Other
                outputs between 0 and 1 get intervals that are too wide.

        Raises:
            ValueError: if the level is not between 0 and 1, for another method, or for "wilson" and values beyond 0 and
                1 or without rows.

        References:
            Wilson, Probable inference, the law of succession, and statistical inference, Journal of the American
            Statistical Association 22, 1927; Hall, On the removal of skewness by transformation, Journal of the Royal
            Statistical Society B 54, 1992.

        Example:
            >>> from acelib import InputDistribution, interventional_expectation
            >>> X = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 4.0]], dtype=torch.float64)
            >>> e = interventional_expectation(lambda x: x[:, 1:], InputDistribution.fit(X), 0, [0.0])
            >>> low, high = e.interval()
            >>> assert abs(float((high - low) / e.stderr) / 2 - 3.182) < 1e-3  # Student's t of four rows
        """
        if method not in ("student", "wilson"):
            raise ValueError(f"method must be 'student' or 'wilson', got {method!r}")
        rows, value = self.stderr.cpu().square(), self.values.cpu().numpy()
        stderr, freedom = (t.numpy() for t in self._combined(rows, self.models))
        if method == "wilson":
            if self.freedom is None or not self.num_rows or value.min() < 0 or value.max() > 1:
                raise ValueError(
                    f"method must be 'student' for values from {value.min():.3g} to {value.max():.3g} over "
                    f"{self.num_rows} rows, got 'wilson'; it needs rows, and outputs between 0 and 1"
                )
            low, high = wilson_ends(value, stderr, freedom, self.freedom + 1, level)
        else:
            skewness = None
            if self.skewness is not None:  # the networks of a list add a symmetric error
                skewness = self.skewness.cpu().numpy() * (rows.sqrt().numpy() / np.maximum(stderr, 1e-300)) ** 3
            low, high = ends(value, stderr, freedom, level, skewness)
            if self.method == "linearised":  # few draws tell the skewness poorly: it widens, and does not narrow
                inner = ends(value, stderr, freedom, level)
                low, high = np.minimum(low, inner[0]), np.maximum(high, inner[1])
        return torch.as_tensor(low).to(self.values), torch.as_tensor(high).to(self.values)

    def contrast(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return linear combinations of the values, their standard errors and degrees of freedom, ``(c, outputs)``.

        Errors that the values share cancel in a difference. The spread of a list of networks is in them, as in
        ``interval``.

        Args:
            weights: ``(c, m)`` weights of the values, float64 on the CPU.
        """
        variance = (weights @ self.covariances.cpu() @ weights.T).diagonal(dim1=1, dim2=2).T.clamp_min(0)
        models = None if self.models is None else weights @ self.models.cpu()
        return weights @ self.values.cpu(), *self._combined(variance, models)

    def _combined(self, variance: Tensor, models: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return standard errors and degrees of freedom from those of the rows and the values of each network."""
        parts = [(variance.numpy(), math.inf if self.freedom is None else self.freedom)]
        if models is not None:
            parts.append((models.cpu().var(0).numpy() / len(models), len(models) - 1))
        total = sum(part for part, _ in parts)
        return torch.as_tensor(total).sqrt(), torch.as_tensor(satterthwaite(parts))

    def __repr__(self) -> str:
        rows = f", {self.num_rows} rows" if self.num_rows else ""
        spread = (
            ""
            if self.models is None
            else f", largest spread of {len(self.models)} models {self.models.std(0).max():.2g}"
        )
        if self.num_rows and bool((self.stderr == 0).all()):
            spread += f", all rows agree: an event with a share below {3 / self.num_rows:.2g} may be missed"
        low, high = self.values.amin(0).tolist()[:6], self.values.amax(0).tolist()[:6]
        ranges = ", ".join(f"[{a:.4g}, {b:.4g}]" for a, b in zip(low, high, strict=True))
        return (
            f"Expectation(do({self.feature}), {self.alphas.shape[0]} values, {self.method}{rows}, "
            f"output ranges {ranges}, largest stderr {self.stderr.max():.2g}{spread})"
        )

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) is True and isinstance(other, Expectation) and same(self.support, other.support)

    __hash__ = Result.__hash__

    def save(self, path: str | os.PathLike) -> Path:
        """Write the expectation to a JSON file (to a temporary name first) and return its path."""
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "_later"}
        content |= {name: plain(content[name]) for name in _TENSORS} | {"support": plain(self.support)}
        if self.check is not None:
            content["check"] = {f.name: getattr(self.check, f.name) for f in fields(self.check)}
            content["check"] |= {name: plain(content["check"][name]) for name in _CHECKED}
        return save_json(path, content, format=FORMAT)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Expectation:
        """Return the expectation that ``save`` wrote, on the CPU.

        Raises:
            ValueError: if the file is missing or is not one of ours.
        """
        with reading(path, format=FORMAT, what="a saved expectation", remedy="save it again") as content:
            for name in ("freedom", "skewness", "reason"):  # which older files do not have
                content.setdefault(name, None)
            check_entries(content, cls, without={"_later"}, further={"support"})
            values = rebuilt(content["values"], (None, None))
            m, outputs = values.shape
            shapes = {
                "values": (m, outputs),
                "stderr": (m, outputs),
                "spread": (m, outputs),
                "individual": (m, None, outputs),
                "models": (None, m, outputs),
                "covariances": (outputs, m, m),
                "skewness": (m, outputs),
                "alphas": (m,) if len(content["alphas"]["shape"]) == 1 else (m, None),
                "support": (m,),
            }
            for name, shape in shapes.items():
                if content[name] is not None or name not in _OPTIONAL:
                    content[name] = rebuilt(content[name], shape)
            if content["check"] is not None:
                check_entries(content["check"], Check)
                for name in _CHECKED:
                    if content["check"][name] is not None or not name.startswith("dropped"):
                        content["check"][name] = rebuilt(content["check"][name], (m, outputs))
                content["check"] = Check(**content["check"])
            content["target_names"] = tuple(str(name) for name in content["target_names"])
            support = content.pop("support")
            return cls(**content, _later=Later(support))

    def plot(self, output: int | str = 0, ax: Any = None) -> Any:
        """Draw the curve with its band, individual curves and off-support shading; return the axes.

        Args:
            output: number of the output, or its name where ``target_names`` holds it.
            ax: axes to draw on; a new figure where it is None.
        """
        from .. import plots

        return plots.plot_expectation(self, output=output, ax=ax)

    def explore(self, **options: Any) -> Any:
        """Return the curve with a slider over its values: widgets in a running kernel, a player on a page."""
        from .. import explore

        return explore.explore_expectation(self, **options)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (value, output)."""
        pd = optional("pandas", "a data frame")
        m, outputs = self.values.shape
        alphas = self.alphas if self.alphas.ndim == 1 else [tuple(a) for a in self.alphas.tolist()]
        repeat = [a for a in (alphas.tolist() if isinstance(alphas, Tensor) else alphas) for _ in range(outputs)]
        columns = {"alpha": repeat, "output": list(range(outputs)) * m}
        for name in ("values", "stderr", "spread"):
            tensor = getattr(self, name)
            columns[name] = torch.full((m * outputs,), torch.nan) if tensor is None else tensor.reshape(-1).cpu()
        columns["support"] = self.support.repeat_interleave(outputs).cpu()
        return pd.DataFrame({k: v.numpy() if isinstance(v, Tensor) else v for k, v in columns.items()})


_TENSORS = ("alphas", "values", "stderr", "spread", "individual", "models", "covariances", "skewness")
_OPTIONAL = ("spread", "individual", "models", "skewness")
_CHECKED = ("reference", "stderr", "error", "dropped", "dropped_stderr")
