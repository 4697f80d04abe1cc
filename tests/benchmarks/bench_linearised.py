"""What does a map of all inputs cost by linear steps, beside the average over 100 shared rows, and how far is each off?

Errors stand beside the times: of linear steps for the price of 44 rows, of 52 plain rows, which is their price with the
slopes of a map of 784 pixels and 32 values, of the second-order expansion (52 rows too), and of scikit-learn's
brute-force partial dependence on as many rows as take it the seconds of the linear steps. The network is the perceptron
of the MNIST chapters (784-512-256-128-64-10, tanh, float32) on 2,000 rows made of its own statistics: mean and factor
of the training images, clipped to [0, 1]. Forty pixels at 32 values each, all ten logits and probabilities, with error
bars. The errors are those of the effects, the deviations from their mean over the values,
relative to the averages over all 2,000 rows. One pass for the slopes serves all 784 pixels, so it is a case of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.inspection import partial_dependence
from torch import Tensor

from acelib import InputDistribution
from acelib.expectation.estimate import expectation_of
from acelib.expectation.expansion import Expansion
from acelib.expectation.networks import Networks, admitted
from acelib.lab.mnist import load_pretrained

PIXELS = range(205, 605, 10)
VALUES = torch.linspace(0, 1, 32)
ROWS = 2_000
DRAWS = 44

ratios = {
    "100 shared rows / linearised, logits": ("100 rows, logits", "linearised, logits"),
    "100 shared rows / linearised, probabilities": ("100 rows, probabilities", "linearised, probabilities"),
    "the pass for the slopes / a pixel by 100 shared rows": ("slopes of all rows", "100 rows, logits"),
}
per = {f"{name}, {what}": 40 for name in ("100 rows", "linearised") for what in ("logits", "probabilities")}


@cache
def population() -> tuple[torch.nn.Module, InputDistribution]:
    """Return the network and its rows."""
    net = load_pretrained("tanh")
    noise = torch.randn(ROWS, net.factor.shape[1], generator=torch.Generator().manual_seed(0))
    rows = (net.mean + noise @ net.factor.T).clamp(0, 1)
    return net.model, InputDistribution.fit(rows.reshape(-1, 1, 28, 28), domain=(0.0, 1.0))


@cache
def networks_of(link: str | None) -> Networks:
    """Return the network with a link; what it is expanded to is kept."""
    return admitted(*population(), derivatives=True, link=link)


def sweep(method: str, rows: int, link: str | None, seed: int = 0) -> Tensor:
    """Return the expectations ``(pixels, values, outputs)``."""
    networks = networks_of(link)
    options = dict(method=method, rows=rows, budget=10**6, seed=seed)
    return torch.stack([expectation_of(networks, pixel, VALUES, **options).values for pixel in PIXELS])


def slopes() -> object:
    """Linearise the network around all rows."""
    local = population()[1].do(0, [0.0]).local()
    return Expansion.build(networks_of(None).bare, local, range(10), link=None, seed=0, chunk=16_384)


def error(found: Tensor, truth: Tensor) -> float:
    """Return the root mean square error of the effects in units of the true ones."""
    effects = [t - t.mean(1, keepdim=True) for t in (found, truth)]
    return float((effects[0] - effects[1]).norm() / effects[1].norm())


def measured() -> dict[str, float]:
    """Return errors, the mean over ten seeds."""
    found = {}
    for link, what in ((None, "logits"), ("softmax", "probabilities")):
        truth = sweep("monte_carlo", ROWS, link)
        for method, rows, name in (
            ("monte_carlo", 52, "52 shared rows"),
            ("monte_carlo", 100, "100 shared rows"),
            ("linearised", DRAWS, "linearised, the price of 52"),
        ):
            errors = [error(sweep(method, rows, link, seed), truth) for seed in range(10)]
            found[f"error of {name}, {what}"] = sum(errors) / len(errors)
        found[f"error of the expansion around the mean, {what}"] = error(expanded(link), truth)
    found["error of scikit-learn in the same seconds, probabilities"] = by_sklearn(truth)
    return found


def expanded(link: str | None) -> Tensor:
    """Return the second-order expansion with the factor of rank 50, ``(pixels, values, outputs)``."""
    net = load_pretrained("tanh")
    moments = InputDistribution.from_moments(net.mean, net.factor, low=0, high=1, shape=(1, 28, 28))
    networks = admitted(net.model, moments, derivatives=True, link=link)
    return torch.stack([expectation_of(networks, p, VALUES, method="taylor", budget=1).values for p in PIXELS])


def by_sklearn(truth: Tensor) -> float:
    """Return the error of scikit-learn's brute force on so many rows as take it the seconds of the linear steps."""
    net, rows = population()[0], population()[1].samples

    class Classifier(ClassifierMixin, BaseEstimator):
        """The network as scikit-learn takes it."""

        classes_ = np.arange(10)

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, x: object, y: object = None) -> Classifier:
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return net(torch.from_numpy(x).reshape(-1, 1, 28, 28)).softmax(1).numpy()

    def curves(count: int, seed: int) -> Tensor:
        some = rows[torch.randperm(ROWS, generator=torch.Generator().manual_seed(seed))[:count]].numpy()
        options = dict(method="brute", response_method="predict_proba")
        at = VALUES.numpy()
        found = (partial_dependence(Classifier(), some, [p], custom_values={p: at}, **options) for p in PIXELS)
        return torch.stack([torch.from_numpy(one.average).T for one in found])

    def seconds(call: Callable[[], object]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    sweep("linearised", DRAWS, "softmax")
    ours = min(seconds(lambda: sweep("linearised", DRAWS, "softmax")) for _ in range(3))
    count = 10
    while count < ROWS and min(seconds(partial(curves, count, 0)) for _ in range(3)) < ours:
        count *= 2
    errors = [error(curves(min(count, ROWS), seed), truth) for seed in range(5)]
    return sum(errors) / len(errors)


def cases() -> dict[str, Callable[[], object]]:
    """Returns ``{name: callable}``."""
    return {"slopes of all rows": slopes} | {
        f"{name}, {what}": lambda method=method, rows=rows, link=link: sweep(method, rows, link)
        for link, what in ((None, "logits"), ("softmax", "probabilities"))
        for name, method, rows in (("100 rows", "monte_carlo", 100), ("linearised", "linearised", DRAWS))
    }
