"""Chapter 10's judges: against the library's tests of cut wires, and each known slip gets the hint that names it."""

import pytest
import torch
from torch import nn

from acelib.lab.exercises import check
from acelib.lab.exercises.chapters.explanatory_graphs import both_scores, images_needed, tables
from acelib.lab.exercises.replies import NEARLY, WRONG
from acelib.paths import treatment_effects

LAST = {"effect": 0.75, "standard error": 0.75, "z": 1}
PAIR = {"one cut": 0, "both cuts": -1, "all pairs": 3486, "of three": 3}


def test_answers_worked_out_by_hand_are_right():
    assert check("ex-graph-last", LAST)
    assert check("ex-graph-power", 172) and check("ex-graph-power", 174)
    assert check("ex-graph-pair", PAIR)


def test_the_factors_are_those_of_a_weakened_wire():
    """Against ``treatment_effects`` on a linear layer; β is drawn from b ± 0.01."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    X = torch.rand(60, 4, dtype=torch.float64)
    cut = treatment_effects(net, X, 0, "2", test="paired")
    weak = treatment_effects(net, X, 0, "2", test="paired", intervention=0.25, seed=0)
    moved = cut.effects.abs() > 1e-9
    assert (weak.effects / cut.effects)[moved].numpy() == pytest.approx(LAST["effect"], abs=0.011)
    assert (weak.stderr / cut.stderr)[moved].numpy() == pytest.approx(LAST["standard error"], abs=0.011)
    assert (weak.z / cut.z)[moved].numpy() == pytest.approx(LAST["z"], abs=1e-6)


def test_both_scores_are_those_of_the_library():
    """Against ``treatment_effects`` with either test."""
    torch.manual_seed(1)
    net = nn.Linear(3, 1, bias=False).double()
    X = torch.rand(40, 3, dtype=torch.float64)
    before = net(X)[:, 0].detach()
    for place, test in enumerate(("paired", "unpaired")):
        found = treatment_effects(net, X, 0, "", test=test)
        mine = [both_scores(before, before + d)[place] for d in found.differences]
        assert mine == pytest.approx(found.z.tolist(), abs=1e-6)


def right_tests(before, after):
    change, n = after - before, len(before)
    return change.mean() / (change.std() / n**0.5), change.mean() / ((before.var() + after.var()) / n) ** 0.5


def test_the_two_tests_are_right_as_tensors_and_as_numbers():
    assert check("ex-graph-tests", right_tests)
    assert check("ex-graph-tests", lambda before, after: tuple(map(float, right_tests(before, after))))


@pytest.mark.parametrize(
    "slip",
    [
        lambda before, after: right_tests(after, before),
        lambda before, after: right_tests(before, after)[::-1],
        lambda before, after: tuple(z / len(before) ** 0.5 for z in right_tests(before, after)),
        lambda before, after: (right_tests(before, after)[0],) * 2,
    ],
    ids=["sign", "exchanged", "no root of n", "both paired"],
)
def test_slips_with_the_two_tests(slip):
    reply = check("ex-graph-tests", slip)
    assert reply.verdict == WRONG and "after minus before" in reply.hint


def test_one_number_in_place_of_two_is_said():
    assert "shape" in check("ex-graph-tests", lambda before, after: right_tests(before, after)[0]).hint
    assert len(tables()) > 1


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (images_needed(0.5075), "Both sets"),
        (images_needed(0.09 / 12), "paired test"),
        (images_needed(1.0075, effect=0.3), "mean is not 1"),
        (images_needed(12 * 1.0075), "uniform"),
        (images_needed(1.0075, quantile=1.645), "two sides"),
    ],
)
def test_slips_with_the_number_of_images(slip, said):
    reply = check("ex-graph-power", slip)
    assert reply.verdict == NEARLY and said in reply.hint


@pytest.mark.parametrize(
    ("part", "slip", "said"),
    [
        ("effect", 0.25, "taken away"),
        ("standard error", 1, "spread"),
        ("standard error", 0.75**2, "variance"),
        ("z", 0.75, "ratio"),
    ],
)
def test_slips_in_the_last_layer(part, slip, said):
    reply = check("ex-graph-last", LAST | {part: slip})
    assert reply.verdict == NEARLY and said in reply.hint


@pytest.mark.parametrize(
    ("part", "slip", "said"),
    [
        ("one cut", -1, "still fills"),
        ("one cut", -0.5, "saturates"),
        ("both cuts", 0, "nobody fills"),
        ("both cuts", -2, "limit"),
        ("all pairs", 84 * 83, "counted twice"),
        ("all pairs", 84**2, "no pair with itself"),
        ("all pairs", 2**84, "all subsets"),
        ("of three", 2, "one that is left"),
    ],
)
def test_slips_with_the_pair(part, slip, said):
    reply = check("ex-graph-pair", PAIR | {part: slip})
    assert reply.verdict == NEARLY and said in reply.hint
