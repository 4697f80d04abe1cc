"""Rules of one's own: registered in a line, checked against the full Hessian in float64."""

import doctest
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import torch
from torch import nn

from acelib import half_trace, jets
from acelib.jets import kinds, registry
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
def register():
    """Registers rules that are gone after the test."""
    with ExitStack() as stack:
        yield lambda name, rule: stack.enter_context(jets.register(name, rule))


def test_a_rule_in_one_line(register):
    """i0 has none; automatic differentiation supplies the derivatives. A wrong rule does not pass the check."""
    x, s = draw(B, K), draw(K, R)
    with pytest.raises(jets.MissingRule, match=r"register\('i0e'"):
        jets.propagate(torch.special.i0e, x, s)
    assert half_trace(torch.special.i0e, x, s).shape == (B, K)  # auto goes another way meanwhile
    register("special_i0e", jets.pointwise())
    assert jets.check(torch.special.i0e, x, s) < 1e-12
    register("i0e", jets.pointwise(lambda x, y: (torch.ones_like(x), torch.ones_like(x))))
    assert jets.check(torch.special.i0e, x, s) > 0.1


def test_rules_of_every_kind(register):
    x, s = draw(B, K), draw(K, K)
    register("cov", jets.composite(lambda z: (z - z.mean(1, True)) @ (z - z.mean(1, True)).T / (z.shape[1] - 1)))
    _, _, bend = jets.propagate(torch.cov, x, s[:, :1])
    centred = s[:, 0] - s[:, 0].mean()
    close(bend, (2 * (centred**2).sum() / (K - 1)).expand(B, B), 1e-12)
    register("hash_tensor", jets.constant())
    register("logcumsumexp", jets.composite(lambda z, dim: torch.log(torch.cumsum(torch.exp(z), dim))))
    assert jets.check(lambda z: torch.logcumsumexp(z, 1), x, s) < 1e-10
    register("bincount", jets.linear())
    register("chain_matmul", jets.multilinear(0, 1))
    assert {"bincount", "hash_tensor", "cov"} <= set(jets.supported())
    with pytest.raises(TypeError, match="rule must be callable as .*, got 3"):
        jets.register("tanh", 3)
    with pytest.raises(TypeError, match="name must be a string, .*, got <built-in method tanh"):
        jets.register(torch.tanh, jets.pointwise())


def test_a_rule_for_a_block_gives_way_to_the_earlier_one():
    """Nested blocks, a block left by an error, and a name that had no rule; an exit is harmless a second time."""
    first, second, before = jets.pointwise(), jets.pointwise(), RULES["sin"]
    with jets.register("sin", first) as outer:
        assert RULES["sin"] is first and repr(outer) == "Registration('sin')"
        with pytest.raises(KeyError), jets.register("sin_", second):
            assert RULES["sin"] is second
            raise KeyError
        assert RULES["sin"] is first
    outer.__exit__(None, None, None)
    assert RULES["sin"] is before
    with jets.register("i0e", first):
        assert "i0e" in jets.supported()
    assert "i0e" not in jets.supported()


def test_overlapping_blocks_leave_no_rule_behind():
    """Blocks of two threads that end in the order in which they began, then 8 threads at once."""
    before = RULES["sin"]
    early, late = jets.register("sin", jets.linear()), jets.register("sin", jets.constant())
    early.__exit__(None, None, None)
    assert RULES["sin"] is late.rule
    late.__exit__(None, None, None)
    assert RULES["sin"] is before

    def work(_):
        for _ in range(200):
            with jets.register("sin", jets.pointwise()):
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert RULES["sin"] is before


def test_examples_leave_the_rules_as_they_were():
    """The examples of the documentation may run at any time, and so before any test."""
    before = dict(RULES)
    for module in (kinds, registry):
        assert doctest.testmod(module, extraglobs={"torch": torch}).failed == 0
    assert before == RULES


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
