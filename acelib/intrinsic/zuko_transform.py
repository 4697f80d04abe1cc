"""The spline transform that zuko provides, with its orientation fixed here and its weights from our own generator."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn


def spline_transform(adjacency: Tensor, hidden: tuple[int, ...], bins: int, generator: torch.Generator) -> nn.Module:
    """Return a masked autoregressive rational-quadratic spline transform with weights drawn from ``generator``.

    Args:
        adjacency: ``(nodes, nodes)`` bool, row = output, column = what it may depend on, true diagonal.
        hidden: widths of the masked network.
        bins: of each spline, on [−5, 5]; the identity beyond.
        generator: of the initial weights.

    Raises:
        ImportError: if zuko is not installed.
    """
    try:
        from zuko.flows.autoregressive import MaskedAutoregressiveTransform
        from zuko.transforms import MonotonicRQSTransform
    except ImportError as error:
        raise ImportError(
            "FlowModel needs the package zuko, which is not installed; run: pip install zuko (or use LinearModel, or "
            "StructuralModel with given mechanisms)"
        ) from error
    k = len(adjacency)
    if k == 1:
        raise ValueError("a flow needs at least two nodes; describe a single one by its own noise in StructuralModel")
    with torch.random.fork_rng(devices=[]):  # zuko initialises from the global generator; leave it as it was
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return MaskedAutoregressiveTransform(
            k,
            adjacency=adjacency,
            univariate=partial(MonotonicRQSTransform, slope=1e-3),
            shapes=[(bins,), (bins,), (bins - 1,)],
            hidden_features=hidden,
            activation=nn.Tanh,
        )
