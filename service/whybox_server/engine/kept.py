"""Things that are costly to make, shared by all who ask for them, and let go of when nobody does.

What is made is loaded models and opened endpoints; this file knows neither. Nothing half-made is kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


@dataclass(slots=True, eq=False)
class Held(Generic[T]):
    """One thing, and how many use it."""

    making: asyncio.Task[T]
    size: int
    users: int = 0


@dataclass(slots=True, eq=False)
class Kept(Generic[T]):
    """Things by key. Belongs to one event loop. room: sum of the sizes; what nobody uses goes first."""

    room: int
    _held: OrderedDict[Hashable, Held[T]] = field(default_factory=OrderedDict)

    @asynccontextmanager
    async def use(
        self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]], size: int
    ) -> AsyncIterator[T]:
        """The thing under this key, made now if it is not there; it stays while the context is open.

        Raises what `make` raises, to everybody who waits for it.
        """
        held = self._held.get(key)
        if held is None:
            # A task of its own: whoever asked first may leave, others still wait for it.
            held = self._held[key] = Held(asyncio.create_task(make()), size)
        self._held.move_to_end(key)
        held.users += 1
        try:
            thing = await asyncio.shield(held.making)
            self._make_room()
            yield thing
        finally:
            held.users -= 1
            failed = held.making.done() and (held.making.cancelled() or held.making.exception())
            if failed and self._held.get(key) is held:
                del self._held[key]

    def peek(self, key: Hashable) -> T | None:
        """The thing, if it is made already."""
        held = self._held.get(key)
        return None if held is None or not _made(held) else held.making.result()

    def forget(self, mean: Callable[[Hashable], bool]) -> None:
        """Let go of all whose keys are meant, used or not."""
        for key in [key for key in self._held if mean(key)]:
            self._release(key)

    def close(self) -> None:
        self.forget(lambda _key: True)

    def _make_room(self) -> None:
        """Let go of the longest unused until the rest fits."""
        idle = [key for key, held in self._held.items() if not held.users]
        for key in idle:
            if sum(held.size for held in self._held.values()) <= self.room:
                return
            self._release(key)

    def _release(self, key: Hashable) -> None:
        held = self._held.pop(key)
        if _made(held):
            held.making.result().close()
        held.making.cancel()


def _made(held: Held[Any]) -> bool:
    task = held.making
    return task.done() and not task.cancelled() and task.exception() is None
