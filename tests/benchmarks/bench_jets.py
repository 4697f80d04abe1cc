"""How fast is the exact second-order term by jets, compared with what? The network of the paper's MNIST experiment.

tanh, 784-512-256-128-64-10, rank 50, 64 interventions, float32. ``forward`` is a plain forward pass over R + 2 rows
for each intervention, the floor of every method that shares nothing; ``forward shared`` gives the same rows a shared
first layer. Nothing here asserts a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from acelib.curvature import half_trace
from acelib.expectation.first_layer import shared_rows
from acelib.lab.scaling import vector_products

WIDTHS = (784, 512, 256, 128, 64, 10)
DIRECTIONS, INTERVENTIONS, ROWS, VALUES = 50, 64, 100, 32

per = {
    "hessian": 1,
    "loop of Hessian-vector products": 1,
    "jvp of jvp": 16,
    "jvp_grad": 16,
    "double_backward": 8,
    "central_difference": INTERVENTIONS,
    "collapsed": INTERVENTIONS,
    "collapsed, own factors": INTERVENTIONS,
    "forward R+2 rows": INTERVENTIONS,
    "forward R+2 rows, shared": INTERVENTIONS,
    "row average": VALUES,
    "row average, shared": VALUES,
}
ratios = {
    "full Hessian / collapsed": ("hessian", "collapsed"),
    "loop of Hessian-vector products / collapsed": ("loop of Hessian-vector products", "collapsed"),
    "jvp of jvp / collapsed": ("jvp of jvp", "collapsed"),
    "jvp_grad / collapsed": ("jvp_grad", "collapsed"),
    "double backward / collapsed": ("double_backward", "collapsed"),
    "central differences / collapsed": ("central_difference", "collapsed"),
    "collapsed / forward": ("collapsed", "forward R+2 rows"),
    "collapsed unshared / forward": ("collapsed, own factors", "forward R+2 rows"),
    "collapsed / forward shared": ("collapsed", "forward R+2 rows, shared"),
    "row average / shared row average": ("row average", "row average, shared"),
}
expect = {
    "full Hessian / collapsed": "at least 300",
    "jvp of jvp / collapsed": "at least 5",
    "collapsed / forward": "at most 0.6",
    "row average / shared row average": "at least 1.8",
}


def network(seed: int = 0) -> nn.Sequential:
    """Returns the tanh network in float32, drawn from its own generator, weights ~ N(0, 1/fan)."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for fan, width in zip(WIDTHS[:-1], WIDTHS[1:], strict=True):
        linear = nn.utils.skip_init(nn.Linear, fan, width)
        with torch.no_grad():
            linear.weight.copy_(torch.randn(width, fan, generator=generator) / fan**0.5)
            linear.bias.zero_()
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1]).eval().requires_grad_(False)


def forward_over_forward(model: nn.Module, points: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """½ Σ_r of jvp of jvp, vmapped over points and directions; fast to write, and wrong through some layers."""

    def bend(x, v):
        def slope(z):
            return torch.func.jvp(model, (z,), (v,))[1]

        return torch.func.jvp(slope, (x,), (v,))[1]

    both = torch.func.vmap(torch.func.vmap(bend, (None, 0)), (0, 0))
    return 0.5 * both(points, factor).sum(1)


def pinned(factor: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """S for each point with the row of its feature at zero, ``(B, k, R)``."""
    mask = torch.arange(len(factor)) == features[:, None]
    return factor.expand(len(features), *factor.shape).masked_fill(mask[..., None], 0)


def whole_hessian(model: nn.Module, point: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """½ Tr(∇²f S Sᵀ) with torch.func.hessian."""
    return 0.5 * ((torch.func.hessian(model)(point) @ factor) * factor).sum((1, 2))


def cases() -> dict[str, Callable[[], torch.Tensor]]:
    """Returns ``{name: callable}``; each call evaluates ``per[name]`` interventions or values."""
    model, generator = network(), torch.Generator().manual_seed(1)
    points = torch.randn(INTERVENTIONS, WIDTHS[0], generator=generator)
    factor = torch.randn(WIDTHS[0], DIRECTIONS, generator=generator) / DIRECTIONS**0.5
    features = torch.arange(INTERVENTIONS) * 12
    own = pinned(factor, features)
    directions = own[:16].transpose(1, 2).contiguous()
    rows = torch.randn(INTERVENTIONS * (DIRECTIONS + 2), WIDTHS[0], generator=generator)
    data, values = rows[:ROWS], torch.linspace(-1, 1, VALUES)[:, None]
    rank_one = rows[: DIRECTIONS + 2], points[:, :1]

    def run(route: str, count: int, s: torch.Tensor | None = None) -> Callable[[], torch.Tensor]:
        if s is not None:
            return lambda: half_trace(model, points[:count], s[:count], route=route)
        return lambda: half_trace(model, points[:count], factor, feature=features[:count], route=route)

    def plain(z: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(z)

    def average() -> torch.Tensor:
        block = data.expand(VALUES, *data.shape).clone()
        block[:, :, 300] = values
        return plain(block.reshape(-1, WIDTHS[0])).reshape(VALUES, ROWS, -1).mean(1)

    return {
        "hessian": lambda: whole_hessian(model, points[0], own[0]),
        "loop of Hessian-vector products": lambda: vector_products(model, points[0], own[0]),
        "jvp of jvp": lambda: forward_over_forward(model, points[:16], directions),
        "jvp_grad": run("jvp_grad", 16),
        "double_backward": run("double_backward", 8),
        "central_difference": run("central_difference", INTERVENTIONS),
        "collapsed": run("collapsed", INTERVENTIONS),
        "collapsed, own factors": run("collapsed", INTERVENTIONS, own),
        "forward R+2 rows": lambda: plain(rows),
        "forward R+2 rows, shared": lambda: shared_rows(model, rank_one[0], (300,), rank_one[1]),
        "row average": average,
        "row average, shared": lambda: shared_rows(model, data, (300,), values).mean(1),
    }
