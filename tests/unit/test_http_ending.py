"""The end of a server: every call's time limit comes at once, and none that was there before is disturbed."""

from __future__ import annotations

import asyncio

import pytest

from whybox_server.http.ending import IN_SCOPE, Ending, ending_of


async def call(ending: Ending, began: asyncio.Event, seconds: float | None = None) -> str:
    """Waits for ever within its limit."""
    try:
        async with asyncio.timeout(seconds) as limit:
            with ending.counted(limit):
                began.set()
                await asyncio.Event().wait()
    except TimeoutError:
        return "ended"
    raise AssertionError("it waits for ever")


async def begun(ending: Ending, seconds: float | None = None) -> asyncio.Task[str]:
    began = asyncio.Event()
    task = asyncio.create_task(call(ending, began, seconds))
    await began.wait()
    return task


async def test_what_runs_and_what_comes_later_is_ended():
    ending = Ending()
    running = [await begun(ending), await begun(ending, seconds=60)]
    assert not any(task.done() for task in running)
    ending.end()
    assert await asyncio.gather(*running, await begun(ending)) == ["ended"] * 3


async def test_a_deadline_that_has_just_come_is_not_moved():
    """asyncio lets nobody move a limit that has come; the others are ended all the same."""
    ending = Ending()
    late, other = await begun(ending, seconds=60), await begun(ending)
    [limit] = [one for one in ending._running if one.when() is not None]
    limit.reschedule(0)
    await asyncio.sleep(0)
    assert limit.expired()
    ending.end()
    assert await asyncio.gather(late, other) == ["ended"] * 2


async def test_what_is_done_is_forgotten():
    ending = Ending()
    async with asyncio.timeout(None) as limit:
        with ending.counted(limit):
            pass
        ending.end()
        await asyncio.sleep(0)
    assert not limit.expired()


@pytest.mark.parametrize("scope", [{}, {IN_SCOPE: None}])
def test_an_app_without_our_server_never_ends(scope):
    assert not ending_of(scope).over
