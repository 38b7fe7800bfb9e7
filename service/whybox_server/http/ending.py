"""How a server ends: calls that outlast its patience hear so, each in the words of its wire, before it goes.

The server puts its `Ending` into the scope of every call; who performs calls enters their time limits there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Scope

from whybox_server.core.errors import Draining

IN_SCOPE = "whybox.ending"
RETRY_AFTER_S = 1.0  # another replica has room


class Ending:
    """The time limits of the calls that run, which all come at once when the server's time is up."""

    def __init__(self) -> None:
        self._running: set[asyncio.Timeout] = set()
        self.over = False

    def end(self) -> None:
        """Time is up, for what runs and for what comes."""
        self.over = True
        for limit in self._running:
            _now(limit)

    @contextmanager
    def counted(self, limit: asyncio.Timeout) -> Iterator[None]:
        """For as long as a call runs within that limit, which must be entered."""
        self._running.add(limit)
        if self.over:
            _now(limit)
        try:
            yield
        finally:
            self._running.discard(limit)


def _now(limit: asyncio.Timeout) -> None:
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())


def ending_of(scope: Scope) -> Ending:
    """Of the server that the call came to; one that never ends where none is told."""
    found: Ending = scope.get(IN_SCOPE) or Ending()
    return found


def ended() -> Draining:
    """What a call is told that outlasted the server."""
    return Draining("the server stops and this call took longer than it could wait; call again", RETRY_AFTER_S)
