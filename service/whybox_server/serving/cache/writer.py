"""Writing answers to Redis behind the explanations' backs.

A queue bounded in bytes, whose oldest rows are dropped, and one task that empties it with one round
trip per batch. A batch that fails is dropped, not repeated: it is only a cache.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple, Protocol

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from whybox_server.serving.breaker import Breaker, Clock
from whybox_server.serving.cache.codec import seal
from whybox_server.serving.cache.counters import Counters
from whybox_server.serving.cache.keys import check_of, redis_key

VALUE_LIMIT_BYTES = 64 << 10  # larger answers are cheaper computed than carried
BATCH_ROWS = 512
BATCH_BYTES = 1 << 20
ROW_OVERHEAD_BYTES = 128  # tag, list slots and object headers of a queued row
JITTER = 0.1  # of the TTL, batch by batch, so that an explanation's answers do not all expire together
IDLE_S = 0.1  # between two looks at a Redis that takes no writes just now

SET_ALL = """
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i], 'EX', ARGV[#ARGV]) end
return #KEYS
"""


class Row(NamedTuple):
    """What waits to be written."""

    tag: bytes
    record: bytes
    ttl_s: float


class Limits(Protocol):
    """The part of RedisOptions that concerns writing."""

    @property
    def ttl_s(self) -> float: ...
    @property
    def queue_bytes(self) -> int: ...
    @property
    def write_pause_s(self) -> float: ...
    @property
    def flush_s(self) -> float: ...


class Writer:
    """Rows by tag on their way to Redis."""

    def __init__(  # one caller, RedisStore, that shares its insides
        self,
        client: Redis,
        counters: Counters,
        failed: Callable[[Exception], None],
        breaker: Breaker,
        limits: Limits,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._client = client
        self._counters = counters
        self._failed = failed
        self._breaker = breaker
        self._limits = limits
        self._clock = clock
        self._rng = rng
        self._queue: deque[Row] = deque()  # oldest first
        self._more = asyncio.Event()
        self._paused_until = float("-inf")
        self._task: asyncio.Task[None] | None = None
        # Every way writes a batch in one round trip; one the server does not know is never tried again.
        self._ways: list[Callable[[Mapping[bytes, bytes], int], Awaitable[object]]] = [
            self._msetex,
            self._script,
            self._pipeline,
        ]
        self._set_all = client.register_script(SET_ALL)
        self.queued_bytes = 0

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def offer(self, tags: Sequence[bytes], records: Sequence[bytes], ttl_s: float | None = None) -> None:
        """Queue rows that are small enough; drop the oldest while there are too many bytes."""
        ttl_s = self._limits.ttl_s if ttl_s is None else min(ttl_s, self._limits.ttl_s)
        rows = (Row(tag, record, ttl_s) for tag, record in zip(tags, records, strict=True))
        fresh = [row for row in rows if len(row.record) <= VALUE_LIMIT_BYTES]
        self._queue.extend(fresh)
        self.queued_bytes += sum(map(_cost, fresh))
        while self.queued_bytes > self._limits.queue_bytes:
            self.queued_bytes -= _cost(self._queue.popleft())
            self._counters.dropped += 1
        if self._queue:
            self._more.set()

    async def close(self) -> None:
        """Write the rest if Redis takes it, `flush_s` long at most, and stop."""
        if self._task is None:
            return
        task, self._task = self._task, None
        self._more.set()
        await asyncio.wait({task}, timeout=self._limits.flush_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._counters.dropped += len(self._queue)
        self._queue.clear()
        self.queued_bytes = 0

    def _writable(self) -> bool:
        return not self._breaker.open and self._clock() >= self._paused_until

    async def _run(self) -> None:
        """Write batches until `close` was called and nothing is left that Redis would take."""
        while self._task is not None or (self._queue and self._writable()):
            if not self._queue:
                self._more.clear()
                await self._more.wait()
            elif self._writable():
                await self._write(self._batch())
            else:
                await asyncio.sleep(IDLE_S)

    def _batch(self) -> list[Row]:
        """The oldest rows, as many as fit one round trip and are kept equally long."""
        batch = [self._queue.popleft()]
        size, ttl_s = _cost(batch[0]), batch[0].ttl_s
        while self._more_of(ttl_s) and len(batch) < BATCH_ROWS and size < BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += _cost(batch[-1])
        self.queued_bytes -= size
        return batch

    def _more_of(self, ttl_s: float) -> bool:
        return bool(self._queue) and self._queue[0].ttl_s == ttl_s

    async def _write(self, batch: Sequence[Row]) -> None:
        values = {redis_key(row.tag): seal(row.record, check_of(row.tag)) for row in batch}
        try:
            await self._send(values, self._jittered(batch[0].ttl_s))
        except ResponseError as error:
            # Redis is well but takes no writes: memory is full, or it is a read-only replica.
            self._counters.errors["oom" if "OOM" in str(error) else "write_refused"] += 1
            self._paused_until = self._clock() + self._limits.write_pause_s
        except Exception as error:  # noqa: BLE001  # whatever the client library raises costs this batch only
            self._failed(error)
        else:
            self._counters.written += len(batch)
            return
        self._counters.dropped += len(batch)

    async def _send(self, values: Mapping[bytes, bytes], ttl_s: int) -> None:
        while True:
            try:
                await self._ways[0](values, ttl_s)
            except ResponseError as error:
                if len(self._ways) == 1 or not _unknown(error):
                    raise
                del self._ways[0]
            else:
                return

    async def _msetex(self, values: Mapping[bytes, bytes], ttl_s: int) -> None:
        """Redis 8.4, Valkey 9.1."""
        pairs = [piece for pair in values.items() for piece in pair]
        command = ("MSETEX", len(values), *pairs, "EX", ttl_s)
        await self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # not typed by redis-py

    async def _script(self, values: Mapping[bytes, bytes], ttl_s: int) -> None:
        """Every other server that runs scripts."""
        await self._set_all(keys=list(values), args=[*values.values(), ttl_s])

    async def _pipeline(self, values: Mapping[bytes, bytes], ttl_s: int) -> None:
        """Where scripts are forbidden; ten times the work for the server."""
        pipe = self._client.pipeline(transaction=False)
        for key, value in values.items():
            pipe.set(key, value, ex=ttl_s)
        await pipe.execute()

    def _jittered(self, ttl_s: float) -> int:
        return max(1, round(ttl_s * self._rng.uniform(1 - JITTER, 1 + JITTER)))


def _cost(row: Row) -> int:
    return len(row.record) + ROW_OVERHEAD_BYTES


def _unknown(error: ResponseError) -> bool:
    """Whether the server refuses the command, not these values."""
    return isinstance(error, NoPermissionError) or "unknown command" in str(error).lower()


def kind_of(error: Exception) -> str:
    """Under which name an error is counted."""
    if isinstance(error, (TimeoutError, RedisTimeoutError)):
        return "timeout"
    if isinstance(error, (OSError, RedisConnectionError)):
        return "connection"
    return "response" if isinstance(error, ResponseError) else "other"
