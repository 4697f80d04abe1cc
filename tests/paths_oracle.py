"""Networks of the kinds that path interventions must handle, and a slow oracle that edits one weight at a time.

The loop below knows nothing of the library's batching: for each node it copies the network, edits the weights between
the node and the targets in the copy, and runs all inputs through it. Which columns of a weight belong to a node is
written down by hand for every network.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acelib.lab.graphs.resnet import ResNet18


def uniform(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return seeded draws from U(0, 1)."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


class LeNet(nn.Module):
    """A LeNet whose layers are not defined in the order they run; functional ReLU and pools; flattened by view."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(84, 10)
        self.b = nn.Linear(120, 84)
        self.a = nn.Linear(400, 120)
        self.second = nn.Conv2d(6, 16, 5)
        self.first = nn.Conv2d(1, 6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        x = F.relu(self.a(x.view(x.size(0), -1)))
        return self.fc(F.relu(self.b(x)))


class Inverted(nn.Module):
    """MobileNet's block: expand, depthwise, squeeze-and-excite gate, project, in-place ReLU6 and residual sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = 3 * width
        self.expand = nn.Sequential(nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(True))
        self.depth = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(True)
        )
        self.gate = nn.Conv2d(wide, wide, 1)
        self.project = nn.Sequential(nn.Conv2d(wide, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depth(self.expand(x))
        y = y * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(y, 1)))
        x = x.clone()
        x += self.project(y)
        return x


class MobileNet(nn.Module):
    """A strided stem with reflected borders, two inverted blocks, a concatenation, a pooled head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="reflect")
        self.one, self.two = Inverted(4), Inverted(4)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardtanh(self.stem(x), -2, 2, inplace=True)
        y = self.one(x)
        return self.head(torch.cat([self.two(y), y], 1).mean([2, 3]))


class ConvNeXt(nn.Module):
    """ConvNeXt's block: depthwise 7x7, channels last, LayerNorm, two linear layers, GELU, residual scaling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, stride=4)
        self.depth = nn.Conv2d(4, 4, 7, padding=3, groups=4)
        self.norm = nn.LayerNorm(4)
        self.up, self.down = nn.Linear(4, 16), nn.Linear(16, 4)
        self.gamma = nn.Parameter(torch.full((4,), 0.3))
        self.last = nn.LayerNorm(4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        y = self.gamma * self.down(F.gelu(self.up(y)))
        x = x + y.permute(0, 3, 1, 2)
        return self.head(self.last(x.mean((-2, -1))))


def lively(net: nn.Module, seed: int = 0) -> nn.Module:
    """Return the network in evaluation mode, with seeded weights and batch norms of statistics other than 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "gamma" not in name:
                fan = p[0].numel() if p.ndim > 1 else 4
                p.copy_((1.5 if p.ndim > 1 else 0.5) * torch.randn(p.shape, generator=generator) / fan**0.5)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
                module.weight.add_(1)
    return net.eval()


def mlp() -> nn.Module:
    """Return a perceptron of 12, 9, 7 and 3 units."""
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3))


# name -> (network, input shape, layers from the output down)
NETWORKS = {
    "mlp": (mlp, (3, 2, 2), ["5", "3", "1"]),
    "lenet": (LeNet, (1, 32, 32), ["fc", "b", "a", "second", "first"]),
    "resnet": (lambda: ResNet18(width=3, classes=4, channels=1), (1, 16, 16), None),
    "mobilenet": (MobileNet, (3, 12, 12), None),
    "convnext": (ConvNeXt, (3, 16, 16), ["head", "down", "up", "depth", "stem"]),
}


def columns(name: str, layer: str, node: int) -> list[int]:
    """Return the input columns of a node: only LeNet's first linear layer reads flattened channels, 5x5 each."""
    return list(range(25 * node, 25 * node + 25)) if (name, layer) == ("lenet", "a") else [node]


def literal_effects(model, x, target, name, layer, targets, betas) -> Tensor:
    """Return the changes of the output ``(nodes, n)``, one copied and edited network per node."""
    with torch.no_grad():
        before = model(x)[:, target]
        found = []
        for node in range(len(betas)):
            edited = copy.deepcopy(model)
            module = dict(edited.named_modules())[layer]
            for column in columns(name, layer, node):
                for t in targets:
                    edit(module, t, column, float(betas[node]))
            found.append(edited(x)[:, target] - before)
    return torch.stack(found)


def literal_changes(net, x, target, nodes, change) -> Tensor:
    """Return the differences ``(nodes, n)`` of a copied network, changed by ``change(copy, node)``."""
    with torch.no_grad():
        before, found = net(x)[:, target], []
        for node in range(nodes):
            other = copy.deepcopy(net)
            change(other, node)
            found.append(other(x)[:, target] - before)
    return torch.stack(found)


def edit(module: nn.Module, out: int, column: int, factor: float) -> None:
    """Multiply the weight from one input to one output; in a grouped convolution there is one only within a group."""
    groups = getattr(module, "groups", 1)
    if groups == 1:
        module.weight[out, column] *= factor
        return
    inside, outside = module.in_channels // groups, module.out_channels // groups
    if column // inside == out // outside:
        module.weight[out, column % inside] *= factor
