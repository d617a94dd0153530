"""Cycles of a graph: all of them in time linear in its links, and the shortest way through one by name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from fluxless.limits import CYCLE_LINKS

Node = TypeVar("Node")


class Cycles(Generic[Node]):
    """The cycles of a graph that is given by the links of each node; links to unknown nodes lead nowhere.

    `links` counts those that were followed.
    """

    def __init__(self, graph: Mapping[Node, Sequence[Node]]) -> None:
        self.links = 0
        self._graph = graph
        self._ways: dict[Node, tuple[Node | None, ...]] = {}
        self._component: dict[Node, frozenset[Node]] = {}
        self._find()

    def through(self, start: Node) -> tuple[Node | None, ...]:
        """The shortest way from a node back to itself, both ends included; empty when there is none.

        The nodes of a tangle share `CYCLE_LINKS`. Where a way cannot be found with its share, None stands for all
        that comes after the next node.
        """
        if start not in self._component:
            return ()
        if start not in self._ways:
            self._ways[start] = self._shortest(start)
        return self._ways[start]

    def _shortest(self, start: Node) -> tuple[Node | None, ...]:
        members = self._component[start]
        before: dict[Node, Node] = {}
        left = CYCLE_LINKS // len(members)
        level = [start]
        while level:
            nearer: list[Node] = []
            for node in level:
                for link in self._graph[node]:
                    if left <= 0:
                        return (start, next(link for link in self._graph[start] if link in members), None, start)
                    left -= 1
                    self.links += 1
                    if link == start:
                        return self._way(start, node, before)
                    if link in members and link not in before:
                        before[link] = node
                        nearer.append(link)
            level = nearer
        return ()

    @staticmethod
    def _way(start: Node, end: Node, before: Mapping[Node, Node]) -> tuple[Node, ...]:
        way = [start]
        while end != start:
            way.append(end)
            end = before[end]
        return (start, *reversed(way[1:]), start)

    def _find(self) -> None:
        """Tarjan's strongly connected components, without recursion; those of one node count when it links itself."""
        index: dict[Node, int] = {}
        low: dict[Node, int] = {}
        stack: list[Node] = []
        waiting: set[Node] = set()
        for root in self._graph:
            if root in index:
                continue
            path: list[tuple[Node, Iterator[Node]]] = [self._enter(root, index, low, stack, waiting)]
            while path:
                node, links = path[-1]
                for link in links:
                    self.links += 1
                    if link in waiting:
                        low[node] = min(low[node], index[link])
                    elif link in self._graph and link not in index:
                        path.append(self._enter(link, index, low, stack, waiting))
                        break
                else:
                    path.pop()
                    if path:
                        low[path[-1][0]] = min(low[path[-1][0]], low[node])
                    if low[node] == index[node]:
                        self._close(node, stack, waiting)

    def _enter(
        self, node: Node, index: dict[Node, int], low: dict[Node, int], stack: list[Node], waiting: set[Node]
    ) -> tuple[Node, Iterator[Node]]:
        index[node] = low[node] = len(index)
        stack.append(node)
        waiting.add(node)
        return node, iter(self._graph[node])

    def _close(self, node: Node, stack: list[Node], waiting: set[Node]) -> None:
        members = [stack.pop()]
        while members[-1] != node:
            members.append(stack.pop())
        waiting.difference_update(members)
        if len(members) > 1 or node in self._graph[node]:
            self._component.update(dict.fromkeys(members, frozenset(members)))
