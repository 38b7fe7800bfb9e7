"""What the schedule keeps: devices, lanes at work, flows' places in them, blocks, batches.

Plain state; the rules that change it are in `schedule` and `fill`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from whybox_server.serving.batch.cost import Cost
from whybox_server.serving.lane import Flow, Lane


@dataclass(slots=True, eq=False)
class Device:
    """Something that runs `slots` calls at once, whatever lanes they come from."""

    slots: int
    busy: int = 0  # calls dispatched and not finished; above `slots` they are prepared
    floor: float = 0.0  # virtual time that every served flow has reached


@dataclass(slots=True, eq=False)
class Track:
    """A lane at work."""

    lane: Lane
    device: Device
    cost: Cost
    places: list[Place] = field(default_factory=list)
    busy: int = 0
    ready: int = 0  # rows that a batch may take: the sum over its places

    @property
    def width(self) -> int:
        """Calls of this lane at once."""
        return min(self.lane.runner.replicas, self.device.slots)


@dataclass(slots=True, eq=False)
class Place:
    """One flow's place in one lane."""

    track: Track
    flow: Flow
    window: int
    idle_since: float | None  # since when nothing of it is unanswered; None if something is
    blocks: deque[Block] = field(default_factory=deque)  # with rows not taken yet, in order
    untaken: int = 0
    running: int = 0  # rows in batches
    unanswered: int = 0  # rows somebody waits for
    stuck_since: float | None = None  # since when rows wait and none runs
    open: bool = True

    @property
    def ready(self) -> int:
        """Rows in the queue: the first `window` ones; the others await credit."""
        return min(self.untaken, self.window)

    def queue(self, rows: int) -> None:
        """So many rows came; negative: left, or were taken."""
        before = self.ready
        self.untaken += rows
        self.track.ready += self.ready - before


@dataclass(slots=True, eq=False)
class Block:
    """Rows that were submitted together. Rows [0, taken) are in batches or answered."""

    place: Place
    rows: int
    since: float
    unanswered: int
    taken: int = 0
    live: bool = True  # False: nobody waits any more; read by worker threads, too


class Piece(NamedTuple):
    """Rows [lo, hi) of a block."""

    block: Block
    lo: int
    hi: int


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows of one model call. estimates_s: what each place was charged, until the time is known."""

    track: Track
    pieces: tuple[Piece, ...]
    rows: int
    target: int
    estimates_s: tuple[tuple[Place, float], ...]


def has_slot(track: Track) -> bool:
    """True if a call of this lane would run at once."""
    return track.device.busy < track.device.slots and track.busy < track.width


def lead(track: Track) -> float:
    """The smallest counter among the flows with rows in this lane."""
    return min(place.flow.virtual_s for place in track.places if place.untaken)


def settle(place: Place, now: float) -> None:
    """Bring up to date since when a place is idle, and how long its rows waited with none running."""
    if place.unanswered:
        place.idle_since = None
    elif place.idle_since is None:
        place.idle_since = now
    stuck = place.untaken > 0 and place.running == 0
    if stuck and place.stuck_since is None:
        place.stuck_since = now
    elif not stuck and place.stuck_since is not None:
        place.flow.usage.queued_s += now - place.stuck_since
        place.stuck_since = None
