"""The answers asked for last, in this process, bounded in bytes.

It holds records (see codec.py) by identity and knows nothing of what they mean. Used on the event
loop only, so that it needs no lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

ENTRY_OVERHEAD_BYTES = 260  # measured: key object, record object, its share of the table and the list
LARGEST_SHARE = 8  # a record above 1/8 of the bound would push too many others out


class Lru:
    """Records by identity; every operation is O(1) per row."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._records: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def used_bytes(self) -> int:
        """Bytes in use, overhead included."""
        return self._bytes

    def get_many(self, identities: Sequence[bytes]) -> list[bytes | None]:
        """What is known of these rows, in order; what is found counts as just used."""
        found = list(map(self._records.get, identities))
        used = self._records.move_to_end
        for identity, record in zip(identities, found, strict=True):
            if record is not None:
                used(identity)
        return found

    def put_many(self, identities: Iterable[bytes], records: Iterable[bytes]) -> None:
        """Keep records, then let go of the least recently used until the bound holds."""
        largest = self._limit_bytes // LARGEST_SHARE
        table, grown = self._records, 0
        for identity, record in zip(identities, records, strict=True):
            old = table.pop(identity, None)
            if old is not None:
                grown -= len(old) + ENTRY_OVERHEAD_BYTES
            cost = len(record) + ENTRY_OVERHEAD_BYTES
            if cost <= largest:
                table[identity] = record
                grown += cost
        self._bytes += grown
        while self._bytes > self._limit_bytes:
            _, gone = table.popitem(last=False)
            self._bytes -= len(gone) + ENTRY_OVERHEAD_BYTES
