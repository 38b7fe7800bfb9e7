"""The service's driver: steps off the loop, throws budgets into methods, leaves nothing running."""

import asyncio
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Samples
from whybox_server.engine.session import drive
from whybox_server.serving.lane import Usage


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as made:
        yield made


class Doubler:
    """Scores are twice the rows; refuses queries of more than `most` rows."""

    def __init__(self, most: int = 10**9) -> None:
        self.most = most

    async def predict(self, query: Query) -> Reply:
        if len(query.rows) > self.most:
            raise BudgetSpent(len(query.rows), self.most)
        rows = {"x": np.empty((len(query.rows), 1))}
        query.rows.write(np.arange(len(query.rows)), rows)
        return Reply(rows["x"] * 2)


def query(*values: float) -> Query:
    return Query(Samples({"x": np.array(values)[:, None]}))


async def test_replies_reach_the_method_and_its_return_value_the_caller(pool: Executor) -> None:
    """2 * 3 asked again is 2 * 6."""

    def method() -> Generator[Query, Reply, Any]:
        first = yield query(3.0)
        second = yield query(float(first.scores[0, 0]))
        return float(second.scores[0, 0])

    assert await drive(method(), Doubler(), pool, Usage()) == 12.0


async def test_a_method_is_never_stepped_on_the_event_loop(pool: Executor) -> None:
    """Every step notes its thread; none is the loop's."""
    threads = []

    def method() -> Generator[Query, Reply, Any]:
        threads.append(threading.get_ident())
        yield query(1.0)
        threads.append(threading.get_ident())
        return None

    await drive(method(), Doubler(), pool, Usage())
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def test_a_spent_budget_is_thrown_into_the_method_until_it_gives_up(pool: Executor) -> None:
    """It asks less, is refused again, and answers with what it has."""
    lefts = []

    def method() -> Generator[Query, Reply, Any]:
        asked = 4
        while True:
            try:
                yield query(*range(asked))
            except BudgetSpent as spent:
                lefts.append(spent.left)
                asked -= 1
            else:
                return f"partial with {asked}"

    assert await drive(method(), Doubler(most=2), pool, Usage()) == "partial with 2"
    assert lefts == [2, 2]


async def test_a_method_that_cannot_answer_lets_the_budget_pass(pool: Executor) -> None:
    """BudgetSpent reaches the caller as it is."""

    def method() -> Generator[Query, Reply, Any]:
        yield query(1.0, 2.0)

    with pytest.raises(BudgetSpent):
        await drive(method(), Doubler(most=1), pool, Usage())


async def test_cancelling_closes_the_method(pool: Executor) -> None:
    """Its finally clause runs though it was waiting for a reply that never came."""
    closed = threading.Event()

    class Never:
        async def predict(self, query: Query) -> Reply:
            await asyncio.Event().wait()
            raise AssertionError

    def method() -> Generator[Query, Reply, Any]:
        try:
            yield query(1.0)
        finally:
            closed.set()

    task = asyncio.create_task(drive(method(), Never(), pool, Usage()))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
