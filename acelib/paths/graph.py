"""The explanatory graph of a class, from its output down to the input (Algorithm 1).

Layers are visited from the output side. At each of them every parent node is intervened on along all its weights to
the targets at once; the significantly necessary ones become, in the layers that produced them, the targets there.
Where a node descends from several layers, as in a residual stream, it becomes a target in all of them.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .._checks import as_generator
from .._devices import double
from .._models import check_placement
from .._optional import optional
from .._saved import Result, check_entries, reading, save_json
from ._operations import ALL
from .batching import Cost, predict_cost
from .results import TreatmentEffects
from .run import (
    EPSILON,
    Run,
    bar,
    check_inputs,
    check_labels,
    check_target,
    draw_betas,
    outputs_of,
)
from .significance import Test
from .trace import Source

if TYPE_CHECKING:
    from networkx import DiGraph

FORMAT = "acelib.graph/1"


@dataclass(frozen=True, eq=False, repr=False)
class ExplanatoryGraph(Result):
    """The necessary, noisy and neutral nodes of every layer for one class, and the edges between them.

    Attributes:
        target: index of the explained output.
        layers: tested effects of each layer, output side first.
        num_inputs: inputs behind every effect.
        observed: mean class output without intervention.
        observed_stderr: its standard error.
        intervention: "zero" or the attenuation b.
        test: "t", or the paper's z-tests, "paired" or "unpaired".
        alpha: level of the tests.
        correction: None, "holm" or "fdr".
        cost: the cost predicted beforehand.
    """

    target: int
    layers: tuple[TreatmentEffects, ...]
    num_inputs: int
    observed: float
    observed_stderr: float
    intervention: str | float
    test: str
    alpha: float
    correction: str | None
    cost: Cost

    def __getitem__(self, name: str) -> TreatmentEffects:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"layer must be one of {[layer.name for layer in self.layers]}, got {name!r}")

    @property
    def necessary(self) -> dict[str, tuple[int, ...]]:
        """Necessary nodes by layer (G of Algorithm 1)."""
        return {layer.name: layer.necessary for layer in self.layers}

    @property
    def irrelevant(self) -> dict[str, tuple[int, ...]]:
        """Nodes that are not necessary, noisy or neutral, by layer (D of Algorithm 1)."""
        return {layer.name: tuple(sorted(layer.noisy + layer.neutral)) for layer in self.layers}

    @property
    def edges(self) -> tuple[tuple[str, int, int], ...]:
        """All edges (layer, necessary node, target)."""
        return tuple((layer.name, *pair) for layer in self.layers for pair in layer.edges)

    def __repr__(self) -> str:
        lines = [
            f"ExplanatoryGraph(target {self.target}, {self.num_inputs} inputs, intervention {self.intervention}, "
            f"{self.test} test at {self.alpha:g}, correction {self.correction})"
        ]
        for x in self.layers:
            lines.append(
                f"  {x.name or '(model)'}: {len(x.necessary)} necessary, {len(x.noisy)} noisy, {len(x.neutral)} "
                f"neutral of {x.num_nodes} nodes of {', '.join(x.parents)} -> {len(x.targets)} targets"
            )
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw the graph, a column per layer; return the axes."""
        from ..plots.graphs import plot_graph

        return plot_graph(self, **options)

    def explore(self, **options: Any) -> Any:
        """Return the effects of a layer's nodes with a list of layers and a slider over the level: widgets."""
        from ..explore.graphs import explore_graphs

        return explore_graphs(self, **options)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (layer, node), output side first."""
        pd = optional("pandas", "a data frame")
        return pd.concat([layer.to_frame() for layer in self.layers], ignore_index=True)

    def to_networkx(self) -> DiGraph:
        """Return the graph as a ``networkx.DiGraph``, from the input to the output.

        Nodes are pairs (layer, node), as in ``graph[layer]``, of all nodes, and ("output", target). They hold ``role``,
        ``effect``, ``stderr`` and ``p_adjusted``. Arrows lead from a necessary node through the weights of the layer
        that reads it to the necessary nodes which that layer's channels become, or to the output; ``channel`` is the
        first such channel.

        Example:
            >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
            >>> for layer in (net[0], net[2]):
            ...     _ = nn.init.ones_(layer.weight)
            >>> rows = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
            >>> arrows = explanatory_graph(net, rows, 0).to_networkx()
            >>> assert set(arrows.successors(("0", 1))) == {("2", 0), ("2", 1)}
            >>> assert set(arrows.predecessors(("output", 0))) == {("2", 0), ("2", 1)}
        """
        from networkx import DiGraph

        arrows, end = DiGraph(), ("output", self.target)
        readers: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for layer in self.layers:
            roles = dict.fromkeys(layer.necessary, "necessary") | dict.fromkeys(layer.noisy, "noisy")
            for j in range(layer.num_nodes):
                numbers = {name: float(getattr(layer, name)[j]) for name in ("stderr", "p_adjusted")}
                arrows.add_node(
                    (layer.name, j), role=roles.get(j, "neutral"), effect=float(layer.effects[j]), **numbers
                )
            for j in layer.necessary:
                for origin in layer.origins[j]:
                    readers.setdefault(origin, []).append((layer.name, j))
        arrows.add_node(end, role="output")
        for layer in self.layers:
            for j, target in layer.edges:
                found = readers.get((layer.name, target), []) + readers.get((layer.name, ALL), [])
                for node in found if found and layer is not self.layers[0] else [*found, end]:
                    if not arrows.has_edge((layer.name, j), node):
                        arrows.add_edge((layer.name, j), node, channel=target)
        return arrows

    def save(self, path: str | os.PathLike) -> Path:
        """Write the graph to a JSON file (to a temporary name first) and return its path."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        content["layers"] = [_plain(layer) for layer in self.layers]
        content["cost"] = {"rows": self.cost.rows, "layers": self.cost.layers}
        return save_json(path, content, format=FORMAT)

    @classmethod
    def load(cls, path: str | os.PathLike) -> ExplanatoryGraph:
        """Return the graph that ``save`` wrote, without the differences input by input.

        Raises:
            ValueError: if the file is missing or holds no graph.
        """
        with reading(path, format=FORMAT, what="a saved graph", remedy="save it again") as content:
            check_entries(content, cls)
            content["layers"] = tuple(_read(layer) for layer in content["layers"])
            content["cost"] = Cost(*(tuple(content["cost"][key]) for key in ("rows", "layers")))
            return cls(**content)


def explanatory_graph(
    model: nn.Module,
    inputs: Tensor,
    target: int,
    *,
    alpha: float = 0.05,
    test: str = "t",
    correction: str | None = None,
    intervention: str | float = "zero",
    epsilon: float = EPSILON,
    labels: Any = None,
    allow_wrong: bool = False,
    chunk_size: int | None = None,
    seed: int | None = None,
    progress: bool = False,
    executor: Executor | None = None,
    parts: str | os.PathLike | None = None,
) -> ExplanatoryGraph:
    """Return the causal explanatory graph of one class, from its output down to the network's input.

    Args:
        model: a network ``(batch, *shape) -> (batch, outputs)`` with Linear or convolution layers, in evaluation mode,
            returning the values before the softmax.
        inputs: ``(n, *shape)``, at least 30; the paper takes 100 correctly classified inputs of the class.
        target: index of the explained output.
        alpha: level of the two-sided tests; the sign decides between necessary (negative) and noisy (positive).
        test: "t", or the paper's z-tests, "paired" or "unpaired".
        correction: None, "holm" or "fdr", over the nodes of each layer.
        intervention: "zero" or an attenuation b in (0, 1), see ``treatment_effects``.
        epsilon: half width of the interval around b.
        labels: ``(n,)`` true classes: then only inputs of class ``target`` that are classified as such are used.
        allow_wrong: accept inputs of which none is classified as ``target``.
        chunk_size: network rows a call; bounds memory.
        seed: seed of the attenuations; None and 0 draw the same.
        progress: whether to show a progress bar over the rows x layers that ``cost`` predicts.
        executor: computes the effects of some nodes at a time: any ``concurrent.futures.Executor``.
        parts: a folder in which finished parts are kept, so that a computation that was killed goes on where it was.

    Raises:
        TypeError: if the model is no module.
        ValueError: as ``treatment_effects``, and where no input is classified as ``target``.

    References:
        Ahmad et al. (2023), Algorithm 1.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
        >>> graph = explanatory_graph(net, torch.rand(40, 3), 0)
        >>> assert [layer.name for layer in graph.layers] == ["2", "0"]
        >>> assert graph.layers[1].targets == graph.layers[0].necessary
    """
    rule = Test(alpha, test, correction)
    draw_betas(1, intervention, epsilon, as_generator(seed))  # refuses bad values before any work
    if labels is not None:
        inputs = correctly_classified(model, inputs, labels, target, chunk_size=chunk_size)
    run = Run(model, inputs, target, chunk_size=chunk_size, executor=executor, parts=parts)
    if not allow_wrong and not bool((run.outputs.argmax(1) == run.target).any()):
        raise ValueError(
            f"inputs must hold at least one that the model classifies as target {target}, got none of "
            f"{run.num_inputs}; give correctly classified inputs of that class, or allow_wrong=True"
        )
    return descend(run, rule, intervention, epsilon=epsilon, seed=seed, progress=progress)


def descend(
    run: Run,
    rule: Test,
    intervention: str | float,
    *,
    epsilon: float = EPSILON,
    seed: int | None = None,
    progress: bool = False,
) -> ExplanatoryGraph:
    """Return the graph of a prepared run by Algorithm 1; the options are those of ``explanatory_graph``."""
    cost, generator = predict_cost(run.trace, run.num_inputs), as_generator(seed)
    wanted: list[Source] = list(run.trace.outputs[run.target])
    found: list[TreatmentEffects] = []
    with bar(progress, cost.total, "rows x layers") as step:
        for layer, weight in zip(run.trace.layers[::-1], cost.layers, strict=True):
            betas = draw_betas(layer.num_nodes, intervention, epsilon, generator)
            targets = run.trace.targets(layer, wanted)

            def count(rows: int, weight: int = weight) -> None:
                step(rows * weight)

            effects = run.effects(layer, targets, betas, rule, count)
            wanted += [source for j in effects.necessary for source in layer.sources[j]]
            found.append(effects)
    y = double(run.observed)
    return ExplanatoryGraph(
        target=run.target,
        layers=tuple(found),
        num_inputs=run.num_inputs,
        observed=float(y.mean()),
        observed_stderr=float(y.std() / len(y) ** 0.5),
        intervention=intervention,
        test=rule.kind,
        alpha=rule.alpha,
        correction=rule.correction,
        cost=cost,
    )


def correctly_classified(
    model: nn.Module,
    inputs: Tensor,
    labels: Any,
    target: int,
    *,
    limit: int | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Return the inputs of class ``target`` that the model classifies as such, ``(m, *shape)``, in their order.

    Args:
        model: a network ``(batch, *shape) -> (batch, outputs)``.
        inputs: ``(n, *shape)``.
        labels: ``(n,)`` true classes.
        target: index of the class.
        limit: at most this many.
        chunk_size: inputs a call; 1024 where None.

    Raises:
        ValueError: if there is none, or for labels of another length.

    Example:
        >>> x = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> assert correctly_classified(nn.Identity(), x, [0, 0], 0).tolist() == [[2.0, 1.0]]
    """
    inputs = check_inputs(inputs, 1)
    check_placement([model], inputs)
    right = mine = inputs[(check_labels(labels, inputs) == target).to(inputs.device)]
    if len(mine):
        outputs = outputs_of(model, mine, chunk_size)
        check_target(target, outputs.shape[1])
        right = mine[(outputs.argmax(1) == target).to(mine.device)]
    if not len(right):
        raise ValueError(
            f"inputs must hold at least one of class {target} that the model classifies as such, got none of "
            f"{len(mine)} with that label; give others, or train the model further"
        )
    return right[:limit]


def _plain(layer: TreatmentEffects) -> dict[str, Any]:
    """Return a layer as JSON can hold it, without differences; numbers that are not finite become text."""
    content: dict[str, Any] = {}
    for f in fields(layer):
        value = getattr(layer, f.name)
        if isinstance(value, Tensor) and f.name != "differences":
            value = [v if abs(v) < float("inf") else str(v) for v in value.tolist()]
        content[f.name] = value
    return content | {"differences": None}


def _read(content: dict[str, Any]) -> TreatmentEffects:
    """Return the layer that ``_plain`` wrote."""

    def value(x: Any) -> Any:
        return tuple(value(y) for y in x) if isinstance(x, list) else x

    tensors = ("effects", "stderr", "relative", "z", "p", "p_adjusted", "beta")
    content = {"untold": []} | content  # which files of earlier versions do not hold
    check_entries(content, TreatmentEffects)
    sizes = {len(content[name]) for name in tensors}
    if len(sizes) > 1:
        raise ValueError(f"a layer must hold as many numbers of every kind as nodes, got {sorted(sizes)}")
    plain: dict[str, Any] = {
        k: torch.tensor([float(v) for v in x], dtype=torch.float64) if k in tensors else value(x)
        for k, x in content.items()
    }
    return TreatmentEffects(**plain)
