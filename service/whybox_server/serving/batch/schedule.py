"""Which rows go to the model next: a state machine with no clock, loop, thread or model in it.

Events are method calls that carry the time; `plan` answers with the batches to run now and the time
at which to ask again. Every promise of the batcher is decided here: when a batch leaves, who is in
it, how large it is, and what it costs whom. It knows how many rows a block has, never the rows.

A batch leaves when a replica is free and the target size is reached, or nobody in the lane can still
produce rows (explanations are closed loops: who waits for answers asks nothing), or the oldest block
has waited `max_delay_s`. An explanation that has been silent that long counts as unable, too: it is
busy elsewhere, or the cache answers it.

Lanes of one device compete by their flows' virtual time (see `fill`): the lane of the smallest counter
goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from whybox_server.serving.batch.cost import Cost
from whybox_server.serving.batch.fill import cut
from whybox_server.serving.batch.track import Batch, Block, Device, Place, Track, has_slot, lead, settle
from whybox_server.serving.lane import Flow, Lane


class Plan(NamedTuple):
    """What to do: batches to run, and when to ask again if nothing happens before (None: never)."""

    batches: list[Batch]
    wake_at: float | None


class Schedule:
    """All lanes and flows of a batcher. `depth` calls per slot are handed over, all but one prepared."""

    def __init__(self, *, max_delay_s: float, window_rows: int, depth: int) -> None:
        self.max_delay_s = max_delay_s
        self.window_rows = window_rows
        self.depth = depth
        self.tracks: dict[bytes, Track] = {}

    def open(self, now: float, lane: Lane, flow: Flow, device: Device, cost: Cost) -> Place:
        """A flow arrives; `device` and `cost` count if it is the first one in its lane."""
        track = self.tracks.get(lane.name)
        if track is None:
            track = self.tracks[lane.name] = Track(lane, device, cost)
        place = Place(track, flow, self.window_rows, idle_since=now)
        track.places.append(place)
        return place

    def submit(self, now: float, place: Place, rows: int) -> Block:
        """A flow asks for `rows` rows, at least 1."""
        if not place.unanswered:
            lift(self, place)
        block = Block(place, rows, now, unanswered=rows)
        place.blocks.append(block)
        place.queue(rows)
        place.unanswered += rows
        settle(place, now)
        return block

    def answered(self, now: float, block: Block, rows: int) -> bool:
        """So many rows of a block have their answers; True if that was the last of them."""
        if not block.live:
            return False
        block.unanswered -= rows
        block.place.unanswered -= rows
        block.live = block.unanswered > 0
        settle(block.place, now)
        return not block.live

    def drop(self, now: float, block: Block) -> None:
        """Nobody waits for this block any more: what is queued leaves, what runs is not delivered."""
        if not block.live:
            return
        place, untaken = block.place, block.rows - block.taken
        block.live = False
        if untaken:
            place.blocks.remove(block)
            place.queue(-untaken)
        place.unanswered -= block.unanswered
        settle(place, now)

    def close(self, now: float, place: Place) -> None:
        """The flow is over; blocks that are still waited for must have been dropped."""
        if not place.open:
            return
        place.open = False
        place.track.places.remove(place)
        settle(place, now)
        self._forget(place.track)

    def finished(self, batch: Batch, now: float, seconds: Sequence[float | None], *, clean: bool) -> None:
        """A call is over. seconds: (pieces,), each one's share, None if it was not run any more.

        clean: the model was called exactly once, so that the time says what such a call costs.
        """
        track = batch.track
        track.device.busy -= 1
        track.busy -= 1
        ran, served = 0, set[Place]()
        for place, estimate in batch.estimates_s:
            place.flow.virtual_s -= estimate / place.flow.weight
        for piece, share in zip(batch.pieces, seconds, strict=True):
            rows, place = piece.hi - piece.lo, piece.block.place
            place.running -= rows
            settle(place, now)
            if share is not None:
                ran += rows
                charge(place.flow, share, rows)
                served.add(place)
        for place in served:
            place.flow.usage.batches += 1
            place.flow.usage.fill_sum += batch.rows / batch.target
        if clean and ran:
            track.cost.record(ran, sum(filter(None, seconds)))
        self._forget(track)

    def plan(self, now: float) -> Plan:
        """Batches that leave now."""
        batches: list[Batch] = []
        while (track := self._next(now)) is not None:
            batches.append(cut(track, now))
        return Plan(batches, self._wake_at())

    def _next(self, now: float) -> Track | None:
        """The lane of the flow with the smallest counter, among lanes from which a batch may leave."""
        able = [track for track in self.tracks.values() if self._may_go(track, now)]
        return min(able, key=lead, default=None)

    def _may_go(self, track: Track, now: float) -> bool:
        if not track.ready:
            return False
        if has_slot(track):
            return track.ready >= track.cost.target or now >= self._due_at(track)
        # A prepared batch saves the hand-over between two calls, but what is prepared cannot be
        # shared out any more: only where there is plenty, and only where every thread may run it.
        # Calls that go elsewhere take long, so that the time they would save is no gain.
        if track.lane.remote:
            return False
        device, most = track.device, track.device.slots * self.depth
        plenty = track.ready >= track.cost.target * track.width
        return plenty and track.width == device.slots and device.busy < most

    def _due_at(self, track: Track) -> float:
        """When waiting ends: the oldest block is due, or the last possible producer has been silent."""
        oldest = min(place.blocks[0].since for place in track.places if place.blocks)
        silent = max((p.idle_since for p in track.places if p.idle_since is not None), default=-inf)
        return min(oldest, silent) + self.max_delay_s

    def _wake_at(self) -> float | None:
        waiting = (track for track in self.tracks.values() if track.ready and has_slot(track))
        return min(map(self._due_at, waiting), default=None)

    def _forget(self, track: Track) -> None:
        if not track.places and not track.busy and self.tracks.get(track.lane.name) is track:
            del self.tracks[track.lane.name]


def lift(schedule: Schedule, newcomer: Place) -> None:
    """Counter lift: who was idle neither has hoarded a claim nor is punished for the past."""
    device = newcomer.track.device
    served = (
        place.flow.virtual_s
        for track in schedule.tracks.values()
        if track.device is device
        for place in track.places
        if place.unanswered and place.flow is not newcomer.flow
    )
    newcomer.flow.virtual_s = max(newcomer.flow.virtual_s, min(served, default=device.floor))


def charge(flow: Flow, seconds: float, rows: int) -> None:
    flow.virtual_s += seconds / flow.weight
    flow.usage.model_s += seconds
    flow.usage.rows_sent += rows
