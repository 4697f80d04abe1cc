"""Average causal effects as an attribution method of Captum, beside its own and under its metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._checks import as_index
from .._optional import optional
from ..attribution import AverageCausalEffect
from ..inputs.base import InputModel
from ..quantus import clipped_saliency
from .networks import Selected


class Saliency:
    """ACE saliency with Captum's hand: ``ACE(forward_func, population).attribute(inputs, target)``.

    ``ACE`` is this class with ``captum.attr.Attribution`` as its base; it is made when it is first asked for, so that
    ``import acelib`` needs no Captum. Each effect is the ACE of do(x_i = the value x_i has) over the population, where
    Captum's methods measure from a baseline input. A value beyond the population's domain counts as the nearest end,
    so that metrics, which perturb their inputs, are not answered by an extrapolated curve; inputs that are pinned get
    0.
    The regressors are fitted at the first call, for all targets, and kept while the network stays as it is.

    Args:
        forward_func: torch callable ``(batch, *shape) -> (batch, outputs)``, or ``(batch,)`` for a single output.
        population: a causal input model, such as ``InputDistribution.fit(X)``.
        **options: options of ``AverageCausalEffect``, such as ``method``, ``budget`` and ``seed``.

    Attributes:
        forward_func: the callable.
        effect: the ``AverageCausalEffect`` behind the attributions, with standard errors and curves.

    References:
        Chattopadhyay et al. (2019), Sec. 5.2; Kokhlikyan et al. (2020), Captum.

    Example:
        >>> from acelib import InputDistribution
        >>> from acelib.adapters.captum import ACE
        >>> X = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
        >>> net = torch.nn.Linear(3, 2)
        >>> maps = ACE(net, InputDistribution.fit(X, domain=(0.0, 1.0))).attribute(X[:2], target=torch.tensor([1, 0]))
        >>> by_hand = net.weight[torch.tensor([1, 0])] * (X[:2] - 0.5)
        >>> assert torch.allclose(maps, by_hand, atol=1e-5)
    """

    def __init__(self, forward_func: Callable[..., Tensor], population: InputModel, **options: Any) -> None:
        self.forward_func = forward_func
        self.effect = AverageCausalEffect(Selected(forward_func, None, None), population, **options)

    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Return the effects of a batch, in the shape, dtype and device of the inputs.

        Args:
            inputs: ``(batch, *shape)``, or a tuple that holds it alone; then a tuple comes back.
            target: number of the output, or one for each row, a tensor or list ``(batch,)``; None where there is only
                one output.
            additional_forward_args: None; a population holds no rows of them.

        Raises:
            TypeError: for inputs that are no tensor.
            ValueError: for several inputs, additional arguments, or targets that do not fit.
        """
        if additional_forward_args is not None:
            raise ValueError(
                "additional_forward_args must be None, since the population has no rows of them, got some; bind them "
                "by functools.partial(forward_func, ...)"
            )
        parts = inputs if isinstance(inputs, tuple) else (inputs,)
        if len(parts) != 1:
            raise ValueError(
                f"inputs must be one tensor, got a tuple of {len(parts)}; put them side by side in the population and "
                "split them inside forward_func"
            )
        (x,) = parts
        if not isinstance(x, Tensor):
            raise TypeError(f"inputs must be a tensor (batch, ...), got {type(x).__name__}")
        shape = tuple(self.effect.inputs.shape)
        if tuple(x.shape[1:]) != shape:
            raise ValueError(f"inputs must have shape (batch, {str(shape)[1:]}, got {tuple(x.shape)}")
        rows = clipped_saliency(self.effect, x.detach(), self._targets(target, len(x)))
        maps = rows.to(x.dtype if x.is_floating_point() else self.effect.inputs.mean.dtype).to(x.device)
        return (maps,) if isinstance(inputs, tuple) else maps

    def has_convergence_delta(self) -> bool:
        """Return False: effects do not sum to a difference of outputs."""
        return False

    def _targets(self, target: Any, count: int) -> Tensor:
        """Return the output of each row ``(count,)`` from what Captum allows as target."""
        outputs = self.effect.num_outputs
        if target is None:
            if outputs > 1:
                raise ValueError(f"target must be one of the {outputs} outputs, or one for each row, got None")
            target = 0
        if isinstance(target, Tensor):
            target = target.reshape(-1).tolist()
        elif isinstance(target, tuple):
            target = [target]
        each = [one[0] if isinstance(one, tuple) and len(one) == 1 else one for one in _listed(target)]
        found = [as_index(one) for one in each]
        wrong = [one for one, number in zip(each, found, strict=True) if number is None or not 0 <= number < outputs]
        if wrong:
            raise ValueError(
                f"target must be one of the outputs 0 to {outputs - 1}, or one for each row, got {wrong[0]!r}"
            )
        if len(found) not in (1, count):
            raise ValueError(f"target must be one output, or one for each of the {count} rows, got {len(found)}")
        return torch.tensor(found, dtype=torch.long).expand(count)


def _listed(target: Any) -> list[Any]:
    return target if isinstance(target, list) else [target]


if TYPE_CHECKING:
    ACE = Saliency


def __getattr__(name: str) -> Any:
    """Return ``ACE``, whose base is a class of Captum, made when it is first asked for."""
    if name != "ACE":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    base = optional("captum.attr", "acelib.adapters.captum.ACE").Attribution
    made = type("ACE", (Saliency, base), {"__doc__": Saliency.__doc__, "__module__": __name__})
    globals()["ACE"] = made
    return made
