"""What the batcher says about itself: to admission, to plans, to metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from whybox_server.serving.batch.cost import Cost
from whybox_server.serving.batch.track import Track


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work that somebody waits for, over all lanes."""

    rows: int
    seconds: float  # predicted, with every replica busy; lanes that never ran count 0


@dataclass(frozen=True, slots=True)
class LaneStats:
    """One lane, for metrics. Unknown costs are None."""

    fingerprint: bytes
    flows: int
    rows_queued: int  # may be taken by the next batch
    rows_held: int  # wait for their flow's window
    calls_running: int
    calls: int  # since the lane was first seen
    target_rows: int
    exploring: bool
    seconds_per_row: float | None


def backlog(tracks: Iterable[Track]) -> Backlog:
    """What is waited for in all these lanes."""
    rows, seconds = 0, 0.0
    for track in tracks:
        left = sum(place.unanswered for place in track.places)
        rows += left
        seconds += (track.cost.seconds(left) or 0.0) / track.width
    return Backlog(rows, seconds)


def lane_stats(track: Track) -> LaneStats:
    """One lane, now."""
    return LaneStats(
        fingerprint=track.lane.fingerprint,
        flows=len(track.places),
        rows_queued=track.ready,
        rows_held=sum(place.untaken for place in track.places) - track.ready,
        calls_running=track.busy,
        calls=track.cost.calls,
        target_rows=track.cost.target,
        exploring=track.cost.exploring,
        seconds_per_row=row_seconds(track.cost, track.width),
    )


def row_seconds(cost: Cost, width: int) -> float | None:
    """Predicted wall time of a row when `width` calls of the target size run side by side; None: unknown."""
    seconds = cost.seconds(cost.target)
    return None if seconds is None else seconds / cost.target / width
