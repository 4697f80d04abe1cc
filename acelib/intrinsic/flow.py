"""A causal normalizing flow: mechanisms and noises of the inputs learned from data, for a stated graph.

One masked autoregressive spline transform maps data to noises, ``n_j = T_j(x_j; pa_j)``, increasing in x_j, with
``n_j ~ N(0, 1)`` independent. Its inverse is a structural model: ``x_j = T_j⁻¹(n_j; pa_j)``. Trained by maximum
likelihood it is unique up to component-wise invertible maps of the noises, to which contributions are invariant. A
single transform is used on purpose: a composition of two would let a node depend on the parents of its parents.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import as_count, as_generator
from .._warnings import ApproximationWarning, warn_caller
from .fitted import FittedRows
from .graph import CausalGraph, read_columns
from .rounded import spread_rounded
from .scm import CausalModel
from .splines import ResidualSplines, regressions, spline_transform
from .training import blocks, losses, train, train_until_held_out

DTYPE = torch.float64


class FlowModel(CausalModel):
    """A causal normalizing flow; ``FlowModel.fit`` learns it from data.

    Args:
        graph: ``{child: [parents]}``.
        transform: a zuko lazy transform of standardised nodes, in the order of the graph, whose ``adjacency`` has a
            row per child and a column per parent. It is checked against the graph.
        location: ``(nodes,)`` subtracted from the nodes before the transform.
        scale: ``(nodes,)`` by which they are then divided.
        history: mean negative log-likelihood, in nats: of the training rows by epoch, or of the held-out rows every 25
            steps up to the weights that were kept.

    Raises:
        ValueError: if the transform's Jacobian contradicts the graph, for example under a transposed mask.

    References:
        Javaloy et al. (2023) for causal normalizing flows; Durkan et al. (2019) for the splines.
    """

    def __init__(
        self,
        graph: CausalGraph | Mapping[str, Iterable[str]],
        transform: nn.Module,
        location: Tensor | None = None,
        scale: Tensor | None = None,
        history: Iterable[float] = (),
    ) -> None:
        super().__init__(graph)
        k = len(self.graph)
        self.transform = transform.to(DTYPE).requires_grad_(False)
        self.location = torch.zeros(k, dtype=DTYPE) if location is None else location.to(DTYPE)
        self.scale = torch.ones(k, dtype=DTYPE) if scale is None else scale.to(DTYPE)
        self.history = tuple(history)
        self.check_graph()

    @classmethod
    def fit(
        cls,
        X: Any,
        graph: CausalGraph | Mapping[str, Iterable[str]],
        *,
        names: Iterable[str] | None = None,
        epochs: int | None = None,
        steps: int = 5000,
        batch_size: int = 512,
        learning_rate: float = 1e-2,
        hidden: tuple[int, ...] = (32, 32),
        bins: int = 8,
        seed: int | None = 0,
        progress: bool = False,
    ) -> FlowModel:
        """Return the flow trained by maximum likelihood on a table.

        Without ``epochs`` a fifth of the rows is held out. The flow starts as the linear-normal model, least-squares
        regressions of every node on its parents; its splines act on their residuals. Averaged weights are judged on
        the held-out rows every 25 steps, and the best are kept; training ends after 200 steps without a better one.

        With ``epochs`` every row is trained on, for exactly so many passes: splines of the nodes themselves, and
        nothing tells when they are learned. Small tables need hundreds of passes.

        Args:
            X: ``(n, nodes)`` table of continuous variables; a data frame's columns are found by name.
            graph: ``{child: [parents]}``.
            names: names of X's columns where it is no data frame; default the nodes in the order of the graph.
            epochs: passes over the rows; default as many steps as the held-out rows ask for.
            steps: most steps of Adam where ``epochs`` is None.
            batch_size: rows a step.
            learning_rate: learning rate of Adam; where ``epochs`` are given it falls to 0 along a cosine.
            hidden: widths of the masked network that gives the splines' parameters.
            bins: bins of each spline.
            seed: seed of initial weights, held-out rows and batches; None means 0.
            progress: show a progress bar.

        Raises:
            ImportError: if zuko is not installed.
            ValueError: for missing or constant columns, columns of few values or with one that many rows share, NaN,
                fewer than 100 rows, or no steps.

        Warns:
            ApproximationWarning: where values are rounded, which are then spread evenly over their step; where after
                the given ``epochs`` the mean log-likelihood of the rows is below that of the linear-normal model.
                Without ``epochs`` it cannot be, on held-out rows.

        References:
            Prechelt (1998) for early stopping; Polyak and Juditsky (1992) for averaged weights.
        """
        options = _Options(epochs, steps, batch_size, learning_rate, tuple(hidden), bins, progress)
        X, graph = _read(X, graph, names)
        return cls._learned(X, graph, options, as_generator(seed), resample=False)

    @classmethod
    def bootstrap(
        cls,
        X: Any,
        graph: CausalGraph | Mapping[str, Iterable[str]],
        *,
        repeats: int = 20,
        names: Iterable[str] | None = None,
        seed: int | None = 0,
        **options: Any,
    ) -> list[FlowModel]:
        """Return flows trained on resamples of the rows, whose spread is the error of learning from such a table.

        ``intrinsic_contributions`` takes the list: nothing else tells how far a trained flow may be off. Every flow has
        its own initial weights and its own fifth of the rows held out. It is trained on draws of the others, so that no
        row is on both sides, and on a third more draws than rows: then the weights of the rows, held-out ones
        included, vary as in a bootstrap of all rows.

        Args:
            X: ``(n, nodes)`` table of continuous variables, as for ``fit``.
            graph: ``{child: [parents]}``.
            repeats: number of flows, at least 2; each takes as long as ``fit``.
            names: names of X's columns where it is no data frame; default the nodes in the order of the graph.
            seed: seed of resamples and trainings; None means 0.
            options: those of ``fit``.

        Raises:
            ImportError, ValueError: as ``fit``.

        References:
            Efron and Tibshirani (1993).
        """
        repeats = as_count(repeats, "repeats", "the number of flows", minimum=2)
        settings = _Options(**options)
        X, graph = _read(X, graph, names)
        generator = as_generator(seed)
        first = cls._learned(X, graph, settings, generator, resample=True)
        flows = [first]
        for _ in range(repeats - 1):
            flows.append(cls._learned(X, graph, settings, generator, resample=True))
            flows[-1].fitted = first.fitted  # one copy of the rows for all
        return flows

    @classmethod
    def _learned(
        cls, X: Tensor, graph: CausalGraph, options: _Options, generator: torch.Generator, *, resample: bool
    ) -> FlowModel:
        """Return the flow trained on rows ``(n, nodes)``, or on a resample of them."""
        location, scale = X.mean(0), X.std(0)
        transform = spline_transform(graph.adjacency(), options.hidden, options.bins, generator).to(DTYPE)
        rows, n = (X - location) / scale, len(X)
        training = {"batch_size": options.batch_size, "learning_rate": options.learning_rate}
        if options.epochs is None:
            order = torch.randperm(n, generator=generator)
            held, kept = rows[order[: n // 5]], rows[order[n // 5 :]]
            if resample:
                kept = kept[_draws(len(kept), n, generator)]
            transform = ResidualSplines(transform, *regressions(kept, graph.adjacency()))
            history = train_until_held_out(
                transform, kept, held, generator, steps=options.steps, progress=options.progress, **training
            )
        else:
            rows = rows[_draws(n, n, generator)] if resample else rows
            history = train(transform, rows, generator, epochs=options.epochs, progress=options.progress, **training)
            _warn_below_linear(transform, rows, graph.adjacency(), options.epochs)
        offset = float(scale.log().sum())  # densities are of the data, not of standardised rows
        flow = cls(graph, transform.eval(), location, scale, [loss + offset for loss in history])
        flow.fitted = replace(FittedRows.of(X), resampled=resample)
        return flow

    def push(self, noise: Tensor) -> Tensor:
        """Return nodes ``(batch, nodes)`` made from noises ``(batch, nodes)``, in the noises' dtype."""
        with torch.no_grad():
            parts = blocks(self.transform, noise.cpu().to(DTYPE))
            rows = torch.cat([self.transform().inv(block) for block in parts])
        return (rows * self.scale + self.location).to(noise)

    def abduct(self, X: Tensor) -> Tensor:
        """Return the noises ``(batch, nodes)`` behind nodes ``(batch, nodes)``, one vector for each instance."""
        with torch.no_grad():
            parts = blocks(self.transform, self._standard(X))
            return torch.cat([self.transform()(block) for block in parts]).to(X)

    def log_prob(self, X: Any, *, names: Iterable[str] | None = None) -> Tensor:
        """Return the log density ``(batch,)`` in nats of rows ``(batch, nodes)``."""
        rows = self._standard(read_columns(X, self.graph, names))
        return -losses(self.transform, rows) - self.scale.log().sum()

    def jacobian(self, X: Tensor) -> Tensor:
        """Return ∂n/∂x ``(batch, nodes, nodes)`` at nodes ``(batch, nodes)``: row = noise, column = node."""
        rows = self._standard(X).requires_grad_(True)
        noises = self.transform()(rows)
        k = len(self.graph)
        each = [torch.autograd.grad(noises[:, j].sum(), rows, retain_graph=j < k - 1)[0] for j in range(k)]
        return torch.stack(each, dim=1) / self.scale

    def check_graph(self) -> None:
        """Raise a ValueError where a noise depends on more than its own node and the parents, or cannot depend on them.

        The Jacobian ∂n/∂x is taken at 64 points spread over the data and compared with the graph entry by entry.
        """
        k = len(self.graph)
        points = torch.randn(64, k, generator=torch.Generator().manual_seed(0), dtype=DTYPE)
        found = self.jacobian(points * self.scale + self.location).abs().amax(0) * self.scale
        allowed, nodes = self.graph.adjacency(), self.graph.nodes
        wrong = [(nodes[i], nodes[j]) for i, j in ((found > 1e-9) & ~allowed).nonzero().tolist()]
        lost = [(nodes[i], nodes[j]) for i, j in ((found == 0) & allowed).nonzero().tolist()]
        if wrong or lost:
            facts = [f"the noise of {i!r} depends on {j!r}, which is no parent of it" for i, j in wrong[:3]]
            facts += [f"the noise of {i!r} cannot depend on {j!r}" for i, j in lost[:3]]
            raise ValueError(
                f"the flow's Jacobian contradicts the graph: {'; '.join(facts)}; is the mask transposed? zuko's "
                "adjacency has a row per child and a column per parent"
            )

    def _standard(self, X: Tensor) -> Tensor:
        return (X.detach().cpu().to(DTYPE) - self.location) / self.scale

    def __repr__(self) -> str:
        loss = f", {self.history[-1]:.4g} nats a row" if self.history else ""
        return f"FlowModel({dict(self.graph.parents)}{loss})"


@dataclass(frozen=True)
class _Options:
    """How a flow is trained; see ``FlowModel.fit``."""

    epochs: int | None = None
    steps: int = 5000
    batch_size: int = 512
    learning_rate: float = 1e-2
    hidden: tuple[int, ...] = (32, 32)
    bins: int = 8
    progress: bool = False

    def __post_init__(self) -> None:
        for what in ("epochs", "steps", "batch_size"):
            number = getattr(self, what)
            if number is not None and number < 1:
                raise ValueError(f"{what} must be at least 1, got {number}")


def _read(X: Any, graph: Any, names: Iterable[str] | None) -> tuple[Tensor, CausalGraph]:
    """Return the columns of the nodes and the graph, or raise a ValueError for a table that no flow is learned from."""
    graph = CausalGraph.of(graph)
    X = read_columns(X, graph, names).cpu().to(DTYPE)
    if len(X) < 100:
        raise ValueError(f"X must have at least 100 rows to learn mechanisms from, got {len(X)}")
    constant = [n for n, s in zip(graph.nodes, X.std(0), strict=True) if s == 0]
    if constant:
        raise ValueError(f"X must vary in every column, got constant {constant}; leave these nodes out of the graph")
    return spread_rounded(X, graph), graph


def _draws(kept: int, n: int, generator: torch.Generator) -> Tensor:
    """Return draws with replacement among ``kept`` of n rows, as many as make the weights of all n rows vary by 1.

    With N draws a row's weight, relative to its mean, has the variance (n / kept) (1 + kept / N) - 1: that of a
    bootstrap, 1, for N = n where all are kept, and for N = 4n / 3 where a fifth is held out.
    """
    number = round(n / (2 - n / kept))
    return torch.randint(kept, (number,), generator=generator)


def _warn_below_linear(transform: nn.Module, rows: Tensor, adjacency: Tensor, epochs: int) -> None:
    """Warn where the likelihood of standardised rows is below its maximum under linear mechanisms and normal noises."""
    found = -float(losses(transform, rows).mean())
    deviations = regressions(rows, adjacency)[2]
    linear = -float((deviations.log() + 0.5 * (1 + math.log(2 * math.pi))).sum())
    if found < linear:
        warn_caller(
            f"the flow is not trained: after {epochs} epochs of {len(rows)} rows its log-likelihood is "
            f"{linear - found:.2g} nats a row below that of LinearModel; leave out epochs, so that training ends where "
            "a held-out likelihood does, or give more",
            ApproximationWarning,
        )
