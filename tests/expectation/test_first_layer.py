"""Rows that differ in a few columns: the same outputs as written-out rows, with the first layer paid once."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acelib.expectation.first_layer import Rows, shared_rows

F64 = torch.float64
N, V, K = 5, 3, 12


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def plain(model, rows, columns, values, shape):
    block = rows.expand(len(values), *rows.shape).clone()
    block[:, :, list(columns)] = values[:, None]
    with torch.no_grad():
        return model(block.reshape(-1, *shape)).reshape(len(values), len(rows), -1)


def module(*layers):
    net = nn.Sequential(*layers).double().eval()
    for i, (name, p) in enumerate(net.state_dict().items()):
        if p.is_floating_point():
            p.copy_(draw(*p.shape, seed=i).abs() + 0.3 if name.endswith("var") else draw(*p.shape, seed=i))
    return net


def affine(x):
    return ((x.to(F64) - 0.3) / 2 * draw(1, *x.shape[1:]) + draw(*x.shape[1:])).reshape(len(x), -1)


def writes_through_a_view(x):
    x.view(x.shape[0], -1).mul_(2)
    return (x * x).flatten(1)


def writes_through_another_view(x):
    x[:, 0] = 1.0
    x.transpose(0, 1).mul_(2)
    return (x * x).flatten(1)


def writes_behind_a_view(x):
    """The transposed rows are written; x itself must follow."""
    x.to(x.dtype).view(x.shape[0], -1).transpose(0, 1).mul_(2)
    return (x * x).flatten(1)


def sets_a_column_of_a_view(x):
    x.view(x.shape[0], -1)[:, 0] = 0
    return (x * x).flatten(1)


def views_without_writing(x):
    first, second = x.flatten(1).chunk(2, 1)
    return first * second


MODELS = {
    "writes behind a view": (writes_behind_a_view, (3, 4)),
    "sets a column of a view": (sets_a_column_of_a_view, (3, 4)),
    "views without writing": (views_without_writing, (3, 4)),
    "mlp": (module(nn.Linear(K, 7), nn.Tanh(), nn.Linear(7, 2)), (K,)),
    "flatten": (module(nn.Flatten(), nn.Dropout(), nn.Linear(K, 7, bias=False), nn.ReLU(inplace=True)), (3, 4)),
    "conv": (module(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2)), (1, 3, 4)),
    "affine": (affine, (3, 4)),
    "linear all the way": (module(nn.Linear(K, 4), nn.Linear(4, 2)), (K,)),
    "identity": (lambda x: x, (K,)),
    "product": (lambda x: x * x + x.sum(1, keepdim=True), (K,)),
    "per row": (lambda x: x * torch.arange(len(x))[:, None], (K,)),
    "to integers": (lambda x: x.long().double() + x, (K,)),
    "two": (lambda x: torch.cat([x, x.tanh()], 1) @ torch.ones(2 * K, 2, dtype=F64), (K,)),
    "writes": (lambda x: x.mul_(2).add_(x).tanh_(), (K,)),
    "writes through a view": (writes_through_a_view, (3, 4)),
    "writes through another": (writes_through_another_view, (3, 4)),
    "rows away": (lambda x: x.reshape(-1).reshape(-1, K) ** 2, (K,)),
    "one dimension": (lambda x: F.linear(x.flatten(), torch.eye(N * V * K, dtype=F64)).reshape(-1, K), (K,)),
    "unbatched conv": (lambda x: F.conv1d(x, draw(V * N, V * N, 1)), (K,)),
    "wider": (lambda x: (x + torch.ones(2, 1, 1, dtype=F64))[0], (K,)),
    "shape": (lambda x: x.reshape(x.shape[0], x.size(1)) * x.ndim, (K,)),
    "vmapped": (torch.vmap(torch.sin), (K,)),
    "dropout that is on": (lambda x: F.dropout(x, 1.0, training=True) + x.tanh(), (K,)),
    "jets of shapes": (lambda x: F.linear(torch.ones(V * N, K, dtype=F64) * x, x[:2] * 0 + 1), (K,)),
}


@pytest.mark.parametrize("columns", [(4,), (0, 7)])
@pytest.mark.parametrize("name", MODELS)
def test_same_as_written_out(name, columns):
    """To rounding; rows and values stay as they were."""
    model, shape = MODELS[name]
    rows, values = draw(N, K, seed=1), draw(V, len(columns), seed=2)
    before = rows.clone()
    expected = plain(model, rows, columns, values, shape)
    answer = shared_rows(model, rows, columns, values, shape=shape)
    assert answer.shape == expected.shape and not answer.requires_grad and not isinstance(answer, Rows)
    assert float((answer - expected).abs().max()) <= 1e-12 * max(1.0, float(expected.abs().max()))
    assert torch.equal(rows, before)


@pytest.mark.parametrize("name", ["mlp", "flatten", "conv"])
def test_the_first_layer_sees_rows_plus_values(name):
    """Not rows times values: its output arrives in the shared form, the next layer's does not."""
    model, shape = MODELS[name]
    seen = {}
    handles = [m.register_forward_hook(lambda m, a, out, i=i: seen.update({i: type(out)})) for i, m in enumerate(model)]
    shared_rows(model, draw(N, K), (3,), draw(V, 1), shape=shape)
    for handle in handles:
        handle.remove()
    first = next(i for i, m in enumerate(model) if isinstance(m, (nn.Linear, nn.Conv2d)))
    assert all(seen[i] is Rows for i in range(first + 1)) and seen[len(model) - 1] is torch.Tensor


def test_errors_of_the_model_surface():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        shared_rows(nn.Linear(3, 2).double(), draw(N, K), (3,), draw(V, 1))
