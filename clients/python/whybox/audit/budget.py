"""How many rows an audit may still ask, shared out to explanations that run at the same time.

What was really asked is counted by the server, in the file of answers; here is decided who may begin.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Price:
    """What a row costs, if every call is full."""

    per_row: float
    currency: str


@dataclass(slots=True, eq=False)
class Budget:
    """At most `most` rows over all explanations and all resumptions; 0: no limit. Thread-safe.

    asked: rows that were asked so far, by whomever.
    """

    most: int
    asked: Callable[[], int]
    _held: int = 0  # rows that explanations under way may ask at most
    _running: int = 0
    _change: threading.Condition = field(default_factory=threading.Condition)

    def reserve(self, bound: int) -> int:
        """Rows that an explanation which needs `bound` at most may ask; 0: none is left.

        Waits while others run that may give rows back, rather than begin with too few.
        """
        if not self.most:
            return bound
        with self._change:
            while self._running and self._left() < bound:
                self._change.wait()
            granted = max(min(bound, self._left()), 0)
            if granted:
                self._held += granted
                self._running += 1
            return granted

    def release(self, granted: int) -> None:
        """The explanation is over; what it did not ask is free again."""
        if self.most and granted:
            with self._change:
                self._held -= granted
                self._running -= 1
                self._change.notify_all()

    def _left(self) -> int:
        return self.most - self.asked() - self._held


def rows_asked(answers: Path) -> int:
    """What a server has counted in its file of answers (`whybox serve --answers`); 0 if there is none yet."""
    if not answers.exists():
        return 0
    with closing(sqlite3.connect(f"{answers.absolute().as_uri()}?mode=ro", uri=True)) as file:
        (rows,) = file.execute("SELECT rows FROM asked").fetchone()
    return int(rows)
