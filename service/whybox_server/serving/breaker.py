"""When to leave a server alone (Redis, an endpoint): a circuit breaker as a plain state machine.

It is told what happened and says whether to go on; it knows no socket, and time and chance are given
to it. While it is open only a probe may close it again. It is not locked: its owner is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

FAILURES_IN_A_ROW = 5
WINDOW_S = 10
WINDOW_CALLS = 10  # fewer calls say nothing about a share
WINDOW_SHARE = 0.5

Clock = Callable[[], float]


class Breaker:
    """Closed at first. Opens at once, on failures in a row, or on a share of failures."""

    def __init__(self, clock: Clock, rng: Random, probe_s: tuple[float, float]) -> None:
        self._clock = clock
        self._rng = rng
        self._probe_s = probe_s
        self._open = False
        self._in_a_row = 0
        self._seconds: deque[list[int]] = deque()  # [second, calls, failures] of the last WINDOW_S

    @property
    def open(self) -> bool:
        """True: do not ask."""
        return self._open

    def succeeded(self) -> None:
        """A call was answered."""
        self._in_a_row = 0
        self._count(failures=0)

    def failed(self, *, at_once: bool = False) -> bool:
        """A call failed; True if that opened the breaker.

        at_once: one is enough, because the next one would cost an explanation as much time.
        """
        self._in_a_row += 1
        calls, failures = self._count(failures=1)
        often = calls >= WINDOW_CALLS and failures >= WINDOW_SHARE * calls
        opens = not self._open and (at_once or often or self._in_a_row >= FAILURES_IN_A_ROW)
        self._open = self._open or opens
        return opens

    def close(self) -> None:
        """A probe was answered: start afresh."""
        self._open = False
        self._in_a_row = 0
        self._seconds.clear()

    def probe_delay_s(self) -> float:
        """How long to wait for the next probe; jittered, so that servers do not probe in step."""
        return self._rng.uniform(*self._probe_s)

    def _count(self, failures: int) -> tuple[int, int]:
        """Count a call; calls and failures in the window."""
        now = int(self._clock())
        if not self._seconds or self._seconds[-1][0] != now:
            self._seconds.append([now, 0, 0])
        self._seconds[-1][1] += 1
        self._seconds[-1][2] += failures
        while self._seconds[0][0] <= now - WINDOW_S:
            self._seconds.popleft()
        return sum(second[1] for second in self._seconds), sum(second[2] for second in self._seconds)
