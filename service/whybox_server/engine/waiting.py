"""Work that waits for a server elsewhere: on threads of its own, and no longer than somebody waits for it.

On the event loop's own threads a few calls of a server that hangs would leave none for all the others, those
that never ask that server included.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from typing import TypeVar

from whybox_server.serving.lane import Patience

T = TypeVar("T")

MOST_AT_ONCE = 64  # threads; further work waits for one of them


def threads() -> Executor:
    return ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="waiting")


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """Belongs to one event loop."""

    pool: Executor = field(default_factory=threads)

    async def done(self, work: Callable[[Patience], T], seconds: float | None = None) -> T:
        """What the work comes to, which blocks. seconds: until its caller's deadline; None if he has none.

        It hears through its patience when that has passed, or nobody waits any more.
        """
        left = threading.Event()
        until = inf if seconds is None else time.monotonic() + seconds
        patience = Patience(lambda: not left.is_set(), until)
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work, patience)
        finally:
            left.set()

    def close(self) -> None:
        """Begin nothing more; work under way still ends."""
        self.pool.shutdown(wait=False, cancel_futures=True)
