"""Whether, and when, a call is made once more: decisions only, time and chance are given.

Predictions change nothing at the server, so that every call may be repeated; what limits it is what
it costs and what good it can do. A server that has never answered is soon given up, because then the
declaration is wrong; one that has is waited for as long as somebody waits for the answer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import inf
from random import Random
from typing import TypeAlias

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.serving.remote.exchange import Refused, Unreachable
from whybox_server.serving.remote.pace import Clock, Pace

FIRST_S, LONGEST_S = 0.1, 10.0  # mean waits are half of what these double between
NEW_ATTEMPTS = 3  # at a server that has never answered
DOUBTFUL_ATTEMPTS = 5  # of what is more likely the rows' fault than the moment's
CLOSING = 499  # gRPC's CANCELLED, which a server's core says to calls that meet it while it stops
PASSING = frozenset({408, 425, 429, CLOSING, 502, 503, 504})  # may be over when it is tried again
CROWDED = frozenset({429, 503})  # it has too much to do
DOWN = PASSING - {429}  # nobody would have been answered
FAULTY = 500  # says nothing: a defect at these rows, or of the moment

SHARE = 0.2  # retries per call
FLOOR_PER_S, FLOOR_BURST = 1.0, 10  # retries that are free, so that few calls can be repeated, too
MOST_SAVED = 100.0  # retries that a long time without faults lays up

Failure: TypeAlias = Refused | Unreachable | ModelOutputInvalid


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a server. heard: it has answered. proven: this session's rows it has, and rightly."""

    heard: bool = False
    proven: bool = False


def worth_repeating(failure: Failure, attempts: int, standing: Standing) -> bool:
    """Whether the same call may go well after `attempts` of it that did not, the last one like this."""
    match failure:
        case Unreachable():
            return not failure.lasting and (standing.heard or attempts < NEW_ATTEMPTS)
        case Refused() if failure.retry_after_s == inf:
            return False
        case Refused() if failure.status in PASSING:
            return standing.heard or attempts < NEW_ATTEMPTS
        case Refused():
            return failure.status == FAULTY and standing.proven and attempts < DOUBTFUL_ATTEMPTS
        case _:
            return standing.proven and attempts < DOUBTFUL_ATTEMPTS


def wait_s(failure: Failure, attempts: int, rng: Random) -> float:
    """How long to wait: what the server said, and full jitter over what doubles with every attempt.

    Full jitter: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    told = failure.retry_after_s if isinstance(failure, Refused) else None
    doubled = FIRST_S * 2.0 ** min(attempts - 1, 30)
    return max(told or 0.0, 0.0) + rng.uniform(0.0, min(LONGEST_S, doubled))


class RetryBudget:
    """Retries are a share of the calls, and few a second besides. Thread-safe.

    Without it, who serves n callers that all try three times gets 3 n calls when it can least bear them.
    """

    def __init__(self, clock: Clock) -> None:
        self._saved = 0.0
        self._floor = Pace(FLOOR_PER_S, clock, FLOOR_BURST)
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A call is made that is no retry."""
        with self._lock:
            self._saved = min(self._saved + SHARE, MOST_SAVED)

    def spend(self) -> float:
        """0.0: a retry may be made now, and is counted. Otherwise try again in so many seconds."""
        with self._lock:
            if self._saved >= 1:
                self._saved -= 1
                return 0.0
        return self._floor.take()
