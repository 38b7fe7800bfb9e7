"""Threads that take items one after the other, explain them, and write down what came of it.

They stop all together when the budget is spent or the endpoint does not answer any more; what one
explanation finds never depends on the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from whybox.audit.actor import FEWEST_ROWS, Actor, Item
from whybox.audit.budget import Budget
from whybox.audit.journal import Journal
from whybox.audit.progress import OnProgress, Tally
from whybox.errors import ExplainError
from whybox.jsonform import to_json

T = TypeVar("T")

SPENT = "the budget is spent"
WHERE = "--where"  # in place of a method: the model is asked for its answer alone
STOPS_AT_ONCE = frozenset({"ENDPOINT_BUDGET_SPENT", "EGRESS_DENIED"})
STOPS_IN_A_ROW = frozenset({"ENDPOINT_UNREACHABLE", "DEADLINE_EXCEEDED"})
PATIENCE = 3  # explanations in a row that do not reach the endpoint


@dataclass(slots=True, eq=False)
class Crew:
    """Explains with `threads` threads. stopped: why it has stopped before the end; "" if it has not."""

    actor: Actor
    journal: Journal
    budget: Budget
    threads: int
    stopped: str = ""
    _unreached: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, rows: list[int], answers: dict[int, Mapping[str, Any]], tell: OnProgress | None) -> None:
        """What the model says of rows, into `answers`; of a row that it cannot answer, nothing."""
        tally = Tally({WHERE: FEWEST_ROWS}, tell)
        tally.expect([Item(row, WHERE) for row in rows])
        self._all(rows, lambda row: self._answer(Item(row, WHERE), answers, tally))

    def explain(self, items: list[Item], begun: Mapping[Item, int], tally: Tally) -> None:
        """Explain items, those that were begun before with what they were granted then."""
        tally.expect(items)
        self._all(items, lambda item: self._explain(item, begun.get(item), tally))

    def _answer(self, item: Item, answers: dict[int, Mapping[str, Any]], tally: Tally) -> None:
        granted = self.budget.reserve(FEWEST_ROWS)
        try:
            if granted < FEWEST_ROWS:
                self._stop(SPENT)
                return
            found = self.actor.answer(item.row)
        except ExplainError as error:
            self._failed(item, error)
        else:
            self._note("answer", item, **found)
            answers[item.row] = found
        finally:
            self.budget.release(granted)
        tally.done(item, FEWEST_ROWS)

    def _explain(self, item: Item, before: int | None, tally: Tally) -> None:
        try:
            bound = sum(self.actor.plan(item).rows) if self.budget.most else 0
            granted = self.budget.reserve(bound)
            try:
                limit = max(before or 0, granted)
                if self.budget.most and not limit:
                    self._stop(SPENT)
                    return
                if self.budget.most and before is None:
                    self._note("begun", item, most_rows=limit)
                most = limit if limit < bound else None
                e = self.actor.explain(item, most, lambda done, _planned: tally.progress(item, done))
            finally:
                self.budget.release(granted)
        except ExplainError as error:
            self._failed(item, error)
            tally.done(item, 0)
            return
        self._unreached = 0
        self._note("explained", item, explanation=to_json(e.message))
        tally.done(item, e.usage.rows_asked)

    def _failed(self, item: Item, error: ExplainError) -> None:
        if self.stopped:  # the others' end was this one's, too
            return
        self._note("failed", item, code=error.code, reason=error.reason, message=error.message)
        self._unreached = self._unreached + 1 if error.reason in STOPS_IN_A_ROW else 0
        if error.reason in STOPS_AT_ONCE or self._unreached >= PATIENCE:
            self._stop(error.message)

    def _note(self, kind: str, item: Item, **more: Any) -> None:
        self.journal.append({"kind": kind, "row": item.row, "method": item.method, **more})

    def _stop(self, why: str) -> None:
        with self._lock:
            self.stopped = self.stopped or why

    def _all(self, work: Iterable[T], do: Callable[[T], None]) -> None:
        """Do all of it, in order of beginning. Raises what one of them raises, when all have ended."""
        left = iter(work)

        def take() -> bool:
            """Do one; False if there is no more to do."""
            with self._lock:
                one = next(left, None)
            if one is None or self.stopped:
                return False
            try:
                do(one)
            except BaseException as error:
                self._stop(repr(error))
                raise
            return True

        def take_all() -> None:
            while take():
                pass

        take()  # alone: an endpoint is paid for getting to know it, and once is enough
        with ThreadPoolExecutor(self.threads, thread_name_prefix="audit") as pool:
            running = [pool.submit(take_all) for _ in range(self.threads)]
            try:
                for one in running:
                    one.result()
            except BaseException:
                self._stop("interrupted")
                self.actor.close()  # what is under way need not be waited for
                raise
