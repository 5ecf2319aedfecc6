"""Which tokens texts share at their beginnings: a tree, so that a shared prompt goes through the model once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

WORTHWHILE = 16
"""Tokens that must be shared for a node of its own; below it, a copy of the cache costs more."""
LEVELS = 2
"""Nodes above a text: the examples of a task, and the document's own prompt."""


@dataclass(eq=False)
class Node:
    """Tokens ``[begin, end)`` that all texts below have in common.

    Attributes:
        texts: numbers of the texts below; a leaf has one.
        level: 0 at the root's children.
        waiting: children that are not in the cache yet.
    """

    begin: int
    end: int
    texts: list[int]
    level: int
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    waiting: int = 0

    @property
    def is_leaf(self) -> bool:
        """Whether this is the last part of one text."""
        return not self.children


def tree(texts: Sequence[Sequence[int]]) -> list[Node]:
    """Return the nodes that have no parent, in an order in which neighbours share most; see `Node`.

    Each text, which has at least one token, ends in a leaf of its own that is not empty.
    """
    order = sorted(range(len(texts)), key=lambda i: (list(texts[i]), i))
    shared = [0] + [_common(texts[a], texts[b]) for a, b in itertools.pairwise(order)]
    roots: list[Node] = []
    stack: list[tuple[int, int, int, Node | None]] = [(0, len(order), 0, None)]
    while stack:
        low, high, begin, parent = stack.pop()
        level = 0 if parent is None else parent.level + 1
        siblings = roots if parent is None else parent.children
        if high - low == 1 or level == LEVELS:
            siblings += [Node(begin, len(texts[i]), [i], level, parent) for i in order[low:high]]
            continue
        least = min(shared[low + 1 : high])
        end = min(least, min(len(texts[i]) for i in order[low:high]) - 1)
        if end - begin >= WORTHWHILE:
            node = Node(begin, end, order[low:high], level, parent)
            siblings.append(node)
            stack.append((low, high, end, node))
            continue
        cuts = [low, *(i for i in range(low + 1, high) if shared[i] == least), high]
        stack += [(a, b, begin, parent) for a, b in reversed(list(itertools.pairwise(cuts)))]
    for node in walk(roots):
        node.waiting = len(node.children)
    return roots


def walk(roots: Sequence[Node]) -> list[Node]:
    """Return all nodes, each before its children."""
    found, stack = [], list(reversed(roots))
    while stack:
        node = stack.pop()
        found.append(node)
        stack += reversed(node.children)
    return found


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n
