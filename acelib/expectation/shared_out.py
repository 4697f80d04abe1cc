"""Expectations by several workers: a task is one feature, or some of the rows of one feature, and its result are sums.

The networks of a list stay together in a task: the error of their mean needs all of them on the same rows. Estimators
other than the row average share their slopes or moments between rows, so there a task is a whole feature.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._fingerprint import stable
from .._models import joint
from .._pool import Pool, Task
from ..inputs.base import Feature
from .estimators import Estimate, in_groups, of_moments, row_average, whole_blocks
from .networks import Networks
from .question import Question, asked, expectation_of
from .result import Expectation
from .row_moments import RowMoments

TASKS = 32  # that the work of one call is cut into at least, where there are rows enough
CALLS = 64  # of the networks in one task at most


class _Cut(NamedTuple):
    """Some of the rows of a question: which, and what their moments must know of all.

    Attributes:
        rows: ``(start, stop)`` among all rows, or the numbers of the rows.
        labels: their groups, or None.
        before: rows that come before them.
        wanted: numbers of the rows whose curves are remembered.
    """

    rows: tuple[int, int] | Tensor
    labels: Tensor | None
    before: int
    wanted: list[int]


Ask = tuple[Feature, Any, dict[str, Any]]  # feature, values, and the options of ``asked``


def expectations(
    networks: Networks,
    asks: Iterable[Ask],
    *,
    executor: Executor | None = None,
    parts: str | os.PathLike | None = None,
    title: str | None = None,
) -> Iterator[Expectation]:
    """Yield the expectations that one call asks for, in their order.

    Args:
        networks: admitted in this call.
        asks: feature, values, and the options of ``asked`` for each of them.
        executor: does the work in parts; None does it here, one expectation after the other.
        parts: a folder in which finished parts are kept; None keeps nothing.
        title: of a progress bar over the expectations, or over the parts; None shows none.
    """
    if executor is None and parts is None:
        if title is not None:
            from tqdm.auto import tqdm

            asks = tqdm(asks, desc=title, unit="feature", leave=False)
        for feature, values, options in asks:
            yield expectation_of(networks, feature, values, **options)
        return
    pool = _pool(networks, executor, parts)
    given = list(asks)
    questions = [asked(networks, feature, values, **options) for feature, values, options in given]
    cuts = [_cuts(question, len(questions)) for question in questions]
    tasks = (_tasks(q, options, cut) for q, (_, _, options), cut in zip(questions, given, cuts, strict=True))
    results = pool.run(itertools.chain.from_iterable(tasks), progress=title, total=sum(map(len, cuts)))
    for question, some in zip(questions, cuts, strict=True):
        yield _merged(question, [*itertools.islice(results, len(some))])


def _pool(networks: Networks, executor: Executor | None, parts: str | os.PathLike | None) -> Pool:
    """Return what does the work of one call."""
    content = networks._replace(expansions=[], trials=[], known={})  # which workers make for themselves

    def state() -> str:
        return stable(networks.given, networks.link, networks.inputs, outputs=lambda: networks.answers)

    return Pool(executor, parts, content, state)


def _merged(question: Question, results: list[Any]) -> Expectation:
    """Return the answer to a question from the results of its tasks."""
    if question.method != "monte_carlo":
        return replace(results[0], reason=question.reason)
    if len(results) == 1:
        return question.expectation(results[0])
    moments = _template(question)
    for part in results:
        moments.merge(part)
    return question.expectation(of_moments(moments, len(question.answer)))


def _cuts(question: Question, questions: int) -> list[_Cut]:
    """Return into which rows a question is cut; one entry where it stays whole."""
    whole = [_Cut((0, 0), None, 0, [])]
    if question.method != "monte_carlo":
        return whole
    _, index, labels = in_groups(question.index, question.groups)
    total, values = question.answer.num_rows if index is None else len(index), len(question.answer)
    size = max(1, question.chunk // values)  # rows in a call of the networks
    calls = -(-total // size)
    wanted = max(-(-TASKS // questions), -(-calls // CALLS))
    if wanted == 1 or total < 2 * values:
        return whole
    each = -(-calls // wanted) * size if calls >= wanted else max(values, -(-total // wanted))
    template = _template(question)
    found = []
    for start in range(0, total, each):
        stop = min(start + each, total)
        rows = (start, stop) if index is None else index[start:stop]
        kept = [n for n in template.wanted if start <= n < stop]
        found.append(_Cut(rows, None if labels is None else labels[start:stop], start, kept))
    return found


def _template(question: Question) -> RowMoments:
    """Return moments of all rows of a question, with none taken in."""
    order, index, _ = in_groups(question.index, question.groups)
    return RowMoments(question.answer.num_rows if index is None else len(index), order=order)


def _tasks(q: Question, options: dict[str, Any], cuts: list[_Cut]) -> Iterator[Task]:
    """Yield the tasks of one question, asked with these options."""
    name, what = f"do({q.answer.name})", (q.feature, q.answer.values, q.outputs, q.chunk)
    if q.method != "monte_carlo":
        rows = options.get("rows") if q.local is None else q.rows
        decided = {**options, "method": q.method, "rows": rows, "progress": False}
        yield Task(whole_expectation, (q.feature, q.answer.values, decided), name)
        return
    if len(cuts) == 1:
        yield Task(whole_average, (*what, q.index, q.groups), name)
        return
    total = _template(q).total
    for cut in cuts:
        count = len(cut.rows) if isinstance(cut.rows, Tensor) else cut.rows[1] - cut.rows[0]
        rows = f"rows {cut.before} to {cut.before + count - 1}" + ("" if q.index is None else " of those drawn")
        yield Task(part_of_average, (*what, total, tuple(cut)), f"{name}, {rows}")


def whole_expectation(networks: Networks, feature: Any, values: Tensor, options: dict[str, Any]) -> Expectation:
    """Return an expectation in a worker, which keeps slopes and pilots for its next tasks."""
    return expectation_of(networks, feature, values, **options)


def whole_average(
    networks: Networks, feature: Any, values: Tensor, outputs: Any, chunk: int, index: Any, groups: Any
) -> Estimate:
    """Return the row average of one feature in a worker, with all that ``Expectation`` needs of it."""
    answer, call = networks.do(feature, values), joint(networks.models, outputs)
    options: dict[str, Any] = dict(columns=outputs, link=networks.link)
    return row_average(call, answer, chunk=chunk, index=index, groups=groups, progress=False, **options).resolved()


def part_of_average(
    networks: Networks, feature: Any, values: Tensor, outputs: Any, chunk: int, total: int, cut: tuple
) -> RowMoments:
    """Return the moments of some rows in a worker, closed."""
    rows, labels, before, wanted = cut
    answer, call = networks.do(feature, values), joint(networks.models, outputs)
    index = rows if isinstance(rows, Tensor) else torch.arange(*rows, device=answer.values.device)
    moments, start = RowMoments.part(total, before, wanted), 0
    for found, weights in whole_blocks(call, answer, chunk, index, outputs, networks.link):
        stop = start + found.shape[1]
        moments.add(found, weights, None if labels is None else labels[start:stop])
        start = stop
    return moments.closed()
