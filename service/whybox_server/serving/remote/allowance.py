"""How many calls a day an endpoint may get: exact, for all threads, and over restarts if it has a file.

A call is counted before it is made, so that whatever happens then, not one too many is. Days are UTC's.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from whybox_server.core.errors import EndpointBudgetSpent

LINE = "{day} {calls:012d}\n"  # of one length always: a write replaces the whole of it
LINE_BYTES = 24


def today_utc() -> date:
    return datetime.now(UTC).date()


@dataclass(slots=True, eq=False)
class Allowance:
    """Counts paid calls to `endpoint`; `per_day` of 0 is no limit. Thread-safe.

    state: a file that keeps the count, shared with other processes of this machine; its folder exists.
    """

    endpoint: str
    per_day: int
    state: Path | None = None
    today: Callable[[], date] = today_utc
    _day: date | None = None
    _calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> None:
        """Count one call. Raises EndpointBudgetSpent if the day has none left; then it is not counted."""
        self._change(1)

    def give_back(self) -> None:
        """The call that was counted last did not reach the server after all."""
        self._change(-1)

    def left(self) -> int | None:
        """Calls that are left today; None for no limit. Raises EndpointBudgetSpent as `take` does for a file."""
        if not self.per_day:
            return None
        with self._lock:
            return max(self.per_day - self._change_counted(0), 0)

    def _change(self, by: int) -> None:
        if not self.per_day:
            return
        with self._lock:
            self._change_counted(by)

    def _change_counted(self, by: int) -> int:
        """The day's count, after `by` was added to it."""
        if self.state is None:
            self._day, self._calls = self._counted(self._day, self._calls, by)
            return self._calls
        try:
            return self._change_file(self.state, by)
        except (OSError, ValueError) as error:
            raise EndpointBudgetSpent(
                f"{self.endpoint} is not asked, because the day's count in {self.state} cannot be kept: {error}; "
                "make the file readable and writable, or remove it to start from 0",
                endpoint=self.endpoint,
                limit=self.per_day,
                unit="calls a day",
            ) from error

    def _change_file(self, path: Path, by: int) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # until it is closed
            day, calls = self._counted(*parsed(os.pread(handle, LINE_BYTES, 0)), by)
            os.pwrite(handle, LINE.format(day=day, calls=calls).encode(), 0)
            return calls
        finally:
            os.close(handle)

    def _counted(self, day: date | None, calls: int, by: int) -> tuple[date, int]:
        """Today and its count, after `by` was added to what was known. Raises EndpointBudgetSpent."""
        today = self.today()
        if day is None or today > day:  # a clock that was set back gives no day twice
            day, calls = today, 0
        if by > 0 and calls + by > self.per_day:
            raise EndpointBudgetSpent(
                f"{self.endpoint} was asked {calls} times today (UTC) and may be asked {self.per_day} times; "
                "try again tomorrow or raise calls_per_day",
                endpoint=self.endpoint,
                limit=self.per_day,
                unit="calls a day",
            )
        return day, max(calls + by, 0)


def parsed(line: bytes) -> tuple[date | None, int]:
    """The day and its count. Raises ValueError for what was not written here."""
    if not line:
        return None, 0
    with suppress(UnicodeDecodeError, ValueError):
        day, calls = line.decode("ascii").split()
        return date.fromisoformat(day), int(calls)
    raise ValueError("it holds something else")
