"""Global explanations of one regression network beside intrinsic contributions, each as shares that sum to 1.

All but the intrinsic contributions look at the network alone and take its inputs as they come: variance of the ACE
curve (Chattopadhyay et al. 2019), Shapley values of the marginal game (Lundberg, Lee 2017), integrated gradients
(Sundararajan et al. 2017) and permutation importance (Breiman 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from acelib import AverageCausalEffect, InputDistribution
from acelib._optional import optional
from acelib.intrinsic.games import allocate, subset_masks

_base = optional("sklearn.base", "permutation importance")

METHODS: Mapping[str, str] = {
    "ace": "ACE",
    "shap": "Shapley values",
    "ig": "integrated gradients",
    "permutation": "permutation",
}


def global_shares(
    model: nn.Module, X: Tensor, y: Tensor, *, rows: int = 100, points: int = 21, repeats: int = 10, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return the shares ``(k,)`` of the inputs in a network's output, by each of ``METHODS``.

    Args:
        model: regression network ``(batch, k) -> (batch, 1)``.
        X: table ``(n, k)`` it is explained on.
        y: target ``(n,)``, for permutation importance.
        rows: number of rows explained by Shapley values, and of their background; drawn once.
        points: number of values of an ACE curve.
        repeats: number of shuffles of a column.
        seed: seed of rows and shuffles.
    """
    g = torch.Generator().manual_seed(seed)
    few, ground = (X[torch.randperm(len(X), generator=g)[:rows]] for _ in range(2))
    found = {
        "ace": ace_variance(model, X, points=points),
        "shap": marginal_shapley(model, few, ground).abs().mean(0).numpy(),
        "ig": _path_gradients(model, X).abs().mean(0).numpy(),
        "permutation": _permutation(model, X, y, repeats, seed),
    }
    return {name: value / value.sum() for name, value in found.items()}


def ace_variance(model: Callable[[Tensor], Tensor], X: Tensor, *, points: int = 21) -> np.ndarray:
    """Return the variance ``(k,)`` of every input's ACE curve over the input's own values in the table.

    Args:
        model: ``(batch, k) -> (batch, 1)``.
        X: table ``(n, k)``.
        points: number of values at which the average is taken before a regressor joins them.
    """
    ace = AverageCausalEffect(model, InputDistribution.fit(X, max_rows=400), method="monte_carlo")
    curves = ace.regress(num=points, max_order=7, baseline="data")  # a variance does not depend on it
    return np.array([np.var(curves[i, 0].ace(X[:, i].numpy())) for i in range(X.shape[1])])


def marginal_shapley(model: Callable[[Tensor], Tensor], x: Tensor, background: Tensor) -> Tensor:
    """Return Shapley values ``(n, k)`` of the game v(u) = mean over background rows b of f(x_u, b_rest), exactly.

    Args:
        model: ``(batch, k) -> (batch, 1)``.
        x: rows ``(n, k)`` to explain.
        background: rows ``(m, k)`` that give the values of what is not in u.

    Example:
        >>> x, b = torch.tensor([[3.0, 1.0]]), torch.zeros(1, 2)
        >>> values = marginal_shapley(lambda z: z[:, :1] * z[:, 1:] + z[:, :1], x, b)
        >>> assert values.tolist() == [[4.5, 1.5]]
    """
    k = x.shape[1]
    table = []
    with torch.no_grad():
        for mask in subset_masks(k):
            mixed = torch.where(mask, x[:, None], background[None])
            table.append(model(mixed.reshape(-1, k)).reshape(len(x), -1).mean(1))
    return allocate(torch.stack(table), "shapley", range(k)).T


def _path_gradients(model: nn.Module, X: Tensor) -> Tensor:
    """Return integrated gradients ``(n, k)`` from the mean row, by Captum.

    It is given the sum over the rows: each row has its own gradient, and one sum is differentiated faster than each
    of its terms.
    """
    captum, base = optional("captum.attr", "integrated gradients"), X.mean(0, keepdim=True)
    path = captum.IntegratedGradients(lambda x: model(x).sum().reshape(1))
    return path.attribute(X, baselines=base, n_steps=32).detach()


def _permutation(model: nn.Module, X: Tensor, y: Tensor, repeats: int, seed: int) -> np.ndarray:
    """Return the mean rise ``(k,)`` of the squared error when a column is shuffled, at least 0."""
    found = optional("sklearn.inspection", "permutation importance").permutation_importance(
        Wrapped(model), X.numpy(), y.numpy(), scoring="neg_mean_squared_error", n_repeats=repeats, random_state=seed
    )
    return np.maximum(found.importances_mean, 0.0)


class Wrapped(_base.RegressorMixin, _base.BaseEstimator):
    """A network in the form that scikit-learn expects."""

    def __init__(self, model: Callable[[Tensor], Tensor]):
        self.model = model

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.model(torch.as_tensor(X))[:, 0].numpy()
