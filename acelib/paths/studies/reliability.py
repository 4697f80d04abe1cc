"""Reappearance of the necessary nodes when the intervention is weaker, over random attenuations.

Over many runs the weights are attenuated to beta * w with beta ~ U(b - eps, b + eps), b rising from run to run. A node
reappears where it is necessary again. An untrained network is the control: only what exceeds it counts, because the
paired z-score hardly depends on the size of an intervention, and in the last layer not at all.

The output is evaluated on a grid of attenuations only and interpolated between, so a run costs no evaluation. Means and
variances of interpolated differences, all that the z-tests ask, follow from those at the grid; the t-test looks at the
interpolated differences themselves. Some runs are evaluated exactly as a check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..._checks import as_generator
from ..._optional import optional
from ..._saved import Result
from ..graph import descend
from ..results import TreatmentEffects
from ..run import EPSILON, Run
from ..significance import Test
from ..trace import Layer


@dataclass(frozen=True, eq=False, repr=False)
class Reliability(Result):
    """The share of runs in which the necessary nodes of the first run reappear, layer by layer.

    Attributes:
        target: index of the explained output.
        layers: names of the layers, output side first.
        nodes: for each layer, its necessary nodes in the first run.
        frequency: for each layer ``(nodes,)`` share of the runs in which each of them is necessary again.
        attenuations: ``(runs,)`` centre b of each run.
        by_run: ``(layers, runs)`` share of a layer's nodes that reappear in a run; NaN for a layer without nodes.
        agreement: ``(layers,)`` share of all nodes that exact runs and interpolated ones class alike.
        test: "paired", "unpaired" or "t".
        correction: None, "holm" or "fdr".
    """

    target: int
    layers: tuple[str, ...]
    nodes: tuple[tuple[int, ...], ...]
    frequency: tuple[Tensor, ...]
    attenuations: Tensor
    by_run: Tensor
    agreement: Tensor
    test: str
    correction: str | None

    @property
    def share(self) -> Tensor:
        """``(layers,)`` mean share of the nodes that reappear in a run; NaN for a layer without nodes."""
        return torch.stack([f.mean() for f in self.frequency])

    @property
    def stderr(self) -> Tensor:
        """``(layers,)`` standard error of ``share`` over the layer's nodes; NaN below two nodes."""
        return torch.stack([f.std() / len(f) ** 0.5 if len(f) > 1 else f.new_tensor(torch.nan) for f in self.frequency])

    @property
    def always(self) -> Tensor:
        """``(layers,)`` share of the nodes that reappear in every run; NaN for a layer without nodes."""
        return torch.stack([(f == 1).double().mean() for f in self.frequency])

    def __repr__(self) -> str:
        shares = ", ".join(f"{n or '(model)'} {s:.3f}" for n, s in zip(self.layers, self.share.tolist(), strict=True))
        return f"Reliability(target {self.target}, {len(self.attenuations)} runs, {self.test} test: {shares})"

    def plot(self, **options: Any) -> Any:
        """Draw the share that reappears against b, a line per layer; return the axes."""
        from ...plots.graphs import plot_reliability

        return plot_reliability(self, **options)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per layer."""
        pd = optional("pandas", "a data frame")
        return pd.DataFrame(
            {
                "layer": self.layers,
                "nodes": [len(n) for n in self.nodes],
                "share": self.share.tolist(),
                "stderr": self.stderr.tolist(),
                "always": self.always.tolist(),
                "agreement": self.agreement.tolist(),
            }
        )


def reliability(
    model: nn.Module,
    inputs: Tensor,
    target: int,
    *,
    runs: int = 1000,
    every: int = 10,
    low: float = 0.01,
    high: float = 0.5,
    epsilon: float = EPSILON,
    alpha: float = 0.05,
    test: str = "paired",
    correction: str | None = None,
    knots: int = 17,
    checks: int = 2,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> Reliability:
    """Return how often the nodes of a first run are necessary again over random attenuations.

    The targets of every layer are those of the first run's graph, so that each layer's share is its own.

    Args:
        model: the network, in evaluation mode.
        inputs: ``(n, *shape)``, at least 30.
        target: index of the explained output.
        runs: number of runs.
        every: number of runs after which b changes.
        low: b of the first run, which defines the nodes.
        high: b of the last.
        epsilon: half width of the interval that a node's beta is drawn from, within [0, 1].
        alpha: level of the two-sided test.
        test: "paired" or "unpaired", the paper's z-tests; or "t", which holds its level for skewed and rare
            differences (see ``acelib.paths.significance``), at the cost of one test of all inputs a run.
        correction: None, "holm" or "fdr".
        knots: attenuations at which the network is evaluated.
        checks: runs that are evaluated exactly as well.
        chunk_size: network rows a call.
        seed: seed of the betas; None and 0 draw the same.

    Raises:
        ValueError: as ``explanatory_graph``, and for an empty or reversed range of b.

    References:
        Ahmad et al. (2023), Fig. 7.

    Example:
        >>> found = reliability(nn.Linear(3, 2), torch.rand(40, 3), 0, runs=20)
        >>> assert bool((found.share[0] == 1) | found.share[0].isnan())  # in a last layer z does not depend on beta
    """
    rule = Test(alpha, test, correction)
    if not 0 < low <= high < 1:
        raise ValueError(f"low and high must be ordered as 0 < low <= high < 1, got {low} and {high}")
    for name, value, least in (("runs", runs, 1), ("every", every, 1), ("knots", knots, 2), ("checks", checks, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    run, generator = Run(model, inputs, target, chunk_size=chunk_size), as_generator(seed)
    first = descend(run, rule, low, epsilon=epsilon, seed=seed)
    centres = torch.linspace(low, high, -(-runs // every), dtype=torch.float64).repeat_interleave(every)[:runs]
    grid = torch.linspace(max(0.0, low - epsilon), min(1.0, high + epsilon), knots, dtype=torch.float64)
    nodes, frequency, by_run, agreement = [], [], [], []
    for layer, effects in zip(run.trace.layers[::-1], first.layers, strict=True):
        own = torch.rand(runs, layer.num_nodes, generator=generator, dtype=torch.float64)
        betas = (centres[:, None] + epsilon * (2 * own - 1)).clamp(float(grid[0]), float(grid[-1]))
        again, same = torch.zeros(runs, layer.num_nodes, dtype=torch.bool), float("nan")
        if effects.necessary:
            again = Interpolated(run, layer, effects.targets, grid).necessary(betas, rule)
            same = _agreement(run, rule, layer, effects, betas, again, checks)
        back = again[:, list(effects.necessary)].double()
        nodes.append(effects.necessary)
        frequency.append(back.mean(0))
        by_run.append(back.mean(1))
        agreement.append(same)
    names = tuple(layer.name for layer in first.layers)
    return Reliability(
        target=run.target,
        layers=names,
        nodes=tuple(nodes),
        frequency=tuple(frequency),
        attenuations=centres,
        by_run=torch.stack(by_run),
        agreement=torch.tensor(agreement),
        test=test,
        correction=correction,
    )


class Interpolated:
    """A layer's differences at any attenuation, with their means and variances, from those on a grid.

    Between two knots a difference is (1 - w) d_k + w d_k+1, so its mean and its covariance with the output without
    intervention are linear in w and its variance is quadratic.

    Args:
        run: the prepared run.
        layer: the layer.
        targets: its targets.
        grid: ``(k,)`` rising attenuations.
    """

    def __init__(self, run: Run, layer: Layer, targets: tuple[int, ...], grid: Tensor) -> None:
        y = run.observed.cpu().double()
        pairs = [run.measured(layer, targets, b.expand(layer.num_nodes)) for b in grid]
        self.rounding = max(floor for _, floor in pairs)
        self.found = found = torch.stack([d for d, _ in pairs])  # (knots, nodes, n)
        self.grid, self.count = grid, len(y)
        self.mean = found.mean(2)  # (knots, nodes)
        centred, centred_y = found - self.mean[..., None], y - y.mean()
        self.variance = centred.square().sum(2) / (self.count - 1)
        self.neighbours = (centred[1:] * centred[:-1]).sum(2) / (self.count - 1)
        self.with_y, self.of_y = centred @ centred_y / (self.count - 1), y.var()
        self.silent = found.eq(0).all(2).all(0)

    def necessary(self, betas: Tensor, rule: Test) -> Tensor:
        """Return which nodes are necessary in each run, ``(runs, nodes)``, at the attenuations ``betas``."""
        z = self.z(betas, rule.kind)
        if rule.kind != "t":
            return rule.decide(z).necessary
        runs = zip(z, betas, strict=True)
        return torch.stack([rule.judge(row, self.differences(b), rounding=self.rounding).necessary for row, b in runs])

    def differences(self, betas: Tensor) -> Tensor:
        """Return the differences ``(nodes, n)`` of one run at the attenuations ``betas (nodes,)``."""
        (k, w), nodes = self._place(betas), torch.arange(len(betas))
        return (1 - w)[:, None] * self.found[k, nodes] + w[:, None] * self.found[k + 1, nodes]

    def z(self, betas: Tensor, kind: str) -> Tensor:
        """Return the z-scores ``(runs, nodes)`` at the attenuations ``betas (runs, nodes)``, "unpaired" or others."""
        k, w = self._place(betas)

        def at(table: Tensor, shift: int = 0) -> Tensor:
            return table.gather(0, k + shift)

        mean = (1 - w) * at(self.mean) + w * at(self.mean, 1)
        variance = (1 - w).square() * at(self.variance) + w.square() * at(self.variance, 1)
        variance = (variance + 2 * w * (1 - w) * at(self.neighbours)).clamp_min(0)
        if kind == "unpaired":
            with_y = (1 - w) * at(self.with_y) + w * at(self.with_y, 1)
            variance = (variance + 2 * with_y).add(self.of_y).clamp_min(0) + self.of_y
        z = mean / (variance / self.count).sqrt()
        return torch.where(self.silent | (mean == 0), 0.0, z)

    def _place(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Return the knot below each attenuation, and how far it lies on the way to the next one."""
        k = (torch.searchsorted(self.grid, betas.contiguous()) - 1).clamp(0, len(self.grid) - 2)
        return k, (betas - self.grid[k]) / (self.grid[k + 1] - self.grid[k])


def _agreement(
    run: Run, rule: Test, layer: Layer, effects: TreatmentEffects, betas: Tensor, again: Tensor, checks: int
) -> float:
    """Return the share of nodes that exact runs, evenly spread, class as the interpolated ones; NaN without checks."""
    if not checks:
        return float("nan")
    same = []
    for r in torch.linspace(0, len(betas) - 1, checks).round().long().tolist():
        found, rounding = run.measured(layer, effects.targets, betas[r])
        z, _ = rule.scores(found, run.observed.cpu())
        same.append((rule.judge(z, found, rounding=rounding).necessary == again[r]).double().mean())
    return float(torch.stack(same).mean())
