"""What does a method cost in many dimensions, and what is its answer worth? Helpers of the chapter on high dimensions.

Costs are counted, not timed: multiply-adds of the matrix products and convolutions that really run, whatever the
machine. Times come from ``data/benchmarks.json`` only. A map holds, for every pixel of one image, its ACE
E[y | do(x_i = image_i)] − mean over α of E[y | do(x_i = α)] (Chattopadhyay et al. 2019, Eq. 1 and Sec. 5.2). It is
read off curves of all pixels, which hold for every image: by a row average with a shared first layer, or by the
second-order expansion (Eq. 3-4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from acelib import InputDistribution, half_trace
from acelib.expectation.first_layer import shared_rows
from acelib.lab.scaling.methods import Frontier, frontier

__all__ = [
    "average_curves",
    "both",
    "count",
    "drawn_rows",
    "errors_of",
    "read_off",
    "spread_pixels",
    "taylor_curves",
    "vector_products",
]

CHUNK = 8192
_MATRIX_VECTOR = {torch.ops.aten.mv: 0, torch.ops.aten.addmv: 1}  # not in torch's table; where the matrix stands


class _Counter(TorchDispatchMode):
    """Adds up the multiply-adds of every product below it; torch's own counter cannot see into torch.func."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in _MATRIX_VECTOR:
            self.total += args[_MATRIX_VECTOR[func.overloadpacket]].numel()
        elif func.overloadpacket in flop_registry:
            self.total += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out) // 2
        return out


def count(function: Callable[[], Any]) -> int:
    """Multiply-adds in the matrix products and convolutions of one call; elementwise work is left out.

    Args:
        function: What to call, without arguments.

    Example:
        >>> a, b = torch.ones(2, 3), torch.ones(3, 4)
        >>> assert count(lambda: a @ b) == 2 * 3 * 4
    """
    with _Counter() as counter:
        function()
    return counter.total


def both(model: Callable) -> Callable:
    """The model's logits and probabilities side by side, ``(batch, …) -> (batch, 2 · classes)``.

    Args:
        model: ``(batch, …) -> (batch, classes)`` logits.

    Example:
        >>> y = both(lambda x: x)(torch.zeros(1, 2))
        >>> assert y.tolist() == [[0.0, 0.0, 0.5, 0.5]]
    """

    def call(x: Tensor) -> Tensor:
        if type(x) is Tensor and len(x) > CHUNK:  # bounds the memory of the hidden layers
            return torch.cat([call(part) for part in x.split(CHUNK)])
        logits = model(x)
        return torch.cat([logits, torch.softmax(logits, dim=-1)], dim=-1)

    return call


def spread_pixels(inputs: InputDistribution, number: int) -> list[int]:
    """The numbers of some inputs that vary: evenly spaced among the half with the larger standard deviation.

    Args:
        inputs: An input model.
        number: How many are wanted.

    Example:
        >>> X = torch.tensor([[0.0, 0.0, 0.0], [0.1, 1.0, 2.0]], dtype=torch.float64)
        >>> assert spread_pixels(InputDistribution.fit(X), 1) == [2]
    """
    half = inputs.factor.square().sum(1).argsort(descending=True, stable=True)[: max(number, inputs.num_features // 2)]
    half = half.sort().values
    places = ((torch.arange(number, dtype=torch.float64) + 0.5) * len(half) / number).long()
    return half[places].tolist()


def errors_of(
    model: Callable,
    inputs: InputDistribution,
    *,
    pixels: int,
    values: Tensor,
    sizes: tuple[int, ...],
    repeats: int = 20,
    seed: int = 0,
) -> Frontier:
    """Errors of every estimator against the exact average over the rows, on logits and on probabilities.

    Args:
        model: ``(batch, *shape) -> (batch, classes)`` logits.
        inputs: An input model with rows.
        pixels: How many inputs are set, one after the other (``spread_pixels``).
        values: ``(m,)`` what they are set to.
        sizes: Rows in the subsets.
        repeats: Subsets of each size.
        seed: Of the subsets.
    """
    with torch.no_grad():
        classes = model(inputs.mean.reshape(1, *inputs.shape)).shape[1]
    parts = {"logits": slice(0, classes), "probabilities": slice(classes, 2 * classes)}
    features = spread_pixels(inputs, pixels)
    return frontier(both(model), inputs, features, values, sizes=sizes, repeats=repeats, seed=seed, parts=parts)


def drawn_rows(mean: Tensor, factor: Tensor, number: int, *, seed: int = 0) -> Tensor:
    """Rows ``(number, k)`` drawn from a normal distribution with these moments and cut to [0, 1].

    A stand-in for data where only moments were shipped. The cut changes the moments.

    Args:
        mean: ``(k,)``.
        factor: ``(k, R)`` with covariance ``factor @ factor.T``.
        number: How many rows.
        seed: Of the draw.

    Example:
        >>> rows = drawn_rows(torch.full((3,), 0.5), torch.eye(3), 5)
        >>> assert rows.shape == (5, 3) and rows.min() >= 0 and rows.max() <= 1
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(number, factor.shape[1], generator=generator, dtype=torch.float64).to(factor.dtype)
    return (mean + noise @ factor.T).clamp(0, 1)


def average_curves(
    model: Callable,
    rows: Tensor,
    values: Tensor,
    *,
    shape: tuple[int, ...] | None = None,
    pixels: Sequence[int] | None = None,
) -> Tensor:
    """E[y | do(x_i = value)] for every pixel, value and output, ``(k, m, outputs)``, averaged over the same rows.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``.
        rows: ``(n, k)`` rows to average over.
        values: ``(m,)`` what each pixel is set to.
        shape: Of one input as the model wants it.
        pixels: Only these.

    Example:
        >>> curves = average_curves(lambda x: x.sum(1, keepdim=True), torch.ones(4, 2), torch.tensor([0.0, 3.0]))
        >>> assert curves[:, :, 0].tolist() == [[1.0, 4.0], [1.0, 4.0]]
    """
    wanted = range(rows.shape[1]) if pixels is None else pixels
    column = values.to(rows)[:, None]
    return torch.stack([shared_rows(model, rows, (i,), column, shape=shape).mean(1) for i in wanted])


def taylor_curves(
    model: Callable,
    mean: Tensor,
    factor: Tensor,
    values: Tensor,
    *,
    shape: tuple[int, ...] | None = None,
    pixels: Sequence[int] | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """f(μ) and the second-order term under do(x_i = value), each ``(k, m, outputs)``; Taylor is their sum.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``.
        mean: ``(k,)``.
        factor: ``(k, R)``.
        values: ``(m,)`` what each pixel is set to.
        shape: Of one input as the model wants it.
        pixels: Only these.
        chunk_size: Most rows at a time in the second-order term.

    Example:
        >>> first, second = taylor_curves(lambda x: x.square().sum(1, keepdim=True), torch.zeros(2), torch.eye(2),
        ...                               torch.tensor([3.0]))
        >>> assert first.flatten().tolist() == [9.0, 9.0] and second.flatten().tolist() == [1.0, 1.0]
    """
    wanted = torch.tensor(range(len(mean)) if pixels is None else list(pixels))
    form = tuple(shape or (len(mean),))
    points = mean.repeat(len(wanted), len(values), 1)
    points[torch.arange(len(wanted)), :, wanted] = values.to(mean)
    points = points.flatten(0, 1)

    def flat(x: Tensor) -> Tensor:
        return model(x.reshape(-1, *form))

    with torch.no_grad():
        first = flat(points)
    features = wanted.repeat_interleave(len(values))
    second = half_trace(flat, points, factor, feature=features, chunk_size=chunk_size)
    return tuple(part.reshape(len(wanted), len(values), -1) for part in (first, second))


def read_off(curves: Tensor, values: Tensor, image: Tensor) -> Tensor:
    """The ACE of every pixel of one image on every output, ``(k, outputs)``, from the curves of all pixels.

    Between the values the curve is taken as straight; the baseline is its mean over the values (trapezoid rule).

    Args:
        curves: ``(k, m, outputs)`` expectations.
        values: ``(m,)`` increasing.
        image: ``(k,)`` the values to explain.

    Example:
        >>> curves = torch.tensor([[[0.0], [2.0]], [[1.0], [1.0]]])
        >>> assert read_off(curves, torch.tensor([0.0, 1.0]), torch.tensor([0.75, 0.5])).tolist() == [[0.5], [0.0]]
    """
    if len(values) < 2:
        raise ValueError(f"values holds {len(values)} value, expected at least 2: a baseline is an average over them")
    values, image = values.to(curves), image.to(curves).clamp(values[0], values[-1])
    right = torch.searchsorted(values, image).clamp(1, len(values) - 1)
    share = (image - values[right - 1]) / (values[right] - values[right - 1])
    each = torch.arange(len(image))
    at = curves[each, right - 1].lerp(curves[each, right], share[:, None])
    return at - torch.trapezoid(curves, values, dim=1) / (values[-1] - values[0])


# ---------------------------------------------------------------- numbers that other runs have written


def vector_products(model: Callable[[Tensor], Tensor], point: Tensor, factor: Tensor) -> Tensor:
    """½ Tr(∇²f S Sᵀ) at one point, ``(outputs,)``, by a plain loop of Hessian-vector products.

    The way to do it without batching: R · ``outputs`` reverse passes over a reverse pass.

    Args:
        model: ``(batch, k) -> (batch, outputs)``.
        point: ``(k,)``.
        factor: ``(k, R)``, its pinned rows zero.

    References:
        Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6, 1994.

    Example:
        >>> import torch
        >>> total = vector_products(lambda x: (x**2).sum(1, keepdim=True), torch.zeros(3), torch.eye(3))
        >>> assert total.item() == 3
    """
    x = point.detach().requires_grad_(True)
    totals = []
    for output in model(x[None])[0]:
        (slope,) = torch.autograd.grad(output, x, create_graph=True)
        products = (torch.autograd.grad(slope @ s, x, retain_graph=True)[0] @ s for s in factor.T)
        totals.append(0.5 * sum(products))
    return torch.stack(totals).detach()
