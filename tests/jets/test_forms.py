"""Every documented form of an operation's arguments: by position, by name, with numbers, constants and jets.

A form is right to 1e-10 of double backward in float64, or refused by name, and so is ``route="auto"``.
"""

import pytest
import torch
import torch.nn.functional as F
from jets_oracle import F64, B, C, K, S, W, X, agrees, draw, positive, varying

from acelib import half_trace, jets

i2 = torch.tensor([[0, 2], [1, 3]])
ii = torch.tensor([0, 2])
c2 = draw(B, 2, seed=9)
m = torch.tensor([True, False, True, False, False, True])
rm, rv, w, b = draw(K, seed=11), draw(K, seed=12).exp(), draw(K, seed=13), draw(K, seed=14)


def written(f):
    def g(x):
        z = varying(x).clone()
        r = f(z)
        return z if r is None else r

    return g


FORMS = {
    "scatter num": lambda x: varying(x).scatter(1, i2, 3.0),
    "scatter int": lambda x: varying(x).scatter(1, i2, 3),
    "scatter value=": lambda x: varying(x).scatter(1, i2, value=3.0),
    "scatter kw": lambda x: varying(x).scatter(dim=1, index=i2, value=3.0),
    "scatter src=": lambda x: varying(x).scatter(1, i2, src=c2),
    "scatter jet src=": lambda x: varying(x).scatter(1, i2, src=varying(x)[:, :2]),
    "scatter all kw": lambda x: torch.scatter(input=varying(x), dim=1, index=i2, src=c2),
    "scatter mult num": lambda x: varying(x).scatter(1, i2, 3.0, reduce="multiply"),
    "scatter mult src": lambda x: varying(x).scatter(1, i2, c2, reduce="multiply"),
    "scatter add num": lambda x: varying(x).scatter(1, i2, 3.0, reduce="add"),
    "scatter add src": lambda x: varying(x).scatter(1, i2, c2, reduce="add"),
    "scatter mult jet": lambda x: varying(x).scatter(1, i2, varying(x)[:, :2], reduce="multiply"),
    "scatter const base": lambda x: C.scatter(1, i2, varying(x)[:, :2]),
    "scatter mult const base": lambda x: C.scatter(1, i2, varying(x)[:, :2], reduce="multiply"),
    "scatter_ num": written(lambda z: z.scatter_(1, i2, 3.0)),
    "scatter_ mult": written(lambda z: z.scatter_(1, i2, 3.0, reduce="multiply")),
    "scatter_ value": written(lambda z: z.scatter_(1, i2, value=2.0)),
    "scatter_ src": written(lambda z: z.scatter_(1, i2, c2)),
    "scatter_add": lambda x: varying(x).scatter_add(1, i2, c2),
    "scatter_add kw": lambda x: varying(x).scatter_add(dim=1, index=i2, src=c2),
    "scatter_add jet": lambda x: C.scatter_add(1, i2, varying(x)[:, :2]),
    "index_add": lambda x: varying(x).index_add(1, ii, c2),
    "index_add alpha": lambda x: varying(x).index_add(1, ii, c2, alpha=2),
    "index_add kw": lambda x: varying(x).index_add(dim=1, index=ii, source=c2, alpha=-1.5),
    "index_add jet": lambda x: varying(x).index_add(1, ii, varying(x)[:, 1:3], alpha=3),
    "index_copy": lambda x: varying(x).index_copy(1, ii, c2),
    "index_copy kw": lambda x: varying(x).index_copy(1, index=ii, source=c2),
    "index_fill": lambda x: varying(x).index_fill(1, ii, 3.0),
    "index_fill t": lambda x: varying(x).index_fill(1, ii, torch.tensor(3.0, dtype=F64)),
    "index_fill_": written(lambda z: z.index_fill_(1, ii, 3.0)),
    "masked_fill": lambda x: varying(x).masked_fill(m, 3.0),
    "masked_fill kw": lambda x: varying(x).masked_fill(mask=m, value=3.0),
    "masked_fill t": lambda x: varying(x).masked_fill(m, torch.tensor(2.0, dtype=F64)),
    "masked_fill jet": lambda x: varying(x).masked_fill(m, varying(x).sum()),
    "masked_fill_": written(lambda z: z.masked_fill_(m, -1e9)),
    "masked_fill int": lambda x: varying(x).masked_fill(m, 3),
    "masked_scatter": lambda x: varying(x).masked_scatter(m.expand(B, K), c2.new_ones(20)),
    "index_put": lambda x: varying(x).index_put((torch.tensor([0, 1]), ii), torch.tensor([3.0, 4.0], dtype=F64)),
    "put": lambda x: varying(x).put(torch.tensor([1, 3]), torch.tensor([3.0, 4.0], dtype=F64)),
    "diff": lambda x: varying(x).diff(),
    "diff prepend": lambda x: varying(x).diff(prepend=c2[:, :1]),
    "diff append": lambda x: varying(x).diff(dim=1, append=c2),
    "diff both pos": lambda x: torch.diff(varying(x), 1, 1, c2, c2),
    "diff n2": lambda x: torch.diff(varying(x), n=2, prepend=c2),
    "diff jet": lambda x: torch.diff(varying(x), prepend=varying(x)[:, :1]),
    "diff const x": lambda x: torch.diff(C, prepend=varying(x)),
    "diff int": lambda x: torch.diff(varying(x), prepend=torch.ones(B, 1, dtype=torch.long)),
    "block_diag": lambda x: torch.block_diag(varying(x), C),
    "block_diag2": lambda x: torch.block_diag(C, varying(x), varying(x) * 2),
    "cartesian": lambda x: torch.cat([C, varying(x)], 1),
    "cat kw": lambda x: torch.cat(tensors=[C, varying(x)], dim=0),
    "stack": lambda x: torch.stack((C, varying(x)), dim=-1),
    "hstack": lambda x: torch.hstack([C, varying(x)]),
    "column": lambda x: torch.column_stack([C, varying(x)]),
    "where": lambda x: torch.where(m, varying(x), 3.0),
    "where2": lambda x: torch.where(m, 3.0, varying(x)),
    "where t": lambda x: torch.where(m, C, varying(x)),
    "where m": lambda x: varying(x).where(m, 2.0),
    "where kw": lambda x: varying(x).where(condition=m, other=2.0),
    "where kw2": lambda x: torch.where(condition=m, input=varying(x), other=C),
    "where cond jet": lambda x: torch.where(varying(x) > 0, varying(x), C),
    "pad": lambda x: F.pad(varying(x), (1, 2)),
    "pad v": lambda x: F.pad(varying(x), (1, 2), value=3.0),
    "pad pos": lambda x: F.pad(varying(x), (1, 2), "constant", 3.0),
    "pad refl": lambda x: F.pad(varying(x)[:, None], (1, 2), mode="reflect"),
    "pad circ": lambda x: F.pad(varying(x)[:, None], (1, 2), "circular"),
    "pad kw": lambda x: F.pad(input=varying(x), pad=(1, 1), value=2.0),
    "pad neg": lambda x: F.pad(varying(x), (-1, 1), value=2.0),
    "constpad": torch.nn.ConstantPad1d(2, 3.5),
    "select_scatter": lambda x: varying(x).select_scatter(C[:, 0], 1, 2),
    "select_scatter kw": lambda x: varying(x).select_scatter(src=C[:, 0], dim=1, index=2),
    "slice_scatter": lambda x: varying(x).slice_scatter(C[:, :2], 1, 0, 2),
    "slice_scatter kw": lambda x: varying(x).slice_scatter(src=C[:, :2], dim=1, start=1, end=3),
    "diagonal_scatter": lambda x: varying(x).diagonal_scatter(C[0, :2]),
    "diag_scatter kw": lambda x: varying(x).diagonal_scatter(src=C[0, :2], offset=1),
    "fill_": written(lambda z: (z[:, 0].fill_(3.0), None)[1]),
    "fill_ val": written(lambda z: (z[:, 0].fill_(value=3.0), None)[1]),
    "zero_": written(lambda z: (z[:, 1].zero_(), None)[1]),
    "copy_": written(lambda z: (z[:, 1].copy_(C[:, 0]), None)[1]),
    "copy_ nb": written(lambda z: (z[:, 1].copy_(C[:, 0], True), None)[1]),
    "torch.fill": lambda x: torch.fill(varying(x), 2.0) + x,
    "full_like": lambda x: torch.full_like(x, 3.0) * varying(x),
    "setitem": written(lambda z: z.__setitem__((slice(None), 0), 3.0)),
    "fill_diag": written(lambda z: z.fill_diagonal_(3.0)),
    "bn F": lambda x: F.batch_norm(varying(x), rm, rv, w, b),
    "bn T": lambda x: torch.batch_norm(varying(x), w, b, rm, rv, False, 0.1, 1e-5, False),
    "bn kw": lambda x: F.batch_norm(varying(x), rm, rv, weight=w, bias=b, eps=0.1),
    "in T": lambda x: torch.instance_norm(
        varying(x).reshape(B, 2, 3), w[:2], b[:2], None, None, True, 0.1, 1e-5, False
    ),
    "in F": lambda x: F.instance_norm(varying(x).reshape(B, 2, 3), weight=w[:2], bias=b[:2]),
    "ln T": lambda x: torch.layer_norm(varying(x), (K,), w, b, 1e-3),
    "gn T": lambda x: torch.group_norm(varying(x).reshape(B, 2, 3), 2, w[:2], b[:2], 1e-3),
    "rms": lambda x: F.rms_norm(varying(x), (K,), w),
    "linear kw": lambda x: F.linear(varying(x), weight=W, bias=W[:, 0]),
    "conv kw": lambda x: F.conv1d(varying(x)[:, None], W[:1, None, :3], bias=b[:1], padding=1),
    "conv same": lambda x: torch.conv1d(varying(x)[:, None], W[:1, None, :3], b[:1], 1, "same"),
    "add alpha": lambda x: torch.add(varying(x), C, alpha=3),
    "add num": lambda x: 3 + varying(x),
    "sub alpha": lambda x: torch.sub(C, varying(x), alpha=2),
    "rsub": lambda x: torch.rsub(varying(x), 3.0, alpha=2),
    "rsub c": lambda x: torch.rsub(varying(x), C, alpha=2.0),
    "add_": written(lambda z: z.add_(C, alpha=2)),
    "sub_": written(lambda z: z.sub_(3, alpha=2)),
    "addmm": lambda x: torch.addmm(C[:, :2], varying(x), W.T[:, :2], beta=2.0, alpha=0.5),
    "addmm c": lambda x: torch.addmm(varying(x)[:, :4], C, W.T, beta=3.0),
    "addbmm": lambda x: torch.addbmm(C[:, :4], varying(x)[None], W.T[None]),
    "baddbmm": lambda x: torch.baddbmm(C[None, :, :4], varying(x)[None], W.T[None], beta=2, alpha=3),
    "addmv": lambda x: torch.addmv(C[:, 0], varying(x), w, alpha=2.0),
    "addr": lambda x: torch.addr(C, varying(x)[:, 0], w),
    "addcmul": lambda x: torch.addcmul(C, varying(x), C, value=3),
    "addcdiv": lambda x: torch.addcdiv(C, varying(x), C, value=2),
    "lerp": lambda x: torch.lerp(varying(x), C, 0.3),
    "lerp t": lambda x: torch.lerp(C, varying(x), C),
    "cumsum": lambda x: varying(x).cumsum(dim=1),
    "cumprod": lambda x: varying(x).cumprod(1),
    "prod": lambda x: varying(x).prod(1),
    "interp": lambda x: F.interpolate(varying(x)[:, None], scale_factor=2.0, mode="linear", align_corners=True),
    "gather": lambda x: varying(x).gather(1, i2),
    "tril": lambda x: varying(x).tril(1),
    "nansum": lambda x: varying(x).nansum(1),
    "mean kw": lambda x: varying(x).mean(dim=1, keepdim=True),
    "sum dtype": lambda x: varying(x).sum(1, dtype=F64),
    "std": lambda x: varying(x).std(1, correction=0),
    "norm": lambda x: varying(x).norm(dim=1),
    "clamp": lambda x: varying(x).clamp(min=-0.1, max=0.2),
    "clamp t": lambda x: torch.clamp(varying(x), C, C + 1),
    "threshold": lambda x: F.threshold(varying(x), 0.1, 20.0),
    "nan_to_num": lambda x: torch.nan_to_num(varying(x), nan=3.0),
    "leaky": lambda x: F.leaky_relu(varying(x), negative_slope=0.3),
    "hardtanh": lambda x: F.hardtanh(varying(x), -0.1, 0.3),
    "softplus": lambda x: F.softplus(varying(x), beta=2.0, threshold=3.0),
    "elu": lambda x: F.elu(varying(x), alpha=2.0),
    "celu": lambda x: torch.celu(varying(x), alpha=2.0),
    "gelu": lambda x: F.gelu(varying(x), approximate="tanh"),
    "logit": lambda x: torch.logit(torch.sigmoid(x), eps=1e-3),
    "pow": lambda x: torch.pow(2.0, varying(x)),
    "pow2": lambda x: positive(x) ** 2.5,
    "xlogy": lambda x: torch.xlogy(C, positive(x)),
    "div": lambda x: torch.div(3.0, positive(x)),
    "rdiv": lambda x: 2 / positive(x),
    "div trunc": lambda x: torch.div(varying(x), 0.3, rounding_mode="floor") + x,
    "fmod": lambda x: torch.fmod(varying(x), 0.7),
    "remainder": lambda x: torch.remainder(varying(x), 0.7),
    "softmax": lambda x: varying(x).softmax(dim=1),
    "logsumexp": lambda x: torch.logsumexp(varying(x), dim=1, keepdim=True),
    "softmin": lambda x: F.softmin(varying(x), dim=1),
    "max": lambda x: varying(x).max(dim=1).values,
    "max2": lambda x: torch.max(varying(x), C),
    "maximum": lambda x: torch.maximum(varying(x), C),
    "kth": lambda x: varying(x).kthvalue(2, dim=1)[0],
    "kth k=": lambda x: torch.kthvalue(varying(x), k=2)[0],
    "kth d0": lambda x: torch.kthvalue(varying(x), 2, 0)[0],
    "topk": lambda x: varying(x).topk(2, 1)[0],
    "topk kw": lambda x: varying(x).topk(k=2, dim=0)[0],
    "sort": lambda x: varying(x).sort(dim=1, descending=True)[0],
    "sort pos": lambda x: torch.sort(varying(x), 0)[0],
    "sort stable": lambda x: torch.sort(varying(x), stable=True, dim=0)[0],
    "median": lambda x: varying(x).median(0)[0],
    "median all": lambda x: varying(x).median(),
    "amax": lambda x: varying(x).amax((0, 1)),
    "cummax": lambda x: varying(x).cummax(0)[0],
    "sort desc pos": lambda x: varying(x).sort(0, True)[0],
    "max keep": lambda x: varying(x).max(1, True)[0],
    "min kw": lambda x: torch.min(varying(x), dim=0, keepdim=True)[0],
    "max other kw": lambda x: torch.max(varying(x), other=C),
    "maxpool": lambda x: F.max_pool1d(varying(x)[:, None], 2, stride=1, padding=1),
    "maxpool ceil": lambda x: F.max_pool1d(varying(x)[:, None], kernel_size=4, ceil_mode=True),
    "avgpool": lambda x: F.avg_pool1d(varying(x)[:, None], 2, 1, 1, False, True),
    "avgpool2 div": lambda x: F.avg_pool2d(varying(x).reshape(B, 1, 2, 3), 2, divisor_override=3),
    "unfold": lambda x: varying(x).unfold(1, 3, 1),
    "F.unfold": lambda x: F.unfold(varying(x).reshape(B, 1, 2, 3), kernel_size=2, padding=1),
    "tensordot": lambda x: torch.tensordot(varying(x), W, dims=([1], [1])),
    "tensordot1": lambda x: torch.tensordot(varying(x), W.T, 1),
    "einsum": lambda x: torch.einsum("bi,oi->bo", varying(x), W),
    "einsum list": lambda x: torch.einsum("bi,bj->bij", [varying(x), x]),
    "kron": lambda x: torch.kron(varying(x), C),
    "outer": lambda x: torch.outer(varying(x)[0], x[1]),
    "cross": lambda x: torch.linalg.cross(varying(x).reshape(B, 2, 3), C.reshape(B, 2, 3), dim=2),
    "bilinear": lambda x: F.bilinear(varying(x), x, draw(3, K, K), b[:3]),
    "matmul other=": lambda x: torch.matmul(input=varying(x), other=W.T),
    "mul kw": lambda x: torch.mul(input=varying(x), other=3.0),
    "dot": lambda x: torch.dot(varying(x)[0], x[1]),
    "chain": lambda x: torch.linalg.multi_dot([varying(x), W.T, W]),
    "roll": lambda x: varying(x).roll(shifts=2, dims=1),
    "rot90": lambda x: torch.rot90(varying(x), 1, [0, 1]),
    "repeat": lambda x: varying(x).repeat(1, 2),
    "repeat_interleave": lambda x: varying(x).repeat_interleave(torch.tensor([1, 2, 1, 1, 1, 1]), dim=1),
    "expand": lambda x: varying(x)[:, None].expand(-1, 3, -1),
    "take": lambda x: varying(x).take(torch.tensor([1, 3])),
    "flip": lambda x: varying(x).flip(dims=[1]),
    "index_select kw": lambda x: varying(x).index_select(dim=1, index=ii),
    "diag_embed": lambda x: torch.diag_embed(varying(x), offset=1),
    "trace": lambda x: torch.trace(varying(x)),
    "unbind": lambda x: torch.unbind(varying(x), dim=1)[1],
    "chunk": lambda x: varying(x).chunk(chunks=2, dim=1)[1],
    "pixel": lambda x: F.pixel_shuffle(varying(x)[:, :4].reshape(B, 4, 1, 1), 2),
    "scatter_reduce sum": lambda x: varying(x).scatter_reduce(1, i2, c2, "sum"),
    "scatter_reduce prod": lambda x: varying(x).scatter_reduce(1, i2, varying(x)[:, :2], "prod"),
    "scatter_reduce mean": lambda x: varying(x).scatter_reduce(1, i2, c2, reduce="mean", include_self=False),
    "index_reduce": lambda x: varying(x).index_reduce(1, ii, varying(x)[:, :2], "prod"),
    "sdpa": lambda x: F.scaled_dot_product_attention(
        varying(x).reshape(B, 1, 2, 3), x.reshape(B, 1, 2, 3), C.reshape(B, 1, 2, 3), scale=0.3
    ),
    "sdpa mask": lambda x: F.scaled_dot_product_attention(
        varying(x).reshape(B, 1, 2, 3),
        x.reshape(B, 1, 2, 3),
        varying(x).reshape(B, 1, 2, 3),
        attn_mask=torch.tensor([[0.0, -3.0], [0.0, 1.0]], dtype=F64),
    ),
    "normalize": lambda x: F.normalize(varying(x), p=2.0, dim=1),
    "cosine": lambda x: F.cosine_similarity(varying(x), C, dim=1, eps=1e-3),
    "mse": lambda x: F.mse_loss(varying(x), C, reduction="sum"),
    "huber": lambda x: F.smooth_l1_loss(varying(x), C, beta=0.5),
    "ce": lambda x: F.cross_entropy(varying(x), torch.tensor([1, 2]), label_smoothing=0.1),
    "cdist": lambda x: torch.cdist(varying(x), C),
    "var": lambda x: torch.var(varying(x), 1, correction=0),
    "var_mean": lambda x: torch.var_mean(varying(x), 1)[0],
    "glu": lambda x: F.glu(varying(x), dim=1),
    "prelu": lambda x: F.prelu(varying(x), w),
    "dropout": lambda x: F.dropout(varying(x), 0.5, False),
    "dropout T": lambda x: torch.dropout(varying(x), p=0.5, train=False),
    "alpha": lambda x: F.alpha_dropout(varying(x), training=False),
    "embedding_bag": lambda x: varying(x),
    "type_as": lambda x: varying(x).type_as(C),
    "new_tensor": lambda x: x.new_full((B, K), 2.0) * varying(x),
    "clone": lambda x: varying(x).clone(memory_format=torch.contiguous_format),
    "movedim": lambda x: torch.movedim(varying(x), source=0, destination=1),
    "lnorm": lambda x: torch.linalg.vector_norm(varying(x), ord=3, dim=1),
    "square_": written(lambda z: z.mul_(2).clamp_(min=-0.2)),
    "relu inplace": lambda x: F.relu(varying(x) * 1.0, inplace=True),
    "thr inplace": lambda x: F.threshold(varying(x) * 1.0, 0.1, 2.0, True),
}


# Forms without a rule, which the error names.
REFUSED = [
    "index_fill",
    "index_fill t",
    "index_fill_",
    "masked_scatter",
    "index_put",
    "put",
    "diff jet",
    "diff const x",
    "cat kw",
    "fill_diag",
    "addbmm",
    "addr",
    "cumprod",
    "chain",
    "take",
    "scatter_reduce sum",
    "scatter_reduce prod",
    "scatter_reduce mean",
    "index_reduce",
    "mse",
    "huber",
    "ce",
    "var_mean",
    "dropout T",
    "lnorm",
]

# Forms that torch itself cannot differentiate twice; their right values stand below.
UNKNOWN_TO_TORCH = [
    name for name in FORMS if name.startswith(("scatter mult", "scatter add", "scatter_ mult", "cdist"))
]


@pytest.mark.parametrize("name", [name for name in FORMS if name not in UNKNOWN_TO_TORCH])
def test_every_form_is_right_or_refused(name):
    try:
        agrees(FORMS[name])
    except jets.MissingRule as error:
        assert name in REFUSED, error


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.filterwarnings("ignore")
def test_auto_is_right_or_refused(name):
    """Each point makes a small batch of its own, so that forms which mix rows keep their points apart."""
    share = torch.tensor([[1.0], [0.7]], dtype=F64)

    def model(x):
        return torch.stack([FORMS[name](row[None].expand(B, -1) * share).reshape(-1) for row in x])

    try:
        right = half_trace(model, X, S, route="double_backward")
        found = half_trace(model, X, S)
    except (RuntimeError, NotImplementedError):
        assert name in UNKNOWN_TO_TORCH or name in REFUSED
        return
    torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("number", [3, 3.0, -0.5])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("reduce", ["add", "multiply"])
def test_scatter_that_reduces_a_constant(number, in_place, reduce):
    """Against the same thing written with a mask, which double backward can follow."""
    index, source = torch.tensor([[0, 2], [1, 3]]), torch.full((B, 2), float(number), dtype=F64)
    hit = torch.zeros(B, K, dtype=F64).scatter(1, index, 1.0)

    def plain(x):
        z = varying(x)
        return z + number * hit if reduce == "add" else z * torch.where(hit > 0, number, 1.0)

    for given in (number, source):

        def scattered(x, given=given):
            z = varying(x)
            return (z.clone().scatter_ if in_place else z.scatter)(1, index, given, reduce=reduce)

        for one, other in zip(jets.propagate(scattered, X, S), jets.propagate(plain, X, S), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    agrees(plain)


def test_scatter_that_multiplies_by_a_jet_is_refused():
    index = torch.tensor([[0, 2], [1, 3]])
    with pytest.raises(jets.MissingRule, match="multiplies by something that varies"):
        jets.propagate(lambda x: C.scatter(1, index, x[:, :2], reduce="multiply"), X, S)


def test_a_rule_of_ones_own_may_have_constants():
    """``jets.linear`` for an operation that is affine in its arguments, with constants by position and by name."""
    with jets.register("index_fill", jets.linear(0)), jets.register("put", jets.linear(0, 2)):
        agrees(lambda x: varying(x).index_fill(1, torch.tensor([0, 2]), 3.0))
        agrees(lambda x: varying(x).index_fill(dim=1, index=torch.tensor([0, 2]), value=3))
        agrees(lambda x: varying(x).put(torch.tensor([1, 3]), torch.tensor([3.0, 4.0], dtype=F64)))
        agrees(lambda x: varying(x).put(torch.tensor([1, 3]), x[0, :2]))
