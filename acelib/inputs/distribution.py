"""The input distribution of a feed-forward network, which answers do() by Cor. 2.1.

In a feed-forward network seen as a structural causal model, an intervened input is d-separated from the others, so
do(x_i = a) changes x_i and nothing else (Chattopadhyay et al., 2019, Prop. 2 and Cor. 2.1): the means stay except
mu_i = a, the covariance stays except that row and column i become 0. With the covariance held as S S^T, that is
row i of S set to 0, and one factorisation serves every feature.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from .._checks import feature_names as check_names
from .._maps import check_unchanged, place_of, rewritten, taken
from .._tables import as_float_tensor, as_table, frame_names, is_frame
from .base import InputModel
from .domain import Domain, FiniteSet, Interval, as_domains, described, warn_constant
from .ends import sample_ranges
from .intervention import TableIntervention
from .moments import factorise_kept, factorise_rows, factorise_stream
from .reading import as_weights, entry_of, is_batches, warn_merged
from .streams import Kept, kept_in_file
from .support import FEW, FEW_FEATURES, Neighbourhood


@dataclass(frozen=True, repr=False)
class InputDistribution(InputModel):
    """Moments and rows of a network's inputs; answers do(feature, values) by Cor. 2.1.

    Attributes:
        mean: ``(k,)`` of the flattened inputs.
        factor: ``(k, R)`` with covariance ``factor @ factor.T`` (ddof = 0).
        domain: an Interval or a FiniteSet per feature.
        samples: ``(n, k)`` rows, or None where only moments are known.
        feature_names: k names.
        shape: the shape of one input as the model wants it.
        num_observed: rows behind the moments, None where unknown; with weights their effective number, (Σw)² / Σw².
        explained: share of the variance that ``factor`` holds (below 1 where ``rank`` truncated it).
        fixed: coordinates that earlier interventions have pinned.
        observed: ``(n, k)`` the data before anything was pinned, which intervened rows are compared with.
        weights: ``(n,)`` weights of the samples, with a mean of 1; None where all are the same.

    References:
        Chattopadhyay et al. (2019), Prop. 2 and Cor. 2.1.

    Example:
        >>> X = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 2.0]], dtype=torch.float64)
        >>> inputs = InputDistribution.fit(X, feature_names=["a", "b"])
        >>> answer = inputs.do("a", [0.0, 4.0])
        >>> assert answer.means.tolist() == [[0.0, 2.0], [4.0, 2.0]]
        >>> assert answer.factor[0].abs().max() == 0  # a no longer varies
    """

    mean: Tensor
    factor: Tensor
    domain: tuple[Domain, ...]
    samples: Tensor | None
    feature_names: tuple[str, ...]
    shape: tuple[int, ...]
    num_observed: float | None = None
    explained: float = 1.0
    fixed: tuple[int, ...] = ()
    observed: Tensor | None = None
    weights: Tensor | None = None

    @classmethod
    def fit(
        cls,
        X: Any,
        feature_names: Iterable[str] | None = None,
        rank: int | float | None = None,
        domain: Any = None,
        *,
        weights: Any = None,
        key: Any = None,
        max_rows: int = 10_000,
        seed: int | None = 0,
        folder: str | os.PathLike | None = None,
    ) -> InputDistribution:
        """Return the input distribution of a table, a tensor of inputs, or a stream of batches.

        Nothing is shared with the caller: X may be overwritten afterwards. Only a memory map stays where it is, and a
        later answer refuses a file that has changed.

        Args:
            X: ``(n, *shape)`` tensor, array, memory map or data frame, n >= 2; or an iterable of such batches (of the
                first element of each, where batches are tuples), such as a DataLoader. A stream gives its moments and a
                reservoir of rows; with ``folder`` all rows, which then may be a table of Dask, h5py or zarr too.
                Columns of a frame may be boolean, nullable or objects, if they hold numbers.
            feature_names: one per flattened input; a data frame brings its own.
            rank: keep this many columns of the factor, or, for a float up to 1, as many as explain that share of
                the variance; None and 1.0 keep all.
            domain: ``(low, high)``, a set of values, a mapping from names to these, or one per feature. By default the
                range of the samples, but a finite set for columns of a table that hold 0 and 1, or two values or, in
                columns of integers, at most 12, each of which makes up 1 % of the rows and comes twice. The range moves
                with the sample and grows with its size: effects are measured from a mean over it, and their errors
                hold how far it would be off in another sample of this size. A named domain has no such error.
            weights: ``(n,)`` weight of each row, at least 0: averages are Σ w y / Σ w, and so are mean and covariance.
                A row of weight 2 counts like two equal rows in all values; the errors are those of this ratio, for
                rows that are independent draws, whose weights say how much each stands for.
            key: where X, or each of its batches, is a dictionary such as ``{"inputs_embeds": …, "labels": …}``: the
                entry that holds the inputs.
            max_rows: size of the reservoir for a stream: a random subset of its rows.
            seed: seed of the reservoir; None means 0.
            folder: keep all rows, in a file in this folder that is read through a memory map and removed with the last
                use of them, for rows that do not fit into memory: X is read once, block by block, the file once for
                each further pass. The answers are those in memory. Processes that share the work must see the folder.

        Raises:
            TypeError: if X is not numeric; of a table the column is named.
            ValueError: for fewer than two rows, NaN or Inf, wrong names, rank, domain or weights, or whole numbers
                that float64 does not hold.
        """
        X = X if key is None else entry_of(X, key)
        batches = is_batches(X)
        if (kept := None if batches and weights is not None else kept_in_file(X, folder)) is not None:
            weights = as_weights(weights, X, kept.rows)
            parts = factorise_kept(kept, rank=rank, weights=weights)
            weights = None if weights is None else _beside(parts.rows, weights)
        elif batches:
            if weights is not None:
                raise ValueError(
                    "weights must be left out for a stream of batches, got some; give the rows as one table"
                )
            parts = factorise_stream(X, rank=rank, max_rows=max_rows, seed=seed)
        else:
            table, whole = as_table(X, "X", copy=True)
            weights = as_weights(weights, X, table)
            parts = factorise_rows(table, rank=rank, weights=weights, whole=whole)
            weights = None if weights is None else _beside(parts.rows, weights)
        if feature_names is None:
            feature_names = frame_names(X) if is_frame(X) else parts.names
        names = check_names(feature_names, parts.mean.shape[0])
        present = parts.rows
        if weights is not None and not bool((weights > 0).all()):
            present = taken(parts.rows, (weights > 0).nonzero()[:, 0])
        total = parts.count if weights is None else len(present)
        origins = partial(sample_ranges, present, int(total))
        domains = as_domains(domain, names, parts.low, parts.high, parts.sets, origins)
        warn_constant(names, domains)
        return cls(
            parts.mean,
            parts.factor,
            domains,
            parts.rows,
            names,
            parts.shape,
            parts.count,
            parts.explained,
            observed=present,
            weights=weights,
        )

    @classmethod
    def from_moments(
        cls,
        mean: Any,
        factor: Any,
        *,
        low: Any,
        high: Any,
        feature_names: Iterable[str] | None = None,
        shape: Sequence[int] | None = None,
        num_observed: float | None = None,
    ) -> InputDistribution:
        """Return an input distribution without rows, from shipped statistics.

        Args:
            mean: ``(k,)``, or the shape of one input.
            factor: ``(k, R)`` with covariance ``factor @ factor.T``.
            low, high: ends of each feature's domain; numbers or ``(k,)``.
            feature_names: k names.
            shape: of one input; default is the shape of ``mean``.
            num_observed: rows behind the moments; with it Taylor and cubature get standard errors, those of the mean:
                how far the factor is off takes rows, see ``fit``.

        Raises:
            ValueError: if the shapes do not fit together or low exceeds high.
        """
        mean = as_float_tensor(mean, "mean", copy=True)
        shape = tuple(mean.shape if shape is None else shape)
        mean = mean.reshape(-1)
        k = mean.shape[0]
        factor = as_float_tensor(factor, "factor", dtype=mean.dtype, device=mean.device, copy=True)
        if factor.ndim != 2 or factor.shape[0] != k:
            raise ValueError(f"factor must have shape (k, R) = ({k}, R), got {tuple(factor.shape)}")
        if torch.Size(shape).numel() != k:
            raise ValueError(f"shape must hold the {k} entries of mean, got {shape}")
        ends = [
            as_float_tensor(e, n, dtype=torch.float64, device="cpu").reshape(-1)
            for e, n in ((low, "low"), (high, "high"))
        ]
        if any(e.numel() not in (1, k) for e in ends):
            raise ValueError(f"low and high must be numbers or hold {k} entries each, got {[e.numel() for e in ends]}")
        lows, highs = (e.expand(k).tolist() for e in ends)
        domains = tuple(Interval(a, b) for a, b in zip(lows, highs, strict=True))
        return cls(mean, factor, domains, None, check_names(feature_names, k), shape, num_observed)

    def __repr__(self) -> str:
        rows = "no rows" if self.samples is None else f"{self.samples.shape[0]} rows"
        rows += "" if place_of(self.samples) is None else " in a file"
        if self.weights is not None:
            rows += f" with weights, worth {self.num_observed:.0f}"
        names = ", ".join(self.feature_names[:6]) + (", ..." if self.num_features > 6 else "")
        sets = sum(isinstance(domain, FiniteSet) for domain in self.domain)
        finite = f"{sets} of {self.num_features} features are finite sets, " if sets else ""
        return (
            f"InputDistribution({self.num_features} features ({names}), {rows}, {finite}rank {self.factor.shape[1]}, "
            f"{self.explained:.1%} of the variance, {described(self.domain)}, {self.mean.dtype}, {self.mean.device})"
        )

    @property
    def covariance(self) -> Tensor:
        """``(k, k)`` covariance, factor @ factor.T."""
        return self.factor @ self.factor.T

    def to(self, target: str | torch.device | torch.dtype) -> InputDistribution:
        """Return the same distribution on another device or in another floating dtype.

        A warning names the features whose values the new dtype no longer tells apart.

        Raises:
            ValueError: for a dtype that is not floating.
        """
        if isinstance(target, torch.dtype) and not target.is_floating_point:
            raise ValueError(f"target must be a device or a floating dtype, got {target}")
        if isinstance(target, torch.dtype) and place_of(self.samples) is not None:
            if target not in self._converted:
                self._converted[target] = self._moved(target)
            return self._converted[target]
        return self._moved(target)

    @cached_property
    def _converted(self) -> dict[torch.dtype, InputDistribution]:
        """What ``to`` has made of rows in a file: each change of dtype is another file."""
        return {}

    def _moved(self, target: str | torch.device | torch.dtype) -> InputDistribution:
        """Return the same distribution elsewhere, or in another dtype."""
        cast = isinstance(target, torch.dtype)
        moved = {n: getattr(self, n).to(target) for n in ("mean", "factor")}
        for name in ("samples", "observed"):
            rows = getattr(self, name)
            if name == "observed" and rows is self.samples:
                moved[name] = moved.get("samples")
            elif rows is not None:
                moved[name] = rewritten(rows, lambda some: some.to(target)) if cast else rows.to(target)
        result = replace(self, **moved)
        if self.weights is not None:
            result = replace(result, weights=_beside(result.mean, self.weights))
        if self.samples is not None and result.samples is not None:
            warn_merged(self.samples, result.samples, self.feature_names)
        return result

    def answer(self, columns: tuple[int, ...], values: Tensor, name: str) -> TableIntervention:
        """Return the answer of Cor. 2.1: mu_i = a, row and column i of the covariance 0, the columns overwritten.

        Raises:
            RuntimeError: if the rows are in a file that has changed since.
        """
        check_unchanged(self.samples)
        return TableIntervention(
            name=name,
            columns=columns,
            values=values,
            mean=self.mean,
            base_factor=self.factor,
            shape=self.shape,
            base_rows=self.samples,
            observed=self.observed,
            num_observed=self.num_observed,
            fixed=self.fixed,
            truncated=self.explained <= 1 - 1e-9,
            weights=self.weights,
            space=self._space,
        )

    @cached_property
    def _space(self) -> Neighbourhood | None:
        """What all answers measure their rows against."""
        if self.samples is None or self.observed is None:
            return None
        return Neighbourhood(self.observed, self.samples, weights=self.weights)

    def quick_support(self, column: int, values: Tensor) -> Tensor | None:
        """Return the share of 64 rows that leave 512 observed ones, ``(m,)`` on the CPU; None beyond 64 features."""
        if self._few is None:
            return None
        given = values.to(self.mean).reshape(-1, 1)
        held = self.mean[list(self.fixed)].expand(len(given), -1)
        return self._few.shares((column, *self.fixed), torch.cat([given, held], dim=1)).cpu()

    @cached_property
    def _few(self) -> Neighbourhood | None:
        """A smaller neighbourhood, for a quick look."""
        if self.samples is None or self.observed is None or self.num_features > FEW_FEATURES:
            return None
        return Neighbourhood(self.observed, self.samples, weights=self.weights, most=FEW)

    def pin(self, pins: Mapping[int, float]) -> InputDistribution:
        """Return the distribution in which these coordinates are constant."""
        index = list(pins)
        values = self.mean.new_tensor(list(pins.values()))
        mean, factor, samples = self.mean.clone(), self.factor.clone(), self.samples
        mean[index], factor[index] = values, 0
        if samples is not None:

            def held(rows: Tensor) -> Tensor:
                rows = rows.clone()
                rows[:, index] = values
                return rows

            samples = rewritten(samples, held)
        return replace(self, mean=mean, factor=factor, samples=samples, fixed=self.fixed + tuple(pins))

    def keep_rows(self, index: Tensor) -> InputDistribution:
        """Return the distribution of these rows, with their moments; weights are scaled to a mean of 1 again."""
        assert self.samples is not None, "where() has asked"
        rows = taken(self.samples, index)
        weights = None if self.weights is None else as_weights(self.weights[index], None, rows)
        rank = self.factor.shape[1] if self.explained <= 1 - 1e-9 else None
        if place_of(rows) is not None:
            parts = factorise_kept(Kept(rows, tuple(self.shape), [False], None), rank=rank, weights=weights)
        else:
            parts = factorise_rows(rows.reshape(-1, *self.shape), rank=rank, weights=weights)
        held = list(self.fixed)
        parts.mean[held], parts.factor[held] = self.mean[held], 0  # exactly: an average of equal numbers may round
        return replace(
            self,
            mean=parts.mean,
            factor=parts.factor,
            samples=parts.rows,
            num_observed=parts.count,
            explained=parts.explained,
            weights=None if weights is None else _beside(parts.rows, weights),
        )


def _beside(rows: Tensor, weights: Tensor) -> Tensor:
    """Return weights on the device of the rows, in their dtype, but float32 for those in half precision."""
    return weights.to(torch.promote_types(rows.dtype, torch.float32)).to(rows.device)
