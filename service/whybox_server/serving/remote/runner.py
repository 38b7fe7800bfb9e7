"""Runs batches of rows at an endpoint: built here, cut into calls that it can take, and checked when they are back.

It knows how many rows and bytes a call may have, and learns when the server can take less. How and when
a call is made is the sender's business, and what is said in it the protocol's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from whybox_server.core.errors import EndpointRefused, ModelFailed
from whybox_server.core.rows import Array
from whybox_server.core.spec import ScoreKind
from whybox_server.serving.lane import ENDLESS, Answers, Patience, Slice
from whybox_server.serving.onnx.runner import mirrored
from whybox_server.serving.remote.endpoint import Endpoint, Limits
from whybox_server.serving.remote.exchange import Described, Exchange, RemoteProtocol
from whybox_server.serving.remote.failure import TOO_LARGE
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.validate import checked

SHRINK = 0.5  # of a call's bytes, when they were too many
SLOTS_PER_READY = 2  # one call lies ready for so many that are under way


@dataclass(slots=True, eq=False)
class Room:
    """How much fits into one call: what was declared, or less once the server has refused that. Thread-safe.

    One per endpoint. It is bytes that are remembered: half the rows is half the bytes.
    """

    most_rows: int
    most_bytes: float
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, limits: Limits) -> Room:
        """As declared."""
        return cls(max(limits.rows_per_call, 1), limits.bytes_per_call or inf)

    def rows_of(self, each: int) -> int:
        """Rows of so many bytes each that fit, at least 1."""
        return max(1, int(min(self.most_rows, self.most_bytes // max(each, 1))))

    def refused(self, size: int) -> None:
        """A call of so many bytes was too large."""
        with self._lock:
            self.most_bytes = min(self.most_bytes, size * SHRINK)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Who is asked, in which words, and what of. shapes, dtypes: of one row, by input.

    columns: scores a row has in the server's words, None if nobody said. labels: all that a server of
    labels alone may say. mirror: what a single column holds if it is the second of two classes.
    """

    endpoint: Endpoint
    protocol: RemoteProtocol
    described: Described
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype[Any]]
    columns: int | None = None
    labels: tuple[str, ...] = ()
    mirror: ScoreKind | None = None

    def scores(self, rows: Mapping[str, Array], count: int) -> Exchange[Array]:
        """(count, outputs) of arrays with at least as many rows. Raises ModelOutputInvalid."""
        asked = len(next(iter(rows.values())))
        answer = yield from self.protocol.ask(self.endpoint, self.described, rows)
        return mirrored(checked(answer, asked, self.columns, self.labels)[:count], self.mirror)


class RemoteRunner:
    """Implements `serving.lane.Runner`. room: of all runners of this endpoint."""

    def __init__(self, asked: Asked, sender: Sender, room: Room) -> None:
        self._asked = asked
        self._sender = sender
        self._room = room
        self._row_bytes = 0  # of the rows that came last; 0: none yet
        self._closed = False

    @property
    def replicas(self) -> int:
        """More than calls at once: while those are under way, the next ones are written down already."""
        slots = max(1, self._asked.endpoint.limits.concurrency)
        return slots + -(-slots // SLOTS_PER_READY)

    @property
    def most_rows(self) -> int:
        """Rows of one call, as far as it is known: bytes count once rows were seen."""
        return self._most_rows(self._row_bytes)

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        """The scores, (n, outputs), in as many calls as it takes.

        Raises what `Sender.run` and `validate.checked` do.
        """
        if self._closed:
            raise ModelFailed("the endpoint was let go while rows were waiting for it; ask again")
        rows = built(self._asked, slices)
        total = sum(len(one.at) for one in slices)
        each = self._row_bytes = max(1, self._asked.protocol.bytes_per_row(self._asked.described, rows))
        found: list[Array] = []
        done = 0
        while done < total:
            most = min(self._most_rows(each), pad_to or total)
            # Calls of one size rather than a small rest.
            count = -(-(total - done) // -(-(total - done) // most))
            part = {name: array[done : done + count] for name, array in rows.items()}
            scores = self._scores(padded(part, most) if pad_to else part, count, each, patience)
            if scores is not None:
                found.append(scores)
                done += count
        return (found[0] if len(found) == 1 else np.concatenate(found),)

    def close(self) -> None:
        """Take no more rows; calls under way still end."""
        self._closed = True

    def _most_rows(self, each: int) -> int:
        return self._room.rows_of(each) if self._asked.described.batched else 1

    def _scores(self, rows: Mapping[str, Array], count: int, each: int, patience: Patience) -> Array | None:
        """None if these were too many for one call: the next ones are to be fewer."""
        sent = len(next(iter(rows.values())))
        try:
            return self._sender.run(lambda: self._asked.scores(rows, count), patience, sent)
        except EndpointRefused as refused:
            if refused.details.get("status") != str(TOO_LARGE) or sent == 1:
                raise
            self._room.refused(sent * each)
            return None


def built(asked: Asked, slices: Sequence[Slice]) -> dict[str, Array]:
    """(n, *shape) by input for all rows of the slices, in order."""
    total = sum(len(one.at) for one in slices)
    rows = {name: np.empty((total, *shape), asked.dtypes[name]) for name, shape in asked.shapes.items()}
    start = 0
    for one in slices:
        one.rows.write(one.at, {name: array[start:] for name, array in rows.items()})
        start += len(one.at)
    return rows


def padded(rows: Mapping[str, Array], width: int) -> dict[str, Array]:
    """The same rows and copies of the last one, `width` in all."""
    at = {name: np.minimum(np.arange(width), len(array) - 1) for name, array in rows.items()}
    return {name: array[at[name]] for name, array in rows.items()}
