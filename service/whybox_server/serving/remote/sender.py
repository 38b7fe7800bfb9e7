"""Drives a conversation with an endpoint, politely: paced, within its budgets, and patient as its callers.

The protocol says what is asked, the transport carries it, and here is decided when a call leaves,
whether it is made again, and when to give up. Everything blocks; it happens in the batcher's threads.
Nothing here sleeps past the moment at which nobody waits any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from typing import Self, TypeVar

from whybox_server.core.errors import (
    DeadlineExceeded,
    EndpointUnreachable,
    ModelOutputInvalid,
    ReplyUnreadable,
)
from whybox_server.serving.lane import ENDLESS, Patience
from whybox_server.serving.remote.exchange import Answer, Call, Exchange, Refused, Unreachable
from whybox_server.serving.remote.failure import refused, unreachable
from whybox_server.serving.remote.manners import Manners
from whybox_server.serving.remote.retry import CROWDED, DOWN, Failure, Standing, wait_s, worth_repeating
from whybox_server.serving.remote.transport import Transport
from whybox_server.serving.remote.trial import LOOK_EVERY_S, Trial

V = TypeVar("V")

LONGEST_S = 60.0  # that somebody without a deadline waits


@dataclass(frozen=True, slots=True, eq=False)
class Sender:
    """Asks one endpoint over one transport. Thread-safe. timeout_s: of one call. trial: of its session."""

    transport: Transport
    manners: Manners
    timeout_s: float
    trial: Trial = field(default_factory=Trial)

    def over(self, transport: Transport) -> Self:
        """The same manners on another way to the same endpoint, such as for a caller's own headers."""
        return replace(self, transport=transport)

    def run(self, start: Callable[[], Exchange[V]], patience: Patience = ENDLESS, rows: int = 0) -> V:
        """What an exchange comes to; `start` begins it afresh where its answers were not what was asked.

        rows: that the model is asked by the exchange's one asking call, for `patience.asks` to hear.

        Raises EndpointRefused, EndpointUnreachable, EndpointBudgetSpent or DeadlineExceeded, and whatever
        the exchange or the transport raises on its own.
        """
        if patience.until == inf:
            patience = replace(patience, until=self.manners.clock() + LONGEST_S)
        begun = 0
        while True:
            begun += 1
            conversation = Conversation(self, patience, rows, again=begun > 1)
            try:
                return conversation.hold(start())
            except ModelOutputInvalid as invalid:
                if not conversation.repeats(invalid, begun):
                    raise


@dataclass(slots=True, eq=False)
class Conversation:
    """One exchange, held with a server. attempts: of its latest call; asks: it makes the model work.

    alone: it is the first of its session to do so.
    """

    sender: Sender
    patience: Patience
    rows: int
    again: bool  # the same exchange went wrong before
    attempts: int = 0
    asks: bool = False
    alone: bool = False

    @property
    def manners(self) -> Manners:
        return self.sender.manners

    def hold(self, exchange: Exchange[V]) -> V:
        """Answer what it asks, until it has what it wants."""
        try:
            call = next(exchange)
            while True:
                try:
                    answer = self._answer(call)
                except (Refused, Unreachable) as failure:
                    call = exchange.throw(failure)
                else:
                    call = exchange.send(answer)
        except StopIteration as done:
            if self.alone:
                self._trial_over(passed=True)
            value: V = done.value
            return value
        except ModelOutputInvalid as invalid:
            if not self.alone:
                raise
            unreadable = ReplyUnreadable(invalid.message, endpoint=self.manners.name)
            self._trial_over(failure=unreadable)
            raise unreadable from invalid
        except Refused as failure:
            raise refused(self.manners.name, failure, self.attempts) from failure
        except Unreachable as failure:
            raise unreachable(self.manners.name, failure, self.attempts) from failure
        finally:
            exchange.close()
            if self.alone:
                self._trial_over()

    def repeats(self, failure: Failure, attempts: int) -> bool:
        """Wait until it may be tried again; False if it should not be, or nobody would wait for it."""
        manners = self.manners
        standing = Standing(heard=manners.known, proven=self.sender.trial.passed)
        if not worth_repeating(failure, attempts, standing):
            return False
        if not self._nap(wait_s(failure, attempts, manners.rng)):
            return False
        while short_s := manners.retries.spend():
            if not self._nap(short_s):
                return False
        manners.count(retries=1)
        return True

    def _answer(self, call: Call) -> Answer:
        """The answer to a call, which is made as often as it takes."""
        if call.asks and not self.asks:
            self.asks = True
            self._await_trial()
        self.attempts = 0
        if not self.again:
            self.manners.retries.earn()
        while True:
            self.attempts += 1
            try:
                return self._once(call)
            except (Refused, Unreachable) as failure:
                if not self.repeats(failure, self.attempts):
                    raise

    def _once(self, call: Call) -> Answer:
        """Make a call when its turn has come."""
        manners = self.manners
        probed = call.asks and self._await_breaker()
        with self._slot() as ticket:
            self._await_pace()
            left_s = self.patience.until - manners.clock()
            if left_s <= 0 or not self.patience.wanted():
                raise self._late("the deadline passed before it could be asked")
            if call.asks:
                self._pay()
            manners.count(calls=1, paid=int(call.asks), rows=self.rows if call.asks else 0)
            try:
                answer = self.sender.transport.exchange(call, min(self.sender.timeout_s, left_s))
            except Refused as failure:
                self._was_refused(call, failure, ticket)
                raise
            except Unreachable as failure:
                self._was_cut_off(call, failure, ticket)
                raise
            manners.slots.faster(ticket)
        manners.heard(asked=call.asks, probed=probed)
        return answer

    def _pay(self) -> None:
        """Count a call and its rows. Raises what hinders it; then nothing is counted."""
        self.manners.allowance.take()
        try:
            self.patience.asks(self.rows)
        except BaseException:
            self.manners.allowance.give_back()
            raise

    def _was_refused(self, call: Call, failure: Refused, ticket: int) -> None:
        self.manners.count(refused=1)
        if failure.status in CROWDED:
            self.manners.slots.slower(ticket)
        if call.asks:
            self.manners.failed(f"{failure.status} {failure.text}".strip(), down=failure.status in DOWN)

    def _was_cut_off(self, call: Call, failure: Unreachable, ticket: int) -> None:
        self.manners.count(unreached=1)
        if failure.late:
            self.manners.slots.slower(ticket)
        if call.asks and not failure.sent:
            self.manners.allowance.give_back()
            self.patience.asks(-self.rows)
            self.manners.count(paid=-1, rows=-self.rows)
        if call.asks:
            self.manners.failed(failure.text, down=True)

    # Waiting.

    def _await_trial(self) -> None:
        """Go alone if nobody of this session was answered yet, or wait for the one who does."""
        patience = self.patience
        found = self.sender.trial.enter(lambda: patience.wanted() and self.manners.clock() < patience.until)
        if found is None:
            raise self._late("the deadline passed while it answered its first rows")
        self.alone = found

    def _trial_over(self, *, passed: bool = False, failure: ReplyUnreadable | None = None) -> None:
        self.alone = False
        self.sender.trial.leave(passed=passed, failure=failure)

    def _await_breaker(self) -> bool:
        """True if this call is the one that finds out whether the server is back."""
        manners = self.manners
        while (wait_s := manners.resting_s()) is not None:
            if not wait_s:
                return True
            too_long = manners.clock() + wait_s >= self.patience.until
            if too_long or not self._nap(min(wait_s, LOOK_EVERY_S)):
                raise EndpointUnreachable(
                    f"{manners.name} has failed again and again, at first with: {manners.last}; it is tried again "
                    f"in {wait_s:.1f} s, which the deadline does not allow",
                    endpoint=manners.name,
                    attempts=self.attempts - 1,
                )
        return False

    @contextmanager
    def _slot(self) -> Iterator[int]:
        """One of the calls that the endpoint gets at once; its ticket."""
        slots = self.manners.slots
        while (ticket := slots.enter(LOOK_EVERY_S)) is None:
            if self.manners.clock() >= self.patience.until or not self.patience.wanted():
                raise self._late("the deadline passed while it answered others")
        try:
            yield ticket
        finally:
            slots.leave()

    def _await_pace(self) -> None:
        while wait_s := self.manners.pace.take():
            if not self._nap(wait_s):
                raise self._late("requests_per_second leaves no time for another call before the deadline")

    def _nap(self, seconds: float) -> bool:
        """Sleep; False as soon as nobody waits any more, at once if the deadline comes before."""
        manners, patience = self.manners, self.patience
        end = manners.clock() + seconds
        if end >= patience.until:
            return False
        while (left_s := end - manners.clock()) > 0:
            if not patience.wanted():
                return False
            manners.sleep(min(left_s, LOOK_EVERY_S))
        return patience.wanted()

    def _late(self, why: str) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self.manners.name}: {why}", endpoint=self.manners.name)
