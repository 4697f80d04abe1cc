"""How every row of a table moves the contributions of a linear model that was fitted to it: influence functions.

With z_i the parents of node j in row i (and 1), e_i its residual, h_i its leverage and M the mean of z zᵀ, the row
moves the coefficients by ``ψ_i = M⁻¹ z_i e_i / (1 − h_i)`` and the noise variance by ``(e_i² − s²) / (1 − h_i)``, both
over n. The contribution is ``T_j = w_j² s_j²`` with ``w = t (I − A)⁻¹``, so that ``dw = w dA (I − A)⁻¹``. The mean
square of the rows' influences, over n, is the variance of T: the sandwich, whatever the law of the noises.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .linear import LinearModel


def influence(model: LinearModel, target: Tensor) -> Tensor:
    """Return what every kept row adds to the contributions to a linear target, times the number of rows.

    Args:
        model: a fitted model.
        target: ``(nodes,)`` weights of the nodes.

    Returns:
        ``(rows, nodes)`` influences, of mean 0 but for leverage; infinite where a single row decides.

    References:
        Hampel (1974) for influence functions; MacKinnon and White (1985) for leverage.

    Example:
        >>> X = torch.randn(50_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> each = influence(LinearModel.fit(X, {"a": []}), torch.ones(1))
        >>> assert abs(float(each.var()) - 2) < 0.1  # n Var(s²) of a standard normal
    """
    if model.fitted is None:
        raise ValueError("model must be fitted, got given coefficients, which have no error of learning")
    X, graph, mixing = model.fitted.rows, model.graph, model.mixing
    weights = target.double() @ mixing
    moved = X.new_zeros(X.shape)  # dw (I − A) of every row
    noises = X.new_zeros(X.shape)
    residuals = X - X @ model.matrix.T - model.intercepts
    for node, parents in graph.parents.items():
        j, columns = graph.index(node), [graph.index(p) for p in parents]
        design = torch.cat([X.new_ones(len(X), 1), X[:, columns]], dim=1)
        lifted = design @ torch.linalg.pinv(design.T @ design / len(X), hermitian=True)
        slack = 1 - (lifted * design).sum(1) / len(X)
        share = torch.where(slack > 1e-9, 1 / slack, torch.inf)
        moved[:, columns] += weights[j] * (lifted * (residuals[:, j] * share)[:, None])[:, 1:]
        noises[:, j] = (residuals[:, j].square() - model.scales[j].square()) * share
    each = 2 * weights * model.scales.square() * (moved @ mixing) + weights.square() * noises
    return each.nan_to_num(torch.inf, torch.inf, torch.inf)
