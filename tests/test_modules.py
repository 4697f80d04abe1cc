"""Modules behind functions, methods, partials and objects."""

import functools

import torch
from torch import nn

from acelib._modules import modules_behind


def test_modules_are_found_behind_callables():
    net = nn.Linear(4, 2)

    class Holds:
        def __init__(self):
            self.parts = [net]

        def __call__(self, x):
            return self.parts[0](x)

    def outer(x):
        def inner():
            return net(x)

        return inner()

    found = (
        net,
        net.forward,
        lambda x: net(x),
        functools.partial(net),
        functools.partial(lambda n, x: n(x), net),
        Holds(),
    )
    for model in (*found, outer, lambda x, part=net: part(x), lambda x: Holds()(x) + net(x)):
        assert net in modules_behind(model)
    assert modules_behind(torch.sin) == [] and modules_behind(lambda x: x) == []
