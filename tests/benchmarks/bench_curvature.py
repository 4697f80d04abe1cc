"""What does ½ Tr(∇²f Σ) cost? One call of each route on a network of the size of the paper's MNIST experiment.

The yardstick is a plain forward pass over R + 2 rows for each intervention: the least that any method with R
directions can hope to need without sharing work. ``per`` says how many interventions one call of each case covers, so
that seconds / per[name] can be compared. Nothing here asserts a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from acelib.curvature import half_trace

WIDTHS = (784, 512, 256, 128, 64, 10)
DIRECTIONS = 50
INTERVENTIONS = 8

per = {
    "hessian": 1,
    "jvp_grad": INTERVENTIONS,
    "double_backward": INTERVENTIONS,
    "central_difference": INTERVENTIONS,
    "forward R+2 rows": INTERVENTIONS,
}


def network(seed: int = 0) -> nn.Sequential:
    """Returns a tanh network 784-512-256-128-64-10 in float32, drawn from its own generator, weights ~ N(0, 1/fan)."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for fan, width in zip(WIDTHS[:-1], WIDTHS[1:], strict=True):
        linear = nn.utils.skip_init(nn.Linear, fan, width)
        with torch.no_grad():
            linear.weight.copy_(torch.randn(width, fan, generator=generator) / fan**0.5)
            linear.bias.zero_()
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1]).eval()


def cases() -> dict[str, Callable[[], torch.Tensor]]:
    """Returns ``{name: callable}``; each call evaluates ``per[name]`` interventions and returns its tensor."""
    model, generator = network(), torch.Generator().manual_seed(1)
    points = torch.randn(INTERVENTIONS, WIDTHS[0], generator=generator)
    factor = torch.randn(WIDTHS[0], DIRECTIONS, generator=generator) / DIRECTIONS**0.5
    features = torch.arange(INTERVENTIONS) * 97
    rows = torch.randn(INTERVENTIONS * (DIRECTIONS + 2), WIDTHS[0], generator=generator)

    def run(route: str, count: int) -> Callable[[], torch.Tensor]:
        return lambda: half_trace(model, points[:count], factor, feature=features[:count], route=route)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return model(rows)

    timed = {route: run(route, per[route]) for route in per if route != "forward R+2 rows"}
    return timed | {"forward R+2 rows": forward}
