"""Which variable depends on which? A directed acyclic graph, stated as ``{child: [parents]}``.

Every node is a key; a root has an empty list. The order of the keys is the order of the columns everywhere; it need
not be topological. A graph is an assumption: data can contradict its independences, never confirm its arrows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class CausalGraph:
    """A checked directed acyclic graph.

    Attributes:
        parents: the parents of each node, ``{child: (parents)}``; a plain ``{child: [parents]}`` may be given.

    Raises:
        ValueError: for a parent that is no node, a parent named twice, a cycle, or no node at all.

    Example:
        >>> graph = CausalGraph({"Z": ["Y"], "X": [], "Y": ["X"]})
        >>> assert graph.order == ("X", "Y", "Z") and graph.ancestors("Y") == {"X"}
    """

    parents: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if not isinstance(self.parents, Mapping) or not self.parents:
            raise ValueError("graph must be a non-empty mapping {child: [parents]}; a root has an empty list")
        checked = {}
        for child, parents in self.parents.items():
            if isinstance(parents, str):
                raise ValueError(f"graph gives {child!r} the parents {parents!r}; write a list, [{parents!r}]")
            checked[str(child)] = tuple(str(p) for p in parents)
            if len(set(checked[str(child)])) != len(checked[str(child)]):
                raise ValueError(f"graph names a parent of {child!r} twice: {list(parents)}")
        for child, parents in checked.items():
            unknown = [p for p in parents if p not in checked]
            if unknown:
                raise ValueError(
                    f"graph gives {child!r} the parents {unknown}, which are not among its nodes {list(checked)}; "
                    f"correct the name or add {unknown[0]!r}: []"
                )
        object.__setattr__(self, "parents", checked)
        self.order  # noqa: B018  finds cycles

    @classmethod
    def of(cls, graph: CausalGraph | Mapping[str, Iterable[str]]) -> CausalGraph:
        """Return a checked graph from a mapping, or the graph itself."""
        return graph if isinstance(graph, CausalGraph) else cls(graph)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes in the order in which they were stated: the order of the columns."""
        return tuple(self.parents)

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """A topological order: every parent comes before its children; ties go by the stated order."""
        done: list[str] = []
        waiting = list(self.parents)
        while waiting:
            ready = [n for n in waiting if all(p in done for p in self.parents[n])]
            if not ready:
                raise ValueError(f"graph has a cycle among {waiting}; a causal order needs an acyclic graph")
            done.append(ready[0])
            waiting.remove(ready[0])
        return tuple(done)

    def check_order(self, order: Iterable[str]) -> tuple[str, ...]:
        """Return ``order`` as a tuple, or raise a ValueError where it is no topological order of this graph."""
        order = tuple(order)
        if sorted(order) != sorted(self.nodes):
            raise ValueError(f"order must name every node once, {list(self.nodes)}, got {list(order)}")
        for child, parents in self.parents.items():
            late = [p for p in parents if order.index(p) > order.index(child)]
            if late:
                raise ValueError(f"order places {child!r} before its parents {late}; causes come first")
        return order

    def check_known(self, given: Iterable[str], what: str) -> None:
        """Raise a ValueError where ``given`` (the argument ``what``) names something that is no node."""
        unknown = [n for n in given if n not in self.parents]
        if unknown:
            raise ValueError(f"{what} names {unknown}, unknown to the graph; its nodes are {list(self.nodes)}")

    def index(self, node: str | int) -> int:
        """Return the column of a node given by name or number.

        Raises:
            ValueError: if there is no such node.
        """
        if isinstance(node, str) and node in self.parents:
            return self.nodes.index(node)
        if not isinstance(node, str) and 0 <= int(node) < len(self):
            return int(node)
        raise ValueError(f"no node {node!r} in the graph; its nodes are {list(self.nodes)}")

    def ancestors(self, node: str) -> set[str]:
        """Return all nodes with a directed path to ``node``, without itself."""
        found: set[str] = set()
        waiting = list(self.parents[self.nodes[self.index(node)]])
        while waiting:
            found.add(waiting[-1])
            waiting += [p for p in self.parents[waiting.pop()] if p not in found]
        return found

    def adjacency(self) -> Tensor:
        """Return the ``(nodes, nodes)`` bool matrix of direct dependence: row = child, column = parent, true diagonal.

        Row i tells on which columns the noise of node i, seen as a function of the data, may depend: itself and its
        parents. This is the orientation of zuko's ``adjacency``.
        """
        rows = [[c == p or p in self.parents[c] for p in self.nodes] for c in self.nodes]
        return torch.tensor(rows)
