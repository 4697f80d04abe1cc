"""Explanations for Quantus, whose metrics call ``explain_func(model, inputs, targets, **options)``.

Inputs and targets are numpy arrays there, and an array of the inputs' shape has to come back. ``quantus_explain`` is
such a function: for ACE saliency (Chattopadhyay et al. 2019, Sec. 5.2), x[i] ↦ ACE_do(x_i = x[i]) on the target's
output, where it is given a causal input model, and for any function of tensors, such as Captum's methods or the class
maps of explanatory graphs. Quantus itself is not needed to import or to call it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._devices import double, placed
from ._fingerprint import Kept, fingerprint
from ._models import check_placement
from ._saved import same
from .attribution import AverageCausalEffect
from .inputs.base import InputModel

Explain = Callable[..., Tensor]

_effects: dict[str, Any] = {}  # the last network explained by its ACE, with its regressors: metrics ask many times


def quantus_explain(
    model: nn.Module,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    explain: InputModel | AverageCausalEffect | Explain | None = None,
    normalise: bool = False,
    device: str | None = None,
    **options: Any,
) -> np.ndarray:
    """Return the attributions of a batch as Quantus wants them: ``(batch, *shape)``, float64, in the outputs' unit.

    Give it to a metric as ``explain_func=quantus_explain`` with ``explain_func_kwargs={"explain": …}``.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``.
        inputs: ``(batch, *shape)`` array.
        targets: ``(batch,)`` integers, the output that is explained for each input; one integer serves all.
        explain: the explaining method. A causal input model of any kind gives the ACE saliency of ``model`` under it;
            its regressors are fitted at the first call and kept while the model stays as it is. A value beyond its
            domain, such as a metric's noise makes, counts as the nearest end: curves are not extrapolated. Inputs
            that ``do({...})`` pinned get 0. An ``AverageCausalEffect`` is used as it is. A function ``(model, inputs,
            targets, **options)`` of tensors returns attributions ``(batch, *shape)``, or with one channel only, which
            then holds for all channels.
        normalise: whether each attribution is divided by its largest absolute value; the sign stays. (Quantus' own
            normalisation divides by the largest value of the whole batch.)
        device: device of the model, as Quantus passes it on; by default that of its parameters.
        **options: options of ``AverageCausalEffect``, such as ``budget`` and ``seed``, or of the function.

    Raises:
        ValueError: if ``explain`` is missing, targets do not fit, or attributions are not finite or of another shape.
        TypeError: if ``explain`` is neither an input model nor a function.

    References:
        Chattopadhyay et al. 2019, Sec. 5.2; A. Hedström et al., Quantus, JMLR 24(34), 2023.

    Example:
        >>> from acelib import InputDistribution
        >>> X = torch.rand(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> model = nn.Linear(3, 2, dtype=torch.float64)
        >>> population = InputDistribution.fit(X, domain=(0.0, 1.0))
        >>> maps = quantus_explain(model, X[:4].numpy(), np.array([0, 1, 1, 0]), explain=population)
        >>> by_hand = model.weight[torch.tensor([0, 1, 1, 0])] * (X[:4] - 0.5)  # a linear model's ACE is w (x - mid)
        >>> assert np.allclose(maps, by_hand.detach().numpy(), atol=1e-6)
    """
    x, y = _tensors(model, inputs, targets, device)
    if isinstance(explain, InputModel):
        maps = clipped_saliency(_effect(model, explain, options), x, y)
    elif isinstance(explain, AverageCausalEffect):
        maps = clipped_saliency(explain, x, y)
    elif callable(explain):
        maps = explain(model, x, y, **options)
    elif explain is None:
        raise ValueError(
            "explain must be given, got None; pass explain_func_kwargs={'explain': inputs} with a causal input model "
            "for ACE saliency, or a function (model, inputs, targets) -> attributions"
        )
    else:
        raise TypeError(f"explain must be a causal input model or a function of tensors, got {type(explain).__name__}")
    maps = _checked(maps, x)
    return (normalised(maps) if normalise else maps).cpu().numpy()


def normalised(maps: Tensor) -> Tensor:
    """Return each map ``(batch, ...)`` divided by its largest absolute value, sign kept; zeros stay zeros.

    Args:
        maps: attributions, one per row.

    Example:
        >>> assert normalised(torch.tensor([[1.0, -2.0], [0.0, 0.0]])).tolist() == [[0.5, -1.0], [0.0, 0.0]]
    """
    largest = maps.flatten(1).abs().amax(1).clamp_min(torch.finfo(maps.dtype).tiny)
    return maps / largest.view(-1, *[1] * (maps.ndim - 1))


def clipped_saliency(effect: AverageCausalEffect, x: Tensor, y: Tensor) -> Tensor:
    """Return the ACE saliency ``(batch, *shape)`` that metrics ask for, float64 on the CPU.

    A value beyond the domain counts as its nearest end, and inputs that are pinned have 0.

    Args:
        effect: effects of the network.
        x: ``(batch, *shape)``.
        y: ``(batch,)`` the output that is explained for each row; the regressors serve all of them.
    """
    like = effect.inputs.mean
    low, high = (end.to(like).view(effect.inputs.shape) for end in (effect.inputs.low, effect.inputs.high))
    inside = x.to(like).clamp(low, high)
    maps = effect.attribute(inside, target=y.tolist()).values.cpu().double()
    maps.view(len(maps), -1)[:, list(effect.inputs.fixed)] = 0
    return maps


def _effect(model: nn.Module, population: InputModel, options: dict) -> AverageCausalEffect:
    """Return the effects of this network, made once: while network, population and options stay as they are."""
    before = fingerprint(model)
    known = _effects.get("last")
    if known is not None and known[0] is model and known[1] is population and same(known[2], options):
        if known[3].holds(before):
            return known[3].value
    effect = AverageCausalEffect(model, population, **options)
    _effects["last"] = (model, population, dict(options), Kept(effect, before, fingerprint(model)))
    return effect


def _tensors(model: nn.Module, inputs: Any, targets: Any, device: str | None) -> tuple[Tensor, Tensor]:
    """Return inputs in the model's dtype and on its device, and targets ``(batch,)``."""
    like = next(iter(model.parameters()), None) if isinstance(model, nn.Module) else None
    place = device if device is not None else like.device if like is not None else "cpu"
    x = torch.as_tensor(inputs)
    own = like.dtype if like is not None else x.dtype if x.is_floating_point() else torch.float32
    x = placed(x, dtype=own, device=place)
    check_placement([model], x)
    y = torch.as_tensor(targets, device=place)
    if y.is_floating_point() or y.dtype == torch.bool or y.ndim > 1 or (y.ndim == 1 and len(y) != len(x)):
        raise ValueError(f"targets must be {len(x)} integers, got {y.dtype} of shape {tuple(y.shape)}")
    return x, y.expand(len(x)).long()


def _checked(maps: Any, x: Tensor) -> Tensor:
    """Return attributions as float64 of the inputs' shape; a single channel holds for all."""
    maps = double(torch.as_tensor(maps).detach())
    if maps.ndim == x.ndim and maps.shape[0] == x.shape[0] and maps.shape[2:] == x.shape[2:] and maps.shape[1] == 1:
        maps = maps.expand(x.shape)
    if maps.shape != x.shape:
        raise ValueError(f"explain must return the inputs' shape {tuple(x.shape)}, got {tuple(maps.shape)}")
    if not maps.isfinite().all():
        raise ValueError("explain must return finite attributions, got NaN or Inf")
    return maps
