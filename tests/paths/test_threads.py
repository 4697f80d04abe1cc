"""Two threads on one network: interventions of one are never seen by the other, and nothing is left behind."""

import copy
import threading

import pytest
import torch
from helpers import in_threads
from paths_oracle import lively, uniform
from torch import nn

from acelib.paths import explanatory_graph, masked, trace_layers
from acelib.paths._intercept import intercept


def network():
    encoder = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
    return lively(nn.Sequential(nn.Linear(3, 6), nn.ReLU(), encoder, nn.Flatten(), nn.Linear(12, 2))).double()


def untouched(net):
    return not any("forward" in vars(module) for module in net.modules())


def test_graphs_and_inference_in_threads_are_right_and_leave_nothing():
    net, x = network(), uniform(40, 2, 3, dtype=torch.float64)
    right = explanatory_graph(net, x, 0, allow_wrong=True)
    with torch.no_grad():
        plain = net(x)
    done = threading.Event()

    def explain():
        for _ in range(3):
            got = explanatory_graph(net, x, 0, allow_wrong=True)
            for a, b in zip(got.layers, right.layers, strict=True):
                assert (a.effects - b.effects).abs().max() < 1e-12
        done.set()

    def infer():
        count = 0
        while not done.is_set() or count < 20:
            with torch.no_grad():
                assert (net(x) - plain).abs().max() < 1e-12
            count += 1

    in_threads(explain, explain, infer)
    assert untouched(net) and torch.backends.mha.get_fastpath_enabled()


def test_contexts_of_two_threads_may_close_in_any_order():
    """The second thread enters after the first and leaves after it; each sees its own mask alone."""
    net, x = network(), uniform(40, 2, 3, dtype=torch.float64)
    trace = trace_layers(net, x)
    with torch.no_grad():
        plain = net(x)
    first, second, third = (threading.Event() for _ in range(3))

    def one():
        with torch.no_grad(), masked(net, trace, {"4": (range(trace.layer("4").num_nodes), None)}):
            first.set()
            assert second.wait(30) and (net(x) - net[4].bias).abs().max() < 1e-12
        assert (net(x) - plain).abs().max() < 1e-12
        third.set()

    def two():
        assert first.wait(30)
        with torch.no_grad(), masked(net, trace, {"0": (range(3), None)}):
            changed = net(x)
            second.set()
            assert third.wait(30) and torch.equal(net(x), changed) and (changed - plain).abs().max() > 1e-3

    in_threads(one, two)
    assert untouched(net)


def test_nested_contexts_and_copies():
    """The inner handler calls the outer one; a copy made meanwhile runs plain; a second use of one handler is fine."""
    linear, seen = nn.Linear(2, 1), []

    def handle(module, forward, x):
        seen.append(module)
        return forward(x) + 1

    x = torch.ones(1, 2)
    plain = linear(x)
    with intercept([linear], handle), intercept([linear], handle):
        assert torch.allclose(linear(x), plain + 2)
        other = copy.deepcopy(linear)
        assert torch.equal(other(x), plain)
    assert torch.equal(linear(x), plain) and len(seen) == 2 and "forward" not in vars(linear)


def test_a_task_that_fails_in_one_thread_leaves_the_other_right():
    net, x = network(), uniform(40, 2, 3, dtype=torch.float64)
    right = explanatory_graph(net, x, 0, allow_wrong=True)

    def fails():
        for _ in range(3):
            with pytest.raises(ValueError, match="inputs must hold|one-dim|must"):
                explanatory_graph(net, x[:, :1], 0, allow_wrong=True)

    def explains():
        got = explanatory_graph(net, x, 0, allow_wrong=True)
        assert (got.layers[-1].effects - right.layers[-1].effects).abs().max() < 1e-12

    net.register_forward_pre_hook(lambda module, args: check_width(args[0]))
    in_threads(fails, explains)
    assert untouched(net)


def check_width(x):
    if x.shape[1] == 1:
        raise ValueError("inputs must have two steps")
