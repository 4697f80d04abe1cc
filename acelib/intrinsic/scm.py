"""A structural causal model of the inputs: ``x_j = f_j(pa_j, n_j)`` with independent noises n_j.

Substituting the equations into each other in causal order writes every node as a function of the noises alone. That
is the view in which a node's intrinsic contribution is defined: what its own noise adds to what it inherits.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from .._checks import as_generator
from .fitted import FittedRows
from .graph import CausalGraph
from .noise import FiniteNoise, drive, inverse_cdf

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

    Attributes:
        mechanisms: the function of each node.
        held: the nodes that ``do`` has set.

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
        self.held: tuple[str, ...] = ()
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

        Whether a mechanism has this form is tried at a few other noises, in every row. A node without noise has the
        only value that its noise has.

        Raises:
            ValueError: if a mechanism has another form, or b_j is 0 somewhere: then a row does not tell its noise.
        """
        values, silent = {node: X[:, column] for column, node in enumerate(self.nodes)}, self.silent
        found = torch.empty_like(X)
        for column, node in enumerate(self.nodes):
            own = X[:, column]
            if node in silent:
                found[:, column] = self.noises[node](torch.full_like(own, 0.5))
                continue
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

    def do(self, values: Mapping[str, Any]) -> StructuralModel:
        """Return the model after an intervention: these nodes no longer listen to their causes.

        Args:
            values: what each node is set to: a number, or a noise (as in the constructor) from which it is drawn at
                random, as in an experiment. Noises that are given to ``push`` do not move a node set to a number.

        Raises:
            ValueError: for a name that is no node, or an unknown noise.

        References:
            Pearl (2009), Def. 7.1.2.

        Example:
            >>> pair = StructuralModel({"a": [], "b": ["a"]}, {"b": lambda a, n: 2 * a + n})
            >>> assert pair.do({"a": 3.0}).push(torch.ones(1, 2)).tolist() == [[3.0, 7.0]]
            >>> assert pair.do({"b": 3.0}).push(torch.ones(1, 2)).tolist() == [[1.0, 3.0]]
        """
        self.graph.check_known(values, "values")
        mechanisms, noises = dict(self.mechanisms), dict[str, Any](self.noises)
        for name, value in values.items():
            node, number = str(name), isinstance(value, Real) or (isinstance(value, Tensor) and value.ndim == 0)
            mechanisms[node] = _constant(float(value)) if number else lambda n: n
            noises[node] = FiniteNoise([float(value)]) if number else value
        changed = StructuralModel(self.graph.do(map(str, values)), mechanisms, noises)
        changed.held = (*self.held, *(str(n) for n in values if str(n) not in self.held))
        return changed

    def without(self, nodes: Iterable[str]) -> StructuralModel:
        """Return the model with these nodes substituted away: their mechanisms move into those that read them.

        A node that stays has for parents the nodes from which it could be reached through the ones that left. So the
        joint law of what stays is the same, also after an intervention on it; the nodes that left can no longer be set.

        Args:
            nodes: nodes without a noise of their own, such as the hidden units of a network.

        Raises:
            ValueError: for an unknown node, a node with a noise, or where none would stay.

        References:
            Chattopadhyay et al. (2019), Cor. 1.1.

        Example:
            >>> still = FiniteNoise([0.0])
            >>> equations = {"h": lambda x, n: 2 * x, "y": lambda h, n: h + 1}
            >>> whole = StructuralModel({"x": [], "h": ["x"], "y": ["h"]}, equations, {"h": still, "y": still})
            >>> reduced = whole.without(["h"])
            >>> assert reduced.graph.parents["y"] == ("x",)
            >>> assert reduced.push(torch.tensor([[3.0, 0.0]])).tolist() == [[3.0, 7.0]]
        """
        gone = [str(n) for n in ([nodes] if isinstance(nodes, str) else nodes)]
        self.graph.check_known(gone, "nodes")
        noisy = [n for n in gone if n not in self.silent]
        if noisy:
            raise ValueError(
                f"nodes must have no noise of their own, got {noisy}; keep them, for what they add would be lost"
            )
        stay = [n for n in self.nodes if n not in gone]
        if not stay:
            raise ValueError(f"nodes must leave at least one node in the model, got all {len(gone)}")
        reached = {n: self._behind(n, set(gone)) for n in stay}
        parents = {n: stayed for n, (stayed, _) in reached.items()}
        mechanisms = {
            n: _Composed(self, n, stayed, between) if between else self.mechanisms[n]
            for n, (stayed, between) in reached.items()
        }
        reduced = StructuralModel(parents, mechanisms, {n: self.noises[n] for n in stay})
        reduced.held = tuple(n for n in self.held if n not in gone)
        return reduced

    def _behind(self, node: str, gone: set[str]) -> tuple[list[str], list[str]]:
        """Return from where ``node`` is reached at once or through ``gone``, and what of ``gone`` lies between."""
        found, waiting = set(), list(self.graph.parents[node])
        while waiting:
            parent = waiting.pop()
            if parent not in found:
                found.add(parent)
                waiting += self.graph.parents[parent] if parent in gone else ()
        between = [n for n in self.graph.order if n in found and n in gone]
        # a mechanism that swallowed nothing keeps the order of its arguments
        return [n for n in self.nodes if n in found - gone] if between else list(self.graph.parents[node]), between

    @property
    def silent(self) -> frozenset[str]:
        """The nodes without a noise of their own: functions of their causes, or constants."""
        points = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
        return frozenset(n for n, noise in self.noises.items() if bool((noise(points) == noise(points)[0]).all()))

    def plot(self, **options: Any) -> Any:
        """Draw nodes and arrows and return the axes; nodes without noise are square, nodes that were set are filled.

        Options as for ``acelib.plots.plot_causal_graph``.
        """
        return self.graph.plot(**{"silent": self.silent, "held": self.held, **options})


def _constant(value: float) -> Mechanism:
    """Return the mechanism of a node that is set to a number."""
    return lambda n: torch.full_like(n, value)


class _Composed:
    """The mechanism of a node into which those of nodes between it and its new parents were substituted."""

    def __init__(self, model: StructuralModel, node: str, parents: list[str], between: list[str]) -> None:
        self.model, self.node, self.parents, self.between = model, node, parents, between

    def __call__(self, *_values: Tensor) -> Tensor:
        """Return the node ``(batch,)`` from its parents and its noise, each ``(batch,)``."""
        *given, noise = _values
        known, graph = dict(zip(self.parents, given, strict=True)), self.model.graph
        for node in self.between:  # causes first
            still = self.model.noises[node](torch.full_like(noise, 0.5))
            known[node] = self.model.mechanisms[node](*(known[p] for p in graph.parents[node]), still)
        return self.model.mechanisms[self.node](*(known[p] for p in graph.parents[self.node]), noise)


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
