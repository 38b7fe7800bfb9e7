"""Connections that are kept between calls: taken one at a time, given back, and forgotten when they are stale.

httpcore has a pool, too, which looks at all of its connections twice a call; here a call pays for its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

import httpcore

# uvicorn, and with it most model servers in Python, closes idle connections after 5 s.
IDLE_S = 4.0


@dataclass(slots=True, eq=False)
class Pool:
    """Idle connections to one place, `most` of them. Thread-safe. open: makes another one."""

    open: Callable[[], httpcore.HTTP11Connection]
    most: int
    _idle: deque[tuple[float, httpcore.HTTP11Connection]] = field(default_factory=deque)  # since when
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    @contextmanager
    def use(self) -> Iterator[httpcore.HTTP11Connection]:
        """A connection for one call; kept afterwards if the call went to its end. Raises what `open` does."""
        connection = self._taken() or self.open()
        try:
            yield connection
        finally:
            self._keep(connection)

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, deque()
        for _, connection in idle:
            connection.close()

    def _taken(self) -> httpcore.HTTP11Connection | None:
        """The one used last, which is the likeliest to live; None if there is none."""
        self._forget()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                _, connection = self._idle.pop()
            if not connection.has_expired():  # the server may have closed it
                return connection
            connection.close()

    def _keep(self, connection: httpcore.HTTP11Connection) -> None:
        with self._lock:
            kept = connection.is_idle() and not self._closed and len(self._idle) < self.most
            if kept:
                self._idle.append((monotonic(), connection))
        if not kept:
            connection.close()

    def _forget(self) -> None:
        """Close those that nobody has needed for long."""
        old = []
        with self._lock:
            while self._idle and self._idle[0][0] < monotonic() - IDLE_S:
                old.append(self._idle.popleft()[1])
        for connection in old:
            connection.close()
