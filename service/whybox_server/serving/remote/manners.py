"""What all who ask one endpoint share: its limits, what was asked so far, and how well it is.

One object per endpoint, whatever models, callers and threads there are; it waits for nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from random import Random

from whybox_server.serving.breaker import Breaker
from whybox_server.serving.remote.allowance import Allowance
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.failure import called
from whybox_server.serving.remote.pace import Clock, Pace
from whybox_server.serving.remote.retry import RetryBudget
from whybox_server.serving.remote.slots import Slots

PROBE_S = (0.5, 2.0)  # between two tries while the breaker is open


@dataclass(frozen=True, slots=True)
class Tally:
    """What an endpoint was asked so far.

    paid: of the calls, those that made the model work, or may have; rows: that they carried.
    """

    calls: int = 0  # metadata and repetitions included
    paid: int = 0
    rows: int = 0
    retries: int = 0
    refused: int = 0
    unreached: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Tally)))


@dataclass(slots=True, eq=False)
class Manners:
    """Everything but the ways to get there; see `manners`. `lock` guards what has none of its own."""

    name: str
    pace: Pace
    allowance: Allowance
    slots: Slots
    retries: RetryBudget
    breaker: Breaker
    clock: Clock
    sleep: Callable[[float], None]
    rng: Random
    known: bool = False  # it has answered
    tally: Tally = field(default_factory=Tally)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _probe_at: float = 0.0  # while the breaker is open
    _last: str = ""  # what went wrong when it opened

    def resting_s(self) -> float | None:
        """None: ask. Else the breaker is open, for so long at least; 0.0: this caller is to try."""
        with self.lock:
            if not self.breaker.open:
                return None
            wait_s = self._probe_at - self.clock()
            if wait_s > 0:
                return wait_s
            self._probe_at = self.clock() + self.breaker.probe_delay_s()
            return 0.0

    @property
    def last(self) -> str:
        """What went wrong when the breaker opened."""
        return self._last

    def heard(self, *, asked: bool, probed: bool) -> None:
        """An answer came. asked: of the model. probed: to a call that was to find out."""
        with self.lock:
            self.known = True
            if not asked:
                return
            if not self.breaker.open:
                self.breaker.succeeded()
            elif probed:
                self.breaker.close()

    def failed(self, said: str, *, down: bool) -> None:
        """The model was asked in vain. down: nobody would have been served at this moment."""
        with self.lock:
            if not down:
                self.breaker.succeeded()
            elif self.breaker.failed():
                self._last = said
                self._probe_at = self.clock() + self.breaker.probe_delay_s()

    def count(self, **more: int) -> None:
        """Add to the tally, by the names of its fields."""
        with self.lock:
            self.tally += Tally(**more)


def manners(
    endpoint: Endpoint,
    allowance: Allowance | None = None,
    *,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    rng: Random | None = None,
) -> Manners:
    """Those of an endpoint that nobody has asked yet. allowance: None counts the day's calls in memory."""
    limits, name = endpoint.limits, called(endpoint)
    rng = rng or Random()  # noqa: S311  # jitter, not secrets
    return Manners(
        name=name,
        pace=Pace(limits.requests_per_second, clock),
        allowance=allowance or Allowance(name, limits.calls_per_day),
        slots=Slots(limits.concurrency),
        retries=RetryBudget(clock),
        breaker=Breaker(clock, rng, PROBE_S),
        clock=clock,
        sleep=sleep,
        rng=rng,
    )
