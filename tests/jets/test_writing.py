"""In-place operations on jets are carried out or refused, never guessed; refusals name the operation.

The oracle is the full Hessian of the same code by automatic differentiation, to 1e-12.
"""

import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acelib import half_trace, jets
from acelib.jets.tensor import Jet

F64 = torch.float64
B, K, R = 3, 12, 4


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def close(actual, expected, rtol=1e-12):
    assert actual.shape == expected.shape and not isinstance(actual, Jet) and not actual.requires_grad
    assert float((actual - expected).abs().max()) <= rtol * max(1.0, float(expected.abs().max()))


WRITING = {
    "methods": lambda x: x.clone().mul_(2).add_(x).sub_(1).div_(3).tanh_(),
    "augmented": lambda x: _augmented(x),
    "buffer": lambda x: _buffer(x),
    "part of a buffer": lambda x: _part(x),
    "assignment": lambda x: _assign(x),
    "mask": lambda x: _mask(x),
    "copy": lambda x: torch.zeros_like(x).copy_(x * x).add_(1),
    "zero and fill": lambda x: x * (x * x).zero_() + x**2 * x.clone().fill_(2.0),
    "functional": lambda x: F.silu(x * 1, inplace=True) + torch.relu_(x * x),
    "masked_fill": lambda x: (x * x).masked_fill_(x > 0, 1.0),
    "constant buffer": lambda x: _constants(x),
}


def _augmented(x):
    y = x * x
    y += x
    y *= x
    y -= 2
    y /= 3
    return y


def _buffer(x):
    out = x.new_zeros(len(x), 3)
    out[:, 0] = x[:, 0] ** 3
    out[:, 1:] = x[:, 1:3]
    return out.sin()


def _part(x):
    y = x * x
    y[:, 1:3] += x[:, :2] * 2
    y[:, 0].mul_(3)
    return y * y


def _assign(x):
    y = x**2
    y[:, 1] = 5.0
    y[:, [2, 0]] = x[:, :1]
    return y**2


def _mask(x):
    y = x**2
    y[torch.tensor([[True, False] * (K // 2)] * len(x))] = 1.0
    return y


def _constants(x):
    """A buffer of constants is written, viewed, and written through its view."""
    buffer = torch.ones_like(x)
    row = buffer[:, 1]
    row.mul_(3)
    buffer += 1
    return buffer * x**2 + buffer.sum(1, keepdim=True)


@pytest.mark.parametrize("name", WRITING)
def test_writing_in_place(name):
    """The same numbers as double backward on the same code; the caller's points stay as they were."""
    model, x, s = WRITING[name], draw(B, K), draw(K, R, seed=1)
    before = x.clone()
    close(half_trace(model, x, s, route="collapsed"), half_trace(model, x, s, route="hessian"), 1e-12)
    assert torch.equal(x, before)


def overwritten_view(x):
    y = x * 2
    view = y.reshape(-1)
    y[:, 0] = 1.0
    return (view * view).reshape(x.shape)


def overwritten_base(x):
    y = x * 2
    y.reshape(-1).mul_(3)
    return y * y


@pytest.mark.parametrize(
    "model, name",
    [
        (overwritten_view, "has overwritten"),
        (overwritten_base, "has overwritten"),
        (lambda x: torch.zeros(B, K, dtype=F64).copy_(x), "plain tensor"),
        (lambda x: torch.add(x, 1, out=x * 2), "out="),
        (lambda x: (x * x).unsqueeze_(0)[0], "changes shape"),
        (lambda x: x * torch.as_tensor(x.numpy()), "numpy"),
        (lambda x: torch.special.zeta(x.abs() + 2, x.abs() + 1), "zeta"),
        (torch.vmap(torch.tanh), "tanh"),
        (lambda x: F.dropout(x, 0.5, True), "dropout"),
        (lambda x: F.batch_norm(x, None, None, training=True), "batch_norm"),
        (lambda x: F.conv1d(x[:, None], x.reshape(-1, 1, 1)).sum(1), "conv1d"),
        (lambda x: x.view(torch.int64) * x, "view"),
        (lambda x: F.softmax(x), "softmax"),
        (lambda x: torch.linalg.norm(x.reshape(B, 3, 4)[0], 2) * x, "matrix"),
        (lambda x: x.norm(3, dim=1, keepdim=True), "order 3"),
        (lambda x: torch.index_select(x, 1, torch.tensor([0])).half().float() * x.cov(), "cov"),
        (lambda x: torch.index_fill(x, 1, torch.tensor([0]), x.sum()), "index_fill"),
        (lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None], dropout_p=0.5)[0], "dropout"),
        (lambda x: setattr(x, "data", x * 2) or x, "data"),
        (torch.no_grad()(lambda x: x * x), "no_grad"),
        (lambda x: torch.ones(K)[x] * x, "varying index"),
        (lambda x: torch.diff(x, prepend=x[:, :1]), "unusual place"),
        (lambda x: torch.einsum("bi,bj->ij", [x, x]).T.logdet() * x, "logdet"),
        (lambda x: torch.inner(x, other=x), "unusual place"),
        (torch.jit.trace(torch.tanh, torch.ones(B, K)), "TorchScript"),
        (lambda x: torch.utils.checkpoint.checkpoint(torch.tanh, x, use_reentrant=True), "no_grad"),
    ],
)
def test_refusals_name_the_operation(model, name):
    with pytest.raises(jets.MissingRule, match=name):
        jets.propagate(model, draw(B, K), draw(K, R))


@pytest.mark.parametrize(
    "model, message",
    [
        (lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True), "bias_k"),
        (lambda: nn.MultiheadAttention(4, 2, dropout=0.5), "dropout"),
    ],
)
def test_refusals_of_attention(model, message):
    net = model().double().requires_grad_(False)
    with pytest.raises(jets.MissingRule, match=message):
        jets.propagate(lambda x: net(*x.reshape(B, 3, 4).expand(3, B, 3, 4))[0], draw(B, K), draw(K, R))


def test_refusals_of_recurrent_networks():
    net = nn.GRU(3, 2, num_layers=2, dropout=0.5).double().requires_grad_(False)
    with pytest.raises(jets.MissingRule, match="dropout"):
        jets.propagate(lambda x: net(x.reshape(4, B, 3))[0], draw(B, K), draw(K, R))
    from torch.nn.utils.rnn import PackedSequence

    with pytest.raises(jets.MissingRule, match="packed"):
        packed = torch.tensor([B] * 4)
        jets.propagate(lambda x: net.eval()(PackedSequence(x.reshape(-1, 3), packed))[0].data, draw(B, K), draw(K, R))


def test_a_view_of_something_that_is_gone_may_be_written():
    """Only living relatives matter."""

    def model(x):
        y = (x * x).reshape(-1)
        gc.collect()
        return y.mul_(2).reshape(x.shape) * x

    x, s = draw(B, K), draw(K, R)
    close(half_trace(model, x, s, route="collapsed"), 6 * x * (s**2).sum(1), 1e-12)
