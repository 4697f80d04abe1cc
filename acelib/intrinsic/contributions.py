"""Intrinsic causal contributions of a network's inputs: what each node adds to what it inherits.

Written through their mechanisms, the inputs and so the target Y are functions of independent noises N_1 .. N_k. The
contribution of node j in the context I of noises already known is

    ICC_φ(j | I) = φ(Y | N_I) − φ(Y | N_I, N_j) ,

with φ the expected conditional variance, or the conditional entropy of a categorical target. For the variance it is
Var(Y) times a difference of closed Sobol' indices of the noises, ``S_clo(I ∪ {j}) − S_clo(I)``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

import torch

from .._checks import as_generator
from .._models import Model, as_chunk
from .._pool import Workers
from .data_check import mean_over, tables_of, warn_of_another_world
from .entropy import CATEGORICAL
from .games import CONTEXTS
from .job import Job
from .learning import warn_of_learning
from .outcome import outcome
from .pickfreeze import sizes
from .present import present
from .refits import error_of_learning, sampled_answers
from .results import IntrinsicContributions
from .scm import CausalModel
from .tails import warn_of_tails

MEASURES = ("variance", "entropy")
METHODS = ("auto", "sampling", "exact")


def intrinsic_contributions(
    scm: CausalModel | Sequence[CausalModel],
    model: Model | Sequence[Model] | None,
    *,
    target: int | str = 0,
    measure: str = "variance",
    context: str = "shapley",
    num_samples: int = 2**14,
    seed: int | None = 0,
    inputs: Sequence[str] | None = None,
    order: Iterable[str] | None = None,
    categorical: str | None = None,
    method: str = "auto",
    scramblings: int = 16,
    inner_samples: int = 256,
    fit_error: bool = True,
    data: Any = None,
    dtype: torch.dtype | None = None,
    chunk_size: int | None = None,
    progress: bool = False,
    executor: Executor | None = None,
    parts: str | os.PathLike | None = None,
) -> IntrinsicContributions:
    """Return the intrinsic contribution of every node to a target, with standard errors and the residual.

    Args:
        scm: a causal model of the inputs: StructuralModel, LinearModel or FlowModel; or a list of fits to resamples of
            the rows, such as ``FlowModel.bootstrap`` makes. The estimate is then the mean over the B fits, and their
            standard deviation s enters the error bar as ``s √(1 + 1/B)``: all rest on one table, so more fits do not
            shrink it. Fits to the same rows with other seeds do not see the error of the rows, and a warning says so.
        model: torch callable ``(batch, inputs) -> (batch, outputs)``, a list of them (training seeds: contributions
            to their mean, and ``models`` has each one's), or None where the target is a node of ``scm``.
        target: number of the output, or name of the node. The entropy is that of the whole label: leave it 0.
        measure: "variance", in the unit of Var(Y); "entropy", in nats, for a categorical target only.
        context: "first" (nothing else known), "topological" (its predecessors in the causal order), "total" (all
            others), or "shapley" (the average over all orders).
        num_samples: base points, over all scramblings; rounded up. Every subset that the context needs costs so many
            model rows: Shapley values of k nodes cost num_samples · 2^k up to 10 nodes and num_samples · (k + 1)
            beyond, where ``closed`` is empty. A run predicted to take over two minutes warns after its first block.
        seed: seed of scramblings and permutations; None means 0.
        inputs: nodes that the network reads, in its order; default all, in the order of the graph.
        order: a causal order for the context "topological"; default the graph's.
        categorical: what label the outputs stand for: "softmax" (drawn from their softmax), "argmax" (the largest);
            None accepts outputs that are probabilities.
        method: "exact" enumerates finite noises or uses the closed form of linear models; "sampling"; "auto" is exact
            where it can be.
        scramblings: independent scramblings of the Sobol' sequence, at least 16.
        inner_samples: mixtures behind an inner mean of the entropy, a power of two.
        fit_error: whether the error bar holds the error of learning a fitted model: by influence functions where there
            is a closed form, else by 32 refits of a LinearModel, a quarter more model rows (for the entropy three times
            as many). False leaves it out, and with it the warning of a single flow, whose error is not known.
        data: ``(n, nodes)`` table, on which the variance or entropy of the target is held against that under the causal
            model; default the rows that the model was fitted on.
        dtype: dtype of the network's inputs; default that of its parameters, else float64.
        chunk_size: model rows a call; bounds memory.
        progress: show a progress bar.
        executor: evaluates some of the points at a time: any ``concurrent.futures.Executor``.
        parts: a folder in which finished parts are kept, so that a computation that was killed goes on where it was.

    Raises:
        ValueError: for unknown names, an entropy without a categorical target, method="exact" where there is none, or
            a list of causal models of different graphs.
        TypeError: if ``scm`` is no causal model.

    Warns:
        ApproximationWarning: where the error of learning is not known (a single flow, or fits to the same rows), where
            the target varies on the data otherwise than under the causal model, by over three joint errors, or where
            its tails are so long that fewer than 30 of the sampled points carry its variance.

    References:
        Janzing et al. (2024); Saha et al. (2025) for networks; Efron and Tibshirani (1993) for the spread of refits.

    Example:
        >>> from acelib.intrinsic import LinearModel
        >>> chain = LinearModel({"X": [], "Y": ["X"], "Z": ["Y"]}, {"Y": {"X": 2.0}, "Z": {"Y": 3.0}})
        >>> assert intrinsic_contributions(chain, None, target="Z").contributions.tolist() == [36.0, 9.0, 1.0]
    """
    _check_choice("measure", measure, MEASURES)
    _check_choice("context", context, CONTEXTS)
    _check_choice("method", method, METHODS)
    _check_choice("categorical", categorical, (None, *CATEGORICAL))
    if inner_samples < 4 or inner_samples & (inner_samples - 1):
        raise ValueError(f"inner_samples must be a power of two, at least 4, got {inner_samples}")
    chunk = as_chunk(chunk_size)
    as_generator(seed)  # refuses what is no seed before any work
    sizes(num_samples, scramblings)
    whole_label = measure == "entropy" and model is not None
    if whole_label and target != 0:
        raise ValueError(f"target must be 0 for measure='entropy', which is that of the whole label, got {target!r}")
    output = None if whole_label else target
    fits = _as_fits(scm)
    what = outcome(fits[0], model, target=output, inputs=inputs, dtype=dtype, chunk=chunk)
    tables = tables_of(fits, data, what.scm.graph)
    names = what.scm.graph.order if order is None else what.scm.graph.check_order(order)
    job = Job(
        what=what,
        measure=measure,
        context=context,
        names=names,
        categorical=categorical,
        num_samples=num_samples,
        inner_samples=inner_samples,
        scramblings=scramblings,
        seed=seed,
        progress=progress,
        workers=Workers(executor, parts),
    )
    if fit_error:
        warn_of_learning(fits)
    jobs = [job.of(fit) for fit in fits]
    exact = None if method == "sampling" else [each.exact(model, target, inputs) for each in jobs]
    if exact is not None and None not in exact:
        answers = [answer for answer in exact if answer is not None]
    elif method == "exact":
        raise ValueError(
            "scm must be, for method='exact', a StructuralModel whose noises are all FiniteNoise (at most 12 nodes and "
            f"a million states) or a LinearModel with a linear target, got {fits[0]!r}; use method='sampling'"
        )
    else:
        answers = sampled_answers(jobs)
    learned, further = None, 0
    if fit_error:
        learned, further = error_of_learning(jobs, answers, job.linear_target(model, target, inputs))
    on_data = (None, None) if not tables else mean_over(tables, job.uncertainty_of)
    further += 0 if model is None else sum(map(len, tables))
    result = present(job, answers, learned, on_data, further)
    if result.kurtosis is not None:
        warn_of_tails([result.kurtosis], [result.target], result.num_samples)
    if result.data_uncertainty is not None:
        warn_of_another_world(result, sum(map(len, tables)), data is None)
    return result


def _as_fits(scm: Any) -> list[CausalModel]:
    """Return a causal model, or a list of them with one graph, as a list, or raise an error."""
    fits = list(scm) if isinstance(scm, list | tuple) else [scm]
    if not fits or not all(isinstance(fit, CausalModel) for fit in fits):
        got = [type(fit).__name__ for fit in fits] if isinstance(scm, list | tuple) else type(scm).__name__
        raise TypeError(
            "scm must be a causal model of the inputs (StructuralModel, LinearModel, FlowModel), or a list of fits of "
            f"one, got {got}"
        )
    other = next((fit for fit in fits if fit.graph != fits[0].graph or fit.nodes != fits[0].nodes), None)
    if other is not None:
        raise ValueError(
            f"scm must be, as a list, fits of one graph, whose spread is an error; got {fits[0].graph!r} and "
            f"{other.graph!r}; call intrinsic_contributions for each"
        )
    return fits


def _check_choice(name: str, value: str | None, allowed: Sequence[str | None]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
