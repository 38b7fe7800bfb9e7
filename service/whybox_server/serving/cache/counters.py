"""What the cache counts, for metrics. It knows neither rows nor Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = ("timeout", "connection", "response", "other", "corrupt", "layout", "oom", "write_refused")


@dataclass(slots=True, eq=False)
class Counters:
    """Running totals in rows, shared by every part of one cache; written on the event loop only."""

    hits_lru: int = 0
    hits_flight: int = 0
    hits_redis: int = 0
    misses: int = 0
    written: int = 0
    dropped: int = 0
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


@dataclass(frozen=True, slots=True)
class CacheStats:
    """A moment of one cache; everything but the last four fields only ever grows.

    errors: how often, by each of `KINDS`. timeout, connection, response, other: a command to Redis failed;
    corrupt: rows whose value was not what we wrote; layout: queries whose known rows did not look alike;
    oom, write_refused: Redis was well but took no writes.
    """

    hits_lru: int
    hits_flight: int  # rows that another explanation was asking already
    hits_redis: int
    misses: int  # rows that went on to the model
    written: int  # rows that Redis confirmed
    dropped: int  # rows that were never written to Redis: queue full, Redis down or refusing
    errors: Mapping[str, int]
    lru_rows: int
    lru_bytes: int
    queued_bytes: int  # waiting to be written to Redis
    redis_up: bool | None  # None: no Redis was configured
