"""Effects of single inputs as an ``Explanation`` of SHAP, for its pictures: beeswarm, waterfall, scatter, bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._optional import optional
from ..results import Attribution


def explanation(a: Attribution, mean: Any = None) -> Any:
    """Return the effects as a ``shap.Explanation`` with values, base values, data, names and standard errors.

    ACE_i(x_i) = E[y | do(x_i)] - b_i, where the baseline b_i is the average of the feature's curve. Each effect is
    defined by itself, so ``base_values + values.sum()``, where a waterfall ends, is not f(x) where inputs interact; and
    each feature has a baseline of its own, while SHAP draws one. For a sum f(x) = c + Σ g_i(x_i) let m_i be the average
    of g_i over the domain: then b_i = E[y] + m_i - E[g_i(x_i)], and f(x) = Σ ACE_i(x_i) + c + Σ m_i. So

        base = E[y] + Σ_i (b_i - E[y])

    makes the waterfall of an additive network end at f(x) exactly, and its distance from f(x) is what interactions
    add. E[y] is not part of an attribution: without ``mean`` the base is the average of the b_i, and the sum is not
    f(x) for additive networks either, unless each b_i is E[y], as with ``baseline="data"``.

    Args:
        a: what ``AverageCausalEffect.attribute`` returned.
        mean: E[y], the average of the explained output over the population: a number, or one for each row where these
            have targets of their own.

    Returns:
        An explanation of ``(rows, features)``, of ``(features,)`` for a single input, with the flattened inputs as
        features; those without an effect (pinned, or not asked for) are left out. ``error_std`` are standard errors.

    Raises:
        ImportError: if ``shap`` is missing.
        ValueError: if there is no effect at all, a mean of another size, or an attribution of an older file, which has
            no baselines.

    Example:
        >>> from acelib import AverageCausalEffect, InputDistribution
        >>> X = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> net = torch.nn.Linear(2, 1).double()
        >>> found = AverageCausalEffect(net, InputDistribution.fit(X)).attribute(X[:5])
        >>> shown = explanation(found, mean=float(net(X).mean()))
        >>> assert np.allclose(shown.base_values + shown.values.sum(1), net(X[:5])[:, 0].detach(), atol=1e-6)
    """
    library = optional("shap", "Attribution.to_shap")
    if a.baseline is None:
        raise ValueError("attribution must have its baselines, got one of an older file; attribute again")
    rows, k = a.rows.shape
    values, errors, baselines = (t.reshape(rows, k).cpu().double().numpy() for t in (a.values, a.stderr, a.baseline))
    x = None if a.x is None else a.x.reshape(rows, k).cpu().double().numpy()
    there = np.asarray(~np.isnan(values).any(axis=0))
    if not there.any():
        raise ValueError("attribution must have at least one effect, got none; all inputs are pinned")
    base = _base(baselines[:, there], mean)
    names = [name for name, one in zip(a.names, there, strict=True) if one]
    single = a.values.ndim == 1  # one row of a table
    pick: Any = 0 if single else slice(None)
    shown = library.Explanation(
        values=values[:, there][pick],
        base_values=float(base[0]) if single else base,
        data=None if x is None else x[:, there][pick],
        feature_names=names,
        error_std=errors[:, there][pick],
    )
    if not isinstance(a.target, tuple):
        shown.output_names = a.target  # its constructor takes no name for a single row
    return shown


def _base(baselines: np.ndarray, mean: Any) -> np.ndarray:
    """Return the base of each row ``(rows,)`` from the baselines of its features ``(rows, features)``."""
    if mean is None:
        return baselines.mean(axis=1)
    center = np.asarray(torch.as_tensor(mean).detach().cpu().double().numpy()).reshape(-1)
    if len(center) not in (1, len(baselines)):
        raise ValueError(f"mean must be one number, or one for each of the {len(baselines)} rows, got {len(center)}")
    return center + (baselines - center[:, None]).sum(axis=1)
