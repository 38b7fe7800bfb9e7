"""KServe's histograms: what is counted, and whose names become labels."""

from __future__ import annotations

import itertools

import pytest
from prometheus_client import CollectorRegistry

from whybox_server.kserve.meters import PHASES, Meters


def counts(registry: CollectorRegistry, model: str) -> dict[str, float]:
    found = {
        phase: registry.get_sample_value(f"request_{phase}_seconds_count", {"model_name": model}) for phase in PHASES
    }
    return {phase: count for phase, count in found.items() if count is not None}


def test_phases_are_told_in_seconds_when_the_call_is_over():
    """A clock that ticks once at every look."""
    registry = CollectorRegistry()
    meters = Meters(registry, itertools.count(0.0, 1.5).__next__)
    with meters.timed("iris") as timed:
        with timed.phase("preprocess"):
            assert counts(registry, "iris") == {}
        with timed.phase("explain"):
            pass
    assert counts(registry, "iris") == {"preprocess": 1, "explain": 1}
    assert registry.get_sample_value("request_explain_seconds_sum", {"model_name": "iris"}) == 1.5


def test_names_become_labels_once_they_have_answered():
    registry = CollectorRegistry()
    meters = Meters(registry)

    def call(name: str, *, fails: bool) -> None:
        with meters.timed(name) as timed, timed.phase("explain"):
            if fails:
                raise ValueError

    for name in map(str, range(50)):
        with pytest.raises(ValueError):
            call(name, fails=True)
    assert not [sample for metric in registry.collect() for sample in metric.samples]
    call("iris", fails=False)
    with pytest.raises(ValueError):
        call("iris", fails=True)
    assert counts(registry, "iris") == {"explain": 2}
