"""How many calls an endpoint gets at once: fewer when it says that it has too much, more as it keeps up.

Additive increase, multiplicative decrease (Chiu and Jain 1989), below the operator's limit.
"""

from __future__ import annotations

import threading

SLOWER = 0.5  # times the limit, when the server complains


class Slots:
    """At most `most` calls at once. Thread-safe.

    Calls that were under way when the limit changed downwards say nothing about the new one: a ticket
    tells them apart.
    """

    def __init__(self, most: int) -> None:
        self._most = max(most, 1)
        self._limit = float(self._most)
        self._busy = 0
        self._era = 0  # grows with every decrease
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Calls that may run at once now, at least 1."""
        return int(self._limit)

    def enter(self, timeout_s: float) -> int | None:
        """A ticket, waited for so long at most; None if no slot became free."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._busy < self.limit, timeout_s):
                return None
            self._busy += 1
            return self._era

    def leave(self) -> None:
        """The call is over."""
        with self._changed:
            self._busy -= 1
            self._changed.notify()

    def slower(self, ticket: int) -> None:
        """The call of this ticket was too much for the server."""
        with self._changed:
            if ticket == self._era:
                self._limit = max(1.0, self._limit * SLOWER)
                self._era += 1

    def faster(self, ticket: int) -> None:
        """The call of this ticket was answered."""
        with self._changed:
            if ticket == self._era:
                self._limit = min(float(self._most), self._limit + 1 / self._limit)
                self._changed.notify_all()
