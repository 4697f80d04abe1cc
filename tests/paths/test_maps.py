"""Maps of Eq. 3 against the sum over parents written out with one convolution each, and the pictures of it all."""

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from paths_oracle import LeNet, lively, uniform

from acelib.paths import (
    class_map,
    explanatory_graph,
    extrema,
    fidelity,
    node_maps,
    reliability,
    repair,
    treatment_effects,
)
from acelib.paths.maps import default_layer, node_weights, normalised
from acelib.plots import graphs as pictures


@pytest.fixture(scope="module")
def explained():
    net, x = lively(LeNet()), torch.rand(40, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    target = int(net(x).argmax(1).mode().values)
    return net, x, explanatory_graph(net, x, target)


def one_by_one(net, x, graph):
    """Contributions ``(n, targets, parents, h, w)`` to the second convolution, one channel and filter at a time."""
    layer = graph["second"]
    with torch.no_grad():
        a = F.max_pool2d(F.relu(net.first(x)), 2)
        return torch.stack(
            [
                torch.stack(
                    [F.conv2d(a[:, j : j + 1], net.second.weight[i : i + 1, j : j + 1])[:, 0] for j in layer.necessary],
                    1,
                )
                for i in layer.targets
            ],
            1,
        )


def test_node_maps_are_the_mean_over_necessary_parents(explained):
    net, x, graph = explained
    truth = one_by_one(net, x[:4], graph)
    found = node_maps(net, x[:4], graph, upsample=False, normalise=None)
    assert (found.layer, found.nodes, found.parents) == ("second", graph["second"].targets, graph["second"].necessary)
    assert (found.maps - truth.mean(2)).abs().max() < 1e-5
    every = node_maps(net, x[:4], graph, "second", reduction=None, upsample=False, normalise=None)
    assert (every.maps - truth).abs().max() < 1e-5 and "maps (4, " in repr(every)
    first = node_maps(net, x[:4], graph, "second", reduction="top1", upsample=False, normalise=None)
    winner = truth.amax((3, 4)).argmax(2)
    for n in range(4):
        for t in range(truth.shape[1]):
            assert (first.maps[n, t] - truth[n, t, winner[n, t]]).abs().max() < 1e-5
    large = node_maps(net, x[:4], graph, nodes=[3], normalise=None).maps
    own = node_maps(net, x[:4], graph, nodes=[3], normalise=None, upsample=False).maps
    assert torch.equal(large, F.interpolate(own, size=(32, 32), mode="bilinear", align_corners=False))


@pytest.mark.parametrize("reduction", ["mean", "top1", None])
def test_maps_made_of_a_few_parents_at_a_time_are_the_same(explained, reduction, monkeypatch):
    net, x, graph = explained
    assert len(graph["second"].necessary) > 3
    options = dict(reduction=reduction, normalise=None, upsample=False)
    whole = node_maps(net, x[:4], graph, **options).maps
    monkeypatch.setattr("acelib.paths.maps.default_chunk", lambda layer: 12)  # two parents of four inputs
    assert torch.allclose(node_maps(net, x[:4], graph, **options).maps, whole, atol=1e-5)


def test_class_maps_aggregate_the_nodes(explained):
    net, x, graph = explained
    maps = one_by_one(net, x[:4], graph).mean(2)
    options = dict(upsample=False, normalise=None)
    assert (class_map(net, x[:4], graph, **options) - maps.mean(1)).abs().max() < 1e-5
    assert (class_map(net, x[:4], graph, aggregate="max", **options) - maps.amax(1)).abs().max() < 1e-5
    weights = -graph["a"].effects[list(graph["second"].targets)]
    assert torch.equal(node_weights(graph, "second", graph["second"].targets), weights)
    weighted = torch.einsum("nthw,t->nhw", maps.double(), weights / weights.sum())
    assert (class_map(net, x[:4], graph, aggregate="effect", **options) - weighted).abs().max() < 1e-5
    full = class_map(net, x[:4], graph, normalise="minmax")
    assert full.shape == (4, 32, 32) and full.amin() == 0 and abs(full.amax() - 1) < 1e-6
    assert node_weights(graph, "nowhere", (0, 1)).tolist() == [1, 1]


def test_normalisations_and_extrema():
    maps = torch.tensor([[[-4.0, 2.0], [0.0, 1.0]]])
    assert normalised(maps, "max").tolist() == [[[-1.0, 0.5], [0.0, 0.25]]]
    assert normalised(maps, "minmax").min() == 0 and normalised(maps * 0, "max").eq(0).all()
    assert extrema(torch.zeros(1, 3, 3)) == [[]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, x, g: node_maps(n, x, g, reduction="sum"), "reduction must be one of"),
        (lambda n, x, g: node_maps(n, x, g, normalise="l2"), "normalise must be one of"),
        (lambda n, x, g: node_maps(n, x, g, "fc"), "layer must be a Conv2d, got the Linear 'fc'"),
        (
            lambda n, x, g: node_maps(n, x, g, "second", nodes=[]),
            "layer must have necessary nodes in the graph of class .*, got none in 'second'",
        ),
        (lambda n, x, g: class_map(n, x, g, aggregate="sum"), "aggregate must be one of"),
    ],
)
def test_bad_maps_are_refused(explained, call, message):
    net, x, graph = explained
    with pytest.raises(ValueError, match=message):
        call(net, x[:2], graph)


def test_no_convolution_no_map():
    net = torch.nn.Linear(3, 1)
    with pytest.raises(ValueError, match="graph must have a convolution with necessary nodes, got none for class 0"):
        default_layer(explanatory_graph(net, uniform(30, 3), 0))


def test_a_heat_map_masks_the_neutral_nodes_and_shares_its_scale(explained):
    """Values are the relative effects; the row labels are the targets; one panel and one colour bar a layer."""
    _, _, graph = explained
    figure = pictures.plot_heat([graph, graph], layers={"a": "16 maps", "fc": "84 neurons"}, unit="digit")
    assert [ax.get_xlabel() for ax in figure.axes[:2]] == ["node: 16 maps", "node: 84 neurons"]
    assert len(figure.axes) == 4 and figure.axes[0].get_ylabel() == "digit"
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [str(graph.target)] * 2
    image = figure.axes[1].images[0]
    drawn = image.get_array()
    assert drawn.mask[0].nonzero()[0].tolist() == list(graph["fc"].neutral)
    assert (drawn.data[1] == graph["fc"].relative.numpy()).all()
    limit = graph["fc"].relative.abs().repeat(2).quantile(0.995).item()
    assert image.get_clim() == pytest.approx((-limit, limit))
    every = pictures.plot_heat(graph, names=["seven"])
    assert len(every.axes) == 10 and every.axes[4].get_xlabel() == "node: input"
    plt.close("all")


def test_pictures(explained):
    """Every picture is drawn, the graph with as many discs as necessary nodes, the bars coloured by role."""
    net, x, graph = explained
    y = net(x).argmax(1)
    ax = graph.plot(most=10)
    assert "not drawn" in " ".join(text.get_text() for text in ax.texts)
    assert f"class {graph.target}" in [text.get_text() for text in ax.texts]
    layer = graph["second"]
    bars = layer.plot().patches
    assert [bars[j].get_facecolor()[:3] for j in layer.necessary] == [
        plt.matplotlib.colors.to_rgb(pictures.NECESSARY)
    ] * len(layer.necessary)
    assert len(node_maps(net, x[:3], graph).plot(x, rows=2, nodes=2).axes) == 2 * 3
    assert len(node_maps(net, x[:3], graph, reduction=None).plot(rows=1).axes) == len(layer.necessary)
    colour = uniform(2, 3, 32, 32)
    assert len(pictures.plot_maps(class_map(net, x[:2], graph), colour).axes) == 4
    assert len(fidelity(net, graph, x, y, shares=(0, 1), draws=2).plot().axes) == 2
    assert len(repair(net, graph, x, y, shares=(0, 1)).plot().axes) == 3
    study = reliability(net, x, graph.target, runs=20, knots=3, checks=0)
    assert len(study.plot(control=study).lines) == 10
    assert treatment_effects(net, x, 0, "fc").plot() is not None
    plt.close("all")
