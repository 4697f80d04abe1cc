"""Attention: softmax(q kᵀ / √d) v, by the rules of its parts, and the packed form of nn.MultiheadAttention."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .kinds import composite
from .registry import provide
from .tensor import MissingRule


def _attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if dropout_p or enable_gqa:
        raise MissingRule("scaled_dot_product_attention with dropout or enable_gqa")
    return _weights(query, key, attn_mask, is_causal, scale) @ value


def _weights(query, key, mask, is_causal, scale=None):
    """Return softmax(q kᵀ · scale) under a mask: bool (True takes part) or an addend."""
    scores = (query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal and mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return torch.softmax(scores, -1)


def _multi_head(
    query,
    key,
    value,
    embed_dim_to_check,
    num_heads,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn,
    dropout_p,
    out_proj_weight,
    out_proj_bias,
    training=True,
    key_padding_mask=None,
    need_weights=True,
    attn_mask=None,
    use_separate_proj_weight=False,
    q_proj_weight=None,
    k_proj_weight=None,
    v_proj_weight=None,
    static_k=None,
    static_v=None,
    average_attn_weights=True,
    is_causal=False,
):
    """Return outputs and weights for inputs ``(L, N, E)`` or ``(L, E)``, as torch's own function of this signature."""
    if (training and dropout_p) or add_zero_attn or any(z is not None for z in (bias_k, bias_v, static_k, static_v)):
        raise MissingRule("multi_head_attention_forward with dropout, bias_k, add_zero_attn or static_k")
    batched = query.ndim == 3
    if not batched:
        query, key, value = (z.unsqueeze(1) for z in (query, key, value))
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    weights = separate if use_separate_proj_weight else in_proj_weight.chunk(3)
    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)

    def heads(x, weight, bias):  # (N, heads, L, E / heads)
        projected = F.linear(x, weight, bias)
        return projected.reshape(*x.shape[:2], num_heads, -1).permute(1, 2, 0, 3)

    q, k, v = (heads(*parts) for parts in zip((query, key, value), weights, biases, strict=True))
    mask = _joint_mask(attn_mask, key_padding_mask, q)
    probabilities = _weights(q, k, mask, False)
    mixed = (probabilities @ v).permute(2, 0, 1, 3).flatten(2)
    answer = F.linear(mixed, out_proj_weight, out_proj_bias)
    if average_attn_weights:
        probabilities = probabilities.mean(1)
    if not batched:
        answer, probabilities = answer.squeeze(1), probabilities.squeeze(0)
    return answer, probabilities if need_weights else None


def _joint_mask(attn_mask, key_padding_mask, q):
    """Return both masks as one addend that broadcasts to ``(N, heads, L, S)``; True in a bool mask means left out."""

    def addend(mask):
        if mask.dtype != torch.bool:
            return mask
        return torch.zeros(mask.shape, dtype=q.dtype, device=mask.device).masked_fill(mask, -math.inf)

    total = None
    if attn_mask is not None:
        total = addend(attn_mask)
        if total.ndim == 3:  # (N · heads, L, S)
            total = total.reshape(-1, q.shape[1], *total.shape[1:])
    if key_padding_mask is not None:
        padding = addend(key_padding_mask)
        padding = padding.reshape(-1, 1, 1, padding.shape[-1])
        total = padding if total is None else total + padding
    return total


provide(composite(_attention), "scaled_dot_product_attention")
provide(composite(_multi_head), "multi_head_attention_forward")
