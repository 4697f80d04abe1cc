"""Every operation that has a rule, alone: value, slopes and summed second derivative against a literal oracle.

The oracle is reverse mode over reverse mode, one output entry and one input entry at a time, in float64; it shares no
code with the jets. Tolerance 1e-10 relative to the largest entry (sums of a few hundred rounded products).
"""

import pytest
import torch
import torch.nn.functional as F
from jets_oracle import F64, B, C, K, S, X, agrees, positive, same, varying

from acelib import jets

ANY = [
    "tanh",
    "sigmoid",
    "exp",
    "square",
    "relu",
    "sin",
    "cos",
    "sinh",
    "cosh",
    "asinh",
    "atan",
    "sinc",
    "exp2",
    "expm1",
    "erf",
    "erfc",
    "abs",
    "neg",
    "positive",
    "lgamma",
    "nan_to_num",
    "arctan",
    "arcsinh",
]
POSITIVE = ["log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "digamma", "lgamma"]
INSIDE = ["asin", "acos", "atanh", "erfinv", "tan", "arcsin", "arccos", "arctanh"]
NN = [
    "gelu",
    "silu",
    "mish",
    "softplus",
    "elu",
    "celu",
    "selu",
    "logsigmoid",
    "softsign",
    "tanhshrink",
    "hardswish",
    "leaky_relu",
    "relu6",
    "hardtanh",
    "hardshrink",
    "softshrink",
    "relu",
    "tanh",
    "sigmoid",
]


@pytest.mark.parametrize("name", ANY)
def test_elementwise(name):
    agrees(lambda x: getattr(torch, name)(varying(x)))


@pytest.mark.parametrize("name", POSITIVE)
def test_elementwise_on_positive_numbers(name):
    agrees(lambda x: getattr(torch, name)(positive(x)))


@pytest.mark.parametrize("name", INSIDE)
def test_elementwise_inside_the_unit_interval(name):
    agrees(lambda x: getattr(torch, name)(0.9 * torch.tanh(x)))


@pytest.mark.parametrize("name", NN)
def test_activations(name):
    agrees(lambda x: getattr(F, name)(varying(x)))
    agrees(lambda x: getattr(F, name)(x))


SHAPE = {
    "reshape": lambda z: z.reshape(B, 2, 3),
    "reshape rows away": lambda z: z.reshape(-1),
    "view": lambda z: z.view(2, -1, 2),
    "view_as": lambda z: z.view_as(z),
    "flatten": lambda z: z.flatten(),
    "ravel": lambda z: z.ravel(),
    "unflatten": lambda z: z.unflatten(1, (3, 2)),
    "squeeze": lambda z: z.unsqueeze(1).squeeze(1),
    "unsqueeze": lambda z: z.unsqueeze(0),
    "transpose": lambda z: z.transpose(0, 1),
    "t": lambda z: z.t(),
    "T": lambda z: z.T,
    "mT": lambda z: z.mT,
    "swapaxes": lambda z: z.swapaxes(0, 1),
    "permute": lambda z: z.reshape(2, 3, 2).permute(2, 0, 1),
    "movedim": lambda z: z.movedim(0, 1),
    "expand": lambda z: z.unsqueeze(1).expand(-1, 3, -1),
    "expand_as": lambda z: z[:, :1].expand_as(z),
    "broadcast_to": lambda z: torch.broadcast_to(z, (3, B, K)),
    "repeat": lambda z: z.repeat(2, 3),
    "tile": lambda z: z.tile(2),
    "repeat_interleave": lambda z: z.repeat_interleave(2, dim=1),
    "flip": lambda z: z.flip(1),
    "fliplr": torch.fliplr,
    "roll": lambda z: z.roll(1, 1),
    "rot90": torch.rot90,
    "sum all": lambda z: z.sum(),
    "sum": lambda z: z.sum(1),
    "sum keepdim": lambda z: z.sum((0, 1), keepdim=True),
    "mean": lambda z: z.mean(1),
    "mean all": lambda z: z.mean(),
    "nanmean": lambda z: z.nanmean(1),
    "cumsum": lambda z: z.cumsum(1),
    "diff": lambda z: z.diff(),
    "narrow": lambda z: z.narrow(1, 1, 3),
    "select": lambda z: z.select(1, 2),
    "index_select": lambda z: z.index_select(1, torch.tensor([2, 0, 2])),
    "gather": lambda z: z.gather(1, torch.tensor([[1, 1], [0, 5]])),
    "take_along_dim": lambda z: torch.take_along_dim(z, torch.tensor([[1], [0]]), 1),
    "tril": lambda z: z.tril(),
    "triu": lambda z: z.triu(),
    "diagonal": lambda z: z.diagonal(),
    "diag": lambda z: z[0].diag(),
    "diag_embed": lambda z: z.diag_embed(),
    "trace": lambda z: z.trace(),
    "split": lambda z: z.split(4, 1)[0],
    "split sizes": lambda z: z.split([1, 5], 1)[1],
    "chunk": lambda z: z.chunk(3, 1)[2],
    "tensor_split": lambda z: z.tensor_split(4, 1)[0],
    "unbind": lambda z: z.unbind(1)[3],
    "iteration": lambda z: [row for row in z][1],
    "unfold": lambda z: z.unfold(1, 3, 2),
    "getitem": lambda z: z[:, 1:4],
    "getitem none": lambda z: z[:, None, ..., 2],
    "getitem list": lambda z: z[:, [3, 1]],
    "getitem mask": lambda z: z[:, torch.arange(K) > 2],
    "getitem full mask": lambda z: z[X > 0],
    "getitem pairs": lambda z: z[[0, 1, 1], [5, 0, 2]],
    "getitem negative": lambda z: z[-1],
    "cat": lambda z: torch.cat([z, C, z * z], 1),
    "concat": lambda z: torch.concat([z, z]),
    "stack": lambda z: torch.stack([z, C], 1),
    "hstack": lambda z: torch.hstack([z, z]),
    "vstack": lambda z: torch.vstack([z, C]),
    "pad": lambda z: F.pad(z, (1, 2)),
    "pad value": lambda z: F.pad(z, (1, 2), value=3.0),
    "pad reflect": lambda z: F.pad(z[None], (1, 2), mode="reflect"),
    "pad circular": lambda z: F.pad(z[None], (1, 2), mode="circular"),
    "clone": lambda z: z.clone(),
    "contiguous": lambda z: z.T.contiguous(),
    "to": lambda z: z.to(torch.float64),
    "double": lambda z: z.double(),
    "type_as": lambda z: z.type_as(C),
    "dropout": lambda z: F.dropout(z, 0.5, False),
    "masked_fill": lambda z: z.masked_fill(X > 0, 2.0),
    "avg_pool1d": lambda z: F.avg_pool1d(z[None], 2),
    "avg_pool2d": lambda z: F.avg_pool2d(z.reshape(1, 1, 3, 4), 2, padding=1),
    "avg_pool3d": lambda z: F.avg_pool3d(z.reshape(1, 1, 2, 2, 3), 2),
    "adaptive_avg_pool1d": lambda z: F.adaptive_avg_pool1d(z[None], 4),
    "adaptive_avg_pool2d": lambda z: F.adaptive_avg_pool2d(z.reshape(1, 3, 2, 2), 1),
    "interpolate": lambda z: F.interpolate(z.reshape(1, 1, 3, 4), scale_factor=2, mode="bilinear"),
    "interpolate nearest": lambda z: F.interpolate(z.reshape(1, 2, 6), size=4),
    "pixel_shuffle": lambda z: F.pixel_shuffle(z.reshape(1, 12, 1, 1), 2),
    "im2col": lambda z: F.unfold(z.reshape(1, 1, 3, 4), 2),
    "index_add": lambda z: z.index_add(1, torch.tensor([0, 0]), z[:, :2] ** 2),
    "scatter": lambda z: z.scatter(1, torch.tensor([[0], [2]]), z[:, 3:4] ** 2),
    "scatter_add": lambda z: C.scatter_add(1, torch.tensor([[0], [2]]), z[:, 3:4]),
    "select_scatter": lambda z: torch.select_scatter(C, z[0], 0, 1),
    "neg": lambda z: -z,
    "pos": lambda z: +z,
}


@pytest.mark.parametrize("name", SHAPE)
def test_linear_operations(name):
    """Bare, which carries shared tangents, and after a nonlinear one, which carries second terms."""
    agrees(SHAPE[name])
    agrees(lambda x: varying(SHAPE[name](varying(x))))


def test_constants_have_no_slopes():
    """Comparisons, shapes, detached values and numbers taken out of the graph."""

    def model(x):
        assert x.shape == (B, K) and x.size(1) == len(x[0]) == x.T.shape[0] == K and x.dim() == x.ndim == 2
        assert x.dtype == F64 and x.is_floating_point() and x.device.type == "cpu" and not x.is_cuda
        assert isinstance(x, torch.Tensor) and x.numel() == B * K and hash(x) == id(x) and x.grad is None
        assert not x.requires_grad and x.requires_grad_() is x
        assert "tangents" in repr(x) and float(x[0, 0]) == float(X[0, 0])
        gate = (x > 0).double() + x.detach() * x.sign() + x[0, 0].item()
        if x.sum() > 100:
            return x
        floor = torch.div(x, 10.0, rounding_mode="floor") - torch.div(x, 10.0, rounding_mode="floor")
        ones = torch.ones(B, K, dtype=F64).view_as(x) * torch.ones(1, K, dtype=F64).expand_as(x)
        return gate * x * ones + floor + torch.zeros_like(x) + x.long() + torch.where(x)[0][0] + x.to(torch.int8)

    gate = (X > 0).double() + X * X.sign() + X[0, 0]
    value, slopes, second = jets.propagate(model, X, S)
    same(value, gate * X + 2 * X.long())
    same(slopes, gate * S.T[:, None])
    assert not second.any()
