"""Explains single instances of a table in a server of its own, inside this process.

It keeps no plan and no journal: whoever has many instances hands them out, to one actor with several
threads or to many actors elsewhere. What makes an actor can be sent to another process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

from whybox.audit.order import Order
from whybox.audit.table import Table
from whybox.client import Client
from whybox.embedded import local
from whybox.result import Explanation
from whybox.views import Plan

# Nobody waits at the other end of an audit: what takes long, takes long.
PATIENT = {"default_deadline_s": 7 * 86400.0, "max_deadline_s": 7 * 86400.0, "max_backlog_s": 7 * 86400.0}
FEWEST_ROWS = 2  # of an occlusion that is cut short: the instance and one part hidden


class Item(NamedTuple):
    """One piece of work: a row of the table, by number from 0, and a method."""

    row: int
    method: str


@dataclass(slots=True, eq=False)
class Actor:
    """Explains what an order says. Use it as a context manager; its methods may be called from threads.

    settings: of `whybox.local`; several actors of one machine may share a file of answers.
    """

    order: Order
    table: Table
    settings: Mapping[str, Any] = field(default_factory=dict)
    _client: Client | None = None

    def __enter__(self) -> Self:
        self._client = local(**{**PATIENT, **self.settings})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server and whatever is under way; who waits for it gets an ExplainError."""
        if self._client is not None:
            self._client.close()

    def plan(self, item: Item) -> Plan:
        """What an item would cost; nothing is asked. Raises ExplainError where it cannot be explained."""
        return self._connected().plan(inputs=self.table.rows[item.row], **self._question(item.method))

    def explain(
        self,
        item: Item,
        most_rows: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Explanation:
        """Raises ExplainError. on_progress: hears rows done and planned, from another thread's hand."""
        return self._connected().explain(
            inputs=self.table.rows[item.row],
            max_queries=most_rows,
            on_progress=on_progress,
            **self._question(item.method),
        )

    def answer(self, row: int) -> dict[str, Any]:
        """What the model says of a row: {"label", "score", "probability"}, for `FEWEST_ROWS` rows.

        Raises ExplainError.
        """
        question = {**self.order.question(), "target": None}
        e = self._connected().explain(
            inputs=self.table.rows[row], method="occlusion", max_queries=FEWEST_ROWS, **question
        )
        said = e.target
        return {"label": said.label, "score": said.score, "probability": said.probability}

    def _question(self, method: str) -> dict[str, Any]:
        return {"method": method, **self.order.question(), **self.order.methods[method]}

    def _connected(self) -> Client:
        if self._client is None:
            raise ValueError("the actor is used outside its context")
        return self._client
