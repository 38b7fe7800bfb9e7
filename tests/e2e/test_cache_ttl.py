"""Answers that may not be kept for ever, in a real Redis: each lane's own time, and what is never kept longer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from redis import Redis
from tests.cache_door import LANE, StandIn, ask
from tests.redis import redis_server

from whybox_server.serving.cache import Cache, RedisOptions, RedisStore

LASTING_S, SHORT_S, JITTER = 1000.0, 60.0, 0.1
SHORT = replace(LANE, fingerprint=b"S" * 32, ttl_s=SHORT_S)
ROWS = list(range(40))


async def test_each_lane_has_its_own_time_in_redis() -> None:
    """Half of the keys expire within 60 s and a tenth, the others within 1000 s and a tenth."""
    with redis_server() as server:
        cache = Cache(StandIn(), 1 << 20, RedisStore(RedisOptions(server.url, ttl_s=LASTING_S)), b"secret")
        await cache.start()
        await asyncio.gather(ask(cache, ROWS), ask(cache, ROWS, SHORT))
        await cache.close()
        redis = Redis.from_url(server.url)
        left = sorted(redis.pttl(key) / 1000 for key in redis.keys())
        redis.close()
    assert len(left) == 2 * len(ROWS)
    assert all(SHORT_S / 2 < seconds <= SHORT_S * (1 + JITTER) for seconds in left[: len(ROWS)])
    assert all(LASTING_S / 2 < seconds <= LASTING_S * (1 + JITTER) for seconds in left[len(ROWS) :])


async def test_what_redis_holds_for_a_while_is_not_kept_here_for_another() -> None:
    """Another process reads a short-lived answer from Redis; once Redis has let it go, the model is asked."""
    with redis_server() as server:
        for round_ in range(2):
            cache = Cache(StandIn(), 1 << 20, RedisStore(RedisOptions(server.url)), b"secret")
            await cache.start()
            assert (await ask(cache, ROWS, SHORT)).usage.rows_sent == (0 if round_ else len(ROWS))
            if round_:
                redis = Redis.from_url(server.url)
                redis.flushall()
                redis.close()
                assert (await ask(cache, ROWS, SHORT)).usage.rows_sent == len(ROWS)
            await cache.close()
