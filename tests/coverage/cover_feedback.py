"""Do the intervals hold where a network reads its own predictions, and where a latent of a generator is set?"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from acelib import FeedbackSequences, LatentPrior, interventional_expectation
from tools.coverage.case import Case, hits
from tools.coverage.worlds import WIDE, averages, column, normal, normal_grid

quantity = "sequences with feedback, and latents of a generator"
ALPHAS = (-1.0, 0.0, 1.0)
CLASSES = (0.5, 0.3, 0.2)


def following(level: Tensor, push: Tensor) -> Tensor:
    """The next level, from this one and a push that is data."""
    return 1.5 * torch.tanh(level + 0.7 * push + 0.3)


class Follower(nn.Module):
    """Predicts the next level of channel 0 from both channels; it needs no memory."""

    def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, tuple[()]]:
        return following(x[..., :1], x[..., 1:]), ()


@cache
def simulated() -> Tensor:
    def unrolled(x: Tensor) -> Tensor:
        level = x[:, :1]
        for step in range(1, 4):
            level = following(level, x[:, step : step + 1])
        return level

    return averages(unrolled, ALPHAS, *normal_grid(3))


def sequences(n: int) -> Case:
    """Return the case of setting the level of step 1 and reading the prediction of step 3."""

    def run(seed: int) -> dict[str, Tensor]:
        data = normal(n, 8, seed).reshape(n, 4, 2)
        inputs = FeedbackSequences(Follower(), data, target_step=3, feedback={"x0": 0}, domain=WIDE)
        e = interventional_expectation(inputs.model, inputs, (1, "x0"), ALPHAS)
        return hits(simulated(), stderr=(e.values, e.stderr), interval=e.interval())

    return Case(run, "Quadrature over the pushes of three steps, which are standard normal.")


def decoder(x: Tensor) -> Tensor:
    """tanh(z₀ + z₁) plus a multiple of z₁ that the class decides."""
    return column(torch.tanh(x[:, 0] + x[:, 1]) * (1 + x[:, 3]) + torch.exp(x[:, 1] / 2) * x[:, 4])


@cache
def decoded() -> Tensor:
    nodes, weights = normal_grid(1)
    total = torch.zeros(len(ALPHAS), dtype=torch.float64)
    for number, probability in enumerate(CLASSES):
        one_hot = torch.eye(3, dtype=torch.float64)[number].expand(len(nodes), 3)
        total += probability * averages(decoder, ALPHAS, torch.cat([nodes, one_hot], 1), weights)
    return total


def latents(draws: int) -> Case:
    """Return the case of setting one latent of a prior with three classes."""

    def run(seed: int) -> dict[str, Tensor]:
        prior = LatentPrior(2, 3, CLASSES, draws=draws, seed=seed, dtype=torch.float64)
        e = interventional_expectation(decoder, prior, "z0", ALPHAS)
        return hits(decoded(), stderr=(e.values, e.stderr), interval=e.interval())

    return Case(run, "Quadrature over the other latent, and the sum over the classes.")


def cases() -> dict[str, Case]:
    """Return ``{world: case}``."""
    found = {f"feedback over three steps, {n} sequences": sequences(n) for n in (20, 50, 200)}
    found |= {f"latent of a generator, {draws} draws": latents(draws) for draws in (50, 1000)}
    return found
