"""The results of an attribution: the causal regressors of a network, and the saliency of single inputs."""

from __future__ import annotations

import copy
import operator
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._checks import as_index
from ._intervals import ends
from ._names import chosen
from ._optional import optional
from ._saved import Result, check_entries, plain, reading, rebuilt, save_json
from .expectation.result import Expectation
from .regressors.base import Regressor
from .regressors.families import regressor_from_dict

FORMAT = "acelib.regressors/1"
ATTRIBUTION = "acelib.attribution/1"


@dataclass(frozen=True, eq=False, repr=False)
class CausalRegressors(Result):
    """All causal regressors of a network, indexed ``[feature, target]`` by names or indices.

    Attributes:
        features: names of the features that were regressed.
        targets: names of the targets.
        feature_index: index of each feature among the network's inputs.
        target_index: index of each target among the network's outputs.
        curves: the regressors by (feature name, target name).
        expectations: the expectations behind them by feature name; empty after loading from a file or a pickle, which
            hold the curves alone (an expectation of 100 values and 3 outputs weighs 0.4 MB, and travels by itself).

    Example:
        >>> import torch
        >>> from acelib import AverageCausalEffect, InputDistribution
        >>> X = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> ace = AverageCausalEffect(lambda x: x @ x.new_tensor([[2.0], [0.0]]), InputDistribution.fit(X))
        >>> curves = ace.regress(num=20)
        >>> assert curves["x0", 0].order == 1 and curves["x1", 0].order == 0
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    feature_index: tuple[int, ...]
    target_index: tuple[int, ...]
    curves: Mapping[tuple[str, str], Regressor]
    expectations: Mapping[str, Expectation] = field(default_factory=dict, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: everything but the expectations."""
        return super().__getstate__() | {"expectations": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> CausalRegressors:
        """Return a copy, the expectations included."""
        return replace(self, **{f.name: copy.deepcopy(getattr(self, f.name), memo) for f in fields(self)})

    def __getitem__(self, key: Any) -> Regressor:
        if not isinstance(key, tuple):
            if len(self.targets) > 1:
                raise KeyError(
                    f"key must be [feature, target] where there are {len(self.targets)} targets, got {key!r}"
                )
            key = (key, *self.targets)
        feature, target = key
        return self.curves[
            _name(feature, self.features, self.feature_index, "feature"),
            _name(target, self.targets, self.target_index, "target"),
        ]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.curves)

    def __len__(self) -> int:
        return len(self.curves)

    def __repr__(self) -> str:
        names, sampled = list(self.features)[:8], [c.domain_rows for c in self.curves.values() if c.domain_rows]
        domain = f", domain: range of {sampled[0]} rows" if sampled else ""
        return f"CausalRegressors({len(self.features)} features x {len(self.targets)} targets: {names}{domain})"

    def with_baseline(self, baseline: Any) -> CausalRegressors:
        """Return the same curves with another baseline: "uniform", ("data", values) or a number, for every feature.

        A mapping from feature names gives each feature its own.
        """
        if not isinstance(baseline, Mapping):
            baseline = dict.fromkeys(self.features, baseline)
        curves = {k: c.with_baseline(baseline[k[0]]) if k[0] in baseline else c for k, c in self.curves.items()}
        return CausalRegressors(
            self.features, self.targets, self.feature_index, self.target_index, curves, self.expectations
        )

    def plot(self, **options: Any) -> Any:
        """Draw every curve with its band, one panel per target; return the figure."""
        from . import plots

        return plots.plot_regressors(self, **options)

    def explore(self, **options: Any) -> Any:
        """Return the curves with lists of features and targets and a slider: widgets in a running kernel."""
        from . import explore

        return explore.explore_regressors(self, **options)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (feature, target): baseline, its error, range of the ACE, fit."""
        pd = optional("pandas", "a data frame")
        rows = []
        for (feature, target), curve in self.curves.items():
            grid = curve.alphas if curve.family == "table" else np.linspace(curve.low, curve.high, 200)
            effect = np.asarray(curve.ace(grid))
            rows.append(
                {
                    "feature": feature,
                    "target": target,
                    "family": curve.family,
                    "order": getattr(curve, "order", None),
                    "baseline": curve.baseline,
                    "baseline_std": curve.baseline_std,
                    "ace_min": float(effect.min()),
                    "ace_max": float(effect.max()),
                    "lack_of_fit": curve.lack_of_fit,
                }
            )
        return pd.DataFrame(rows)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the regressors to a JSON file (to a temporary name first) and return its path."""
        content = {
            "features": self.features,
            "targets": self.targets,
            "feature_index": self.feature_index,
            "target_index": self.target_index,
            "curves": [[*key, curve.to_dict()] for key, curve in self.curves.items()],
        }
        return save_json(path, content, format=FORMAT)

    @classmethod
    def load(cls, path: str | os.PathLike) -> CausalRegressors:
        """Return the regressors that ``save`` wrote.

        Raises:
            ValueError: if the file is missing or holds something else.
        """
        with reading(path, format=FORMAT, what="saved regressors") as content:
            names = ("features", "targets", "feature_index", "target_index")
            check_entries(content, cls, without={"expectations"})
            curves = {(str(f), str(t)): regressor_from_dict(d) for f, t, d in content["curves"]}
            features, targets = (tuple(str(one) for one in content[name]) for name in names[:2])
            index = [tuple(operator.index(i) for i in content[name]) for name in names[2:]]
            if set(curves) != {(f, t) for f in features for t in targets} or [len(i) for i in index] != [
                len(features),
                len(targets),
            ]:
                raise ValueError(f"there must be a curve for each of {features} and {targets}, got {list(curves)[:9]}")
            return cls(features, targets, index[0], index[1], curves)


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Result):
    """Saliency of inputs: ACE of do(x_i = the value x_i has), with standard errors.

    Attributes:
        values: effects in the unit of the output, in the shape of the explained inputs, ``(*shape)`` or
            ``(batch, *shape)``; NaN where no effect is defined or asked for: inputs that are pinned, or not among
            ``features=``.
        stderr: their standard errors, same shape; of a list of networks, with their spread as a sample of all seeds.
        target: name of the explained output, or ``(batch,)`` names where the rows have each their own.
        via: "regressors" or "direct".
        features: k names of the flattened inputs.
        x: the explained inputs, same shape.
        freedom: degrees of freedom of ``stderr``, same shape; inf where they are unknown, None in older files.
        baseline: what each effect is measured from, the average of its curve, same shape; None in older files.

    Example:
        >>> import torch
        >>> from acelib import AverageCausalEffect, InputDistribution
        >>> X = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> inputs = InputDistribution.fit(X, feature_names=["age", "dose"], domain=(0.0, 1.0))
        >>> found = AverageCausalEffect(lambda x: x @ x.new_tensor([[2.0], [0.0]]), inputs).attribute(X[0])
        >>> assert list(found.to_frame()["feature"]) == ["age", "dose"]
    """

    values: Tensor
    stderr: Tensor
    target: str | tuple[str, ...]
    via: str
    features: tuple[str, ...] = ()
    x: Tensor | None = None
    freedom: Tensor | None = None
    baseline: Tensor | None = None

    @property
    def shape(self) -> Any:
        """The shape of the explained inputs."""
        return self.values.shape

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the flattened inputs of one row: ``features``, or x0, x1, ... where they are unknown."""
        return self.features or tuple(f"x{i}" for i in range(self.values.numel()))

    @property
    def rows(self) -> Tensor:
        """``(batch, k)`` the effects with the inputs flattened; a single input is one row."""
        return self.values.reshape(-1, len(self.names))

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Return both ends of the intervals of Student's t, in the shape of ``values``; NaN where no effect is defined.

        With few rows, groups or networks they are wider than ± 1.96 ``stderr``, which covers too little there.

        Raises:
            ValueError: if the level is not between 0 and 1.
        """
        freedom = np.inf if self.freedom is None else self.freedom.cpu().numpy()
        found = ends(self.values.cpu().numpy(), self.stderr.cpu().numpy(), freedom, level)
        low, high = (torch.as_tensor(end).to(self.values) for end in found)
        return low, high

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values.cpu().numpy().astype(dtype or np.float64)

    def __repr__(self) -> str:
        finite = self.values[~self.values.isnan()]
        low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (float("nan"),) * 2
        errors = self.stderr[~self.stderr.isnan()]
        target = f"target {self.target}"
        if isinstance(self.target, tuple):
            some = ", ".join(self.target[:6]) + (", ..." if len(self.target) > 6 else "")
            target = f"a target for each of {len(self.target)} rows: {some}"
        return (
            f"Attribution(shape {tuple(self.shape)}, {target}, via {self.via}, effects {low:.4g} to {high:.4g}, "
            f"largest stderr {float(errors.max()) if errors.numel() else float('nan'):.2g})"
        )

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (explained row, feature).

        Its columns are row, feature, target, x (the value the feature has), value (its effect) and stderr.
        """
        pd = optional("pandas", "a data frame")
        count, k = self.rows.shape
        targets = self.target if isinstance(self.target, tuple) else (self.target,) * count
        x = torch.full((count, k), torch.nan) if self.x is None else self.x.reshape(count, k)
        return pd.DataFrame(
            {
                "row": np.repeat(np.arange(count), k),
                "feature": list(self.names) * count,
                "target": [name for name in targets for _ in range(k)],
                "x": x.reshape(-1).cpu().double().numpy(),
                "value": self.rows.reshape(-1).cpu().numpy(),
                "stderr": self.stderr.reshape(-1).cpu().numpy(),
            }
        )

    def to_shap(self, mean: Any = None) -> Any:
        """Return the effects as a ``shap.Explanation``, which SHAP's plots draw.

        They are no Shapley values: ``base_values + values.sum()`` is not the network's answer where inputs interact.

        Args:
            mean: E[y] of the outputs that are explained, a number or one for each row; see
                ``acelib.adapters.shap.explanation``, which says what ``base_values`` are.

        Raises:
            ImportError: if ``shap`` is missing.
        """
        from .adapters.shap import explanation

        return explanation(self, mean)

    def plot(self, **options: Any) -> Any:
        """Draw the effects of one input as bars with error bars, or as a map for images; return the axes."""
        from . import plots

        return plots.plot_attribution(self, **options)

    def explore(self, curves: Any = None, **options: Any) -> Any:
        """Return the effects with sliders over row and column, and the chosen input's curve: widgets in a kernel.

        Args:
            curves: the regressors they were read off, or the ``AverageCausalEffect`` that made them; None shows no
                curve.
            options: see ``acelib.explore.explore_attribution``.
        """
        from . import explore

        return explore.explore_attribution(self, curves, **options)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the attribution to a JSON file (to a temporary name first) and return its path."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {name: plain(content[name]) for name in ("values", "stderr", "x", "freedom", "baseline")}
        return save_json(path, content | tensors, format=ATTRIBUTION)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Attribution:
        """Return the attribution that ``save`` wrote, on the CPU.

        Raises:
            ValueError: if the file is missing or is not one of ours.
        """
        with reading(path, format=ATTRIBUTION, what="a saved attribution", remedy="save it again") as content:
            for name in ("freedom", "baseline"):  # which older files do not have
                content.setdefault(name, None)
            check_entries(content, cls)
            content["values"] = rebuilt(content["values"])
            shape = tuple(content["values"].shape)
            for name in ("stderr", "x", "freedom", "baseline"):
                if content[name] is not None or name == "stderr":
                    content[name] = rebuilt(content[name], shape)
            for name in ("features", "target"):
                if not isinstance(content[name], str):
                    content[name] = tuple(str(one) for one in content[name])
            found = cls(**content)
            if found.values.numel() % len(found.names):
                raise ValueError(f"there must be an effect for each of {len(found.names)} features, got shape {shape}")
            if isinstance(found.target, tuple) and len(found.target) != len(found.rows):
                raise ValueError(f"there must be a target for each of {len(found.rows)} rows, got {len(found.target)}")
            return found


def _name(key: Any, names: tuple[str, ...], index: tuple[int, ...], kind: str) -> str:
    """Return the name that a name, or an index among the network's inputs or outputs, stands for."""
    if isinstance(key, str):
        return names[chosen(key, names, kind, KeyError)]
    number = as_index(key)
    if number is not None and number < 0 and index == tuple(range(len(index))):
        number += len(index)  # all of them are here, so that the last one is known
    if number is None or number not in index:
        raise KeyError(f"{kind} must be one of {list(names)[:20]} (indices {list(index)[:20]}), got {key!r}")
    return names[index.index(number)]
