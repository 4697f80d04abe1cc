"""How sure a classifier is, and what the second-order expansion makes of its probabilities.

A softmax does not see a number that is added to all logits, so each row's mean logit is subtracted before the spread is
taken. A network that has learnt nothing has spread 0; training drives it up.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acelib import InputDistribution, interventional_expectation
from acelib.lab.networks import Probabilities
from acelib.lab.scaling.methods import relative_error, values_alone


def logit_spread(network: nn.Module, X: Tensor) -> float:
    """Return the standard deviation over rows of the centred logits, averaged over classes.

    Args:
        network: ``(n, k) -> (n, classes)``, logits.
        X: ``(n, k)`` rows.

    Example:
        >>> X = torch.tensor([[-1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
        >>> spread = logit_spread(nn.Identity(), X)
        >>> assert abs(spread - 2**0.5) < 1e-12 and abs(spread - logit_spread(nn.Identity(), X + 5)) < 1e-12
    """
    with torch.no_grad():
        logits = network(X)
    return float((logits - logits.mean(1, keepdim=True)).std(0).mean())


def probability_error(
    network: nn.Module, inputs: InputDistribution, features: Sequence[int | str], values: Tensor
) -> float:
    """Return the relative error of the effects of the expansion (Eq. 4 of Chattopadhyay et al. 2019) on probabilities.

    Args:
        network: ``(n, k) -> (n, classes)``, logits.
        inputs: an input model with rows; the average over all of them is the yardstick.
        features: the features to set, one after the other.
        values: ``(m,)``, what each is set to.

    Example:
        >>> inputs = InputDistribution.fit(torch.linspace(0, 1, 120, dtype=torch.float64).reshape(60, 2) % 0.9)
        >>> unsure = lambda x: 0.1 * x
        >>> assert probability_error(unsure, inputs, [0], torch.linspace(0, 0.8, 3, dtype=torch.float64)) < 0.01
    """
    model = Probabilities(network)
    expansion = torch.stack([values_alone(model, inputs, f, values, "taylor").values for f in features])
    average = [interventional_expectation(model, inputs, f, values, method="monte_carlo").values for f in features]
    return relative_error(expansion, torch.stack(average))
