"""How often something may be done: a token bucket that says how long to wait, and never waits itself."""

from __future__ import annotations

import threading
from collections.abc import Callable

Clock = Callable[[], float]

BURST_S = 0.05  # what was not used so long ago may still be: threads wake late, and calls come in rounds


class Pace:
    """At most `per_second` in the long run, 0 for no limit, and `burst` at once. Thread-safe.

    The bucket is kept as the one number that matters: when it will be full (GCRA, ITU-T I.371).
    """

    def __init__(self, per_second: float, clock: Clock, burst: float | None = None) -> None:
        self._every_s = 1 / per_second if per_second else 0.0
        self._slack_s = BURST_S if burst is None else (burst - 1) * self._every_s
        self._clock = clock
        self._full_at = 0.0
        self._started = False
        self._lock = threading.Lock()

    def take(self) -> float:
        """0.0: go ahead. Otherwise nothing was taken, and there may be something in so many seconds."""
        if not self._every_s:
            return 0.0
        with self._lock:
            now = self._clock()
            # The clock's zero is arbitrary: a bucket that was never touched is full.
            full_at = max(self._full_at, now) if self._started else now
            wait_s = full_at - self._slack_s - now
            if wait_s > 0:
                return wait_s
            self._full_at, self._started = full_at + self._every_s, True
            return 0.0
