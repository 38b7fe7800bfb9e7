"""How a batch is filled: how large, from whom, and what they are charged for it.

Flows take turns by virtual time, device seconds used / weight (VTC, Sheng et al. 2024, algorithm 2):
the smallest counter is served next. Called by `schedule` once a batch may leave; pure like it.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heapreplace

from whybox_server.serving.batch.track import Batch, Piece, Place, Track, lead, settle

LEAST_QUANTUM = 4  # rows a flow takes at a time when a batch is filled
WHOLE = 4  # a block of up to 1 / 4 of the batch is not cut: its owner would wait for two calls
UNKNOWN_S = 1e-3  # a row's time before the first call was measured; corrected when it has been


def cut(track: Track, now: float) -> Batch:
    """Take the next batch out of the queue and charge it, by estimate."""
    device, cost = track.device, track.cost
    device.floor = max(device.floor, lead(track))
    size = batch_size(track)
    each = (cost.seconds(size) or UNKNOWN_S * size) / size
    shares = share_out(track, size, each)
    track.busy += 1
    device.busy += 1
    pieces = tuple(piece for place, rows in shares.items() for piece in take(place, rows, now))
    estimates = tuple((place, rows * each) for place, rows in shares.items())
    return Batch(track, pieces, size, max(size, cost.target), estimates)


def batch_size(track: Track) -> int:
    """The target; or less, so that what is left keeps all free replicas busy and ends at once."""
    cost, ready = track.cost, track.ready
    if cost.probe is not None and ready >= cost.probe * track.width:
        size, cost.probe = cost.probe, None
        return size
    left = sum(place.untaken for place in track.places)
    if left >= cost.target * track.width or cost.exploring:
        return min(cost.target, ready)
    free = min(track.device.slots - track.device.busy, track.width - track.busy)
    return min(-(-left // cost.parts(left, max(free, 1))), ready, cost.target)


def share_out(track: Track, size: int, each: float) -> dict[Place, int]:
    """Who gets how many of `size` rows: the smallest counter first, a quantum at a time."""
    waiting = [(p.flow.virtual_s, number, p) for number, p in enumerate(track.places) if p.untaken]
    heapify(waiting)
    quantum = max(LEAST_QUANTUM, size // len(waiting))
    whole = size // WHOLE
    shares: dict[Place, int] = {}
    left = size
    while left:
        _, number, place = waiting[0]
        had = shares.get(place, 0)
        rows = min(max(quantum, small_rest(place, had, whole)), left, place.ready - had)
        shares[place] = had + rows
        place.flow.virtual_s += rows * each / place.flow.weight
        left -= rows
        if had + rows < place.ready:
            heapreplace(waiting, (place.flow.virtual_s, number, place))
        else:
            heappop(waiting)
    return shares


def small_rest(place: Place, had: int, limit: int) -> int:
    """What is left of the first block, if none of it is in this batch yet and it is small; else 0."""
    rest = place.blocks[0].rows - place.blocks[0].taken
    return rest if not had and rest <= limit else 0


def take(place: Place, rows: int, now: float) -> Iterator[Piece]:
    """The next rows of a place, first come, first served."""
    place.queue(-rows)
    place.running += rows
    settle(place, now)
    while rows:
        block = place.blocks[0]
        lo, hi = block.taken, min(block.taken + rows, block.rows)
        block.taken = hi
        rows -= hi - lo
        if hi == block.rows:
            place.blocks.popleft()
        yield Piece(block, lo, hi)
