"""The answers asked for last, in this process, bounded in bytes; some of them in time, too.

It holds records (see codec.py) by identity and knows nothing of what they mean. Used on the event
loop only, so that it needs no lock.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

ENTRY_OVERHEAD_BYTES = 260  # measured: key object, record object, its share of the table and the list
LARGEST_SHARE = 8  # a record above 1/8 of the bound would push too many others out


class Lru:
    """Records by identity; every operation is O(1) per row."""

    def __init__(self, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._bytes = 0
        self._records: OrderedDict[bytes, bytes] = OrderedDict()
        self._expires: dict[bytes, float] = {}  # of those that are not kept for ever

    def __len__(self) -> int:
        return len(self._records)

    @property
    def used_bytes(self) -> int:
        """Bytes in use, overhead included."""
        return self._bytes

    def get_many(self, identities: Sequence[bytes]) -> list[bytes | None]:
        """What is known of these rows, in order; what is found counts as just used."""
        if self._expires:
            self._forget_expired(identities)
        found = list(map(self._records.get, identities))
        used = self._records.move_to_end
        for identity, record in zip(identities, found, strict=True):
            if record is not None:
                used(identity)
        return found

    def put_many(
        self, identities: Iterable[bytes], records: Iterable[bytes], ttl_s: float | None = None
    ) -> None:
        """Keep records, for `ttl_s` at most, then let go of the least recently used until the bound holds."""
        largest = self._limit_bytes // LARGEST_SHARE
        expires = None if ttl_s is None else self._clock() + ttl_s
        table, grown = self._records, 0
        for identity, record in zip(identities, records, strict=True):
            old = table.pop(identity, None)
            if old is not None:
                grown -= len(old) + ENTRY_OVERHEAD_BYTES
            cost = len(record) + ENTRY_OVERHEAD_BYTES
            if cost <= largest:
                table[identity] = record
                grown += cost
                if expires is not None:
                    self._expires[identity] = expires
        self._bytes += grown
        while self._bytes > self._limit_bytes:
            identity, gone = table.popitem(last=False)
            self._bytes -= len(gone) + ENTRY_OVERHEAD_BYTES
            self._expires.pop(identity, None)

    def _forget_expired(self, identities: Iterable[bytes]) -> None:
        now = self._clock()
        for identity in identities:
            if self._expires.get(identity, now) < now:
                del self._expires[identity]
                gone = self._records.pop(identity, None)
                self._bytes -= 0 if gone is None else len(gone) + ENTRY_OVERHEAD_BYTES
