"""½ Tr(∇²f Σ): every route against closed forms derived by hand, and against a literal double-backward Hessian.

Closed forms are written without autograd. Tolerances: 1e-8 relative for exact routes in float64, 1e-4 for central
differences on smooth functions, 1e-4 for float32 (sums of some hundred rounded products).
"""

import numpy as np
import pytest
import torch
from torch import nn

from acelib.curvature import ROUTES, UnsupportedOperation, half_trace

F64 = torch.float64
EXACT = ("auto", "collapsed", "jvp_grad", "double_backward", "hessian")
K, R, B = 8, 5, 3


def draw(*shape, seed=0, scale=1.0, dtype=F64):
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)).to(dtype)


def build(make, seed=0, dtype=F64):
    """A module whose parameters are drawn from a generator of their own, in evaluation mode."""
    module = make().to(dtype).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=F64))
    return module


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(2, 4) for _ in range(3))
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(16, 3)

    def forward(self, x):
        x = x.reshape(len(x), 4, 2)
        weights = torch.softmax(self.q(x) @ self.k(x).transpose(1, 2) / 2, dim=-1)
        return self.head(self.norm(weights @ self.v(x)).flatten(1))


class FusedAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, activation="gelu")
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.inner(x.reshape(len(x), 2, 4)).flatten(1))


class WrittenGRU(nn.Module):
    """One gate after the other, so that no fused kernel is involved."""

    def __init__(self):
        super().__init__()
        self.z, self.r, self.h, self.head = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, 2)

    def forward(self, x):
        state = x.new_zeros(len(x), 4)
        for step in x.reshape(len(x), 4, 2).unbind(1):
            both = torch.cat([step, state], dim=1)
            z, r = torch.sigmoid(self.z(both)), torch.sigmoid(self.r(both))
            state = (1 - z) * state + z * torch.tanh(self.h(torch.cat([step, r * state], dim=1)))
        return self.head(state)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.core, self.head = kind(2, 4, num_layers=2, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.core(x.reshape(len(x), 4, 2))[0][:, -1])


def mlp(act, *tail, norm=nn.Identity):
    return nn.Sequential(nn.Linear(K, 9), norm(), act(), nn.Linear(9, 7), act(), nn.Linear(7, 3), *tail)


def cnn():
    return nn.Sequential(
        nn.Unflatten(1, (1, K)),
        nn.Conv1d(1, 4, 3, padding=1),
        nn.BatchNorm1d(4),
        nn.SiLU(),
        nn.AvgPool1d(2),
        nn.Conv1d(4, 3, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


NETWORKS = {
    "mlp-tanh": lambda: mlp(nn.Tanh),
    "mlp-gelu": lambda: mlp(nn.GELU),
    "mlp-softplus": lambda: mlp(nn.Softplus),
    "mlp-softmax": lambda: mlp(nn.Tanh, nn.Softmax(dim=1)),
    "mlp-relu-softmax": lambda: mlp(nn.ReLU, nn.Softmax(dim=1)),
    "mlp-layernorm": lambda: mlp(nn.Tanh, norm=lambda: nn.LayerNorm(9)),
    "cnn": cnn,
    "attention": Attention,
    "fused-attention": FusedAttention,
    "gru-written": WrittenGRU,
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
}


def literal(model, points, factor, keep=None):
    """½ Σ_jl H_jl Σ_jl with H from reverse over reverse, one entry at a time: shares no code with the routes."""
    answer = []
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        for b, point in enumerate(points):
            s = factor[b] if factor.ndim == 3 else factor
            s = s if keep is None else s * keep[b][:, None]
            outputs = model(points[:1]).shape[1]
            hessians = [
                torch.autograd.functional.hessian(lambda z, o=o: model(z[None])[0, o], point) for o in range(outputs)
            ]
            answer.append(torch.stack([0.5 * (h * (s @ s.T)).sum() for h in hessians]))
    return torch.stack(answer)


def close(actual, expected, rtol):
    assert actual.shape == expected.shape
    assert not actual.requires_grad
    assert float((actual - expected).abs().max()) <= rtol * max(1.0, float(expected.abs().max()))


# ---------------------------------------------------------------- closed forms

A = draw(K, K, seed=1)
W, OUT = draw(4, K, seed=2, scale=0.4), draw(4, 2, seed=3)


def tanh_trace(x, cov):
    """f = Σ_h a_h tanh(w_h·x): ½ Σ_h a_h tanh''(w_h·x) w_hᵀ Σ w_h with tanh'' = −2 tanh (1 − tanh²)."""
    t = torch.tanh(x @ W.T)
    return 0.5 * ((-2 * t * (1 - t**2)) * torch.einsum("hi,bij,hj->bh", W, cov, W)) @ OUT


CLOSED = {
    "quadratic": (lambda x: (x @ A * x).sum(1, keepdim=True), lambda x, c: torch.einsum("ij,bji->b", A, c)[:, None]),
    "product": (lambda x: x[:, :1] * x[:, 1:2], lambda x, c: c[:, 0, 1, None]),
    "exp": (
        lambda x: torch.exp(0.3 * x.sum(1, keepdim=True)),
        lambda x, c: 0.045 * torch.exp(0.3 * x.sum(1, keepdim=True)) * c.sum((1, 2))[:, None],
    ),
    "cubic": (lambda x: x[:, :1] ** 3 + x[:, 1:2], lambda x, c: 3 * x[:, :1] * c[:, 0, 0, None]),
    "tanh": (lambda x: torch.tanh(x @ W.T) @ OUT, tanh_trace),
    "linear": (lambda x: x[:, :2] * 3 - 1, lambda x, c: torch.zeros(len(x), 2, dtype=F64)),
    "constant": (lambda x: torch.ones(len(x), 2, dtype=x.dtype), lambda x, c: torch.zeros(len(x), 2, dtype=F64)),
    "mixed": (
        lambda x: torch.stack([x[:, 0] ** 2, x[:, 1], torch.ones_like(x[:, 0])], 1),
        lambda x, c: torch.stack([c[:, 0, 0], 0 * c[:, 0, 0], 0 * c[:, 0, 0]], 1),
    ),
}


@pytest.mark.parametrize("pin", [None, 0, [0, 1, 5]])
@pytest.mark.parametrize("route", EXACT + ("central_difference",))
@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name, route, pin):
    """Against the trace written by hand with Σ whose row and column i are zero (Cor. 2.1 of the ACE paper)."""
    model, trace = CLOSED[name]
    x, s = draw(B, K, seed=4), draw(K, R, seed=5)
    cov = (s @ s.T).repeat(B, 1, 1)
    if pin is not None:
        for b, i in enumerate([pin] * B if isinstance(pin, int) else pin):
            cov[b, i, :] = cov[b, :, i] = 0
    close(half_trace(model, x, s, feature=pin, route=route), trace(x, cov), 1e-4 if "central" in route else 1e-10)


@pytest.mark.parametrize("route", EXACT)
def test_piecewise_linear_network_gives_exact_zero(route):
    """A ReLU network is linear around each point: the curvature is 0, not something small."""
    assert not half_trace(build(lambda: mlp(nn.ReLU)), draw(B, K), draw(K, R, seed=1), route=route).any()


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize("route", EXACT)
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_routes_agree_with_a_literal_hessian(name, route):
    """Per-point factors and per-point features, 1e-8, against reverse over reverse entry by entry."""
    model, x, s = build(NETWORKS[name]), draw(B, K, seed=6), draw(B, K, R, seed=7)
    keep = torch.ones(B, K, dtype=F64)
    keep[torch.arange(B), torch.tensor([3, 0, 7])] = 0
    expected = literal(model, x, s, keep)
    assert expected.abs().max() > 1e-3
    close(half_trace(model, x, s, feature=torch.tensor([3, 0, 7]), route=route), expected, 1e-8)


@pytest.mark.parametrize("name", [n for n in NETWORKS if "relu" not in n])
def test_central_difference_on_smooth_networks(name):
    """Truncation and rounding together stay below 1e-4 in float64 at the default step."""
    model, x, s = build(NETWORKS[name]), draw(B, K, seed=6), draw(K, R, seed=7)
    close(half_trace(model, x, s, feature=2, route="central_difference"), literal(model, x, s * row_mask(2)), 1e-4)


def row_mask(i):
    mask = torch.ones(K, 1, dtype=F64)
    mask[i] = 0
    return mask


@pytest.mark.parametrize("route", ("auto", "collapsed", "double_backward", "hessian"))
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrent_kernels_in_float32(kind, route):
    """Fused float32 kernels may lack forward mode: auto must still arrive. Against float64, 1e-4."""
    x, s = draw(B, K, seed=6), draw(K, R, seed=7)
    expected = literal(build(lambda: Recurrent(kind)), x, s)
    answer = half_trace(build(lambda: Recurrent(kind), dtype=torch.float32), x.float(), s.float(), route=route)
    close(answer.double(), expected, 1e-4)


@pytest.mark.parametrize("route", EXACT)
@pytest.mark.parametrize("name", ["mlp-tanh", "mlp-layernorm", "cnn", "attention"])
def test_float32(name, route):
    """float32 against the float64 literal Hessian; a float64 factor is cast to the points' dtype."""
    x, s = draw(B, K, seed=8).float(), draw(K, R, seed=9)
    answer = half_trace(build(NETWORKS[name], dtype=torch.float32), x, s, route=route)
    assert answer.dtype == torch.float32
    close(answer.double(), literal(build(NETWORKS[name]), x.double(), s), 1e-4)


def test_central_difference_in_float32_needs_its_larger_step():
    """The default step of float32 is 1e-2; with float64's 1e-4 rounding drowns the answer."""
    model, x, s = build(NETWORKS["mlp-tanh"]), draw(B, K, seed=8), draw(K, R, seed=9)
    expected, single = literal(model, x, s), build(NETWORKS["mlp-tanh"], dtype=torch.float32)

    def error(**options):
        answer = half_trace(single, x.float(), s.float(), route="central_difference", **options)
        return float((answer.double() - expected).abs().max() / expected.abs().max())

    assert error() < 0.05
    assert error(epsilon=1e-4) > 5 * error()


def test_why_forward_over_forward_is_not_a_route():
    """Documents the hazard: jvp of jvp through LayerNorm in this torch is compared with the literal second derivative.

    Where it is off, jvp_grad must be right nevertheless. A torch that repairs it does not break this test.
    """
    model, x, v = build(lambda: nn.Sequential(nn.Linear(K, 6), nn.LayerNorm(6))), draw(1, K, seed=1), draw(1, K, seed=2)

    def slope(z):
        return torch.func.jvp(model, (z,), (v,))[1]

    nested = 0.5 * torch.func.jvp(slope, (x,), (v,))[1].detach()
    expected = literal(model, x, v.T)
    off = float((nested - expected).abs().max() / expected.abs().max())
    assert off > 0.01 or off < 1e-8, "neither wrong nor right: look again"
    if torch.__version__.startswith("2.13"):
        assert off > 0.01, "forward over forward was wrong through LayerNorm in torch 2.13"
    close(half_trace(model, x, v.T, route="jvp_grad"), expected, 1e-8)


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in ("collapsed", "central_difference")])
def test_no_route_trusts_a_forward_mode_that_disagrees(route):
    """Torch's forward mode of ``scatter_reduce`` with products is wrong without an error; each route sees that."""
    x, s = draw(B, 4, seed=1) + 3, draw(4, 2, seed=2)

    def product(z):
        into = torch.zeros(1, 4, dtype=torch.long).expand(len(z), -1)
        return torch.ones(len(z), 1, dtype=z.dtype).scatter_reduce(1, into, z, "prod")

    right = half_trace(lambda z: z.prod(1, keepdim=True), x, s)
    if route == "jvp_grad":
        with pytest.raises(UnsupportedOperation, match="forward mode disagrees.*double_backward"):
            half_trace(product, x, s, route=route)
    else:
        assert torch.allclose(half_trace(product, x, s, route=route), right, rtol=1e-10)


# ---------------------------------------------------------------- pinning, chunks, edges


@pytest.mark.parametrize("route", ROUTES)
def test_feature_pinned_and_zeroed_rows_are_the_same(route):
    """feature=i ≡ a pinned column ≡ S with row i zeroed, whose S Sᵀ has row and column i zero."""
    model, x, s = build(NETWORKS["mlp-gelu"]), draw(B, K), draw(K, R, seed=1)
    pinned = torch.zeros(B, K, dtype=torch.bool)
    pinned[:, 4] = True
    zeroed = s * row_mask(4)
    assert not (zeroed @ zeroed.T)[4].any() and not (zeroed @ zeroed.T)[:, 4].any()
    expected = half_trace(model, x, zeroed, route=route)
    for options in ({"feature": 4}, {"feature": np.int64(4)}, {"feature": [4] * B}, {"pinned": pinned}):
        assert torch.equal(half_trace(model, x, s, route=route, **options), expected)
    assert not torch.allclose(half_trace(model, x, s, route=route), expected)
    pinned[1] = True
    assert not half_trace(model, x, s, pinned=pinned, route=route)[1].any()


@pytest.mark.parametrize("per_point", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 11, 1000])
@pytest.mark.parametrize("route", ROUTES)
def test_chunk_size_changes_nothing_and_bounds_the_rows(route, chunk, per_point):
    """Same answer to rounding for every chunk; no call of the model gets more rows than the entrance or the chunk."""
    net, x, s = build(NETWORKS["mlp-tanh"]), draw(4, K), draw(*((4,) if per_point else ()), K, R, seed=1)
    sizes = []

    def model(rows):
        sizes.append(len(rows))
        return net(rows)

    expected = half_trace(net, x, s, feature=1, route=route)
    answer = half_trace(model, x, s, feature=1, route=route, chunk_size=chunk)
    close(answer, expected, 1e-6 if route == "central_difference" else 1e-12)
    probe = 3 if route == "central_difference" else 4  # calls of the entrance: together, each alone, and forward mode
    assert max(sizes[probe:]) <= chunk and sum(sizes[:probe]) == (4 if probe == 3 else 6)


@pytest.mark.parametrize("route", ROUTES)
def test_zero_directions_and_zero_columns(route):
    """R = 0 gives zeros of the right shape; a zero column adds nothing (no 0/0)."""
    model, x, s = build(NETWORKS["mlp-tanh"]), draw(B, K), draw(K, R, seed=1)
    assert torch.equal(half_trace(model, x, s[:, :0], route=route), torch.zeros(B, 3, dtype=F64))
    padded = torch.cat([s, torch.zeros(K, 2, dtype=F64)], dim=1)
    close(half_trace(model, x, padded, route=route), half_trace(model, x, s, route=route), 1e-12)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_gradient_modes_and_side_effects(route, mode):
    """Same detached result in every gradient mode; inputs, .grad and global switches are left as they were."""
    model, s = build(NETWORKS["fused-attention"]), draw(K, R, seed=1)
    expected, fast = literal(model, draw(B, K), s), torch.backends.mha.get_fastpath_enabled()
    with mode():
        x = draw(B, K)
        if mode is torch.enable_grad:
            x.requires_grad_()
        before = x.detach().clone()
        answer = half_trace(model, x, s, route=route)
        assert torch.is_grad_enabled() == (mode is torch.enable_grad)
        assert torch.equal(x, before)
    close(answer, expected, 1e-4)
    assert x.grad is None and all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.backends.mha.get_fastpath_enabled() == fast and torch.backends.mkldnn.enabled


@pytest.mark.parametrize("route", ROUTES)
def test_models_that_work_in_place_or_are_compiled(route):
    """A model that overwrites its input must not overwrite the caller's points; a compiled one is run plain."""

    def overwrite(x):
        return x.mul_(2).pow(2)

    x, s = draw(B, K), draw(K, R, seed=1)
    before = x.clone()
    expected = 4 * (s**2).sum(1).expand(B, K)
    close(half_trace(overwrite, x, s, route=route), expected, 1e-6)
    assert torch.equal(x, before)
    for model in (lambda z: (2 * z) ** 2, nn.Identity()):
        compiled = torch.compile(model, backend="eager")
        close(half_trace(compiled, x, s, route=route), half_trace(model, x, s, route=route), 1e-12)
