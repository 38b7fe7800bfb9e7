"""Greedy choice of segments: the best addition again and again, plain or lazy.

Both never accept an addition that lowers the score, and with `fill` accept one that leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Generator

from whybox_server.core.query import Query, Reply
from whybox_server.methods.subsets import Sets

LOOK_AHEAD = 4  # additions that `lazy_greedy` asks at once: fewer rounds for about one row more each


def worth(gain: float, fill: bool) -> bool:
    """Whether an addition may be accepted."""
    return gain >= 0 if fill else gain > 0


def greedy(sets: Sets, segments: list[int], k: int, fill: bool) -> Generator[Query, Reply, list[int]]:
    """The best addition, k times, each round one query; ties go to the lower number.

    Nothing and every one of `segments` alone must be known.
    """
    path: list[int] = []
    while len(path) < k and not sets.spent:
        left = sorted(set(segments) - set(path))
        yield from sets.ask([frozenset([*path, segment]) for segment in left])
        gains = [
            (sets.gain(segment, path), -segment)
            for segment in left
            if frozenset([*path, segment]) in sets.values
        ]
        if not gains or not worth(max(gains)[0], fill):
            break
        path.append(-max(gains)[1])
    return path


def lazy_greedy(
    sets: Sets, segments: list[int], path: list[int], k: int, fill: bool
) -> Generator[Query, Reply, list[int]]:
    """Goes on from `path` to k segments; what `greedy` finds if f is submodular (Minoux 1978).

    What a segment once added to a smaller set bounds what it adds now, so only the most promising are
    asked again. Nothing, every one of `segments` alone, and `path` must be known.
    """
    path = list(path)
    bounds = {segment: sets.gain(segment) for segment in segments if segment not in path}
    fresh = set() if path else set(bounds)
    while len(path) < k and bounds:
        ranked = sorted(bounds, key=lambda segment: (-bounds[segment], segment))
        if not worth(bounds[ranked[0]], fill):
            break
        if ranked[0] in fresh:
            path.append(ranked[0])
            del bounds[ranked[0]]
            fresh = set()
            continue
        if sets.spent:
            break
        stale = [segment for segment in ranked if segment not in fresh][:LOOK_AHEAD]
        yield from sets.ask([frozenset([*path, segment]) for segment in stale])
        for segment in stale:
            if frozenset([*path, segment]) in sets.values:
                bounds[segment] = sets.gain(segment, path)
                fresh.add(segment)
    return path
