"""A model that somebody else serves and charges for: it notes every row, and can hold its answers back.

KServe's V1 protocol, four numbers a row, P(no), P(maybe) and P(yes): softmax of 0, z / 2 and z = row . WEIGHTS.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from tests.remote.web import Request, Response, web

WEIGHTS = np.array([1.0, -0.5, 0.25, 0.0])
Row = tuple[float, ...]


@dataclass
class Paid:
    """rows: how often each one was asked. held: rows of calls that wait behind the closed gate."""

    url: str = ""
    rows: Counter[Row] = field(default_factory=Counter)
    answered: int = 0
    held: list[Row] = field(default_factory=list)
    closes_after: int | None = None  # rows answered before the gate closes
    gate: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Response:
        if request.method == "GET":
            return Response(404, {"error": "no metadata here"})
        rows = [tuple(row) for row in request.json["instances"]]
        with self.lock:
            self.rows.update(rows)
            closed = self.closes_after is not None and self.answered >= self.closes_after
            if closed:
                self.held += rows
            else:
                self.answered += len(rows)
        if closed:
            self.gate.wait()
        z = np.array(rows) @ WEIGHTS  # (n,)
        odds = np.exp(np.outer(z, [0, 0.5, 1]))  # (n, 3)
        return Response(200, {"predictions": (odds / odds.sum(axis=1, keepdims=True)).tolist()})

    @property
    def asked(self) -> int:
        return sum(self.rows.values())


@contextmanager
def paid() -> Iterator[Paid]:
    found = Paid()
    with web(found.answer) as server:
        found.url = server.url
        try:
            yield found
        finally:
            found.gate.set()
