"""A structural causal model of the inputs: ``x_j = f_j(pa_j, n_j)`` with independent noises n_j.

Substituting the equations into each other in causal order writes every node as a function of the noises alone. That
is the view in which a node's intrinsic contribution is defined: what its own noise adds to what it inherits.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .._checks import as_generator
from .fitted import FittedRows
from .graph import CausalGraph
from .noise import drive, inverse_cdf

Mechanism = Callable[..., Tensor]
_TRIED = (-1.5, 0.3, 2.25)  # noises between which a mechanism may bend


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

    def abduct(self, X: Tensor) -> Tensor:
        """Return the noises ``(batch, nodes)`` behind nodes ``(batch, nodes)``; here an error, for a model without.

        Raises:
            ValueError: if the noises of a row are not known from it.
        """
        raise ValueError(
            f"model must tell the noises behind a row by abduct, got {type(self).__name__} without; write it, or draw "
            "the rows from the model"
        )

    def counterfactual(
        self, X: Tensor, columns: Sequence[int], values: Tensor, *, noise: Tensor | None = None
    ) -> Tensor:
        """Return rows ``(batch, nodes)`` as they would be, had some nodes been set: abduction, action, prediction.

        What is no descendant of these nodes stays as it is in the row, bit by bit.

        Args:
            X: ``(batch, nodes)`` rows.
            columns: which nodes are set, w of them.
            values: ``(batch, w)`` what they are set to.
            noise: ``(batch, nodes)`` the noises behind the rows, where they are known; default ``abduct(X)``.

        References:
            Pearl (2009), Sec. 7.1: the three steps.

        Example:
            >>> chain = StructuralModel({"X": [], "Y": ["X"]}, {"Y": lambda X, n: X**2 + n})
            >>> row, two = torch.tensor([[1.0, 1.5]]), torch.tensor([[2.0]])  # the noise of Y is 0.5
            >>> assert chain.counterfactual(row, [0], two).tolist() == [[2.0, 4.5]]
        """
        noise = (self.abduct(X) if noise is None else noise).clone()
        rows = X
        places = [self.graph.index(node) for node in self.graph.order]
        for column in sorted(columns, key=places.index):  # the noise under which the node has its value by itself
            rows = rows.clone()
            rows[:, column] = values[:, list(columns).index(column)]
            noise[:, column] = self.abduct(rows)[:, column]
            rows = self.push(noise)
        return self._put(X, columns, values, rows)

    def _put(self, X: Tensor, columns: Sequence[int], values: Tensor, rows: Tensor) -> Tensor:
        """Return the row itself with the set columns at their values and what descends from them as in ``rows``."""
        moved = self.graph.descendants(columns)
        result = X.clone()
        result[:, moved] = rows[:, moved]
        result[:, list(columns)] = values
        return result

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
            values[node] = self._made(node, values, noise[:, self.graph.index(node)])
        return torch.stack([values[n] for n in self.graph.nodes], dim=1)

    def _made(self, node: str, values: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """Return a node ``(batch,)`` from its parents and its noise ``(batch,)``."""
        out = self.mechanisms[node](*(values[p] for p in self.graph.parents[node]), noise)
        if not isinstance(out, Tensor) or out.shape != noise.shape:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"mechanism of {node!r} must return a tensor of shape (batch,), got {got}")
        return out

    def abduct(self, X: Tensor) -> Tensor:
        """Return the noises ``(batch, nodes)`` behind nodes ``(batch, nodes)``, for x_j = a_j(pa) + b_j(pa) n_j.

        Whether a mechanism has this form is tried at a few other noises, in every row.

        Raises:
            ValueError: if a mechanism has another form, or b_j is 0 somewhere: then a row does not tell its noise.
        """
        values = {node: X[:, column] for column, node in enumerate(self.nodes)}
        found = torch.empty_like(X)
        for column, node in enumerate(self.nodes):
            own = X[:, column]
            at = {n: self._made(node, values, torch.full_like(own, n)) for n in (0.0, 1.0, *_TRIED)}
            start, slope = at[0.0], at[1.0] - at[0.0]
            size = torch.stack([one.abs() for one in at.values()]).amax() + 1
            rounding = 1e3 * torch.finfo(X.dtype).eps * size
            straight = all(bool(((at[n] - start - n * slope).abs() <= rounding).all()) for n in _TRIED)
            if not straight or bool((slope.abs() <= rounding).any()):
                raise ValueError(
                    f"mechanism of {node!r} must be a(parents) + b(parents) * noise with b other than 0 where rows "
                    "are to tell their noise, got another form; draw the rows from the model"
                )
            found[:, column] = (own - start) / slope
        return found

    def counterfactual(
        self, X: Tensor, columns: Sequence[int], values: Tensor, *, noise: Tensor | None = None
    ) -> Tensor:
        """Return rows ``(batch, nodes)`` as they would be, had some nodes been set; see ``CausalModel``."""
        noise = self.abduct(X) if noise is None else noise
        rows = X.clone()
        rows[:, list(columns)] = values
        for column in self.graph.descendants(columns):
            given = {node: rows[:, place] for place, node in enumerate(self.nodes)}
            rows[:, column] = self._made(self.nodes[column], given, noise[:, column])
        return rows


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
