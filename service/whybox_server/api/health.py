"""grpc.health.v1 as gRPC's own package has it, but for one thing: who watches does not hold up the end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from grpc_health.v1 import health

LAST_WORD_S = 0.5  # for a watcher to hear that nothing is served any more


class Health(health.aio.HealthServicer):
    """A stream of health has no end of its own, and a server that drains waits for the calls that run: one caller
    that watches would hold it for all the time that explanations are given.
    """

    def __init__(self) -> None:
        super().__init__()
        self._leaving = asyncio.Event()

    async def Watch(self, request: Any, context: Any) -> None:
        watching = asyncio.ensure_future(super().Watch(request, context))
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait({watching, leaving}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({watching}, timeout=LAST_WORD_S)
        finally:
            watching.cancel()
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def enter_graceful_shutdown(self) -> None:
        """Nothing is served any more: watchers hear so, and their streams end."""
        await super().enter_graceful_shutdown()
        self._leaving.set()
