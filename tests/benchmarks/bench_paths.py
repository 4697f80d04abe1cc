"""Time of an explanatory graph of LeNet over 100 images, against loops that edit one weight at a time.

The graph visits five layers; each parent node of each is intervened on. The plain loop edits the weights of one node,
runs the whole network over all images at once, and puts them back; it is given the targets, so that it does no more
than needed. The innermost loop runs image by image, as the method's released code does; it is timed on some
of its (node, image) pairs, and ``per`` brings all cases to one pair. Ten classes share nothing here. ResNet-18 at
width 64 is timed on its last stage, 30 images of 32x32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acelib.lab.graphs.resnet import ResNet18
from acelib.paths import ExplanatoryGraph, explanatory_graph, treatment_effects

IMAGES = 100
NODES = 84 + 120 + 16 + 6 + 1
PAIRS = 400  # (node, image) pairs that the innermost loop is timed on
RESIDUAL = "stages.3.1.conv2"

per = {
    "graph, batched": NODES * IMAGES,
    "loop over nodes": NODES * IMAGES,
    "loop over nodes and images": PAIRS,
    "forward pass of one image": 1,
    "ResNet-18 width 64, 512 nodes, 30 images": 512 * 30,
}
ratios = {
    "loop over nodes / graph": ("loop over nodes", "graph, batched"),
    "loop over nodes and images / graph": ("loop over nodes and images", "graph, batched"),
}
expect = {
    "loop over nodes / graph": "at least 8",
    "loop over nodes and images / graph": "at least 100",
}


class LeNet(nn.Module):
    """conv 6 of 5x5, pool, conv 16 of 5x5, pool, 120, 84, 10, with ReLU, for 32x32 images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, 10)``."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


def network() -> nn.Module:
    """Return LeNet with weights drawn from their own generator, variance 2 / fan."""
    generator = torch.Generator().manual_seed(0)
    net = LeNet().eval()
    with torch.no_grad():
        for p in net.parameters():
            fan = p[0].numel() if p.ndim > 1 else 100
            p.copy_(torch.randn(p.shape, generator=generator) * (2 / fan) ** 0.5)
    return net


def edits(net: nn.Module, graph: ExplanatoryGraph) -> list[tuple[Tensor, Tensor, list[int]]]:
    """Return for every node of every layer the weight to edit, the rows of its targets and the node's columns."""
    found = []
    for layer in graph.layers:
        weight = dict(net.named_modules())[layer.name].weight
        size = weight.shape[1] // layer.num_nodes
        rows = torch.tensor(layer.targets, dtype=torch.long)
        found += [(weight, rows, list(range(j * size, j * size + size))) for j in range(layer.num_nodes)]
    return found


def loop(net: nn.Module, work: list, batches: list[Tensor], target: int) -> Tensor:
    """Return the effects by editing, running and putting back, one node and one batch at a time."""
    with torch.no_grad():
        before = [net(x)[:, target] for x in batches]
        effects = []
        for weight, rows, columns in work:
            kept = weight.clone()
            weight[rows[:, None], columns] = 0
            effects.append(torch.cat([net(x)[:, target] - y for x, y in zip(batches, before, strict=True)]))
            weight.copy_(kept)
    return torch.stack(effects)


def cases() -> dict[str, Callable[[], object]]:
    """Return ``{name: callable}``."""
    net, images = network(), torch.rand(IMAGES, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        target = int(net(images).argmax(1).mode().values)
    graph = explanatory_graph(net, images, target)
    work = edits(net, graph)
    batched = torch.cat([layer.differences for layer in graph.layers])
    error = (loop(net, work, [images], target) - batched).abs().max()
    if error > 1e-5 * batched.abs().max():
        raise AssertionError(f"the loop and the graph differ by {float(error):.2g}")
    some = work[:: len(work) // 20][:20]
    singles = list(images[: PAIRS // 20 - 1].split(1))  # the pass without intervention counts as one more node
    residual = ResNet18(width=64, seed=0).eval()
    pictures = torch.rand(30, 3, 32, 32, generator=torch.Generator().manual_seed(2))

    def forward() -> Tensor:
        with torch.no_grad():
            return net(images[:1])

    return {
        "graph, batched": lambda: explanatory_graph(net, images, target),
        "loop over nodes": lambda: loop(net, work, [images], target),
        "loop over nodes and images": lambda: loop(net, some, singles, target),
        "forward pass of one image": forward,
        "ResNet-18 width 64, 512 nodes, 30 images": lambda: treatment_effects(residual, pictures, 0, RESIDUAL),
    }
