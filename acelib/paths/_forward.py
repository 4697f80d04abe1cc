"""Check that a layer returns its weights applied to its input plus its bias, which all path interventions rest on.

A subclass may do something else: scale or mask the weight, normalise it, add an activation. Its contributions would
then not add up to what it returned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d  # the modules whose weights are intervened on
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}  # of the sum of absolute contributions; 0.02 in half precision
_STOCK = {kind.forward for kind in KINDS}


def kind_of(module: nn.Module) -> type:
    """Return the kind of layer that a module is, or is a subclass of."""
    return next(kind for kind in KINDS if isinstance(module, kind))


def with_weight(module: Weighted, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what a layer of this kind gives for ``x`` with other weights."""
    if isinstance(module, nn.Linear):
        return F.linear(x, weight, bias)
    conv: Any = kind_of(module)
    return conv._conv_forward(module, x, weight, bias)


def has_own_forward(module: Weighted, forward: Callable) -> bool:
    """Return whether a layer computes its output by code that is not torch's."""
    conv = "_conv_forward"
    changed = getattr(type(module), conv, None) is not getattr(kind_of(module), conv, None) or conv in vars(module)
    return changed or getattr(forward, "__func__", None) not in _STOCK


def check_linear(name: str, module: Weighted, x: Tensor, out: Any) -> None:
    """Raise a ValueError if ``out`` is not the sum of all contributions of ``x`` plus the bias.

    The difference may be 1e-10 (float64), 1e-5 (float32; 2e-3 on a GPU, whose products may be rounded to 10 bits) or
    0.02 (half precision) of the sum of the absolute contributions.
    """
    weight, bias = module.weight, module.bias
    size = with_weight(module, x.abs(), weight.abs(), None if bias is None else bias.abs())
    right = isinstance(out, Tensor) and out.shape == size.shape
    if right:
        tolerance = _TOLERANCE.get(out.dtype, 0.02)
        if out.dtype == torch.float32 and out.device.type != "cpu":
            tolerance = 2e-3
        gap = (out - with_weight(module, x, weight, bias)).abs()
        right = not bool((gap > tolerance * size).any())
    if not right:
        raise ValueError(refusal(name, module))


def refusal(name: str, module: nn.Module) -> str:
    """Return the sentence that refuses a layer whose forward does more than apply its weight."""
    kind = kind_of(module).__name__
    return (
        f"layer '{name}' must return its weight applied to its input plus its bias, as {kind} does, got something else "
        f"from the forward of {type(module).__name__}; put what it does beside the {kind} into a module or a "
        "parametrization of its own"
    )


def check_probes(name: str, module: Weighted, forward: Callable, x: Tensor, args: tuple, kwargs: dict) -> None:
    """Raise a ValueError if a forward of its own is not linear in the inputs that interventions amount to.

    To cut the weights from a node is to set the node to 0; the probes set a third of the elements to 0, turn signs and
    exceed the bias, which shows an activation that left the recorded output as it was.
    """
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(-1, 2, x.shape, generator=generator).to(x)
    for probe in (x, -x, x * signs, 1000 * signs):
        try:
            out = forward(probe.clone(), *args, **kwargs)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(refusal(name, module)) from error
        check_linear(name, module, probe, out)
