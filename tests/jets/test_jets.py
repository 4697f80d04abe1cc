"""Jets as a route: networks against the full Hessian, cost by counting, rules of one's own, refusals.

The Hessian oracle is reverse over reverse, entry by entry (never forward over forward); 1e-8 relative in float64.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acelib import half_trace
from acelib.jets.lazy import Shared
from acelib.jets.tensor import Jet

F64 = torch.float64
B, K, R = 3, 12, 4


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def build(module, scale=0.5):
    """The module in float64 and evaluation mode, its parameters and statistics drawn from a generator."""
    module = module.double().eval().requires_grad_(False)
    for i, (name, p) in enumerate(module.state_dict().items()):
        if p.is_floating_point():
            new = scale * draw(*p.shape, seed=i)
            p.copy_(new.abs() + 0.5 if name.endswith("running_var") else new)
    return module


class Residual(nn.Module):
    """Two convolutional blocks with a skip connection, in-place ReLU and pooling."""

    def __init__(self, act):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3)
        self.inner = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.GroupNorm(1, 3), act(), nn.Conv2d(3, 3, 1))
        self.act, self.head = act(), nn.Linear(3, 4)

    def forward(self, x):
        x = self.act(self.norm(self.stem(x.reshape(len(x), 1, 3, 4))))
        x = self.act(x + self.inner(x))
        return self.head(F.adaptive_avg_pool2d(F.max_pool2d(x, 2, 1), 1).flatten(1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.norm, self.head = nn.Linear(4, 12), nn.LayerNorm(4), nn.Linear(12, 3)

    def forward(self, x):
        x = x.view(x.shape[0], 3, 4)
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        return self.head(self.norm(x + weights @ v).flatten(1))


class WrittenGRU(nn.Module):
    """One gate after the other; the states are written into a buffer."""

    def __init__(self):
        super().__init__()
        self.z, self.r, self.h, self.head = nn.Linear(7, 4), nn.Linear(7, 4), nn.Linear(7, 4), nn.Linear(4, 2)

    def forward(self, x):
        state, seen = x.new_zeros(len(x), 4), x.new_zeros(len(x), 4, 4)
        for t, step in enumerate(x.reshape(len(x), 4, 3).unbind(1)):
            both = torch.cat([step, state], dim=1)
            z, r = torch.sigmoid(self.z(both)), torch.sigmoid(self.r(both))
            state = (1 - z) * state + z * torch.tanh(self.h(torch.cat([step, r * state], dim=1)))
            seen[:, t] = state
        return self.head(seen.mean(1))


class Normalised(nn.Module):
    """Normalise, flatten, linear: the shared tangents pass through all three."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 3, 1))
        self.register_buffer("std", torch.ones(1, 3, 1))
        self.net = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(K, 6), nn.Tanh(), nn.Linear(6, 2))

    def forward(self, x):
        return self.net(-((x.reshape(-1, 3, 4) - self.mean) / self.std) * 2)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.core, self.head = kind(3, 4, num_layers=2, batch_first=True, bidirectional=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.core(x.reshape(len(x), 4, 3))[0][:, -1])


def mlp(act, norm=nn.Identity):
    return nn.Sequential(nn.Linear(K, 9), norm(), act(), nn.Linear(9, 7), act(), nn.Linear(7, 3))


NETWORKS = {
    **{
        f"mlp {act.__name__}": lambda act=act: mlp(act)
        for act in (nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Softplus, nn.ELU, nn.Mish, nn.ReLU, nn.LeakyReLU)
    },
    "mlp layer norm": lambda: mlp(nn.GELU, lambda: nn.LayerNorm(9)),
    "mlp batch norm": lambda: mlp(nn.Tanh, lambda: nn.BatchNorm1d(9)),
    "mlp softmax": lambda: nn.Sequential(mlp(nn.ReLU), nn.Softmax(1)),
    "mlp in place": lambda: mlp(lambda: nn.ELU(inplace=True)),
    "residual tanh": lambda: Residual(nn.Tanh),
    "residual silu": lambda: Residual(lambda: nn.SiLU(inplace=True)),
    "normalised": Normalised,
    "attention": Attention,
    "transformer": lambda: nn.Sequential(
        nn.Unflatten(1, (3, 4)),
        nn.TransformerEncoderLayer(4, 2, 5, batch_first=True, activation="gelu"),
        nn.Flatten(),
        nn.Linear(12, 2),
    ),
    "transformer first": lambda: nn.Sequential(
        nn.Unflatten(1, (3, 4)),
        nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 5, batch_first=True, norm_first=True), 2, enable_nested_tensor=False
        ),
        nn.Flatten(),
        nn.Linear(12, 2),
    ),
    "gru written": WrittenGRU,
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "rnn": lambda: Recurrent(nn.RNN),
}


def literal(model, points, factor):
    """½ Tr(H S Sᵀ) with H from reverse over reverse, entry by entry."""
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        rows = []
        for b, point in enumerate(points):
            outputs = range(model(points[:1].clone()).shape[1])
            hs = [
                torch.autograd.functional.hessian(lambda z, o=o: model(z[None].clone())[0, o], point) for o in outputs
            ]
            rows.append(torch.stack([0.5 * ((h @ factor[b]) * factor[b]).sum() for h in hs]))
    return torch.stack(rows)


def close(actual, expected, rtol=1e-8):
    assert actual.shape == expected.shape and not isinstance(actual, Jet) and not actual.requires_grad
    assert float((actual - expected).abs().max()) <= rtol * max(1.0, float(expected.abs().max()))


def zeroed(s, features):
    """S for each point, the row of its feature at zero."""
    block = s.repeat(len(features), 1, 1)
    for b, i in enumerate(features):
        block[b, i] = 0
    return block


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_agree_with_the_full_hessian(name):
    """A feature per point (rank-one form), one for all, none, and a factor per point (written out)."""
    model, x, s = build(NETWORKS[name]()), draw(B, K, seed=1), draw(K, R, seed=2)
    expected = literal(model, x, zeroed(s, [2, 0, 7]))
    if name not in ("mlp ReLU", "mlp LeakyReLU"):
        assert expected.abs().max() > 1e-3
    close(half_trace(model, x, s, feature=torch.tensor([2, 0, 7]), route="collapsed"), expected)
    close(half_trace(model, x, zeroed(s, [2, 0, 7]), route="collapsed"), expected)
    close(half_trace(model, x, s, feature=torch.tensor([2, 0, 7])), expected)
    close(half_trace(model, x, s, feature=4, route="collapsed"), literal(model, x, zeroed(s, [4] * B)))
    close(half_trace(model, x, s, route="collapsed"), literal(model, x, s.expand(B, K, R)))


@pytest.mark.parametrize("pins", [[[0], [0, 1], []], [[1, 2], [1, 2], [1, 2]], [[3], [3], [5]]])
@pytest.mark.parametrize("per_point", [False, True])
def test_pinned_sets_of_every_kind(pins, per_point):
    model, x, s = build(mlp(nn.Tanh)), draw(B, K), draw(B, K, R, seed=1)
    s = s if per_point else s[0]
    pinned = torch.zeros(B, K, dtype=torch.bool)
    for b, columns in enumerate(pins):
        pinned[b, columns] = True
    expected = literal(model, x, s.expand(B, K, R).masked_fill(pinned[..., None], 0))
    close(half_trace(model, x, s, pinned=pinned, route="collapsed"), expected, 1e-12)


@pytest.mark.parametrize("chunk", [1, 3, 8, 1000])
def test_chunks_change_nothing_but_the_rows_in_flight(chunk):
    """Blocks of points and of directions give the same sum; no call holds more than the chunk."""
    net, x, s = build(mlp(nn.Tanh)), draw(B, K), draw(K, R, seed=1)
    sizes = []

    def model(z):
        if isinstance(z, Jet):
            sizes.append(len(z) * len(z.tangents))
        return net(z)

    close(
        half_trace(model, x, s, feature=torch.tensor([1, 2, 3]), route="collapsed", chunk_size=chunk),
        half_trace(net, x, s, feature=torch.tensor([1, 2, 3]), route="hessian"),
        1e-12,
    )
    assert max(sizes) <= chunk


class Counter(torch.utils._python_dispatch.TorchDispatchMode):
    """Multiplications in matrix products, and the largest tensor made, as torch executes them."""

    def __init__(self):
        super().__init__()
        self.products, self.largest = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in ("mm", "addmm"):
            a, b = args[-2:]
            self.products += a.shape[0] * a.shape[1] * b.shape[1]
        if isinstance(out, torch.Tensor):
            self.largest = max(self.largest, out.numel())
        return out


def counted(points, rank, factor=None, chunk=None):
    model, s = build(nn.Sequential(nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 5))), draw(40, rank, seed=2)
    features = torch.arange(points) % 40
    with Counter() as count:
        half_trace(
            model,
            draw(points, 40),
            factor(s, features) if factor else s,
            feature=None if factor else features,
            route="collapsed",
            chunk_size=chunk,
        )
    return count


def test_cost_is_linear_and_the_first_layer_is_shared():
    """Multiplications counted: R rows of the first layer for all points together, R + 2 of the second for each."""
    entrance = 12 * (1200 + 150)  # its six rows, with a gradient and a forward mode
    for points in (8, 16, 32):
        for rank in (5, 10, 20):
            first = (rank + 2 * points) * 1200  # base, values, unit vectors
            assert counted(points, rank).products == first + points * (rank + 2) * 150 + entrance
            apart = counted(points, rank, zeroed).products
            assert apart == points * (rank + 1) * 1200 + points * (rank + 2) * 150 + entrance


def test_memory_is_flat_in_the_number_of_interventions():
    """With a chunk, the largest tensor beside input and output is the same for 40, 80 and 160 interventions."""
    sizes = [counted(points, 10, chunk=100).largest for points in (1280, 2560, 5120)]
    assert sizes == [40 * p for p in (1280, 2560, 5120)]  # the points themselves
    inner = [counted(points, 10, chunk=400).largest for points in (40, 80, 160)]
    assert inner == [400 * 30] * 3


@pytest.mark.parametrize("dtype, rtol", [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_precision(dtype, rtol):
    """Against the Hessian in float64, for a deep tanh network; the factor is cast to the points' dtype."""
    model, x, s = build(mlp(nn.Tanh), 0.3), draw(B, K), draw(K, R, seed=1)
    expected = literal(model, x, s.expand(B, K, R))
    answer = half_trace(model.to(dtype), x.to(dtype), s, route="collapsed")
    assert answer.dtype == dtype
    assert float((answer.double() - expected).abs().max() / expected.abs().max()) <= rtol


def test_what_is_detached_scales_each_row_by_its_own():
    """Of Σ (x · c)² with c = x detached: Σ c² s², exactly, also with as many directions as points."""
    x, s = draw(B, K), draw(K, B, seed=1)
    found = half_trace(lambda z: ((z * z.detach()) ** 2).sum(1, keepdim=True), x, s, route="collapsed")
    assert torch.allclose(found[:, 0], x.square() @ s.square().sum(1), rtol=1e-12)


def test_shared_form_is_the_dense_one():
    """A − c·U written out, before and after a linear map."""
    base, c, unit, w = draw(R, 1, K), draw(R, B), draw(B, K), draw(5, K)
    dense = base - c[..., None] * unit
    close(Shared(base, B, c, unit).dense(), dense, 1e-14)
    close(Shared(base, B, c, unit).map(lambda z: z @ w.T).dense(), dense @ w.T, 1e-13)
    assert Shared(base, B).map(lambda z: 2 * z).dense().shape == (R, B, K)
