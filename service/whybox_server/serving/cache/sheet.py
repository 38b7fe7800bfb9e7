"""One query on its way: which rows are asked, which are answered, and the answers so far.

Positions number the different rows of the query. It knows of no layer that could answer them.
"""

from __future__ import annotations

import numpy as np

from whybox_server.core.query import Reply
from whybox_server.core.rows import Array, Rows
from whybox_server.serving.cache.codec import Layout, Ragged
from whybox_server.serving.cache.keys import Distinct
from whybox_server.serving.lane import Answers, Usage


class Sheet:
    """Filled in any order; `reply` once everything is filled."""

    def __init__(
        self, rows: Rows, asked: Distinct, usage: Usage, fields: tuple[str, ...] = ("scores",)
    ) -> None:
        """fields: what the answers are, by field of `Reply`."""
        self._fields = fields
        self._rows = rows
        self._asked = asked
        self._usage = usage
        self._next = 0
        self._layout: Layout | None = None
        self._answers: Answers = ()  # (u, ...) each
        self.answered = 0  # rows of the query, repeated ones included

    def next_block(self, rows: int) -> Array | None:
        """Positions, (k,) with 1 <= k <= rows, that nobody was given yet; None when there are no more."""
        lo, end = self._next, len(self._asked.identities)
        if lo == end:
            return None
        self._next = min(lo + rows, end)
        return np.arange(lo, self._next)

    @property
    def left(self) -> int:
        """How many positions `next_block` has not given out."""
        return len(self._asked.identities) - self._next

    def identities(self, at: Array) -> list[bytes]:
        """Identities of the rows at these positions."""
        known = self._asked.identities
        return [known[position] for position in at.tolist()]

    def rows(self, at: Array) -> Rows:
        """The rows at these positions."""
        return self._rows.take(self.places(at))

    def places(self, at: Array) -> Array:
        """Where the rows at these positions stand in the query; of a repeated row, the first place."""
        return at if self._asked.first is None else self._asked.first[at]

    def fill(self, at: Array, layout: Layout, answers: Answers) -> None:
        """Note answers, (k, ...) each. Raises Ragged when they do not look like those before."""
        if self._layout is None:
            total = len(self._asked.identities)
            self._answers = tuple(np.empty((total, *part.shape), part.dtype) for part in layout.parts)
            self._layout = layout
        elif self._layout.header != layout.header:
            raise Ragged("the rows of one query have answers of different shapes or types")
        for all_answers, some in zip(self._answers, answers, strict=True):
            all_answers[at] = some
        repeats = self._asked.repeats
        rows = len(at) if repeats is None else int(repeats[at].sum())
        self.answered += rows
        self._usage.rows_answered += rows

    def reply(self) -> Reply:
        """The answers in the order of the query."""
        inverse = self._asked.inverse
        answers = self._answers if inverse is None else [answer[inverse] for answer in self._answers]
        return Reply(**dict(zip(self._fields, answers, strict=True)))
