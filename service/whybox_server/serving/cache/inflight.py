"""Rows that somebody is asking at this moment, so that nobody else asks them too.

One explanation leads a flight; others wait for it to land. A flight that ends without records, for
whatever reason, hands nothing on: who waited asks again for itself, and fails or succeeds by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Flight:
    """Rows on their way to one explanation."""

    __slots__ = ("_ended", "_identities", "_records")

    def __init__(self, identities: Sequence[bytes]) -> None:
        self._identities = identities
        self._records: Sequence[bytes] | None = None
        self._ended = asyncio.Event()

    def land(self, records: Sequence[bytes]) -> None:
        """The records of all rows of the flight, in order."""
        self._records = records

    def end(self) -> None:
        """Wake those who wait, whether the flight has landed or not."""
        self._ended.set()

    async def records_of(self, identities: Sequence[bytes]) -> list[bytes] | None:
        """Wait for these rows; None if the flight was given up. Waiting can be cancelled freely."""
        await self._ended.wait()
        if self._records is None:
            return None
        known = dict(zip(self._identities, self._records, strict=True))
        return [known[identity] for identity in identities]


class Flights:
    """The table of flights: a row is in one flight at most."""

    def __init__(self) -> None:
        self._by_identity: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        """Rows in flight."""
        return len(self._by_identity)

    def find(self, identities: Sequence[bytes]) -> tuple[list[int], dict[Flight, list[int]]]:
        """Positions of the rows nobody is asking, and of the others by their flight."""
        if self._by_identity.keys().isdisjoint(identities):
            return list(range(len(identities))), {}
        free: list[int] = []
        taken: dict[Flight, list[int]] = {}
        for position, flight in enumerate(map(self._by_identity.get, identities)):
            if flight is None:
                free.append(position)
            else:
                taken.setdefault(flight, []).append(position)
        return free, taken

    @contextmanager
    def lead(self, identities: Sequence[bytes]) -> Iterator[Flight]:
        """Take rows that `find` called free just now, with no await in between."""
        flight = Flight(identities)
        self._by_identity.update(dict.fromkeys(identities, flight))
        try:
            yield flight
        finally:
            for identity in identities:
                del self._by_identity[identity]
            flight.end()
