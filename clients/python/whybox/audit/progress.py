"""How far an audit is, in rows: of what is done, what is under way, and what was planned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from whybox.audit.actor import Item


class Progress(NamedTuple):
    """Rows are asked ones, cached or not; planned is an upper bound that falls as explanations end."""

    items_done: int
    items: int
    rows_done: int
    rows_planned: int


OnProgress = Callable[[Progress], None]


@dataclass(slots=True, eq=False)
class Tally:
    """Adds up what threads report. bounds: rows that an explanation is expected to ask, by method."""

    bounds: Mapping[str, int]
    tell: OnProgress | None
    _left: dict[str, int] = field(default_factory=dict)  # items that are not done, by method
    _running: dict[Item, int] = field(default_factory=dict)  # their rows done
    _items: int = 0
    _rows: int = 0  # of items that are done
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, items: list[Item]) -> None:
        """What is going to be done."""
        self._items = len(items)
        for item in items:
            self._left[item.method] = self._left.get(item.method, 0) + 1
        self._say()

    def progress(self, item: Item, rows: int) -> None:
        """An explanation has so many rows now."""
        with self._lock:
            self._running[item] = rows
        self._say()

    def done(self, item: Item, rows: int) -> None:
        """An explanation is over, after so many rows."""
        with self._lock:
            self._running.pop(item, None)
            self._left[item.method] -= 1
            self._rows += rows
        self._say()

    def _say(self) -> None:
        if self.tell is None:
            return
        with self._lock:
            waiting = sum(self.bounds[method] * count for method, count in self._left.items())
            done = self._items - sum(self._left.values())
            now = Progress(done, self._items, self._rows + sum(self._running.values()), self._rows + waiting)
            self.tell(now)


@contextmanager
def bar(*, shown: bool) -> Iterator[OnProgress | None]:
    """A bar on stderr with rate and time left, which vanishes in the end; None if it is not to be shown."""
    if not shown:
        yield None
        return
    from rich import progress as rich  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415 - only people at a terminal wait for it
    from rich.text import Text  # noqa: PLC0415

    class Rate(rich.ProgressColumn):
        def render(self, task: rich.Task) -> Text:
            return Text(f"{task.completed:,.0f} rows, {task.speed or 0:,.0f}/s")

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        Rate(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(
        *columns, console=Console(stderr=True), transient=True, speed_estimate_period=60
    ) as shown_bar:
        task = shown_bar.add_task("audit", total=None)

        def tell(now: Progress) -> None:
            words = f"explanation {now.items_done:,} of {now.items:,}"
            shown_bar.update(task, description=words, completed=now.rows_done, total=now.rows_planned)

        yield tell
