"""The cache as a whole: what all explanations share, and one desk for each of them."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Protocol

from whybox_server.serving.cache.counters import CacheStats, Counters
from whybox_server.serving.cache.desk import Desk, Door, Layers
from whybox_server.serving.cache.inflight import Flights
from whybox_server.serving.cache.keys import Namer
from whybox_server.serving.cache.lru import Lru
from whybox_server.serving.cache.store import Store
from whybox_server.serving.lane import Flow, Lane

LRU_BYTES = 256 << 20


class Batches(Protocol):
    """What lies below: it batches the rows of all explanations."""

    def open(self, lane: Lane, flow: Flow) -> Door: ...


class Cache:
    """Remembers answers. Belongs to one event loop.

    store: None leaves the in-process LRU alone; it is started and closed with the cache.
    secret: of any length, the same for all servers that share a Redis; names in Redis depend on it.
    pool: where rows are hashed, off the event loop; None is the loop's default executor.
    """

    def __init__(
        self,
        below: Batches,
        lru_bytes: int = LRU_BYTES,
        store: Store | None = None,
        secret: bytes = b"",
        pool: Executor | None = None,
    ) -> None:
        self._below = below
        counters = Counters() if store is None else store.counters
        self._layers = Layers(Lru(lru_bytes), Flights(), store, Namer(secret), counters, pool)

    async def start(self) -> None:
        """Find out whether Redis is there; never fails, and takes 0.1 s at most."""
        if self._layers.store is not None:
            await self._layers.store.start()

    async def close(self) -> None:
        """Write to Redis what is still queued, for 2 s at most. Desks must be closed before."""
        if self._layers.store is not None:
            await self._layers.store.close()

    def open(self, lane: Lane, flow: Flow, *, enabled: bool = True) -> Desk:
        """A predictor for one explanation. Without `enabled` it only asks equal rows of a query once."""
        return Desk(self._layers, self._below.open(lane, flow), lane, flow, enabled=enabled)

    def stats(self) -> CacheStats:
        """What has happened so far."""
        counters, store = self._layers.counters, self._layers.store
        return CacheStats(
            hits_lru=counters.hits_lru,
            hits_flight=counters.hits_flight,
            hits_redis=counters.hits_redis,
            misses=counters.misses,
            written=counters.written,
            dropped=counters.dropped,
            errors=dict(counters.errors),
            lru_rows=len(self._layers.lru),
            lru_bytes=self._layers.lru.used_bytes,
            queued_bytes=0 if store is None else store.queued_bytes,
            redis_up=None if store is None else store.up,
        )

    @property
    def rows_in_flight(self) -> int:
        """Rows that some explanation is asking right now; 0 when none runs."""
        return len(self._layers.flights)
