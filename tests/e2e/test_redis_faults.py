"""Redis restarted, killed, frozen, full, forbidding and lying: it never costs an answer.

Every explanation here checks its reply bit for bit against the oracle (`ask`), so that "nothing
happens" is what most of these tests say. The server is a real one throughout.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from redis import Redis
from tests.cache_door import LANE, StandIn, ask, query_of
from tests.redis import RedisServer, free_port, redis_server

from whybox_server.serving.cache import Cache, RedisOptions, RedisStore, desk
from whybox_server.serving.cache.codec import layout_of, pack, seal
from whybox_server.serving.cache.keys import Namer, check_of, distinct, redis_key
from whybox_server.serving.lane import Flow

ROWS = list(range(200))
SECRET = b"a secret of this deployment"
DAY_S = 24 * 3600
PATIENCE_S = 20.0  # a hang fails here


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@asynccontextmanager
async def cache_at(url: str, below: StandIn | None = None, **options: float) -> AsyncIterator[Cache]:
    """A cache with an LRU too small for a single row, so that Redis has to answer; probes are quick."""
    store = RedisStore(RedisOptions(url, probe_s=(0.01, 0.03), **options))
    cache = Cache(below or StandIn(), 0, store, SECRET)
    await cache.start()
    try:
        yield cache
    finally:
        await cache.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that is bound to happen."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def raw(server: RedisServer) -> Redis:
    return Redis(port=server.port)


async def fill(server: RedisServer) -> None:
    """Leave all ROWS in Redis."""
    async with cache_at(server.url) as cache:
        await ask(cache, ROWS)
    assert cache.stats().written == len(ROWS)


async def test_answers_outlive_this_process(server: RedisServer) -> None:
    """A new cache with the same secret sends nothing to the model; with another secret, everything."""
    await fill(server)
    async with cache_at(server.url) as cache:
        flow = await ask(cache, ROWS)
    assert (flow.usage.rows_sent, flow.usage.rows_cached) == (0, len(ROWS))
    assert cache.stats().hits_redis == len(ROWS)
    stranger = Cache(StandIn(), 0, RedisStore(RedisOptions(server.url)), b"another secret")
    await stranger.start()
    assert (await ask(stranger, ROWS)).usage.rows_cached == 0
    await stranger.close()


async def test_values_expire_in_about_a_week(server: RedisServer) -> None:
    """Every key has a time to live within a tenth of seven days, and is 24 bytes long."""
    await fill(server)
    with raw(server) as client:
        keys = client.keys()
        lives = [client.ttl(key) for key in keys]
    assert len(keys) == len(ROWS)
    assert all(len(key) == 24 and key.startswith(b"wb1:") for key in keys)
    assert 6.3 * DAY_S - 60 <= min(lives) <= max(lives) <= 7.7 * DAY_S


async def test_a_block_is_read_in_one_round_trip_and_written_in_one(server: RedisServer) -> None:
    """The server's own statistics: as many MGET as blocks, one script per written batch, no single GET.

    The SETs it counts are the script's.
    """
    rows = list(range(desk.FIRST_ROWS))
    async with cache_at(server.url) as cache:
        await ask(cache, rows)
    async with cache_at(server.url) as cache:
        await ask(cache, rows)
    with raw(server) as client:
        calls = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    assert calls["cmdstat_mget"] == 2
    assert calls["cmdstat_evalsha"] <= 2  # the first one is told to load the script
    assert calls["cmdstat_set"] == len(rows)
    assert "cmdstat_get" not in calls


async def test_scripts_may_be_forbidden() -> None:
    """Without EVALSHA, values are written one command each, and found again."""
    with redis_server("--rename-command", "EVALSHA", "") as server:
        await fill(server)
        async with cache_at(server.url) as cache:
            assert (await ask(cache, ROWS)).usage.rows_sent == 0


async def test_a_server_killed_in_the_middle_costs_nothing_and_is_used_again_when_it_returns() -> None:
    """Eight explanations run while it dies; after its return on the same port answers are kept again."""
    port = free_port()
    below = StandIn(ticks=lambda: 50)
    with redis_server(port=port) as server:
        async with cache_at(server.url, below) as cache:
            tasks = [asyncio.ensure_future(ask(cache, list(range(n, 2000 + n)))) for n in range(8)]
            await until(lambda: below.rows > 300)
            server.kill()
            await asyncio.gather(*tasks)
            await ask(cache, ROWS)
            await until(lambda: cache.stats().redis_up is False)
            with redis_server(port=port) as again:
                await until(lambda: bool(cache.stats().redis_up))
                written = cache.stats().written
                await ask(cache, ROWS)
                await until(lambda: cache.stats().written > written)
                assert await asyncio.to_thread(lambda: raw(again).dbsize()) > 0
                assert (await ask(cache, ROWS)).usage.rows_cached > 0
    assert cache.stats().errors["connection"] > 0


async def test_a_frozen_server_is_asked_once_and_then_left_alone_until_it_thaws(server: RedisServer) -> None:
    """After the first explanation the breaker is open, and no other one waits for Redis.

    Every read in flight may time out twice, for us and for the client; nobody reads after that. Once
    thawed, what was written before is found.
    """
    await fill(server)
    async with cache_at(server.url) as cache:
        server.stop()
        await ask(cache, ROWS)
        assert cache.stats().redis_up is False
        timeouts = cache.stats().errors["timeout"]
        assert 1 <= timeouts <= 2 * desk.BLOCKS_AT_ONCE
        await asyncio.gather(*(ask(cache, ROWS) for _ in range(5)))
        assert cache.stats().redis_up is False
        assert cache.stats().errors["timeout"] <= 2 * desk.BLOCKS_AT_ONCE
        server.resume()
        await until(lambda: bool(cache.stats().redis_up))
        assert (await ask(cache, ROWS)).usage.rows_sent == 0


async def test_closing_does_not_wait_for_a_frozen_server(server: RedisServer) -> None:
    """What is still queued is dropped and counted."""
    async with cache_at(server.url) as cache:
        await ask(cache, ROWS)
        await until(lambda: cache.stats().written == len(ROWS))
        server.stop()
        await ask(cache, list(range(1000, 1200)))
    assert (cache.stats().written, cache.stats().dropped) == (len(ROWS), 200)
    server.resume()


async def test_a_full_server_is_still_read(server: RedisServer) -> None:
    """noeviction, no byte free: old rows are found, new ones are computed, and writing pauses.

    Then there is room again, and what is new is kept.
    """
    await fill(server)
    with raw(server) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        new = list(range(1000, 1050))
        async with cache_at(server.url, write_pause_s=0.05) as cache:
            await ask(cache, new)
            await until(lambda: cache.stats().errors["oom"] > 0)
            assert (await ask(cache, ROWS)).usage.rows_sent == 0
            assert cache.stats().redis_up
            client.config_set("maxmemory", 0)
            await ask(cache, new)
            await until(lambda: cache.stats().written > 0)
        assert client.dbsize() == len(ROWS) + len(new)


async def test_rows_that_wait_to_be_written_are_bounded_in_bytes(server: RedisServer) -> None:
    """A queue of 4000 bytes: the newest rows stay, the others are counted as dropped."""
    store = RedisStore(RedisOptions(server.url, queue_bytes=4000))
    tags = [7 * number.to_bytes(4, "big") for number in range(100)]
    store.offer(tags, [bytes(100)] * 100)
    assert 3000 < store.queued_bytes <= 4000
    assert store.counters.dropped == 100 - store.queued_bytes // 228
    store.offer(tags[:1], [bytes(100_000)])  # too large for Redis: ignored, pushes nothing out
    assert 3000 < store.queued_bytes <= 4000
    await store.start()
    await store.close()
    with raw(server) as client:
        assert client.exists(redis_key(tags[-1]))
        assert not client.exists(redis_key(tags[0]))


def _garbage(client: Redis, keys: list[bytes]) -> None:
    for number, key in enumerate(keys):
        client.set(key, Random(number).randbytes(number))


def _truncated(client: Redis, keys: list[bytes]) -> None:
    for number, key in enumerate(keys):
        value = client.get(key)
        client.set(key, value[: number % len(value)])


def _bit_flips(client: Redis, keys: list[bytes]) -> None:
    for number, key in enumerate(keys):
        value = bytearray(client.get(key))
        value[number % len(value)] ^= 1 << number % 8
        client.set(key, bytes(value))


def _swapped(client: Redis, keys: list[bytes]) -> None:
    values = client.mget(keys)
    for key, value in zip(keys, values[1:] + values[:1], strict=True):
        client.set(key, value)


def _lists(client: Redis, keys: list[bytes]) -> None:
    for key in keys:
        client.delete(key)
        client.rpush(key, b"one", b"two")


def _forged(client: Redis, keys: list[bytes]) -> None:
    """Perfectly sealed answers of another shape, as only somebody with the secret can write them."""
    fake = (np.zeros((1, 5)),)
    record = pack(layout_of(fake, 1), fake)[0]
    rows = query_of(ROWS).rows
    for tag in Namer(SECRET).tags(distinct(LANE.fingerprint, rows).identities)[::3]:
        assert redis_key(tag) in keys
        client.set(redis_key(tag), seal(record, check_of(tag)))


@pytest.mark.parametrize("lie", [_garbage, _truncated, _bit_flips, _swapped, _lists])
async def test_a_lying_server_is_not_believed(
    server: RedisServer,
    lie: Callable[[Redis, list[bytes]], None],
) -> None:
    """Every value is spoilt: the model answers all rows again, and repairs every one of them."""
    await fill(server)
    with raw(server) as client:
        lie(client, client.keys())
    async with cache_at(server.url) as cache:
        assert (await ask(cache, ROWS)).usage.rows_sent == len(ROWS)
    assert cache.stats().errors["corrupt"] == (0 if lie is _lists else len(ROWS))  # MGET hides a list itself
    async with cache_at(server.url) as cache:
        assert (await ask(cache, ROWS)).usage.rows_sent == 0


async def test_answers_of_another_shape_are_not_believed_either(server: RedisServer) -> None:
    """Every third value is sealed well and has five scores instead of two: the model decides."""
    await fill(server)
    with raw(server) as client:
        _forged(client, client.keys())
    async with cache_at(server.url) as cache:
        await ask(cache, ROWS)
    assert cache.stats().errors["layout"] == 1


@pytest.mark.parametrize("arguments", [("--requirepass", "unknown"), ("--rename-command", "MGET", "")])
async def test_a_server_that_refuses_us_is_left_alone(arguments: tuple[str, ...]) -> None:
    """No password, or no MGET: errors are counted, answers are right."""
    with redis_server(*arguments) as server:
        async with cache_at(server.url) as cache:
            for _ in range(10):
                await ask(cache, ROWS)
        assert sum(cache.stats().errors.values()) > 0
        assert cache.stats().hits_redis == 0


async def test_a_server_that_speaks_another_language_is_left_alone() -> None:
    """A web server listens where Redis should."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with web, cache_at(f"redis://127.0.0.1:{web.sockets[0].getsockname()[1]}") as cache:
        await ask(cache, ROWS)
        assert cache.stats().redis_up is False


async def test_no_server_at_the_start_costs_no_explanation_anything_and_is_found_later() -> None:
    """The first probe fails before any explanation; none of them meets an error of its own."""
    port = free_port()
    async with cache_at(f"redis://127.0.0.1:{port}") as cache:
        errors = cache.stats().errors
        assert cache.stats().redis_up is False
        await ask(cache, ROWS)
        assert cache.stats().errors == errors
        with redis_server(port=port):
            await until(lambda: bool(cache.stats().redis_up))
            await ask(cache, ROWS)
            await until(lambda: cache.stats().written == len(ROWS))
            assert (await ask(cache, ROWS)).usage.rows_sent == 0


async def test_a_storm_of_cancellations_leaves_every_other_answer_right(server: RedisServer) -> None:
    """Two hundred explanations over the same rows in two lanes, two of three cancelled at some moment.

    Many of them are while Redis answers: no survivor gets a wrong row, and none is left waiting.
    """
    rng = Random(7)
    lanes = [LANE, replace(LANE, fingerprint=b"M" * 32)]
    async with cache_at(server.url, StandIn(ticks=lambda: rng.randrange(20))) as cache:

        async def one(number: int) -> Flow:
            await asyncio.sleep(rng.uniform(0, 0.3))
            first = rng.randrange(300)
            return await ask(cache, list(range(first, first + rng.randrange(1, 200))), lanes[number % 2])

        tasks = [asyncio.ensure_future(one(number)) for number in range(200)]
        doomed = [task for number, task in enumerate(tasks) if number % 3]
        async with asyncio.timeout(PATIENCE_S):
            for task in doomed:
                asyncio.get_running_loop().call_later(rng.uniform(0, 0.35), task.cancel)
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert cache.rows_in_flight == 0
        assert all(isinstance(result, (Flow, asyncio.CancelledError)) for result in results)
        assert all(isinstance(result, Flow) for result in results[::3])
        assert any(isinstance(result, asyncio.CancelledError) for result in results)
        for lane in lanes:
            await ask(cache, ROWS, lane)
    async with cache_at(server.url) as cache:
        assert (await ask(cache, ROWS)).usage.rows_cached == len(ROWS)
