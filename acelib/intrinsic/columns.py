"""Data for a causal model: the columns of a table, found by name and put in the order of the graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from .._checks import as_float_tensor
from .graph import CausalGraph


def read_columns(X: Any, graph: CausalGraph, names: Iterable[str] | None = None) -> Tensor:
    """Return the columns of the graph's nodes ``(n, nodes)`` from a tensor, array or data frame.

    Args:
        X: ``(n, columns)``; of a data frame columns are found by name and others are left out.
        graph: whose nodes are looked for.
        names: names of the columns where X is no data frame; default the nodes in the order of the graph.

    Raises:
        ValueError: for missing or repeated columns, NaN, or a table of another shape.
    """
    if names is None and hasattr(X, "columns"):
        names = [str(c) for c in X.columns]
    if hasattr(X, "columns"):
        X = X.to_numpy(copy=True)  # a view of a frame is read-only, which torch cannot hold
    table = as_float_tensor(X, "X")
    if table.ndim != 2:
        raise ValueError(f"X must be a table (rows, nodes), got shape {tuple(table.shape)}")
    names = list(graph.nodes if names is None else names)
    if len(names) != table.shape[1]:
        raise ValueError(
            f"X has {table.shape[1]} columns for {len(names)} names {names}; give names= with one per column"
        )
    missing = [n for n in graph.nodes if n not in names]
    if missing:
        raise ValueError(f"X has no column for the nodes {missing}; its columns are {names}")
    return table[:, [names.index(n) for n in graph.nodes]]
