"""When a call is made, made again, and given up: a made-up wire under a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random

import pytest

from whybox_server.core.errors import (
    DeadlineExceeded,
    EgressDenied,
    EndpointBudgetSpent,
    EndpointRefused,
    EndpointUnreachable,
    ModelOutputInvalid,
)
from whybox_server.serving.lane import Patience
from whybox_server.serving.remote.endpoint import Endpoint, Limits
from whybox_server.serving.remote.exchange import Answer, Call, Exchange, HttpCall, Refused, Unreachable
from whybox_server.serving.remote.failure import called
from whybox_server.serving.remote.manners import PROBE_S, manners
from whybox_server.serving.remote.register import Register
from whybox_server.serving.remote.retry import Standing
from whybox_server.serving.remote.sender import LOOK_EVERY_S, Sender
from whybox_server.serving.remote.transport import Transport
from whybox_server.serving.remote.trial import Trial

PROVEN = Standing(heard=True, proven=True)
GOOD = Answer(b"good")
Does = Answer | Exception


@dataclass
class World:
    """A wire and its time. does: what the call of this number, from 0, comes to; each takes `lasts_s`."""

    does: Callable[[int], Does] = lambda number: GOOD
    lasts_s: float = 0.01
    now: float = 1000.0
    made: list[tuple[float, Call, float]] = field(default_factory=list)  # when, what, in how much time

    def exchange(self, call: Call, timeout_s: float) -> Answer:
        self.made.append((self.now, call, timeout_s))
        self.now += min(self.lasts_s, timeout_s)
        done = self.does(len(self.made) - 1)
        if isinstance(done, Exception):
            raise done
        return done

    def forwarding(self, headers: Mapping[str, str]) -> Transport:
        return self

    def close(self) -> None:
        return

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds <= LOOK_EVERY_S
        self.now += seconds

    def sender(self, standing: Standing = PROVEN, seed: int = 0, **limits: float) -> Sender:
        endpoint = Endpoint("http://model.example/v1?key=hidden", name="endpoints/e", limits=Limits(**limits))  # type: ignore[arg-type]
        ours = manners(endpoint, clock=self.clock, sleep=self.sleep, rng=Random(seed))
        ours.known = standing.heard
        return Sender(self, ours, endpoint.limits.timeout_s, Trial(passed=standing.proven))

    def until(self, seconds: float) -> Patience:
        return Patience(until=self.now + seconds)


def first(*failures: Exception) -> Callable[[int], Does]:
    """These, and then answers."""
    return lambda number: failures[number] if number < len(failures) else GOOD


def always(failure: Exception) -> Callable[[int], Does]:
    return lambda number: failure


def asking(*, asks: bool = True) -> Exchange[bytes]:
    answer = yield HttpCall("POST", "/predict", asks=asks)
    return answer.body


def cut() -> Unreachable:
    return Unreachable("model.example:80: the connection broke", "model.example:80")


def test_what_passes_is_tried_again():
    world = World(first(cut(), Refused(503, "busy"), Refused(429, "slow down", 7.0)))
    sender = world.sender()
    assert sender.run(asking) == b"good"
    assert len(world.made) == 4
    assert world.made[3][0] - world.made[2][0] >= 7.0
    tally = sender.manners.tally
    assert (tally.calls, tally.paid, tally.retries, tally.refused, tally.unreached) == (4, 4, 3, 2, 1)


def test_a_server_that_is_about_to_stop_is_asked_again():
    """gRPC's core answers calls that meet it at its end with CANCELLED, which is HTTP's 499; nobody cancelled them."""
    world = World(first(Refused(499, "CANCELLED"), Refused(499, "CANCELLED")))
    assert world.sender().run(asking) == b"good"
    assert len(world.made) == 3


def test_nothing_is_waited_for_that_comes_after_the_deadline():
    """Retry-After is 60 s and the deadline 30 s away: the caller hears so at once, and how to help it."""
    world = World(always(Refused(429, "quota", 60.0)))
    with pytest.raises(EndpointRefused, match="endpoints/e answered 429: quota; lower requests_per_second") as caught:
        world.sender().run(asking, world.until(30))
    assert caught.value.details == {"endpoint": "endpoints/e", "status": "429", "attempts": "1"}
    assert world.now == pytest.approx(1000.01)


def test_nobody_sleeps_for_callers_who_have_left():
    world = World(always(Refused(429, "quota", 50.0)))
    with pytest.raises(EndpointRefused):
        world.sender().run(asking, Patience(lambda: world.now < 1003.0))
    assert 1003.0 <= world.now <= 1003.0 + 2 * LOOK_EVERY_S


def test_nobody_is_asked_for_callers_who_have_left():
    world = World()
    with pytest.raises(DeadlineExceeded):
        world.sender().run(asking, Patience(lambda: False))
    assert not world.made


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501, 302])
def test_a_plain_no_is_not_argued_with(status: int):
    world = World(always(Refused(status, "no")))
    with pytest.raises(EndpointRefused, match=f"answered {status}: no") as caught:
        world.sender().run(asking)
    assert caught.value.details["attempts"] == "1"
    assert len(world.made) == 1


def test_a_server_that_says_not_again_is_not_asked_again():
    world = World(always(Refused(503, "", inf)))
    with pytest.raises(EndpointRefused, match="answered 503"):
        world.sender().run(asking)
    assert len(world.made) == 1


def test_an_endpoint_that_never_answered_is_soon_given_up():
    """A wrong host must not cost the caller his whole deadline."""
    world = World(always(cut()))
    with pytest.raises(EndpointUnreachable, match=r"did not answer: .* the connection broke \(attempt 3\)") as caught:
        world.sender(Standing()).run(asking, world.until(600))
    assert caught.value.details == {"endpoint": "endpoints/e", "address": "model.example:80", "attempts": "3"}
    assert world.now < 1002


@pytest.mark.parametrize("seed", range(20))
def test_an_endpoint_that_is_down_for_less_than_the_deadline_costs_no_explanation(seed: int):
    world = World()
    world.does = lambda number: cut() if world.now < 1020 else GOOD
    assert world.sender(seed=seed).run(asking, world.until(40)) == b"good"


@pytest.mark.parametrize("seed", range(20))
def test_one_that_is_down_for_longer_is_given_up_before_the_deadline_with_the_reason(seed: int):
    world = World(always(cut()), lasts_s=0.5)
    with pytest.raises(EndpointUnreachable, match="connection broke"):
        world.sender(seed=seed).run(asking, world.until(20))
    assert world.now <= 1020


def test_while_the_breaker_is_open_calls_are_rare():
    """After five failures in a row there is at least half a second between two calls."""
    world = World(always(cut()), lasts_s=0.0)
    sender = world.sender()
    for _ in range(10):
        with pytest.raises(EndpointUnreachable):
            sender.run(asking, world.until(5))
    times = [when for when, _, _ in world.made]
    assert len(times) > 10
    assert all(late - early >= PROBE_S[0] for early, late in zip(times[4:], times[5:], strict=False))


def test_the_breaker_fails_those_at_once_who_could_not_wait_for_it():
    world = World(always(cut()), lasts_s=0.0)
    sender = world.sender()
    while not sender.manners.breaker.open:
        with pytest.raises(EndpointUnreachable):
            sender.run(asking, world.until(5))
    calls, before = len(world.made), world.now
    with pytest.raises(EndpointUnreachable, match="failed again and again, at first with: .*connection broke"):
        sender.run(asking, world.until(PROBE_S[0] / 100))
    assert (len(world.made), world.now) == (calls, before)


def test_a_probe_that_is_answered_closes_the_breaker():
    world = World()
    world.does = lambda number: cut() if world.now < 1010 else GOOD
    sender = world.sender()
    sender.run(asking, world.until(60))
    assert not sender.manners.breaker.open
    before = world.now
    sender.run(asking)
    assert world.now - before == pytest.approx(world.lasts_s)


def test_the_day_has_not_one_call_too_many():
    """5 calls are allowed, the first 3 fail: the second explanation gets one, and the third none."""
    world = World(first(cut(), cut(), cut()))
    sender = world.sender(calls_per_day=5)
    for _ in range(2):
        assert sender.run(asking) == b"good"
    with pytest.raises(EndpointBudgetSpent, match="asked 5 times today"):
        sender.run(asking)
    assert len(world.made) == 5


def test_repetitions_stop_at_the_budget_too():
    world = World(always(cut()))
    with pytest.raises(EndpointBudgetSpent):
        world.sender(calls_per_day=2).run(asking)
    assert len(world.made) == 2


def test_metadata_costs_nothing_and_neither_does_what_reached_nobody():
    world = World(first(Unreachable("connection refused", sent=False)))
    sender = world.sender(calls_per_day=1)
    sender.run(lambda: asking(asks=False))
    world.made.clear()
    assert sender.run(asking) == b"good"
    assert len(world.made) == 2
    assert sender.manners.tally.paid == 1


def test_no_call_is_given_more_time_than_the_deadline_leaves():
    world = World(lasts_s=60.0)
    sender = world.sender(timeout_s=30.0)
    sender.run(asking, world.until(12))
    sender.run(asking, world.until(100))
    assert [timeout for _, _, timeout in world.made] == [pytest.approx(12), 30.0]


def test_calls_keep_to_the_pace():
    """50 calls at 10 a second: the last one no earlier than (50 - 1) / 10 s after the first, less the burst."""
    world = World(lasts_s=0.0)
    sender = world.sender(requests_per_second=10)
    for _ in range(50):
        sender.run(asking, world.until(60))
    assert 4.8 <= world.made[-1][0] - world.made[0][0] <= 5.0


def test_a_pace_that_leaves_no_time_is_named():
    world = World(lasts_s=0.0)
    sender = world.sender(requests_per_second=0.01)
    sender.run(asking)
    with pytest.raises(DeadlineExceeded, match="requests_per_second leaves no time"):
        sender.run(asking, world.until(5))


def test_fewer_calls_at_once_for_a_server_that_has_too_much_until_it_keeps_up():
    world = World(first(Refused(429, ""), Refused(503, ""), Refused(429, "")))
    sender = world.sender(concurrency=16)
    sender.run(asking)
    assert sender.manners.slots.limit == 2
    for _ in range(200):
        sender.run(asking)
    assert sender.manners.slots.limit == 16


def test_a_protocol_may_try_another_way():
    """`auto` asks for one kind of metadata after the other: what fails is thrown in, after its repetitions."""

    def either() -> Exchange[str]:
        try:
            yield HttpCall("GET", "/v2")
        except (Refused, Unreachable) as failure:
            answer = yield HttpCall("GET", "/v1")
            return f"{type(failure).__name__} {answer.body.decode()}"
        return "the first"

    assert World(first(Refused(404, "no such page"))).sender(Standing()).run(either) == "Refused good"
    assert World(first(cut(), cut(), cut())).sender(Standing()).run(either) == "Unreachable good"


def test_replies_that_answer_something_else_are_tried_again_where_others_were_right():
    begun = []

    def odd() -> Exchange[bytes]:
        begun.append(None)
        answer = yield HttpCall("POST", "/predict", asks=True)
        if len(begun) < 3:
            raise ModelOutputInvalid("31 rows of 32")
        return answer.body

    assert World().sender(PROVEN).run(odd) == b"good"
    begun.clear()
    with pytest.raises(ModelOutputInvalid):
        World().sender(Standing(heard=True)).run(odd)
    assert len(begun) == 1


def test_what_the_protocol_or_the_transport_raises_passes_and_frees_the_slot():
    ended = []

    def careful() -> Exchange[bytes]:
        try:
            return (yield HttpCall("POST", "/predict", asks=True)).body
        finally:
            ended.append(True)

    world = World(first(EgressDenied("private address")))
    sender = world.sender(concurrency=1)
    with pytest.raises(EgressDenied):
        sender.run(careful)
    assert ended == [True]
    assert sender.run(careful) == b"good"


def test_who_has_no_deadline_does_not_wait_for_ever():
    world = World(always(cut()))
    with pytest.raises(EndpointUnreachable):
        world.sender().run(asking)
    assert world.now < 1100


def test_an_endpoint_without_a_name_is_called_by_its_address_alone():
    """Query strings and user names may hold secrets."""
    assert called(Endpoint("https://me:secret@host:8080/v1?key=secret")) == "https://host:8080/v1"


def test_budgets_outlive_sessions_and_restarts(tmp_path: Path):
    """Two registers are two lives of a server; limits of another endpoint are another matter."""
    endpoint = Endpoint("http://model.example", name="endpoints/e", limits=Limits(calls_per_day=3), trusted=True)
    other = Endpoint("http://model.example", name="endpoints/other", limits=Limits(calls_per_day=3), trusted=True)
    register = Register(tmp_path)
    assert register.of(endpoint) is register.of(endpoint)
    for life in (register, Register(tmp_path), Register(tmp_path)):
        life.of(endpoint).manners.allowance.take()
    assert Register(tmp_path).of(endpoint).manners.allowance.left() == 0
    assert Register(tmp_path).of(other).manners.allowance.left() == 3
