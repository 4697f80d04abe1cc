"""The projections of ``nn.MultiheadAttention`` as linear layers, so that paths through them can be cut.

The module applies its weights inside one function and calls no layer. Here the inputs are projected beforehand and the
outputs afterwards, each by a Linear that holds the module's own weights; the function itself gets identities in their
place, so masks, added keys and dropout stay torch's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._intercept import Functions

Parts = dict[nn.MultiheadAttention, dict[str, nn.Linear]]  # in_proj, or q_proj, k_proj and v_proj of each module


def projections(model: nn.Module) -> Parts:
    """Return the input projections of every attention module in ``model``, which get their weights when it is called.

    Self-attention with packed weights has one, "in_proj" with three times the width; else there are three.
    """
    found: Parts = {}
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            sizes = {"q_proj": module.embed_dim, "k_proj": module.kdim, "v_proj": module.vdim}
            found[module] = {n: nn.Linear(size, module.embed_dim, device="meta") for n, size in sizes.items()}
            found[module]["in_proj"] = nn.Linear(module.embed_dim, 3 * module.embed_dim, device="meta")
    return found


def routed(parts: Parts, module: nn.Module, forward: Callable) -> Callable:
    """Return ``forward``; for an attention module one that calls its projections, ``forward`` of each among them."""
    return partial(_attend, parts[module], module, forward) if module in parts else forward  # type: ignore[index]


def _attend(parts: dict[str, nn.Linear], module: nn.MultiheadAttention, forward: Callable, *args: Any, **kwargs: Any):
    def handle(func: Any, args: tuple, kwargs: dict) -> Any:
        if func is not F.multi_head_attention_forward:
            return func(*args, **kwargs)
        call = inspect.signature(func).bind(*args, **kwargs)
        call.apply_defaults()
        return _projected(parts, module, func, call.arguments)

    with Functions(handle):
        return forward(*args, **kwargs)


def _projected(parts: dict[str, nn.Linear], module: nn.MultiheadAttention, func: Callable, given: dict) -> Any:
    """Return what the attention function returns, with the projections taken out of it."""
    query, key, value, bias = given["query"], given["key"], given["value"], given["in_proj_bias"]
    separate = given["use_separate_proj_weight"]
    if not separate and query is key and key is value:
        joint = _apply(parts["in_proj"], query, given["in_proj_weight"], bias)
        query, key, value = joint.chunk(3, -1)
    else:
        packed = (given["q_proj_weight"], given["k_proj_weight"], given["v_proj_weight"])
        weights = packed if separate else given["in_proj_weight"].chunk(3)
        biases = (None, None, None) if bias is None else bias.chunk(3)
        query, key, value = (
            _apply(parts[name], x, w, b)
            for name, x, w, b in zip(("q_proj", "k_proj", "v_proj"), (query, key, value), weights, biases, strict=True)
        )
    eye = torch.eye(module.embed_dim, dtype=query.dtype, device=query.device)
    inner = dict(given, query=query, key=key, value=value, in_proj_weight=None, in_proj_bias=None)
    inner |= dict(use_separate_proj_weight=True, q_proj_weight=eye, k_proj_weight=eye, v_proj_weight=eye)
    inner |= dict(out_proj_weight=eye, out_proj_bias=None, need_weights=True)  # without, a kernel that vmap lacks
    out, shares = func(**inner)
    return _rows_first(module.out_proj.forward, out), shares if given["need_weights"] else None


def _apply(part: nn.Linear, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``part`` applied to ``x``, with the weights that the attention module has now."""
    for name, now in (("weight", weight), ("bias", bias)):
        mine = getattr(part, name)
        if now is None or mine is None or mine.data_ptr() != now.data_ptr():
            setattr(part, name, None if now is None else nn.Parameter(now.detach(), requires_grad=False))
    return _rows_first(part.forward, x)


def _rows_first(forward: Callable, x: Tensor) -> Tensor:
    """Return ``forward`` of steps x rows x features, called as rows x steps x features."""
    return forward(x.transpose(0, 1)).transpose(0, 1) if x.ndim == 3 else forward(x)
