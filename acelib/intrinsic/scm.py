"""A structural causal model of the inputs: ``x_j = f_j(pa_j, n_j)`` with independent noises n_j.

Substituting the equations into each other in causal order writes every node as a function of the noises alone. That
is the view in which a node's intrinsic contribution is defined: what its own noise adds to what it inherits.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .._checks import as_generator
from .fitted import FittedRows
from .graph import CausalGraph
from .noise import drive, inverse_cdf

Mechanism = Callable[..., Tensor]


class CausalModel(ABC):
    """A causal model of the inputs: a graph, independent noises, and every node as a function of the noises.

    A model of one's own calls ``super().__init__`` and defines ``push``.

    Args:
        graph: ``{child: [parents]}``; a root has an empty list. Its keys give the order of the columns.
        noise: what drives each node: "normal" (standard, the default), "uniform", a FiniteNoise, a distribution with
            ``icdf`` (torch) or ``ppf`` (scipy), or a function of uniform points. One for all, or a mapping by node.

    Attributes:
        graph: the checked ``CausalGraph``.
        noises: ``{node: function}``, from uniform points to the node's noise, in the order of the columns.
        fitted: the rows that it was fitted on, for the checks of ``intrinsic_contributions``; None where it was given.

    Raises:
        ValueError: for a graph that is none, an unknown node or an unknown noise.

    Example:
        >>> class Doubled(CausalModel):
        ...     def push(self, noise):
        ...         return torch.cumsum(2 * noise, dim=1)
        >>> assert Doubled({"a": [], "b": ["a"]}, "uniform").sample(5).shape == (5, 2)
    """

    fitted: FittedRows | None = None

    def __init__(self, graph: CausalGraph | Mapping[str, Iterable[str]], noise: Any = "normal") -> None:
        self.graph = CausalGraph.of(graph)
        each = noise if isinstance(noise, Mapping) else dict.fromkeys(self.graph.nodes, noise)
        self.graph.check_known(each, "noise")
        each = {str(node): given for node, given in each.items()}
        self.noises = {node: inverse_cdf(each.get(node, "normal"), node) for node in self.graph.nodes}

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes in the order of the columns."""
        return self.graph.nodes

    def noise(self, u: Tensor) -> Tensor:
        """Return noises ``(batch, nodes)`` at independent uniform points ``u (batch, nodes)``."""
        return drive(u, list(self.noises.values()))

    @abstractmethod
    def push(self, noise: Tensor) -> Tensor:
        """Return nodes ``(batch, nodes)`` made from noises ``(batch, nodes)``."""

    def sample(self, n: int, *, seed: int | None = 0, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return ``(n, nodes)`` independent draws of the nodes, from a generator of their own.

        Args:
            n: number of draws.
            seed: seed of the draws; None means 0.
            dtype: dtype of the uniform points, and so of the draws.
        """
        generator = as_generator(seed)
        return self.push(self.noise(torch.rand(n, len(self.graph), generator=generator, dtype=dtype)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self.graph.parents)})"


class StructuralModel(CausalModel):
    """A structural model with given mechanisms: any Python functions of the parents and the noise.

    Args:
        graph: ``{child: [parents]}``; a root has an empty list. Its keys give the order of the columns.
        mechanisms: one function per node, called with the parents ``(batch,)`` in the stated order, then the noise
            ``(batch,)``; returns ``(batch,)``. A node without parents may be left out: it then is its noise.
        noise: what drives each node: "normal" (standard, the default), "uniform", a FiniteNoise, a distribution with
            ``icdf`` (torch) or ``ppf`` (scipy), or a function of uniform points. One for all, or a mapping by node.

    Raises:
        ValueError: for a cycle, an unknown node, a node with parents but no mechanism, or a mechanism whose parameters
            do not fit its parents.

    References:
        Janzing et al. (2024).

    Example:
        >>> chain = StructuralModel(
        ...     {"X": [], "Y": ["X"], "Z": ["Y"]}, {"Y": lambda X, n: 2 * X + n, "Z": lambda Y, n: 3 * Y + n}
        ... )
        >>> assert chain.push(torch.ones(1, 3)).tolist() == [[1.0, 3.0, 10.0]]
    """

    def __init__(
        self,
        graph: CausalGraph | Mapping[str, Iterable[str]],
        mechanisms: Mapping[str, Mechanism] | None = None,
        noise: Any = "normal",
    ) -> None:
        super().__init__(graph, noise)
        self.mechanisms = {str(node): function for node, function in (mechanisms or {}).items()}
        self.graph.check_known(self.mechanisms, "mechanisms")
        for node, parents in self.graph.parents.items():
            if node not in self.mechanisms:
                if parents:
                    raise ValueError(
                        f"mechanisms must have a function for {node!r} with its parents {list(parents)}, got none"
                    )
                self.mechanisms[node] = lambda n: n
            else:
                _check_signature(self.mechanisms[node], node, parents, self.graph.nodes)

    def push(self, noise: Tensor) -> Tensor:
        """Return nodes ``(batch, nodes)`` made from noises ``(batch, nodes)`` in causal order.

        Raises:
            ValueError: if a mechanism returns another shape than ``(batch,)``.
        """
        values: dict[str, Tensor] = {}
        for node in self.graph.order:
            own = noise[:, self.graph.index(node)]
            out = self.mechanisms[node](*(values[p] for p in self.graph.parents[node]), own)
            if not isinstance(out, Tensor) or out.shape != own.shape:
                got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
                raise ValueError(f"mechanism of {node!r} must return a tensor of shape (batch,), got {got}")
            values[node] = out
        return torch.stack([values[n] for n in self.graph.nodes], dim=1)


def _check_signature(function: Mechanism, node: str, parents: tuple[str, ...], nodes: tuple[str, ...]) -> None:
    """Raise a ValueError where a mechanism cannot take its parents and the noise, or names them in another order."""
    if not callable(function):
        raise ValueError(f"mechanism of {node!r} must be a function of its parents and the noise, got {function!r}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return
    expected = f"{', '.join([*parents, 'noise'])}"
    try:
        signature.bind(*parents, "noise")
    except TypeError as error:
        raise ValueError(
            f"mechanism of {node!r} must take ({expected}), got {error}; a parent is missing in the graph or in the "
            "mechanism"
        ) from None
    for parameter, parent in zip(signature.parameters, [*parents, None], strict=False):
        if parameter in nodes and parameter != (parent or node):  # a noise may bear its own node's name
            raise ValueError(
                f"mechanism of {node!r} must take ({expected}) in this order, got the parameter {parameter!r} in the "
                f"place of {parent or 'noise'!r}"
            )
