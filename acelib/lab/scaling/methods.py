"""The errors of the estimators of an interventional expectation, against their price.

The yardstick is the average over all rows (Chattopadhyay et al. 2019, Eq. 2), which is exact for a data set. Against it
stand f(μ) alone, the second-order expansion (Eq. 3-4), cubature, and averages over seeded subsets of the rows, the same
subset for every value and feature. The price is counted in model rows for one value of one feature.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from acelib import ApproximationWarning, Expectation, InputDistribution, interventional_expectation

Parts = Mapping[str, slice]
CHUNK = 8192  # model rows at a time


@dataclass(frozen=True, eq=False)
class Frontier:
    """Errors and prices of every estimator for one network.

    Attributes:
        costs: model rows per value, by method: "mean point", "taylor", "cubature".
        errors: relative error by method and part of the outputs, ``errors[method][part]``.
        sizes: numbers of rows in the subsets.
        rows: relative errors of the subset averages by part, ``(sizes, repeats)``.
        exact: average over all rows, ``(features, m, outputs)``.
    """

    costs: dict[str, int]
    errors: dict[str, dict[str, float]]
    sizes: tuple[int, ...]
    rows: dict[str, Tensor]
    exact: Tensor

    def __repr__(self) -> str:
        shown = "; ".join(
            f"{name} at {self.costs[name]} rows: " + ", ".join(f"{part} {e:.3g}" for part, e in errors.items())
            for name, errors in self.errors.items()
        )
        return f"Frontier({shown}; subsets of {', '.join(map(str, self.sizes))} rows)"


def intervened_outputs(model: Callable, inputs: InputDistribution, feature: int | str, values: Tensor) -> Tensor:
    """Return the model's outputs on every row under every value of one feature, ``(m, n, outputs)``.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``.
        inputs: an input model with rows.
        feature: the input that is set.
        values: ``(m,)``, what it is set to.

    Example:
        >>> X = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
        >>> y = intervened_outputs(lambda x: x.prod(1, keepdim=True), InputDistribution.fit(X), 0, torch.tensor([10.0]))
        >>> assert y.flatten().tolist() == [20.0, 40.0]
    """
    answer = inputs.do(feature, values)
    with torch.no_grad():
        (_, rows, _), *rest = answer.rows(answer.num_rows * len(answer))
        assert not rest  # one block holds everything
        return model(rows.reshape(-1, *inputs.shape)).reshape(len(answer), answer.num_rows, -1)


def relative_error(estimate: Tensor, exact: Tensor) -> float:
    """Return the root mean square error of the effects in units of their own root mean square.

    Both curves are centred over the values first, so that effects are compared, not levels. 1 is the error of an
    estimate that says "no effect anywhere".

    Args:
        estimate: ``(features, m, outputs)``, expectations.
        exact: ``(features, m, outputs)``, the yardstick.

    Example:
        >>> curve = torch.tensor([0.0, 1.0, 2.0]).reshape(1, 3, 1)
        >>> assert relative_error(torch.zeros(1, 3, 1), curve) == 1 and relative_error(curve + 5, curve) == 0
    """
    effect = exact - exact.mean(1, keepdim=True)
    error = estimate - estimate.mean(1, keepdim=True) - effect
    return float(error.square().mean().sqrt() / effect.square().mean().sqrt())


def frontier(
    model: Callable,
    inputs: InputDistribution,
    features: Sequence[int | str],
    values: Tensor,
    *,
    sizes: Sequence[int],
    repeats: int = 20,
    seed: int | None = None,
    parts: Parts | None = None,
) -> Frontier:
    """Return prices and relative errors of mean point, Taylor, cubature and row subsets for one network.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``.
        inputs: an input model with rows.
        features: the features to set, one after the other; errors are pooled over them.
        values: ``(m,)``, the same for every feature.
        sizes: numbers of rows in the subsets, none above the number of rows.
        repeats: subsets drawn of each size, without replacement.
        seed: seed of the subsets; None means 0.
        parts: columns of the output that are judged together, by name; default: all, as ``"output"``.

    Raises:
        ValueError: for a size that is not between 1 and the number of rows.
    """
    n = 0 if inputs.samples is None else inputs.samples.shape[0]
    if not all(1 <= size <= n for size in sizes):
        raise ValueError(f"sizes must be numbers between 1 and {n}, the rows of the input model, got {list(sizes)}")
    parts = parts or {"output": slice(None)}
    outputs = torch.stack([intervened_outputs(model, inputs, f, values) for f in features])  # (features, m, n, outputs)
    exact = outputs.mean(2)
    estimates, costs = {}, {}
    with torch.no_grad():
        answers = [inputs.do(f, values).means for f in features]
        estimates["mean point"] = torch.stack([model(mu.reshape(-1, *inputs.shape)) for mu in answers])
    costs["mean point"] = 1
    for method in ("taylor", "cubature"):
        found = [values_alone(model, inputs, f, values, method) for f in features]
        estimates[method], costs[method] = torch.stack([e.values for e in found]), found[0].cost // len(values)
    errors = {
        method: {part: relative_error(value[..., columns], exact[..., columns]) for part, columns in parts.items()}
        for method, value in estimates.items()
    }
    rows = _subsets(outputs, exact, sizes, repeats, seed or 0, parts)
    return Frontier(costs, errors, tuple(sizes), rows, exact)


def values_alone(
    model: Callable, inputs: InputDistribution, feature: int | str | tuple[int, ...], values: Tensor, method: str
) -> Expectation:
    """Return an expectation without its own check and error bar, ``budget=1``, where an exact yardstick is at hand.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``.
        inputs: an input model with rows.
        feature: the feature to set.
        values: ``(m,)``.
        method: ``"taylor"`` or ``"cubature"``.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the standard error leaves out", ApproximationWarning)
        return interventional_expectation(model, inputs, feature, values, method=method, budget=1)


def both(model: Callable) -> Callable:
    """Return the model that gives logits and probabilities side by side, ``(batch, …) -> (batch, 2 · classes)``.

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
    """Return the numbers of some inputs that vary, evenly spaced among the half with the larger standard deviation.

    Args:
        inputs: an input model.
        number: how many are wanted.

    Example:
        >>> X = torch.tensor([[0.0, 0.0, 0.0], [0.1, 1.0, 2.0]], dtype=torch.float64)
        >>> assert spread_pixels(InputDistribution.fit(X), 1) == [2]
    """
    half = inputs.factor.square().sum(1).argsort(descending=True, stable=True)[: max(number, inputs.num_features // 2)]
    half = half.sort().values
    places = ((torch.arange(number, dtype=torch.float64) + 0.5) * len(half) / number).long()
    return half[places].tolist()


def _subsets(
    outputs: Tensor, exact: Tensor, sizes: Sequence[int], repeats: int, seed: int, parts: Parts
) -> dict[str, Tensor]:
    """Return the relative errors ``(sizes, repeats)`` of averages over subsets of the rows, by part."""
    generator = torch.Generator().manual_seed(seed)
    errors = {part: torch.zeros(len(sizes), repeats, dtype=torch.float64) for part in parts}
    for r in range(repeats):
        order = torch.randperm(outputs.shape[2], generator=generator)
        for s, size in enumerate(sizes):
            average = outputs[:, :, order[:size]].mean(2)
            for part, columns in parts.items():
                errors[part][s, r] = relative_error(average[..., columns], exact[..., columns])
    return errors
