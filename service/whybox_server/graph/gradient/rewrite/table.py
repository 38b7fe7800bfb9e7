"""Operators that are replaced by others before a graph is differentiated, as data.

(domain, operator) -> a function that says the same in operators that have gradient rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node

Rewrite: TypeAlias = Callable[[Emit, Node], Sequence[Value] | None]
REWRITES: dict[tuple[str, str], Rewrite] = {}


def rewrites(domain: str, *ops: str) -> Callable[[Rewrite], Rewrite]:
    """Register a function from a node to one value per output, in their order; trailing ones may lack.

    It emits standard operators of opsets 18 to 21. It returns None for a node that it cannot say in
    others: that one stays, and is refused by name if a gradient has to pass it.
    It is asked only when element types and ranks of all inputs are known.
    """

    def enter(rewrite: Rewrite) -> Rewrite:
        for op in ops:
            assert (domain, op) not in REWRITES, f"two ways to rewrite {domain}.{op}"
            REWRITES[domain, op] = rewrite
        return rewrite

    return enter
