"""The paper's reliability experiment as it is told: the whole search again and again, with weaker and weaker cuts.

Every run is Algorithm 1 from the class output down to the image, with its own targets in every layer, and draws a new
attenuation for every node. ``acelib.paths.reliability`` answers the like question from a table of attenuations, with
the targets of the first run, in a hundredth of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from acelib._checks import as_generator
from acelib.paths.run import EPSILON, Run, draw_betas
from acelib.paths.significance import Test
from acelib.paths.trace import Layer

RANGES = 5  # ranges of b that the runs are counted in


@dataclass(frozen=True, eq=False)
class Repetition:
    """How often each node was necessary in repeated searches.

    Attributes:
        layers: names of the layers, output side first; without the one that reads the image.
        runs: number of runs in each range of b, ``(ranges,)``.
        edges: limits of the ranges, ``(ranges + 1,)``.
        counts: for each layer ``(ranges, nodes)``, runs in which a node was necessary.
        first: for each layer the necessary nodes of the first run.
    """

    layers: tuple[str, ...]
    runs: Tensor
    edges: tuple[float, ...]
    counts: tuple[Tensor, ...]
    first: tuple[tuple[int, ...], ...]

    def __repr__(self) -> str:
        return f"Repetition({int(self.runs.sum())} runs; always: {self.always():.3f}, back: {self.back():.3f})"

    def frequency(self, part: int | None = None) -> Tensor:
        """Return the share of runs with each node that appears at least once, all layers in one, ``(nodes,)``.

        Args:
            part: one range of b; all runs together where None.
        """
        return torch.cat([self.of_layer(name, part) for name in self.layers])

    def of_layer(self, name: str, part: int | None = None) -> Tensor:
        """Return the same for one layer."""
        counts = self.counts[self.layers.index(name)]
        counts, runs = (counts.sum(0), self.runs.sum()) if part is None else (counts[part], self.runs[part])
        return counts[counts > 0].double() / runs

    def always(self, part: int | None = None) -> float:
        """Return the share that appear in every run, of the nodes that appear at all; NaN where there is none."""
        return float((self.frequency(part) == 1).double().mean())

    def back(self) -> float:
        """Return the mean share of runs in which a node of the first run is necessary; NaN where it has none."""
        shares = [c.sum(0)[list(nodes)].double() for c, nodes in zip(self.counts, self.first, strict=True)]
        return float(torch.cat(shares).mean() / self.runs.sum())

    def histogram(self, part: int | None = None, *, bins: int = 10) -> Tensor:
        """Return the shares of these nodes by frequency, ``(bins,)`` from 0 to 1; the last holds those of every run."""
        return torch.histc(self.frequency(part), bins=bins, min=0, max=1) / max(1, len(self.frequency(part)))


def repeat_search(
    model: nn.Module,
    images: Tensor,
    target: int,
    *,
    runs: int = 1000,
    every: int = 10,
    low: float = 0.01,
    high: float = 0.5,
    ranges: int = 5,
    test: str = "paired",
    alpha: float = 0.05,
    epsilon: float = EPSILON,
    seed: int = 0,
) -> Repetition:
    """Search the graph of a class again and again, b rising from ``low`` to ``high``, and return how often nodes come.

    Args:
        model: the network, in evaluation mode.
        images: ``(n, *shape)`` images of the class, at least 30.
        target: the class.
        runs: number of searches.
        every: runs after which b changes.
        low: b of the first runs.
        high: b of the last ones.
        ranges: equal ranges of b that the runs are counted in.
        test: "paired" or "unpaired".
        alpha: level of the two-sided tests.
        epsilon: half width of the interval around b that every node's attenuation is drawn from.
        seed: seed of the attenuations of the first run; every run has its own.

    References:
        Ahmad et al. (2023), Sec. 5.1 and Fig. 7.

    Example:
        >>> found = repeat_search(nn.Linear(3, 2), torch.rand(40, 3) + 1, 0, runs=20)
        >>> assert found.runs.sum() == 20 and found.layers == ("(model)",)  # a single layer is kept
    """
    run, rule = Run(model, images, target), Test(alpha, test, None)
    centres = np.repeat(np.linspace(low, high, -(-runs // every)), every)[:runs]
    edges = np.linspace(0, high, ranges + 1)
    parts = np.clip(np.searchsorted(edges, centres, side="left") - 1, 0, ranges - 1)
    layers = run.trace.layers[::-1]
    layers = layers[: max(1, len(layers) - 1)]  # the last one reads the image: it has one node, which is always there
    counts = [torch.zeros(ranges, layer.num_nodes, dtype=torch.int64) for layer in layers]
    first: list[tuple[int, ...]] = []
    for number, (b, part) in enumerate(zip(centres, parts, strict=True)):
        found = _search(run, rule, layers, float(b), epsilon, seed + number)
        first = first or found
        for count, nodes in zip(counts, found, strict=True):
            count[part, list(nodes)] += 1
    sizes = torch.from_numpy(np.bincount(parts, minlength=ranges))
    names = tuple(layer.name or "(model)" for layer in layers)
    return Repetition(names, sizes, tuple(edges.tolist()), tuple(counts), tuple(first))


def _search(
    run: Run, rule: Test, layers: Sequence[Layer], b: float, epsilon: float, seed: int
) -> list[tuple[int, ...]]:
    """Return the necessary nodes of each layer, as ``acelib.paths.explanatory_graph`` does, and nothing else."""
    wanted, found, generator = list(run.trace.outputs[run.target]), [], as_generator(seed)
    for layer in layers:
        betas = draw_betas(layer.num_nodes, b, epsilon, generator)
        targets, nodes = run.trace.targets(layer, wanted), ()
        if targets:
            z, _ = rule.scores(run.differences(layer, targets, betas), run.observed.cpu().double())
            nodes = tuple(rule.decide(z).necessary.nonzero()[:, 0].tolist())
        found.append(nodes)
        wanted += [source for j in nodes for source in layer.sources[j]]
    return found
