"""One model call, in a worker thread: run, check, write the answers, find out who spoilt it.

A call that raises is made again once per flow, so that neighbours get their answers; then the flow
at fault is halved until the row is found, in a bounded number of runs. Nothing here waits, schedules
or touches a future: what is known lies in `told`, and goes to `tell` early when a search begins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from whybox_server.core.errors import (
    DeadlineExceeded,
    EgressDenied,
    EndpointBudgetSpent,
    EndpointUnreachable,
    ModelFailed,
    ModelOutputInvalid,
    ReplyUnreadable,
    WhyboxError,
)
from whybox_server.core.rows import Array, Rows
from whybox_server.serving.batch.track import Block
from whybox_server.serving.lane import Answers, Patience, Runner, Slice

LONGEST_TEXT = 300  # characters of the runtime's own words that a caller gets to see
NOT_OF_ROWS = (DeadlineExceeded, EgressDenied, EndpointBudgetSpent, EndpointUnreachable, ReplyUnreadable)
UNSTEADY = "the model's answers change their shape or type from call to call, so that rows cannot be compared"


@dataclass(slots=True, eq=False)
class Sheet:
    """A block's rows, and the arrays that its answers are written into, once their shapes are known."""

    rows: Rows
    block: Block
    answers: Answers = ()
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fill(self, lo: int, hi: int, answers: Answers) -> None:
        """Write the answers of rows [lo, hi). Raises ModelOutputInvalid if their shape has changed."""
        if not self.answers:
            self._make(answers)
        if len(answers) != len(self.answers):
            raise ModelOutputInvalid(UNSTEADY)  # `blame` names the rows
        for mine, theirs in zip(self.answers, answers, strict=True):
            if mine.shape[1:] != theirs.shape[1:] or mine.dtype != theirs.dtype:
                raise ModelOutputInvalid(UNSTEADY)
            mine[lo:hi] = theirs

    def _make(self, answers: Answers) -> None:
        """Settle the shapes; two threads may come with the first answers at once."""
        with self.lock:
            if not self.answers:
                n = len(self.rows)
                self.answers = tuple(np.empty((n, *a.shape[1:]), a.dtype) for a in answers)


class Part(NamedTuple):
    """Rows [lo, hi) of a sheet; `piece` is their place in the batch."""

    sheet: Sheet
    lo: int
    hi: int
    piece: int


class Told(NamedTuple):
    """So many rows of a sheet are answered, or the sheet has failed."""

    sheet: Sheet
    rows: int
    error: WhyboxError | None


@dataclass(slots=True, eq=False)
class Call:
    """What a worker thread needs to know about a batch, and what the batcher learns from it.

    seconds: (pieces,) each one's share of the time, None if nobody waited for it any more.
    clean: the model was called exactly once. told: what `tell` has not heard yet.
    """

    runner: Runner
    parts: Sequence[Part]
    pad_to: int | None
    clock: Callable[[], float]
    tell: Callable[[list[Told]], None]
    seconds: list[float | None] = field(default_factory=list)
    clean: bool = True
    told: list[Told] = field(default_factory=list)

    def run(self) -> None:
        """Answer or fail every part that somebody waits for."""
        self.seconds = [None] * len(self.parts)
        parts = [part for part in self.parts if part.sheet.block.live]
        if not parts:
            return
        error = self._try(parts)
        if error is None:
            return
        self.clean = False
        if isinstance(error, NOT_OF_ROWS):
            Search(self._try, self.told, runs=0).settle(parts, error)
            return
        guilty = [(parts, error)]
        if len({part.sheet.block.place for part in parts}) > 1:
            alone = [(group, self._try(group)) for group in by_flow(parts)]
            guilty = [(group, error) for group, error in alone if error is not None]
        early, self.told = self.told, []
        self.tell(early)  # neighbours do not wait for the search
        for group, reason in guilty:
            Search(self._try, self.told, runs=2 * count(group).bit_length() + 2).settle(group, reason)

    def _try(self, parts: Sequence[Part]) -> Exception | None:
        """Run the parts in one call: their answers are told, or what went wrong is returned."""
        started = self.clock()
        try:
            slices = [Slice(part.sheet.rows, np.arange(part.lo, part.hi)) for part in parts]
            answers = self.runner.run(slices, self.pad_to, patience_of(parts))
            told = deliver(parts, answers)
        except Exception as error:  # noqa: BLE001 - whatever a runtime raises is the caller's to know
            return error
        finally:
            self._share(parts, self.clock() - started)
        self.told += told
        return None

    def _share(self, parts: Sequence[Part], seconds: float) -> None:
        each = seconds / count(parts)
        for part in parts:
            self.seconds[part.piece] = (self.seconds[part.piece] or 0.0) + each * (part.hi - part.lo)


@dataclass(slots=True, eq=False)
class Search:
    """Looks for the row on which a flow's part of a batch fails; `runs` model calls are left."""

    attempt: Callable[[Sequence[Part]], Exception | None]
    told: list[Told]
    runs: int
    failed: set[Sheet] = field(default_factory=set)

    def settle(self, parts: Sequence[Part], error: Exception) -> None:
        """`parts` failed together: halve them. What succeeds alone was told; what fails alone is it."""
        if not divisible(error) or count(parts) == 1 or self.runs <= 0:
            self._fail(parts, error)
            return
        for half in halves(parts):
            rest = [part for part in half if part.sheet not in self.failed]
            if not rest:
                continue
            self.runs -= 1
            again = self.attempt(rest) if self.runs >= 0 else error
            if again is not None:
                self.settle(rest, again)

    def _fail(self, parts: Sequence[Part], error: Exception) -> None:
        for part in parts:
            if part.sheet not in self.failed:
                self.failed.add(part.sheet)
                self.told.append(Told(part.sheet, 0, blame(error, range(part.lo, part.hi))))


def patience_of(parts: Sequence[Part]) -> Patience:
    """That of the most patient one."""
    blocks = [part.sheet.block for part in parts]
    until = max(block.place.flow.deadline for block in blocks)
    return Patience(lambda: any(block.live for block in blocks), until)


def deliver(parts: Sequence[Part], answers: Answers) -> list[Told]:
    """Check a call's answers and write them. Raises ModelOutputInvalid if they belong to no rows."""
    n = count(parts)
    shapes = [array.shape for array in answers]
    if not shapes or any(not shape or shape[0] != n for shape in shapes):
        message = f"the model was asked for {n} rows and answered with arrays of shape {shapes}"
        raise ModelOutputInvalid(message)  # `blame` names the rows
    sound = finite(answers, n)
    told, start = [], 0
    for part in parts:
        stop = start + part.hi - part.lo
        if sound is not None and not sound[start:stop].all():
            bad = np.flatnonzero(~sound[start:stop])
            told.append(Told(part.sheet, 0, not_finite(part.lo + bad)))
        else:
            part.sheet.fill(part.lo, part.hi, tuple(array[start:stop] for array in answers))
            told.append(Told(part.sheet, stop - start, None))
        start = stop
    return told


def finite(answers: Answers, n: int) -> Array | None:
    """(n,) bool: rows without NaN and infinities in any answer; None if that is all of them."""
    fine = [np.isfinite(array) for array in answers if array.dtype.kind in "fc"]
    if all(values.all() for values in fine):
        return None
    sound: Array = np.all([values.reshape(n, -1).all(axis=1) for values in fine], axis=0)
    return sound


def not_finite(rows: Array) -> ModelOutputInvalid:
    message = "the model answers with NaN or infinite values; repair it or choose another baseline"
    return ModelOutputInvalid(message, map(int, rows))


def blame(error: Exception, rows: range) -> WhyboxError:
    """The error that the owner of these rows gets to see."""
    if isinstance(error, ModelFailed | ModelOutputInvalid) and not isinstance(error, ReplyUnreadable):
        return type(error)(error.message[:LONGEST_TEXT], rows)
    if isinstance(error, WhyboxError):
        return error
    return ModelFailed(f"the model failed: {first_line(error)}", rows)


def divisible(error: Exception) -> bool:
    """True if fewer rows may help: what a layer below has diagnosed itself is no matter of rows."""
    return isinstance(error, ModelFailed) or not isinstance(error, WhyboxError)


def first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:LONGEST_TEXT]


def count(parts: Sequence[Part]) -> int:
    return sum(part.hi - part.lo for part in parts)


def by_flow(parts: Sequence[Part]) -> list[list[Part]]:
    groups: dict[object, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.sheet.block.place, []).append(part)
    return list(groups.values())


def halves(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """The parts, at least two rows of them, cut in the middle."""
    left: list[Part] = []
    right: list[Part] = []
    room = count(parts) // 2
    for part in parts:
        middle = min(part.lo + room, part.hi)
        room -= middle - part.lo
        if middle > part.lo:
            left.append(part._replace(hi=middle))
        if middle < part.hi:
            right.append(part._replace(lo=middle))
    return left, right
