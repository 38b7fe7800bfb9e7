"""What a model call of n rows costs, and the batch size that follows; learnt from real calls alone.

A call takes about t(n) = b + a n seconds. On a CPU b is often so small that a few rows are enough;
on a GPU hundreds are. Nothing is assumed: sizes double while rows per second improve, and from then
on now and then a batch of the next or the previous size looks whether the choice still stands.
Knows no rows, no lanes, no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

HAND_OVER_S = 1e-4  # what a call costs outside the model: tests/benchmarks/overhead.py, no-op model
NEEDED_GAIN = 1.05  # a doubled batch must bring this many times the rows per second
CLEAR_GAIN = 1.25  # so much more that one sample is enough
SAMPLES_TO_STOP = 3  # noise only ever adds time: the best of so many is trusted to say "no gain"
GOOD_ENOUGH = 0.95  # of the best rows per second: the smallest size that reaches this is chosen
REMEMBERED = 8  # latest samples of a size
PROBE_EVERY = 32  # calls between two looks at a neighbouring size
OUTLIER = 4.0  # a call that took this many times what the line says counts as that much
FADING = 0.98  # weight of older calls in the line, per call
WORTH_SPLITTING = 0.1  # of a call's time must be saved by a second replica


@dataclass(slots=True, eq=False)
class Line:
    """t(n) = b + a n by least squares with fading memory; outliers are cut."""

    weight: float = 0.0
    n: float = 0.0
    t: float = 0.0
    nn: float = 0.0
    nt: float = 0.0
    b: float = 0.0  # seconds a call
    a: float = 0.0  # seconds a row

    def add(self, rows: int, seconds: float) -> None:
        if self.weight > 0:
            seconds = min(seconds, OUTLIER * self.at(rows))
        self.weight = FADING * self.weight + 1
        self.n = FADING * self.n + rows
        self.t = FADING * self.t + seconds
        self.nn = FADING * self.nn + rows * rows
        self.nt = FADING * self.nt + rows * seconds
        spread = self.weight * self.nn - self.n * self.n
        slope = (self.weight * self.nt - self.n * self.t) / spread if spread > 1e-6 * self.nn else 0.0
        through_zero = self.t / self.n
        # Neither part of a call's time is negative: where the fit says so, the other one is all.
        self.a = min(slope, through_zero) if slope > 0 else through_zero
        self.b = max(0.0, (self.t - self.a * self.n) / self.weight)

    def at(self, rows: int) -> float:
        return self.b + self.a * rows


@dataclass(slots=True, eq=False)
class Cost:
    """One lane's batch size. `target` rows are worth waiting for; `probe`, if set, is worth a try.

    warm_up: calls at the start that say nothing, one per replica: buffers are made, kernels chosen.
    learns: False where the target is given.
    """

    max_rows: int
    fixed_rows: int | None = None
    warm_up: int = 1
    target: int = 1
    exploring: bool = True
    probe: int | None = None
    learns: bool = True
    calls: int = 0
    line: Line = field(default_factory=Line)
    samples: dict[int, deque[float]] = field(default_factory=dict)  # seconds by batch size

    def __post_init__(self) -> None:
        if self.fixed_rows is not None:
            self.target, self.exploring = self.fixed_rows, False

    def fill_up_to(self, rows: int) -> None:
        """Calls cost more than time: each is to have this many rows, as far as there are so many."""
        self.max_rows, self.learns, self.exploring = rows, False, False
        self.target = self.fixed_rows or rows

    def record(self, rows: int, seconds: float) -> None:
        """A call of `rows` rows, at least 1, took `seconds` in the runner."""
        self.calls += 1
        if self.calls <= self.warm_up:
            return
        seconds += HAND_OVER_S
        self.line.add(self.fixed_rows or rows, seconds)
        if self.fixed_rows is not None or not self.learns:
            return
        if self._is_step(rows):
            self.samples.setdefault(rows, deque(maxlen=REMEMBERED)).append(seconds)
        if self.exploring:
            self._explore()
        else:
            self._choose()
            if self.calls % PROBE_EVERY == 0:
                self._look_around()

    def seconds(self, rows: int) -> float | None:
        """Predicted time of `rows` rows, in as few calls of the target size as they need; None: unknown."""
        if self.line.weight == 0:
            return None
        size = self.fixed_rows or self.target
        full, rest = divmod(rows, size)
        padded = size if self.fixed_rows is not None else rest
        return full * self.line.at(size) + (self.line.at(padded) if rest else 0.0)

    def parts(self, rows: int, replicas: int) -> int:
        """Into how many calls `rows` rows, at most a target each, are split when `replicas` are free."""
        least = -(-rows // self.target)
        if self.exploring or not self.learns or self.fixed_rows is not None or self.line.weight == 0:
            return least
        most = min(replicas, rows)
        whole = self.line.at(rows)
        saved = whole - self.line.at(-(-rows // most))
        return max(least, most) if saved >= WORTH_SPLITTING * whole else least

    def _is_step(self, rows: int) -> bool:
        return rows == self.max_rows or (rows < self.max_rows and rows & (rows - 1) == 0)

    def _rate(self, size: int) -> float:
        """Rows per second at a size, its best sample; 0 when it was never tried."""
        seen = self.samples.get(size)
        return size / min(seen) if seen else 0.0

    def _explore(self) -> None:
        """Double the size while that pays; take few samples where the answer is clear."""
        seen = len(self.samples.get(self.target, ()))
        if not seen:
            return
        before = max((self._rate(size) for size in self.samples if size < self.target), default=0.0)
        gain = self._rate(self.target) / before if before else CLEAR_GAIN
        if gain >= CLEAR_GAIN or (gain >= NEEDED_GAIN and seen > 1):
            if self.target < self.max_rows:
                self.target = min(2 * self.target, self.max_rows)
                return
        elif seen < SAMPLES_TO_STOP:
            return
        self.exploring = False
        self._choose()

    def _choose(self) -> None:
        peak = max(map(self._rate, self.samples))
        self.target = min(size for size in self.samples if self._rate(size) >= GOOD_ENOUGH * peak)

    def _look_around(self) -> None:
        """Try the next size and the previous one in turn, so that an unlucky choice does not last."""
        up = self.calls // PROBE_EVERY % 2 == 1
        size = min(2 * self.target, self.max_rows) if up else self.target // 2
        self.probe = size if size >= 1 and self._is_step(size) else None
