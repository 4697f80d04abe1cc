"""Labels against moved channels: no operation may rule out a channel on which the next layer depends.

Each network is a first layer, one operation and a last layer. The labels of a node of the last must name every channel
of the first on which that node depends, which is found by moving one channel at a time.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from paths_oracle import uniform
from torch import nn

from acelib.paths import explanatory_graph, trace_layers
from acelib.paths._operations import ALL

C = 4  # channels


class Net(nn.Module):
    """Two rows of C channels, with six places each where ``places``; the operation sees the first layer's output."""

    def __init__(self, operation, places):
        super().__init__()
        self.operation, self.places = operation, places
        self.first = nn.Conv1d(2, C, 1) if places else nn.Linear(3, C)
        generator = torch.Generator().manual_seed(1)
        self.matrix = nn.Parameter(torch.randn(C, C, generator=generator))
        self.bilinear = nn.Bilinear(C, C, C)
        self.last = nn.LazyLinear(2)

    def between(self, h):
        return self.operation(self, h)

    def forward(self, x):
        return self.last(self.between(self.first(x)).flatten(1))


def rows(places):
    return uniform(2, 2, 6, seed=3) if places else uniform(2, 3, seed=3)


def depends(net, x):
    """True where a column of the last layer's input moves with a channel of the first one's output: (columns, C)."""
    with torch.no_grad():
        h = net.first(x)
        before = net.between(h.clone()).flatten(1)
        found = torch.zeros(before.shape[1], C, dtype=torch.bool)
        for channel in range(C):
            for factor in (1.3, -1.0, 0.2, 5.0):
                moved = h.clone()
                moved[:, channel] *= factor
                found[:, channel] |= (net.between(moved).flatten(1) - before).abs().amax(0) > 1e-6
    return found


def set_index(h, index, value):
    out = torch.zeros_like(h)
    out[index] = value
    return out


def written(h, write):
    """Return what ``write`` makes of a copy of ``h`` in place."""
    out = h.clone()
    returned = write(out)
    del returned
    return out


def by_hand(out, a, b):
    for i in range(C):
        out[:, i] = a[:, (i + 1) % C] * b[:, i]
    return out


def through_numpy(h):
    return torch.from_numpy(np.cumsum(h.numpy(), 1)).to(h)


class Cumulative(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h):
        return h.cumsum(1)


OPERATIONS = {  # name -> operation on (rows, C)
    "matmul": lambda n, h: h @ n.matrix,
    "linear": lambda n, h: F.linear(h, n.matrix),
    "addmm": lambda n, h: torch.addmm(h, h, n.matrix),
    "einsum": lambda n, h: torch.einsum("nc,cd->nd", h, n.matrix),
    "bilinear": lambda n, h: n.bilinear(h, h),
    "functional-bilinear": lambda n, h: F.bilinear(h, h, n.bilinear.weight),
    "mv": lambda n, h: torch.stack([torch.mv(n.matrix, row) for row in h]),
    "cumsum": lambda n, h: h.cumsum(1),
    "cumprod": lambda n, h: h.cumprod(1),
    "cummax": lambda n, h: h.cummax(1).values,
    "cummin": lambda n, h: h.cummin(1).values,
    "logcumsumexp": lambda n, h: h.logcumsumexp(1),
    "flip": lambda n, h: h.flip(1),
    "roll": lambda n, h: h.roll(1, 1),
    "sort": lambda n, h: h.sort(1).values,
    "topk": lambda n, h: h.topk(2, 1).values,
    "msort": lambda n, h: torch.msort(h.T).T,
    "argsort-gather": lambda n, h: h.gather(1, h.argsort(1)),
    "argmax-index": lambda n, h: torch.arange(4.0)[h.argmax(1)][:, None],
    "masked-index": lambda n, h: torch.where(h[:, :1] > 0.2, h, h.flip(1)),
    "one-hot": lambda n, h: F.one_hot(h.argmax(1), C).to(h),
    "rfft": lambda n, h: torch.fft.rfft(h, dim=1).real,
    "fft": lambda n, h: torch.fft.fft(h, dim=1).abs(),
    "diff": lambda n, h: torch.diff(h, dim=1),
    "max-pool over channels": lambda n, h: F.max_pool1d(h[:, None], 3, 1, 1)[:, 0],
    "avg-pool over channels": lambda n, h: F.avg_pool1d(h[:, None], 3, 1, 1)[:, 0],
    "lp-pool over channels": lambda n, h: F.lp_pool1d(h[:, None].abs() + 0.1, 2, 2)[:, 0],
    "adaptive pool over channels": lambda n, h: F.adaptive_avg_pool1d(h[:, None], 3)[:, 0],
    "local response": lambda n, h: F.local_response_norm(h[:, :, None], 3)[:, :, 0],
    "glu": lambda n, h: F.glu(torch.cat([h, h.flip(1)], 1), 1),
    "maxout": lambda n, h: h.view(2, 2, 2).amax(2),
    "mean removed": lambda n, h: h - h.mean(1, keepdim=True),
    "var_mean": lambda n, h: torch.var_mean(h, 1, keepdim=True)[0] * torch.ones(C),
    "norm": lambda n, h: h * h.norm(2, 1, keepdim=True),
    "vector_norm": lambda n, h: h * torch.linalg.vector_norm(h, 2, 1, keepdim=True),
    "cdist": lambda n, h: torch.cdist(h, n.matrix),
    "cosine": lambda n, h: F.cosine_similarity(h[:, None], n.matrix[None], dim=2),
    "cross": lambda n, h: torch.linalg.cross(h[:, :3], h[:, 1:]),
    "outer": lambda n, h: (h[:, :, None] * h[:, None]).flatten(1),
    "kron": lambda n, h: torch.stack([torch.kron(row[:2], row[2:]) for row in h]),
    "inverse": lambda n, h: torch.linalg.inv(h.view(2, 2, 2) + 2 * torch.eye(2)).flatten(1),
    "conv1d over channels": lambda n, h: F.conv1d(h[:, None], n.matrix[:1, None, :3], padding=1)[:, 0],
    "unfold": lambda n, h: h.unfold(1, 2, 1).flatten(1),
    "as_strided": lambda n, h: h.T.contiguous().T.as_strided((2, C), (C, 1)),
    "interpolate": lambda n, h: F.interpolate(h[:, None], size=7, mode="linear")[:, 0],
    "bicubic": lambda n, h: F.interpolate(h[:, None, None], size=(1, 7), mode="bicubic")[:, 0, 0],
    "grid_sample": lambda n, h: F.grid_sample(h[:, None, None], torch.zeros(2, 1, 4, 2), align_corners=False).flatten(
        1
    ),
    "custom function": lambda n, h: Cumulative.apply(h),
    "numpy": lambda n, h: through_numpy(h),
    "numpy and itself": lambda n, h: h + through_numpy(h),
    "item": lambda n, h: torch.stack([row * row.max().item() for row in h]),
    "tolist": lambda n, h: torch.tensor([[row[0], row[3], row[2], row[1]] for row in h.tolist()]),
    "index writing": lambda n, h: set_index(h, (slice(None), [0, 1, 2, 3]), h[:, [3, 2, 1, 0]]),
    "slice writing": lambda n, h: set_index(h, (slice(None), slice(0, 2)), h[:, 2:]),
    "mask writing": lambda n, h: set_index(h, h.flip(1) > 0.3, 1.0),
    "element by element": lambda n, h: by_hand(torch.empty(2, C), h, h),
    "element by element onto itself": lambda n, h: by_hand(h.clone(), h, h),
    "slice added to": lambda n, h: written(h, lambda o: o[:, :2].add_(h[:, 2:])),
    "scatter": lambda n, h: torch.zeros(2, C).scatter(1, torch.tensor([[3, 2, 1, 0]] * 2), h),
    "scatter_add": lambda n, h: torch.zeros(2, C).scatter_add(1, torch.tensor([[3, 3, 1, 0]] * 2), h),
    "index_add": lambda n, h: h.index_add(1, torch.tensor([1, 0]), h[:, 2:]),
    "index_copy": lambda n, h: h.index_copy(1, torch.tensor([1, 0]), h[:, 2:]),
    "masked_scatter": lambda n, h: torch.zeros(2, C).masked_scatter(torch.ones(2, C, dtype=torch.bool), h.flip(1)),
    "cumsum_": lambda n, h: written(h, lambda o: o.cumsum_(1)),
    "t_": lambda n, h: h[:, :2].clone().t_().contiguous(),
    "square transpose_": lambda n, h: h.view(2, 2, 2).clone().transpose_(1, 2),
    "out=": lambda n, h: torch.cumsum(h, 1, out=torch.empty(2, C)),
    "add out=": lambda n, h: torch.add(h, h.flip(1), out=torch.empty(2, C)),
    "foreach": lambda n, h: torch._foreach_add([h], [h.flip(1)])[0],
    "foreach_": lambda n, h: written(h, lambda o: torch._foreach_add_([o], [h.flip(1)])),
    "data": lambda n, h: h.clone().data.flip(1),
    "data written": lambda n, h: written(h, lambda o: o.data.cumsum_(1)),
    "buffer filled by views": lambda n, h: written(torch.zeros(2, 2, C), lambda o: o[:, 1].copy_(h.flip(1))),
    "empty filled by chunks": lambda n, h: written(
        torch.empty(2, C), lambda o: [part.copy_(h[:, i]) for i, part in enumerate(o.unbind(1))]
    ),
    "circular": lambda n, h: F.pad(h[:, None], (1, 1), mode="circular")[:, 0],
    "reflect": lambda n, h: F.pad(h[:, None], (1, 1), mode="reflect")[:, 0],
    "searchsorted": lambda n, h: torch.searchsorted(h.sort(1).values, h.flip(1).contiguous()).to(h),
    "attention": lambda n, h: F.scaled_dot_product_attention(h[:, :, None], h[:, :, None], h[:, :, None])[:, :, 0],
    "embedding": lambda n, h: F.embedding(h.abs().long().clamp(0, 3), n.matrix),
    "lookup": lambda n, h: n.matrix[h[:, 1:].abs().sum(1).long().clamp(0, 3)],
    "elementwise": lambda n, h: torch.relu(h) * h.sigmoid() + F.hardswish(h) - F.prelu(h, n.matrix[0]),
    "trace of matrix": lambda n, h: torch.stack([torch.trace(row.view(2, 2)) for row in h])[:, None],
    "logsumexp": lambda n, h: h.logsumexp(1, keepdim=True),
    "median": lambda n, h: h.median(1, keepdim=True).values,
    "prod": lambda n, h: h.prod(1, keepdim=True),
    "histogram of blocks": lambda n, h: h.view(2, 2, 2).sum(2, keepdim=True).expand(2, 2, 2),
    "renorm": lambda n, h: h.renorm(2, 0, 0.1),
    "quantile": lambda n, h: h.quantile(0.3, 1, keepdim=True),
    "repeat_interleave": lambda n, h: h.repeat_interleave(2, 1),
    "tensordot": lambda n, h: torch.tensordot(h, n.matrix, 1),
}

SPATIAL = {  # name -> operation on (rows, C, 6)
    "matmul": lambda n, h: n.matrix @ h,
    "channels last pool": lambda n, h: F.max_pool1d(h.transpose(1, 2), 3, 1, 1).transpose(1, 2),
    "unbatched 2d pool": lambda n, h: F.max_pool2d(h, (3, 1), 1, (1, 0)),
    "unbatched 2d average": lambda n, h: F.avg_pool2d(h, (3, 1), 1, (1, 0)),
    "dilated pool": lambda n, h: F.max_pool2d(h.reshape(2, 1, C, 6), (2, 1), 1, 0, (2, 1))[:, 0],
    "3d pool": lambda n, h: F.avg_pool3d(h.view(2, 1, 2, 2, 6), 2, 1),
    "unpool": lambda n, h: F.max_unpool1d(*F.max_pool1d(h, 2, return_indices=True), 2),
    "adaptive max": lambda n, h: F.adaptive_max_pool2d(h[:, None], (3, 3)),
    "fractional": lambda n, h: F.fractional_max_pool2d(
        h[:, None], 2, output_size=(3, 3), _random_samples=torch.full((2, 1, 2), 0.5)
    ),
    "pool of a flattened map": lambda n, h: F.max_pool1d(h.transpose(1, 2).flatten(1)[:, None], 2)[:, 0],
    "bilinear of tokens": lambda n, h: F.interpolate(h[:, None], size=(7, 6), mode="bilinear"),
    "nearest": lambda n, h: F.interpolate(h[:, None], size=(7, 6), mode="nearest"),
    "antialias": lambda n, h: F.interpolate(h[:, None], size=(3, 6), mode="bilinear", antialias=True),
    "area": lambda n, h: F.interpolate(h[:, None], size=(3, 6), mode="area"),
    "pixel shuffle": lambda n, h: F.pixel_shuffle(h.view(2, 4, 3, 2), 2),
    "im2col": lambda n, h: F.unfold(h[:, None], (3, 2)),
    "fold": lambda n, h: F.fold(h, (3, 4), (2, 2)),
    "fft2": lambda n, h: torch.fft.rfft2(h).abs(),
    "softmax": lambda n, h: torch.softmax(h, 2),
    "instance norm": lambda n, h: F.instance_norm(h),
    "mean over channels": lambda n, h: h.mean(1),
    "norm with p": lambda n, h: h.norm(2, dim=1),
    "norm with p over places": lambda n, h: h.norm(1, dim=2),
    "std": lambda n, h: h.std(1),
    "amax": lambda n, h: h.amax(1, keepdim=True),
    "all": lambda n, h: h.sum()[None, None].expand(2, 1),
    "gram": lambda n, h: h @ h.transpose(1, 2),
    "scan": lambda n, h: h.cumsum(1),
    "constant pad of channels": lambda n, h: F.pad(h, (0, 0, 1, -1)),
    "concatenated": lambda n, h: torch.cat([h[:, 2:], torch.arange(6).expand(2, 1, 6).to(h), h[:, :2]], 1),
}


@pytest.mark.filterwarnings("ignore:paths through")
@pytest.mark.parametrize(
    ("operation", "places"),
    [pytest.param(f, False, id=n) for n, f in OPERATIONS.items()]
    + [pytest.param(f, True, id=f"places-{n}") for n, f in SPATIAL.items()],
)
def test_no_channel_that_matters_is_ruled_out(operation, places):
    torch.manual_seed(0)
    net, x = Net(operation, places).eval(), rows(places)
    with torch.no_grad():
        net(x)
        net.first.bias.copy_(torch.tensor([0.3, -0.2, 0.5, -0.1]))
    trace = trace_layers(net, x)
    layer, truth = trace.layer("last"), depends(net, x)
    for node, sources in zip(layer.nodes, layer.sources, strict=True):
        named = {channel for producer, channel in sources if producer == 0}
        needed = set(truth[list(node)].any(0).nonzero()[:, 0].tolist())
        assert ALL in named or needed <= named, f"columns {node} need {needed}, labels name {named}"


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        (lambda n, h: torch.relu(h), [0, 1, 2, 3]),
        (lambda n, h: torch.softmax(h, 1), [0, 1, 2, 3]),
        (lambda n, h: F.layer_norm(h, (C,)), [0, 1, 2, 3]),
        (lambda n, h: F.group_norm(h, 2), [0, 1, 2, 3]),
        (lambda n, h: h.clone().mul_(2).clamp_(min=0).add_(1), [0, 1, 2, 3]),
        (lambda n, h: F.gelu(h) * h.sigmoid() + h.tanh(), [0, 1, 2, 3]),
        (lambda n, h: F.prelu(h, torch.tensor(0.1)), [0, 1, 2, 3]),
        (lambda n, h: torch.where(h > 0, h, h.exp()), [0, 1, 2, 3]),
        (lambda n, h: h.masked_fill(h < 0, 0), [0, 1, 2, 3]),
        (lambda n, h: h.flip(1), [3, 2, 1, 0]),
        (lambda n, h: h.roll(1, 1), [3, 0, 1, 2]),
        (lambda n, h: h[:, [2, 0, 1, 3]], [2, 0, 1, 3]),
        (lambda n, h: h.to(torch.float64).float(), [0, 1, 2, 3]),
        (lambda n, h: torch.zeros_like(h) + h.flip(1), [3, 2, 1, 0]),
        (lambda n, h: torch.zeros(2, C).copy_(h) * torch.ones_like(h), [0, 1, 2, 3]),
        (lambda n, h: h[:, :, None, None].expand(-1, -1, 2, 2).amax((2, 3)), [0, 1, 2, 3]),
        (lambda n, h: F.max_pool2d(h[:, :, None, None].expand(-1, -1, 4, 4), 2).mean((2, 3)), [0, 1, 2, 3]),
        (lambda n, h: F.interpolate(h[:, :, None, None], scale_factor=2, mode="bilinear")[:, :, 0, 0], [0, 1, 2, 3]),
    ],
)
def test_operations_that_are_known_keep_each_channel(operation, named):
    net, x = Net(operation, False).eval(), uniform(2, 3, seed=3)
    with torch.no_grad():
        net(x)
    layer = trace_layers(net, x).layer("last")
    assert [{channel for _, channel in node} for node in layer.sources] == [{c} for c in named]


def test_what_a_bilinear_layer_reads_is_found_necessary():
    """Output 0 of the bilinear layer is the square of channel 1, and nothing else reaches the output."""
    net = Net(lambda n, h: n.bilinear(h, h), False).double().eval()
    x = uniform(50, 3, dtype=torch.float64) + 1
    net(x)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        net.first.weight[:3] = torch.eye(3)
        net.bilinear.weight[0, 1, 1] = 1.0
        net.last.weight[0, 0] = 1.0
    with pytest.warns(UserWarning, match=r"paths through the weights of 'bilinear' \(Bilinear\) are left out"):
        graph = explanatory_graph(net, x, 0)
    assert graph["last"].necessary == (0,) and graph["first"].necessary == (1,)
