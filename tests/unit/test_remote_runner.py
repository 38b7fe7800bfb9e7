"""Rows at an endpoint, over real sockets: cut into calls, put together, checked, and shared with the batcher."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from tests.remote.scripted import (
    ANSWERS,
    DESCRIBED,
    DTYPES,
    SHAPES,
    Does,
    Plain,
    Script,
    Scripted,
    endpoint_of,
    model,
    scripted,
    way_to,
)

from whybox_server.core.errors import (
    DeadlineExceeded,
    EndpointBudgetSpent,
    EndpointRefused,
    EndpointUnreachable,
    ModelFailed,
    ModelOutputInvalid,
    ReplyUnreadable,
)
from whybox_server.core.rows import Array, Samples
from whybox_server.core.spec import ScoreKind
from whybox_server.serving.batch import Batcher
from whybox_server.serving.cache.desk import first_rows
from whybox_server.serving.lane import ENDLESS, Answers, Flow, Lane, Patience, Slice
from whybox_server.serving.remote.endpoint import Endpoint, Limits
from whybox_server.serving.remote.exchange import Described, Exchange, HttpCall
from whybox_server.serving.remote.manners import Manners, manners
from whybox_server.serving.remote.runner import Asked, RemoteRunner, Room
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.trial import KEPT_S, Trial
from whybox_server.serving.remote.validate import checked

FAULTS = {
    "reset": Does(reset=True),
    "cut": Does(cut=True),
    "garbage": Does(garbage=True),
    "503": Does(503),
    "500": Does(500),
}


@dataclass
class Peer:
    """A runner and its server."""

    server: Scripted
    runner: RemoteRunner
    manners: Manners
    room: Room
    trial: Trial

    def proven(self) -> None:
        """As if it had answered before."""
        self.manners.known = self.trial.passed = True

    def ask(self, x: Array, pad_to: int | None = None) -> Array:
        (scores,) = self.runner.run([whole(x)], pad_to)
        return scores


@contextmanager
def peer(
    script: Script | None = None,
    limits: Limits = Limits(),
    described: Described = DESCRIBED,
    plain: Plain | None = None,
    mirror: ScoreKind | None = None,
) -> Iterator[Peer]:
    with scripted(script) as server:
        endpoint = endpoint_of(server.url, limits)
        asked = Asked(endpoint, plain or Plain(), described, SHAPES, DTYPES, described.columns, mirror=mirror)
        ours, room, way, trial = manners(endpoint), Room.of(limits), way_to(endpoint), Trial()
        sender = Sender(way, ours, limits.timeout_s, trial)
        yield Peer(server, RemoteRunner(asked, sender, room), ours, room, trial)
        way.close()


def rows_of(count: int, start: int = 0) -> Array:
    return np.arange(start, start + 2 * count, dtype=np.float64).reshape(count, 2)


def whole(x: Array) -> Slice:
    return Slice(Samples({"x": x}), np.arange(len(x)))


def test_rows_come_back_in_order_from_as_few_calls_as_their_number_allows():
    with peer(limits=Limits(rows_per_call=16)) as one:
        np.testing.assert_array_equal(one.ask(rows_of(50)), model(rows_of(50)))
        assert one.server.calls == [13, 13, 12, 12]


def test_rows_of_several_flows_are_one_call():
    with peer() as one:
        some = Slice(Samples({"x": rows_of(9)}), np.array([7, 2]))
        (scores,) = one.runner.run([some, whole(rows_of(3, start=100))], None)
        np.testing.assert_array_equal(scores, model(np.concatenate([rows_of(9)[[7, 2]], rows_of(3, start=100)])))
        assert one.server.calls == [5]


def test_calls_have_no_more_bytes_than_declared():
    """A row takes 40 bytes in `Plain`: 10 of them are 400."""
    with peer(limits=Limits(bytes_per_call=410)) as one:
        np.testing.assert_array_equal(one.ask(rows_of(20)), model(rows_of(20)))
        assert one.server.calls == [10, 10]
        assert one.runner.most_rows == 10


def test_what_is_too_large_is_halved_and_remembered_for_all_runners_of_the_endpoint():
    """The server takes 9 rows: 64, 32 and 16 are too many, once; 8 are not."""
    with peer(lambda number, rows: Does(413) if rows > 9 else ANSWERS) as one:
        np.testing.assert_array_equal(one.ask(rows_of(64)), model(rows_of(64)))
        assert one.server.calls == [64, 32, 16] + [8] * 8
        one.server.calls.clear()
        other = RemoteRunner(one.runner._asked, one.runner._sender, one.room)
        other.run([whole(rows_of(24))], None)
        assert one.server.calls == [8] * 3
        assert other.most_rows == 8


def test_a_single_row_that_is_too_large_is_an_error_with_its_remedy():
    with peer(lambda number, rows: Does(413)) as one, pytest.raises(EndpointRefused, match="413.*lower bytes_per_call"):
        one.ask(rows_of(4))
    assert one.server.calls == [4, 2, 1]


def test_where_rows_share_no_call_each_has_its_own():
    with peer(described=replace(DESCRIBED, batched=False)) as one:
        np.testing.assert_array_equal(one.ask(rows_of(3)), model(rows_of(3)))
        assert one.server.calls == [1, 1, 1]
        assert one.runner.most_rows == 1


def test_padded_calls_are_all_of_one_size():
    with peer(limits=Limits(rows_per_call=8)) as one:
        np.testing.assert_array_equal(one.ask(rows_of(10), pad_to=8), model(rows_of(10)))
        assert one.server.calls == [8, 8]


def test_a_single_score_becomes_both_classes():
    """The second of two classes was said: the first one's probability is the rest."""

    class Second(Plain):
        def ask(self, endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
            scores = yield from super().ask(endpoint, described, rows)
            return scores[:, 0]

    with peer(plain=Second(), described=replace(DESCRIBED, columns=1), mirror=ScoreKind.PROBABILITY) as one:
        scores = one.ask(rows_of(4))
    np.testing.assert_array_equal(scores, np.stack([1 - model(rows_of(4))[:, 0], model(rows_of(4))[:, 0]], axis=1))


def test_a_reply_with_too_few_rows_is_refused_and_from_a_proven_server_tried_again():
    with peer(lambda number, rows: Does(short=1) if number == 0 else ANSWERS) as one:
        with pytest.raises(ModelOutputInvalid, match="asked for 5 rows and answered with 4 rows"):
            one.ask(rows_of(5))
        with pytest.raises(ReplyUnreadable, match="4 rows"):
            one.ask(rows_of(5))  # not asked at all
        one.trial.clock = lambda: time.monotonic() + KEPT_S
        np.testing.assert_array_equal(one.ask(rows_of(5)), model(rows_of(5)))
        one.server.calls.clear()
        np.testing.assert_array_equal(one.ask(rows_of(5)), model(rows_of(5)))
        assert one.server.calls == [5, 5]


def outcomes(one: Peer, patience: Patience = ENDLESS, threads: int = 6) -> list[Exception | None]:
    """What as many threads hear who ask at once."""

    def ask(thread: int) -> Exception | None:
        try:
            one.runner.run([whole(rows_of(5, 100 * thread))], None, patience)
        except Exception as error:
            return error
        return None

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, range(threads)))


def test_a_reply_that_cannot_be_read_costs_one_call_whoever_waits_for_it():
    """Six ask at once; the first one's answer comes when the others wait. All hear it, and one call is paid."""
    there, all_there = set[int](), threading.Event()

    def wanted() -> bool:
        there.add(threading.get_ident())
        if len(there) == 6:
            all_there.set()
        return True

    def held(number: int, rows: int) -> Does:
        all_there.wait(10)
        return Does(short=1)

    with peer(held) as one:
        told = outcomes(one, Patience(wanted))
        assert {type(error) for error in told} == {ReplyUnreadable}
        assert len({str(error) for error in told}) == 1
        assert one.server.calls == [5]
        assert not one.trial.passed


def test_others_go_when_the_first_was_answered_or_refused():
    """A refusal may be the first one's own; who comes next goes alone again, until one is answered."""
    with peer(lambda number, rows: Does(400) if number == 0 else ANSWERS) as one:
        assert sorted(type(error).__name__ for error in outcomes(one)) == ["EndpointRefused", *["NoneType"] * 5]
        assert len(one.server.calls) == 6
        assert one.trial.passed


def test_who_waits_for_the_first_waits_no_longer_than_he_may():
    """The first call is never answered; the others leave when nobody wants their rows any more."""
    gate = threading.Event()

    def held(number: int, rows: int) -> Does:
        gate.wait(10)
        return ANSWERS

    with peer(held) as one, ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.ask, rows_of(5))
        while not one.server.calls:
            gate.wait(0.01)
        late = outcomes(one, Patience(wanted=lambda: False), threads=2)
        assert {type(error) for error in late} == {DeadlineExceeded}
        gate.set()
        np.testing.assert_array_equal(first.result(), model(rows_of(5)))
        assert one.server.calls == [5]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_costs_a_call_and_no_answer(fault: Does):
    with peer(lambda number, rows: fault if number == 0 else ANSWERS) as one:
        one.proven()
        np.testing.assert_array_equal(one.ask(rows_of(5)), model(rows_of(5)))
        assert one.server.calls == [5, 5]


def test_a_call_that_takes_too_long_is_made_again():
    with peer(lambda number, rows: Does(delay_s=2.0) if number == 0 else ANSWERS, Limits(timeout_s=0.05)) as one:
        one.proven()
        np.testing.assert_array_equal(one.ask(rows_of(5)), model(rows_of(5)))


def test_retry_after_is_read_from_the_reply():
    with peer(lambda number, rows: Does(429, {"retry-after": "3600"})) as one:
        with pytest.raises(EndpointRefused, match=r"answered 429: as the script says; lower requests_per_second"):
            one.ask(rows_of(5))
        assert one.server.calls == [5]


def test_a_closed_runner_takes_no_rows():
    with peer() as one:
        one.runner.close()
        with pytest.raises(ModelFailed, match="ask again"):
            one.ask(rows_of(1))


# Validation.


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (np.zeros((3, 2)), "asked for 4 rows and answered with 3 rows"),
        (np.float64(1.0), "a single value"),
        (np.zeros((4, 3)), "3 scores a row where it has 2 scores"),
        (np.zeros((4, 0)), "0 scores a row"),
        (np.zeros((4, 2), complex), "complex128 where scores are numbers"),
        (np.full((4, 2), "cat", object), "2 texts a row, neither scores nor a label"),
        (np.array(["cat", "dog", "cow", "cat"], object), "labels that spec.labels does not have: 'cow'"),
    ],
)
def test_what_is_no_answer_is_refused(answer: Array, said: str):
    with pytest.raises(ModelOutputInvalid, match=said):
        checked(np.asarray(answer), 4, 2, ("cat", "dog"))


def test_labels_without_a_list_of_them_are_refused_with_the_remedy():
    with pytest.raises(ModelOutputInvalid, match="declare all labels"):
        checked(np.array(["cat"], object), 1, None)


def test_labels_become_ones_and_zeros():
    scores = checked(np.array([b"dog", "cat"], object), 2, 2, ("cat", "dog"))
    np.testing.assert_array_equal(scores, [[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [("float32", "float32"), ("float64", "float64"), ("float16", "float64"), ("int64", "float64"), ("bool", "float64")],
)
def test_whole_numbers_in_json_change_no_type(dtype: str, becomes: str):
    """[[1, 0]] and [[0.9, 0.1]] are rows of the same lane."""
    assert checked(np.ones((2, 3), dtype), 2, None).dtype == becomes


def test_more_axes_and_none_at_all_become_scores():
    assert checked(np.zeros((4, 2, 3)), 4, None).shape == (4, 6)
    assert checked(np.zeros(4), 4, 1).shape == (4, 1)


# Through the batcher.


@dataclass(eq=False)
class Meeting:
    """A runner whose calls all wait for `replicas` of them to be there; answers rows with themselves."""

    replicas: int
    calls: list[int] = field(default_factory=list)
    patience: list[Patience] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._together = threading.Barrier(self.replicas, timeout=10)

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        self.calls.append(sum(len(one.at) for one in slices))
        self.patience.append(patience)
        self._together.wait()
        return (np.concatenate([one.rows.inputs["x"][one.at] for one in slices]),)  # type: ignore[attr-defined]


async def test_an_endpoint_has_as_many_slots_as_it_takes_whatever_cores_there_are():
    """Eight calls of one lane meet in the runner of a batcher with one slot."""
    runner = Meeting(8)
    async with Batcher(slots=1) as batcher:
        door = batcher.open(Lane(b"lane", runner, 32, remote=True), Flow("f"))
        (answers,) = await door.submit(Samples({"x": rows_of(256)}))
        door.close()
    np.testing.assert_array_equal(answers, rows_of(256))
    assert runner.calls == [32] * 8


async def test_an_endpoint_never_gets_more_calls_at_once_than_declared():
    """More threads than slots write calls down; the server counts those that are under way."""
    with peer(lambda number, rows: Does(delay_s=0.002), Limits(concurrency=3, rows_per_call=4)) as one:
        async with Batcher() as batcher:
            door = batcher.open(Lane(b"lane", one.runner, one.runner.most_rows, remote=True), Flow("f"))
            (scores,) = await door.submit(Samples({"x": rows_of(200)}))
            door.close()
    np.testing.assert_array_equal(scores, model(rows_of(200)))
    assert one.runner.replicas > 3
    assert one.server.busiest <= 3
    assert one.server.calls == [4] * 50


async def test_calls_to_an_endpoint_are_as_few_as_can_be():
    """Nothing is explored, and free slots are no reason for more calls: 1000 rows are 32 calls, 40 are 2."""
    runner = Meeting(1)
    async with Batcher() as batcher:
        door = batcher.open(Lane(b"lane", runner, 32, remote=True), Flow("f"))
        for rows, calls in ((1000, 32), (40, 2), (32, 1), (3, 1)):
            runner.calls.clear()
            await door.submit(Samples({"x": rows_of(rows)}))
            assert len(runner.calls) == calls
            assert max(runner.calls) <= 32
        door.close()


async def test_a_runner_knows_until_when_and_whether_anybody_waits():
    """Two flows share a call: the later deadline counts; when both have left, nobody waits."""
    runner = Meeting(2)  # waits for the test, too
    async with Batcher() as batcher:
        doors = [
            batcher.open(Lane(b"lane", runner, 32, remote=True), Flow("f", deadline=deadline)) for deadline in (5.0, 7.0)
        ]
        asked = [asyncio.create_task(door.submit(Samples({"x": rows_of(3)}))) for door in doors]
        while not runner.patience:
            await asyncio.sleep(0.001)
        (patience,) = runner.patience
        assert patience.until == 7.0
        assert patience.wanted()
        doors[0].close()
        assert patience.wanted()
        doors[1].close()
        assert not patience.wanted()
        await asyncio.to_thread(runner._together.wait)
        assert all(isinstance(left, BaseException) for left in await asyncio.gather(*asked, return_exceptions=True))


@pytest.mark.parametrize(
    ("replicas", "max_rows", "remote", "rows"),
    [(8, 32, True, 128), (2, 4, True, 64), (64, 64, True, 512), (8, 32, False, 64)],
)
def test_the_cache_asks_enough_rows_at_once_to_keep_all_slots_busy(replicas: int, max_rows: int, remote: bool, rows: int):
    """Four blocks of it are two calls a slot, between what local models get at first and what is bounded anyway."""
    assert first_rows(Lane(b"lane", Meeting(replicas), max_rows, remote=remote)) == rows


@dataclass(eq=False)
class Failing:
    """A runner that fails as it is told, where row 1 is among its rows."""

    error: Exception
    replicas: int = 2
    calls: list[int] = field(default_factory=list)

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        x = np.concatenate([one.rows.inputs["x"][one.at] for one in slices])  # type: ignore[attr-defined]
        self.calls.append(len(x))
        if (x[:, 0] == 2).any():
            raise self.error
        return (x,)


@pytest.mark.parametrize(
    ("error", "calls", "neighbour_answered"),
    [
        (EndpointUnreachable("down"), [8], False),
        (EndpointBudgetSpent("spent"), [8], False),
        (EndpointRefused("400"), [8, 4, 4], True),
    ],
    ids=["down", "spent", "refused"],
)
async def test_what_is_no_matter_of_rows_is_asked_once(error: Exception, calls: list[int], neighbour_answered: bool):
    """A server that is down is down for both flows; one that refuses may have meant the rows of one of them."""
    runner = Failing(error)
    async with Batcher() as batcher:
        doors = [batcher.open(Lane(b"lane", runner, 8, remote=True), Flow(str(i))) for i in range(2)]
        asked = [door.submit(Samples({"x": rows_of(4, start)})) for door, start in zip(doors, (0, 100), strict=True)]
        guilty, neighbour = await asyncio.gather(*asked, return_exceptions=True)
        for door in doors:
            door.close()
    assert runner.calls == calls
    assert guilty is error
    assert (neighbour is not error) == neighbour_answered


async def test_rows_without_finite_answers_are_named_and_harm_no_others():
    class Hole(Plain):
        def ask(self, endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
            scores = yield from super().ask(endpoint, described, rows)
            return np.where(rows["x"][:, :1] == 4, np.nan, scores)

    with peer(plain=Hole()) as one:
        async with Batcher() as batcher:
            lane = Lane(b"lane", one.runner, one.runner.most_rows, remote=True)
            doors = [batcher.open(lane, Flow(str(i))) for i in range(2)]
            asked = [door.submit(Samples({"x": rows_of(4, start)})) for door, start in zip(doors, (0, 100), strict=True)]
            bad, good = await asyncio.gather(*asked, return_exceptions=True)
            for door in doors:
                door.close()
    assert isinstance(bad, ModelOutputInvalid)
    assert bad.rows == (2,)
    np.testing.assert_array_equal(good[0], model(rows_of(4, 100)))  # type: ignore[index]


def test_metadata_that_must_be_asked_for_is_no_business_of_rows():
    """The tally tells what was paid for from what was not."""
    with peer() as one:
        with pytest.raises(EndpointRefused):
            one.runner._sender.run(lambda: looks_around(one.server))
        one.ask(rows_of(2))
        assert (one.manners.tally.calls, one.manners.tally.paid) == (2, 1)


def looks_around(server: Scripted) -> Exchange[bytes]:
    server.script = lambda number, rows: Does(404) if number == 0 else ANSWERS
    answer = yield HttpCall("POST", "/v2", b'{"x": [[0, 0]]}')
    return answer.body
