"""The judges of chapter 5 against rows and orders written out; each slip gets its own hint."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from acelib.lab.exercises import check


def odd(a, b):
    return max(0, a + b) - max(0, a - b)


def largest(p):
    """The largest size of the effect of a over [−1, 1], on a fine grid, from the mean over it."""
    curve = np.array([p * odd(a, 1) + (1 - p) * odd(a, -1) for a in np.linspace(-1, 1, 2001)])
    return np.abs(curve - np.trapezoid(curve, dx=0.001) / 2).max()


def by_orders(f, start, end):
    """What a gets, as the mean over both orders in which the inputs move."""
    found = []
    for order in permutations((0, 1)):
        here = list(start)
        for i in order:
            before, here[i] = f(*here), end[i]
            found += [f(*here) - before] if i == 0 else []
    return np.mean(found)


UNITS = {"gradient": "changes", "gradient × input": "stays", "ACE": "stays", "per inch": 12.7}
REPAIR = {"changed": "symmetry", "a": 3 * 3 - 2 * 3, "b": 3 * 3 - 3 * 4}
CANCEL = {"largest": largest, "zero at": 0.5}
HALF = {"a gets": by_orders(lambda a, b: a * b, (1, 2), (3, 6)), "function": lambda x: x[:, 0] ** 2 * x[:, 1]}


def test_the_right_answers_pass():
    assert check("ex-axiom-yours", ["input invariance", "dummy"])
    assert check("ex-axiom-repair", REPAIR)
    assert check("ex-axiom-units", UNITS)
    assert check("ex-axiom-cancel", CANCEL)
    assert check("ex-axiom-half", HALF)


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        ("ex-axiom-yours", ["dummy"], "1 missing"),
        ("ex-axiom-yours", ["dummy", "input invariance", "sensitivity"], "1 too many"),
        ("ex-axiom-repair", REPAIR | {"changed": "completeness"}, "counted twice"),
        ("ex-axiom-repair", REPAIR | {"changed": "input invariance"}, "Which other"),
        ("ex-axiom-repair", REPAIR | {"a": 9}, "by zero; put a"),
        ("ex-axiom-repair", REPAIR | {"a": 4}, "not at its mean"),
        ("ex-axiom-repair", REPAIR | {"b": -2}, "not at its mean"),
        ("ex-axiom-repair", REPAIR | {"b": 3}, "the sign is not"),
        ("ex-axiom-units", UNITS | {"per inch": 5 / 2.54}, "the longer step"),
        ("ex-axiom-units", UNITS | {"gradient": "stays"}, "Which unit"),
        ("ex-axiom-units", UNITS | {"gradient × input": "changes"}, "does the input go"),
        ("ex-axiom-units", UNITS | {"ACE": "changes"}, "Which output changes"),
        ("ex-axiom-cancel", CANCEL | {"largest": lambda p: 2 * p - 1}, "for small p"),
        ("ex-axiom-cancel", CANCEL | {"largest": lambda p: 2 * largest(p)}, "the largest expectation"),
        ("ex-axiom-cancel", CANCEL | {"largest": lambda p: 2 * (2 * p - 1)}, "at the upper end"),
        ("ex-axiom-cancel", CANCEL | {"largest": lambda p: p}, "pull the other way"),
        ("ex-axiom-cancel", CANCEL | {"largest": lambda p: 2 * p + 3}, "weigh them by p"),
        ("ex-axiom-cancel", CANCEL | {"zero at": 0}, "nothing cancels"),
        ("ex-axiom-half", HALF | {"a gets": 4}, "moves first"),
        ("ex-axiom-half", HALF | {"a gets": 12}, "moves last"),
        ("ex-axiom-half", HALF | {"a gets": 16}, "the whole change"),
        ("ex-axiom-half", HALF | {"a gets": 9}, "from the baseline zero"),
        ("ex-axiom-half", HALF | {"function": lambda x: x.prod(1)}, "On this one they agree"),
        ("ex-axiom-half", HALF | {"function": lambda x: 0 * x.sum(1)}, "Both methods give nothing"),
        ("ex-axiom-half", HALF | {"function": lambda x: x[:, 2]}, "it stops with IndexError"),
        ("ex-axiom-half", HALF | {"function": 3}, "without calling it"),
    ],
)
def test_a_slip_is_named(name, answer, says):
    reply = check(name, answer)
    assert reply.verdict == "nearly" and says in reply.hint


def test_only_what_is_silent_everywhere_is_wrong():
    reply = check("ex-axiom-yours", ["sensitivity"])
    assert reply.verdict == "wrong" and "What does a slope notice" in reply.hint


def test_a_network_in_single_precision_may_answer():
    """max(0, 2a + b − c) by hand: for c = 1.5 the two methods agree, for c = 2 they do not."""
    net = nn.Sequential(nn.Linear(2, 1), nn.ReLU())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[2.0, 1.0]]))
        net[0].bias.fill_(-1.5)
    # orders: a gets (0.5 + 1.5) / 2 = 1; along the path both slopes are on for half of it: a gets 1 and b 0.5
    assert check("ex-axiom-half", HALF | {"function": net}).hint.count("agree")
    with torch.no_grad():
        net[0].bias.fill_(-2.0)
    # orders: a gets (0 + 1) / 2 = 0.5; the path is on for a third of it: a gets 2/3
    assert check("ex-axiom-half", HALF | {"function": net})
