"""The surface of two inputs that are set together, with its main effects and what is left of it: the interaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._intervals import student
from .._models import Model
from .._optional import optional
from .._saved import Result
from ..expectation.estimate import interventional_expectation
from ..expectation.result import Expectation
from ..inputs.base import Feature, InputModel, check_input_model

NUM = 12  # values of each input


@dataclass(frozen=True, eq=False, repr=False)
class EffectSurface(Result):
    """E[y | do(a = a_i, b = b_j)] over a grid of two inputs, and its parts, with their errors.

    On the grid, which stands for the law of the two inputs, the surface is a sum of four parts without overlap: its
    mean, the main effect of either input (the mean over the other one, less the overall mean) and the interaction.
    All are linear in the surface, so their errors follow from its covariance. Errors hold the spread of a list of
    networks.

    Attributes:
        features: names of the two inputs.
        values_a, values_b: ``(m_a,)`` and ``(m_b,)`` what they are set to.
        mean: ``(m_a, m_b, outputs)`` the surface, in the unit of the output.
        stderr: its standard errors, same shape.
        main_a, main_b: ``(m_a, outputs)`` and ``(m_b, outputs)`` main effects, which sum to 0.
        main_a_stderr, main_b_stderr: their standard errors.
        interaction: ``(m_a, m_b, outputs)`` what is left of the surface, with sums of 0 along either axis.
        interaction_stderr: its standard errors.
        interaction_freedom: their degrees of freedom.
        share: ``(outputs,)`` share of the surface's variance that the interaction holds, less what noise alone adds;
            0 of a flat surface. It is the square of Friedman and Popescu's H, over the grid in place of the data.
        share_stderr: ``(outputs,)`` its standard error, to first order.
        support: ``(m_a, m_b)`` share of intervened rows that leave the data; NaN without rows.
        expectation: the same over the ``m_a · m_b`` pairs, with covariances and individual outputs.

    Example:
        >>> from acelib import InputDistribution, effect_surface
        >>> X = torch.rand(300, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> found = effect_surface(lambda x: x[:, :1] * x[:, 1:2] + x[:, 2:], InputDistribution.fit(X), ("x0", "x1"))
        >>> a, b = (v - v.mean() for v in (found.values_a, found.values_b))
        >>> assert torch.allclose(found.interaction[..., 0], a[:, None] * b)  # of a product
    """

    features: tuple[str, str]
    values_a: Tensor
    values_b: Tensor
    mean: Tensor
    stderr: Tensor
    main_a: Tensor
    main_b: Tensor
    main_a_stderr: Tensor
    main_b_stderr: Tensor
    interaction: Tensor
    interaction_stderr: Tensor
    interaction_freedom: Tensor
    share: Tensor
    share_stderr: Tensor
    support: Tensor
    expectation: Expectation

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Return both ends ``(m_a, m_b, outputs)`` of intervals of Student's t for the interaction.

        Raises:
            ValueError: if the level is not between 0 and 1.
        """
        t = torch.as_tensor(student(self.interaction_freedom.cpu().numpy(), level))
        half = t.to(self.interaction) * self.interaction_stderr
        return self.interaction - half, self.interaction + half

    def __repr__(self) -> str:
        m_a, m_b, outputs = self.mean.shape
        shares = zip(self.share.tolist()[:6], self.share_stderr.tolist()[:6], strict=True)
        said = ", ".join(f"{share:.1%} ± {error:.1%}" for share, error in shares) + (", ..." if outputs > 6 else "")
        return (
            f"EffectSurface(do({', '.join(self.features)}), {m_a} x {m_b} values, interaction holds {said} of its "
            f"variance, largest stderr {float(self.stderr.max()):.2g})"
        )

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per (pair of values, output)."""
        pd = optional("pandas", "a data frame")
        m_a, m_b, outputs = self.mean.shape
        a, b = self.values_a.cpu().numpy(), self.values_b.cpu().numpy()
        columns: dict[str, Any] = {
            self.features[0]: np.repeat(a, m_b * outputs),
            self.features[1]: np.tile(np.repeat(b, outputs), m_a),
            "output": np.tile(np.arange(outputs), m_a * m_b),
        }
        for name in ("mean", "stderr", "interaction", "interaction_stderr"):
            columns[name] = getattr(self, name).reshape(-1).cpu().numpy()
        columns["support"] = np.repeat(self.support.reshape(-1).cpu().numpy(), outputs)
        return pd.DataFrame(columns)

    def plot(self, **options: Any) -> Any:
        """Draw the surface and its interaction, with pairs off the data hatched; return the figure."""
        from .. import plots

        return plots.plot_surface(self, **options)


def effect_surface(
    model: Model | Sequence[Model],
    inputs: InputModel,
    features: tuple[Feature, Feature],
    values_a: Any = None,
    values_b: Any = None,
    **options: Any,
) -> EffectSurface:
    """Return E[y | do(a = a_i, b = b_j)] for all pairs of values, its main effects and its interaction.

    Args:
        model: torch callable ``(batch, *shape) -> (batch, outputs)``, or a list of them.
        inputs: a causal input model.
        features: the two inputs, by name or index.
        values_a, values_b: ``(m_a,)`` and ``(m_b,)`` at least two of each; default 12 over the domain, all of a finite
            one. The parts of the surface are averages over them.
        options: of ``interventional_expectation``, such as ``outputs``, ``budget``, ``groups``, ``link`` or ``where``.

    Many pairs leave the data where the two inputs go together: ``support`` says which, and the share of the interaction
    counts them like all others. Name values that stay inside, or look at a region by ``where``.

    Raises:
        ValueError: for features that are not two single inputs, fewer than two values, or what
            ``interventional_expectation`` refuses.

    References:
        Friedman, Popescu, Predictive learning via rule ensembles, The Annals of Applied Statistics 2, 2008 (the
        statistic H²). The errors are ours.

    Example:
        >>> from acelib import InputDistribution
        >>> X = torch.rand(300, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> inputs = InputDistribution.fit(X, domain=(0.0, 1.0))
        >>> found = effect_surface(lambda x: x.sum(1, keepdim=True), inputs, (0, 1), [0, 1], [0, 1])
        >>> assert found.share.abs() < 1e-12 and found.main_a.flatten().tolist() == [-0.5, 0.5]
    """
    check_input_model(inputs)
    if not isinstance(features, tuple | list) or [len(inputs.feature(f)) for f in features] != [1, 1]:
        raise ValueError(f"features must be two single inputs, got {features!r}")
    columns = inputs.feature(features)
    axes = []
    for column, given, name in zip(columns, (values_a, values_b), ("values_a", "values_b"), strict=True):
        axis = inputs.read_values(inputs.domain[column].grid(NUM) if given is None else given, 1)[:, 0]
        if len(axis.unique()) < max(2, len(axis)):
            raise ValueError(f"{name} must be at least two different values, got {axis.tolist()[:6]}")
        axes.append(axis)
    pairs = torch.cartesian_prod(*axes)
    e = interventional_expectation(model, inputs, columns, pairs, **options)
    return _parts(e, (inputs.feature_names[columns[0]], inputs.feature_names[columns[1]]), len(axes[0]), len(axes[1]))


def _parts(e: Expectation, features: tuple[str, str], m_a: int, m_b: int) -> EffectSurface:
    """Return the parts of a surface, an expectation over the pairs with the second input running fastest."""
    grid, outputs = e.alphas.reshape(m_a, m_b, 2), e.values.shape[1]
    mean_a, mean_b = (torch.full((m, m), 1 / m, dtype=torch.float64) for m in (m_a, m_b))
    own_a, own_b = (torch.eye(len(mean), dtype=torch.float64) - mean for mean in (mean_a, mean_b))
    apart = torch.kron(own_a, own_b)
    found = {}
    for name, weights, shape in (
        ("main_a", torch.kron(own_a, mean_b[:1]), (m_a, outputs)),
        ("main_b", torch.kron(mean_a[:1], own_b), (m_b, outputs)),
        ("interaction", apart, (m_a, m_b, outputs)),
    ):
        value, error, freedom = (part.reshape(shape).to(e.values) for part in e.contrast(weights))
        found |= {name: value, f"{name}_stderr": error}
        if name == "interaction":
            found["interaction_freedom"] = freedom
    share, share_stderr = _share(e, apart)
    return EffectSurface(
        features=features,
        values_a=grid[:, 0, 0].clone(),
        values_b=grid[0, :, 1].clone(),
        mean=e.values.reshape(m_a, m_b, outputs).clone(),
        stderr=e.stderr.reshape(m_a, m_b, outputs).clone(),
        share=share.to(e.values),
        share_stderr=share_stderr.to(e.values),
        support=e.support.reshape(m_a, m_b).clone(),
        expectation=e,
        **found,
    )


def _share(e: Expectation, apart: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share ``(outputs,)`` of the variance that ``apart (M, M)`` projects on, and its standard errors.

    A square of something estimated is too large by its variance on average, which is taken off: of the rows, and of the
    networks where there are several.
    """
    M = len(apart)
    centred = torch.eye(M, dtype=torch.float64) - 1 / M
    shares, errors = [], []
    for output, values in enumerate(e.values.T.cpu()):
        covariance = e.covariances[output].cpu()
        if e.models is not None:
            covariance = covariance + e.models[:, :, output].cpu().T.cov() / len(e.models)
        part, whole = apart @ values, centred @ values
        noise = [float((projection * covariance).sum().nan_to_num()) for projection in (apart, centred)]
        squares = [float(v.square().sum()) - n for v, n in zip((part, whole), noise, strict=True)]
        rounding = M * (64 * torch.finfo(torch.float64).eps * float(values.abs().max())) ** 2
        if squares[1] <= rounding:
            shares.append(0.0)
            errors.append(0.0)
            continue
        share = squares[0] / squares[1]
        slope = 2 * (part - share * whole) / squares[1]
        shares.append(share)
        errors.append(float(e.contrast(slope[None])[1][0, output]))
    return torch.tensor(shares, dtype=torch.float64), torch.tensor(errors, dtype=torch.float64)
