"""Prometheus metrics, fed by engine events and by numbers read at scrape time.

Labels are names of methods, modalities, reasons and the operator's endpoints only: never models or values
that a caller chose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, assert_never

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from whybox_server.engine.events import Event, Failed, Finished, ModelLoaded, Started

ReadEach: TypeAlias = Callable[[], Mapping[str, Mapping[str, float]]]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
FILLS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


class Metrics:
    """Counters and histograms of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._started = Counter(
            "whybox_explanations_started", "Explanations admitted", ["method", "modality"], registry=registry
        )
        self._finished = Counter(
            "whybox_explanations_finished",
            "Explanations ended",
            ["method", "modality", "outcome"],
            registry=registry,
        )
        self._failed = Counter("whybox_calls_failed", "Calls that ended in an error", ["reason"], registry=registry)
        self._rows = Counter("whybox_rows", "Rows by what became of them", ["kind"], registry=registry)
        self._fill = Histogram(
            "whybox_batch_fill", "Rows in a batch / target size", buckets=FILLS, registry=registry
        )
        self._latency = Histogram(
            "whybox_explanation_seconds", "Latency by phase", ["phase"], buckets=SECONDS, registry=registry
        )
        self._loads = Histogram(
            "whybox_model_load_seconds", "Time to load a model", ["provider"], buckets=SECONDS, registry=registry
        )

    def tell(self, event: Event) -> None:
        """Subscriber for `engine.events`."""
        match event:
            case Started(method=method, modality=modality):
                self._started.labels(method, modality).inc()
            case Finished():
                self._finish(event)
            case Failed(reason):
                self._failed.labels(reason.value).inc()
            case ModelLoaded(provider=provider, seconds=seconds):
                self._loads.labels(provider).observe(seconds)
            case _:
                assert_never(event)

    def _finish(self, done: Finished) -> None:
        usage = done.usage
        outcome = done.reason or ("OK" if done.complete else "PARTIAL")
        self._finished.labels(done.method, done.modality, outcome).inc()
        for kind in ("asked", "unique", "cached", "sent"):
            self._rows.labels(kind).inc(getattr(usage, f"rows_{kind}"))
        if usage.batches:
            self._fill.observe(usage.fill_sum / usage.batches)
        phases = {"wall": usage.wall_s, "queued": usage.queued_s, "model": usage.model_s, "method": usage.method_s}
        for phase, seconds in phases.items():
            self._latency.labels(phase).observe(seconds)

    def watch(self, gauges: Mapping[str, Callable[[], float]], counters: Mapping[str, Callable[[], float]]) -> None:
        """Numbers that others keep, read when Prometheus asks; keys are names with underscores."""
        self.registry.register(Reader(gauges, counters))

    def watch_each(self, label: str, read: ReadEach, gauges: Sequence[str], counters: Sequence[str]) -> None:
        """As `watch`, with a value for each of several things: {value of the label: {name: number}}."""
        self.registry.register(ReaderOfEach(label, read, gauges, counters))


class ReaderOfEach(Collector):
    """Reads numbers of several things at scrape time, all of them at once; what lacks one has no sample of it."""

    def __init__(self, label: str, read: ReadEach, gauges: Sequence[str], counters: Sequence[str]) -> None:
        self._label, self._read = label, read
        self._gauges, self._counters = gauges, counters

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        found = self._read()
        kinds = ((self._gauges, GaugeMetricFamily), (self._counters, CounterMetricFamily))
        for names, kind in kinds:
            for name in names:
                family = kind(f"whybox_{name}", name.replace("_", " "), labels=[self._label])
                for value, numbers in found.items():
                    if name in numbers:
                        family.add_metric([value], numbers[name])
                yield family


class Reader(Collector):
    """Reads numbers at scrape time."""

    def __init__(
        self, gauges: Mapping[str, Callable[[], float]], counters: Mapping[str, Callable[[], float]]
    ) -> None:
        self._gauges, self._counters = gauges, counters

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        for name, read in self._gauges.items():
            yield GaugeMetricFamily(f"whybox_{name}", name.replace("_", " "), value=read())
        for name, read in self._counters.items():
            yield CounterMetricFamily(f"whybox_{name}", name.replace("_", " "), value=read())
