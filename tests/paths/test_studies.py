"""Fidelity, repair and reliability on planted networks, against hand-made masks, sorting and exact repeated runs."""

import math

import pytest
import torch
from paths_oracle import LeNet, lively, mlp, uniform
from torch import nn

from acelib.paths import (
    correctly_classified,
    explanatory_graph,
    fidelity,
    masked,
    reliability,
    repair,
    trace_layers,
    treatment_effects,
)
from acelib.paths.run import EPSILON, Run
from acelib.paths.significance import Test, z_scores
from acelib.paths.studies.held_out import wilson
from acelib.paths.studies.reliability import Interpolated
from acelib.paths.studies.repair import constant_for_recall


def two_streams():
    """Neurons 0-4 carry class 0 and 5-9 carry class 1; the neurons 10-19 are large and feed both classes alike."""
    net = nn.Sequential(nn.Linear(3, 20, bias=False), nn.ReLU(), nn.Linear(20, 2, bias=False))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].weight[:5, 0] = torch.linspace(1, 2, 5)
        net[0].weight[5:10, 1] = 1.5
        net[0].weight[10:, 2] = -1.0
        net[2].weight.zero_()
        net[2].weight[0, :5], net[2].weight[1, 5:10] = 1.0, 1.0
        net[2].weight[:, 10:] = 5.0
    x = torch.rand(300, 3, generator=torch.Generator().manual_seed(0))
    x[:, 2] -= 2
    return net.eval(), x, (5 * 1.5 * x[:, 0] < 5 * 1.5 * x[:, 1]).long()


def test_masks_equal_edited_weights():
    net, x = lively(mlp()), uniform(9, 3, 2, 2)
    with torch.no_grad():
        with masked(net, trace_layers(net, x), {"3": ((2, 4), (1, 6)), "5": ((0,), None)}):
            found = net(x)
        net[3].weight[[[1], [6]], [2, 4]] = 0
        net[5].weight[:, 0] = 0
        assert torch.allclose(found, net(x), atol=1e-6)


def test_masks_of_grouped_convolutions_and_blocks():
    net = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(24, 2)).eval()
    x = uniform(5, 4, 4, 4)
    with torch.no_grad():
        with masked(net, trace_layers(net, x), {"0": ((0, 3), (0, 1, 4)), "2": ((5,), None)}):
            found = net(x)
        net[0].weight[[0, 1], 0] = 0
        net[0].weight[4, 1] = 0
        net[2].weight[:, 20:] = 0
        assert torch.allclose(found, net(x), atol=1e-6)


def test_masking_necessary_nodes_kills_the_class_and_the_controls_do_not():
    """All necessary: its logit has only the shared part left. Largest |w a|: the shared neurons, which decide nothing.

    The shared neurons are as necessary for the logit as the own ones, so the graph is given the planted ones.
    """
    net, x, y = two_streams()
    graph = explanatory_graph(net, x, 0, labels=y)
    assert graph["2"].necessary == (*range(5), *range(10, 20))
    study = fidelity(net, graph, x, y, shares=(0, 0.5, 1), draws=7, seed=3)
    assert study.masked.tolist() == [0, 8, 15]
    assert study.own["necessary"][0] == 1 and study.own["largest"][1] == 1, "shared neurons cancel in the decision"
    assert study.own["necessary"][2] == 0 and study.others["necessary"].min() == 1
    count = int((y == 0).sum())
    assert study.own_interval["necessary"][0].tolist() == pytest.approx(wilson(count, count))
    low, high = study.own_interval["random"][1].tolist()
    assert low <= study.own["random"][1] <= high and study.draws == 7
    again = fidelity(net, graph, x, y, shares=(0, 0.5, 1), draws=7, seed=3)
    assert torch.equal(study.own["random"], again.own["random"])
    assert len(study.to_frame()) == 9 and "accuracy of the class" in repr(study)


def test_intervals_of_random_choices_are_quantiles_over_the_draws():
    """Of two draws, of which the first is that of a study with one: 2.5 and 97.5 % of the way between them."""
    net, x, y = two_streams()
    graph = explanatory_graph(net, x, 0, labels=y)
    one, two = (fidelity(net, graph, x, y, shares=(0.5,), draws=draws, seed=1) for draws in (1, 2))
    a = float(one.own["random"])
    b = 2 * float(two.own["random"]) - a
    expected = [min(a, b) + part * abs(b - a) for part in (0.025, 0.975)]
    assert abs(b - a) > 0.1 and two.own_interval["random"][0].tolist() == pytest.approx(expected, abs=1e-6)


def test_masked_paths_touch_the_class_alone():
    net, x, y = two_streams()
    graph = explanatory_graph(net, x, 0, labels=y)
    study = fidelity(net, graph, x, y, shares=(1,), draws=1, edges="paths", layers=["2"])
    assert study.own["necessary"][0] == 0 and study.others["necessary"][0] == 1


def test_repair_against_a_constant_found_by_search():
    """The constant by bisection over the recall; precision and accuracy by counting."""
    g = torch.Generator().manual_seed(2)
    net = lively(nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 3)))
    x, y = torch.rand(400, 5, generator=g), torch.randint(3, (400,), generator=g)
    target = int(net(x).argmax(1).mode().values)
    graph = explanatory_graph(net, x, target)
    study = repair(net, graph, x, y, layers=["2"])
    assert study.masked.tolist() == [math.ceil(s * len(graph["2"].noisy)) for s in (0, 0.25, 0.5, 0.75, 1)]
    edited = nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 3))
    edited.load_state_dict(net.state_dict())
    edited[2].weight.data[target, list(graph["2"].noisy)] = 0
    called = edited(x).argmax(1)
    recall = (called[y == target] == target).double().mean()
    assert abs(study.by_mask["recall"][-1] - recall) < 1e-6
    assert abs(study.by_mask["precision"][-1] - (y[called == target] == target).double().mean()) < 1e-6
    assert abs(study.by_mask["accuracy"][-1] - (called == y).double().mean()) < 1e-6
    assert torch.allclose(study.by_constant["recall"], study.by_mask["recall"])
    low, high = 0.0, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        shifted = net(x).double().detach()
        shifted[:, target] += middle
        enough = (shifted.argmax(1)[y == target] == target).double().mean() >= recall
        low, high = (low, middle) if enough else (middle, high)
    assert abs(float(study.constants[-1]) - high) < 1e-4
    assert study.constants[0] == 0 and len(study.to_frame()) == 10 and "nodes masked" in repr(study)


def test_constants_for_no_recall_and_for_less_recall():
    outputs, y = torch.tensor([[2.0, 0.0], [1.0, 0.0]], dtype=torch.float64), torch.tensor([0, 0])
    none = constant_for_recall(outputs, y, 0, torch.tensor([1, 1]))
    one = constant_for_recall(outputs, y, 0, torch.tensor([0, 1]))
    assert none < -2 < one < -1
    assert constant_for_recall(outputs, y, 0, torch.tensor([0, 0])) == 0


def test_interpolated_scores_equal_exact_ones_on_a_smooth_network():
    """Means and variances from 33 knots against exact evaluation at random attenuations, both tests, to 1e-3 of z."""
    net, x = lively(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))).double(), uniform(50, 4).double()
    run = Run(net, x, 0)
    layer = run.trace.layers[0]
    table = Interpolated(run, layer, tuple(range(6)), torch.linspace(0, 0.52, 33, dtype=torch.float64))
    betas = 0.5 * uniform(5, 4, dtype=torch.float64)
    for test in ("paired", "unpaired"):
        for row, found in zip(betas, table.z(betas, test), strict=True):
            exact, _ = z_scores(run.differences(layer, tuple(range(6)), row), run.observed, test=test)
            assert (found / exact - 1).abs().max() < 1e-3


def test_in_the_last_layer_the_paired_score_does_not_depend_on_the_attenuation():
    net, x = lively(LeNet()), uniform(40, 1, 32, 32)
    target = int(net(x).argmax(1).mode().values)
    found = reliability(net, x, target, runs=200, knots=9)
    assert found.share[0] == 1 and found.always[0] == 1 and found.layers[0] == "fc"
    assert found.agreement.nan_to_num(1).min() > 0.9
    rising = torch.linspace(0.01, 0.5, 20, dtype=torch.float64)[:, None]  # b changes after ten runs
    assert found.by_run.shape == (5, 200) and found.attenuations.reshape(20, 10).eq(rising).all()
    assert len(found.to_frame()) == 5 and "200 runs" in repr(found)


def test_reliability_by_the_t_test_equals_tests_of_exact_runs():
    """Slow reference: every run evaluated at its own betas, which the seed draws after those of the first run.

    Between the knots a ReLU network is a little curved, so that one decision in fifty may differ; and the t-test's are
    others than the paired test's, as some nodes move few inputs.
    """
    net, x = lively(mlp()).double(), uniform(40, 3, 2, 2).double() - 0.3
    found = reliability(net, x, 0, runs=30, every=1, test="t", knots=33, checks=3, seed=5)
    paired = reliability(net, x, 0, runs=30, every=1, knots=33, checks=0, seed=5)
    assert found.test == "t" and paired.test == "paired" and found.agreement.nan_to_num(1).min() > 0.95
    run, rule, g = Run(net, x, 0), Test(0.05, "t"), torch.Generator().manual_seed(5)
    first = explanatory_graph(net, x, 0, intervention=0.01, test="t", seed=5)
    same = []
    for place, (layer, effects) in enumerate(zip(run.trace.layers[::-1], first.layers, strict=True)):
        own = 2 * torch.rand(30, layer.num_nodes, generator=g, dtype=torch.float64) - 1
        betas = (found.attenuations[:, None] + EPSILON * own).clamp(0, 0.5 + EPSILON)
        assert found.nodes[place] == effects.necessary
        if not effects.necessary:
            continue
        again = []
        for b in betas:
            d, rounding = run.measured(layer, effects.targets, b)
            again.append(rule.judge(rule.scores(d, run.observed)[0], d, rounding=rounding).necessary)
        exact = torch.stack(again)[:, list(effects.necessary)].double()
        same.append((exact.mean(0) - found.frequency[place]).abs())
    assert torch.cat(same).mean() < 0.02
    assert any(len(a) != len(b) for a, b in zip(found.nodes, paired.nodes, strict=True))


def test_interpolated_differences_have_the_interpolated_moments():
    """To 1e-10 of z, which goes by means and variances at the grid alone."""
    net, x = lively(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))).double(), uniform(50, 4).double()
    run = Run(net, x, 0)
    table = Interpolated(run, run.trace.layers[0], tuple(range(6)), torch.linspace(0, 0.5, 5, dtype=torch.float64))
    betas = 0.5 * uniform(3, 4, dtype=torch.float64)
    for kind in ("paired", "unpaired"):
        for row, found in zip(betas, table.z(betas, kind), strict=True):
            exact, _ = z_scores(table.differences(row), run.observed, test=kind)
            assert (found / exact - 1).abs().max() < 1e-10


def test_in_the_last_layer_the_unpaired_share_has_a_closed_form():
    """Linear: the difference is (b-1) d, so z(b) = (b-1) mean d / sqrt((var(y + (b-1) d) + var y) / n)."""
    x = torch.rand(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = nn.Linear(3, 1).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.3, 0.5, 2.0]]))
    found = reliability(net, x, 0, runs=100, every=1, epsilon=0.0, test="unpaired", correction="holm", checks=0)
    assert found.agreement.isnan().all()
    y, d = net(x)[:, 0].detach(), x * net.weight.detach()
    p = []
    for b in torch.linspace(0.01, 0.5, 100, dtype=torch.float64):
        change = (b - 1) * d
        z = change.mean(0) / (((y[:, None] + change).var(0) + y.var()) / 60).sqrt()
        p.append(torch.special.erfc(z.abs() / 2**0.5))
    p = torch.stack(p)
    order = p.sort(1)
    scaled = (order.values * torch.tensor([3, 2, 1])).cummax(1).values
    holm = torch.empty_like(p).scatter(1, order.indices, scaled)
    nodes = list(found.nodes[0])
    assert nodes == (holm[0] < 0.05).nonzero()[:, 0].tolist() and 0 < len(nodes)
    assert (found.frequency[0] - (holm < 0.05).double().mean(0)[nodes]).abs().max() < 0.011


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, g, x, y: fidelity(n, g, x, y[:5]), "one class per input"),
        (
            lambda n, g, x, y: fidelity(n, g, x, y * 0 + 1),
            "labels must hold class 0, which the graph explains, got none",
        ),
        (lambda n, g, x, y: fidelity(n, g, x, y, edges="all"), "edges must be one of nodes, paths"),
        (lambda n, g, x, y: fidelity(n, g, x, y, shares=(2,)), "shares must lie between 0 and 1, got"),
        (lambda n, g, x, y: repair(n, g, x, y, shares=(-0.5,)), "shares must lie between 0 and 1, got"),
        (lambda n, g, x, y: fidelity(n, g, x, y, draws=0), "draws must be at least 1, got 0"),
        (lambda n, g, x, y: repair(n, g, x, y, layers=["9"]), "layers must be among"),
        (lambda n, g, x, y: reliability(n, x, 0, low=0.5, high=0.1), "0 < low <= high < 1, got 0.5 and 0.1"),
        (lambda n, g, x, y: reliability(n, x, 0, runs=0), "runs must be at least 1, got 0"),
        (lambda n, g, x, y: reliability(n, x, 0, knots=1), "knots must be at least 2, got 1"),
    ],
)
def test_bad_studies_are_refused(call, message):
    net, x, y = two_streams()
    graph = explanatory_graph(net, x, 0, labels=y)
    with pytest.raises(ValueError, match=message):
        call(net, graph, x, y)


@pytest.mark.parametrize(
    "call",
    [
        lambda n, g, x, y: treatment_effects(n, x, 0, "0", chunk_size=0),
        lambda n, g, x, y: explanatory_graph(n, x, 0, labels=y, chunk_size=0),
        lambda n, g, x, y: correctly_classified(n, x, y, 0, chunk_size=0),
        lambda n, g, x, y: reliability(n, x, 0, chunk_size=0),
        lambda n, g, x, y: fidelity(n, g, x, y, chunk_size=0),
        lambda n, g, x, y: repair(n, g, x, y, chunk_size=0),
    ],
)
def test_an_empty_chunk_is_refused_everywhere_in_the_same_words(call):
    net, x, y = two_streams()
    graph = explanatory_graph(net, x, 0, labels=y)
    with pytest.raises(ValueError, match="chunk_size must be positive, .*got 0"):
        call(net, graph, x, y)


def test_wilson_of_nothing():
    assert all(math.isnan(v) for v in wilson(0, 0))
