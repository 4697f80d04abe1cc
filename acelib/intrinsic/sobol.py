"""Sobol' indices of independent inputs: the shares of an output's variance explained alone and in interaction.

With inputs U(0, 1), independent, the share of Var(Y) that a subset u explains is its closed index

    S_clo(u) = Var(E[Y | X_u]) / Var(Y) ;

S_i = S_clo({i}) is the first-order index of i, T_i = 1 − S_clo(all but i) its total index, and the Shapley average of
S_clo(u ∪ {i}) − S_clo(u) shares out the interactions. They are the intrinsic contributions of inputs without causes.
``scipy.stats.sobol_indices`` and SALib are not used because their errors come from resampling the points of a single
Sobol' sequence, which are not independent; here they come from independent scramblings. A polynomial fitted to a few
more model rows takes noise out of first-order and total indices where the output is smooth (``surrogate.py``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._checks import as_generator
from .._models import Model, as_chunk
from .._optional import optional
from .._pool import Workers
from .._saved import Result, check_entries, compact, plain, reading, rebuilt, save_json
from .closed import closed_values, first_and_total, shapley_values
from .error_bars import interval, mean_and_stderr, ratio_and_stderr
from .games import MAX_EXACT, subset_of
from .graph import CausalGraph
from .nets import scrambled_nets
from .noise import inside
from .outcome import Outcome, outcome
from .pickfreeze import Evaluate, Plan, Replicates, first_total_plan, permutation_plan, replicate, sizes, subsets_plan
from .problem import Problem
from .scm import CausalModel, StructuralModel
from .surrogate import controlled, fit_surrogate
from .tails import tails_said, warn_of_tails

FORMAT = "acelib.sobol/1"
AT_ONCE = 4  # inputs up to which all subsets cost little more than first and total indices


@dataclass(frozen=True, eq=False, repr=False)
class SobolIndices(Result):
    """Sobol' indices of every input and output, with standard errors.

    A constant output has no variance to share: its indices are NaN.

    Attributes:
        first: ``(inputs, outputs)`` first-order indices, float64.
        first_stderr: their standard errors from the scramblings.
        total: ``(inputs, outputs)`` total indices.
        total_stderr: their standard errors.
        mean: ``(outputs,)`` mean output.
        variance: ``(outputs,)`` variance of the output.
        variance_stderr: its standard error.
        num_samples: base points over all scramblings.
        num_rows: model rows evaluated: num_samples · (inputs + 2), and at most an eighth more to fit a surrogate.
        scramblings: independent scramblings; their number minus 1 is the degrees of freedom.
        models: first and total ``(S, 2, inputs, outputs)`` for each model of a list; None for a single model.
        further: averages behind the Shapley effects and closed indices; None where they were not asked for.
        kurtosis: ``(outputs,)`` kurtosis of the output at the mixtures; num_samples / kurtosis is the number of points
            that carry its variance. With fewer than 30, the tails are too long for the error bars. None in old files.
        names: names of the inputs, or of their groups, of a ``problem``; without one ``()``.
    """

    first: Tensor
    first_stderr: Tensor
    total: Tensor
    total_stderr: Tensor
    mean: Tensor
    variance: Tensor
    variance_stderr: Tensor
    num_samples: int
    num_rows: int
    scramblings: int
    models: Tensor | None = None
    further: Any = field(default=None, repr=False)  # Replicates, which the reference does not list
    kurtosis: Tensor | None = None
    names: tuple[str, ...] = ()

    @property
    def shapley(self) -> Tensor:
        """``(inputs, outputs)`` Shapley effects; they sum to 1 within their errors.

        All subsets are visited up to 12 inputs (num_samples · 2^inputs rows); beyond, one random order per point.

        Raises:
            ValueError: if they were not asked for, see ``sobol_indices(shapley=True)``.
        """
        return self._shapley[0]

    @property
    def shapley_stderr(self) -> Tensor:
        """``(inputs, outputs)`` standard errors of the Shapley effects."""
        return self._shapley[1]

    @property
    def closed(self) -> Mapping[tuple[int, ...], Tensor]:
        """Closed index ``(outputs,)`` of every subset of inputs, up to 12 inputs; evaluated with ``shapley``.

        Raises:
            ValueError: for more than 12 inputs, or if they were not asked for.
        """
        return self._closed[0]

    @property
    def closed_stderr(self) -> Mapping[tuple[int, ...], Tensor]:
        """Standard errors ``(outputs,)`` of the closed indices."""
        return self._closed[1]

    @property
    def model_spread(self) -> Tensor | None:
        """``(2, inputs, outputs)`` standard deviation of first and total over a list of models; None for one model."""
        return None if self.models is None else self.models.std(0)

    def interval(self, index: str = "first", level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Return both ends ``(inputs, outputs)`` of Student-t intervals of "first", "total" or "shapley"."""
        if index not in ("first", "total", "shapley"):
            raise ValueError(f"index must be one of 'first', 'total', 'shapley', got {index!r}")
        return interval(getattr(self, index), getattr(self, f"{index}_stderr"), self.scramblings, level)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (input, output): first and total index with standard errors."""
        pd = optional("pandas", "a data frame")
        inputs, outputs = self.first.shape
        called = [name for name in (self.names or range(inputs)) for _ in range(outputs)]
        columns: dict[str, Any] = {"input": called, "output": list(range(outputs)) * inputs}
        for name in ("first", "first_stderr", "total", "total_stderr"):
            columns[name] = getattr(self, name).reshape(-1).numpy()
        return pd.DataFrame(columns)

    def plot(self, **options: Any) -> Any:
        """Draw first-order and total indices side by side with 95 % intervals; return the axes."""
        from ..plots.bars import plot_sobol

        return plot_sobol(self, **options)

    def explore(self, **options: Any) -> Any:
        """Return the indices with lists of contexts and orders: widgets in a running kernel, a player on a page."""
        from ..explore.shares import explore_sobol

        return explore_sobol(self, **options)

    def __repr__(self) -> str:
        inputs, outputs = self.first.shape
        first, total = ([f"{v:.3g}" for v in t[:6, 0].tolist()] for t in (self.first, self.total))
        error = max(float(self.first_stderr.max()), float(self.total_stderr.max()))
        return (
            f"SobolIndices({inputs} inputs, {outputs} outputs, {self.num_rows} rows; output 0: first "
            f"{', '.join(first)}; total {', '.join(total)}; largest stderr {error:.1g}"
            f"{tails_said(None if self.kurtosis is None else self.kurtosis.tolist(), self.num_samples)})"
        )

    def save(self, path: str | os.PathLike) -> Path:
        """Write the result to a JSON file (to a temporary name first) and return its path; NaN stands for itself."""
        return save_json(path, {one.name: _plain(getattr(self, one.name)) for one in fields(self)}, format=FORMAT)

    @classmethod
    def load(cls, path: str | os.PathLike) -> SobolIndices:
        """Return the result that ``save`` wrote.

        Raises:
            ValueError: if the file is missing or is not one of ours.
        """
        with reading(path, format=FORMAT, what="saved Sobol' indices") as content:
            for name, value in (("kurtosis", None), ("names", [])):  # which older files do not have
                content.setdefault(name, value)
            check_entries(content, cls)
            given, names = content.pop("further"), tuple(str(name) for name in content.pop("names"))
            read = {name: _read(value) for name, value in content.items()}
            shapes = {read[name].shape for name in ("first", "first_stderr", "total", "total_stderr")}
            if len(shapes) > 1 or read["first"].ndim != 2:
                raise ValueError(f"first and total must have one shape (inputs, outputs), got {shapes}")
            if read["kurtosis"] is not None and read["kurtosis"].shape != read["first"].shape[1:]:
                raise ValueError(f"kurtosis must be there for each output, got shape {tuple(read['kurtosis'].shape)}")
            if names and len(names) != len(read["first"]):
                raise ValueError(f"names must be there for each of {len(read['first'])} inputs, got {len(names)}")
            if given is not None:
                given.setdefault("kurtosis", None)
                check_entries(given, Replicates)
                given = Replicates(**{name: _read(value) for name, value in given.items()})
            return cls(**read, further=given, names=names)

    @property
    def _more(self) -> Replicates:
        """The averages over all subsets of inputs, or over random orders where there are more than 12."""
        if self.further is None:
            raise ValueError(
                "shapley must be True in sobol_indices for Shapley effects and closed indices of "
                f"{len(self.first)} inputs, got a result without them; call sobol_indices(..., shapley=True)"
            )
        return self.further

    @property
    def _closed(self) -> tuple[dict[tuple[int, ...], Tensor], dict[tuple[int, ...], Tensor]]:
        k, outputs = self.first.shape
        if k > MAX_EXACT:
            raise ValueError(f"closed indices must be for at most {MAX_EXACT} inputs, got {k}; use first and total")
        value, error = ratio_and_stderr(closed_values(self._more).transpose(0, 1), self._more.variance[:, None])
        names = [subset_of(bits, k) for bits in range(2**k)]

        def named(table: Tensor) -> dict[tuple[int, ...], Tensor]:
            return dict(zip(names, table[:, :outputs].unbind(), strict=True))

        return named(value), named(error)

    @property
    def _shapley(self) -> tuple[Tensor, Tensor]:
        k, outputs = self.first.shape
        values = shapley_values(self._more, k) if k <= MAX_EXACT else self._more.statistics
        value, error = ratio_and_stderr(values, self._more.variance[:, None])
        return value[:, :outputs], error[:, :outputs]


def _plain(value: Any) -> Any:
    """Return a tensor, or averages of them, as JSON holds them."""
    if isinstance(value, Replicates):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return plain(value) if isinstance(value, Tensor) else value


def _read(value: Any) -> Any:
    """Return what ``_plain`` wrote; lists of numbers are what an earlier version wrote."""
    if isinstance(value, list):
        return torch.tensor(value, dtype=torch.float64)
    return rebuilt(value) if isinstance(value, dict) else value


class _Roots(CausalModel):
    """Inputs without causes, each of them its uniform noise: all columns at once."""

    def noise(self, u: Tensor) -> Tensor:
        """Return the uniform points ``u (batch, nodes)``, none of them 0 or 1."""
        return inside(u)

    def push(self, noise: Tensor) -> Tensor:
        """Return the noises ``(batch, nodes)`` themselves."""
        return noise


def sobol_indices(
    model: Model | Sequence[Model],
    *,
    num_inputs: int | None = None,
    problem: Mapping[str, Any] | None = None,
    num_samples: int = 2**14,
    seed: int | None = 0,
    scramblings: int = 16,
    dtype: torch.dtype | None = None,
    chunk_size: int | None = None,
    shapley: bool | None = None,
    progress: bool = False,
    executor: Executor | None = None,
    parts: str | os.PathLike | None = None,
) -> SobolIndices:
    """Return first-order and total Sobol' indices of a model with independent inputs, with standard errors.

    Inputs are U(0, 1), or what a ``problem`` of SALib says.

    Args:
        model: torch callable ``(batch, num_inputs) -> (batch, outputs)``, or a list of them (training seeds): then the
            indices are those of their mean, and ``models`` holds each one's.
        num_inputs: number of inputs U(0, 1); None where there is a ``problem``.
        problem: SALib's dictionary of names, bounds, dists and groups, see ``acelib.adapters.salib.Problem``; of groups
            the indices are those of all inputs in a group together. SALib itself is not needed.
        num_samples: base points; the model is called on num_samples · (num_inputs + 2) rows, and at most an eighth more
            to fit a polynomial, which makes errors of smooth outputs many times smaller. Rounded up, so that each
            scrambling has a power of two.
        seed: seed of the scramblings; None means 0.
        scramblings: independent scramblings of the Sobol' sequence, at least 16.
        dtype: dtype of the inputs; default that of the model's parameters, else float64.
        chunk_size: model rows a call; bounds memory.
        shapley: whether Shapley effects and closed indices are evaluated too, on num_samples · 2^num_inputs rows up to
            12 inputs (num_samples · (num_inputs + 1) beyond). None: up to 4 inputs, where they cost little more.
        progress: show a progress bar.
        executor: evaluates some of the points at a time: any ``concurrent.futures.Executor``.
        parts: a folder in which finished parts are kept, so that a computation that was killed goes on where it was.

    Raises:
        ValueError: for a number out of range, a model in training mode, or outputs of the wrong shape or not finite.

    Warns:
        ApproximationWarning: where an output has tails so long that fewer than 30 of the points carry its variance.

    References:
        Sobol' (2001) and Jansen (1999) for the indices and estimators; Owen (1998) and Matoušek (1998) for scrambling;
        Sudret (2008) for indices of polynomials.

    Example:
        >>> r = sobol_indices(lambda x: x @ x.new_tensor([[2.0], [1.0]]), num_inputs=2, num_samples=1024, seed=0)
        >>> assert abs(float(r.first[0]) - 0.8) < 0.01 and abs(float(r.total[1]) - 0.2) < 0.01
    """
    given, k = _inputs(num_inputs, problem)
    chunk = as_chunk(chunk_size)
    as_generator(seed)  # refuses what is no seed before any work
    graph = CausalGraph(dict.fromkeys(given.names, ()))
    roots = _Roots(graph, noise="uniform") if problem is None else StructuralModel(graph, noise=given.noises)
    sizes(num_samples, scramblings)
    what = outcome(roots, model, target=None, inputs=None, dtype=dtype, chunk=chunk)

    def run(plan: Plan, evaluate: Evaluate) -> Replicates:
        return replicate(
            lambda a, b, masks: evaluate(a, b, masks[..., given.members]),
            plan,
            len(given.names),
            num_samples=num_samples,
            scramblings=scramblings,
            seed=seed,
            chunk=chunk,
            progress=progress,
            sequence=scrambled_nets,
            workers=Workers(executor, parts),
        )

    samples = sizes(num_samples, scramblings) * scramblings
    first_total = run(first_total_plan(k), what.mixed) if given.grouped else _first_total(run, what, k, samples, seed)
    result = _present(first_total, what, k, samples, scramblings)
    result = result if problem is None else replace(result, names=given.called)
    if result.kurtosis is not None:
        names = [f"output {i}" for i in range(len(result.kurtosis))]
        warn_of_tails(result.kurtosis.tolist(), names, result.num_samples)
    if not (k <= AT_ONCE if shapley is None else shapley):
        return result
    return replace(result, further=run(subsets_plan(k) if k <= MAX_EXACT else permutation_plan(k), what.mixed))


def _inputs(num_inputs: int | None, problem: Mapping[str, Any] | None) -> tuple[Problem, int]:
    """Return the independent inputs and how many of them, or of their groups, have indices."""
    if problem is not None and num_inputs is None:
        from ..adapters.salib import read_problem

        read = read_problem(problem)
        return read, len(read.called)
    if num_inputs is None or problem is not None:
        raise ValueError("num_inputs must be the number of inputs, or left out for a problem, got both or neither")
    if num_inputs < 1:
        raise ValueError(f"num_inputs must be at least 1, got {num_inputs}")
    return Problem.uniform(num_inputs), num_inputs


def _first_total(
    run: Callable[[Plan, Evaluate], Replicates], what: Outcome, k: int, samples: int, seed: int | None
) -> Replicates:
    """Return the run of a ``first_total_plan``, with a surrogate as control variate where one is worth its while."""
    plan = first_total_plan(k)
    surrogate, rows = fit_surrogate(lambda u: what.outputs(what.noise(u)), k, samples * (k + 2), seed)

    def both(a: Tensor, b: Tensor, masks: Tensor) -> Tensor:
        outputs = what.mixed(a, b, masks)
        return outputs if surrogate is None else torch.cat([outputs, surrogate.mixtures(a, b).to(outputs)], -1)

    found = run(plan, both)
    found = replace(found, num_rows=found.num_rows + rows)
    return found if surrogate is None else controlled(found, surrogate)


def _present(run: Replicates, what: Outcome, k: int, samples: int, scramblings: int) -> SobolIndices:
    """Return the indices of a run, the columns of a joint model split into the mean and the single models."""
    width = run.mean.shape[1] if what.count == 1 else run.mean.shape[1] // (what.count + 1)
    pairs = [ratio_and_stderr(part, run.variance[:, None]) for part in first_and_total(run, k)]
    variance, variance_stderr = mean_and_stderr(run.variance)
    models = None
    if what.count > 1:
        each = torch.stack([value[:, width:] for value, _ in pairs])
        models = each.reshape(2, k, what.count, width).permute(2, 0, 1, 3)
    (first, first_stderr), (total, total_stderr) = ([compact(t[:, :width]) for t in pair] for pair in pairs)
    return SobolIndices(
        first=first,
        first_stderr=first_stderr,
        total=total,
        total_stderr=total_stderr,
        mean=compact(run.mean.mean(0)[:width]),
        variance=compact(variance[:width]),
        variance_stderr=compact(variance_stderr[:width]),
        num_samples=samples,
        num_rows=run.num_rows,
        scramblings=scramblings,
        models=models,
        kurtosis=None if run.kurtosis is None else compact(run.kurtosis[:width]),
    )
