"""Treatment effects of the parent nodes of one layer: the numbers, their tests and the role of every node."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import Tensor

from .._optional import optional
from .._saved import Result


@dataclass(frozen=True, eq=False, repr=False)
class TreatmentEffects(Result):
    """Effects of all parent nodes of one layer on the class output, with their tests.

    Attributes:
        name: the layer whose weights were intervened on; its nodes are the channels or neurons it reads.
        kind: "Linear", "Conv1d", "Conv2d" or "Conv3d".
        parents: names of the layers those nodes belong to; "input" for the network's input.
        targets: output channels of the layer that were intervened on together.
        effects: ``(nodes,)`` mean change of the class output, in its unit; negative where the node is needed.
        stderr: ``(nodes,)`` standard error of the tested difference.
        relative: ``(nodes,)`` effects over the absolute mean class output; shown, not tested.
        z: ``(nodes,)`` z-scores.
        p: ``(nodes,)`` two-sided p-values.
        p_adjusted: ``(nodes,)`` p-values adjusted for the nodes of this layer, on which the decision rests.
        beta: ``(nodes,)`` factor on the weights; 0 for removal.
        necessary: nodes whose removal lowers the class output significantly.
        noisy: nodes whose removal raises it significantly.
        neutral: all others.
        origins: for each node, the (layer, channel) pairs it descends from.
        differences: ``(nodes, n)`` change of the class output, input by input; None after loading from a file or a
            pickle, which hold what is shown and not the inputs behind it.
        missing: pairs (necessary node, target) without a weight between them, as in grouped convolutions.
        untold: the neutral nodes of a t-test that too few inputs move for any effect to be significant; give more
            inputs, or read their ``differences``.
    """

    name: str
    kind: str
    parents: tuple[str, ...]
    targets: tuple[int, ...]
    effects: Tensor
    stderr: Tensor
    relative: Tensor
    z: Tensor
    p: Tensor
    p_adjusted: Tensor
    beta: Tensor
    necessary: tuple[int, ...]
    noisy: tuple[int, ...]
    neutral: tuple[int, ...]
    origins: tuple[tuple[tuple[str, int], ...], ...] = field(repr=False)
    differences: Tensor | None = field(default=None, repr=False, compare=False)
    missing: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    untold: tuple[int, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: everything but the differences input by input."""
        return super().__getstate__() | {"differences": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> TreatmentEffects:
        """Return a copy, the differences included."""
        return replace(self, **{f.name: copy.deepcopy(getattr(self, f.name), memo) for f in fields(self)})

    @property
    def num_nodes(self) -> int:
        """Number of parent nodes."""
        return len(self.effects)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs (necessary node, target) that a weight connects."""
        absent = set(self.missing)
        pairs = ((j, t) for j in self.necessary for t in self.targets)
        return tuple(pair for pair in pairs if pair not in absent)

    def __repr__(self) -> str:
        low, high = (float(self.effects.min()), float(self.effects.max())) if self.num_nodes else (0.0, 0.0)
        untold = f" ({len(self.untold)} moved by too few inputs to tell)" if self.untold else ""
        return (
            f"TreatmentEffects({self.name}: {self.num_nodes} nodes of {', '.join(self.parents)} -> "
            f"{len(self.targets)} targets; {len(self.necessary)} necessary, {len(self.noisy)} noisy, "
            f"{len(self.neutral)} neutral{untold}; effects {low:.3g} to {high:.3g})"
        )

    def plot(self, **options: Any) -> Any:
        """Draw the effects as bars with error bars; return the axes."""
        from ..plots.graphs import plot_effects

        return plot_effects(self, **options)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per node."""
        pd = optional("pandas", "a data frame")
        role = {j: "necessary" for j in self.necessary} | {j: "noisy" for j in self.noisy}
        columns = {"layer": [self.name] * self.num_nodes, "node": list(range(self.num_nodes))}
        columns |= {"role": [role.get(j, "neutral") for j in range(self.num_nodes)]}
        for name in ("effects", "stderr", "relative", "z", "p", "p_adjusted", "beta"):
            columns[name] = getattr(self, name).tolist()
        return pd.DataFrame(columns)
