"""The first rows of a session go alone: a wrong declaration costs one call, and not one for every slot.

Who comes while it is under way, or has just failed, is told the same and does not pay to hear it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from whybox_server.core.errors import ReplyUnreadable
from whybox_server.serving.remote.pace import Clock

KEPT_S = 1.0  # calls that were on their way before it failed are here by then
LOOK_EVERY_S = 0.05  # how soon it is noticed that nobody waits any more


@dataclass(slots=True, eq=False)
class Trial:
    """Of one session; thread-safe. passed: rows were answered as they should be."""

    passed: bool = False
    clock: Clock = time.monotonic
    _running: bool = False
    _failure: ReplyUnreadable | None = None
    _failed_at: float = 0.0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def enter(self, goes_on: Callable[[], bool]) -> bool | None:
        """True: the caller goes alone, and calls `leave`. False: it is passed. None: it goes on no longer.

        goes_on: whether waiting is still worth it. Raises ReplyUnreadable if that is what the last one came to.
        """
        if self.passed:
            return False
        with self._changed:
            while self._running:
                if not goes_on():
                    return None
                self._changed.wait(LOOK_EVERY_S)
            if self._failure is not None and self.clock() < self._failed_at + KEPT_S:
                raise ReplyUnreadable(self._failure.message, endpoint=self._failure.details["endpoint"])
            self._running = not self.passed
            return self._running

    def leave(self, *, passed: bool = False, failure: ReplyUnreadable | None = None) -> None:
        """The call that went alone is over. Neither: it says nothing about the next one."""
        with self._changed:
            self._running, self.passed = False, passed
            self._failure, self._failed_at = failure, self.clock()
            self._changed.notify_all()
