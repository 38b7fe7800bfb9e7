"""Answers in a file: counted before they are asked, kept before anybody hears them, within the limit."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from whybox_server.core.errors import BudgetSpent, EndpointBudgetSpent
from whybox_server.core.query import Query
from whybox_server.core.rows import Samples
from whybox_server.serving.batch.batcher import Batcher
from whybox_server.serving.cache.cache import Cache
from whybox_server.serving.cache.keys import Namer
from whybox_server.serving.cache.paid_file import PaidFile
from whybox_server.serving.cache.paying import Paying
from whybox_server.serving.lane import ENDLESS, Answers, Flow, Lane, Patience, Slice

TAGS = [bytes([i]) * 28 for i in range(3)]


class Doubling:
    """A model that says 2 x, and remembers what it was asked; NaN for x = 13."""

    replicas = 2

    def __init__(self) -> None:
        self.asked: list[float] = []

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        rows = sum(len(one.at) for one in slices)
        out = {"x": np.empty((rows, 1))}
        start = 0
        for one in slices:
            one.rows.write(one.at, {"x": out["x"][start:]})
            start += len(one.at)
        patience.asks(rows)
        self.asked += out["x"].ravel().tolist()
        return (np.where(out["x"] == 13, np.nan, 2 * out["x"]),)


def lane_of(model: Doubling) -> Lane:
    return Lane(b"f" * 32, model, max_rows=4, remote=True)


async def ask(path: Path, model: Doubling, values: list[float], most_rows: int = 0) -> list[float]:
    """Through all layers of one process, from the start to the end of it."""
    file = PaidFile(path, most_rows)
    async with Batcher() as batcher:
        cache = Cache(Paying(batcher, file, Namer(b"")), store=file)
        await cache.start()
        desk = cache.open(lane_of(model), Flow("one"))
        try:
            reply = await desk.predict(Query(Samples({"x": np.array(values)[:, None]})))
        finally:
            desk.close()
            await cache.close()
    return reply.scores.ravel().tolist()


async def test_a_row_is_asked_once_in_the_life_of_the_file(tmp_path: Path) -> None:
    """The second process asks only what is new, and answers alike."""
    model = Doubling()
    path = tmp_path / "answers.sqlite"
    assert await ask(path, model, [1.0, 2.0, 3.0]) == [2.0, 4.0, 6.0]
    assert await ask(path, model, [3.0, 4.0, 1.0]) == [6.0, 8.0, 2.0]
    assert sorted(model.asked) == [1.0, 2.0, 3.0, 4.0]


async def test_what_is_no_number_is_refused_and_not_kept(tmp_path: Path) -> None:
    """The neighbours of such a row are."""
    model = Doubling()
    path = tmp_path / "answers.sqlite"
    with pytest.raises(Exception, match="NaN"):
        await ask(path, model, [1.0, 13.0])
    model.asked.clear()
    assert await ask(path, model, [1.0]) == [2.0]
    assert model.asked == []
    with pytest.raises(Exception, match="NaN"):
        await ask(path, model, [13.0])
    assert 13.0 in model.asked


async def test_no_row_more_than_allowed_is_asked_ever(tmp_path: Path) -> None:
    """Over two processes: 5 rows, of which 3 are spent."""
    model = Doubling()
    path = tmp_path / "answers.sqlite"
    await ask(path, model, [1.0, 2.0, 3.0], most_rows=5)
    with pytest.raises(BudgetSpent):
        await ask(path, model, [4.0, 5.0, 6.0], most_rows=5)
    assert len(model.asked) <= 5
    assert await ask(path, model, [1.0, 2.0, 3.0], most_rows=5) == [2.0, 4.0, 6.0], "what is known is free"


def test_many_threads_share_a_count(tmp_path: Path) -> None:
    """100 rows allowed, 8 threads that each want 50 one by one: exactly 100 are granted."""
    file = PaidFile(tmp_path / "answers.sqlite", most_rows=100)
    granted: list[int] = []

    def take() -> None:
        for _ in range(50):
            try:
                file.take(1)
            except BudgetSpent:
                return
            granted.append(1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 100
    asyncio.run(file.close())


def test_a_query_that_does_not_fit_says_what_is_left(tmp_path: Path) -> None:
    """A method can then ask fewer; nothing is counted for the refused ones."""
    file = PaidFile(tmp_path / "answers.sqlite", most_rows=10)
    file.take(7)
    with pytest.raises(BudgetSpent) as refused:
        file.take(4)
    assert refused.value.left == 3
    file.take(3)
    asyncio.run(file.close())


async def test_a_damaged_value_is_no_answer(tmp_path: Path) -> None:
    """Its checksum does not fit, so that the row is asked again rather than answered wrongly."""
    path = tmp_path / "answers.sqlite"
    model = Doubling()
    await ask(path, model, [1.0])
    with sqlite3.connect(path) as file:
        ((value,),) = file.execute("SELECT value FROM answers").fetchall()
        file.execute("UPDATE answers SET value = ?", (value[:-20] + bytes([value[-20] ^ 1]) + value[-19:],))
    file.close()
    assert await ask(path, model, [1.0]) == [2.0]
    assert model.asked == [1.0, 1.0]


async def test_when_answers_cannot_be_kept_nothing_more_is_asked(tmp_path: Path) -> None:
    """The answers that were paid are given; the next row is refused, with the reason."""
    file = PaidFile(tmp_path / "answers.sqlite")
    file._file.execute("DROP TABLE answers")
    file.keep(TAGS, [b"r"] * 3)
    with pytest.raises(EndpointBudgetSpent, match="cannot be kept in answers.sqlite"):
        file.take(1)
    with pytest.raises(EndpointBudgetSpent):
        await file.read(TAGS)
    await file.close()


@pytest.mark.parametrize("content", [b"not a database", sqlite3.__doc__.encode() * 50])
def test_another_file_is_left_alone(content: bytes, tmp_path: Path) -> None:
    """Whatever it is."""
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot keep answers in"):
        PaidFile(path)
    assert path.read_bytes() == content


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    """One without our mark."""
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(ValueError, match="another kind of file"):
        PaidFile(path)


async def test_a_model_is_not_kept_alive(tmp_path: Path) -> None:
    """The batcher lets its threads go with the runner."""
    file = PaidFile(tmp_path / "answers.sqlite")
    async with Batcher() as batcher:
        paying = Paying(batcher, file, Namer(b""))
        model = Doubling()
        paying.open(lane_of(model), Flow("one")).close()
        paying.open(lane_of(model), Flow("two")).close()
        assert len(paying._runners) == 1
        del model
        gc.collect()
        assert len(paying._runners) == 0
    await file.close()
