"""A small trial before long work: which of several ways to average has the least error for the same price.

A few rows, drawn by importance, are answered by the network at a few values of a few inputs, and beside it stand the
linear step and the networks that are cut in two. That gives, for each way, the variance of what a drawn row says. With
levels whose draws have variances V and prices C, the least variance for a price P is (Σ √(V C))² / P, reached by draws
in proportion to √(V / C) (Giles, 2015, Eq. 1.3). Rows and inputs depend on a seed alone, not on what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .._checks import as_generator
from .._devices import double
from .._entrance import Admitted
from ..inputs.local import Local
from .expansion import Expansion
from .first_layer import shared_rows
from .followed import Followed
from .knots import KNOTS
from .layers import Cut, cuts
from .links import Link
from .work import work

AROUND = 128  # rows that are linearised
ROWS = 32  # draws among them
INPUTS = 8
DEAR = 0.5  # of the network's own work
WORTHWHILE = 0.8  # of the error without a further level, for the same price


@dataclass(frozen=True)
class Way:
    """What a trial says of a way to correct the linear step.

    Attributes:
        cuts: where each network is cut, to follow its first layers; empty for the network itself alone.
        price: of a row that is followed so, in rows that the network answers.
        first: variance of what a row says of the step from the linear to the followed networks.
        rest: variance of what a row says of the step from there to the network.
    """

    cuts: Sequence[Cut]
    price: float
    first: float
    rest: float

    @property
    def error(self) -> float:
        """The error that this way has for the price of one row."""
        return (self.first * self.price) ** 0.5 + self.rest**0.5

    def shared_out(self, rows: float) -> tuple[float, float]:
        """Return how many rows are followed and how many the network answers, for the price of so many answered."""
        if not self.cuts:
            return 0.0, rows
        first, rest = (self.first / self.price) ** 0.5, self.rest**0.5
        scale = rows / max(self.error, 1e-300)
        return first * scale, rest * scale


@dataclass(frozen=True)
class Pilot:
    """What a trial says.

    Attributes:
        plain: variance of what a row of the data says of the expectations, without a linear step.
        effects: the same of the effects, about their mean over the values; less, since rows serve all values.
        ways: the ways to correct the linear step; the first is by the network alone.
    """

    plain: float
    effects: float
    ways: tuple[Way, ...]

    @property
    def best(self) -> Way:
        """The way of least error for the same price; the plainer one where they are close."""
        best = self.ways[0]
        for way in self.ways[1:]:
            if way.error < WORTHWHILE * best.error:
                best = way
        return best


def pilot(
    models: Sequence[Admitted], local: Local, columns: Sequence[int], link: Link | None, seed: int | None, chunk: int
) -> Pilot:
    """Return the result of the trial.

    Args:
        models: networks before the link.
        local: the coordinates at all rows, whichever are set.
        columns: the networks' outputs that are needed.
        link: what is applied to them.
        seed: seed of the rows and inputs.
        chunk: most rows of a call.
    """
    # A generator of its own: the draws of the trial say nothing of those that come after it.
    generator = as_generator(int(torch.randint(2**62, (1,), generator=as_generator(seed))))
    expansion = Expansion.build(models, local, columns, link=link, seed=seed, chunk=chunk, most=AROUND)
    chosen = torch.multinomial(expansion.chances.cpu(), ROWS, replacement=True, generator=generator)
    importance = expansion.importance.cpu()
    count = min(INPUTS, int((importance > 0).sum()))
    if not count:
        return Pilot(0.0, 0.0, (Way((), 1.0, 0.0, 0.0),))
    inputs = torch.multinomial(importance, count, generator=generator).tolist()
    chosen = chosen.to(expansion.weights.device)
    worth = expansion.weights[chosen] / expansion.chances[chosen]
    grids = {column: _values(expansion, column) for column in inputs}
    known = {column: _answered(expansion, column, grid, chosen) for column, grid in grids.items()}
    linear = {column: expansion.predicted([column], grid, chosen) for column, grid in grids.items()}
    plain = sum(_variance(y, None, worth) for y in known.values())
    effects = sum(_variance(y - y.mean(0), None, worth) for y in known.values())
    ways = [Way((), 1.0, 0.0, sum(_variance(known[column], linear[column], worth) for column in inputs))]
    for cut in places(models, local):
        around = Followed.build(cut, expansion.shaped(chosen), expansion.columns, chunk)
        price = _price(expansion, around, grids)
        if price > DEAR:
            break  # and so are those behind it
        found = {column: expansion.explained(around.moved([column], grid)) for column, grid in grids.items()}
        first = sum(_variance(found[column], linear[column], worth) for column in inputs)
        rest = sum(_variance(known[column], found[column], worth) for column in inputs)
        ways.append(Way(cut, price, first, rest))
    return Pilot(plain, effects, tuple(ways))


def places(models: Sequence[Admitted], local: Local) -> list[tuple[Cut, ...]]:
    """Return where networks on a grid can be cut, each of them at a place of the same number."""
    if local.shape is None or len(local.shape) < 2 or any(model.writes for model in models):
        return []
    return list(zip(*(cuts(model.model) for model in models), strict=False))


def _price(expansion: Expansion, around: Followed, grids: dict[int, Tensor]) -> float:
    """Return the work of following rows in units of that of the networks, by the first layer that all values share."""
    rows, own, whole = around.rows.flatten(1), 0, 0
    for column, grid in grids.items():
        own += work(partial(around.moved, [column], grid))
        for model in expansion.models:
            whole += work(partial(shared_rows, model, rows, (column,), grid, shape=expansion.local.shape))
    return own / max(1, whole)


def _values(expansion: Expansion, column: int) -> Tensor:
    """Return values ``(q, 1)`` that an input has in the rows, evenly among them."""
    distinct = expansion.own[:, column].unique()
    places = torch.linspace(0, len(distinct) - 1, min(KNOTS, len(distinct))).round().long()
    return distinct[places.to(distinct.device)][:, None]


def _answered(expansion: Expansion, column: int, grid: Tensor, chosen: Tensor) -> Tensor:
    """Return what the network answers on rows with one input set, ``(q, b, explained outputs)``."""
    rows = expansion.own[chosen].repeat(len(grid), 1)
    rows[:, column] = grid.repeat_interleave(len(chosen))
    numbers = expansion.numbers(chosen).repeat(len(grid))
    found = []
    with torch.no_grad():
        for model in expansion.models:
            parts = zip(rows.split(expansion.chunk), numbers.split(expansion.chunk), strict=True)
            outputs = torch.cat([expansion.local.follow(model, *part) for part in parts])
            found.append(outputs[:, list(expansion.columns)].T.unflatten(1, (len(grid), len(chosen))))
    return expansion.explained(torch.stack(found))


def _variance(fine: Tensor, coarse: Tensor | None, worth: Tensor) -> float:
    """Return the variance of what a drawn row says of curves ``(q, b, outputs)``, mean over the values."""
    step = double(fine if coarse is None else fine - coarse) * worth[:, None]
    return float(step.var(1).sum()) / len(step)
