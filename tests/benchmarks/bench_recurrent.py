"""What does batching over sequences and values save, and is the cost of a roll-out linear in what it should be?

E[y | do] through an LSTM 17-15-17 that reads its own predictions, as for flights, in single precision; against a loop
that takes one sequence and one value at a time, its past once per sequence. Then twice the sequences, twice the
values, and twice the simulated steps; and the horizon τ of the same network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from acelib import interventional_expectation
from acelib.recurrent import FeedbackSequences, Recurrent, time_lag

CHANNELS, HIDDEN, TARGET = 17, 15, 59
SEQUENCES, VALUES, STEPS = 100, 50, 16  # steps simulated, the intervened one included
LOOP_SEQUENCES, LOOP_VALUES = 4, 8
LAG_SEQUENCES = 20

per = {
    "one at a time": LOOP_SEQUENCES * LOOP_VALUES,
    "batched": SEQUENCES * VALUES,
    "time lag": LAG_SEQUENCES,
}
ratios = {
    "one at a time / batched, per sequence and value": ("one at a time", "batched"),
    "twice the sequences / batched": ("twice the sequences", "whole batch"),
    "twice the values / batched": ("twice the values", "whole batch"),
    "twice the steps / batched": ("twice the steps", "whole batch"),
}
expect = {
    "one at a time / batched, per sequence and value": "at least 20",
    "twice the sequences / batched": "2",
    "twice the values / batched": "2",
    "twice the steps / batched": "2, less what does not grow: the past and the averaging",
}


def loop(net: Recurrent, x: Tensor, step: int, values: Tensor) -> Tensor:
    """The average output ``(m, outputs)`` after simulating each sequence under each value by itself."""
    total = torch.zeros(len(values), CHANNELS)
    with torch.no_grad():
        for sequence in x:
            _, past = net(sequence[None, :step])
            for number, value in enumerate(values):
                row, state = sequence[step].clone(), past
                row[0] = value
                for _ in range(step, TARGET + 1):
                    y, state = net(row[None, None], state)
                    row = y[0, 0]
                total[number] += row / len(x)
    return total


def cases() -> dict[str, Callable[[], object]]:
    """Returns ``{name: callable}``; ``per`` says how many pairs of a sequence and a value one call takes."""
    generator = torch.Generator().manual_seed(0)
    net = Recurrent(nn.LSTM(CHANNELS, HIDDEN, batch_first=True), nn.Linear(HIDDEN, CHANNELS)).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator))
    x = torch.rand(2 * SEQUENCES, TARGET + 1, CHANNELS, generator=generator)
    once, twice = (
        FeedbackSequences(net, x[:n], target_step=TARGET, domain=(0.0, 1.0)) for n in (SEQUENCES, 2 * SEQUENCES)
    )
    values, more = torch.linspace(0, 1, VALUES), torch.linspace(0, 1, 2 * VALUES)
    step = TARGET + 1 - STEPS

    def batched(inputs: FeedbackSequences, start: int, at: Tensor) -> Tensor:
        return interventional_expectation(inputs.model, inputs, (start, 0), at).values

    few = FeedbackSequences(net, x[:LOOP_SEQUENCES], target_step=TARGET, domain=(0.0, 1.0))
    part = torch.linspace(0, 1, LOOP_VALUES)
    assert torch.allclose(loop(net, x[:LOOP_SEQUENCES], step, part).double(), batched(few, step, part), atol=1e-5)
    whole = lambda: batched(once, step, values)  # noqa: E731
    return {
        "one at a time": lambda: loop(net, x[:LOOP_SEQUENCES], step, part),
        "batched": whole,
        "whole batch": whole,
        "twice the sequences": lambda: batched(twice, step, values),
        "twice the values": lambda: batched(once, step, more),
        "twice the steps": lambda: batched(once, step - STEPS, values),
        "time lag": lambda: time_lag(net, x[:LAG_SEQUENCES]),
    }
