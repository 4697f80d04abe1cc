"""A causal normalizing flow: mechanisms and noises of the inputs learned from data, for a stated graph.

One masked autoregressive spline transform maps data to noises, ``n_j = T_j(x_j; pa_j)``, increasing in x_j, with
``n_j ~ N(0, 1)`` independent. Its inverse is a structural model: ``x_j = T_j⁻¹(n_j; pa_j)``. Trained by maximum
likelihood it is unique up to component-wise invertible maps of the noises, to which contributions are invariant. A
single transform is used on purpose: a composition of two would let a node depend on the parents of its parents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import as_generator
from .._process import RandomNumbers
from .._warnings import ApproximationWarning, warn_caller
from ._progress import progress_bar
from .graph import CausalGraph, read_columns
from .scm import CausalModel

DTYPE = torch.float64


class FlowModel(CausalModel):
    """A causal normalizing flow; ``FlowModel.fit`` learns it from data.

    Args:
        graph: ``{child: [parents]}``.
        transform: a zuko lazy transform of standardised nodes, in the order of the graph, whose ``adjacency`` has a
            row per child and a column per parent. It is checked against the graph.
        location: ``(nodes,)`` subtracted from the nodes before the transform.
        scale: ``(nodes,)`` by which they are then divided.
        history: mean negative log-likelihood of the training rows, in nats, by epoch.

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
        epochs: int = 20,
        batch_size: int = 512,
        learning_rate: float = 1e-2,
        hidden: tuple[int, ...] = (32, 32),
        bins: int = 8,
        seed: int | None = 0,
        progress: bool = False,
    ) -> FlowModel:
        """Return the flow trained by maximum likelihood on a table.

        Args:
            X: ``(n, nodes)`` table of continuous variables; a data frame's columns are found by name.
            graph: ``{child: [parents]}``.
            names: names of X's columns where it is no data frame; default the nodes in the order of the graph.
            epochs: passes over the rows.
            batch_size: rows a step.
            learning_rate: learning rate of Adam at the start; it falls to 0 along a cosine.
            hidden: widths of the masked network that gives the splines' parameters.
            bins: bins of each spline.
            seed: seed of initial weights and batches; None means 0.
            progress: show a progress bar.

        Raises:
            ImportError: if zuko is not installed.
            ValueError: for missing or constant columns, NaN, or fewer than 100 rows.
        """
        graph = CausalGraph.of(graph)
        X = read_columns(X, graph, names).cpu().to(DTYPE)
        if len(X) < 100:
            raise ValueError(f"X must have at least 100 rows to learn mechanisms from, got {len(X)}")
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
        history = _train(
            transform,
            rows,
            generator,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            progress=progress,
        )
        offset = float(scale.log().sum())  # densities are of the data, not of standardised rows
        return cls(graph, transform.eval(), location, scale, [loss + offset for loss in history])

    def push(self, noise: Tensor) -> Tensor:
        """Return nodes ``(batch, nodes)`` made from noises ``(batch, nodes)``, in the noises' dtype."""
        with torch.no_grad():
            rows = self.transform().inv(noise.cpu().to(DTYPE))
        return (rows * self.scale + self.location).to(noise)

    def abduct(self, X: Tensor) -> Tensor:
        """Return the noises ``(batch, nodes)`` behind nodes ``(batch, nodes)``, one vector for each instance."""
        with torch.no_grad():
            return self.transform()(self._standard(X)).to(X)

    def log_prob(self, X: Any, *, names: Iterable[str] | None = None) -> Tensor:
        """Return the log density ``(batch,)`` in nats of rows ``(batch, nodes)``."""
        rows = self._standard(read_columns(X, self.graph, names))
        with torch.no_grad():
            return -_negative_log_likelihood(self.transform, rows) - self.scale.log().sum()

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
        loss = f", {self.history[-1]:.4g} nats a row after {len(self.history)} epochs" if self.history else ""
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


def spline_transform(adjacency: Tensor, hidden: tuple[int, ...], bins: int, generator: torch.Generator) -> nn.Module:
    """Return a masked autoregressive rational-quadratic spline transform with weights drawn from ``generator``.

    Args:
        adjacency: ``(nodes, nodes)`` bool, row = output, column = what it may depend on, true diagonal.
        hidden: widths of the masked network.
        bins: bins of each spline, on [−5, 5]; the identity beyond.
        generator: generator of the initial weights.

    Raises:
        ImportError: if zuko is not installed.
        ValueError: for fewer than two nodes.
    """
    try:
        from zuko.flows.autoregressive import MaskedAutoregressiveTransform
        from zuko.transforms import MonotonicRQSTransform
    except ImportError as error:
        raise ImportError(
            "FlowModel needs the package zuko, which is not installed; run: pip install zuko (or use LinearModel, or "
            "StructuralModel with given mechanisms)"
        ) from error
    k = len(adjacency)
    if k == 1:
        raise ValueError("graph must have at least two nodes for a flow, got 1; give its noise to StructuralModel")
    with RandomNumbers(int(torch.randint(2**62, (), generator=generator))):  # zuko takes no generator
        return MaskedAutoregressiveTransform(
            k,
            adjacency=adjacency,  # pyright: ignore[reportArgumentType]  # zuko asks for a BoolTensor, torch makes none
            univariate=partial(MonotonicRQSTransform, slope=1e-3),
            shapes=[torch.Size([bins]), torch.Size([bins]), torch.Size([bins - 1])],
            hidden_features=hidden,
            activation=nn.Tanh,
        )


def _negative_log_likelihood(transform: nn.Module, rows: Tensor) -> Tensor:
    """Return minus the log density ``(batch,)`` of standardised rows under standard normal noises."""
    noises, ladj = transform().call_and_ladj(rows)
    return 0.5 * noises.square().sum(1) + 0.5 * noises.shape[1] * torch.log(noises.new_tensor(2 * torch.pi)) - ladj


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
