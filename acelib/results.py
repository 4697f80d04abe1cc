"""The results of an attribution: the causal regressors of a network, and the saliency of single inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ._saved import load_json, save_json
from .expectation.result import Expectation
from .regressors.base import Regressor
from .regressors.families import regressor_from_dict

FORMAT = "acelib.regressors/1"


@dataclass(frozen=True, repr=False)
class CausalRegressors:
    """All causal regressors of a network, indexed ``[feature, target]`` by names or indices.

    Attributes:
        features: names of the features that were regressed.
        targets: names of the targets.
        feature_index: index of each feature among the network's inputs.
        target_index: index of each target among the network's outputs.
        curves: the regressors by (feature name, target name).
        expectations: the expectations behind them by feature name; empty after loading from a file.

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
    expectations: Mapping[str, Expectation] = field(default_factory=dict)

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
        names = list(self.features)[:8]
        return f"CausalRegressors({len(self.features)} features x {len(self.targets)} targets: {names})"

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

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (feature, target): baseline, its error, range of the ACE, fit."""
        import pandas as pd

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
        content = load_json(path, format=FORMAT, what="saved regressors", remedy="save them again")
        curves = {(f, t): regressor_from_dict(d) for f, t, d in content["curves"]}
        names = ("features", "targets", "feature_index", "target_index")
        features, targets, feature_index, target_index = (tuple(content[n]) for n in names)
        return cls(features, targets, feature_index, target_index, curves)


@dataclass(frozen=True, repr=False)
class Attribution:
    """Saliency of inputs: ACE of do(x_i = the value x_i has), with standard errors.

    Attributes:
        values: effects in the unit of the output, in the shape of the explained inputs.
        stderr: their standard errors, same shape.
        target: name of the explained output.
        via: "regressors" or "direct".
    """

    values: Tensor
    stderr: Tensor
    target: str
    via: str

    @property
    def shape(self) -> Any:
        """The shape of the explained inputs."""
        return self.values.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values.cpu().numpy().astype(dtype or np.float64)

    def __repr__(self) -> str:
        low, high = float(self.values.min()), float(self.values.max())
        return (
            f"Attribution(shape {tuple(self.shape)}, target {self.target}, via {self.via}, "
            f"effects {low:.4g} to {high:.4g}, largest stderr {float(self.stderr.max()):.2g})"
        )

    def plot(self, **options: Any) -> Any:
        """Draw the effects as bars with error bars, or as a map for images; return the axes."""
        from . import plots

        return plots.plot_attribution(self, **options)


def _name(key: Any, names: tuple[str, ...], index: tuple[int, ...], kind: str) -> str:
    """Return the name that a name or an index stands for."""
    if isinstance(key, str) and key in names:
        return key
    if not isinstance(key, str) and int(key) in index:
        return names[index.index(int(key))]
    raise KeyError(f"{kind} must be one of {list(names)[:20]} (indices {list(index)[:20]}), got {key!r}")
