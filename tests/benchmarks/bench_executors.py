"""When other processes pay: an average by one process, and by a pool of two, for networks of different prices.

One network waits a stated time for each row without computing, as one on a device or behind a socket does: its cases
measure what sharing out costs and nothing of the network. The other computes, a residual network on pictures, with one
thread in every process. The pool is there already; networks and rows are sent in each call. Two processes can be at
most twice as fast.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from acelib import AverageCausalEffect, InputDistribution
from acelib.lab.graphs.resnet import ResNet18

ROWS, VALUES, FEATURES = 30, 4, 4
PRICES = {"10 ms": 1e-2, "1 ms": 1e-3, "0.1 ms": 1e-4, "0.01 ms": 1e-5}

per: dict[str, float] = {}
ratios = {f"one process / two, {name} a row": (f"one process, {name}", f"two processes, {name}") for name in PRICES}
ratios["one process / two, ResNet-18"] = "one process, ResNet-18", "two processes, ResNet-18"
expect = dict.fromkeys(["one process / two, 10 ms a row", "one process / two, ResNet-18"], "at least 1.7")


def waiting(x: Tensor, price: float) -> Tensor:
    """Return one output ``(batch, 1)`` after so many seconds for each row."""
    if len(x) > 2:  # not for the entrance
        time.sleep(price * len(x))
    return x.tanh().sum(1, keepdim=True)


def average(price: float, executor: Any) -> Callable[[], Any]:
    """Return what regresses all features by one process, or by a pool."""
    X = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs = InputDistribution.fit(X, domain=(-2.0, 2.0))
    ace = AverageCausalEffect(partial(waiting, price=price), inputs, method="monte_carlo", executor=executor)
    return lambda: ace.regress(num=VALUES)


def residual(executor: Any) -> Callable[[], Any]:
    """Return what averages a residual network over pictures under some pixels, by one process or by a pool."""
    X = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    network = ResNet18(width=64).eval()
    inputs = InputDistribution.fit(X, rank=2, domain=(0.0, 1.0))
    ace = AverageCausalEffect(network, inputs, method="monte_carlo", executor=executor)
    return lambda: ace.regress([0, 1000, 2000], [0], num=VALUES)


def cases() -> dict[str, Callable[[], Any]]:
    """Return the cases by name."""
    torch.set_num_threads(1)
    pool = ProcessPoolExecutor(2)
    found = {"one process, ResNet-18": residual(None), "two processes, ResNet-18": residual(pool)}
    for name, price in PRICES.items():
        found[f"one process, {name}"] = average(price, None)
        found[f"two processes, {name}"] = average(price, pool)
    return found
