"""A call for each registered rule of jets, from which tests make every form of its arguments."""

from __future__ import annotations

import copy

import torch
from jets_oracle import F64, B, K, draw, positive, varying

from acelib import jets

ROW = torch.tensor([[0, 2], [1, 3]])
COLUMNS = torch.tensor([0, 2])
MASK = torch.tensor([[True, False, True, False, False, True], [False, True, True, False, True, False]])


class T:
    """A tensor argument that varies with x: ``make(x)``, reshaped; as a constant it is the same at another point."""

    def __init__(self, make=varying, *shape):
        self.make, self.shape = make, shape

    def at(self, x):
        made = self.make(x)
        return made.reshape(self.shape) if self.shape else made

    def constant(self):
        return self.at(draw(B, K, seed=21))


def turned(x):
    """Something else that varies, for a second argument."""
    return torch.cos(x.flip(1)) + 0.2 * x


def inside(x):
    return 0.9 * torch.tanh(x)


Z, P, U, O = T(), T(positive), T(inside), T(turned)  # noqa: E741
OP = T(lambda x: positive(x.flip(1)))


def same_call(names, *args, **kwargs):
    return {name: (args, kwargs) for name in names.split()}


def weights(*shape):
    return draw(*shape, seed=31)


def cell(count):
    """Arguments of a recurrent cell after its input and state, for 3 inputs and 2 hidden numbers."""
    return weights(2 * count, 3), weights(2 * count, 2), weights(2 * count), weights(2 * count)


def network(name, count):
    hidden = [T(lambda x, at=at: turned(x)[None, :, at : at + 2]) for at in range(2 if name == "lstm" else 1)]
    flat = [weights(2 * count, 3), weights(2 * count, 2), weights(2 * count), weights(2 * count)]
    return (T(lambda x: varying(x).reshape(2, B, 3)), hidden if name == "lstm" else hidden[0], flat), (
        True,
        1,
        0.0,
        False,
        False,
        False,
    )


HALF = T(lambda x: varying(x)[:, :3])
STATE = T(lambda x: turned(x)[:, :2])
ATTENTION = (4, 2, weights(12, 4), weights(12), None, None, False, 0.0, weights(4, 4), weights(4))
QUERY = T(lambda x: torch.cat([varying(x), x], 1), 3, B, 4)

CALLS = {
    **same_call(
        "tanh sigmoid exp square relu gelu silu mish softplus elu celu selu logsigmoid softsign tanhshrink exp2 expm1 "
        "sin cos sinh cosh asinh atan sinc arctan arcsinh erf erfc hardswish leaky_relu relu6 hardtanh "
        "hardshrink softshrink abs neg nan_to_num positive clone contiguous ravel t T mT adjoint fliplr flipud "
        "detach double sum mean nansum nanmean squeeze trace tril triu cpu floor ceil round trunc fix sign "
        "sgn atleast_2d atleast_3d norm var std prod max min median flatten diag diagonal amax amin linalg_norm "
        "linalg_vector_norm rot90 diff",
        Z,
    ),
    **same_call("log log2 log10 log1p sqrt rsqrt reciprocal digamma lgamma", P),
    **same_call("asin acos atanh erfinv tan arcsin arccos arctanh", U),
    **same_call("acosh arccosh", T(lambda x: 1 + positive(x))),
    "logit": ((T(lambda x: torch.sigmoid(x)),), {}),
    **same_call("add sub mul atan2 hypot logaddexp logaddexp2 maximum minimum fmax fmin rsub", Z, O),
    **same_call("div remainder fmod", Z, OP),
    **same_call("pow float_power xlogy xlog1py", P, OP),
    "lerp": ((Z, O, U), {}),
    "addcmul": ((Z, O, U), {"value": 2.0}),
    "addcdiv": ((Z, O, P), {"value": 2.0}),
    "clamp": ((Z, -0.5, 0.7), {}),
    "clamp_min": ((Z, -0.2), {}),
    "clamp_max": ((Z, 0.3), {}),
    "threshold": ((Z, 0.1, -1.0), {}),
    "rrelu": ((Z,), {"training": False}),
    "where": ((MASK, Z, O), {}),
    "prelu": ((Z, T(lambda x: turned(x)[0])), {}),
    "glu": ((Z, 1), {}),
    "linear": ((Z, weights(4, K), weights(4)), {}),
    "bilinear": ((Z, O, weights(3, K, K), weights(3)), {}),
    **{
        f"conv{d}d": ((T(varying, 1, 1, *shape), weights(2, 1, *[2] * d), weights(2)), {"padding": 1})
        for d, shape in ((1, (12,)), (2, (3, 4)), (3, (2, 2, 3)))
    },
    **{
        f"conv_transpose{d}d": ((T(varying, 1, 1, *shape), weights(1, 2, *[2] * d), weights(2)), {"stride": 2})
        for d, shape in ((1, (12,)), (2, (3, 4)), (3, (2, 2, 3)))
    },
    "batch_norm": ((Z, weights(K), weights(K).exp(), weights(K), weights(K), False, 0.1, 1e-3), {}),
    "instance_norm": ((T(varying, B, 2, 3),), {"eps": 1e-3}),
    "layer_norm": ((Z, (K,), weights(K), weights(K), 1e-3), {}),
    "rms_norm": ((Z, (K,), weights(K), 1e-3), {}),
    "group_norm": ((Z, 2, weights(K), weights(K), 1e-3), {}),
    **same_call("matmul mm", Z, T(turned, K, B)),
    "bmm": ((T(varying, 2, 2, 3), T(turned, 2, 3, 2)), {}),
    "mv": ((Z, T(lambda x: turned(x)[0])), {}),
    **same_call("dot inner vdot outer ger", T(lambda x: varying(x)[0]), T(lambda x: turned(x)[1])),
    "linalg_vecdot": ((Z, O), {}),
    "kron": ((Z, O), {}),
    **same_call("cross linalg_cross", T(varying, 4, 3), T(turned, 4, 3)),
    "tensordot": ((Z, O, ([1], [1])), {}),
    "einsum": (("bi,bj->bij", Z, O), {}),
    "addmm": ((T(lambda x: varying(x)[:, :2]), Z, T(turned, K, B)), {"beta": 2.0, "alpha": 0.5}),
    "baddbmm": ((T(lambda x: varying(x)[:, :4], 2, 2, 2), T(varying, 2, 2, 3), T(turned, 2, 3, 2)), {}),
    "addmv": ((T(lambda x: varying(x)[:, 0]), Z, T(lambda x: turned(x)[0])), {}),
    **same_call("softmax log_softmax softmin logsumexp cumsum", Z, 1),
    "normalize": ((Z,), {"p": 2.0, "dim": 1}),
    "cosine_similarity": ((Z, O), {"dim": 1}),
    **same_call("sort cummax cummin mode", Z, 1),
    **same_call("topk kthvalue", Z, 2, 1),
    **{
        f"{kind}max_pool{d}d{end}": ((T(varying, 1, 1, *shape), 2), {})
        for d, shape in ((1, (12,)), (2, (3, 4)), (3, (2, 2, 3)))
        for kind in ("", "adaptive_")
        for end in ("", "_with_indices")
    },
    **{
        f"{kind}avg_pool{d}d": ((T(varying, 1, 1, *shape), 2), {})
        for d, shape in ((1, (12,)), (2, (3, 4)), (3, (2, 2, 3)))
        for kind in ("", "adaptive_")
    },
    "scaled_dot_product_attention": ((T(varying, B, 1, 2, 3), T(turned, B, 1, 2, 3), T(inside, B, 1, 2, 3)), {}),
    "multi_head_attention_forward": ((QUERY, QUERY, QUERY, *ATTENTION), {"need_weights": False}),
    **{
        name: (sum(network(name, count), ()), {})
        for name, count in (("gru", 3), ("lstm", 4), ("rnn_tanh", 1), ("rnn_relu", 1))
    },
    "gru_cell": ((HALF, STATE, *cell(3)), {}),
    "lstm_cell": ((HALF, [STATE, T(lambda x: varying(x)[:, 3:5])], *cell(4)), {}),
    **same_call("rnn_tanh_cell rnn_relu_cell", HALF, STATE, *cell(1)),
    **same_call("reshape view", Z, (3, 4)),
    **same_call("view_as reshape_as", Z, draw(3, 4)),
    "expand_as": ((T(lambda x: varying(x)[:, :1]), draw(B, K)), {}),
    "unflatten": ((Z, 1, (2, 3)), {}),
    "unsqueeze": ((Z, 1), {}),
    "transpose": ((Z, 0, 1), {}),
    "permute": ((Z, (1, 0)), {}),
    "movedim": ((Z, 0, 1), {}),
    "expand": ((T(varying, B, 1, K), (B, 3, K)), {}),
    "broadcast_to": ((Z, (3, B, K)), {}),
    "repeat": ((Z, (2, 1)), {}),
    "tile": ((Z, (2, 1)), {}),
    "repeat_interleave": ((Z, 2, 1), {}),
    "flip": ((Z, (1,)), {}),
    "roll": ((Z, 2, 1), {}),
    "narrow": ((Z, 1, 1, 3), {}),
    "select": ((Z, 1, 2), {}),
    "index_select": ((Z, 1, COLUMNS), {}),
    "gather": ((Z, 1, ROW), {}),
    "take_along_dim": ((Z, ROW, 1), {}),
    "diag_embed": ((Z,), {}),
    **same_call("split unsafe_split", Z, 4, 1),
    "split_with_sizes": ((Z, [1, 5], 1), {}),
    **same_call("chunk unsafe_chunk", Z, 3, 1),
    "tensor_split": ((Z, 4, 1), {}),
    **same_call("hsplit vsplit", Z, 2),
    "dsplit": ((T(varying, 1, 3, 4), 2), {}),
    "unbind": ((Z, 1), {}),
    "unfold": ((Z, 1, 3, 2), {}),
    "fold": ((T(varying, 1, 4, 3), (2, 4), 2), {}),
    **same_call("interpolate upsample", T(varying, 1, 1, 3, 4), scale_factor=2, mode="nearest"),
    "pixel_shuffle": ((T(varying, 1, 12, 1, 1), 2), {}),
    "pixel_unshuffle": ((T(varying, 1, 1, 2, 6), 2), {}),
    "channel_shuffle": ((T(varying, 1, 6, 2), 2), {}),
    **same_call("cat stack hstack vstack dstack row_stack column_stack", [Z, O]),
    "block_diag": ((Z, O), {}),
    **same_call("index_add index_copy", Z, 1, COLUMNS, T(lambda x: turned(x)[:, :2])),
    **same_call("scatter_add scatter", Z, 1, ROW, T(lambda x: turned(x)[:, :2])),
    "select_scatter": ((Z, T(lambda x: turned(x)[0]), 0, 1), {}),
    "slice_scatter": ((Z, T(lambda x: turned(x)[:, :3]), 1, 0, 3), {}),
    "diagonal_scatter": ((Z, T(lambda x: turned(x)[0, :2])), {}),
    "pad": ((Z, (1, 2)), {"value": 3.0}),
    "masked_fill": ((Z, MASK, T(lambda x: turned(x).sum())), {}),
    **same_call("dropout feature_alpha_dropout alpha_dropout", Z, 0.5, False),
    "dropout1d": ((T(varying, B, 2, 3), 0.5, False), {}),
    "dropout2d": ((T(varying, 1, 2, 2, 3), 0.5, False), {}),
    "dropout3d": ((T(varying, 1, 2, 1, 2, 3), 0.5, False), {}),
    **same_call("to type", Z, F64),
    "type_as": ((Z, draw(1)), {}),
}
OPERATORS = {
    "rmatmul": lambda x: draw(3, B) @ varying(x),
    "rpow": lambda x: 2.0 ** varying(x),
    "rdiv": lambda x: 2.0 / positive(x),
    "mod": lambda x: varying(x) % 0.7,
    "pos": lambda x: +varying(x),
    "require_grad": lambda x: varying(x).requires_grad_(),
    "iter": lambda x: torch.stack([row * row for row in varying(x)]),
    "reversed": lambda x: torch.stack(list(reversed(varying(x)))),
    "deepcopy": lambda x: (copy.deepcopy(x) if isinstance(x, jets.Jet) else x.clone()) * varying(x),
    "getitem": lambda x: varying(x)[:, [3, 1]],
    "setitem": lambda x: written(x, lambda z: z.__setitem__((slice(None), COLUMNS), turned(x)[:, :2])),
    "copy": lambda x: written(x, lambda z: z.copy_(turned(x))),
    "zero": lambda x: written(x, lambda z: z[:, :2].zero_()),
    "fill": lambda x: written(x, lambda z: z[:, :2].fill_(3.0)),
    "mul": lambda x: 2 * varying(x) * turned(x),
    "float": lambda x: varying(x) * float(turned(x)[0, 0]),
}
TESTS = {  # what has no slope: how it is asked for; the numbers serve as a factor
    **{
        name: (lambda z, name=name: getattr(torch, name)(z, 0.1))
        for name in "gt ge lt le eq ne greater greater_equal less less_equal not_equal floor_divide".split()
    },
    **{
        name: (lambda z, name=name: getattr(torch, name)(z))
        for name in "isnan isinf isfinite isposinf isneginf signbit argmax argmin argsort nonzero count_nonzero all "
        "any logical_not is_floating_point is_complex is_signed zeros_like ones_like numel is_conj is_neg".split()
    },
    **{
        name: (lambda z, name=name: getattr(torch, name)(z, z > 0))
        for name in "logical_and logical_or logical_xor".split()
    },
    **{
        name: (lambda z, name=name: (getattr(z, name),))
        for name in "shape ndim dtype device layout itemsize nbytes is_cuda is_cpu is_mps is_xpu is_nested is_sparse "
        "is_quantized is_meta is_mkldnn is_xla is_vulkan is_sparse_csr is_ipu is_maia is_mtia requires_grad "
        "is_leaf grad grad_fn output_nr retains_grad data".split()
    },
    **{
        name: (lambda z, name=name: getattr(z, name)())
        for name in "size dim ndimension nelement stride storage_offset is_contiguous element_size get_device tolist "
        "is_inference detach".split()
    },
    "is_pinned": lambda z: z.is_pinned() if torch.cuda.is_available() else z.is_cuda,
    "equal": lambda z: torch.equal(z, z),
    "allclose": lambda z: torch.allclose(z, z + 1),
    "isclose": lambda z: torch.isclose(z, z + 1),
    "heaviside": lambda z: torch.heaviside(z, z.new_zeros(1)),
    "floordiv": lambda z: z // 0.3,
    "searchsorted": lambda z: torch.searchsorted(torch.linspace(-1, 1, 5, dtype=F64), z.contiguous()),
    "bucketize": lambda z: torch.bucketize(z, torch.linspace(-1, 1, 5, dtype=F64)),
    "bool": lambda z: bool(z[0, 0]),
    "int": lambda z: int(z[0, 0]),
    "long": lambda z: z.long(),
    "item": lambda z: z[0, 0].item(),
    "is_nonzero": lambda z: torch.is_nonzero(z[0, 0]),
    "index": lambda z: [3, 4][z[0, 0].long()] if isinstance(z, torch.Tensor) else 0,
    "is_same_size": lambda z: torch.is_same_size(z, z),
    "len": len,
    "hash": lambda z: hash(z) and 0,
    "broadcast_shapes": lambda z: torch.broadcast_shapes(z.shape, (1,)),
    "new_zeros": lambda z: z.new_zeros((2, 3)),
    "new_ones": lambda z: z.new_ones((2, 3)),
    "new_full": lambda z: z.new_full((2, 3), 2.0),
    "new_tensor": lambda z: z.new_tensor([1.0, 2.0]),
    "new_empty": lambda z: z.new_empty((2, 3)).shape,
    "full_like": lambda z: torch.full_like(z, 2.0),
    "empty_like": lambda z: torch.empty_like(z).shape,
    "rand_like": lambda z: torch.rand_like(z).shape,
    "randn_like": lambda z: torch.randn_like(z).shape,
}
CASTS = {"half": 2e-3, "bfloat16": 2e-2, "float": 1e-6}  # to a dtype of fewer digits, which tangents get too
NOT_CALLED = {  # no tensor reaches these rules here
    "cuda": "needs a device",
    "is_inference_mode": "asks the thread, not a tensor",
    **dict.fromkeys(("is_hpu", "is_ort", "names", "has_names"), "a property of other versions of torch"),
}
OTHERWISE = set("iter mod pos rmatmul hash ndimension nelement index is_pinned broadcast_shapes upsample bool".split())
"""Names that this torch carries out by the rules of others, whose forms must be right all the same."""


def written(x, write):
    z = varying(x).clone()
    write(z)
    return z
