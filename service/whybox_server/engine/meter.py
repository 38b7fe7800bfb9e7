"""Counts what one explanation asks, and stops it at its budget or deadline.

The meter is the topmost layer of the onion: what it lets pass goes to cache, batcher and model. It
limits *different* rows, because repetitions cost nothing, and it counts cached rows too, so that a
partial answer does not depend on what happens to be cached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Predictor, Query, Reply, Want
from whybox_server.core.rows import Array, Buffers, Rows
from whybox_server.serving.lane import Usage


@dataclass(frozen=True, slots=True, eq=False)
class Keyed:
    """Rows whose digests are known already, so that the cache need not compute them again."""

    rows: Rows
    known: list[bytes]

    def __len__(self) -> int:
        return len(self.rows)

    def keys(self) -> list[bytes]:
        return self.known

    def take(self, at: Array) -> Rows:
        return self.rows.take(at)

    def write(self, at: Array, out: Buffers) -> None:
        self.rows.write(at, out)


def kind_of(query: Query) -> bytes:
    """The same row asked of two models, or at two places of one, is two rows. b"": scores of the explained one."""
    inside = "" if query.want is Want.SCORES else f"{query.want.value}{query.probe}"
    return f"{query.model}{inside}".encode()


def different(query: Query, keys: list[bytes]) -> set[bytes]:
    """The different rows of a query whose digests are these."""
    kind = kind_of(query)
    return {kind + key for key in keys} if kind else set(keys)


@dataclass(slots=True, eq=False)
class Meter:
    """A Predictor that charges a budget of different rows and holds a deadline.

    limit: most different rows, 0 for no limit. deadline: in `clock` seconds, None for none.
    """

    below: Predictor
    usage: Usage
    pool: Executor
    clock: Callable[[], float]
    limit: int = 0
    deadline: float | None = None
    _seen: set[bytes] = field(default_factory=set)

    async def predict(self, query: Query) -> Reply:
        """Raises BudgetSpent when the query does not fit any more, or time runs out while it waits."""
        loop = asyncio.get_running_loop()
        keys, fresh = await loop.run_in_executor(self.pool, self._told_apart, query)
        if self.limit and len(self._seen) + len(fresh) > self.limit:
            raise BudgetSpent(needed=len(fresh), left=self.limit - len(self._seen))
        remaining = None if self.deadline is None else self.deadline - self.clock()
        if remaining is not None and remaining <= 0:
            raise BudgetSpent(needed=len(fresh), left=0)
        self._seen |= fresh
        self.usage.rows_asked += len(keys)
        self.usage.rows_unique = len(self._seen)
        try:
            async with asyncio.timeout(remaining):
                return await self.below.predict(replace(query, rows=Keyed(query.rows, keys)))
        except TimeoutError as late:
            raise BudgetSpent(needed=len(fresh), left=0) from late

    def _told_apart(self, query: Query) -> tuple[list[bytes], set[bytes]]:
        """Digests of all rows, and those never asked before. Takes long for many rows: not on the loop."""
        keys = query.rows.keys()
        return keys, different(query, keys) - self._seen
