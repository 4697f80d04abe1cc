"""How one set of contributions is computed: by enumeration, by a closed form, or by sampling.

The options are checked before a Job is made. Every route ends in the same place: values of R replicates (two equal
ones for an exact method), averaged into a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._models import accumulator_dtype
from .entropy import entropy, label_probabilities, replicate_entropy
from .error_bars import mean_and_stderr, ratio_and_stderr
from .exact import enumerate_entropy, enumerate_variance, finite_noises, grid_outputs, linear_weights
from .games import MAX_EXACT, contributions, subset_of
from .linear import LinearModel
from .outcome import Outcome
from .pickfreeze import chain_plan, first_total_plan, permutation_plan, replicate, sizes, subsets_plan
from .results import IntrinsicContributions
from .sobol import closed_values, first_and_total, shapley_values


class Job:
    """One call of ``intrinsic_contributions``, its options checked."""

    def __init__(
        self,
        what: Outcome,
        measure: str,
        context: str,
        names: tuple[str, ...],
        categorical: str | None,
        num_samples: int,
        inner_samples: int,
        scramblings: int,
        seed: int | None,
        progress: bool,
    ) -> None:
        self.what, self.measure, self.context, self.names = what, measure, context, names
        self.order = [what.scm.graph.index(n) for n in names]
        self.k, self.groups = len(names), 1 if what.count == 1 else what.count + 1
        self.num_samples, self.inner_samples, self.seed = num_samples, inner_samples, seed
        self.scramblings, self.progress = scramblings, progress
        self.label: Callable[[Tensor], Tensor] = lambda out: label_probabilities(out, categorical, self.groups)
        if measure == "entropy":  # refuses a continuous target before any long work; a single row could pass by chance
            rows = torch.linspace(0.05, 0.95, 8, dtype=accumulator_dtype(what.device))[:, None].expand(-1, self.k)
            self.label(what.outputs(what.noise(rows)))

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
            if weights is not None:
                values = scm.contributions(weights)[:, None]
                return self._result(_certain(values), _certain(values.sum(0)), "closed form", 0)
        return None

    def _from_table(self, table: Tensor, rows: int) -> IntrinsicContributions:
        """Present an enumerated table ``(2^k, groups)`` of closed variances, or of minus conditional entropies."""
        total = table[-1] if self.measure == "variance" else -table[0]
        values = contributions(table, self.context, self.order)
        return self._result(_certain(values), _certain(total), "enumeration", rows, _certain(table - table[0]))

    def sampled_variance(self) -> IntrinsicContributions:
        """Return contributions to the variance from pick-freeze mixtures."""
        k, context, closed = self.k, self.context, None
        every = context == "shapley" and k <= MAX_EXACT
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
        """Average replicates ``(R, k, groups)``, ``(R, groups)`` and ``(R, 2^k, groups)``.

        The first group is the model, or the mean of several.
        """
        own = values[..., 0]
        (value, stderr), (uncertainty, uncertainty_stderr) = mean_and_stderr(own), mean_and_stderr(total[:, 0])
        shares, shares_stderr = ratio_and_stderr(own, total[:, :1])
        residual, residual_stderr = mean_and_stderr(total[:, 0] - own.sum(1))
        sampled = len(values) if method == "sampling" else 0
        nodes, named = tuple(self.what.scm.graph.nodes), ({}, {})
        if closed is not None:
            subsets = [tuple(nodes[j] for j in subset_of(bits, self.k)) for bits in range(2**self.k)]
            pair = ratio_and_stderr(closed[..., 0], total[:, :1])
            named = tuple(dict(zip(subsets, t.tolist(), strict=True)) for t in pair)
        return IntrinsicContributions(
            nodes=nodes,
            target="label" if self.measure == "entropy" else self.what.name,
            measure=self.measure,
            context=self.context,
            contributions=value,
            stderr=stderr,
            shares=shares,
            shares_stderr=shares_stderr,
            uncertainty=float(uncertainty),
            uncertainty_stderr=float(uncertainty_stderr),
            residual=float(residual),
            residual_stderr=float(residual_stderr),
            order=self.names,
            method=method,
            num_samples=sizes(self.num_samples, self.scramblings) * self.scramblings if sampled else 0,
            num_rows=rows,
            scramblings=sampled,
            closed=named[0],
            closed_stderr=named[1],
            models=values[..., 1:].mean(0).T.contiguous() if self.groups > 1 else None,
        )


def _certain(values: Tensor) -> Tensor:
    """Two equal replicates: a value whose standard error is 0."""
    return values.double().expand(2, *values.shape)
