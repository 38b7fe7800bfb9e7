"""Costly things that are shared: made once, kept while used, let go when there is no room."""

from __future__ import annotations

import asyncio

import pytest

from whybox_server.engine.kept import Kept


class Thing:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


async def made() -> Thing:
    await asyncio.sleep(0)
    return Thing()


async def test_those_who_come_together_get_one_thing() -> None:
    """Ten callers, one making."""
    kept: Kept[Thing] = Kept(10)
    makings = []

    async def make() -> Thing:
        makings.append(1)
        return await made()

    async def ask() -> Thing:
        async with kept.use("a", make, 1) as thing:
            await asyncio.sleep(0)
            return thing

    things = await asyncio.gather(*(ask() for _ in range(10)))
    assert len(makings) == 1
    assert len(set(map(id, things))) == 1
    assert kept.peek("a") is things[0]


async def test_the_first_who_leaves_takes_nothing_from_the_others() -> None:
    """He is cancelled while it is made; who waits beside him gets it."""
    kept: Kept[Thing] = Kept(10)
    go = asyncio.Event()

    async def make() -> Thing:
        await go.wait()
        return Thing()

    async def ask() -> Thing:
        async with kept.use("a", make, 1) as thing:
            return thing

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert (await second).closed == 0
    assert first.cancelled() or first.done()


async def test_what_failed_is_not_kept() -> None:
    """The next one tries again."""
    kept: Kept[Thing] = Kept(10)

    async def fails() -> Thing:
        raise OSError("not now")

    with pytest.raises(OSError, match="not now"):
        async with kept.use("a", fails, 1):
            raise AssertionError("unreachable")
    assert kept.peek("a") is None
    async with kept.use("a", made, 1) as thing:
        assert thing.closed == 0


async def test_the_longest_unused_goes_first_and_what_is_used_stays() -> None:
    """Room for two of three; one of them is in use."""
    kept: Kept[Thing] = Kept(2)
    async with kept.use("used", made, 1) as used:
        async with kept.use("old", made, 1) as old:
            pass
        async with kept.use("new", made, 1) as new:
            pass
        assert (used.closed, old.closed, new.closed) == (0, 1, 0)
    kept.forget(lambda key: key == "new")
    assert (used.closed, new.closed) == (0, 1)
    kept.close()
    assert used.closed == 1
