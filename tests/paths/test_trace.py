"""The layers of a network, their order and what they read, against what is written down by hand for each network."""

import pytest
import torch
import torch.nn.functional as F
from paths_oracle import ConvNeXt, LeNet, MobileNet, lively, mlp, uniform
from torch import nn

from acelib.lab.graphs.resnet import ResNet18
from acelib.paths import trace_layers, treatment_effects
from acelib.paths._operations import ALL
from acelib.paths.batching import predict_cost
from acelib.paths.trace import INPUT


def found(net, *shape):
    return trace_layers(net.eval(), uniform(3, *shape))


def sources(trace, name):
    layer = trace.layer(name)
    names = {x.index: x.name for x in trace.layers} | {INPUT: "input"}
    return [{(names[p], channel) for p, channel in node} for node in layer.sources]


def test_lenet_in_order_of_execution_with_flattened_channels_as_nodes():
    trace = found(LeNet(), 1, 32, 32)
    assert [x.name for x in trace.layers] == ["first", "second", "a", "b", "fc"]
    assert [x.num_nodes for x in trace.layers] == [1, 6, 16, 120, 84]
    assert trace.layer("a").nodes == tuple(tuple(range(25 * c, 25 * c + 25)) for c in range(16))
    assert sources(trace, "a") == [{("second", c)} for c in range(16)]
    assert [trace.parents(x) for x in trace.layers] == [("input",), ("first",), ("second",), ("a",), ("b",)]
    assert trace.outputs == tuple(((4, c),) for c in range(10)) and not trace.overwrites


def test_pixels_of_a_perceptron_are_nodes_of_their_own():
    assert [x.num_nodes for x in found(mlp(), 3, 2, 2).layers] == [12, 9, 7]


def test_a_residual_stream_has_all_its_producers():
    """Stage 1 reads the stem alone, the second block the stem and the first block; a shortcut starts a new stream."""
    trace = found(ResNet18(width=2, channels=1), 1, 16, 16)
    assert len(trace.layers) == 21
    assert sources(trace, "stages.0.0.conv1")[1] == {("stem.0", 1)}
    assert sources(trace, "stages.0.1.conv1")[1] == {("stem.0", 1), ("stages.0.0.conv2", 1)}
    stream = {("stem.0", 0), ("stages.0.0.conv2", 0), ("stages.0.1.conv2", 0)}
    assert sources(trace, "stages.1.0.conv1")[0] == stream == sources(trace, "stages.1.0.shortcut.0")[0]
    assert sources(trace, "stages.1.1.conv1")[3] == {("stages.1.0.conv2", 3), ("stages.1.0.shortcut.0", 3)}
    assert sources(trace, "fc")[15] == {(f"stages.3.{n}", 15) for n in ("0.conv2", "0.shortcut.0", "1.conv2")}
    order = [x.name for x in trace.layers]
    assert order.index("stages.1.0.conv2") < order.index("stages.1.0.shortcut.0") < order.index("stages.1.1.conv1")


def test_mobilenet_gates_depthwise_and_concatenation():
    trace = found(lively(MobileNet()), 3, 12, 12)
    assert trace.overwrites
    assert sources(trace, "one.depth.0")[5] == {("one.expand.0", 5)}
    assert sources(trace, "one.gate")[5] == {("one.depth.0", 5)}
    assert sources(trace, "one.project.0")[5] == {("one.depth.0", 5), ("one.gate", 5)}
    stream = {("stem", 2), ("one.project.0", 2)}
    assert sources(trace, "head")[2] == stream | {("two.project.0", 2)} and sources(trace, "head")[6] == stream


def test_convnext_keeps_channels_through_layer_norm_and_permutations():
    trace = found(ConvNeXt(), 3, 16, 16)
    assert [x.kind for x in trace.layers] == ["Conv2d", "Conv2d", "Linear", "Linear", "Linear"]
    assert sources(trace, "up")[3] == {("depth", 3)} and sources(trace, "down")[9] == {("up", 9)}
    assert sources(trace, "head")[1] == {("stem", 1), ("down", 1)}


class Mixing(nn.Module):
    """Attention between tokens, then a padded, pooled, interpolated and split image."""

    def __init__(self):
        super().__init__()
        self.q, self.v, self.o = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.conv, self.last = nn.Conv2d(4, 2, 3), nn.Linear(1, 2)

    def forward(self, x):
        q = self.q(x)
        x = self.o(torch.softmax(q @ q.transpose(1, 2), -1) @ self.v(x))
        image = F.pad(x.transpose(1, 2).reshape(-1, 4, 2, 2), (1, 1, 1, 1))
        image = F.avg_pool2d(F.interpolate(image, scale_factor=2.0), 2, padding=1)
        image = self.conv(torch.stack([image[:, 1], image[:, 0], image[:, 2], image[:, 3]], 1))
        first, _ = image.split(1, 1)
        return self.last(F.adaptive_avg_pool2d(first, 1).flatten(1)) + first.sum((1, 2, 3))[:, None]


def test_attention_descends_from_all_channels_and_shapes_move_them():
    trace = found(Mixing(), 4, 4)
    assert {channel for _, channel in trace.layer("o").sources[0]} == {ALL}
    assert trace.targets(trace.layer("v"), list(trace.layer("o").sources[0])) == (0, 1, 2, 3)
    assert [sources(trace, "conv")[j] for j in range(4)] == [{("o", c)} for c in (1, 0, 2, 3)]
    assert sources(trace, "last") == [{("conv", 0)}]
    assert set(trace.outputs[1]) == {(trace.layer("last").index, 1), (trace.layer("conv").index, 0)}


def test_labels_that_disagree_become_all():
    """A sum of two shuffled copies mixes channels, a pool over three dimensions too; a product over channels is ALL."""

    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = nn.Conv1d(2, 3, 1), nn.Conv2d(2, 3, 1), nn.Linear(6, 2)

        def forward(self, x):
            x = self.two(x)
            pooled = F.max_pool3d(x, (1, 2, 2))  # an unbatched pool over channels, height and width
            x = torch.cat([F.adaptive_avg_pool2d(x + x.flip(1), 2), pooled], 1)
            return self.three(x.mean((2, 3)))

    trace = found(Shuffled(), 2, 4, 4)
    assert [channel for node in trace.layer("three").sources for _, channel in node] == [ALL, 1, ALL, 0, 2]
    assert trace.layer("three").nodes == ((0,), (1, 4), (2,), (3,), (5,)), "channel 1 arrives twice: one node"
    flat = found(
        nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)), nn.Conv1d(2, 2, 1), nn.Flatten(), nn.Linear(6, 2)), 4
    )
    assert {channel for node in flat.layers[1].sources for _, channel in node} == {ALL}


def test_cost_is_parents_times_inputs_times_layers_above():
    cost = predict_cost(found(LeNet(), 1, 32, 32), 100)
    assert cost.rows == (8400, 12000, 1600, 600, 100)
    assert cost.total == 8400 + 2 * 12000 + 3 * 1600 + 4 * 600 + 5 * 100
    assert repr(cost) == "Cost(22,700 rows in 5 layers, 40,100 row-layers)"


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(self.layer(x))


def tied():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    net[2].weight = net[0].weight
    return net


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.ReLU()),
            "model must call a Linear or convolution layer in its forward pass, got none",
        ),
        (Twice(), "model must call each layer once in a forward pass, got 'layer' twice"),
        (tied(), "weights of its own in each layer, got the same in '0' and '2'"),
        (nn.Sequential(nn.Linear(3, 3), nn.Dropout()).train(), "training mode"),
        (nn.Linear(3, 3).double(), "torch.float64 parameters"),
    ],
)
def test_networks_that_cannot_be_explained(net, message):
    with pytest.raises(ValueError, match=message):
        treatment_effects(net, uniform(30, 3), 0, "0")


def test_a_function_is_no_network_and_an_unbatched_image_no_batch():
    with pytest.raises(TypeError, match="torch.nn.Module"):
        trace_layers(lambda x: x, uniform(2, 3))

    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return torch.stack([self.conv(one).flatten() for one in x])

    with pytest.raises(ValueError, match="must get an input with a batch dimension .*, got shape"):
        trace_layers(Single(), uniform(2, 1, 2, 2))
    with pytest.raises(ValueError, match=r"layer must be one of .*'1', '3'.*, got 'x'"):
        found(mlp(), 3, 2, 2).layer("x")
