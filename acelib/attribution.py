"""Average causal effects of a network's inputs on its outputs: regress them, then attribute single predictions.

ACE_do(x_i = a) = E[y | do(x_i = a)] - baseline (Chattopadhyay et al., 2019, Eq. 1). A causal regressor describes the
first term as a function of a; the baseline is its average over the domain. The saliency of an input x is the ACE of
the value each of its coordinates has (Sec. 5.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._checks import as_float_tensor, as_generator
from ._models import Model
from ._warnings import ApproximationWarning, warn_caller
from .expectation.estimate import DEFAULT_BUDGET, MIN_ROWS, check_method, interventional_expectation
from .expectation.networks import admitted
from .expectation.result import Expectation
from .inputs.base import Feature, InputModel, check_input_model
from .inputs.domain import Domain, FiniteSet, Interval
from .regressors.base import Regressor
from .regressors.families import CausalRegressor, CausalTable, SplineRegressor
from .results import Attribution, CausalRegressors

CHEBYSHEV_VALUES = 33  # per feature, for cached regressors and for the baseline of direct evaluation
CHECKED_VALUES = 32  # direct evaluations that cached regressors are compared with
CHECK_LIMIT = 0.05  # of the range of the target's curves
ROUNDS = 4  # of refinement
CURVE_FAMILIES = {"polynomial": CausalRegressor, "spline": SplineRegressor}  # a finite domain takes a table


class AverageCausalEffect:
    """Average causal effects of the inputs of ``model`` under a causal input model.

    Args:
        model: torch callable ``(batch, *shape) -> (batch, outputs)``, or a list of them (training seeds).
        inputs: a causal input model: an ``InputDistribution``, ``LatentPrior`` or ``FeedbackSequences``, or a subclass
            of ``InputModel`` of your own.
        method: estimator of the expectations, see ``interventional_expectation``.
        budget: model rows that one ``regress`` of all its features may spend (at least 100 rows a value).
        chunk_size: most model rows in one call; bounds memory. Default 16384.
        seed: seed of the row subset and of the values that are checked; None means 0.
        groups: labels of dependent rows.
        target_names: names of the outputs; default "0", "1", ...

    A feature is a name or an index; of ``FeedbackSequences`` it is also a pair (step, channel), of ``LatentPrior`` a
    latent such as "z0" or "c8".

    Raises:
        TypeError: for inputs that are no causal input model, or a model that is no callable.
        ValueError: for a model in training mode, or one that returns the wrong shape.

    References:
        Chattopadhyay et al. (2019), Eq. 1, Sec. 4.3 and Sec. 5.2.

    Example:
        >>> from acelib import InputDistribution
        >>> X = torch.rand(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> inputs = InputDistribution.fit(X, domain=(0.0, 1.0))
        >>> ace = AverageCausalEffect(lambda x: x[:, :1] * x[:, 1:], inputs)
        >>> effect = ace.attribute(X[0])
        >>> exact = (X[0] - 0.5) * X.mean(0).flip(0)  # f = ab: the effect of a is (a - mid) times the mean of b
        >>> assert torch.allclose(effect.values, exact, atol=1e-6)
        >>> only = ace.attribute(X[0], features=["x1"])
        >>> assert torch.equal(only.values[1], effect.values[1]) and only.values[0].isnan()
    """

    def __init__(
        self,
        model: Model | Sequence[Model],
        inputs: InputModel,
        *,
        method: str = "auto",
        budget: int = DEFAULT_BUDGET,
        chunk_size: int | None = None,
        seed: int | None = None,
        groups: Any = None,
        target_names: Sequence[str] | None = None,
    ) -> None:
        check_input_model(inputs)
        check_method(method, budget)
        self.options: dict[str, Any] = dict(method=method, chunk_size=chunk_size, seed=seed, groups=groups)
        self.budget, self.seed = budget, seed
        networks = admitted(model, inputs, derivatives=method == "taylor")
        self.models, self.inputs, self.num_outputs = networks.given, networks.inputs, networks.outputs
        names = [str(i) for i in range(self.num_outputs)] if target_names is None else [str(n) for n in target_names]
        if len(names) != self.num_outputs or len(set(names)) != len(names):
            raise ValueError(f"target_names must be {self.num_outputs} distinct names, got {names[:10]}")
        self.target_names = tuple(names)
        self._cache: dict[tuple[int, ...], CausalRegressors] = {}

    def __repr__(self) -> str:
        return f"AverageCausalEffect({self.num_outputs} outputs, {self.inputs!r}, method={self.options['method']!r})"

    def expectation(self, feature: Feature, values: Any, *, targets: Sequence[int] | None = None) -> Expectation:
        """Return E[y | do(feature = value)] for the values, as ``interventional_expectation`` does."""
        return interventional_expectation(
            self.models, self.inputs, feature, values, budget=self.budget, outputs=targets, **self.options
        )

    def regress(
        self,
        features: Sequence[Feature] | None = None,
        targets: Sequence[str | int] | None = None,
        num: int = 100,
        *,
        max_order: int = 15,
        family: str = "polynomial",
        grid: str = "uniform",
        baseline: Any = "uniform",
        refine: int = 0,
        progress: bool = False,
    ) -> CausalRegressors:
        """Return the causal regressors of every (feature, target) pair.

        Args:
            features: a list of names or indices, or of pairs (step, channel); default all inputs.
            targets: names or indices of outputs; default all.
            num: values per feature, over its domain. A finite domain uses its own values and gives a table.
            max_order: largest polynomial order considered.
            family: "polynomial" or "spline".
            grid: "uniform" (the paper's) or "chebyshev" spacing of the values.
            baseline: "uniform" over the domain, "data" for the observed values, or a number.
            refine: at most this many further values per feature, placed where the held-out residual is largest;
                each round re-evaluates the feature so that all errors stay jointly known.
            progress: show a progress bar over features.

        Raises:
            ValueError: for unknown features, targets, families, or ``num`` below 2.

        References:
            Chattopadhyay et al. (2019), Sec. 4.3 and Alg. 1.
        """
        if family not in CURVE_FAMILIES:
            raise ValueError(f"family must be one of {', '.join(CURVE_FAMILIES)}, got {family!r}")
        if num < 2 or refine < 0:
            raise ValueError(f"num must be at least 2 and refine at least 0, got {num} and {refine}")
        columns = self._columns(features)
        wanted = self._targets(targets)
        rows = max(MIN_ROWS, self.budget // (num * len(columns)))
        if progress:
            from tqdm.auto import tqdm

            columns = tqdm(columns, desc="regress", unit="feature", leave=False)
        curves, expectations = {}, {}
        for column in columns:
            name, domain = self.inputs.feature_names[column], self.inputs.domain[column]
            values = domain.grid(num, grid)
            fitted, e = self._fit(column, domain, values, wanted, rows, family, max_order, baseline)
            for added in _rounds(refine if isinstance(domain, Interval) and domain.width > 0 else 0):
                values = _refined(values, fitted, added)
                fitted, e = self._fit(column, domain, values, wanted, rows, family, max_order, baseline)
            expectations[name] = e
            curves.update({(name, self.target_names[t]): c for t, c in zip(wanted, fitted, strict=True)})
        index = tuple(self.inputs.feature(name)[0] for name in expectations)
        targets_named = tuple(self.target_names[t] for t in wanted)
        return CausalRegressors(tuple(expectations), targets_named, index, tuple(wanted), curves, expectations)

    def attribute(
        self,
        x: Any,
        target: str | int | None = None,
        via: str = "regressors",
        *,
        features: Sequence[Feature] | None = None,
        progress: bool = False,
    ) -> Attribution:
        """Return the saliency of x: ACE of do(x_i = x[i]) on one target, in x's shape, with standard errors.

        Args:
            x: ``(*shape)`` one input or ``(batch, *shape)``.
            target: name or index of the output; None where there is only one.
            via: "regressors" uses regressors of all features on Chebyshev values, fitted once, and warns where they
                miss direct values by more than 5 % of the range; "direct" evaluates each distinct value.
            features: a list of the inputs to explain, as in ``regress``; the others get NaN. Default all.
            progress: show a progress bar while regressors are fitted.

        Raises:
            ValueError: for the wrong shape, an unknown target or feature, or no target where there are several outputs.

        References:
            Chattopadhyay et al. (2019), Sec. 5.2.
        """
        if via not in ("regressors", "direct"):
            raise ValueError(f"via must be 'regressors' or 'direct', got {via!r}")
        if target is None and self.num_outputs > 1:
            names = list(self.target_names)[:10]
            raise ValueError(f"target must name one of the {self.num_outputs} outputs {names}, got None")
        (chosen,) = self._targets([0 if target is None else target])
        x = as_float_tensor(x, "x", dtype=self.inputs.mean.dtype, device=self.inputs.mean.device)
        if tuple(x.shape) != tuple(self.inputs.shape) and tuple(x.shape[1:]) != tuple(self.inputs.shape):
            shape = ", ".join(map(str, self.inputs.shape))
            raise ValueError(f"x must have shape ({shape}) or (batch, {shape}), got {tuple(x.shape)}")
        flat = x.reshape(-1, self.inputs.num_features)
        columns = self._columns(features)
        curves = self.cached(columns, progress=progress) if via == "regressors" else None
        effects = torch.full_like(flat, torch.nan, dtype=torch.float64)
        errors = torch.full_like(flat, torch.nan, dtype=torch.float64)
        for column in columns:
            distinct, where = flat[:, column].unique(return_inverse=True)
            if curves is None:
                mean, std = self._direct(column, distinct, chosen)
            else:
                mean, std = curves[column, chosen].ace(distinct.double().cpu(), return_std=True)
            effects[:, column] = torch.as_tensor(mean, device=flat.device)[where]
            errors[:, column] = torch.as_tensor(std, device=flat.device)[where]
        return Attribution(effects.reshape(x.shape), errors.reshape(x.shape), self.target_names[chosen], via)

    def cached(self, features: Sequence[Feature] | None = None, *, progress: bool = False) -> CausalRegressors:
        """Return the regressors of these features (default all) and all targets that ``attribute`` reads values off.

        They are fitted and checked once.
        """
        columns = self._columns(features)
        for held, curves in self._cache.items():
            if set(columns) <= set(held):
                return curves
        curves = self.regress(columns, num=CHEBYSHEV_VALUES, grid="chebyshev", progress=progress)
        self._check_cache(curves)
        self._cache[tuple(columns)] = curves
        return curves

    def _fit(
        self,
        column: int,
        domain: Domain,
        values: Tensor,
        targets: list[int],
        rows: int,
        family: str,
        order: int,
        baseline: Any,
    ) -> tuple[Sequence[Regressor], Expectation]:
        e = interventional_expectation(
            self.models, self.inputs, column, values, budget=rows * len(values), outputs=targets, **self.options
        )
        if isinstance(baseline, str) and baseline == "data":
            if self.inputs.samples is None:
                raise ValueError(
                    "baseline must not be 'data' for an input model without rows, got 'data'; it needs rows"
                )
            baseline = ("data", self.inputs.samples[:, column].double().cpu())
        shared = dict(covariance=e.covariances.cpu().numpy(), baseline=baseline)
        if bool(np.isnan(shared["covariance"]).any()):
            shared["covariance"] = None  # moments without a sample size: no sampling error is known
        alphas, y = values.numpy(), e.values.T.cpu().numpy()
        if isinstance(domain, FiniteSet):
            return CausalTable.fit_many(alphas, y, **shared), e
        shared |= dict(low=domain.low, high=domain.high)
        if family == "polynomial":
            shared["max_order"] = order
        return CURVE_FAMILIES[family].fit_many(alphas, y, **shared), e

    def _direct(self, column: int, distinct: Tensor, target: int) -> tuple[Tensor, Tensor]:
        """Return the ACE of each distinct value and its error, evaluated; the baseline is a quadrature."""
        nodes, weights = _quadrature(self.inputs.domain[column])
        values = torch.cat([distinct.double().cpu(), nodes])
        e = self.expectation(column, values, targets=[target])
        contrast = torch.eye(len(distinct), len(values), dtype=torch.float64)
        contrast[:, len(distinct) :] -= weights
        covariance = contrast @ e.covariance(0).double().cpu() @ contrast.T
        return contrast @ e.values[:, 0].double().cpu(), covariance.diagonal().clamp_min(0).sqrt()

    def _check_cache(self, curves: CausalRegressors) -> None:
        """Warn where cached regressors miss direct values on the same rows."""
        generator = as_generator(self.seed)
        domains = {c: self.inputs.domain[c] for c in curves.feature_index}
        candidates = [c for c, d in domains.items() if isinstance(d, Interval) and d.width > 0]
        if not candidates:
            return
        picks = torch.randint(len(candidates), (CHECKED_VALUES,), generator=generator).tolist()
        shares = torch.rand(CHECKED_VALUES, generator=generator, dtype=torch.float64)
        spans = torch.stack([e.values.amax(0) - e.values.amin(0) for e in curves.expectations.values()]).amax(0).cpu()
        rows = max(MIN_ROWS, self.budget // (CHEBYSHEV_VALUES * len(curves.features)))
        worst, where = 0.0, ""
        for pick in sorted(set(picks)):
            column = candidates[pick]
            domain = self.inputs.domain[column]
            values = domain.low + domain.width * shares[[i for i, p in enumerate(picks) if p == pick]]
            e = interventional_expectation(
                self.models, self.inputs, column, values, budget=rows * len(values), **self.options
            )
            fitted = [torch.as_tensor(curves[column, t].predict(values)) for t in range(self.num_outputs)]
            error = ((torch.stack(fitted, dim=1) - e.values.cpu()).abs() / spans.clamp_min(1e-300)).max().item()
            if error > worst:
                worst, where = error, self.inputs.feature_names[column]
        if worst > CHECK_LIMIT:
            warn_caller(
                f"the cached regressor of {where!r} misses a direct value by {worst:.1%} of the range; "
                "use via='direct', or regress with more values, a higher max_order or family='spline'",
                ApproximationWarning,
            )

    def _columns(self, features: Sequence[Feature] | None) -> list[int]:
        if features is None:
            return list(range(self.inputs.num_features))
        if isinstance(features, str | int):
            features = [features]
        columns = [self.inputs.feature(f) for f in features]
        if not columns or any(len(c) != 1 for c in columns):
            raise ValueError(f"features must be a list of single inputs, at least one, got {features!r}")
        return [c[0] for c in columns]

    def _targets(self, targets: Sequence[str | int] | None) -> list[int]:
        if targets is None:
            return list(range(self.num_outputs))
        chosen = []
        for target in [targets] if isinstance(targets, str | int) else targets:
            index = self.target_names.index(target) if target in self.target_names else target
            if not isinstance(index, int | np.integer) or not 0 <= index < self.num_outputs:
                names = list(self.target_names)[:10]
                raise ValueError(f"target must be one of the {self.num_outputs} outputs {names}, got {target!r}")
            chosen.append(int(index))
        return chosen


def _quadrature(domain: Domain) -> tuple[Tensor, Tensor]:
    """Return nodes and weights that average over a domain: Clenshaw-Curtis on an interval, equal ones on a set."""
    nodes = domain.grid(CHEBYSHEV_VALUES, "chebyshev")
    n = len(nodes)
    if isinstance(domain, FiniteSet) or n == 1:
        return nodes, torch.full((n,), 1 / n, dtype=torch.float64)
    degree = np.arange(n)
    moments = np.where(degree % 2 == 0, 1 / (1.0 - degree**2 + (degree == 1)), 0.0)  # mean of T_j over [-1, 1]
    design = np.polynomial.chebyshev.chebvander(np.cos(np.linspace(np.pi, 0, n)), n - 1)
    return nodes, torch.from_numpy(np.linalg.solve(design.T, moments))


def _rounds(total: int) -> list[int]:
    """Return the numbers of further values in at most four rounds."""
    size = -(-total // ROUNDS) if total else 0
    return [min(size, total - start) for start in range(0, total, size)] if total else []


def _refined(values: Tensor, fitted: Sequence[Regressor], count: int) -> Tensor:
    """Return the values with ``count`` midpoints beside those whose held-out residual, over all targets, is largest."""
    scale = [max(float(np.ptp(c.expectations)), 1e-300) for c in fitted]
    residual = torch.from_numpy(np.max([np.abs(c.held_out) / s for c, s in zip(fitted, scale, strict=True)], axis=0))
    gaps = (residual[1:] + residual[:-1]) * (values[1:] - values[:-1])  # wide gaps with large residuals first
    chosen = gaps.argsort(descending=True, stable=True)[:count]
    middle = (values[chosen] + values[chosen + 1]) / 2
    return torch.cat([values, middle]).sort().values
