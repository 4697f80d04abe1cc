"""Regional effects: where the effect of an input differs between rows, and which other input tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .._checks import as_count, as_generator, as_labels
from .._devices import double
from .._models import Model, as_chunk, joint
from .._names import chosen
from .._warnings import ApproximationWarning, warn_caller
from ..expectation.estimate import DEFAULT_BUDGET, expectation_of, subset
from ..expectation.estimators import whole_blocks
from ..expectation.networks import Networks, admitted
from ..expectation.reliability import Doubts
from ..expectation.result import Expectation
from ..inputs.base import Feature, InputModel, check_input_model
from ..inputs.intervention import Intervention
from ..inputs.reading import columns_of
from .results import RegionalEffects
from .search import Curves, best_splits, centred_curves, crossed, permuted_best
from .splits import Splits, splits_of

NUM = 25  # values of the input
FEWEST = 20  # rows or groups: fifths of fewer tell nothing
SURE = 200  # rows or groups from which the interval of the share covers 93 % and more
SMALLEST = 0.1  # share of the rows that a region holds at least


def regional_effects(
    model: Model | Sequence[Model],
    inputs: InputModel,
    feature: Feature,
    values: Any = None,
    *,
    target: int | None = None,
    candidates: Sequence[Feature] | None = None,
    least: float = SMALLEST,
    permutations: int = 199,
    budget: int = DEFAULT_BUDGET,
    rows: int | None = None,
    chunk_size: int | None = None,
    seed: int | None = None,
    groups: Any = None,
    link: Any = None,
) -> RegionalEffects:
    """Return the effect of an input in the two regions that explain most of the spread between its individual curves.

    An average over rows hides an interaction: where the effect is +1 for one half of the rows and −1 for the other, it
    is 0. The search takes the curve of every row, centred at its own mean over the values, and for every candidate the
    threshold (of up to 100 between the rows' quantiles; of a finite set the subset) that leaves least spread within its
    two sides. For further regions, ask again with ``inputs.where(found.conditions[0])``; p-values there hold for
    regions that other data have chosen.

    Args:
        model: torch callable ``(batch, *shape) -> (batch, outputs)``, or a list of them: then the curves of their mean
            are split, and the regions' curves have their spread.
        inputs: an input model with rows that can be chosen: ``InputDistribution``, ``FeedbackSequences``.
        feature: name or index of the input whose effect is split.
        values: ``(m,)`` at least two; default 25 over its domain, all of a finite one.
        target: number of the output; needed where there are several.
        candidates: names or indices of the inputs that may split; default all others. Those that do not vary are left
            out.
        least: share of the rows (of their weight) that each region holds at least, up to a half.
        permutations: of the candidates' values against the curves, for the p-values.
        budget: model rows that the curves may cost; of more rows a seeded subset is searched. The regions' own curves
            cost twice as much again.
        rows: at most so many rows are searched.
        chunk_size: most model rows in one call; bounds memory. Default 16384.
        seed: seed of the subset, the fifths and the permutations; None means 0.
        groups: ``(n,)`` labels of dependent rows: fifths and permutations are of whole groups, and errors are
            cluster-robust.
        link: what is explained of the outputs, see ``interventional_expectation``.

    What the permutations test: that the curves are independent of all candidates together, the rows (or groups) being
    exchangeable. All candidates are permuted at once and the whole search is repeated, so that the chance of a find
    among inputs that are jointly independent of the curves is at most the level, whatever else is found. A candidate
    that is only correlated with the true partner is not independent of the curves: it gets a small p-value as well.
    The split is by the one that explains most, and correlated inputs share what they explain. A region is a choice of
    rows, not an intervention on the input that splits. Weights stay with their curves when candidates are permuted.
    Groups of different sizes are permuted too, the shorter ones repeated; the level then holds approximately.

    Warns:
        ApproximationWarning: below 200 independent rows or groups, where the interval of the share covers too little.

    Raises:
        TypeError: for inputs that are no causal input model, or a model that is no callable.
        ValueError: for inputs without rows to choose, fewer than 20 of them (or of groups), no candidate that can split
            them, no target where there are several outputs, or what ``interventional_expectation`` refuses.

    References:
        Herbinger, Wright, Nagler, Bischl, Casalicchio, Decomposing global feature effects based on feature
        interactions, JMLR 25, 2024 (regions by the spread within them; its permutations are of the outcome, before the
        model is fitted again). Gkolemis et al., Effector: a Python package for regional explanations, 2024. The fifths,
        the errors and these permutations are ours.

    Example:
        >>> from acelib import InputDistribution
        >>> X = 2 * torch.rand(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
        >>> found = regional_effects(lambda x: x[:, :1] * x[:, 1:2].sign() + x[:, 2:], InputDistribution.fit(X), "x0")
        >>> assert found.by == "x1" and found.share > 0.9 and found.p_value == 1 / 200
        >>> slopes = [float((e.values[-1] - e.values[0]) / (e.alphas[-1] - e.alphas[0])) for e in found.regions]
        >>> assert slopes[0] < -0.95 and slopes[1] > 0.95 and abs(found.conditions[1]["x1"][0]) < 0.05
    """
    check_input_model(inputs)
    permutations = as_count(permutations, "permutations", "for the p-values", minimum=19)
    if not 0 < least <= 0.5:
        raise ValueError(f"least must be a share of the rows above 0 and up to 0.5, got {least}")
    networks = admitted(model, inputs, link=link)
    inputs = networks.inputs
    (column,) = _single(inputs, feature)
    output = _output(target, networks.outputs)
    samples = _samples(inputs)
    domain = inputs.domain[column]
    answer = inputs.do(column, domain.grid(NUM) if values is None else values)
    if len(answer) < 2:
        raise ValueError(f"values must hold at least two, got {len(answer)}: a single one has no curve")
    labels = answer.groups if groups is None else as_labels(groups, len(samples)).to(samples.device)
    index = subset(answer, budget, seed, labels, rows)
    index = torch.arange(len(samples), device=samples.device) if index is None else index.sort().values
    part = None if labels is None else labels[index].unique(return_inverse=True)[1]
    _check_enough(len(index), part)
    splits = _splits(inputs, column, candidates, samples[index])
    curves = _curves(networks, answer, index, part, output, as_chunk(chunk_size))
    splits = _allowed(splits, curves, part, least)
    average = partial(_average, networks, answer, output, labels, chunk_size, seed)
    found = _found(answer.name, output, splits, curves, index, least, permutations, _generator(seed), average)
    Doubts([found.overall, *found.regions]).warn(bands=True)
    units = len(index) if part is None else int(part.max()) + 1
    if units < SURE and found.by is not None:
        warn_caller(
            f"the error of the share says too little: it rests on {units} {'rows' if part is None else 'groups'}, "
            f"with which its 95 % interval covers about 87 to 90 %; that takes about {SURE}",
            ApproximationWarning,
        )
    return found


def _generator(seed: int | None) -> torch.Generator:
    """Return a stream of its own for a seed: the data may have been drawn from that of the seed itself."""
    other = torch.randint(2**62, (), generator=as_generator(seed))
    return torch.Generator().manual_seed(int(other))


def _single(inputs: InputModel, feature: Feature) -> tuple[int, ...]:
    columns = inputs.feature(feature)
    if len(columns) > 1:
        raise ValueError(f"feature must be a single input, got {inputs.label(feature)}; set the others by do({{...}})")
    return columns


def _output(target: int | None, count: int) -> int:
    if target is None and count > 1:
        raise ValueError(f"target must name one of the {count} outputs, got None")
    return chosen(0 if target is None else target, [str(i) for i in range(count)], "target")


def _samples(inputs: InputModel) -> Tensor:
    """Return the rows ``(n, k)``, or raise the sentence of an input model that has none to choose from."""
    inputs.keep_rows(inputs.row_numbers([0, 1]))
    assert inputs.samples is not None
    return inputs.samples


def _check_enough(count: int, labels: Tensor | None) -> None:
    units = count if labels is None else int(labels.max()) + 1
    if units < FEWEST:
        what = "rows" if labels is None else "groups"
        raise ValueError(f"inputs must have at least {FEWEST} {what} for a search and its check, got {units}")


def _splits(inputs: InputModel, column: int, candidates: Sequence[Feature] | None, rows: Tensor) -> tuple[Splits, ...]:
    """Return the splits by every candidate that varies in ``rows (n, k)``."""
    wanted = columns_of(candidates, inputs)
    if candidates is not None and column in wanted:
        raise ValueError(f"candidates must be other inputs, got {inputs.feature_names[column]!r} itself")
    found = [
        splits_of(inputs.feature_names[c], rows[:, c].contiguous(), inputs.domain[c]) for c in wanted if c != column
    ]
    varying = tuple(one for one in found if one is not None)
    if not varying:
        raise ValueError(f"candidates must hold an input that varies, got {len(found)} that do not")
    return varying


def _curves(
    networks: Networks, answer: Intervention, index: Tensor, labels: Tensor | None, output: int, chunk: int
) -> Curves:
    """Return the centred curves of the rows of these numbers, of the mean of the networks."""
    call = joint(networks.models, [output])
    blocks = whole_blocks(call, answer, chunk, index, [output], networks.link)
    outputs, weights, eps = [], [], 0.0
    for block, w in blocks:
        outputs.append(double(block[:, :, 0]))
        weights.append(double(w))
        eps = torch.finfo(block.dtype).eps
    joined = torch.cat(weights)
    return centred_curves(torch.cat(outputs, dim=1), joined, None if labels is None else labels.to(joined.device), eps)


def _allowed(splits: Sequence[Splits], curves: Curves, labels: Tensor | None, least: float) -> tuple[Splits, ...]:
    """Return the splits with large enough regions, where the curves live, of the candidates that have some."""
    place = curves.weights.device
    part = None if labels is None else labels.to(place)
    found = [one.to(place).allowed(curves.weights, part, least) for one in splits]
    allowed = tuple(one for one in found if one is not None)
    if not allowed:
        raise ValueError(
            f"candidates must hold an input with {least:.0%} of the rows on either side of some split, got none of "
            f"{len(splits)}; lower least"
        )
    return allowed


def _average(
    networks: Networks,
    answer: Intervention,
    output: int,
    labels: Tensor | None,
    chunk_size: int | None,
    seed: int | None,
    rows: Tensor,
) -> Expectation:
    """Return the average over the rows of these numbers."""
    there = networks._replace(inputs=networks.inputs.keep_rows(rows), expansions=[], trials=[])
    return expectation_of(
        there,
        answer.columns[0],
        answer.values[:, 0],
        method="monte_carlo",
        budget=DEFAULT_BUDGET,
        chunk_size=chunk_size,
        seed=seed,
        groups=None if labels is None else labels[rows],
        outputs=[output],
    )


def _found(
    feature: str,
    output: int,
    splits: tuple[Splits, ...],
    curves: Curves,
    index: Tensor,
    least: float,
    permutations: int,
    generator: torch.Generator,
    average: Callable[[Tensor], Expectation],
) -> RegionalEffects:
    """Return the result of the search, with the curves of its regions."""
    overall, names = average(index), tuple(one.name for one in splits)
    cost = len(overall.alphas) * len(index)  # of one pass
    known: dict[str, Any] = dict(feature=feature, target=output, candidates=names, overall=overall)
    known |= dict(num_rows=len(index))
    if not curves.scores.shape[1]:
        none = curves.scores.new_zeros(3, len(splits))
        known |= dict(by=None, conditions=(), regions=(), folds=(), share=0.0, stderr=0.0, freedom=len(index) - 2.0)
        known |= dict(best=none[0].clone(), shares=none[1].clone(), shares_stderr=none[2].clone(), spreads=(0.0,))
        return RegionalEffects(**known, null=none.new_zeros(0), cost=2 * cost)
    best, which = best_splits(splits, curves, least)
    judged = crossed(splits, curves, least, generator)
    winner = int(best.argmax())
    split = int(which[winner])
    inside = splits[winner].first(split)
    sides = [side.nonzero()[:, 0] for side in (inside, ~inside)]
    spreads = [curves.total, *(curves.at(side).total for side in sides)]
    return RegionalEffects(
        **known,
        by=names[winner],
        conditions=tuple({names[winner]: side} for side in splits[winner].conditions[split]),
        regions=tuple(average(index[side.to(index.device)]) for side in sides),
        share=float(judged.shares[-1]),
        stderr=float(judged.stderr[-1]),
        freedom=judged.freedom,
        folds=tuple({names[one]: splits[one].conditions[number][0]} for one, number in judged.chosen),
        best=best,
        shares=judged.shares[:-1].clone(),
        shares_stderr=judged.stderr[:-1].clone(),
        null=permuted_best(splits, curves, least, permutations, generator),
        spreads=tuple(spread**0.5 for spread in spreads),
        cost=3 * cost,
    )
