"""A directed acyclic graph of causes, stated as ``{child: [parents]}``, and the columns of a table in its order.

Every node is a key; a root has an empty list. The order of the keys is the order of the columns everywhere; it need
not be topological. A graph is an assumption: data can contradict its independences, never confirm its arrows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._checks import as_float_tensor

if TYPE_CHECKING:
    from networkx import DiGraph


class CausalGraph:
    """A checked directed acyclic graph.

    Args:
        parents: the parents of each node, ``{child: [parents]}``; a root has an empty list. A ``networkx.DiGraph`` too.

    Raises:
        ValueError: for a parent that is no node, a parent named twice, a cycle, or no node at all.

    Example:
        >>> graph = CausalGraph({"Z": ["Y"], "X": [], "Y": ["X"]})
        >>> assert graph.order == ("X", "Y", "Z") and graph.ancestors("Y") == {"X"}
    """

    def __init__(self, parents: DiGraph | Mapping[str, Iterable[str]]) -> None:
        self._parents = _checked(parents)
        self._order = _topological_order(self._parents)

    @classmethod
    def of(cls, graph: CausalGraph | DiGraph | Mapping[str, Iterable[str]]) -> CausalGraph:
        """Return a checked graph from a mapping or a ``networkx.DiGraph``, or the graph itself."""
        return graph if isinstance(graph, CausalGraph) else cls(graph)

    @property
    def parents(self) -> Mapping[str, tuple[str, ...]]:
        """The parents of each node, ``{child: (parents)}``, read-only."""
        return MappingProxyType(self._parents)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes in the order in which they were stated: the order of the columns."""
        return tuple(self._parents)

    @property
    def order(self) -> tuple[str, ...]:
        """A topological order: every parent comes before its children; ties go by the stated order."""
        return self._order

    def __len__(self) -> int:
        return len(self._parents)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CausalGraph) and self._parents == other._parents

    def __repr__(self) -> str:
        return f"CausalGraph({self._parents})"

    def check_order(self, order: Iterable[str]) -> tuple[str, ...]:
        """Return ``order`` as a tuple, or raise a ValueError where it is no topological order of this graph."""
        order = tuple(str(n) for n in order)
        if sorted(order) != sorted(self.nodes):
            raise ValueError(f"order must name every node once, {list(self.nodes)}, got {list(order)}")
        for child, parents in self._parents.items():
            late = [p for p in parents if order.index(p) > order.index(child)]
            if late:
                raise ValueError(f"order must place causes first, got {child!r} before its parents {late}")
        return order

    def check_known(self, given: Iterable[Any], what: str) -> None:
        """Raise a ValueError where ``given`` (the argument ``what``) names something that is no node."""
        unknown = [n for n in given if str(n) not in self._parents]
        if unknown:
            raise ValueError(f"{what} must name nodes of the graph, {list(self.nodes)}, got {unknown}")

    def index(self, node: str | int) -> int:
        """Return the column of a node given by name, or by number where no node has this number for a name.

        Raises:
            ValueError: if there is no such node.
        """
        if str(node) in self._parents:
            return self.nodes.index(str(node))
        if not isinstance(node, str) and 0 <= int(node) < len(self):
            return int(node)
        raise ValueError(f"node must be one of {list(self.nodes)}, or its number, got {node!r}")

    def ancestors(self, node: str) -> set[str]:
        """Return all nodes with a directed path to ``node``, without itself."""
        found: set[str] = set()
        waiting = list(self._parents[self.nodes[self.index(node)]])
        while waiting:
            found.add(waiting[-1])
            waiting += [p for p in self._parents[waiting.pop()] if p not in found]
        return found

    def descendants(self, columns: Iterable[int]) -> list[int]:
        """Return in causal order the columns that have a directed path from one of ``columns``, without these.

        Example:
            >>> assert CausalGraph({"Z": ["Y"], "X": [], "Y": ["X"]}).descendants([1]) == [2, 0]
        """
        chosen = set(columns)
        roots = {self.nodes[column] for column in chosen}
        places = [self.index(node) for node in self.order if self.ancestors(node) & roots]
        return [place for place in places if place not in chosen]

    def do(self, nodes: str | Iterable[str]) -> CausalGraph:
        """Return the graph after these nodes have been set: every arrow into them is cut, all others stay.

        Raises:
            ValueError: if one of them is no node.

        References:
            Pearl (2009), Sec. 1.3.

        Example:
            >>> graph = CausalGraph({"U": [], "X": ["U"], "Y": ["X", "U"]})
            >>> assert graph.do("X").parents["X"] == () and graph.do("X").parents["Y"] == ("X", "U")
        """
        cut = self._names(nodes, "nodes")
        return CausalGraph({n: () if n in cut else parents for n, parents in self._parents.items()})

    def d_separated(self, a: str | Iterable[str], b: str | Iterable[str], given: str | Iterable[str] = ()) -> bool:
        """Return whether ``given`` blocks every path between ``a`` and ``b``: then they are independent given it.

        Args:
            a: a node, or several.
            b: a node, or several.
            given: the nodes that are known; none where empty.

        Raises:
            ValueError: for an unknown node, no node in ``a`` or ``b``, or a node in two of the three sets.

        References:
            Pearl (2009), Def. 1.2.3 and Theorem 1.2.4; networkx's ``is_d_separator`` does the search.

        Example:
            >>> graph = CausalGraph({"U": [], "X": ["U"], "Y": ["U"]})
            >>> assert not graph.d_separated("X", "Y") and graph.d_separated("X", "Y", given="U")
        """
        sets = [self._names(given_set, name) for given_set, name in ((a, "a"), (b, "b"), (given, "given"))]
        if not sets[0] or not sets[1]:
            raise ValueError(f"a and b must each hold a node, got {sorted(sets[0])} and {sorted(sets[1])}")
        twice = (sets[0] & sets[1]) | (sets[0] & sets[2]) | (sets[1] & sets[2])
        if twice:
            raise ValueError(f"a, b and given must have no node in common, got {sorted(twice)} in two of them")
        from networkx import is_d_separator  # when the first path is asked for: it takes long to import

        return bool(is_d_separator(self.to_networkx(), *sets))

    def to_networkx(self) -> DiGraph:
        """Return the graph as a ``networkx.DiGraph``: nodes in the stated order, the parents of each in theirs.

        ``CausalGraph`` and ``CausalGraph.of`` take such a graph; its nodes become text.

        Example:
            >>> graph = CausalGraph({"Z": ["Y", "X"], "X": [], "Y": ["X"]})
            >>> assert CausalGraph.of(graph.to_networkx()) == graph
        """
        from networkx import DiGraph

        arrows = DiGraph()
        arrows.add_nodes_from(self._parents)
        arrows.add_edges_from((parent, child) for child, parents in self._parents.items() for parent in parents)
        return arrows

    def _names(self, nodes: str | Iterable[str], what: str) -> set[str]:
        """Return one name or several as a set of nodes, or raise a ValueError where one is unknown."""
        names = [nodes] if isinstance(nodes, str) else list(nodes)
        self.check_known(names, what)
        return {str(n) for n in names}

    def plot(self, **options: Any) -> Any:
        """Draw nodes and arrows and return the axes; options as for ``acelib.plots.plot_causal_graph``."""
        from ..plots import plot_causal_graph

        return plot_causal_graph(self, **options)

    def adjacency(self) -> Tensor:
        """Return the ``(nodes, nodes)`` bool matrix of direct dependence: row = child, column = parent, true diagonal.

        Row i tells on which columns the noise of node i, seen as a function of the data, may depend: itself and its
        parents. This is the orientation of zuko's ``adjacency``.
        """
        rows = [[c == p or p in self._parents[c] for p in self.nodes] for c in self.nodes]
        return torch.tensor(rows)


def read_columns(X: Any, graph: CausalGraph, names: Iterable[str] | None = None) -> Tensor:
    """Return the columns of the graph's nodes ``(n, nodes)`` from a tensor, array or data frame.

    Args:
        X: ``(n, columns)``; of a data frame columns are found by name and others are left out.
        graph: the graph whose nodes are looked for.
        names: names of the columns where X is no data frame; default the nodes in the order of the graph.

    Raises:
        ValueError: for missing or repeated columns, NaN, or a table of another shape.
    """
    if hasattr(X, "iloc"):
        return _of_frame(X, graph, [str(c) for c in (X.columns if names is None else names)])
    table = as_float_tensor(X, "X")
    if table.ndim != 2:
        raise ValueError(f"X must be a table (rows, nodes), got shape {tuple(table.shape)}")
    names = [str(n) for n in (graph.nodes if names is None else names)]
    if len(names) != table.shape[1]:
        raise ValueError(f"names must have one name per column of X, {table.shape[1]}, got {names}")
    missing = [n for n in graph.nodes if n not in names]
    if missing:
        raise ValueError(f"X must have a column for every node, got none for {missing} among {names}")
    return table[:, [names.index(n) for n in graph.nodes]]


def _of_frame(X: Any, graph: CausalGraph, names: list[str]) -> Tensor:
    """Return the columns of the graph's nodes from a data frame; what the other columns hold does not matter."""
    if len(names) != X.shape[1]:
        raise ValueError(f"names must have one name per column of X, {X.shape[1]}, got {names}")
    missing = [n for n in graph.nodes if n not in names]
    repeated = [n for n in graph.nodes if names.count(n) > 1]
    if missing or repeated:
        what = f"none for {missing}" if missing else f"several for {repeated}"
        raise ValueError(f"X must have a column for every node, got {what} among {names}")
    return as_float_tensor(X.iloc[:, [names.index(node) for node in graph.nodes]], "X")


def _checked(graph: Any) -> dict[str, tuple[str, ...]]:
    """Return the parents of every node as tuples of names, or raise a ValueError that names what is wrong."""
    if hasattr(graph, "predecessors") and hasattr(graph, "nodes"):  # a networkx.DiGraph
        graph = {node: list(graph.predecessors(node)) for node in graph.nodes}
    elif hasattr(graph, "neighbors") and hasattr(graph, "nodes"):
        raise ValueError(f"graph must have arrows, got an undirected {type(graph).__name__}; give a networkx.DiGraph")
    if not isinstance(graph, Mapping) or not graph:
        raise ValueError(f"graph must be a non-empty mapping {{child: [parents]}}, got {graph!r}; a root has []")
    checked: dict[str, tuple[str, ...]] = {}
    for child, parents in graph.items():
        if isinstance(parents, str):
            raise ValueError(f"graph must give {child!r} a list of parents, got {parents!r}; write [{parents!r}]")
        if not isinstance(parents, Iterable):
            raise ValueError(f"graph must give {child!r} a list of parents, got {parents!r}; a root has []")
        if isinstance(parents, (set, frozenset)) and len(parents) > 1:
            raise ValueError(
                f"graph must give {child!r} its parents in an order, which is that of a mechanism's arguments, got the "
                f"set {sorted(map(str, parents))}; write a list"
            )
        if str(child) in checked:
            raise ValueError(f"graph must have different names for its nodes, got {child!r} twice as text")
        checked[str(child)] = tuple(str(p) for p in parents)
        if len(set(checked[str(child)])) != len(checked[str(child)]):
            raise ValueError(f"graph must name each parent of {child!r} once, got {list(checked[str(child)])}")
    for child, parents in checked.items():
        unknown = [p for p in parents if p not in checked]
        if unknown:
            raise ValueError(
                f"graph must have every parent among its nodes {list(checked)}, got the parents {unknown} of {child!r};"
                f" correct the name or add {unknown[0]!r}: []"
            )
    return checked


def _topological_order(parents: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the nodes with causes first; of those whose parents are placed, the first stated is taken next."""
    sorter = TopologicalSorter(parents)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise ValueError(f"graph must have no cycle, got {cycle}; reverse or drop one of these arrows") from None
    nodes = tuple(parents)
    places = {node: place for place, node in enumerate(nodes)}
    ready: list[int] = []
    order: list[str] = []
    while sorter.is_active():
        for node in sorter.get_ready():
            heappush(ready, places[node])
        order.append(nodes[heappop(ready)])
        sorter.done(order[-1])
    return tuple(order)
