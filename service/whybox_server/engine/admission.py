"""Lets in what fits and refuses the rest at once: overload must not slow those who are already in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from whybox_server.core.errors import DeadlineExceeded, Overloaded

LEAST_RETRY_S = 0.5


@dataclass(slots=True, eq=False)
class Admission:
    """Permits for calls. `backlog_s` predicts how long the rows waiting now will take.

    draining: the server is about to stop, and its probes say so. Whoever still reaches it has found a door open
    and is served: he knows of no other, and the doors close soon.
    """

    max_running: int
    max_backlog_s: float
    backlog_s: Callable[[], float]
    running: int = 0
    draining: bool = False

    @contextmanager
    def permit(self) -> Iterator[None]:
        """Held while a call runs. Raises Overloaded instead of letting it wait."""
        backlog = self.backlog_s()
        if self.running >= self.max_running:
            raise Overloaded(
                f"{self.running} calls are running, the most this server takes; call again later",
                max(backlog, LEAST_RETRY_S),
                limit=self.max_running,
            )
        if backlog > self.max_backlog_s:
            raise Overloaded(
                f"{backlog:.0f} s of work are waiting, more than {self.max_backlog_s:.0f} s; call again later",
                backlog - self.max_backlog_s + LEAST_RETRY_S,
                limit=self.max_backlog_s,
            )
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


def refuse_hopeless(rows: int, seconds_per_row: float | None, remaining_s: float) -> None:
    """Raises DeadlineExceeded when even an idle server could not answer in time.

    seconds_per_row: as learnt from the model's calls, None when it has not run yet.
    """
    if seconds_per_row is not None and rows * seconds_per_row > remaining_s:
        raise DeadlineExceeded(
            f"{rows} rows take about {rows * seconds_per_row:.1f} s and the deadline is in {remaining_s:.1f} s; "
            "allow more time or ask fewer rows (num_samples, max_queries, a larger stride)",
            rows_planned=rows,
            rows_done=0,
        )
