"""Interventional expectations E[y | do(x_i = a)]: the choice of the estimator, its rows and its check.

Eq. 2 of Chattopadhyay et al. (2019) is an average over the interventional distribution. The sound estimator is the
row average: overwrite the input in every row of the data and average; it is exact for these rows and carries a
sampling error. The paper's own estimator, a second-order expansion around the interventional mean (Eq. 3-4), and
sigma-point cubature need only moments, but they are biased by an unknown amount.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .._checks import as_count, as_generator, as_labels
from .._models import Model, as_chunk, joint
from .._saved import compact
from .._warnings import ApproximationWarning, warn_caller
from ..inputs.base import Feature, InputModel, check_input_model
from ..inputs.intervention import Intervention
from ..inputs.local import Local
from ..inputs.support import Later
from .choice import FEWEST, choice, differentiable, linear_rows, without_linear
from .estimators import Estimate, cubature, row_average, taylor
from .expansion import Expansion
from .learned import with_learning
from .linearised import linearised
from .moment_errors import Known, enough_rows
from .networks import Networks, admitted
from .pilot import Pilot, pilot
from .reliability import told
from .result import Check, Expectation

DEFAULT_BUDGET = 1_000_000  # model rows one call of method="auto" may spend
LARGEST = 1e140  # of an output: its square, summed over rows and values, must stay a finite number
MIN_ROWS = 100  # below this many rows the error bar itself is unreliable
DIFFERENTIATED = ("linearised", "taylor")
METHODS = ("auto", "monte_carlo", "linearised", "taylor", "cubature")
DRAWN = 100  # rows that correct the linear steps, where nothing else is said


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

    Raises:
        TypeError: for inputs that are no causal input model, or a model that is no callable.
        ValueError: for unknown features, bad values, a model in training mode, or outputs of the wrong shape.

    References:
        Chattopadhyay et al. (2019), Eq. 2 (row average) and Eq. 3-4 (Taylor).

    Example:
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
    found = expectation_of(
        networks,
        feature,
        values,
        method=method,
        budget=budget,
        rows=rows,
        chunk_size=chunk_size,
        seed=seed,
        groups=groups,
        progress=progress,
        outputs=outputs,
    )
    return told(found)


def check_method(method: str, budget: Any) -> int:
    """Return the budget, or raise a ValueError for an unknown method or a budget below one row."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    return as_count(budget, "budget", "the model rows that may be spent")


def expectation_of(
    networks: Networks,
    feature: Feature,
    values: Any,
    *,
    method: str,
    budget: int,
    rows: int | None = None,
    chunk_size: int | None = None,
    seed: int | None = None,
    groups: Any = None,
    progress: bool = False,
    outputs: Sequence[int] | None = None,
    share: int | None = None,
) -> Expectation:
    """Return what ``interventional_expectation`` returns, for networks that were admitted already.

    ``share`` is the part of the budget, in rows for each value, that one of several features has.
    """
    budget = check_method(method, budget)
    chunk = as_chunk(chunk_size)
    as_generator(seed)  # for its checks
    answer = networks.do(feature, values)
    answer.check_models(networks.given)
    call = joint(networks.models, outputs)
    if rows is None and method in ("monte_carlo", "linearised"):
        rows = share
    if method == "linearised" and 0 < answer.num_rows <= (rows or DRAWN):
        method, rows = "monte_carlo", None  # all rows cost no more, and leave nothing to correct
    labels = answer.groups if groups is None else as_labels(groups, answer.num_rows).to(answer.values.device)
    if rows is None and method == "monte_carlo":
        rows = max(2, answer.num_rows)
    local, reason = None, None
    if method == "linearised":
        local = answer.local()
        if local is None:
            why = without_linear(local) if answer.num_rows else "there are no rows"
            raise ValueError(f"method must be 'auto' for do({answer.name}), got 'linearised': {why}")
    elif method == "auto" and answer.num_rows:
        method, rows, local, reason = _chosen(networks, answer, labels, outputs, rows, share, budget, seed, chunk)
    index = subset(answer, budget, seed, labels, share if rows is None else rows)

    def average() -> Estimate:
        part = None if labels is None else labels if index is None else labels[index]
        options: dict[str, Any] = dict(chunk=chunk, index=index, groups=part, progress=progress)
        return row_average(call, answer, columns=outputs, link=networks.link, **options)

    if method == "auto":
        method, reason = "cubature", "the input model has no rows"
        warn_caller(
            "the input model has no rows, so the expectation is approximated from its moments by cubature and "
            "its bias is unknown; give rows (InputDistribution.fit) for an average with an error bar",
            ApproximationWarning,
        )
    check = None
    if method == "monte_carlo":
        estimate = average()
    elif local is not None:
        expansion = _expansion(networks, local, outputs, seed, chunk)
        options: dict[str, Any] = dict(draws=rows or DRAWN, seed=seed, chunk=chunk, groups=labels, columns=outputs)
        if len(local.shape or ()) > 1:
            options["trial"] = _trial(networks, local, outputs, seed, chunk)
        estimate = linearised(call, answer, local, expansion, at_knots=partial(networks.do, feature), **options)
    else:
        known = None
        if answer.num_rows:
            check = average()
            width = networks.outputs if outputs is None else len(outputs)
            few = subset(answer, budget, seed, labels, enough_rows(answer, width))
            known = Known(few, labels if labels is None or few is None else labels[few], width, budget)
        estimate = (taylor if method == "taylor" else cubature)(call, answer, chunk=chunk, known=known)
    if answer.variants:
        options = dict(chunk=chunk, index=index, columns=outputs, link=networks.link)
        estimate = with_learning(estimate, call, answer, **options)
    found = _present(answer, estimate, check, method, len(networks.models), reason)
    names = networks.target_names
    if names == tuple(map(str, range(len(names)))):  # none that the network states
        return found
    return replace(found, target_names=names if outputs is None else tuple(names[t] for t in outputs))


def _chosen(
    networks: Networks,
    answer: Intervention,
    labels: Tensor | None,
    outputs: Sequence[int] | None,
    rows: int | None,
    share: int | None,
    budget: int,
    seed: int | None,
    chunk: int,
) -> tuple[str, int | None, Local | None, str]:
    """Return method, rows, the coordinates of a linear step, and the reason of "auto" where there are rows."""
    if rows is not None:
        return "monte_carlo", rows, None, f"at most {rows} rows were asked for"
    few = subset(answer, budget, seed, labels, share)
    if few is None or len(few) == int((answer.weights > 0).sum() if answer.weights is not None else answer.num_rows):
        return "monte_carlo", None, None, "all rows fit the budget"
    plain, local = len(few), answer.local()
    if (why := without_linear(local)) or local is None:
        return "monte_carlo", plain, None, f"not all rows fit the budget, and {why}"
    left = linear_rows(networks, local, len(_expanded(networks, outputs)), plain, budget)
    if left < FEWEST:
        return "monte_carlo", plain, None, "not all rows fit the budget, and the slopes of a linear step cost too much"
    trial = _trial(networks, local, outputs, seed, chunk)
    if trial is None:
        return "monte_carlo", plain, None, "not all rows fit the budget, and the network has no derivatives"
    found = choice(trial, plain, left, answer.num_rows, effects=share is not None)
    linear = local if found.method == "linearised" else None
    return found.method, found.rows, linear, f"not all rows fit the budget, and {found.reason}"


def _expanded(networks: Networks, outputs: Sequence[int] | None) -> tuple[int, ...]:
    """Return the outputs before the link that are needed."""
    return tuple(range(networks.bare[0].outputs) if outputs is None or networks.link is not None else outputs)


def _trial(
    networks: Networks, local: Local, outputs: Sequence[int] | None, seed: int | None, chunk: int
) -> Pilot | None:
    """Return what a pilot says of the networks at these rows, once for all answers to the same rows.

    None where they have no derivatives.
    """
    columns = _expanded(networks, outputs)
    for (where, *what), found in networks.trials:
        if what == [columns, seed] and where.same(local):
            return found
    found = None
    if differentiable(networks):
        found = pilot(networks.bare, local, columns, networks.link, seed, chunk)
    networks.trials.append(((local, columns, seed), found))
    return found


def _expansion(
    networks: Networks, local: Local, outputs: Sequence[int] | None, seed: int | None, chunk: int
) -> Expansion:
    """Return the networks linearised around rows, once for all answers that set coordinates of the same rows."""
    columns = _expanded(networks, outputs)
    for expansion in networks.expansions:
        if expansion.serves(local, columns):
            return expansion
    made = Expansion.build(networks.bare, local, columns, link=networks.link, seed=seed, chunk=chunk)
    networks.expansions.append(made)
    return made


def subset(
    answer: Intervention, budget: int, seed: int | None, labels: Tensor | None = None, rows: int | None = None
) -> Tensor | None:
    """Return the seeded row numbers that fit ``budget`` model rows, at least 100; None where all rows fit.

    Dependent rows stay together: with ``labels (n,)`` whole groups are drawn, until the next would exceed the budget.
    A number of ``rows`` goes before the budget. Rows of weight 0 are left out.
    """
    wanted = max(MIN_ROWS, budget // len(answer))
    if rows is not None:
        wanted = as_count(rows, "rows", "the rows that are averaged, with an error bar", minimum=2)
    weights = answer.weights
    present = None if weights is None or bool((weights > 0).all()) else weights.nonzero()[:, 0]
    if (answer.num_rows if present is None else len(present)) <= wanted:
        return present
    generator = as_generator(seed)
    if labels is None:
        order = torch.randperm(answer.num_rows, generator=generator).to(answer.values.device)
        return (order if weights is None or present is None else order[weights[order] > 0])[:wanted]
    which: Tensor = labels if present is None else labels[present].unique(return_inverse=True)[1]
    sizes = which.bincount().cpu()
    order = torch.randperm(len(sizes), generator=generator)
    count = max(2, int((sizes[order].cumsum(0) <= wanted).sum()))
    chosen = torch.isin(which, order[:count].to(which.device)).nonzero()[:, 0]
    return chosen if present is None else present[chosen]


def _present(
    answer: Intervention, estimate: Estimate, check: Estimate | None, method: str, count: int, reason: str | None
) -> Expectation:
    """Return the columns of a joint model, split and named."""
    largest = max(float(one.values.abs().max()) for one in (estimate, check) if one is not None)
    if largest > LARGEST:
        raise ValueError(
            f"model must return outputs up to {LARGEST:g}, whose squares are finite numbers, got {largest:.3g}; divide "
            "them by a constant"
        )
    width = estimate.values.shape[1] if count == 1 else estimate.values.shape[1] // (count + 1)
    rows = (estimate if check is None else check).rest(width)
    models = None
    if count > 1:
        models = estimate.values[:, width:].reshape(len(answer), count, width).permute(1, 0, 2)
    comparison = None
    if check is not None:
        reference = check.values[:, :width]
        error = estimate.values[:, :width] - reference
        dropped = (None, None) if estimate.dropped is None else (t[:, :width] for t in estimate.dropped)
        comparison = Check(reference, check.stderr[:, :width], error, check.num_rows, *dropped)
    return Expectation(
        feature=answer.name,
        alphas=answer.alphas.clone(),  # else what the user gave would be a part of the result
        values=compact(estimate.values[:, :width]),
        stderr=compact(estimate.stderr[:, :width]),
        method=method,
        check=comparison,
        num_rows=estimate.num_rows,
        cost=estimate.cost,
        models=compact(models),
        **rows | ({} if check is None else {"covariances": estimate.rest(width)["covariances"]}),
        freedom=estimate.freedom,
        skewness=None if estimate.skewness is None else compact(estimate.skewness[:, :width]),
        reason=reason,
        _later=Later(answer.keep_support()),
    )
