"""How an expectation is computed: which rows fit the budget, and whether a linear step serves them better."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._checks import as_count, as_generator
from ..inputs.intervention import Intervention
from ..inputs.local import Local
from .choice import FEWEST, choice, differentiable, linear_rows, without_linear
from .expansion import Expansion
from .networks import Networks
from .pilot import Pilot, pilot

MIN_ROWS = 100  # below this many rows the error bar itself is unreliable


def chosen(
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
    trial = trial_of(networks, local, outputs, seed, chunk)
    if trial is None:
        return "monte_carlo", plain, None, "not all rows fit the budget, and the network has no derivatives"
    found = choice(trial, plain, left, answer.num_rows, effects=share is not None)
    linear = local if found.method == "linearised" else None
    return found.method, found.rows, linear, f"not all rows fit the budget, and {found.reason}"


def _expanded(networks: Networks, outputs: Sequence[int] | None) -> tuple[int, ...]:
    """Return the outputs before the link that are needed."""
    return tuple(range(networks.bare[0].outputs) if outputs is None or networks.link is not None else outputs)


def trial_of(
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


def expansion_of(
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
