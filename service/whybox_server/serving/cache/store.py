"""What the cache expects of a place that outlives the process: Redis, or a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from whybox_server.serving.cache.counters import Counters


class Store(Protocol):
    """Records by tag. Used on the event loop only."""

    @property
    def counters(self) -> Counters: ...
    @property
    def up(self) -> bool:
        """False while it is left alone."""
        ...

    @property
    def largest_bytes(self) -> int:
        """Of a record; larger ones are not there."""
        ...

    @property
    def queued_bytes(self) -> int:
        """Records that wait to be written."""
        ...

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    async def read(self, tags: Sequence[bytes]) -> list[bytes | None]:
        """Records in order, None where there is none, or none that can be trusted."""
        ...

    def offer(self, tags: Sequence[bytes], records: Sequence[bytes], ttl_s: float | None = None) -> None:
        """Keep records, for `ttl_s` (None: as configured); never waits."""
        ...
