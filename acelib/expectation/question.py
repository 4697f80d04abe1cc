"""One expectation that is asked for: how it is answered is decided first, then an estimator answers, with its check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from .._checks import as_count, as_generator, as_labels
from .._models import Model, as_chunk, joint
from .._saved import compact
from .._warnings import ApproximationWarning, warn_caller
from ..inputs.base import Feature
from ..inputs.intervention import Intervention
from ..inputs.local import Local
from ..inputs.support import Later
from .choice import without_linear
from .decision import chosen, expansion_of, subset, trial_of
from .estimators import Estimate, cubature, row_average, taylor
from .learned import with_learning
from .linearised import linearised
from .moment_errors import Known, enough_rows
from .networks import Networks
from .result import Check, Expectation

LARGEST = 1e140  # of an output: its square, summed over rows and values, must stay a finite number
METHODS = ("auto", "monte_carlo", "linearised", "taylor", "cubature")
DRAWN = 100  # rows that correct the linear steps, where nothing else is said


@dataclass(frozen=True, kw_only=True)
class Question:
    """An expectation that is asked for, with all that was decided about how to answer it.

    Attributes:
        networks: the admitted networks.
        feature: what is set, as the user named it.
        answer: that of the input model.
        method: an estimator, not "auto".
        rows: how many the estimator takes, where that is decided.
        local: the coordinates of a linear step, or None.
        reason: why this method and these rows, where it was chosen.
        index: numbers of the rows that are averaged; None for all.
        labels: ``(num_rows,)`` groups of dependent rows, or None.
        outputs: columns that are asked for; None for all.
        budget: model rows that checks may spend.
        seed: seed of subsets and draws.
        chunk: most model rows in a call.
        progress: whether a progress bar is shown.
    """

    networks: Networks
    feature: Feature
    answer: Intervention
    method: str
    rows: int | None
    local: Local | None
    reason: str | None
    index: Tensor | None
    labels: Tensor | None
    outputs: Sequence[int] | None
    budget: int
    seed: int | None
    chunk: int
    progress: bool = False

    @property
    def model(self) -> Model:
        """The networks side by side, the mean of several first."""
        return joint(self.networks.models, self.outputs)

    @property
    def groups(self) -> Tensor | None:
        """Labels of the rows that are averaged."""
        return self.labels if self.labels is None or self.index is None else self.labels[self.index]

    def average(self) -> Estimate:
        """Return the row average."""
        options: dict[str, Any] = dict(chunk=self.chunk, index=self.index, groups=self.groups, progress=self.progress)
        return row_average(self.model, self.answer, columns=self.outputs, link=self.networks.link, **options)

    def expectation(self, average: Estimate | None = None) -> Expectation:
        """Return the answer, with a row average that was computed elsewhere if it is given."""
        answer, networks, call, check = self.answer, self.networks, self.model, None
        shared: dict[str, Any] = dict(chunk=self.chunk)
        options: dict[str, Any]
        if self.method == "monte_carlo":
            estimate = average or self.average()
        elif self.local is not None:
            about = networks, self.local, self.outputs, self.seed, self.chunk
            options = shared | dict(draws=self.rows or DRAWN, seed=self.seed, groups=self.labels, columns=self.outputs)
            if len(self.local.shape or ()) > 1:
                options["trial"] = trial_of(*about)
            at_knots = partial(networks.do, self.feature)
            estimate = linearised(call, answer, self.local, expansion_of(*about), at_knots=at_knots, **options)
        else:
            known = None
            if answer.num_rows:
                check = average or self.average()
                width = networks.outputs if self.outputs is None else len(self.outputs)
                few = subset(answer, self.budget, self.seed, self.labels, enough_rows(answer, width))
                groups = self.labels if self.labels is None or few is None else self.labels[few]
                known = Known(few, groups, width, self.budget)
            estimate = (taylor if self.method == "taylor" else cubature)(call, answer, known=known, **shared)
        if answer.variants:
            options = shared | dict(index=self.index, columns=self.outputs, link=networks.link)
            estimate = with_learning(estimate, call, answer, **options)
        found = _present(answer, estimate, check, self.method, len(networks.models), self.reason)
        names = networks.target_names
        if names == tuple(map(str, range(len(names)))):  # none that the network states
            return found
        return replace(found, target_names=names if self.outputs is None else tuple(names[t] for t in self.outputs))


def asked(
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
) -> Question:
    """Return the question of ``interventional_expectation``, for networks that were admitted already, once decided.

    ``share`` is the part of the budget, in rows for each value, that one of several features has.
    """
    budget = check_method(method, budget)
    chunk = as_chunk(chunk_size)
    as_generator(seed)  # for its checks
    answer = networks.do(feature, values)
    answer.check_models(networks.given)
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
        method, rows, local, reason = chosen(networks, answer, labels, outputs, rows, share, budget, seed, chunk)
    index = subset(answer, budget, seed, labels, share if rows is None else rows)
    if method == "auto":
        method, reason = "cubature", "the input model has no rows"
        warn_caller(
            "the input model has no rows, so the expectation is approximated from its moments by cubature and "
            "its bias is unknown; give rows (InputDistribution.fit) for an average with an error bar",
            ApproximationWarning,
        )
    return Question(
        networks=networks,
        feature=feature,
        answer=answer,
        method=method,
        rows=rows,
        local=local,
        reason=reason,
        index=index,
        labels=labels,
        outputs=outputs,
        budget=budget,
        seed=seed,
        chunk=chunk,
        progress=progress,
    )


def expectation_of(networks: Networks, feature: Feature, values: Any, **options: Any) -> Expectation:
    """Return the answer to the question that ``asked`` makes of the same arguments."""
    return asked(networks, feature, values, **options).expectation()


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


def check_method(method: str, budget: Any) -> int:
    """Return the budget, or raise a ValueError for an unknown method or a budget below one row."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    return as_count(budget, "budget", "the model rows that may be spent")
