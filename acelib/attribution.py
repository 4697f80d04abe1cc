"""Average causal effects of a network's inputs on its outputs: regress them, then attribute single predictions.

ACE_do(x_i = a) = E[y | do(x_i = a)] - baseline (Chattopadhyay et al., 2019, Eq. 1). A causal regressor describes the
first term as a function of a; the baseline is its average over the domain. The saliency of an input x is the ACE of
the value each of its coordinates has (Sec. 5.2).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._checks import as_count, as_generator
from ._devices import double
from ._fingerprint import Kept, State, fingerprint
from ._models import Model
from ._names import each_target, is_one, positions
from ._off_support import off_domain, warn_off
from ._pool import check_executor
from .expectation.estimate import DEFAULT_BUDGET, DIFFERENTIATED, MIN_ROWS, check_method
from .expectation.networks import Networks, admitted
from .expectation.reliability import Doubts, told
from .expectation.result import Expectation
from .expectation.shared_out import expectations
from .inputs.base import Feature, InputModel, check_input_model
from .inputs.domain import Domain, FiniteSet, Interval
from .inputs.reading import as_inputs, columns_of
from .regressors.base import Regressor
from .regressors.families import CausalRegressor, CausalTable, SplineRegressor
from .regressors.judged_support import judged, off_at
from .regressors.misses import values_to_check, warn_of_misses
from .regressors.sampled_domain import drift_of, effects_of, grouped, over_sample, warn_drift
from .regressors.seeds import with_sources
from .regressors.values import CHEBYSHEV_VALUES, quadrature, refined, rounds
from .results import Attribution, CausalRegressors

MAX_ORDER = 15
CURVE_FAMILIES = {"polynomial": CausalRegressor, "spline": SplineRegressor}  # a finite domain takes a table


class AverageCausalEffect:
    """Average causal effects of the inputs of ``model`` under a causal input model.

    Args:
        model: torch callable ``(batch, *shape) -> (batch, outputs)``, or a list of them (training seeds).
        inputs: a causal input model: an ``InputDistribution``, ``LatentPrior`` or ``FeedbackSequences``, or a subclass
            of ``InputModel`` of your own.
        method: estimator of the expectations, see ``interventional_expectation``.
        budget: model rows that one ``regress`` of all features may spend (at least 100 rows a value). A feature gets
            its share of it whichever others are asked for, so that its curve does not depend on them.
        rows: most rows of each average, in place of ``budget``.
        chunk_size: most model rows in one call; bounds memory. Default 16384.
        seed: seed of the row subset and of the values that are checked; None means 0.
        groups: labels of dependent rows.
        target_names: names of the outputs; default those that the model has, else "0", "1", ...
        link: what is explained of the outputs, such as "softmax"; see ``interventional_expectation``.
        executor: does the work in parts, features and blocks of rows side by side; see ``interventional_expectation``.
        parts: a folder in which finished parts are kept.

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
        rows: int | None = None,
        chunk_size: int | None = None,
        seed: int | None = None,
        groups: Any = None,
        target_names: Sequence[str] | None = None,
        link: Any = None,
        executor: Executor | None = None,
        parts: str | os.PathLike | None = None,
    ) -> None:
        check_input_model(inputs)
        check_method(method, budget)
        rows = None if rows is None else as_count(rows, "rows", "the most rows of each average", minimum=2)
        self.options: dict[str, Any] = dict(method=method, budget=budget, rows=rows)
        self.options |= dict(chunk_size=chunk_size, seed=seed, groups=groups)
        self._workers: dict[str, Any] = dict(executor=check_executor(executor), parts=parts)
        self._entrance: dict[str, Any] = dict(derivatives=method in DIFFERENTIATED, link=link)
        networks = admitted(model, inputs, **self._entrance)
        self.models, self.inputs, self.num_outputs = networks.given, networks.inputs, networks.outputs
        names = [str(name) for name in (networks.target_names if target_names is None else target_names)]
        if len(names) != self.num_outputs or len(set(names)) != len(names):
            raise ValueError(f"target_names must be {self.num_outputs} distinct names, got {names[:10]}")
        self.target_names = tuple(names)
        self._cache: tuple[Kept, ...] = ()

    def __repr__(self) -> str:
        return f"AverageCausalEffect({self.num_outputs} outputs, {self.inputs!r}, method={self.options['method']!r})"

    def expectation(self, feature: Feature, values: Any, *, targets: Sequence[int] | None = None) -> Expectation:
        """Return E[y | do(feature = value)] for the values, as ``interventional_expectation`` does."""
        (found,) = self._ask(self._networks(), [(feature, values)], targets, None)
        return told(found)

    def regress(
        self,
        features: Sequence[Feature] | None = None,
        targets: Sequence[str | int] | None = None,
        num: int = 100,
        *,
        max_order: int = MAX_ORDER,
        family: str = "polynomial",
        grid: str = "uniform",
        baseline: Any = "uniform",
        refine: int = 0,
        progress: bool = False,
    ) -> CausalRegressors:
        """Return the causal regressors of every (feature, target) pair.

        Args:
            features: a list of names or indices, or of pairs (step, channel); default all inputs that are not pinned.
            targets: names or indices of outputs; default all.
            num: values per feature, over its domain. A finite domain uses its own values and gives a table.
            max_order: largest polynomial order considered.
            family: "polynomial" or "spline".
            grid: "uniform" (the paper's) or "chebyshev" spacing of the values.
            baseline: "uniform" over the domain, "data" for the observed values, or a number. Where the domain is the
                range of a sample, errors of a uniform baseline hold for samples of this size, and a warning names the
                features that a larger one would move: name their domain in ``InputDistribution.fit``.
                Another names those with a tenth of their domain where most rows leave the data.
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
        columns, wanted = columns_of(features, self.inputs), self._targets(targets)
        options = dict(family=family, order=max_order, baseline=baseline)
        curves = self._curves(self._networks(), columns, wanted, num, grid, refine, progress, options)
        Doubts(curves.expectations.values()).warn(bands=True)
        domains = {self.inputs.feature_names[c]: self._domain(c) for c in columns}
        warn_drift({n: drift_of(d, [curves[n, t] for t in wanted]) for n, d in domains.items()}, domains)
        warn_off({feature: off_domain(curve) for (feature, _), curve in curves.curves.items()})
        return curves

    def _curves(
        self,
        networks: Networks,
        columns: Iterable[int],
        wanted: list[int],
        num: int,
        grid: str,
        refine: int,
        progress: bool,
        options: dict[str, Any],
    ) -> CausalRegressors:
        """Return what ``regress`` returns, for networks that were admitted in this call."""
        domains = {column: self._domain(column) for column in columns}
        values, share = {c: domain.grid(num, grid) for c, domain in domains.items()}, self._share(num)
        found: dict[int, tuple[Sequence[Regressor], Expectation]] = {}
        for added in (0, *rounds(refine)):  # all features side by side in each round
            if added:
                wide = [c for c, domain in domains.items() if isinstance(domain, Interval) and domain.width > 0]
                values = {c: refined(values[c], found[c][0], added) for c in wide}
            answers = self._ask(networks, values.items(), wanted, share, progress="regress" if progress else None)
            for column, e in zip(values, answers, strict=True):
                found[column] = self._fit(column, domains[column], values[column], e, **options)
        names = {column: self.inputs.feature_names[column] for column in found}
        curves = {}
        for column, (fitted, _) in found.items():
            each = zip(wanted, judged(fitted, self.inputs, column), strict=True)
            curves.update({(names[column], self.target_names[t]): curve for t, curve in each})
        known = {names[column]: e for column, (_, e) in found.items()}
        targets_named = tuple(self.target_names[t] for t in wanted)
        return CausalRegressors(tuple(known), targets_named, tuple(found), tuple(wanted), curves, known)

    def attribute(
        self,
        x: Any,
        target: str | int | Sequence[str | int] | None = None,
        via: str = "regressors",
        *,
        features: Sequence[Feature] | None = None,
        progress: bool = False,
    ) -> Attribution:
        """Return the saliency of x: ACE of do(x_i = x[i]) on a target, in x's shape, with standard errors.

        The regressors are kept and serve later calls, until anything changes that they were computed from: weights,
        buffers, layers, attributes, variables that a function reads, or the input model.

        Args:
            x: ``(*shape)`` one input or ``(batch, *shape)``. The columns of a data frame, and the entries of one of its
                rows, go by name; by position where the inputs or the frame have no names.
            target: name or index of the output, or one for each row, ``(batch,)``, such as ``net(x).argmax(1)``; None
                where there is only one output.
            via: "regressors" uses regressors of all features on Chebyshev values, fitted once, and warns where they
                miss direct values by more than 5 % of the range; "direct" evaluates each distinct value. Values at
                which most of the rows leave the data are named in a warning, for tables of at most 64 inputs.
            features: a list of the inputs to explain, as in ``regress``; the others get NaN. Default all but the
                pinned ones, which have no effect to speak of and get NaN.
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
        x = as_inputs(x, self.inputs)
        flat = x.reshape(-1, self.inputs.num_features)
        each = each_target(0 if target is None else target, self.target_names, len(flat))
        wanted, which = map(torch.from_numpy, np.unique(each, return_inverse=True))
        columns = columns_of(features, self.inputs)
        networks, curves, doubts = self._networks(), None, Doubts()
        if via == "regressors":
            curves = self._kept(networks, columns, {c: flat[:, c] for c in columns}, progress=progress)
        found = torch.full((4, *flat.shape), torch.nan, dtype=torch.float64)  # effects, errors, freedom, baselines
        drifts, off = {}, {}
        domains = {self.inputs.feature_names[c]: self._domain(c) for c in columns}
        direct = None if curves is not None else self._direct(networks, columns, flat, wanted.tolist(), doubts)
        for column, (name, domain) in zip(columns, domains.items(), strict=True):
            distinct, where = (t.cpu() for t in flat[:, column].unique(return_inverse=True))
            chosen = [] if curves is None else [curves[column, t] for t in wanted.tolist()]
            if curves is None:
                assert direct is not None
                parts, drifts[name] = next(direct)
            else:
                doubts.add(curves.expectations[name])
                read = (curve.estimate(distinct.double()) for curve in chosen)
                parts = [torch.stack(part, dim=1) for part in zip(*read, strict=True)]
                parts.append(torch.tensor([curve.baseline for curve in chosen]).double().expand(len(distinct), -1))
                drifts[name] = drift_of(domain, chosen, parts[1].numpy())
            off[name] = off_at(distinct, chosen[0] if chosen else None, self.inputs, column)
            found[:, :, column] = torch.stack([part[where, which] for part in parts])
        doubts.warn(bands=True)
        warn_drift(drifts, domains)
        warn_off(off)
        effects, errors, freedoms, baselines = found.to(double(flat).device).reshape(4, *x.shape)
        names = tuple(self.target_names[t] for t in each)
        named = names[0] if len(names) == 1 or is_one(target) else names
        return Attribution(effects, errors, named, via, self.inputs.feature_names, x.clone(), freedoms, baselines)

    def cached(self, features: Sequence[Feature] | None = None, *, progress: bool = False) -> CausalRegressors:
        """Return the regressors of these features (default all) and all targets that ``attribute`` reads values off.

        They are fitted and checked once.
        """
        return self._kept(self._networks(), columns_of(features, self.inputs), {}, progress=progress)

    def _networks(self) -> Networks:
        """Return the networks, looked at again: each public call does so, since they may have changed meanwhile."""
        networks = admitted(self.models, self.inputs, **self._entrance)
        if networks.outputs != self.num_outputs:
            raise ValueError(
                f"model must return the {self.num_outputs} outputs that it had at first, got {networks.outputs}; make "
                "a new AverageCausalEffect"
            )
        return networks

    def _kept(
        self, networks: Networks, columns: list[int], asked: dict[int, Tensor], *, progress: bool
    ) -> CausalRegressors:
        """Return regressors: kept ones while all is as it was, else new ones, checked at the values asked for."""

        def state() -> State:
            """Return the fingerprint of networks and inputs, and of the outputs on the two rows of the entrance."""
            return fingerprint(*self.models, self.inputs, self._entrance, outputs=lambda: networks.answers)

        now = state()
        self._cache = valid = tuple(kept for kept in self._cache if kept.holds(now))
        for kept in valid:
            if set(columns) <= set(kept.value.feature_index):
                return kept.value
        options = dict(family="polynomial", order=MAX_ORDER, baseline="uniform")
        every = list(range(self.num_outputs))
        curves = self._curves(networks, columns, every, CHEBYSHEV_VALUES, "chebyshev", 0, progress, options)
        self._check(networks, curves, asked)
        self._cache = (*valid, Kept(curves, now, state()))
        return curves

    def _share(self, num: int) -> int:
        """Return the rows that the budget has for each average when all features are regressed on ``num`` values."""
        free = self.inputs.num_features - len(self.inputs.fixed)
        return max(MIN_ROWS, self.options["budget"] // (num * max(1, free)))

    def _ask(
        self,
        networks: Networks,
        wanted: Iterable[tuple[Feature, Any]],
        targets: Sequence[int] | None,
        share: int | None,
        *,
        progress: str | None = None,
    ) -> Iterator[Expectation]:
        """Yield expectations from a share of the budget, in rows for each value, or from all, their outputs named.

        Args:
            networks: admitted in this call.
            wanted: features and values.
            targets: indices of outputs; None for all.
            share: rows for each value; None for all that the budget allows.
            progress: title of a progress bar; None shows none.
        """
        options = {**self.options, "share": share, "outputs": targets}
        named = self.target_names if targets is None else tuple(self.target_names[t] for t in targets)
        asks = [(feature, values, options) for feature, values in wanted]
        for e in expectations(networks, asks, title=progress, **self._workers):
            yield replace(e, target_names=named)

    def _fit(
        self, column: int, domain: Domain, values: Tensor, e: Expectation, family: str, order: int, baseline: Any
    ) -> tuple[Sequence[Regressor], Expectation]:
        """Return the regressors of one feature, and the expectation they were fitted to."""
        if isinstance(baseline, str) and baseline == "data":
            if self.inputs.samples is None:
                raise ValueError(
                    "baseline must not be 'data' for an input model without rows, got 'data'; it needs rows"
                )
            weights = getattr(self.inputs, "weights", None)
            baseline = ("data", self.inputs.samples[:, column].cpu().double(), weights)
        shared = dict(covariance=e.covariances.cpu().numpy(), baseline=baseline)
        if bool(np.isnan(shared["covariance"]).any()):
            shared["covariance"] = None  # moments without a sample size: no sampling error is known
        sampled = values.numpy(), e.values.T.cpu().numpy()
        if isinstance(domain, FiniteSet):
            fitted = CausalTable.fit_many(*sampled, **shared)
        else:
            shared |= dict(low=domain.low, high=domain.high) | ({"max_order": order} if family == "polynomial" else {})
            fitted = over_sample(CURVE_FAMILIES[family].fit_many(*sampled, **shared), domain)
        return with_sources(fitted, e.freedom, None if e.models is None else e.models.cpu().numpy()), e

    def _direct(
        self, networks: Networks, columns: list[int], flat: Tensor, targets: list[int], doubts: Doubts
    ) -> Iterator[tuple[tuple[Tensor, ...], float]]:
        """Yield ``(d, targets)`` ACE, errors, degrees of freedom, baselines, and their drift; see ``effects_of``."""
        domains = [self._domain(column) for column in columns]
        nodes = [quadrature(domain) for domain in domains]
        distinct = [flat[:, column].unique().cpu().double() for column in columns]
        values = [torch.cat([own, points]) for own, (points, _) in zip(distinct, nodes, strict=True)]
        answers = self._ask(networks, zip(columns, values, strict=True), targets, None)
        for e, domain, (_, weights) in zip(answers, domains, nodes, strict=True):
            doubts.add(e)
            yield effects_of(e, weights, domain)

    def _check(self, networks: Networks, curves: CausalRegressors, asked: dict[int, Tensor]) -> None:
        """Warn where cached regressors miss direct values on the same rows, at values asked for and all over."""
        generator, inputs = as_generator(self.options["seed"]), self.inputs
        values = values_to_check(curves.feature_index, inputs.domain, asked, generator)
        found = self._ask(networks, values.items(), None, self._share(CHEBYSHEV_VALUES))
        answers = dict(zip(values, found, strict=True))
        warn_of_misses(curves, values, answers, inputs.feature_names, torch.finfo(inputs.mean.dtype).eps)

    def _domain(self, column: int) -> Domain:
        """Return the domain of an input, with errors of its ends that know of dependent rows."""
        domain, rows, labels = self.inputs.domain[column], self.inputs.samples, self.options["groups"]
        return domain if labels is None or rows is None else grouped(domain, rows[:, column], labels)

    def _targets(self, targets: Any) -> list[int]:
        return list(range(self.num_outputs)) if targets is None else positions(targets, self.target_names, "target")
