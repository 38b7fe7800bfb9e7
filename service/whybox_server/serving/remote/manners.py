"""What all who ask one endpoint share: its limits, what was asked so far, and how well it is.

One object per endpoint, whatever models, callers and threads there are; it waits for nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from whybox_server.serving.breaker import Breaker
from whybox_server.serving.remote.allowance import Allowance
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.failure import called
from whybox_server.serving.remote.pace import Clock, Pace
from whybox_server.serving.remote.retry import RetryBudget, Standing
from whybox_server.serving.remote.slots import Slots

PROBE_S = (0.5, 2.0)  # between two tries while the breaker is open


@dataclass(slots=True, eq=False)
class Tally:
    """What an endpoint was asked so far. paid: of the calls, those that made the model work, or may have."""

    calls: int = 0  # metadata and repetitions included
    paid: int = 0
    retries: int = 0
    refused: int = 0
    unreached: int = 0


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
    standing: Standing = Standing()
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
            self.standing = Standing(heard=True, proven=self.standing.proven)
            if not asked:
                return
            if not self.breaker.open:
                self.breaker.succeeded()
            elif probed:
                self.breaker.close()

    def proven(self) -> None:
        """Rows were answered as they should be."""
        self.standing = Standing(heard=True, proven=True)

    def failed(self, said: str, *, down: bool) -> None:
        """The model was asked in vain. down: nobody would have been served at this moment."""
        with self.lock:
            if not down:
                self.breaker.succeeded()
            elif self.breaker.failed():
                self._last = said
                self._probe_at = self.clock() + self.breaker.probe_delay_s()

    def count(self, *, calls: int = 0, paid: int = 0, retries: int = 0, refused: int = 0, unreached: int = 0) -> None:
        """Add to the tally."""
        with self.lock:
            tally = self.tally
            tally.calls += calls
            tally.paid += paid
            tally.retries += retries
            tally.refused += refused
            tally.unreached += unreached


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
