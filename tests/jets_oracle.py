"""What the tests of jets compare with: reverse mode over reverse mode, one entry at a time, in float64."""

from __future__ import annotations

import torch

from acelib import jets

F64 = torch.float64
B, K, R = 2, 6, 3


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


X, S = draw(B, K, seed=1), draw(K, R, seed=2)
C, W = draw(B, K, seed=3), draw(4, K, seed=4)


def literal(model, point, factor):
    """Value, slopes ``(R, *out)`` and Σ_r s_rᵀ∇²f s_r ``(*out)`` of one point, by double backward."""
    out = model(point)
    jacobian = torch.autograd.functional.jacobian(model, point).reshape(out.numel(), -1)
    hessians = [
        torch.autograd.functional.hessian(lambda z, i=i: model(z).reshape(-1)[i], point).reshape(K * len(point), -1)
        for i in range(out.numel())
    ]
    flat = factor.reshape(-1, factor.shape[-1])
    slopes = (jacobian @ flat).T.reshape(-1, *out.shape)
    return out, slopes, torch.stack([(flat.T @ h @ flat).trace() for h in hessians]).reshape(out.shape)


def same(actual, expected):
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    assert torch.isfinite(expected).all()
    assert not expected.numel() or float((actual - expected).abs().max()) <= 1e-10 * scale


def agrees(model, x=X, s=S):
    """All rows at once as one point, so that operations may mix rows."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        out, slopes, bend = literal(model, x, s.expand(len(x), *s.shape))
    value, tangents, second = jets.propagate(model, x.clone(), s)
    same(value, out)
    same(tangents, slopes)
    same(second, bend)


def varying(x):
    """Something nonlinear, so that second terms arrive at the operation as well."""
    return torch.sin(x) + 0.3 * x * x


def positive(x):
    return torch.exp(0.5 * x) + 0.2
