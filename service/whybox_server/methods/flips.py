"""The smallest set of segments whose removal flips the decision, by greedy or beam search.

Every segment alone is known before. The order of their effects gives a first set in one query; the
search then looks for smaller ones only, and what it finds is thinned out until every segment of it is
needed. The value of a set is the margin of the decision without it: negative means flipped.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum

from whybox_server.core.explanation import FlipSet
from whybox_server.core.query import Query, Reply
from whybox_server.methods.subsets import Sets, Subset

Path = tuple[int, ...]  # segments in the order of removal


class FlipSearch(Enum):
    """How the set is looked for."""

    GREEDY = "greedy"
    BEAM = "beam"
    NONE = "none"


def most_sets(segments: int, beam: int, most: int) -> int:
    """Sets that `flip_set` asks at most, those of one segment not counted."""
    prefixes = most - 1
    expanded = sum(min(beam, segments) * (segments - size) for size in range(1, most))
    put_back = sum(range(2, most + 1))
    return prefixes + expanded + put_back


def flip_set(sets: Sets, beam: int, most: int) -> Generator[Query, Reply, tuple[FlipSet, tuple[str, ...]]]:
    """A set of at most `most` segments without which the decision is another one, and doubts about it.

    The instance and every segment alone must have been asked. No segment of the set can be put back
    without losing the flip, unless the budget ended. Without a flip it is the set that came nearest.
    """
    segments = range(sets.hiding.count)
    order = ranked(sets, [(segment,) for segment in segments if frozenset({segment}) in sets.values])
    path: Path | None = order[0]
    if not flipped(sets, order[0]):
        path = yield from shortest_prefix(sets, tuple(segment for (segment,) in order), most)
        if not sets.constant:
            smaller = yield from beam_search(sets, order[:beam], len(path) - 1 if path else most)
            path = smaller or path
        path = (yield from thinned(sets, path)) if path else None
    rank = {segment: place for place, (segment,) in enumerate(order)}
    final = path or tuple(sorted(nearest(sets), key=lambda segment: rank[segment]))
    found = FlipSet(final, path is not None, sets.scores[frozenset(final)])
    return found, doubts(sets, found, most)


def flipped(sets: Sets, path: Path) -> bool:
    """Whether the decision is known to be another one without these segments."""
    return sets.values.get(frozenset(path), 0.0) < 0


def ranked(sets: Sets, paths: list[Path]) -> list[Path]:
    """Those that are known, the smallest margin first, one for each set; ties go to lower numbers."""
    known = {frozenset(path): path for path in reversed(paths) if frozenset(path) in sets.values}
    return sorted(known.values(), key=lambda path: (sets.values[frozenset(path)], path))


def nearest(sets: Sets) -> Subset:
    """The smallest of the sets with the smallest margin."""
    return min(sets.values, key=lambda subset: (sets.values[subset], len(subset), sorted(subset)))


def shortest_prefix(sets: Sets, order: Path, most: int) -> Generator[Query, Reply, Path | None]:
    """The fewest first segments of `order` that flip, looked for in blocks of doubling length."""
    start = 2
    while start <= most and not sets.spent:
        block = [order[:size] for size in range(start, min(2 * start, most + 1))]
        yield from sets.ask(map(frozenset, block))
        for path in block:
            if flipped(sets, path):
                return path
        start *= 2
    return None


def beam_search(sets: Sets, paths: list[Path], most: int) -> Generator[Query, Reply, Path | None]:
    """Adds a segment to each path until one of at most `most` segments flips; all but the best are dropped.

    Ends too when whatever is added makes the decision firmer. A beam of one is greedy search.
    """
    beam = len(paths)
    while paths and len(paths[0]) < most and not sets.spent:
        margin = sets.values[frozenset(paths[0])]
        wider = [
            (*path, segment) for path in paths for segment in range(sets.hiding.count) if segment not in path
        ]
        yield from sets.ask(map(frozenset, wider))
        paths = ranked(sets, wider)[:beam]
        if paths and flipped(sets, paths[0]):
            return paths[0]
        if paths and sets.values[frozenset(paths[0])] > margin + sets.noise:
            break
    return None


def thinned(sets: Sets, path: Path) -> Generator[Query, Reply, Path]:
    """Puts segments back, one after the other, as long as the decision stays flipped."""
    while len(path) > 1:
        fewer = [path[:at] + path[at + 1 :] for at in range(len(path))]
        if not sets.spent:
            yield from sets.ask(map(frozenset, fewer))
        best = ranked(sets, fewer)[:1]
        if not best or not flipped(sets, best[0]):
            break
        path = best[0]
    return path


def doubts(sets: Sets, found: FlipSet, most: int) -> tuple[str, ...]:
    """What a reader must know of the set."""
    if sets.spent:
        outcome = "a smaller set may do" if found.flipped else "the set is the one that came nearest"
        warning = (
            f"the budget ended the search for a flip after {len(sets.values)} rows: {outcome}; "
            "raise max_queries or the deadline"
        )
        return (warning,)
    if found.flipped:
        return ()
    if sets.constant:
        return ("the decision is as firm as before whatever is erased; another baseline may show more",)
    return (f"none of the sets of at most {most} segments that were tried flips the decision",)
