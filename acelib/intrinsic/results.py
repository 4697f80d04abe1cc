"""The result of intrinsic contributions: numbers with error bars, a table, a picture, a JSON file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._optional import optional
from .._saved import Result, check_entries, reading, save_json
from .error_bars import interval, student_interval
from .tails import tails_said

FORMAT = "acelib.intrinsic/1"
LATER = "fit_stderr degrees shares_degrees fits data_uncertainty data_uncertainty_stderr".split()  # not in early files
Closed = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, eq=False, repr=False)
class IntrinsicContributions(Result):
    """Intrinsic contributions of every node to one target.

    Attributes:
        nodes: names of the nodes, in the order of the columns.
        target: name of the target.
        measure: "variance" or "entropy".
        context: "shapley", "topological", "first" or "total".
        contributions: ``(nodes,)`` float64, in the unit of Var(Y), or in nats.
        stderr: ``(nodes,)`` standard errors: of the scramblings (0 for an exact method) and, where a table taught the
            causal model and it is known, of learning.
        shares: ``(nodes,)`` contributions divided by Var(Y), or by the entropy of Y.
        shares_stderr: their standard errors.
        uncertainty: Var(Y), or the entropy of Y in nats: what there is to attribute.
        uncertainty_stderr: its standard error.
        residual: uncertainty minus the sum of the contributions. 0 within its error for variance in the contexts
            shapley and topological; interactions for first and total; label noise for entropy.
        residual_stderr: its standard error.
        order: the causal order; contexts other than topological do not depend on it.
        method: "sampling", "enumeration" or "closed form".
        num_samples: base points over all scramblings; 0 for an exact method.
        num_rows: model rows evaluated.
        scramblings: independent scramblings, whose number minus 1 is the degrees of freedom; 0 for an exact method.
        closed: closed index (share explained by a subset) of every subset where all were visited, else empty.
        closed_stderr: their standard errors.
        models: ``(S, nodes)`` contributions for each model of a list; None for a single model.
        fit_stderr: ``(nodes,)`` the part of ``stderr`` that is the error of learning the causal model; None where its
            mechanisms were given, or where this error is not known.
        degrees: ``(nodes,)`` degrees of freedom of ``stderr``; None: scramblings minus 1.
        shares_degrees: those of ``shares_stderr``.
        fits: ``(B, nodes)`` contributions under each of a list of causal models; None for a single one.
        data_uncertainty: variance or entropy of the target on the data, which ``uncertainty`` should match; None where
            no data are known.
        data_uncertainty_stderr: its standard error.
        uncertainty_degrees: degrees of freedom of ``uncertainty_stderr``; None: scramblings minus 1.
        kurtosis: kurtosis of the target, the largest over a list of causal models; num_samples / kurtosis is the number
            of points that carry a sampled variance. None for exact methods, the entropy, and old files.
    """

    nodes: tuple[str, ...]
    target: str
    measure: str
    context: str
    contributions: Tensor
    stderr: Tensor
    shares: Tensor
    shares_stderr: Tensor
    uncertainty: float
    uncertainty_stderr: float
    residual: float
    residual_stderr: float
    order: tuple[str, ...]
    method: str
    num_samples: int
    num_rows: int
    scramblings: int
    closed: Closed = field(default_factory=dict)
    closed_stderr: Closed = field(default_factory=dict)
    models: Tensor | None = None
    fit_stderr: Tensor | None = None
    degrees: Tensor | None = None
    shares_degrees: Tensor | None = None
    fits: Tensor | None = None
    data_uncertainty: float | None = None
    data_uncertainty_stderr: float | None = None
    uncertainty_degrees: float | None = None
    kurtosis: float | None = None

    def __getitem__(self, node: str | int) -> float:
        """Return the contribution of one node, by name, or by column where no node has that number."""
        if isinstance(node, str) and node not in self.nodes:
            raise KeyError(f"node must be one of {list(self.nodes)}, got {node!r}")
        return float(self.contributions[self.nodes.index(str(node)) if str(node) in self.nodes else int(node)])

    @property
    def model_spread(self) -> Tensor | None:
        """``(nodes,)`` standard deviation of the contributions over the models of a list; None for a single model."""
        return None if self.models is None else self.models.std(0)

    def interval(self, level: float = 0.95, *, shares: bool = False) -> tuple[Tensor, Tensor]:
        """Return the two ends ``(nodes,)`` of Student-t intervals of the contributions, or of the shares."""
        value, error = (self.shares, self.shares_stderr) if shares else (self.contributions, self.stderr)
        degrees = self.shares_degrees if shares else self.degrees
        if degrees is None:
            return interval(value, error, self.scramblings, level)
        return student_interval(value, error, degrees, level)

    def uncertainty_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return both ends of the Student-t interval of ``uncertainty``, within 0 and infinity.

        Its degrees of freedom are ``uncertainty_degrees``, or scramblings minus 1. An exact variance is a single point.

        Args:
            level: nominal coverage.

        Raises:
            ValueError: if the level is not between 0 and 1.

        Example:
            >>> from acelib.intrinsic import StructuralModel, intrinsic_contributions
            >>> team = StructuralModel({"A": [], "B": []})
            >>> r = intrinsic_contributions(team, lambda x: x[:, :1] + 2 * x[:, 1:], num_samples=1024)
            >>> low, high = r.uncertainty_interval()
            >>> assert low < 5 < high and abs((high - low) / r.uncertainty_stderr / 2 - 2.131) < 1e-3  # t of 15
        """
        degrees = self.scramblings - 1 if self.uncertainty_degrees is None else self.uncertainty_degrees
        value, error, known = torch.tensor([self.uncertainty, self.uncertainty_stderr, degrees], dtype=torch.float64)
        low, high = student_interval(value, error, known, level)
        return max(float(low), 0.0), float(high)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per node: contribution, its error and 95 % interval, share."""
        pd = optional("pandas", "a data frame")
        low, high = self.interval()
        columns = {
            "node": list(self.nodes),
            "contribution": self.contributions.numpy(),
            "stderr": self.stderr.numpy(),
            "low": low.numpy(),
            "high": high.numpy(),
            "share": self.shares.numpy(),
            "share_stderr": self.shares_stderr.numpy(),
        }
        if (spread := self.model_spread) is not None:
            columns["model_spread"] = spread.numpy()
        return pd.DataFrame(columns)

    def plot(self, **options: Any) -> Any:
        """Draw the contributions as bars with 95 % intervals; return the axes."""
        from ..plots.bars import plot_contributions

        return plot_contributions(self, **options)

    def explore(self) -> Any:
        """Return the shares with lists of contexts and orders: widgets in a running kernel, a player on a page."""
        from ..explore.shares import explore_contributions

        return explore_contributions(self)

    def __repr__(self) -> str:
        unit = "Var(Y)" if self.measure == "variance" else "H(Y)"
        parts = [f"{n} {c:.4g} ± {s:.1g}" for n, c, s in zip(self.nodes, self.contributions, self.stderr, strict=True)]
        shown = ", ".join(parts[:8]) + (", …" if len(parts) > 8 else "")
        how = self.method + (f", {self.num_rows} rows" if self.num_rows else "")
        how += f", {len(self.fits)} fits" if self.fits is not None else ""
        world = ""
        if self.data_uncertainty is not None:
            world = f" under the model, {self.data_uncertainty:.4g} ± {self.data_uncertainty_stderr:.1g} on the data"
        return (
            f"IntrinsicContributions({self.measure}, {self.context}, target {self.target}: {shown}; "
            f"{unit} {self.uncertainty:.4g}{world}, residual {self.residual:.2g} ± {self.residual_stderr:.1g}; {how}"
            f"{tails_said(None if self.kurtosis is None else [self.kurtosis], self.num_samples)})"
        )

    def save(self, path: str | os.PathLike) -> Path:
        """Write the result to a JSON file (to a temporary name first) and return its path."""
        content: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Tensor):
                value = value.tolist()
            elif isinstance(value, Mapping):
                value = [[list(key), number] for key, number in value.items()]
            content[one.name] = value
        return save_json(path, content, format=FORMAT)

    @classmethod
    def load(cls, path: str | os.PathLike) -> IntrinsicContributions:
        """Return the result that ``save`` wrote.

        Raises:
            ValueError: if the file is missing or is not one of ours.
        """
        with reading(path, format=FORMAT, what="saved contributions") as content:
            return cls(**cls._entries(content))

    @classmethod
    def _entries(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Return the fields from what ``save`` wrote."""
        if not set(LATER) & set(content):
            content |= dict.fromkeys(LATER)
        for name in ("uncertainty_degrees", "kurtosis"):  # in the latest files only
            content.setdefault(name, None)
        check_entries(content, cls)
        tensors = ("contributions", "stderr", "shares", "shares_stderr", "models")
        for name in (*tensors, "fit_stderr", "degrees", "shares_degrees", "fits"):
            if content[name] is not None:
                content[name] = torch.tensor(content[name], dtype=torch.float64)
        for name in ("closed", "closed_stderr"):
            content[name] = {tuple(key): number for key, number in content[name]}
        for name in ("nodes", "order"):
            content[name] = tuple(str(one) for one in content[name])
        sizes = {name: tuple(content[name].shape) for name in ("contributions", "stderr", "shares", "shares_stderr")}
        if set(sizes.values()) != {(len(content["nodes"]),)}:
            raise ValueError(f"there must be one number of every kind for each of the nodes, got {sizes}")
        return content
