"""Curves of all pixels of a network, and the maps of single images that are read off them.

A map holds, for every pixel of one image, its ACE E[y | do(x_i = image_i)] − mean over α of E[y | do(x_i = α)]
(Chattopadhyay et al. 2019, Eq. 1 and Sec. 5.2). The curves hold for every image; they come from a row average with a
shared first layer, or from the second-order expansion (Eq. 3-4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from acelib import half_trace
from acelib.expectation.first_layer import shared_rows


def drawn_rows(mean: Tensor, factor: Tensor, number: int, *, seed: int | None = None) -> Tensor:
    """Return rows ``(number, k)`` drawn from a normal distribution with these moments and cut to [0, 1].

    They replace data where only moments were shipped. The cut changes the moments.

    Args:
        mean: ``(k,)``.
        factor: ``(k, R)`` with covariance ``factor @ factor.T``.
        number: how many rows.
        seed: seed of the draw; None means 0.

    Example:
        >>> rows = drawn_rows(torch.full((3,), 0.5), torch.eye(3), 5)
        >>> assert rows.shape == (5, 3) and rows.min() >= 0 and rows.max() <= 1
    """
    generator = torch.Generator().manual_seed(seed or 0)
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
    """Return E[y | do(x_i = value)] of every pixel, value and output, ``(k, m, outputs)``, averaged over the same rows.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``.
        rows: ``(n, k)``, to average over.
        values: ``(m,)``, what each pixel is set to.
        shape: shape of one input as the model takes it; default ``(k,)``.
        pixels: numbers of the pixels; default: all.

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
    """Return f(μ) and the second-order term under do(x_i = value), each ``(k, m, outputs)``; Taylor is their sum.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``.
        mean: ``(k,)``.
        factor: ``(k, R)``.
        values: ``(m,)``, what each pixel is set to.
        shape: shape of one input as the model takes it; default ``(k,)``.
        pixels: numbers of the pixels; default: all.
        chunk_size: most rows at a time in the second-order term.

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
    return first.reshape(len(wanted), len(values), -1), second.reshape(len(wanted), len(values), -1)


def read_off(curves: Tensor, values: Tensor, image: Tensor) -> Tensor:
    """Return the ACE of every pixel of one image on every output, ``(k, outputs)``, from the curves of all pixels.

    Between the values the curve is taken as straight; the baseline is its mean over the values (trapezoid rule).

    Args:
        curves: ``(k, m, outputs)``, expectations.
        values: ``(m,)``, increasing.
        image: ``(k,)``, the values to explain.

    Raises:
        ValueError: for fewer than two values.

    Example:
        >>> curves = torch.tensor([[[0.0], [2.0]], [[1.0], [1.0]]])
        >>> assert read_off(curves, torch.tensor([0.0, 1.0]), torch.tensor([0.75, 0.5])).tolist() == [[0.5], [0.0]]
    """
    if len(values) < 2:
        raise ValueError(f"values must hold at least 2 numbers, got {len(values)}; the baseline is their average")
    values, image = values.to(curves), image.to(curves).clamp(values[0], values[-1])
    right = torch.searchsorted(values, image).clamp(1, len(values) - 1)
    share = (image - values[right - 1]) / (values[right] - values[right - 1])
    each = torch.arange(len(image))
    at = curves[each, right - 1].lerp(curves[each, right], share[:, None])
    return at - torch.trapezoid(curves, values, dim=1) / (values[-1] - values[0])
