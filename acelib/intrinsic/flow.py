"""A causal normalizing flow: mechanisms and noises of the inputs learned from data, for a stated graph.

One masked autoregressive spline transform maps data to noises, ``n_j = T_j(x_j; pa_j)``, increasing in x_j, with
``n_j ~ N(0, 1)`` independent. Its inverse is a structural model: ``x_j = T_j⁻¹(n_j; pa_j)``. Trained by maximum
likelihood it is unique up to component-wise invertible maps of the noises, to which contributions are invariant. A
single transform is used on purpose: a composition of two would let a node depend on the parents of its parents.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import as_generator
from .._warnings import ApproximationWarning, warn_caller
from ._progress import progress_bar
from .graph import CausalGraph, read_columns
from .scm import CausalModel
from .splines import ResidualSplines, regressions, spline_transform

DTYPE = torch.float64
CHECK_EVERY = 25  # steps between two looks at the held-out rows
PATIENCE = 8  # looks without a better likelihood after which training ends
BLOCK = 2**18  # parameters of splines in memory at once; each needs about a kilobyte
AVERAGED = 50  # steps over which weights are averaged


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
            ValueError: for missing or constant columns, NaN, fewer than 100 rows, or no steps.

        Warns:
            ApproximationWarning: where values repeat, or where after the given ``epochs`` the mean log-likelihood of
                the rows is below that of the linear-normal model. Without ``epochs`` it cannot be, on held-out rows.

        References:
            Prechelt (1998) for early stopping; Polyak and Juditsky (1992) for averaged weights.
        """
        graph = CausalGraph.of(graph)
        X = read_columns(X, graph, names).cpu().to(DTYPE)
        if len(X) < 100:
            raise ValueError(f"X must have at least 100 rows to learn mechanisms from, got {len(X)}")
        for what, number in (("epochs", epochs), ("steps", steps), ("batch_size", batch_size)):
            if number is not None and number < 1:
                raise ValueError(f"{what} must be at least 1, got {number}")
        location, scale = X.mean(0), X.std(0)
        constant = [n for n, s in zip(graph.nodes, scale, strict=True) if s == 0]
        if constant:
            raise ValueError(
                f"X must vary in every column, got constant {constant}; leave these nodes out of the graph"
            )
        _warn_of_repeats(X, graph)
        generator = as_generator(seed)
        transform = spline_transform(graph.adjacency(), hidden, bins, generator).to(DTYPE)
        rows = (X - location) / scale
        options: dict[str, Any] = {"batch_size": batch_size, "learning_rate": learning_rate, "progress": progress}
        if epochs is None:
            order = torch.randperm(len(rows), generator=generator)
            held, kept = rows[order[: len(rows) // 5]], rows[order[len(rows) // 5 :]]
            transform = ResidualSplines(transform, *regressions(kept, graph.adjacency()))
            history = _train_until_held_out(transform, kept, held, generator, steps=steps, **options)
        else:
            history = _train(transform, rows, generator, epochs=epochs, **options)
            _warn_below_linear(transform, rows, graph.adjacency(), epochs)
        offset = float(scale.log().sum())  # densities are of the data, not of standardised rows
        return cls(graph, transform.eval(), location, scale, [loss + offset for loss in history])

    def push(self, noise: Tensor) -> Tensor:
        """Return nodes ``(batch, nodes)`` made from noises ``(batch, nodes)``, in the noises' dtype."""
        with torch.no_grad():
            blocks = _blocks(self.transform, noise.cpu().to(DTYPE))
            rows = torch.cat([self.transform().inv(block) for block in blocks])
        return (rows * self.scale + self.location).to(noise)

    def abduct(self, X: Tensor) -> Tensor:
        """Return the noises ``(batch, nodes)`` behind nodes ``(batch, nodes)``, one vector for each instance."""
        with torch.no_grad():
            blocks = _blocks(self.transform, self._standard(X))
            return torch.cat([self.transform()(block) for block in blocks]).to(X)

    def log_prob(self, X: Any, *, names: Iterable[str] | None = None) -> Tensor:
        """Return the log density ``(batch,)`` in nats of rows ``(batch, nodes)``."""
        rows = self._standard(read_columns(X, self.graph, names))
        return -_losses(self.transform, rows) - self.scale.log().sum()

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


def _warn_of_repeats(X: Tensor, graph: CausalGraph) -> None:
    """Warn of columns in which single values hold more than 2 % of the rows: flows are for continuous variables."""
    found = []
    for node, column in zip(graph.nodes, X.T, strict=True):
        distinct, counts = column.unique(return_counts=True)
        if int(counts.max()) > max(5, 0.02 * len(column)):
            found.append(f"{node!r} ({len(distinct)} distinct values)")
    if found:
        warn_caller(
            f"a flow is for continuous variables, but values repeat in {', '.join(found)}; contributions of these "
            "nodes may be wrong, use StructuralModel with FiniteNoise for them",
            ApproximationWarning,
        )


def _warn_below_linear(transform: nn.Module, rows: Tensor, adjacency: Tensor, epochs: int) -> None:
    """Warn where the likelihood of standardised rows is below its maximum under linear mechanisms and normal noises."""
    found = -float(_losses(transform, rows).mean())
    deviations = regressions(rows, adjacency)[2]
    linear = -float((deviations.log() + 0.5 * (1 + math.log(2 * math.pi))).sum())
    if found < linear:
        warn_caller(
            f"the flow is not trained: after {epochs} epochs of {len(rows)} rows its log-likelihood is "
            f"{linear - found:.2g} nats a row below that of LinearModel; leave out epochs, so that training ends where "
            "a held-out likelihood does, or give more",
            ApproximationWarning,
        )


def _negative_log_likelihood(transform: nn.Module, rows: Tensor) -> Tensor:
    """Return minus the log density ``(batch,)`` of standardised rows under standard normal noises."""
    noises, ladj = transform().call_and_ladj(rows)
    return 0.5 * noises.square().sum(1) + 0.5 * noises.shape[1] * torch.log(noises.new_tensor(2 * torch.pi)) - ladj


def _losses(transform: nn.Module, rows: Tensor) -> Tensor:
    """Return minus the log density ``(batch,)`` of standardised rows, in blocks and without a graph."""
    with torch.no_grad():
        return torch.cat([_negative_log_likelihood(transform, block) for block in _blocks(transform, rows)])


def _blocks(transform: nn.Module, rows: Tensor) -> tuple[Tensor, ...]:
    """Return the rows in blocks small enough for the widest layer, or 16 numbers a node: memory is bounded."""
    width = max([16 * rows.shape[1], *(len(p) for p in transform.parameters() if p.ndim > 1)])
    return rows.split(max(1, BLOCK // width))


def _train(
    transform: nn.Module,
    rows: Tensor,
    generator: torch.Generator,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    progress: bool,
) -> list[float]:
    """Return the mean loss of every epoch; the likelihood of ``transform`` is maximised in place."""
    optimizer = torch.optim.Adam(transform.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    history = []
    for _ in progress_bar(range(epochs), "flow", progress):
        total = 0.0
        for index in torch.randperm(len(rows), generator=generator).split(batch_size):
            loss = _negative_log_likelihood(transform, rows[index]).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(index)
        schedule.step()
        history.append(total / len(rows))
    return history


def _train_until_held_out(
    transform: nn.Module,
    rows: Tensor,
    held: Tensor,
    generator: torch.Generator,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    progress: bool,
) -> list[float]:
    """Return the held-out losses up to the best one, whose averaged weights ``transform`` is left with."""
    average, optimizer = copy.deepcopy(transform), torch.optim.Adam(transform.parameters(), lr=learning_rate)
    pairs = list(average.parameters()), list(transform.parameters())
    history, best, kept = [float(_losses(average, held).mean())], 0, copy.deepcopy(average.state_dict())
    batches: list[Tensor] = []
    for step in progress_bar(range(1, steps + 1), "flow", progress):
        batches = batches or list(torch.randperm(len(rows), generator=generator).split(batch_size))
        loss = _negative_log_likelihood(transform, rows[batches.pop()]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mean, weight in zip(*pairs, strict=True):
                mean.lerp_(weight, max(1 / step, 1 / AVERAGED))
        if step % CHECK_EVERY and step < steps:
            continue
        history.append(float(_losses(average, held).mean()))
        if history[-1] < history[best] - 1e-4:
            best, kept = len(history) - 1, copy.deepcopy(average.state_dict())
        if len(history) - 1 - best >= PATIENCE:
            break
    transform.load_state_dict(kept)
    return history[: best + 1]
