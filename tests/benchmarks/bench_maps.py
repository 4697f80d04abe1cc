"""What does a map of all channels by linear steps save, and what can it save at most?

Curves of all C = 17 channels at m = 7 values, L seconds before the end of sequences of 60 seconds, for one output of an
LSTM 17-15-17 that reads its own predictions, in single precision; 450 and 4,500 sequences.

The work is counted in steps of the network for one sequence. A second of the map takes n (60 - L) of them for the
states before it, by any method. Averages over all n sequences then take C m n L. Linear steps take n L for the outputs
and twice that for the slopes of one output, and C m r L to correct them on r sequences. Over a map of L = 1 to 20 that
is 25,980 n against 1,620 n + 24,990 r. So with r = 50 the work is 5.9 times less for n = 450 and 13.7 times for
n = 4,500, and never more than 16 times; with slopes for nothing it would be 6.9 times for n = 450, and with the past
for nothing too it would be n / r = 9. Ten times less takes n = 1,278 sequences, or r = 17 for n = 450, with an error of
the correction that is 1.7 times as large. A sequence that is drawn twice is answered once, so that the counted ratios
are a little above these. Times are below them: small batches take longer for a sequence than large ones, and averages,
error bars and fits of single curves take as long by either way, a third of the time of the linear steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import nn

from acelib import AverageCausalEffect, CausalRegressors
from acelib.recurrent import FeedbackSequences, Recurrent

CHANNELS, HIDDEN, SECONDS, VALUES = 17, 15, 60, 7
ROWS = 50  # that correct the linear steps
MAP = range(1, 21)  # seconds before the end
TIMED = (5, 10, 15, 20)  # those of them that are timed, with FEW sequences
FEW, MANY = 450, 4500

ratios = {"all rows / linear steps, 450 sequences": ("all rows", "linear steps")}
expect = {"all rows / linear steps, 450 sequences": "at most 6, as counted"}


@cache
def sequences(n: int) -> FeedbackSequences:
    """Return random sequences and the network that goes on from them."""
    generator = torch.Generator().manual_seed(0)
    net = Recurrent(nn.LSTM(CHANNELS, HIDDEN, batch_first=True), nn.Linear(HIDDEN, CHANNELS)).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator))
    x = torch.rand(n, SECONDS, CHANNELS, generator=generator)
    return FeedbackSequences(net, x, target_step=SECONDS - 1, domain=(0.0, 1.0))


def curves(n: int, lags: Sequence[int], method: str) -> CausalRegressors:
    """Return the regressors of all channels at some seconds."""
    inputs = sequences(n)
    rows = ROWS if method == "linearised" else n
    effect = AverageCausalEffect(inputs.model, inputs, method=method, rows=rows)
    cells = [(SECONDS - lag, channel) for lag in lags for channel in range(CHANNELS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say of errors is no matter of time
        return effect.regress(cells, [0], VALUES, grid="chebyshev")


def counted(n: int) -> float:
    """Return how many times the steps of a whole map by linear steps one over all rows takes."""
    plain = linear = 0
    slopes = 3 * n  # an output, and its slopes at twice that, which all channels of a second share
    costs = [e.cost - slopes for e in curves(n, MAP, "linearised").expectations.values()]
    for place, lag in enumerate(MAP):
        past = n * (SECONDS - lag)
        plain += past + CHANNELS * VALUES * n * lag
        linear += past + (slopes + sum(costs[place * CHANNELS : (place + 1) * CHANNELS])) * lag
    return plain / linear


def measured() -> dict[str, float]:
    """Return the counted work of whole maps, with the sequences that were drawn."""
    return {f"counted steps, all rows / linear steps, {n} sequences": counted(n) for n in (FEW, MANY)}


def cases() -> dict[str, Callable[[], object]]:
    """Return ``{name: callable}``."""
    ways = {"all rows": "monte_carlo", "linear steps": "linearised"}
    return {name: lambda method=method: curves(FEW, TIMED, method) for name, method in ways.items()}
