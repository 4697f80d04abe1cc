"""Rules of one's own: registered in a line, checked against the full Hessian in float64."""

import pytest
import torch
from torch import nn

from acelib import half_trace, jets
from acelib.jets.registry import RULES
from acelib.jets.tensor import Jet

F64 = torch.float64
B, K, R = 3, 12, 4


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def close(actual, expected, rtol=1e-12):
    assert actual.shape == expected.shape and not isinstance(actual, Jet) and not actual.requires_grad
    assert float((actual - expected).abs().max()) <= rtol * max(1.0, float(expected.abs().max()))


@pytest.fixture
def table():
    """The rules as they were, afterwards."""
    before = dict(RULES)
    yield
    RULES.clear()
    RULES.update(before)


def test_a_rule_in_one_line(table):
    """i0 has none; automatic differentiation supplies the derivatives. A wrong rule does not pass the check."""
    x, s = draw(B, K), draw(K, R)
    with pytest.raises(jets.MissingRule, match=r"register\('i0e'"):
        jets.propagate(torch.special.i0e, x, s)
    assert half_trace(torch.special.i0e, x, s).shape == (B, K)  # auto goes another way meanwhile
    jets.register("special_i0e", jets.pointwise())
    assert jets.check(torch.special.i0e, x, s) < 1e-12
    jets.register("i0e", jets.pointwise(lambda x, y: (torch.ones_like(x), torch.ones_like(x))))
    assert jets.check(torch.special.i0e, x, s) > 0.1


def test_rules_of_every_kind(table):
    x, s = draw(B, K), draw(K, K)
    jets.register("cov", jets.composite(lambda z: (z - z.mean(1, True)) @ (z - z.mean(1, True)).T / (z.shape[1] - 1)))
    _, _, bend = jets.propagate(torch.cov, x, s[:, :1])
    centred = s[:, 0] - s[:, 0].mean()
    close(bend, (2 * (centred**2).sum() / (K - 1)).expand(B, B), 1e-12)
    jets.register("hash_tensor", jets.constant())
    jets.register("logcumsumexp", jets.composite(lambda z, dim: torch.log(torch.cumsum(torch.exp(z), dim))))
    assert jets.check(lambda z: torch.logcumsumexp(z, 1), x, s) < 1e-10
    jets.register("bincount", jets.linear())
    jets.register("chain_matmul", jets.multilinear(0, 1))
    assert {"bincount", "hash_tensor", "cov"} <= set(jets.supported())
    with pytest.raises(TypeError, match="expected a string and a callable"):
        jets.register("tanh", 3)


def test_check_converts_a_module_and_leaves_the_original():
    model = nn.Sequential(nn.Linear(K, 3), nn.Tanh())
    assert jets.check(model, draw(B, K).float(), draw(B, K, R).float()) < 1e-12
    assert model[0].weight.dtype == torch.float32
    assert jets.check(nn.Linear(K, 2), draw(B, K), draw(K, R)) == 0


def test_constant_and_plain_outputs():
    """What does not depend on the input has slope 0, whatever kind of tensor the model returns."""
    x, s = draw(B, K), draw(K, R)
    for model in (torch.ones_like, lambda z: torch.ones(B, 2, dtype=F64), lambda z: z.detach()):
        value, slopes, bend = jets.propagate(model, x, s)
        assert slopes.shape == (R, *value.shape) and not slopes.any() and not bend.any()


def test_auto_surfaces_errors_of_the_model():
    """Something that only fails on jets sends auto to the next route."""

    def model(x):
        if isinstance(x, Jet):
            raise AttributeError("no jets here")
        return x**3

    x, s = draw(B, K), draw(K, R)
    close(half_trace(model, x, s), 3 * x * (s**2).sum(1), 1e-12)
    with pytest.raises(AttributeError, match="no jets here"):
        half_trace(model, x, s, route="collapsed")
