"""The axioms, each with kinds of cases in which it is asked: a network, inputs and a population, drawn at random.

A kind is a function of a generator that returns the arguments of the axiom besides the method. Kinds differ in what a
condition speaks of: whether inputs interact, whether effects cancel, whether a unit sits on its kink, whether the rows
are exchangeable. Smooth networks stand where integrals are taken, so that a sum of 50 terms is the integral.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .completeness import completeness_gap
from .dummy import dummy_gap
from .implementation import implementation_gap
from .input_shift import shift_gap
from .populations import draw_decimals, exchangeable, mirrored
from .rewriting import added, clamp_twins, linear, rewritten, with_detour
from .sensitivity import sensitivity_gap
from .symmetry import symmetry_gap

Draw = Callable[[torch.Generator], Mapping[str, Any]]
NUM_ROWS = 64
FEW_ROWS = 16  # no more than an estimator on drawn rows may draw, so that it takes them all


@dataclass(frozen=True)
class Axiom:
    """An axiom and the kinds of cases in which it is asked.

    Attributes:
        gap: ``(method, **case) -> float``, 0 where the axiom holds in this case.
        kinds: name of a kind -> what draws a case of it.
    """

    gap: Callable[..., float]
    kinds: Mapping[str, Draw]


def perceptron(generator: torch.Generator, mask: Tensor | None = None, *, parts: int = 100) -> nn.Sequential:
    """Draw a network of three inputs, four tanh units and one output, with weights of two decimals.

    Args:
        generator: source of the weights.
        mask: ``(4, 3)`` factors of the first weights; default ones.
        parts: as for ``draw_decimals``.
    """
    draw = partial(draw_decimals, generator=generator, low=-1.0, high=1.0, parts=parts)
    weight, out, biases, last = draw(4, 3), draw(1, 4), draw(4), draw(1)
    weight = weight if mask is None else weight * mask
    return nn.Sequential(linear(weight, biases), nn.Tanh(), linear(out, last))


def _rows(generator: torch.Generator, parts: int = 100) -> Tensor:
    return draw_decimals(NUM_ROWS, 3, generator=generator, parts=parts)


# ---------------------------------------------------------------- completeness


def interacting(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network whose units read all inputs."""
    rows = _rows(generator)
    return dict(net=perceptron(generator), x=rows[:2], rows=rows)


def additive(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network whose units read one input each, so that it is a sum of functions of one input."""
    one_each = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]
    rows = _rows(generator)
    return dict(net=perceptron(generator, one_each), x=rows[:2], rows=rows)


def without_biases(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network of two layers of ReLU without biases: twice the input gives twice the output."""
    draw = partial(draw_decimals, generator=generator, low=-1.0, high=1.0)
    layers = (linear(draw(4, 3), torch.zeros(4)), nn.ReLU(), linear(draw(1, 4), torch.zeros(1)))
    rows = _rows(generator)
    return dict(net=nn.Sequential(*layers), x=rows[:2], rows=rows)


# ---------------------------------------------------------------- sensitivity


def monotone(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network that rises with its first input, whatever the others are."""
    net = perceptron(generator)
    with torch.no_grad():
        net[0].weight[:, 0] = (net[0].weight[:, 0].abs() + 0.1) * net[2].weight[0].sign()
    rows = _rows(generator)
    return dict(net=net, start=rows[0], value=float(rows[1, 0]), rows=rows, feature=0)


def saturated(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network clip(s (x₁ + w x₂ + w' x₃)) to [0, 1], steep enough to be flat nearly everywhere."""
    others = draw_decimals(2, generator=generator, low=-0.3, high=0.3)
    weight = torch.cat([torch.ones(1, dtype=torch.float64), others]) * 4
    first = linear(torch.stack([weight, weight]), torch.tensor([0.0, -1.0]))
    net = nn.Sequential(first, nn.ReLU(), linear(torch.tensor([[1.0, -1.0]]), torch.zeros(1)))
    rows = _rows(generator)
    start = rows[0].clone()
    start[0] = -1.5
    return dict(net=net, start=start, value=1.5, rows=rows, feature=0)


def cancelling(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network that is odd in its second input, which the population has as often with either sign."""
    half = draw_decimals(2, 2, generator=generator, low=0.2, high=1.5)
    flipped = half * torch.tensor([1.0, -1.0])
    bias = draw_decimals(2, generator=generator, low=-1.0, high=1.0)
    first = linear(torch.cat([half, flipped]), torch.cat([bias, bias]))
    out = draw_decimals(1, 2, generator=generator, low=0.5, high=1.5)
    net = nn.Sequential(first, nn.Tanh(), linear(torch.cat([out, -out], 1), torch.zeros(1)))
    rows = mirrored(draw_decimals(FEW_ROWS // 2, 2, generator=generator), 1)
    start = torch.stack([rows[0, 0], rows[:, 1].max()])
    return dict(net=net, start=start, value=float(rows[1, 0]), rows=rows, feature=0)


# ---------------------------------------------------------------- dummy, implementation, symmetry


def unread(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network with no weight on its third input."""
    rows = _rows(generator)
    return dict(net=perceptron(generator, torch.tensor([1.0, 1.0, 0.0])), x=rows[:2], rows=rows, feature=2)


def read_and_cancelled(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network of x₁ plus a function of all inputs, less the same function computed in another way."""
    one, other = _twins(generator)
    first = torch.tensor([1.0, 0.0, 0.0])
    alone, _ = clamp_twins(torch.stack([first, 0 * first]), torch.tensor([2.5, -1.0]), 1.0)
    rows = _rows(generator)
    return dict(net=added([alone, one, other], [1.0, 1.0, -1.0]), x=rows[:8], rows=rows, feature=1)


def _twins(generator: torch.Generator) -> tuple[nn.Sequential, nn.Sequential]:
    """Draw two networks for a function that is positive in a good part of the inputs."""
    weights = draw_decimals(2, 3, generator=generator, low=-1.0, high=1.0)
    biases = draw_decimals(2, generator=generator, low=0.0, high=1.0) * torch.tensor([1.0, -1.0])
    return clamp_twins(weights, biases, float(draw_decimals(1, generator=generator, low=0.5, high=2.0)))


def clamped(generator: torch.Generator) -> dict[str, Any]:
    """Draw two networks of ReLU for max(0, u - max(0, v)), at inputs off their kinks."""
    net, twin = _twins(generator)
    rows = _rows(generator)
    return dict(net=net, twin=twin, x=rows[:8], rows=rows)


def rearranged(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network of tanh, and itself with units permuted, flipped and split and a linear layer between."""
    net, rows = perceptron(generator), _rows(generator)
    mixing = torch.eye(5, dtype=torch.float64) + draw_decimals(5, 5, generator=generator, low=-0.2, high=0.2)
    return dict(net=net, twin=rewritten(net, mixing), x=rows[:2], rows=rows)


def _detour(generator: torch.Generator) -> tuple[nn.Sequential, nn.Sequential, Tensor, Tensor]:
    """Draw a network with a detour, its twin without, inputs on the kink, and rows centred on it."""
    slope, bias, scale = draw_decimals(3, generator=generator, low=0.5, high=1.0).tolist()
    net = with_detour(slope, bias, scale, 0.75)
    numbers = torch.tensor([[0.0, 0.0, slope], [bias, scale, 0.0]], dtype=torch.float64)
    twin = nn.Sequential(linear(numbers[:1], numbers[1, :1]), nn.Tanh(), linear(numbers[1:, 1:2], numbers[1, 2:]))
    # whole numbers, so that sums are exact and the mean, (1, 1, 1), lies on the kink too
    quarter = torch.randint(-2, 4, (NUM_ROWS // 4, 3), generator=generator).double()
    rows = exchangeable(torch.cat([quarter, 2 - quarter]), (0, 1))
    x = torch.tensor([[1.0, 1.0, 1.0], [2.0, 2.0, 0.0]], dtype=torch.float64)
    return net, twin, x, rows


def dummy_on_a_kink(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network that reads x₁ - x₂ and takes it off again, at inputs where a unit sits on its kink."""
    net, _, x, rows = _detour(generator)
    return dict(net=net, x=x, rows=rows, feature=0)


def twins_on_a_kink(generator: torch.Generator) -> dict[str, Any]:
    """Draw the network of the dummy on a kink, and its twin that never reads x₁ and x₂."""
    net, twin, x, rows = _detour(generator)
    return dict(net=net, twin=twin, x=x, rows=rows)


def pair_on_a_kink(generator: torch.Generator) -> dict[str, Any]:
    """Draw the network of the dummy on a kink, in which x₁ and x₂ may change places, as in its population."""
    net, _, x, rows = _detour(generator)
    return dict(net=net, x=x, rows=rows, pair=(0, 1))


def _tied(generator: torch.Generator) -> nn.Sequential:
    """Draw a network whose units come in pairs that differ in the places of the first two inputs."""
    half = perceptron(generator)
    swapped = linear(half[0].weight[:, [1, 0, 2]], half[0].bias)
    return added([half, nn.Sequential(swapped, half[1], half[2])], [1.0, 1.0])


def tied(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network that is symmetric unit by unit, and a population in which the two are exchangeable."""
    net, rows = _tied(generator), exchangeable(_rows(generator)[: NUM_ROWS // 2], (0, 1))
    x = rows[:2].clone()
    x[:, 1] = x[:, 0]
    return dict(net=net, x=x, rows=rows, pair=(0, 1))


def stretched(generator: torch.Generator) -> dict[str, Any]:
    """Draw such a network, and a population in which the second input is spread half as wide again as the first."""
    case = tied(generator)
    return {**case, "rows": case["rows"] * torch.tensor([1.0, 1.5, 1.0])}


def untied(generator: torch.Generator) -> dict[str, Any]:
    """Draw g(x₁, x₂) + g(x₂, x₁), with g computed in one way in the one place and in another in the other."""
    one, other = _twins(generator)
    other[0] = linear(other[0].weight[:, [1, 0, 2]], other[0].bias)
    rows = exchangeable(_rows(generator)[: NUM_ROWS // 2], (0, 1))
    x = rows[:8].clone()
    x[:, 1] = x[:, 0]
    return dict(net=added([one, other], [1.0, 1.0]), x=x, rows=rows, pair=(0, 1))


# ---------------------------------------------------------------- input invariance


def shifted(generator: torch.Generator) -> dict[str, Any]:
    """Draw a network, its inputs and its population, and a shift of them all.

    All numbers are 64ths, so that the shift is taken off exactly and no rounding sends a draw of rows another way.
    """
    rows = _rows(generator, 64)
    shift = draw_decimals(3, generator=generator, low=0.5, high=1.0, parts=64)
    return dict(net=perceptron(generator, parts=64), x=rows[:2], rows=rows, shift=shift, rows_move=True)


def left_behind(generator: torch.Generator) -> dict[str, Any]:
    """Draw the same, and shift the inputs that are explained without their population."""
    return {**shifted(generator), "rows_move": False}


AXIOMS: dict[str, Axiom] = {
    "completeness": Axiom(
        completeness_gap, {"interacting": interacting, "additive": additive, "without biases": without_biases}
    ),
    "sensitivity": Axiom(sensitivity_gap, {"monotone": monotone, "saturated": saturated, "cancelling": cancelling}),
    "dummy": Axiom(
        dummy_gap, {"unread": unread, "read and cancelled": read_and_cancelled, "on a kink": dummy_on_a_kink}
    ),
    "implementation": Axiom(
        implementation_gap, {"rearranged": rearranged, "clamped": clamped, "on a kink": twins_on_a_kink}
    ),
    "symmetry": Axiom(
        symmetry_gap,
        {"tied": tied, "untied": untied, "other marginals": stretched, "on a kink": pair_on_a_kink},
    ),
    "input invariance": Axiom(shift_gap, {"rows move": shifted, "rows stay": left_behind}),
}
"""The six columns of the table."""
