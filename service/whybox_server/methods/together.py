"""Runs several sub-procedures of a method in step, so that their questions share batches.

Each is a generator of queries; whatever they ask at the same moment becomes one query. It knows
nothing of what they look for.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Stacked

V = TypeVar("V")


def together(procedures: Sequence[Generator[Query, Reply, V]]) -> Generator[Query, Reply, list[V]]:
    """The results of all, in order.

    Queries of the same kind are merged, whatever their targets. A spent budget is
    thrown into each of those that asked, which may end with what they have or let it pass.
    """
    results: dict[int, V] = {}
    waiting: dict[int, Query] = {}

    def advance(number: int, reply: Reply | BudgetSpent | None) -> None:
        steps = procedures[number]
        waiting.pop(number, None)
        try:
            if isinstance(reply, BudgetSpent):
                waiting[number] = steps.throw(reply)
            else:
                waiting[number] = next(steps) if reply is None else steps.send(reply)
        except StopIteration as done:
            results[number] = done.value

    for number in range(len(procedures)):
        advance(number, None)
    while waiting:
        first = next(iter(waiting))
        asking = [n for n in waiting if alike(waiting[n], waiting[first])] or [first]
        try:
            reply = yield merged([waiting[n] for n in asking])
        except BudgetSpent as spent:
            for number in asking:
                advance(number, spent)
            continue
        ends = np.cumsum([len(waiting[n].rows) for n in asking])
        starts = np.concatenate([[0], ends[:-1]])
        for number, lo, hi in zip(asking, starts, ends, strict=True):
            gradient = None if reply.gradient is None else reply.gradient[lo:hi]
            advance(number, Reply(reply.scores[lo:hi], gradient))
    return [results[number] for number in range(len(procedures))]


def alike(one: Query, other: Query) -> bool:
    """Whether two queries can be one."""
    free = one.reference is None and other.reference is None
    return free and (one.want, one.model, one.probe) == (other.want, other.model, other.probe)


def merged(queries: Sequence[Query]) -> Query:
    """One query that asks what all ask, in order."""
    if len(queries) == 1:
        return queries[0]
    rows = Stacked(tuple(query.rows for query in queries))
    if queries[0].want is not Want.GRADIENT:
        return replace(queries[0], rows=rows)
    targets = [np.broadcast_to(np.asarray(query.target), len(query.rows)) for query in queries]
    return replace(queries[0], rows=rows, target=np.concatenate(targets))
