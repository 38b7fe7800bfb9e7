"""Budgets: different rows are counted, repetitions are free, and nobody asks one row too many."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Samples
from whybox_server.engine.meter import Meter
from whybox_server.serving.lane import Usage


class Below:
    """Answers with the rows themselves and remembers how many it saw."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.asked, self.delay_s = 0, delay_s
        self.models: list[str] = []

    async def predict(self, query: Query) -> Reply:
        await asyncio.sleep(self.delay_s)
        self.models.append(query.model)
        self.asked += len(query.rows)
        return Reply(np.zeros((len(query.rows), 1)))


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as made:
        yield made


def query(*values: int) -> Query:
    return Query(Samples({"x": np.array(values, dtype=np.float32)[:, None]}))


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), max_size=8), st.integers(1, 10))
def test_never_more_different_rows_than_the_budget(asked: list[list[int]], limit: int) -> None:
    """Oracle: a set of the rows that were let through."""

    async def go() -> None:
        with ThreadPoolExecutor(1) as pool:
            usage, let_through, total = Usage(), set[int](), 0
            meter = Meter(Below(), usage, pool, lambda: 0.0, limit)
            for rows in asked:
                try:
                    await meter.predict(query(*rows))
                except BudgetSpent as spent:
                    assert spent.left == limit - len(let_through)
                    assert len(let_through | set(rows)) > limit
                else:
                    let_through |= set(rows)
                    total += len(rows)
            assert len(let_through) <= limit
            assert (usage.rows_unique, usage.rows_asked) == (len(let_through), total)

    asyncio.run(go())


async def test_rows_of_every_model_are_counted_and_none_stands_for_another(pool: Executor) -> None:
    """The row 1 of two models is two rows; asked again it is none. The query's model is handed on."""
    usage, below = Usage(), Below()
    meter = Meter(below, usage, pool, lambda: 0.0, limit=2)
    for model in ("", "models/other", ""):
        await meter.predict(replace(query(1), model=model))
    assert below.models == ["", "models/other", ""]
    assert (usage.rows_unique, usage.rows_asked) == (2, 3)
    with pytest.raises(BudgetSpent):
        await meter.predict(replace(query(1), model="models/third"))


async def test_a_late_reply_spends_the_budget(pool: Executor) -> None:
    """The deadline passes while the layer below is asleep: the method may still answer, with left = 0."""
    meter = Meter(Below(delay_s=30), Usage(), pool, lambda: 0.0, deadline=0.01)
    with pytest.raises(BudgetSpent) as spent:
        await meter.predict(query(1))
    assert spent.value.left == 0


async def test_nothing_is_asked_after_the_deadline(pool: Executor) -> None:
    """The clock is past the deadline before the first row."""
    below = Below()
    with pytest.raises(BudgetSpent):
        await Meter(below, Usage(), pool, lambda: 2.0, deadline=1.0).predict(query(1))
    assert below.asked == 0
