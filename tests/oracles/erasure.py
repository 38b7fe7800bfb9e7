"""Erasure, slowly: one segment left out after the other, and every set looked at for a flip."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from whybox_server.core.rows import Array

Scores = Callable[[frozenset[int]], Array]  # (outputs,) without these segments


def left_out(scores: Scores, segments: int, output: int) -> list[float]:
    """What one output loses when each segment is erased alone."""
    whole = scores(frozenset())[output]
    return [float(whole - scores(frozenset({segment}))[output]) for segment in range(segments)]


def flips(scores: Scores, erased: frozenset[int]) -> bool:
    """Whether the largest output is another one."""
    return int(np.argmax(scores(erased))) != int(np.argmax(scores(frozenset())))


def smallest_flip(scores: Scores, segments: int) -> int | None:
    """Size of the smallest set that flips, by enumeration of all; None if there is none."""
    for size in range(1, segments + 1):
        if any(flips(scores, frozenset(subset)) for subset in itertools.combinations(range(segments), size)):
            return size
    return None
