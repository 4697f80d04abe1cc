"""Total and direct effects of one input, where inputs cause each other, and what runs through the others.

Setting an input in every row and letting its descendants follow gives E[y | do(x_i = a)], the total effect. Setting it
and leaving all others as they are in the row gives the controlled direct effect, averaged over the rows: that is what
the average causal effect of a network is without a graph. Their difference is mediated by the other inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from .._models import Model
from .._optional import optional
from .._saved import Result
from ..expectation import Expectation, interventional_expectation
from ..expectation.networks import admitted
from ..inputs.base import Feature, InputModel
from ..inputs.intervention import SimulatedIntervention
from .causal_inputs import CausalGraphInputs


@dataclass(frozen=True, eq=False, repr=False)
class TotalAndDirect(Result):
    """Curves of one input: all that follows from setting it, what it does alone, and the difference.

    Each is an ``Expectation`` at the same values, from the same rows. Errors that total and direct curve share drop out
    of ``mediated``, whose values are total minus direct.

    Attributes:
        total: E[y | do(x_i = a)], descendants following.
        direct: the same with all other inputs as they are in the row.
        mediated: total minus direct, with the error bar of this difference.
    """

    total: Expectation
    direct: Expectation
    mediated: Expectation

    @property
    def feature(self) -> str:
        """Name of the input."""
        return self.total.feature

    def __repr__(self) -> str:
        sizes = {
            name: float((e.values - e.values.mean(0)).abs().max())
            for name, e in (("total", self.total), ("direct", self.direct), ("mediated", self.mediated))
        }
        shown = ", ".join(f"{name} {size:.3g}" for name, size in sizes.items())
        return f"TotalAndDirect(do({self.feature}), {len(self.total.alphas)} values, largest effects: {shown})"

    def plot(self, output: int | str = 0, ax: Any = None) -> Any:
        """Draw the three effects, each from its mean over the values, with bands of 95 %; return the axes.

        Args:
            output: number of the output.
            ax: axes to draw on; a new figure where it is None.
        """
        from .. import plots

        return plots.plot_total_and_direct(self, output=output, ax=ax)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (curve, value, output)."""
        pd = optional("pandas", "a data frame")
        parts = {name: getattr(self, name).to_frame() for name in ("total", "direct", "mediated")}
        return pd.concat([part.assign(curve=name) for name, part in parts.items()], ignore_index=True)


def total_and_direct(
    model: Model | Sequence[Model], inputs: CausalGraphInputs, feature: Feature, values: Any, **options: Any
) -> TotalAndDirect:
    """Return total, controlled direct and mediated effect of an input, on the same rows.

    Args:
        model: a network or a list of them, as for ``interventional_expectation``.
        inputs: rows with a causal model of them.
        feature: a node, or a tuple of nodes.
        values: ``(m,)``, or ``(m, w)`` for w nodes.
        options: ``rows``, ``seed``, ``groups``, ``chunk_size``, ``budget`` and ``outputs`` of
            ``interventional_expectation``; the estimator is the row average.

    Raises:
        TypeError: if the inputs have no causal graph.
        ValueError: as ``interventional_expectation``.

    References:
        Pearl (2009), Sec. 4.5; Chattopadhyay et al. (2019), Prop. 2, whose condition sets the mediated part to 0.

    Example:
        >>> from acelib.intrinsic import LinearModel
        >>> chain = LinearModel({"a": [], "b": ["a"]}, {"b": {"a": 2.0}})
        >>> inputs = CausalGraphInputs(chain, num_rows=500, domain=(-1.0, 1.0))
        >>> found = total_and_direct(lambda x: x.sum(1, keepdim=True), inputs, "a", [-1.0, 1.0])
        >>> steps = [e.values[1, 0] - e.values[0, 0] for e in (found.total, found.direct, found.mediated)]
        >>> assert torch.allclose(torch.stack(steps), torch.tensor([6.0, 2.0, 4.0], dtype=torch.float64))
    """
    if not isinstance(inputs, CausalGraphInputs):
        raise TypeError(
            f"inputs must be CausalGraphInputs, which know how inputs cause each other, got {type(inputs).__name__}"
        )
    options = {"method": "monte_carlo"} | options
    networks = admitted(model, inputs)
    inputs = cast(CausalGraphInputs, networks.inputs)
    total = interventional_expectation(networks.models, inputs, feature, values, **options)
    direct = interventional_expectation(networks.models, inputs.direct, feature, values, **options)
    # Admitted already, and not to be asked again: on rows as they are a difference is nothing but rounding.
    apart = [replace(one, model=_Difference(one, inputs.num_features, inputs.shape)) for one in networks.models]
    mediated = interventional_expectation(apart, _Pairs(inputs), feature, values, **options)
    return TotalAndDirect(total, direct, mediated)


class _Difference:
    """A network on rows and on the same rows overwritten alone, as one that returns what the first has more."""

    def __init__(self, model: Model, width: int, shape: Sequence[int]) -> None:
        self.model, self.width, self.one = model, width, tuple(shape)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs of the first half of the columns minus those of the second."""
        following, alone = (part.reshape(len(x), *self.one) for part in x.split(self.width, 1))
        return self.model(following) - self.model(alone)


class _Pairs(InputModel):
    """Rows whose descendants follow, beside the same rows with the columns overwritten alone, ``(n, 2 nodes)``."""

    def __init__(self, inputs: CausalGraphInputs) -> None:
        self.inputs, self.fixed = inputs, inputs.fixed
        self.feature_names = (*inputs.feature_names, *(f"{name}, alone" for name in inputs.feature_names))
        self.domain, self.shape = inputs.domain * 2, (2 * inputs.num_features,)
        rows = inputs.samples
        self.samples, self.mean = torch.cat([rows, rows], 1), torch.cat([inputs.mean, inputs.mean])

    def to(self, target: Any) -> _Pairs:
        """Return the same on another device or in another dtype."""
        return _Pairs(self.inputs.to(target))

    def answer(self, columns: tuple[int, ...], values: Tensor, name: str) -> SimulatedIntervention:
        """Return both halves under each value, and under each of the other causal models."""
        found = self.inputs.answer(columns, values, name)
        both = [self._beside(one, columns) for one in (found, *found.variants)]
        return replace(both[0], variants=tuple(both[1:]))

    def _beside(self, answer: Any, columns: tuple[int, ...]) -> SimulatedIntervention:
        rows, k = self.inputs.samples, self.inputs.num_features

        def simulate(values: Tensor, index: Tensor) -> Tensor:
            alone = rows[index].repeat(len(values), 1, 1)
            alone[..., list(columns)] = values[:, None]
            return torch.cat([answer.simulate(values, index), alone], 2)

        return replace(answer, simulate=simulate, shape=(2 * k,), observed=self.samples, variants=())

    def pin(self, pins: Any) -> _Pairs:
        """Return the pairs of the inputs with these nodes pinned."""
        return _Pairs(self.inputs.pin(pins))
