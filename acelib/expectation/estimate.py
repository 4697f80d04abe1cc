"""Interventional expectations E[y | do(x_i = a)]: the choice of the estimator, its rows and its check.

Eq. 2 of Chattopadhyay et al. (2019) is an average over the interventional distribution. The sound estimator is the
row average: overwrite the input in every row of the data and average; it is exact for these rows and carries a
sampling error. The paper's own estimator, a second-order expansion around the interventional mean (Eq. 3-4), and
sigma-point cubature need only moments, but they are biased by an unknown amount.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from .._checks import as_labels
from .._models import Model
from ..inputs.base import Feature, InputModel, check_input_model
from .decision import MIN_ROWS, subset
from .networks import admitted
from .question import METHODS, check_method, expectation_of
from .reliability import told
from .result import Expectation
from .shared_out import expectations

DEFAULT_BUDGET = 1_000_000  # model rows one call of method="auto" may spend
DIFFERENTIATED = ("linearised", "taylor")

__all__ = ["DEFAULT_BUDGET", "DIFFERENTIATED", "METHODS", "MIN_ROWS", "check_method", "expectation_of", "subset"]
__all__ += ["interventional_expectation"]


def interventional_expectation(
    model: Model | Sequence[Model],
    inputs: InputModel,
    feature: Feature,
    values: Any,
    *,
    method: str = "auto",
    budget: int = DEFAULT_BUDGET,
    chunk_size: int | None = None,
    seed: int | None = None,
    groups: Any = None,
    progress: bool = False,
    outputs: Sequence[int] | None = None,
    rows: int | None = None,
    link: Any = None,
    where: Any = None,
    executor: Executor | None = None,
    parts: str | os.PathLike | None = None,
) -> Expectation:
    """Return E[y | do(feature = value)] for every value and output, with standard errors.

    Args:
        model: torch callable ``(batch, *shape) -> (batch, outputs)``, or a list of them (training seeds): then the
            expectation is of their mean, and ``model_spread`` is their standard deviation.
        inputs: a causal input model: an ``InputDistribution``, ``LatentPrior`` or ``FeedbackSequences``, or a subclass
            of ``InputModel`` of your own.
        feature: name, index, or a tuple of them; a pair (step, channel) of sequences with feedback.
        values: ``(m,)``, or ``(m, w)`` for a tuple of w features.
        method: "monte_carlo" averages over all rows. "auto" does so while rows x values stay within ``budget``; else a
            trial on a few rows tells whether a seeded subset that fits it (at least 100 rows) or the linearised average
            has the smaller error for that price, and ``reason`` of the result says so; without rows it uses cubature
            and warns.
            "linearised" takes the slopes of all rows, one pass for all features and values, applies ``link`` after the
            linear step, and corrects the average without bias on ``rows`` rows (default 100) that the network answers,
            drawn by how much they matter; where there are no more rows than that it averages them all. "taylor" is the
            paper's estimator, "cubature" sigma points; both are checked against rows if there are any, which also tell
            the error of their moments, with ``groups`` and weights.
        budget: model rows "auto" and the checks may spend, and the derivatives behind the errors of "taylor" and
            "cubature"; where these would cost more, a warning says that the errors are those of the mean alone.
        chunk_size: most model rows in one call; bounds memory. Default 16384.
        seed: seed of the subset; None means 0, so that results repeat.
        groups: ``(n,)`` labels of dependent rows (windows of one flight), numbers, texts or others: errors are then
            cluster-robust, and a subset takes whole groups. Default: the groups of the input model.
        progress: show a progress bar.
        outputs: only these columns of the model's output.
        rows: at most how many rows are averaged, or checked against, by any method, whatever the budget: the same ones
            for every feature, however many values are asked. Of rows with weights those of weight 0 are left out, the
            others are drawn alike and keep their weights. Default: what ``method`` and ``budget`` say.
        link: what is explained of the outputs: None for themselves, "softmax" or "sigmoid" for probabilities of logits,
            or a torch function ``(batch, outputs) -> (batch, explained)``. By any method the link comes before the
            average.
        where: a condition on the rows: the average is over a region of the inputs, as by ``inputs.where(where)``, which
            says what a condition is. ``groups`` still holds a label for every row.
        executor: does the work in parts: any ``concurrent.futures.Executor``, such as a pool of processes or that of a
            Dask client. Networks and rows are sent once to each worker, sums come back; numbers are those of one
            process but for rounding. It pays where one process takes seconds: sending costs some tenths of one.
        parts: a folder in which finished parts are kept, so that a computation that was killed goes on where it was.

    Raises:
        TypeError: for inputs that are no causal input model, or a model that is no callable.
        ValueError: for unknown features, bad values, a model in training mode, or outputs of the wrong shape.

    References:
        Chattopadhyay et al. (2019), Eq. 2 (row average) and Eq. 3-4 (Taylor).

    Example:
        >>> import torch
        >>> from acelib import InputDistribution
        >>> X = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 6.0]], dtype=torch.float64)
        >>> e = interventional_expectation(lambda x: x.prod(1, keepdim=True), InputDistribution.fit(X), 0, [0.0, 2.0])
        >>> assert e.values[:, 0].tolist() == [0.0, 6.0]  # 2 times the mean of the other input
    """
    check_method(method, budget)
    check_input_model(inputs)
    if where is not None:
        index = inputs.row_numbers(where)
        if groups is not None and inputs.samples is not None:
            groups = as_labels(groups, len(inputs.samples)).to(index.device)[index]
        inputs = inputs.keep_rows(index)
    networks = admitted(model, inputs, derivatives=method in DIFFERENTIATED, link=link)
    options: dict[str, Any] = dict(
        method=method,
        budget=budget,
        rows=rows,
        chunk_size=chunk_size,
        seed=seed,
        groups=groups,
        progress=progress,
        outputs=outputs,
    )
    workers: dict[str, Any] = dict(executor=executor, parts=parts)
    if progress and (executor is not None or parts is not None):
        workers["title"] = f"do({feature})"
    (found,) = expectations(networks, [(feature, values, options)], **workers)
    return told(found)
