"""The computation of one set of contributions: by enumeration, by a closed form, or by sampling.

The options are checked before a Job is made. Every route ends in the same place: values of R replicates (two equal
ones for an exact method), averaged into a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .entropy import entropy, label_probabilities, replicate_entropy
from .error_bars import mean_and_stderr, ratio_and_stderr
from .exact import enumerate_entropy, enumerate_variance, finite_noises, grid_outputs, linear_weights
from .games import MAX_EXACT, allocate, subset_of
from .linear import LinearModel
from .outcome import Outcome
from .pickfreeze import chain_plan, first_total_plan, permutation_plan, replicate, sizes, subsets_plan
from .results import Closed, IntrinsicContributions
from .sobol import closed_values, first_and_total, shapley_values

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

    @property
    def groups(self) -> int:
        """Models side by side: one, or the mean of several and each of them."""
        return 1 if self.what.count == 1 else self.what.count + 1

    def label(self, outputs: Tensor) -> Tensor:
        """Return the label's probabilities ``(batch, groups · classes)`` from outputs of the same shape."""
        return label_probabilities(outputs, self.categorical, self.groups)

    def exact(self, model: Any, target: int | str, inputs: Sequence[str] | None) -> IntrinsicContributions | None:
        """Return the result of an exact method, or None where there is none."""
        scm, k = self.what.scm, self.k
        noises = finite_noises(scm)
        if noises is not None and k <= MAX_EXACT:
            outputs = grid_outputs(self.what, noises)
            rows = outputs[..., 0].numel()
            if self.measure == "variance":
                return self._from_table(enumerate_variance(outputs, noises), rows)
            p = self.label(outputs.reshape(rows, -1)).reshape(outputs.shape)
            return self._from_table(-enumerate_entropy(p, noises, lambda q: entropy(q, self.groups)), rows)
        if isinstance(scm, LinearModel) and self.measure == "variance" and self.what.count == 1:
            model = model[0] if isinstance(model, list | tuple) else model
            columns = range(k) if inputs is None else [scm.graph.index(n) for n in inputs]
            place = scm.graph.index(target) if model is None else int(target)
            weights = linear_weights(model, place, list(columns), k)
            if weights is not None and not scm.unknown_noises(weights):
                values = scm.contributions(weights)[:, None]
                return self._result(_certain(values), _certain(values.sum(0)), "closed form", 0)
        return None

    def _from_table(self, table: Tensor, rows: int) -> IntrinsicContributions:
        """Return the result of an enumerated ``(2^k, groups)``: closed variances, or minus conditional entropies."""
        total = table[-1] if self.measure == "variance" else -table[0]
        values = allocate(table, self.context, self.order)
        return self._result(_certain(values), _certain(total), "enumeration", rows, _certain(table - table[0]))

    def sampled_variance(self) -> IntrinsicContributions:
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
            self.what.mixed,
            plan,
            k,
            num_samples=self.num_samples,
            scramblings=self.scramblings,
            seed=self.seed,
            chunk=self.what.chunk,
            progress=self.progress,
        )
        values = run.statistics
        if every:
            values, closed = shapley_values(run, k), closed_values(run).transpose(0, 1)
        elif context in ("first", "total"):
            values = first_and_total(run, k)[context == "total"]
        return self._result(values, run.variance, "sampling", run.num_rows, closed)

    def sampled_entropy(self) -> IntrinsicContributions:
        """Return contributions to the entropy of the label from nested averages."""
        values, total, tables, rows = replicate_entropy(
            self.what,
            self.label,
            self.groups,
            context=self.context,
            order=self.order,
            num_samples=self.num_samples,
            inner_samples=self.inner_samples,
            scramblings=self.scramblings,
            seed=self.seed,
            progress=self.progress,
        )
        if len(tables[0]) < 2**self.k:
            return self._result(values, total, "sampling", rows)
        table = torch.stack([torch.stack([one[b] for b in range(2**self.k)]) for one in tables])
        return self._result(values, total, "sampling", rows, table - table[:, :1])

    def _result(
        self, values: Tensor, total: Tensor, method: str, rows: int, closed: Tensor | None = None
    ) -> IntrinsicContributions:
        """Return the averages of replicates ``(R, k, groups)``, ``(R, groups)`` and ``(R, 2^k, groups)``.

        The first group is the model, or the mean of several.
        """
        own, whole = values[..., 0], total[:, 0]
        contributions, stderr = mean_and_stderr(own)
        shares, shares_stderr = ratio_and_stderr(own, whole[:, None])
        uncertainty, uncertainty_stderr = (float(t) for t in mean_and_stderr(whole))
        residual, residual_stderr = (float(t) for t in mean_and_stderr(whole - own.sum(1)))
        subsets, subsets_stderr = ({}, {}) if closed is None else self._closed(closed[..., 0], whole)
        scramblings = len(values) if method == "sampling" else 0
        return IntrinsicContributions(
            nodes=self.what.scm.nodes,
            target="label" if self.measure == "entropy" else self.what.name,
            measure=self.measure,
            context=self.context,
            contributions=contributions,
            stderr=stderr,
            shares=shares,
            shares_stderr=shares_stderr,
            uncertainty=uncertainty,
            uncertainty_stderr=uncertainty_stderr,
            residual=residual,
            residual_stderr=residual_stderr,
            order=self.names,
            method=method,
            num_samples=sizes(self.num_samples, self.scramblings) * scramblings,
            num_rows=rows,
            scramblings=scramblings,
            closed=subsets,
            closed_stderr=subsets_stderr,
            models=values[..., 1:].mean(0).T.contiguous() if self.groups > 1 else None,
        )

    def _closed(self, closed: Tensor, whole: Tensor) -> tuple[Closed, Closed]:
        """Return closed indices of all subsets, and their errors, from replicates ``(R, 2^k)`` and ``(R,)``."""
        nodes = self.what.scm.nodes
        names = [tuple(nodes[j] for j in subset_of(bits, self.k)) for bits in range(2**self.k)]
        value, stderr = ratio_and_stderr(closed, whole[:, None])
        return dict(zip(names, value.tolist(), strict=True)), dict(zip(names, stderr.tolist(), strict=True))


def _certain(values: Tensor) -> Tensor:
    """Return two equal replicates: a value whose standard error is 0."""
    return values.double().expand(2, *values.shape)
