"""Weights that activations pass through without being in a graph: named in a warning, and only those."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from paths_oracle import uniform
from torch import nn
from torch.nn.utils import parametrizations

from acelib.paths import explanatory_graph


class Around(nn.Module):
    """A module whose weights a graph leaves out, between two layers."""

    def __init__(self, inner, call):
        super().__init__()
        self.first, self.inner, self.call = nn.Linear(4, 4), inner, call
        self.last = nn.LazyLinear(2)

    def forward(self, x):
        return self.last(self.call(self, self.first(x)).flatten(1))


class Matrix(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))


LEFT_OUT = {
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(1, 2, 3), lambda n, h: n.inner(h[:, None])),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(1, 2, 2), lambda n, h: n.inner(h.view(-1, 1, 2, 2))),
    "LSTM": (lambda: nn.LSTM(2, 3, batch_first=True), lambda n, h: n.inner(h.view(-1, 2, 2))[0]),
    "GRU": (lambda: nn.GRU(2, 3, batch_first=True), lambda n, h: n.inner(h.view(-1, 2, 2))[0]),
    "RNN": (lambda: nn.RNN(2, 3, batch_first=True), lambda n, h: n.inner(h.view(-1, 2, 2))[0]),
    "LSTMCell": (lambda: nn.LSTMCell(4, 3), lambda n, h: n.inner(h)[0]),
    "Bilinear": (lambda: nn.Bilinear(4, 4, 3), lambda n, h: n.inner(h, h)),
    "Embedding": (lambda: nn.Embedding(9, 3), lambda n, h: n.inner(h.abs().long().clamp(0, 8))),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(9, 3), lambda n, h: n.inner(h.abs().long().clamp(0, 8))),
    "Matrix": (Matrix, lambda n, h: h @ n.inner.weight),
    "Matrix by parts": (Matrix, lambda n, h: torch.einsum("nc,cd->nd", h, n.inner.weight.exp().T)),
    "Matrix by hand": (Matrix, lambda n, h: (h[:, :, None] * n.inner.weight).sum(1)),
    "Linear by its weight": (lambda: nn.Linear(4, 4), lambda n, h: F.linear(h, n.inner.weight)),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_weights_that_a_graph_leaves_out_are_named(case):
    make, call = LEFT_OUT[case]
    net, x = Around(make(), call).eval(), uniform(40, 4)
    with torch.no_grad():
        net(x)
    kind = case.split()[0]
    with pytest.warns(UserWarning, match=rf"paths through the weights of 'inner' \({kind}\) are left out of the graph"):
        graph = explanatory_graph(net, x, 0, allow_wrong=True)
    assert [layer.name for layer in graph.layers] == ["last", "first"]
    if graph["last"].necessary:
        assert graph["first"].targets, "all that the module reads is a possible cause"


QUIET = {
    "norms": nn.Sequential(nn.BatchNorm1d(4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.PReLU(4), nn.RMSNorm(4)),
    "identity": nn.Identity(),
    "parametrised": parametrizations.weight_norm(nn.Linear(4, 4)),
    "orthogonal": parametrizations.orthogonal(nn.Linear(4, 4)),
}


@pytest.mark.parametrize("case", QUIET)
def test_weights_that_scale_and_shift_are_no_paths(case):
    net, x = Around(copy.deepcopy(QUIET[case]), lambda n, h: n.inner(h)).eval(), uniform(40, 4)
    with torch.no_grad():
        net(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanatory_graph(net, x, 0, allow_wrong=True)
