"""Where one explanation asks: every query goes past all that is known already, and on to the model.

    same row in the query -> this process's LRU -> in flight for another explanation -> Redis -> door

It streams: a long query is worked on in blocks, few at a time. It does not count a budget, and knows
no model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from whybox_server.core.errors import RowsError
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array, Rows
from whybox_server.serving.cache.codec import Layout, Ragged, layout_of, pack, unpack
from whybox_server.serving.cache.counters import Counters
from whybox_server.serving.cache.inflight import Flight, Flights
from whybox_server.serving.cache.keys import Namer, distinct
from whybox_server.serving.cache.lru import Lru
from whybox_server.serving.cache.sheet import Sheet
from whybox_server.serving.cache.store import Store
from whybox_server.serving.lane import Answers, Flow, Lane

BLOCKS_AT_ONCE = 4
BLOCK_ROWS = 512
BLOCK_BYTES = 1 << 20  # of answers: what Redis sends well within its time, and little enough to hold
LEAST_ROWS = 32  # however large an answer is, the model is not to starve
FIRST_ROWS = 64  # while the size of an answer is not known
CALLS_AHEAD = 2  # per slot of an endpoint: one that is under way, and the next


class Door(Protocol):
    """The way to the model for one explanation."""

    async def submit(self, rows: Rows) -> Answers:
        """Answers, (n, ...) each, new arrays. Cancelling gives the rows up."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """What all desks of a cache share."""

    lru: Lru
    flights: Flights
    store: Store | None
    namer: Namer
    counters: Counters
    pool: Executor | None  # where rows are hashed; None is the event loop's own


class Desk:
    """Answers the queries of one explanation in one lane; a `core.query.Predictor`."""

    def __init__(self, layers: Layers, door: Door, lane: Lane, flow: Flow, *, enabled: bool) -> None:
        self._layers = layers
        self._door = door
        self._fingerprint = lane.fingerprint
        self._fields = lane.answers
        self._first_rows = first_rows(lane)
        self._usage = flow.usage
        self._enabled = enabled
        self._ttl_s = lane.ttl_s
        self._record_bytes = 0  # of this lane's last answer; 0: none yet

    def close(self) -> None:
        """Give the door back."""
        self._door.close()

    async def predict(self, query: Query) -> Reply:
        """Answer all rows of a query; the lane was chosen to fit what it wants.

        Raises what the door raises for this explanation's own rows.
        """
        loop = asyncio.get_running_loop()
        asked = await loop.run_in_executor(self._layers.pool, distinct, self._fingerprint, query.rows)
        sheet = Sheet(query.rows, asked, self._usage, self._fields)
        try:
            await self._answer(sheet, known=self._enabled)
        except Ragged:
            if not self._enabled:
                raise
            # Something known from before does not look like the rest. Only the model can tell what is
            # right, and what it says replaces what was known.
            self._layers.counters.errors["layout"] += 1
            self._usage.rows_answered -= sheet.answered
            sheet = Sheet(query.rows, asked, self._usage, self._fields)
            await self._answer(sheet, known=False)
        return sheet.reply()

    async def _answer(self, sheet: Sheet, *, known: bool) -> None:
        """Fill a sheet, `BLOCKS_AT_ONCE` blocks at a time; from the model alone unless `known`."""
        if sheet.left <= self._block_rows():
            await self._work(sheet, known=known)
            return
        failures: list[Exception] = []
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(BLOCKS_AT_ONCE):
                    group.create_task(self._work(sheet, known=known))
        except* Exception as failed:  # noqa: BLE001  # raised again below, without the group around it
            failures.extend(failed.exceptions)
        if failures:
            raise failures[0]

    async def _work(self, sheet: Sheet, *, known: bool) -> None:
        while (at := sheet.next_block(self._block_rows())) is not None:
            if not self._enabled:
                await self._ask(sheet, at)
            elif not known:
                await self._ask_and_keep(sheet, at, sheet.identities(at))
            while known and len(at):
                at = await self._share(sheet, self._look_up(sheet, at))
            await asyncio.sleep(0)  # blocks that are all known would hold up the event loop otherwise

    def _block_rows(self) -> int:
        if not self._record_bytes:
            return self._first_rows
        return min(BLOCK_ROWS, max(LEAST_ROWS, BLOCK_BYTES // self._record_bytes))

    def _look_up(self, sheet: Sheet, at: Array) -> Array:
        """Fill in what the LRU knows; positions of the rest."""
        records = self._layers.lru.get_many(sheet.identities(at))
        hits, rest = self._fill(sheet, at, records)
        self._layers.counters.hits_lru += hits
        self._usage.rows_cached += hits
        return rest

    async def _share(self, sheet: Sheet, at: Array) -> Array:
        """Fetch rows nobody is fetching, then wait for those that others are; positions to try again."""
        identities = sheet.identities(at)
        free, taken = self._layers.flights.find(identities)
        if free and not taken:
            await self._lead(sheet, at, identities)
            return at[:0]
        if free:
            await self._lead(sheet, at[free], [identities[i] for i in free])
        again = [at[:0]]
        for flight, positions in taken.items():
            again.append(await self._join(sheet, at[positions], flight, [identities[i] for i in positions]))
        return np.concatenate(again)

    async def _join(self, sheet: Sheet, at: Array, flight: Flight, identities: list[bytes]) -> Array:
        records = await flight.records_of(identities)
        if records is None:
            return at
        hits, rest = self._fill(sheet, at, records)
        self._layers.counters.hits_flight += hits
        self._usage.rows_cached += hits
        return rest

    async def _lead(self, sheet: Sheet, at: Array, identities: list[bytes]) -> None:
        with self._layers.flights.lead(identities) as flight:
            store = self._layers.store
            if store is None or not store.up or self._record_bytes > store.largest_bytes:
                flight.land(await self._ask_and_keep(sheet, at, identities))
            else:
                flight.land(await self._fetch(store, sheet, at, identities))

    async def _fetch(
        self,
        store: Store,
        sheet: Sheet,
        at: Array,
        identities: list[bytes],
    ) -> list[bytes]:
        """Records from the store, and from the model what it lacks."""
        tags = self._layers.namer.tags(identities)
        records = await store.read(tags)
        lacking = [i for i, record in enumerate(records) if record is None]
        if len(lacking) < len(records):
            found = [(key, record) for key, record in zip(identities, records, strict=True) if record]
            if self._ttl_s is None:  # else it is not known here how old they are
                keys, kept = zip(*found, strict=True)
                self._layers.lru.put_many(keys, kept)
            self._usage.rows_cached += self._fill(sheet, at, records)[0]
        if lacking:
            fresh = await self._ask_and_keep(sheet, at[lacking], [identities[i] for i in lacking])
            store.offer([tags[i] for i in lacking], fresh, self._ttl_s)
            for i, record in zip(lacking, fresh, strict=True):
                records[i] = record
        return [record for record in records if record is not None]

    async def _ask_and_keep(self, sheet: Sheet, at: Array, identities: Sequence[bytes]) -> list[bytes]:
        layout, answers = await self._ask(sheet, at)
        records = pack(layout, answers)
        self._layers.counters.misses += len(records)
        self._layers.lru.put_many(identities, records, self._ttl_s)
        return records

    async def _ask(self, sheet: Sheet, at: Array) -> tuple[Layout, Answers]:
        try:
            answers = await self._door.submit(sheet.rows(at))
        except RowsError as error:
            if not error.rows:
                raise
            raise error.moved(sheet.places(at).tolist()) from error
        layout = layout_of(answers, len(at))
        self._record_bytes = layout.record_bytes
        sheet.fill(at, layout, answers)
        return layout, answers

    def _fill(self, sheet: Sheet, at: Array, records: Sequence[bytes | None]) -> tuple[int, Array]:
        """Fill in the records there are; how many, and the positions of the others."""
        hits = [record for record in records if record is not None]
        if not hits:
            return 0, at
        known = np.fromiter((record is not None for record in records), bool, len(records))
        layout, answers = unpack(hits)
        self._record_bytes = layout.record_bytes
        sheet.fill(at[known], layout, answers)
        return len(hits), at[~known]


def first_rows(lane: Lane) -> int:
    """Rows of the first blocks. An endpoint has many slots, and its calls take long: none is to stand idle."""
    if not lane.remote:
        return FIRST_ROWS
    ahead = CALLS_AHEAD * lane.runner.replicas * lane.max_rows // BLOCKS_AT_ONCE
    return min(max(FIRST_ROWS, ahead), BLOCK_ROWS)
