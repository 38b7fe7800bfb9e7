"""The synchronous driver of a method, for tests and notebooks.

No threads, no cache, no batches: each query is answered where it stands.
"""

from __future__ import annotations

from collections.abc import Callable

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.explanation import Finding
from whybox_server.core.query import Query, Reply, Steps
from whybox_server.core.rows_probed import seeded
from whybox_server.engine.meter import different


def run(steps: Steps, answer: Callable[[Query], Reply], budget: int | None = None) -> Finding:
    """Drive a method to its end.

    budget: most different rows that may be asked, over all queries; None is no limit. A query that
    does not fit is not answered: BudgetSpent is thrown into the method, which may ask a smaller one
    or let it pass. Whatever `answer` raises passes too, after the method has been closed.
    """
    asked: set[bytes] = set()
    try:
        query = next(steps)
        while True:
            fresh = set() if budget is None else identities(query) - asked
            if budget is not None and len(asked) + len(fresh) > budget:
                query = steps.throw(BudgetSpent(len(fresh), budget - len(asked)))
                continue
            asked |= fresh
            query = steps.send(answer(query))
    except StopIteration as done:
        found: Finding = done.value
        return found
    finally:
        steps.close()


def identities(query: Query) -> set[bytes]:
    """The different rows of a query, as the service's meter tells them apart."""
    query = seeded(query)
    return different(query, query.rows.keys())
