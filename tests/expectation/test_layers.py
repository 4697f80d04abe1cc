"""Where a network can be cut in two: the parts together are the network, and what cannot be read is left whole."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acelib.expectation.layers import cuts


class Written(nn.Module):
    """Layers called in a forward of its own, with functions and methods between them."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3), nn.Linear(4 * 9, 2)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.norm(self.first(x))), 2, stride=2)
        x = F.gelu(self.second(x)).tanh()
        return self.last(x.view(x.size(0), -1))


class Residual(nn.Module):
    """The second convolution has a way round it."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3 * 100, 2)

    def forward(self, x):
        x = F.relu(self.first(x))
        return self.last(torch.flatten(x + F.relu(self.second(x)), 1))


class Branching(Written):
    """What it does depends on its input."""

    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


SEQUENTIAL = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten(), nn.Linear(200, 2))


@pytest.mark.parametrize(
    "net, lengths",
    [(Written(), [4, 7]), (Residual(), [2]), (SEQUENTIAL, [3]), (nn.Sequential(Written(), nn.Softmax(1)), [4, 7])],
)
def test_the_parts_are_the_network(net, lengths):
    """Cut behind each run of bends and pools, at a number of layers that is counted by hand."""
    net = net.eval()
    x = torch.randn(3, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    found = cuts(net)
    assert [len(cut.layers) for cut in found] == lengths
    for cut in found:
        assert torch.equal(cut.rest(cut.block(x.clone())), net(x.clone()))


def hooked():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(200, 2))
    net[0].register_forward_hook(lambda module, args, out: out + 1)
    return net


@pytest.mark.parametrize(
    "net",
    [
        Branching(),
        hooked(),
        lambda x: x,
        nn.Linear(3, 2),
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.ReLU()),
        nn.Sequential(nn.ConvTranspose2d(1, 2, 3), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(3, ceil_mode=True), nn.Conv2d(1, 2, 3), nn.ReLU()),
        nn.Sequential(nn.AvgPool2d(3, padding=1, count_include_pad=False), nn.Conv2d(1, 2, 3), nn.ReLU()),
    ],
)
def test_what_is_not_known_is_not_cut(net):
    assert cuts(net) == []
