"""The numbers of a run: the network asked, its curves with their errors, and all that a reader needs to judge them."""

from __future__ import annotations

import argparse
import datetime
import math
import os
import platform
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import __version__
from .._models import evaluate
from .._names import chosen
from .._off_support import OFF_SUPPORT
from .._warnings import warn_caller
from ..adapters import load_network
from ..attribution import AverageCausalEffect
from ..expectation import DEFAULT_BUDGET
from ..expectation.links import applied, as_link
from ..inputs import FiniteSet, InputDistribution
from ..regressors.importance import importance_of
from ..regressors.misses import ROUNDING
from ..results import CausalRegressors
from .answer import answer
from .files import said_of, sha256
from .table import Table, choose, read_table, said_of_left_out

MOST_TARGETS = 20  # outputs that are explained unasked
AT_ONCE = 16384  # rows in one call of the network
LEVEL = 0.95
PACKAGES = ("torch", "numpy", "scipy", "matplotlib", "pandas", "pyarrow", "onnxruntime")


@dataclass
class Findings:
    """What was found.

    Attributes:
        content: what the JSON holds.
        answer: the answer in words, a sentence for each thing to say.
        curves: the regressors, for the pictures.
        rows: ``(n, k)`` the rows of the table, for the rugs.
    """

    content: dict[str, Any]
    curves: CausalRegressors
    rows: np.ndarray
    answer: list[str] = field(default_factory=list)

    def tell(self, told: Sequence[warnings.WarningMessage]) -> None:
        """Note warnings, each once, in the order in which they came."""
        for one in told:
            ours = issubclass(one.category, UserWarning) and not issubclass(one.category, FutureWarning)
            entry = {
                "kind": one.category.__name__,
                "text": str(one.message),
                "concerns": "effects" if ours else "software",
            }
            if entry not in self.content["warnings"]:
                self.content["warnings"].append(entry)


def find(options: argparse.Namespace, command: str, *, progress: bool = False) -> Findings:
    """Return the effects of a table's columns on a network's outputs.

    Args:
        options: what ``parser`` returned.
        command: the command in words, for the record.
        progress: whether to show a bar.

    Raises:
        ValueError, TypeError, ImportError: one sentence for what does not fit.
    """
    begun = time.perf_counter()
    for path in (options.model, options.table):
        if not os.path.isfile(path):
            raise ValueError(f"{path!r} must be a file, got none of that name; look at its name and folder")
    net = load_network(options.model, output=_result(options.result))
    table = choose(
        read_table(options.table),
        width=math.prod(net.shape),
        columns=options.columns,
        drop=options.drop,
        groups=options.groups,
        missing=options.missing,
    )
    for said in said_of_left_out(table):
        warn_caller(said, UserWarning)
    inputs = _inputs(table, net, options)
    ace = _asked(net, inputs, table, options)
    wanted = _targets(options.target, ace.target_names)
    curves = ace.regress(targets=wanted, num=options.values, progress=progress)
    rows = inputs.samples
    assert rows is not None  # a table has rows
    rounding = ROUNDING * torch.finfo(net.dtype).eps
    facts = {
        "acelib": __version__,
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "settings": _settings(options),
        "versions": _versions(),
        "model": {"name": said_of(options.model), "sha256": sha256(options.model), "shape": list(net.shape)}
        | {"dtype": str(net.dtype).removeprefix("torch."), "outputs": list(ace.target_names)},
        "table": {"name": said_of(options.table), "sha256": sha256(options.table), "rows": len(rows)}
        | {"columns": list(table.inputs.columns), "left_out": table.left_out, "rows_left_out": table.missing},
        "features": [_feature(inputs, place) for place in range(inputs.num_features)],
        "targets": _observed(net, rows, wanted, ace.target_names, options),
        "curves": [_curve(curves, *pair, rounding=rounding) for pair in curves],
        "warnings": [],
    }
    facts["seconds"] = round(time.perf_counter() - begun, 2)
    found = Findings(facts, curves, rows.double().cpu().numpy())
    found.answer = answer(facts)
    facts["answer"] = found.answer
    return found


def _result(asked: str | None) -> str | int | None:
    return int(asked) if asked is not None and asked.isdigit() else asked


def _inputs(table: Table, net: Any, options: argparse.Namespace) -> InputDistribution:
    """Return the input distribution of the table in the network's dtype and shape."""
    if not net.dtype.is_floating_point:
        raise ValueError(f"model must read floating numbers, got {net.dtype}; export it for a float32 tensor")
    names = list(table.inputs.columns)
    if unknown := [name for name in options.domain if name not in names]:
        raise ValueError(
            f"--domain must name columns that the network reads, {names[:10]}, got {unknown[0]!r}; look at the header"
        )
    inputs = InputDistribution.fit(table.inputs, domain=options.domain or None, seed=options.seed)
    if all(domain.width == 0 for domain in inputs.domain):
        raise ValueError("table must have a column that varies, got constant ones alone; name their --domain")
    inputs = inputs if inputs.mean.dtype == net.dtype else inputs.to(net.dtype)
    return replace(inputs, shape=tuple(net.shape))


def _asked(net: Any, inputs: InputDistribution, table: Table, options: argparse.Namespace) -> AverageCausalEffect:
    """Return the estimator, its outputs named."""
    given = dict(method=options.method, budget=options.budget or DEFAULT_BUDGET, rows=options.rows)
    given |= dict(chunk_size=options.chunk, seed=options.seed, groups=table.groups, link=options.link)
    ace = AverageCausalEffect(net, inputs, **given)
    if options.link == "softmax" and ace.num_outputs == 1:
        raise ValueError(
            "--link must be sigmoid for a network with one output, got softmax, which is 1 whatever it returns"
        )
    if options.outputs is None:
        return ace
    if len(options.outputs) != ace.num_outputs:
        raise ValueError(
            f"--outputs must name the {ace.num_outputs} outputs of the network, got {len(options.outputs)} names; "
            f"give one for each"
        )
    return AverageCausalEffect(net, inputs, target_names=options.outputs, **given)


def _targets(asked: Sequence[str] | None, names: Sequence[str]) -> list[int]:
    """Return the numbers of the outputs that are explained."""
    if asked is None:
        if len(names) > MOST_TARGETS:
            raise ValueError(
                f"--target must name some of the {len(names)} outputs, got none; say which, such as --target 0,1"
            )
        return list(range(len(names)))
    found = []
    for one in asked:
        index = int(one) if one not in names and one.removeprefix("-").isdigit() else one
        found.append(chosen(index, names, "target"))
    if len(set(found)) < len(found):
        raise ValueError(f"--target must name each output once, got {', '.join(asked)}; leave one out")
    return found


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options as they were taken, in JSON's types."""
    left = {"command", "model", "table", "quiet"}
    settings = {name: value for name, value in vars(options).items() if name not in left}
    domains = {
        name: sorted(d) if isinstance(d, set) else {"low": d[0], "high": d[1]} for name, d in options.domain.items()
    }
    budget = options.budget or DEFAULT_BUDGET
    return settings | {"domain": domains, "format": list(options.format), "budget": budget, "level": LEVEL}


def _versions() -> dict[str, str]:
    found = {"acelib": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _feature(inputs: InputDistribution, place: int) -> dict[str, Any]:
    """Return a column's name, its domain with where that comes from, and the range of its rows."""
    domain, column = inputs.domain[place], inputs.samples[:, place].double()  # type: ignore[index]
    found: dict[str, Any] = {"name": inputs.feature_names[place], "low": domain.low, "high": domain.high}
    if isinstance(domain, FiniteSet):
        found |= {"domain": "set", "values": list(domain.values), "origin": "values"}
    else:
        found |= {"domain": "interval", "origin": "named" if domain.origin is None else str(domain.origin)}
    return found | {"least": float(column.min()), "most": float(column.max()), "mean": float(column.mean())}


def _observed(
    net: Any, rows: Tensor, wanted: Sequence[int], names: Sequence[str], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Return what the network says of the rows as they are, output by output."""
    link, parts = as_link(options.link), rows.split(options.chunk or AT_ONCE)
    out = torch.cat([applied(link, evaluate(net, part, net.shape)).double() for part in parts]).cpu()
    return [
        {"name": names[t], "index": t, "mean": float(column.mean()), "std": float(column.std(correction=0))}
        | {"least": float(column.min()), "most": float(column.max())}
        for t, column in ((t, out[:, t]) for t in wanted)
    ]


def _curve(curves: CausalRegressors, feature: str, target: str, *, rounding: float) -> dict[str, Any]:
    """Return one curve in JSON's types: values of the grid, expectations, effects, support, importance and how.

    What stays below ``rounding``, a share of the output's size, is no effect.
    """
    curve, e = curves[feature, target], curves.expectations[feature]
    column, alphas = e.column(target), e.alphas.cpu().numpy()
    ends = [end[:, column] for end in e.interval(LEVEL)]
    effect, std = curve.ace(alphas, return_std=True)
    low, high = curve.interval(alphas, LEVEL)
    size = importance_of(curve, level=LEVEL)
    floor = rounding * float(e.values[:, column].abs().max())
    verdict = "none" if size.high <= floor else "clear" if size.clear else "within noise"
    arrays = {
        "value": alphas,
        "expectation": e.values[:, column],
        "expectation_stderr": e.stderr[:, column],
        "expectation_low": ends[0],
        "expectation_high": ends[1],
        "ace": effect,
        "ace_stderr": std,
        "ace_low": low,
        "ace_high": high,
        "spread": np.full(alphas.shape, np.nan) if e.spread is None else e.spread[:, column],
        "off_support": e.support,
    }
    if e.check is not None:
        arrays["approximation_error"] = e.check.error[:, column]
    return {
        "feature": feature,
        "target": target,
        "family": curve.family,
        "method": e.method,
        "reason": e.reason,
        "rows": e.num_rows,
        "cost": e.cost,
        "baseline": curve.baseline,
        "baseline_stderr": curve.baseline_std,
        "lack_of_fit": curve.lack_of_fit,
        "importance": {"value": size.value, "stderr": size.stderr, "low": size.low, "high": size.high},
        "verdict": verdict,
        "backed": _backed(alphas, e.support.cpu().numpy(), curve.family),
        **{name: [_plain(one) for one in np.asarray(array).tolist()] for name, array in arrays.items()},
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _backed(alphas: np.ndarray, off: np.ndarray, family: str) -> float | None:
    """Return the share of a domain at whose values at most half of the rows leave the data; None if unknown."""
    if np.isnan(off).all():
        return None
    inside = off <= OFF_SUPPORT
    if family == "table" or alphas.size < 2:
        return float(inside.mean())
    edges = np.concatenate([alphas[:1], (alphas[1:] + alphas[:-1]) / 2, alphas[-1:]])
    return float((np.diff(edges) * inside).sum() / (alphas[-1] - alphas[0]))
