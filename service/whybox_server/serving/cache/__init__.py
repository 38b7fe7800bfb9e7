"""Answers that are known already: in this process, on their way to another explanation, or in Redis."""

from whybox_server.serving.cache.cache import Batches, Cache
from whybox_server.serving.cache.counters import CacheStats
from whybox_server.serving.cache.desk import Desk, Door
from whybox_server.serving.cache.redis_store import RedisOptions, RedisStore

__all__ = ["Batches", "Cache", "CacheStats", "Desk", "Door", "RedisOptions", "RedisStore"]
