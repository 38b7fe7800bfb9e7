"""Who asks (a flow) and where rows may share a model call (a lane).

These are the words that cache, batcher and models use to speak with each other; none of them knows
the others' insides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import NamedTuple, Protocol, TypeAlias

from whybox_server.core.rows import Array, Rows

Answers: TypeAlias = tuple[Array, ...]  # each (n, *shape), as the lane says: scores first


class Mode(Enum):
    """How rows may share a model call."""

    FAST = "fast"
    REPRODUCIBLE = "reproducible"


class Slice(NamedTuple):
    """Some rows of one description: `at`, (k,) indices into `rows`."""

    rows: Rows
    at: Array


def always() -> bool:
    return True


def free(rows: int) -> None:
    """Nobody counts them."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the answers of a call are worth having; who may wait for long gives up when they are not.

    asks: hears how many rows a call elsewhere carries, each time just before it leaves, and may refuse it by
    raising; less than 0 takes back what did not leave after all. Safe to call from any thread.
    wanted: whether anybody still waits for them; safe to ask from any thread. until: when the last of
    their deadlines passes, in seconds of `time.monotonic`.
    """

    wanted: Callable[[], bool] = always
    until: float = inf
    asks: Callable[[int], None] = free


ENDLESS = Patience()


class Runner(Protocol):
    """A loaded model. `run` is called from at most `replicas` threads at once, always the same ones.

    With one replica that is one thread for the runner's life, which ends when nobody refers to the
    runner any more: runners are hashable by identity and can be referred to weakly.
    """

    @property
    def replicas(self) -> int: ...

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        """Answers for all rows of the slices in order, (n, ...); blocks; called off the event loop.

        pad_to: repeat the last row up to this many rows, and leave the copies' answers out.
        Raises whatever the runtime raises; checking the answers is the caller's business.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """All that must be equal for rows to share a model call.

    fingerprint: digest over model content, way of execution, outputs, want and mode; 32 bytes.
    answers: what a row's answers are, by field of `core.query.Reply`. nodes: of the graph, by the
    provider that runs them. remote: the work is done elsewhere, so that the runner has slots of its own,
    as many as replicas, and its calls are worth filling up to `max_rows`. ttl_s: how long its answers
    may be kept; None: for ever, since its model cannot change. apart: what else must be equal for rows to
    share a call, though their answers may stand for each other's.
    """

    fingerprint: bytes
    runner: Runner
    max_rows: int  # most rows in one call
    fixed_rows: int | None = None  # REPRODUCIBLE: every call has exactly this many
    answers: tuple[str, ...] = ("scores",)
    nodes: Mapping[str, int] = field(default_factory=dict)
    remote: bool = False
    ttl_s: float | None = None
    apart: bytes = b""

    @property
    def name(self) -> bytes:
        """Lanes of one name are one: their rows may share a call."""
        return self.fingerprint + self.apart


@dataclass(slots=True, eq=False)
class Usage:
    """What one explanation asked and what it cost; written by every layer it passes."""

    rows_planned: int = 0
    rows_asked: int = 0
    rows_unique: int = 0
    rows_answered: int = 0  # for progress: asked rows whose answer is known
    rows_cached: int = 0
    rows_sent: int = 0
    batches: int = 0
    fill_sum: float = 0.0  # over its batches, of rows in the batch / target size
    queued_s: float = 0.0
    model_s: float = 0.0
    method_s: float = 0.0
    wall_s: float = 0.0


@dataclass(slots=True, eq=False)
class Flow:
    """One running explanation, as the layers below it know it."""

    id: str
    usage: Usage = field(default_factory=Usage)
    weight: float = 1.0  # its share of the device against flows of weight 1
    virtual_s: float = 0.0  # device seconds used / weight: whose counter is smallest is served next
    deadline: float = inf  # in seconds of `time.monotonic`
