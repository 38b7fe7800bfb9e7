"""Work that waits for servers elsewhere: where it runs, and when it hears that nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from whybox_server.engine.waiting import MOST_AT_ONCE, Waiting
from whybox_server.serving.lane import Patience

SOON_S = 20


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    found = Waiting()
    yield found
    found.close()


async def test_servers_that_hang_leave_the_loops_own_threads_alone(waiting: Waiting):
    """As many as there are threads for hang; what the event loop sends aside is done all the same."""
    over = threading.Event()
    hanging = [asyncio.create_task(waiting.done(lambda patience: over.wait(2 * SOON_S))) for _ in range(MOST_AT_ONCE)]
    await asyncio.sleep(0)  # they begin
    try:
        async with asyncio.timeout(SOON_S):
            assert await asyncio.to_thread(lambda: "done") == "done"
    finally:
        over.set()
    assert all(await asyncio.gather(*hanging))


async def test_a_deadline_is_heard_of(waiting: Waiting):
    """In the seconds that patience counts in: those of `time.monotonic`."""
    before = time.monotonic()
    until = await waiting.done(lambda patience: patience.until, 5.0)
    assert before + 5.0 <= until <= time.monotonic() + 5.0
    assert await waiting.done(lambda patience: patience.until) == float("inf")


async def test_work_hears_that_nobody_waits_any_more(waiting: Waiting):
    begun, heard = threading.Event(), threading.Event()

    def work(patience: Patience) -> None:
        begun.set()
        until = time.monotonic() + SOON_S
        while patience.wanted() and time.monotonic() < until:
            time.sleep(0.001)
        if not patience.wanted():
            heard.set()

    task = asyncio.create_task(waiting.done(work))
    assert await asyncio.to_thread(begun.wait, SOON_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(heard.wait, SOON_S)
