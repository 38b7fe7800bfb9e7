"""What is worth keeping between explanations of one model, such as statistics of its background.

A memo belongs to whoever has the lifetime (the engine keeps one per model) and travels in the spec.
It knows nothing of what it keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

V = TypeVar("V")

MOST_ENTRIES = 8  # a background has one or two; the rest is for those that callers send


@dataclass(frozen=True, slots=True, eq=False)
class Memo:
    """Values by the digest of everything they depend on; the oldest goes when there are too many.

    Two threads that miss at once both compute, and one of the equal values stays.
    """

    _kept: dict[bytes, Any] = field(default_factory=dict)

    def get(self, key: bytes, make: Callable[[], V]) -> V:
        """The value of `key`, made now if it is not there."""
        if key in self._kept:
            value: V = self._kept[key]
            return value
        self._kept[key] = value = make()
        for old in list(self._kept)[:-MOST_ENTRIES]:
            self._kept.pop(old, None)
        return value
