"""Connections that calls share: opened by the first, exchanged when they are stale, closed after the last.

It knows neither HTTP nor gRPC.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Line(Generic[T]):
    """Something open, how many calls are on it, and what it was made of (`stamp`)."""

    way: T
    stamp: object
    calls: int = 0
    stale: bool = False


@dataclass(slots=True, eq=False)
class Lines(Generic[T]):
    """At most one line that new calls take, and older ones until their last call ends."""

    shut: Callable[[T], None]
    _line: Line[T] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def use(self, stamp: object, open_: Callable[[], T], timeout_s: float) -> Iterator[T]:
        """The line, which stays open meanwhile; a new one if there is none of this stamp.

        Raises what `open_` raises, and TimeoutError if others are still at it when time is over.
        """
        line = self._take(stamp, open_, timeout_s)
        try:
            yield line.way
        finally:
            with self._lock:
                line.calls -= 1
                self._end(line)

    def drop(self, way: T | None = None) -> None:
        """New calls shall not take this one (None: whichever it is) any more."""
        with self._lock:
            if self._line is not None and way in (None, self._line.way):
                self._leave()

    def _take(self, stamp: object, open_: Callable[[], T], timeout_s: float) -> Line[T]:
        if not self._lock.acquire(timeout=max(timeout_s, 0.0)):
            raise TimeoutError
        try:
            if self._line is not None and self._line.stamp != stamp:
                self._leave()
            if self._line is None:
                self._line = Line(open_(), stamp)
            self._line.calls += 1
            return self._line
        finally:
            self._lock.release()

    def _leave(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.stale = True
            self._end(line)

    def _end(self, line: Line[T]) -> None:
        if line.stale and not line.calls:
            self.shut(line.way)
