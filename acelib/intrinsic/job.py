"""The computation of one set of contributions: by enumeration, by a closed form, or by sampling.

The options are checked before a Job is made. Every route ends in the same place: values of R replicates (two equal
ones for an exact method), which ``present`` averages into a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .._pool import Workers
from .answer import Answer, certain
from .closed import closed_values, first_and_total, shapley_values
from .data_check import entropy_of_rows, variance_of_rows
from .entropy import entropy, label_probabilities, replicate_entropy
from .exact import enumerate_entropy, enumerate_variance, finite_noises, grid_outputs, linear_weights
from .games import MAX_EXACT, allocate
from .linear import LinearModel
from .outcome import Outcome
from .pickfreeze import chain_plan, constant, first_total_plan, permutation_plan, replicate, rounding, subsets_plan
from .scm import CausalModel

# Nodes up to which sampled variances visit all 2^k subsets; beyond, a random order of the nodes for every point. At
# equal errors orders need as many rows with 6 nodes, a third with 8 and a seventieth with 11, but no subset is known.
ALL_SUBSETS = 10


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call of ``intrinsic_contributions``, its options checked.

    Attributes:
        what: the target in terms of the noises.
        measure: "variance" or "entropy".
        context: "shapley", "topological", "first" or "total".
        names: the nodes in causal order.
        categorical: "softmax", "argmax" or None; see ``label_probabilities``.
        num_samples: base points, over all scramblings.
        inner_samples: mixtures behind an inner mean of the entropy.
        scramblings: independent scramblings of the Sobol' sequence.
        seed: seed of scramblings and permutations; None means 0.
        progress: whether a progress bar is shown.
        workers: who evaluates the samples.
    """

    what: Outcome
    measure: str
    context: str
    names: tuple[str, ...]
    categorical: str | None
    num_samples: int
    inner_samples: int
    scramblings: int
    seed: int | None
    progress: bool
    workers: Workers = Workers()

    def __post_init__(self) -> None:
        if self.measure == "entropy":  # refuses a continuous target early; a single row could pass by chance
            points = torch.linspace(0.2, 0.9, 2, dtype=torch.float64)
            self.label(self.what.outputs(self.what.noise(points[:, None].expand(-1, self.k))))

    @property
    def k(self) -> int:
        """Number of nodes."""
        return len(self.names)

    @cached_property
    def order(self) -> list[int]:
        """Columns of the nodes in causal order."""
        return [self.what.scm.graph.index(n) for n in self.names]

    def of(self, scm: CausalModel) -> Job:
        """Return the same job for another fit of the causal model."""
        return self if scm is self.what.scm else replace(self, what=replace(self.what, scm=scm))

    @property
    def groups(self) -> int:
        """Models side by side: one, or the mean of several and each of them."""
        return 1 if self.what.count == 1 else self.what.count + 1

    def label(self, outputs: Tensor) -> Tensor:
        """Return the label's probabilities ``(batch, groups · classes)`` from outputs of the same shape."""
        return label_probabilities(outputs, self.categorical, self.groups)

    def exact(self, model: Any, target: int | str, inputs: Sequence[str] | None) -> Answer | None:
        """Return the answer of an exact method, or None where there is none."""
        scm, k = self.what.scm, self.k
        noises = finite_noises(scm)
        if noises is not None and k <= MAX_EXACT:
            outputs = grid_outputs(self.what, noises)
            rows = outputs[..., 0].numel()
            if self.measure == "variance":
                return self._from_table(enumerate_variance(outputs, noises), rows)
            p = self.label(outputs.reshape(rows, -1)).reshape(outputs.shape)
            return self._from_table(-enumerate_entropy(p, noises, lambda q: entropy(q, self.groups)), rows)
        weights = self.linear_target(model, target, inputs)
        if isinstance(scm, LinearModel) and weights is not None and not scm.unknown_noises(weights):
            values = scm.contributions(weights)[:, None]
            return Answer(certain(values), certain(values.sum(0)), "closed form", 0)
        return None

    def linear_target(self, model: Any, target: int | str, inputs: Sequence[str] | None) -> Tensor | None:
        """Return the weight ``(k,)`` of every node in a target whose variance has a closed form, else None."""
        graph = self.what.scm.graph
        if not isinstance(self.what.scm, LinearModel) or self.measure != "variance" or self.what.count != 1:
            return None
        model = model[0] if isinstance(model, list | tuple) else model
        columns = range(self.k) if inputs is None else [graph.index(n) for n in inputs]
        place = graph.index(target) if model is None else int(target)
        return linear_weights(model, place, list(columns), self.k)

    def _from_table(self, table: Tensor, rows: int) -> Answer:
        """Return the answer of an enumerated ``(2^k, groups)``: closed variances, or minus conditional entropies."""
        total = table[-1] if self.measure == "variance" else -table[0]
        values = allocate(table, self.context, self.order)
        return Answer(certain(values), certain(total), "enumeration", rows, certain(table - table[0]))

    def sampled(self, worlds: Sequence[CausalModel] | None = None, *, runs: int = 1) -> Answer:
        """Return the answer from samples: of the causal model, or of another one in each scrambling.

        Args:
            worlds: a causal model for every scrambling; None for that of the job.
            runs: runs like this one whose time is predicted together; 0 says nothing.
        """
        whats = None if worlds is None else [replace(self.what, scm=scm) for scm in worlds]
        return self._entropy(whats, runs) if self.measure == "entropy" else self._variance(whats, runs)

    def _variance(self, whats: Sequence[Outcome] | None, runs: int) -> Answer:
        """Return contributions to the variance from pick-freeze mixtures."""
        k, context, closed = self.k, self.context, None
        every = context == "shapley" and k <= ALL_SUBSETS
        if every:
            plan = subsets_plan(k)
        elif context == "shapley":
            plan = permutation_plan(k)
        else:
            plan = chain_plan(self.order) if context == "topological" else first_total_plan(k)
        run = replicate(
            self.what.mixed if whats is None else [what.mixed for what in whats],
            plan,
            k,
            num_samples=self.num_samples,
            scramblings=self.scramblings,
            seed=self.seed,
            chunk=self.what.chunk,
            progress=self.progress,
            runs=runs,
            workers=self.workers,
        )
        values = run.statistics
        if every:
            values, closed = shapley_values(run, k), closed_values(run).transpose(0, 1)
        elif context in ("first", "total"):
            values = first_and_total(run, k)[context == "total"]
        kurtosis = None if run.kurtosis is None else float(run.kurtosis[0])
        return Answer(values, run.variance, "sampling", run.num_rows, closed, kurtosis)

    def _entropy(self, whats: Sequence[Outcome] | None, runs: int) -> Answer:
        """Return contributions to the entropy of the label from nested averages."""
        values, total, tables, rows = replicate_entropy(
            self.what if whats is None else whats,
            replace(self, workers=Workers()).label,  # an executor cannot be sent to its own workers
            self.groups,
            context=self.context,
            order=self.order,
            num_samples=self.num_samples,
            inner_samples=self.inner_samples,
            scramblings=self.scramblings,
            seed=self.seed,
            progress=self.progress,
            runs=runs,
            workers=self.workers,
        )
        if len(tables[0]) < 2**self.k:
            return Answer(values, total, "sampling", rows)
        table = torch.stack([torch.stack([one[b] for b in range(2**self.k)]) for one in tables])
        return Answer(values, total, "sampling", rows, table - table[:, :1])

    def uncertainty_of(self, rows: Tensor) -> tuple[float, float]:
        """Return the variance or entropy of the target on rows ``(n, nodes)`` of data, and its standard error."""
        outputs = self.what.at_nodes(rows)
        if self.measure == "variance":
            y = outputs[:, :1].cpu()
            still = constant(torch.stack([y.amin(0), y.amax(0)]), rounding(y))
            return (0.0, 0.0) if bool(still) else variance_of_rows(y[:, 0])
        p = self.label(outputs)
        return entropy_of_rows(p[:, : p.shape[1] // self.groups].cpu())
