"""Recall, precision and accuracy of a class with its noisy nodes masked, against a constant on the logit.

Masking what lowers a class output raises it for every input, so recall must rise. The question is at what price: a
constant added to the class logit, tuned to the same recall, does not look inside the network. Masking is a
repair only where it is more precise than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..._optional import optional
from ..._saved import Result
from ..graph import ExplanatoryGraph
from .held_out import HeldOut, check_shares, held_out, wilson
from .masking import ranked, share_of

MEASURES = ("recall", "precision", "accuracy")
Measures = dict[str, tuple[int, int]]  # successes and the number they are a share of


@dataclass(frozen=True, eq=False, repr=False)
class Repair(Result):
    """The effect of masking noisy nodes on held-out data, and of a constant on the class logit instead.

    Attributes:
        target: the repaired class.
        shares: ``(s,)`` share of each layer's noisy nodes that was masked.
        masked: ``(s,)`` number of nodes masked.
        by_mask: "recall", "precision", "accuracy": ``(s,)`` each.
        by_mask_interval: Wilson's 95 % intervals ``(s, 2)``.
        by_constant: the same with the constant in place of the mask.
        by_constant_interval: likewise.
        constants: ``(s,)`` smallest constant on the class logit that gives the masked network's recall.
    """

    target: int
    shares: Tensor
    masked: Tensor
    by_mask: dict[str, Tensor]
    by_mask_interval: dict[str, Tensor]
    by_constant: dict[str, Tensor]
    by_constant_interval: dict[str, Tensor]
    constants: Tensor

    def __repr__(self) -> str:
        def last(values: dict[str, Tensor]) -> str:
            return ", ".join(f"{m} {values[m][-1]:.3f}" for m in MEASURES)

        return (
            f"Repair(target {self.target}, {int(self.masked[-1])} nodes masked: {last(self.by_mask)}; "
            f"constant {self.constants[-1]:.3g}: {last(self.by_constant)})"
        )

    def plot(self, **options: Any) -> Any:
        """Draw the measures against the share masked; return the figure."""
        from ...plots.graphs import plot_repair

        return plot_repair(self, **options)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (share, way)."""
        pd = optional("pandas", "a data frame")
        rows = []
        for way, values, spans in (
            ("mask", self.by_mask, self.by_mask_interval),
            ("constant", self.by_constant, self.by_constant_interval),
        ):
            for i, share in enumerate(self.shares.tolist()):
                row = {"share": share, "masked": int(self.masked[i]), "way": way, "constant": float(self.constants[i])}
                for m in MEASURES:
                    low, high = spans[m][i].tolist()
                    row |= {m: float(values[m][i]), f"{m}_low": low, f"{m}_high": high}
                rows.append(row)
        return pd.DataFrame(rows)


def repair(
    model: nn.Module,
    graph: ExplanatoryGraph,
    inputs: Tensor,
    labels: Any,
    *,
    shares: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    layers: Sequence[str] | None = None,
    edges: str = "paths",
    chunk_size: int = 1024,
) -> Repair:
    """Return recall, precision and accuracy with noisy nodes masked, beside a constant tuned to the same recall.

    Args:
        model: the network that the graph explains.
        graph: its explanatory graph for the class.
        inputs: ``(n, *shape)`` held-out inputs of all classes.
        labels: ``(n,)`` their classes.
        shares: shares of each layer's noisy nodes to mask, the largest effects first.
        layers: names of the layers to mask in; all that do not read the network's input where None.
        edges: "paths" masks the weights to the graph's targets, "nodes" all weights from a node in that layer.
        chunk_size: inputs a call.

    Raises:
        ValueError: for bad options, labels of another length, or no input of the class.

    References:
        Ahmad et al. (2023), Fig. 11.

    Example:
        >>> from acelib.paths import explanatory_graph
        >>> x = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))
        >>> net = nn.Linear(3, 2)
        >>> study = repair(net, explanatory_graph(net, x, 0, allow_wrong=True), x, torch.arange(60) % 2)
        >>> assert study.by_mask["recall"].shape == (5,)
    """
    data = held_out(model, graph, inputs, labels, layers=layers, edges=edges, chunk_size=chunk_size)
    values, plain, tested = check_shares(shares), data.outputs(), [graph[name] for name in data.layers]
    by_mask, by_constant, constants, counts = [], [], [], []
    for share in shares:
        nodes = {x.name: ranked(x.effects, x.noisy, share_of(x.noisy, share)) for x in tested}
        called = data.classes(nodes)
        counts.append(sum(len(chosen) for chosen in nodes.values()))
        by_mask.append(_measures(called, data))
        constants.append(constant_for_recall(plain, data.labels, graph.target, called))
        shifted = plain.clone()
        shifted[:, graph.target] += constants[-1]
        by_constant.append(_measures(shifted.argmax(1), data))
    return Repair(
        target=graph.target,
        shares=values,
        masked=torch.tensor(counts),
        by_mask=_values(by_mask),
        by_mask_interval=_intervals(by_mask),
        by_constant=_values(by_constant),
        by_constant_interval=_intervals(by_constant),
        constants=torch.tensor(constants, dtype=torch.float64),
    )


def constant_for_recall(outputs: Tensor, labels: Tensor, target: int, called: Tensor) -> float:
    """Return the smallest constant on output ``target`` that gives the recall of another network.

    Args:
        outputs: ``(n, classes)`` of the network as it is.
        labels: ``(n,)`` true classes.
        target: the class.
        called: ``(n,)`` classes that the other network gives.

    Example:
        >>> outputs = torch.tensor([[0.0, 1.0], [0.0, 3.0]], dtype=torch.float64)
        >>> c = constant_for_recall(outputs, torch.tensor([0, 0]), 0, torch.tensor([0, 1]))
        >>> assert 1 < c < 1.001
    """
    own = outputs[labels == target]
    rest = own.clone()
    rest[:, target] = -torch.inf
    margins = (rest.amax(1) - own[:, target]).sort().values
    wanted = int((called[labels == target] == target).sum())
    tiny = 1e-6 * max(1.0, float(own.abs().max()))
    if wanted == 0:
        return min(0.0, float(margins[0]) - tiny)
    room = float(margins[wanted] - margins[wanted - 1]) / 2 if wanted < len(margins) else tiny
    return float(margins[wanted - 1]) + min(tiny, room) if wanted != int((margins < 0).sum()) else 0.0


def _measures(called: Tensor, data: HeldOut) -> Measures:
    """Return the successes and counts behind recall, precision and accuracy."""
    positive = called == data.graph.target
    hits = int((positive & data.own).sum())
    return {
        "recall": (hits, int(data.own.sum())),
        "precision": (hits, int(positive.sum())),
        "accuracy": (int((called == data.labels).sum()), len(data.labels)),
    }


def _values(rows: list[Measures]) -> dict[str, Tensor]:
    """Return for each measure its values ``(s,)``; NaN where there is nothing to count."""
    return {m: torch.tensor([r[m][0] / r[m][1] if r[m][1] else float("nan") for r in rows]) for m in MEASURES}


def _intervals(rows: list[Measures]) -> dict[str, Tensor]:
    """Return for each measure Wilson's intervals ``(s, 2)``."""
    return {m: torch.tensor([wilson(*r[m]) for r in rows]) for m in MEASURES}
