"""KServe's four histograms, by its names, so that dashboards made for its servers show ours.

A caller may ask for any name: only models that have answered once become labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Histogram

PHASES = ("preprocess", "predict", "explain", "postprocess")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)

Clock: TypeAlias = Callable[[], float]


@dataclass(slots=True, eq=False)
class Timed:
    """How long the phases of one call took."""

    clock: Clock
    seconds: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """name: of `PHASES`."""
        began = self.clock()
        try:
            yield
        finally:
            self.seconds.append((name, self.clock() - began))


class Meters:
    """`request_*_seconds` in one registry."""

    def __init__(self, registry: CollectorRegistry, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._known: set[str] = set()
        self._histograms = {
            phase: Histogram(
                f"request_{phase}_seconds",
                f"Latency of the {phase} phase of KServe's calls",
                ["model_name"],
                buckets=SECONDS,
                registry=registry,
            )
            for phase in PHASES
        }

    @contextmanager
    def timed(self, model: str) -> Iterator[Timed]:
        """Phases of a call for a model, told when it is over; of one that fails, if the model is known to exist."""
        timed = Timed(self._clock)
        try:
            yield timed
        except BaseException:
            if model in self._known:
                self._tell(model, timed)
            raise
        self._known.add(model)
        self._tell(model, timed)

    def _tell(self, model: str, timed: Timed) -> None:
        for phase, seconds in timed.seconds:
            self._histograms[phase].labels(model).observe(seconds)
