"""Subclasses, wrapped layers and convolutions of every kind, against literal weight editing."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from paths_oracle import edit, literal_changes, lively, uniform
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

from acelib.paths import explanatory_graph, masked, trace_layers, treatment_effects


class Scaled(nn.Linear):
    def forward(self, x):
        return F.linear(x, 0.5 * self.weight, self.bias)


class Masked(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight * (torch.arange(self.in_features) % 2), self.bias)


class Cosine(nn.Linear):
    def forward(self, x):
        return F.linear(F.normalize(x), F.normalize(self.weight), self.bias)


class Fused(nn.Linear):
    """An activation that leaves large outputs as they are, so that the recorded ones may not show it."""

    def forward(self, x):
        return torch.relu(super().forward(x))


class Dropping(nn.Linear):
    def forward(self, x):
        return super().forward(x * (x > 0))


class Extra(nn.Linear):
    def forward(self, x):
        return super().forward(x) + 0.1 * x.mean(-1, keepdim=True)


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), self.bias


class Transposed(nn.Linear):
    def forward(self, x):
        return x @ self.weight + self.bias


class LowRank(nn.Linear):
    def __init__(self, inside, outside):
        super().__init__(inside, outside)
        self.down, self.up = nn.Linear(inside, 1, bias=False), nn.Linear(1, outside, bias=False)

    def forward(self, x):
        return super().forward(x) + self.up(self.down(x))


class Rounded(nn.Linear):
    def forward(self, x):
        return F.linear(x, torch.round(self.weight * 64) / 64, self.bias)


class Renamed(nn.Linear):
    """Does what a Linear does, in other words."""

    def forward(self, x):
        return x @ self.weight.T + self.bias


class Counting(nn.Linear):
    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(x)


class Standardised(nn.Conv2d):
    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, w, self.bias)


class Padded(nn.Conv2d):
    def forward(self, x):
        return super().forward(F.pad(x, (1, 0, 1, 0)))


class Inner(nn.Conv2d):
    """Overrides the inner function alone."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, 2 * weight, bias)


def linear_net(kind, width=4):
    net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), kind(width, width), nn.Tanh(), nn.Linear(width, 2))
    return lively(net).double(), uniform(40, 3, dtype=torch.float64)


def conv_net(kind):
    net = nn.Sequential(kind(2, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    return lively(net).double(), uniform(40, 2, 5, 5, dtype=torch.float64)


REFUSED = [Scaled, Masked, Cosine, Fused, Dropping, Extra, Pair, Transposed, LowRank, Rounded]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_linear_that_does_more_is_refused_by_name(kind):
    net, x = linear_net(kind)
    if kind is Pair:
        net[3] = nn.Sequential()
        net[2].register_forward_hook(lambda module, args, out: out[0])
    with pytest.raises(ValueError, match=rf"layer '2' must return its weight .* from the forward of {kind.__name__}; "):
        treatment_effects(net, x, 0, "2")


@pytest.mark.parametrize("kind", [Standardised, Padded, Inner])
def test_a_convolution_that_does_more_is_refused_by_name(kind):
    net, x = conv_net(kind)
    with pytest.raises(ValueError, match=rf"layer '0' must return .*as Conv2d does.* the forward of {kind.__name__}; "):
        explanatory_graph(net, x, 0, allow_wrong=True)


def test_an_activation_that_no_recorded_input_shows_is_found():
    net, x = linear_net(Fused)
    with torch.no_grad():
        net[2].bias.fill_(50.0)
    with pytest.raises(ValueError, match="Fused"):
        trace_layers(net, x)


def test_what_shows_on_later_rows_alone_is_found_when_they_are_recorded():
    class Late(nn.Linear):
        def forward(self, x):
            return super().forward(x) * (1 + (x[:, :1] == 7))

    net = nn.Sequential(Late(3, 2)).double().eval()
    x = uniform(40, 3, dtype=torch.float64)
    assert len(treatment_effects(net, x, 0, "0").effects) == 3
    x[30] = 7.0
    with pytest.raises(ValueError, match="forward of Late"):
        treatment_effects(net, x, 0, "0")


def test_weights_that_change_in_the_pass_are_found():
    """The contributions would be those of weights that the recorded output does not come from."""

    class Restless(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 2)

        def forward(self, x):
            out = self.a(x)
            self.a.weight.data = self.a.weight.data * 1.5
            return out

    with pytest.raises(ValueError, match="from call to call"):
        treatment_effects(Restless().eval(), uniform(40, 3), 0, "a")


def hooked(module):
    module.register_forward_hook(lambda m, args, out: 2 * out)
    module.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    return module


def pruned(module):
    prune.l1_unstructured(module, "weight", 0.4)
    return module


WRAPPED = {
    "renamed": Renamed,
    "counting": Counting,
    "hooks": lambda a, b: hooked(nn.Linear(a, b)),
    "prune": lambda a, b: pruned(nn.Linear(a, b)),
    "weight_norm": lambda a, b: parametrizations.weight_norm(nn.Linear(a, b)),
    "old weight_norm": lambda a, b: old_weight_norm(nn.Linear(a, b)),
    "spectral_norm": lambda a, b: parametrizations.spectral_norm(nn.Linear(a, b)),
    "old spectral_norm": lambda a, b: old_spectral_norm(nn.Linear(a, b)),
    "no bias": lambda a, b: nn.Linear(a, b, bias=False),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", WRAPPED.values(), ids=WRAPPED)
def test_what_only_wraps_a_linear_is_right(kind):
    """Cutting the weights from an input is to set that input to 0, behind the pre-hooks; equal to 1e-10."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), kind(4, 5), nn.Tanh(), nn.Linear(5, 2)).double().eval()
    x = uniform(40, 3, dtype=torch.float64)
    found = treatment_effects(net, x, 1, "2").differences
    for node in range(4):

        def cut(module, args, node=node):
            return (args[0] * (torch.arange(4) != node),)

        with torch.no_grad():
            before = net(x)[:, 1]
            handle = net[2].register_forward_pre_hook(cut)
            after = net(x)[:, 1]
            handle.remove()
        assert (found[node] - (after - before)).abs().max() < 1e-10


CONVOLUTIONS = {
    "1d": (nn.Conv1d, (8,), dict(kernel_size=3, stride=2, padding=1)),
    "1d circular": (nn.Conv1d, (8,), dict(kernel_size=3, padding=1, padding_mode="circular")),
    "1d same dilated": (nn.Conv1d, (8,), dict(kernel_size=3, padding="same", dilation=2)),
    "1d groups": (nn.Conv1d, (8,), dict(kernel_size=3, groups=2)),
    "1d no bias": (nn.Conv1d, (8,), dict(kernel_size=2, bias=False)),
    "2d": (nn.Conv2d, (4, 5), dict(kernel_size=(2, 3))),
    "3d": (nn.Conv3d, (3, 4, 4), dict(kernel_size=(2, 3, 3), padding=1, stride=(1, 2, 1))),
    "3d groups replicate": (nn.Conv3d, (3, 4, 4), dict(kernel_size=3, groups=2, padding=1, padding_mode="replicate")),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_over_one_two_and_three_dimensions_equal_edited_weights(case):
    kind, size, options = CONVOLUTIONS[case]
    net = nn.Sequential(kind(2, 4, **options), nn.ReLU(), kind(4, 4, **options), nn.Flatten(), nn.LazyLinear(2))
    x = uniform(30, 2, *size, dtype=torch.float64)
    with torch.no_grad():
        net.double()(x)
    net = lively(net).double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = explanatory_graph(net, x, 0, allow_wrong=True)
    assert [layer.kind for layer in graph.layers] == ["Linear", kind.__name__, kind.__name__]
    assert graph["4"].num_nodes == 4 and graph["4"].parents == ("2",), "a flattened channel is one node"
    for name, nodes in (("0", 2), ("2", 4)):
        targets = [0, 3]

        def change(other, node, name=name, targets=targets):
            for t in targets:
                edit(other[int(name)], t, node, 0.0)

        found = treatment_effects(net, x, 1, name, targets=targets).differences
        assert (found - literal_changes(net, x, 1, nodes, change)).abs().max() < 1e-10
    with torch.no_grad(), masked(net, trace_layers(net, x), {"2": ((1,), None)}):
        other = copy.deepcopy(net)
        got = net(x)
    with torch.no_grad():
        for t in range(4):
            edit(other[2], t, 1, 0.0)
        assert (other(x) - got).abs().max() < 1e-10


def test_tied_views_are_refused_and_neighbours_in_one_memory_are_not():
    flat = nn.Parameter(torch.randn(18))
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False))
    net[0].weight, net[2].weight = nn.Parameter(flat.data[:9].view(3, 3)), nn.Parameter(flat.data[9:].view(3, 3))
    assert len(trace_layers(net, uniform(2, 3)).layers) == 2
    net[2].weight = nn.Parameter(net[0].weight.data.T)
    with pytest.raises(ValueError, match="the same in '0' and '2'"):
        trace_layers(net, uniform(2, 3))
