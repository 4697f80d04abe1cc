"""How are explanations handed to Quantus? Its metrics call ``explain_func(model, inputs, targets, **options)``.

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

from .attribution import AverageCausalEffect
from .inputs.distribution import InputDistribution

Explain = Callable[..., Tensor]

_effects: dict[str, Any] = {}  # the last network explained by its ACE, with its regressors: metrics ask many times


def quantus_explain(
    model: nn.Module,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    explain: InputDistribution | AverageCausalEffect | Explain | None = None,
    normalise: bool = False,
    device: str | None = None,
    **options: Any,
) -> np.ndarray:
    """Attributions of a batch as Quantus wants them: an array of the inputs' shape, float64, in the outputs' unit.

    Give it to a metric as ``explain_func=quantus_explain`` with ``explain_func_kwargs={"explain": …}``.

    Args:
        model: ``(batch, *shape) -> (batch, outputs)``.
        inputs: ``(batch, *shape)`` array.
        targets: (batch,) integers, the output that is explained for each input; one integer serves all.
        explain: What explains. A causal input model stands for the ACE saliency of ``model`` under it; its regressors
            are fitted at the first call and kept while the model's parameters stay as they are. A value beyond its
            domain, such as a metric's noise makes, counts as the nearest end: curves are not extrapolated. An
            ``AverageCausalEffect`` is used as it is. A function ``(model, inputs, targets, **options)`` of tensors
            returns attributions ``(batch, *shape)``, or with one channel only, which is then shared out to all.
        normalise: Whether each attribution is divided by its largest absolute value; the sign stays. (Quantus' own
            normalisation divides by the largest value of the whole batch.)
        device: Where the model is, as Quantus passes it on; by default where its parameters are.
        **options: Of ``AverageCausalEffect``, such as ``budget`` and ``seed``, or of the function.

    Raises:
        ValueError: ``explain`` is missing, targets do not fit, or attributions are not finite or of another shape.
        TypeError: ``explain`` is neither an input model nor a function.

    References:
        Chattopadhyay et al. 2019, Sec. 5.2; A. Hedström et al., Quantus, JMLR 24(34), 2023.

    Example:
        >>> X = torch.rand(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> model = nn.Linear(3, 2, dtype=torch.float64)
        >>> population = InputDistribution.fit(X, domain=(0.0, 1.0))
        >>> maps = quantus_explain(model, X[:4].numpy(), np.array([0, 1, 1, 0]), explain=population)
        >>> by_hand = model.weight[torch.tensor([0, 1, 1, 0])] * (X[:4] - 0.5)  # a linear model's ACE is w (x - mid)
        >>> assert np.allclose(maps, by_hand.detach().numpy(), atol=1e-6)
    """
    x, y = _tensors(model, inputs, targets, device)
    if isinstance(explain, InputDistribution):
        maps = _saliency(_effect(model, explain, options), x, y)
    elif isinstance(explain, AverageCausalEffect):
        maps = _saliency(explain, x, y)
    elif callable(explain):
        maps = explain(model, x, y, **options)
    elif explain is None:
        raise ValueError(
            "explain is missing: pass explain_func_kwargs={'explain': inputs} with an InputDistribution for ACE "
            "saliency, or a function (model, inputs, targets) -> attributions"
        )
    else:
        raise TypeError(f"explain must be an input model or a function of tensors, got {type(explain).__name__}")
    maps = _checked(maps, x)
    return (normalised(maps) if normalise else maps).cpu().numpy()


def normalised(maps: Tensor) -> Tensor:
    """Each map (batch, …) divided by its largest absolute value, sign kept, in the same shape; zeros stay zeros.

    Args:
        maps: Attributions, one per row.

    Example:
        >>> assert normalised(torch.tensor([[1.0, -2.0], [0.0, 0.0]])).tolist() == [[0.5, -1.0], [0.0, 0.0]]
    """
    largest = maps.flatten(1).abs().amax(1).clamp_min(torch.finfo(maps.dtype).tiny)
    return maps / largest.view(-1, *[1] * (maps.ndim - 1))


def _saliency(effect: AverageCausalEffect, x: Tensor, y: Tensor) -> Tensor:
    """ACE saliency (batch, *shape), each row on its own target; the regressors serve all targets."""
    ends = ([getattr(domain, end) for domain in effect.inputs.domain] for end in ("low", "high"))
    low, high = (torch.tensor(values).to(effect.inputs.mean).view(effect.inputs.shape) for values in ends)
    inside = x.to(effect.inputs.mean).clamp(low, high)
    maps = torch.empty(x.shape, dtype=torch.float64)
    for target in y.unique().tolist():
        chosen = (y == target).cpu()
        maps[chosen] = effect.attribute(inside[chosen.to(inside.device)], target=target).values.cpu()
    return maps


def _effect(model: nn.Module, population: InputDistribution, options: dict) -> AverageCausalEffect:
    """The effects of this network, made once: as long as network, its parameters, population and options stay."""
    tensors = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
    state = [(t.data_ptr(), t._version) for t in tensors]  # an edit of weights in place raises the version
    known = _effects.get("last")
    if known is None or known[0] is not model or known[1] is not population or known[2:4] != (state, options):
        known = (model, population, state, dict(options), AverageCausalEffect(model, population, **options))
        _effects["last"] = known
    return known[4]


def _tensors(model: nn.Module, inputs: Any, targets: Any, device: str | None) -> tuple[Tensor, Tensor]:
    """Inputs in the model's dtype and on its device, and targets (batch,)."""
    like = next(iter(model.parameters()), None) if isinstance(model, nn.Module) else None
    place = device if device is not None else like.device if like is not None else "cpu"
    x = torch.as_tensor(inputs, device=place)
    x = x.to(like.dtype) if like is not None else x if x.is_floating_point() else x.float()
    y = torch.as_tensor(targets, device=place)
    if y.is_floating_point() or y.dtype == torch.bool or y.ndim > 1 or (y.ndim == 1 and len(y) != len(x)):
        raise ValueError(f"targets must be {len(x)} integers, got {y.dtype} of shape {tuple(y.shape)}")
    return x, y.expand(len(x)).long()


def _checked(maps: Any, x: Tensor) -> Tensor:
    """Attributions as float64 of the inputs' shape; one channel is shared out."""
    maps = torch.as_tensor(maps).detach().double()
    if maps.ndim == x.ndim and maps.shape[0] == x.shape[0] and maps.shape[2:] == x.shape[2:] and maps.shape[1] == 1:
        maps = maps.expand(x.shape)
    if maps.shape != x.shape:
        raise ValueError(f"attributions have shape {tuple(maps.shape)}, expected that of the inputs {tuple(x.shape)}")
    if not maps.isfinite().all():
        raise ValueError("attributions hold NaN or Inf; look at what `explain` returns for these inputs")
    return maps
