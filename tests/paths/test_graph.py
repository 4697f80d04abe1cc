"""Explanatory graphs where the truth is known: planted nodes, dead ones, a redundant pair, a node with a mean of 0."""

import json

import pytest
import torch
from paths_oracle import LeNet, literal_effects, lively, uniform
from torch import nn

from acelib.paths import (
    ExplanatoryGraph,
    correctly_classified,
    explanatory_graph,
    masked,
    trace_layers,
    treatment_effects,
)
from acelib.paths.significance import adjust, p_values, z_scores


def planted(seed=0):
    """A CNN in which class 0 is fed by channels {1, 3}, neurons {0, 2, 5} and image channel 0 alone, all helpfully.

    All other nodes feed class 1 only, with weights just as large; channel 2 and neuron 4 feed nothing at all.
    """
    g = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, 7), nn.ReLU(), nn.Linear(7, 2)
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(0.1 + torch.rand(p.shape, generator=g))
        net[0].weight[[1, 3], 1] = 0
        rows = torch.tensor([0, 2, 5])
        blocks = net[4].weight.view(7, 5, 4)
        for row in range(7):
            blocks[row, [0, 2, 4] if row in rows else [1, 2, 3]] = 0
        net[6].weight.zero_()
        net[6].weight[0, rows] = 1.0
        net[6].weight[1, [1, 3, 6]] = 1.0
    return net.eval(), torch.rand(60, 2, 6, 6, generator=g)


TRUTH = {"6": (0, 2, 5), "4": (1, 3), "0": (0,)}


@pytest.mark.parametrize("correction", [None, "holm", "fdr"])
@pytest.mark.parametrize("intervention", ["zero", 0.5])
def test_planted_nodes_are_found_with_precision_and_recall_one(correction, intervention):
    net, x = planted()
    graph = explanatory_graph(net, x, 0, correction=correction, intervention=intervention, allow_wrong=True)
    assert graph.necessary == TRUTH
    assert [layer.noisy for layer in graph.layers] == [(), (), ()]
    assert graph.irrelevant == {"6": (1, 3, 4, 6), "4": (0, 2, 4), "0": (1,)}
    assert [layer.targets for layer in graph.layers] == [(0,), (0, 2, 5), (1, 3)]


def test_planted_nodes_are_found_by_the_unpaired_test_where_removal_is_decisive():
    net, x = planted()
    assert explanatory_graph(net, x, 0, test="unpaired", allow_wrong=True).necessary == TRUTH


def test_dead_nodes_are_exactly_neutral():
    net, x = planted()
    layer = treatment_effects(net, x, 0, "4", targets=(0, 2, 5))
    assert layer.differences[[0, 2, 4]].eq(0).all() and layer.p[[0, 2, 4]].eq(1).all()
    with torch.no_grad():
        net[4].bias[0] = -1e4  # a neuron that never fires
    assert 0 in explanatory_graph(net, x, 0, allow_wrong=True)["6"].neutral


def test_rounding_is_no_effect():
    """Behind a saturated unit nothing changes; what batched kernels round differently must not become significant."""
    g = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 40), nn.Hardtanh(), nn.Linear(40, 1))
    with torch.no_grad():
        net[0].bias.fill_(9.0)
        net[0].weight.copy_(torch.rand(40, 6, generator=g))
    assert treatment_effects(net, torch.rand(100, 6, generator=g), 0, "0").neutral == tuple(range(6))


def test_what_the_output_cannot_hold_is_no_effect():
    """Near 10,000 float32 goes in steps of 2^-10: a node worth up to 0.001 moves half of the rows by one, down."""
    net = nn.Linear(2, 1)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 0.001]]))
        net.bias.fill_(1e4)
    found = treatment_effects(net, uniform(50, 2), 0, "")
    assert (found.necessary, found.neutral) == ((0,), (1,)) and found.differences[1].eq(0).all()


def test_noisy_nodes_raise_the_output_when_removed():
    net = nn.Linear(3, 1)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, -1.0, 0.0]]))
    layer = explanatory_graph(net, uniform(50, 3), 0).layers[0]
    assert (layer.necessary, layer.noisy, layer.neutral) == ((0,), (1,), (2,))
    assert layer.edges == ((0, 0),)
    with torch.no_grad():
        net.bias.fill_(-5.0)  # relative effects are beside the size of the output, and keep their sign
    below = treatment_effects(net, uniform(50, 3), 0, "")
    size = net(uniform(50, 3)).mean().abs().item()
    assert below.relative[:2].tolist() == pytest.approx((layer.effects[:2] / size).tolist(), rel=1e-5)


def test_a_redundant_pair_is_missed_and_only_both_together_matter():
    """Either of two equal neurons saturates the next unit alone, so removing one changes nothing."""
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.Hardtanh(0, 1), nn.Linear(1, 1))
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        net[0].weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))
        net[0].bias[:2] = 2.0
        net[2].weight[0, :2] = 1.0
        net[4].weight.fill_(3.0)
    x = uniform(50, 2)
    layer = explanatory_graph(net, x, 0)["2"]
    assert layer.neutral == (0, 1, 2) and layer.differences.eq(0).all()
    with torch.no_grad(), masked(net, trace_layers(net, x), {"2": ((0, 1), None)}):
        assert net(x).abs().max() == 0
    assert (net(x) == 3).all()


def test_a_true_null_is_called_at_no_more_than_the_nominal_rate():
    """An odd unit on symmetric inputs has an effect of mean 0: 2000 draws of 200 inputs, with and without correction.

    Beside six such units stand two decisive ones. The bound is the nominal rate plus two standard errors.
    """
    draws, n, alpha = 2000, 200, 0.05
    g = torch.Generator().manual_seed(1)
    net = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(8))
        net[2].weight.copy_(torch.ones(1, 8))
    x = torch.randn(draws * n, 8, generator=g)
    x[:, 6:] = x[:, 6:].abs()  # not symmetric: their effect has a mean
    found = treatment_effects(net, x, 0, "2", chunk_size=200_000).differences.reshape(8, draws, n)
    y = net(x)[:, 0].detach().reshape(draws, n)
    p = torch.stack([p_values(z_scores(found[:, r], y[r])[0]) for r in range(draws)])
    limit = alpha + 2 * (alpha * (1 - alpha) / draws) ** 0.5
    assert (p[:, :6] < alpha).double().mean(0).max() <= limit
    assert (p[:, 6:] < alpha).all()
    holm = torch.stack([adjust(row, "holm") for row in p])
    assert (holm[:, :6] < alpha).any(1).double().mean() <= limit, "family-wise"
    fdr = torch.stack([adjust(row, "fdr") for row in p]) < alpha
    assert (fdr[:, :6].sum(1) / fdr.sum(1)).mean() <= limit, "false discovery rate"
    for r in (0, 999):
        graph = explanatory_graph(net, x[r * n : r * n + n], 0, correction="holm")
        called = set(graph["2"].necessary) | set(graph["2"].noisy)
        assert called == set((holm[r] < alpha).nonzero()[:, 0].tolist())


def test_targets_of_each_layer_are_the_necessary_nodes_above_and_effects_are_the_literal_ones():
    net, x = lively(LeNet()).double(), uniform(30, 1, 32, 32, dtype=torch.float64)
    target = int(net(x).argmax(1).mode().values)
    graph = explanatory_graph(net, x, target)
    assert graph.layers[0].targets == (target,)
    for above, layer in zip(graph.layers[:-1], graph.layers[1:], strict=True):
        assert layer.targets == above.necessary
    for layer in graph.layers[2:]:
        truth = literal_effects(net, x, target, "lenet", layer.name, layer.targets, layer.beta)
        assert (layer.effects - truth.mean(1)).abs().max() < 1e-10
    assert all(layer.name in graph.necessary for layer in graph.layers) and len(graph.edges) == sum(
        len(layer.edges) for layer in graph.layers
    )


def test_a_layer_that_feeds_nothing_necessary_stays_neutral():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        net[2].weight.zero_()
    graph = explanatory_graph(net, uniform(30, 3), 0, progress=True)
    assert [len(x.targets) for x in graph.layers] == [1, 0] and graph.layers[1].neutral == (0, 1, 2)
    assert graph.edges == ()


def test_depthwise_edges_connect_a_channel_with_itself():
    net = nn.Sequential(nn.Conv2d(3, 3, 1, groups=3), nn.Flatten(), nn.Linear(12, 1))
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(1.0)
    graph = explanatory_graph(net, uniform(30, 3, 2, 2), 0)
    assert graph["0"].edges == ((0, 0), (1, 1), (2, 2))


def test_a_saved_graph_comes_back(tmp_path):
    net, x = planted()
    net[6].weight.data[0, 1] = 1e-3
    graph = explanatory_graph(net, x, 0, correction="holm", intervention=0.3, allow_wrong=True)
    again = ExplanatoryGraph.load(graph.save(tmp_path / "graph.json"))
    assert json.loads((tmp_path / "graph.json").read_text())["format"] == "acelib.graph/1"
    assert repr(again) == repr(graph) and again.edges == graph.edges and again.cost == graph.cost
    assert again.to_frame().equals(graph.to_frame()) and again["4"].differences is None
    assert len(graph.to_frame()) == 14
    assert "6: 4 necessary, 0 noisy, 3 neutral of 7 nodes of 4 -> 1 targets" in repr(graph)
    (tmp_path / "other.json").write_text("{}")
    for name in ("none.json", "other.json"):
        with pytest.raises(ValueError, match=name):
            ExplanatoryGraph.load(tmp_path / name)


SAVED = """{"target": 0, "layers": [
{"name": "2", "kind": "Linear", "parents": ["0"], "targets": [0],
 "effects": [-1.0175578690112153, 0.25275445349056175, 0.0], "stderr": [0.0, 0.028016962049328558, 0.0],
 "relative": [-0.6783719113824981, 0.1685029686728719, 0.0], "z": ["-inf", 9.021479668121946, 0.0],
 "p": [0.0, 1.8556568771528278e-19, 1.0], "p_adjusted": [0.0, 3.7113137543056556e-19, 1.0],
 "beta": [0.4912210654943925, 0.494491090131353, 0.4946850502788968], "necessary": [0], "noisy": [1], "neutral": [2],
 "origins": [[["0", 0]], [["0", 1]], [["0", 2]]], "differences": null, "missing": []},
{"name": "0", "kind": "Linear", "parents": ["input"], "targets": [0], "effects": [-1.0129160309020901, 0.0],
 "stderr": [0.0, 0.0], "relative": [-0.6752773526489736, 0.0], "z": ["-inf", 0.0], "p": [0.0, 1.0],
 "p_adjusted": [0.0, 1.0], "beta": [0.4935419845489551, 0.5011213611229799], "necessary": [0], "noisy": [],
 "neutral": [1], "origins": [[["input", 0]], [["input", 1]]], "differences": null, "missing": []}],
"num_inputs": 30, "observed": 1.5000000028560558, "observed_stderr": 0.05542328038611344, "intervention": 0.5,
"test": "paired", "alpha": 0.05, "correction": "holm", "cost": {"rows": [90, 60], "layers": [1, 2]},
"format": "acelib.graph/1"}"""  # as written before TreatmentEffects had a module of its own


def test_a_graph_saved_by_an_earlier_version_loads_and_is_found_again(tmp_path):
    """The graph of a small network, stored as text, equals the one computed today to 1e-9, relative."""
    (tmp_path / "graph.json").write_text(SAVED)
    saved = ExplanatoryGraph.load(tmp_path / "graph.json")
    net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
        net[2].weight.copy_(torch.tensor([[2.0, -1.0, 0.0]]))
    x = torch.ones(30, 2, dtype=torch.float64)
    x[:, 1] = torch.linspace(0, 1, 30)
    graph = explanatory_graph(net, x, 0, test="paired", correction="holm", intervention=0.5, seed=1)
    assert repr(saved) == repr(graph) and saved.edges == graph.edges and saved.cost == graph.cost
    for old, new in zip(saved.layers, graph.layers, strict=True):
        assert old.origins == new.origins and (old.necessary, old.noisy) == (new.necessary, new.noisy)
        for name in ("effects", "relative", "z", "p", "p_adjusted", "beta"):
            assert torch.allclose(getattr(old, name), getattr(new, name), rtol=1e-9, atol=0), name


def test_infinite_scores_survive_the_file(tmp_path):
    net = nn.Linear(2, 1)
    graph = explanatory_graph(net, torch.ones(30, 2), 0)
    again = ExplanatoryGraph.load(graph.save(tmp_path / "graph.json"))
    assert torch.equal(again.layers[0].z, graph.layers[0].z)
    assert "Infinity" not in (tmp_path / "graph.json").read_text()


def test_only_correctly_classified_inputs_of_the_class_are_used():
    net = nn.Identity()
    x = torch.tensor([[2.0, 1.0], [1.0, 2.0], [3.0, 1.0], [3.0, 1.0]])
    assert correctly_classified(net, x, [0, 0, 0, 1], 0).tolist() == [[2.0, 1.0], [3.0, 1.0]]
    assert len(correctly_classified(net, x, [0, 0, 0, 1], 0, limit=1)) == 1
    net, x = planted()
    labels = net(x).argmax(1)
    target = int(labels.mode().values)
    assert explanatory_graph(net, x, target, labels=labels).num_inputs == int((labels == target).sum())


def test_a_class_without_a_correctly_classified_input_is_an_error():
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.copy_(torch.tensor([3.0, 0.0]))
    x = uniform(40, 2)
    with pytest.raises(
        ValueError, match="inputs must hold at least one that the model classifies as target 1, got none of 40"
    ):
        explanatory_graph(net, x, 1)
    assert explanatory_graph(net, x, 1, allow_wrong=True).target == 1
    for labels in ([1] * 40, [0] * 40):
        with pytest.raises(
            ValueError, match="inputs must hold at least one of class 1 that the model classifies as such, got none of"
        ):
            explanatory_graph(net, x, 1, labels=labels)
    with pytest.raises(ValueError, match="one class per input"):
        explanatory_graph(net, x, 1, labels=[1])
    with pytest.raises(ValueError, match="target must be an output index from 0 to 1, got 2"):
        explanatory_graph(net, x, 2, labels=[2] * 40)
    with pytest.raises(KeyError, match="layer must be one of .*, got 'x'"):
        explanatory_graph(net, x, 0)["x"]
