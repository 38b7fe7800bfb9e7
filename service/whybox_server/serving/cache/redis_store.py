"""Answers that other processes, or this one before its restart, have left in Redis.

Redis is a convenience: down, hung, full or lying it may cost misses, never an explanation, and time
only once. Every command therefore runs in a task of its own that no explanation's cancellation
reaches, waits little, and is guarded by a breaker that only a probe in the background closes again.
One plain server is meant, not a Redis Cluster: the keys of one command carry no hash tag.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from whybox_server.serving.breaker import Breaker, Clock
from whybox_server.serving.cache.codec import unseal
from whybox_server.serving.cache.counters import Counters
from whybox_server.serving.cache.keys import check_of, redis_key
from whybox_server.serving.cache.writer import VALUE_LIMIT_BYTES, Writer, kind_of

WAIT_SLICES = 5


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """How to reach Redis and how much patience to have with it.

    url: redis://, rediss:// or unix://, as redis-py reads it.
    """

    url: str
    ttl_s: float = 7 * 24 * 3600.0  # of a value, plus or minus a tenth
    read_wait_s: float = 0.05  # most that one block of an explanation waits
    connect_timeout_s: float = 0.1
    socket_timeout_s: float = 0.15
    pool_timeout_s: float = 0.05
    connections: int = 8
    queue_bytes: int = 16 << 20  # answers waiting to be written; the oldest are dropped
    write_pause_s: float = 30.0  # after Redis refused a write, for want of memory or otherwise
    probe_s: tuple[float, float] = (1.0, 5.0)  # between two probes while the breaker is open
    flush_s: float = 2.0  # most that `close` waits for the queue


class RedisStore:
    """Reads records in one round trip per block, and writes them behind the explanations' backs."""

    def __init__(
        self,
        options: RedisOptions,
        clock: Clock = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        rng = rng or Random()  # noqa: S311  # jitter, not secrets
        self._options = options
        self.counters = Counters()
        self._breaker = Breaker(clock, rng, options.probe_s)
        self._client: Redis = Redis(connection_pool=_pool(options))
        self._writer = Writer(self._client, self.counters, self._failed, self._breaker, options, clock, rng)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._probing: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def up(self) -> bool:
        """False while Redis is left alone."""
        return not self._breaker.open

    @property
    def largest_bytes(self) -> int:
        return VALUE_LIMIT_BYTES

    @property
    def queued_bytes(self) -> int:
        """Records that wait to be written."""
        return self._writer.queued_bytes

    async def start(self) -> None:
        """Probe once, so that a Redis that is down at the start costs no explanation anything."""
        self._writer.start()
        if not await self._probe():
            self._count_failure("connection", at_once=True)

    async def close(self) -> None:
        """Write what is queued, for `flush_s` at most, and let go of every connection."""
        self._closing = True
        await self._writer.close()
        if self._probing is not None:
            self._probing.cancel()
        if self._tasks:
            # Commands end by their own timeouts; none is cut off in the middle of a reply.
            await asyncio.wait(self._tasks, timeout=self._options.flush_s)
        await self._client.aclose(close_connection_pool=True)

    async def read(self, tags: Sequence[bytes]) -> list[bytes | None]:
        """Records by tag, in order, None where Redis has none, or none that can be trusted.

        Takes `read_wait_s` at most and raises nothing but cancellation, which leaves the command alone.
        """
        nothing: list[bytes | None] = [None] * len(tags)
        if not self.up:
            return nothing
        task = self._spawn(self._mget([redis_key(tag) for tag in tags]))
        if await _ended(task, self._options.read_wait_s):
            return self._trusted(tags, task.result()) or nothing
        self._count_failure("timeout", at_once=True)
        return nothing

    def offer(self, tags: Sequence[bytes], records: Sequence[bytes], ttl_s: float | None = None) -> None:
        """Have records written some time soon, to be kept for `ttl_s` (None: as configured); never waits."""
        self._writer.offer(tags, records, ttl_s)

    def _trusted(self, tags: Sequence[bytes], values: Sequence[object]) -> list[bytes | None]:
        pairs = zip(tags, values, strict=False)  # a reply that is too short is no reply
        records = [None if v is None else unseal(v, check_of(tag)) for tag, v in pairs]
        if len(values) != len(tags):
            return []
        found = sum(record is not None for record in records)
        corrupt = len(values) - found - sum(value is None for value in values)
        self.counters.hits_redis += found
        if corrupt:
            self.counters.errors["corrupt"] += corrupt
        return records

    async def _mget(self, keys: list[bytes]) -> Sequence[object]:
        try:
            values: Sequence[object] = await self._client.mget(keys)
        except Exception as error:  # noqa: BLE001  # whatever the client library raises is a miss
            self._failed(error)
            return ()
        self._breaker.succeeded()
        return values

    def _failed(self, error: Exception) -> None:
        kind = kind_of(error)
        self._count_failure(kind, at_once=kind == "timeout")

    def _count_failure(self, kind: str, *, at_once: bool) -> None:
        """Note that Redis did not answer, and start probing if that was once too often."""
        self.counters.errors[kind] += 1
        if self._breaker.failed(at_once=at_once) and not self._closing:
            self._probing = self._spawn(self._probe_until_up())

    async def _probe_until_up(self) -> None:
        while self._breaker.open:
            await asyncio.sleep(self._breaker.probe_delay_s())
            if await self._probe():
                self._breaker.close()

    async def _probe(self) -> bool:
        """Whether Redis answers within `connect_timeout_s`."""
        task = self._spawn(self._ping())
        return await _ended(task, self._options.connect_timeout_s) and bool(task.result())

    async def _ping(self) -> bool:
        try:
            return bool(await self._client.ping())
        except Exception:  # noqa: BLE001  # not up, for whatever reason
            return False

    def _spawn(self, work: Any) -> asyncio.Task[Any]:  # any coroutine
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _ended(task: asyncio.Task[Any], seconds: float) -> bool:
    """Wait for a task, and say whether it has ended; it goes on in either case.

    The wait is cut into slices: an event loop that was busy elsewhere uses up one slice, whatever the
    clock says, so that our own delay is not held against Redis.
    """
    for _ in range(WAIT_SLICES):
        await asyncio.wait({task}, timeout=seconds / WAIT_SLICES)
        if task.done():
            return True
    return False


def _pool(options: RedisOptions) -> BlockingConnectionPool:
    """Connections made on demand. The client's own defaults wait 4 s on a dead port, 40 s on a hung one."""
    return BlockingConnectionPool.from_url(
        options.url,
        max_connections=options.connections,
        timeout=options.pool_timeout_s,
        socket_connect_timeout=options.connect_timeout_s,
        socket_timeout=options.socket_timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
