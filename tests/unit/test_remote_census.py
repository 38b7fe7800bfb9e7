"""Numbers of endpoints for those who watch: by the operator's names, and everybody else's as one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from whybox_server.observe.metrics import Metrics
from whybox_server.serving.remote import register as registers
from whybox_server.serving.remote.census import COUNTERS, GAUGES, census
from whybox_server.serving.remote.endpoint import Endpoint, Limits
from whybox_server.serving.remote.manners import Tally
from whybox_server.serving.remote.register import Register

OURS = Endpoint("https://h", name="endpoints/a", limits=Limits(calls_per_day=3), trusted=True)
FREE = Endpoint("https://h", name="endpoints/free", trusted=True)


def page(register: Register) -> list[str]:
    metrics = Metrics()
    metrics.watch_each("endpoint", lambda: census(register, (OURS, FREE)), GAUGES, COUNTERS)
    lines = generate_latest(metrics.registry).decode().splitlines()
    return [line for line in lines if line.startswith("whybox_endpoint")]


def test_a_page_names_the_operators_endpoints_and_no_others() -> None:
    """Two callers' endpoints are one line, by whatever names; nobody's address is anywhere."""
    register = Register()
    register.of(OURS).manners.count(calls=5, paid=4, rows=99, retries=1, refused=1)
    for name in ("", "endpoints/of-a-caller"):
        register.of(Endpoint(f"https://secret.example/{name}", name=name)).manners.count(calls=2, unreached=1)
    found = page(register)
    assert 'whybox_endpoint_calls_total{endpoint="endpoints/a"} 5.0' in found
    assert 'whybox_endpoint_calls_paid_total{endpoint="endpoints/a"} 4.0' in found
    assert 'whybox_endpoint_rows_total{endpoint="endpoints/a"} 99.0' in found
    assert 'whybox_endpoint_retries_total{endpoint="endpoints/a"} 1.0' in found
    assert 'whybox_endpoint_refused_total{endpoint="endpoints/a"} 1.0' in found
    assert 'whybox_endpoint_calls_total{endpoint="endpoints/free"} 0.0' in found
    assert 'whybox_endpoint_calls_total{endpoint="inline"} 4.0' in found
    assert 'whybox_endpoint_unreachable_total{endpoint="inline"} 2.0' in found
    assert not [line for line in found if "secret" in line or "of-a-caller" in line]


def test_what_is_left_of_the_day_and_who_fails_again_and_again() -> None:
    """Only who has a limit has something left; five failures in a row open the breaker."""
    register = Register()
    ours = register.of(OURS).manners
    ours.allowance.take()
    for _ in range(5):
        ours.failed("503", down=True)
    found = page(register)
    assert 'whybox_endpoint_calls_left_today{endpoint="endpoints/a"} 2.0' in found
    assert not [line for line in found if "left_today" in line and "free" in line]
    assert 'whybox_endpoint_breaker_open{endpoint="endpoints/a"} 1.0' in found
    assert 'whybox_endpoint_breaker_open{endpoint="endpoints/free"} 0.0' in found
    assert not [line for line in found if "inline" in line]  # nobody has asked one


def test_a_count_that_cannot_be_read_leaves_no_calls(tmp_path: Path) -> None:
    """Then nothing is asked, and the page says so instead of failing."""
    register = Register(tmp_path)
    allowance = register.of(OURS).manners.allowance
    assert allowance.state is not None
    allowance.state.write_text("something else")
    assert 'whybox_endpoint_calls_left_today{endpoint="endpoints/a"} 0.0' in page(register)
    allowance.state.write_text(f"{datetime.now(UTC).date()} {1:012d}\n")
    assert 'whybox_endpoint_calls_left_today{endpoint="endpoints/a"} 2.0' in page(register)


def test_a_counter_never_falls_when_endpoints_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are remembered of five; the calls of all five are counted."""
    monkeypatch.setattr(registers, "MOST_KNOWN", 2)
    register = Register()
    for number in range(5):
        register.of(Endpoint(f"https://h{number}")).manners.count(calls=1)
    assert register.foreign()[0] == Tally(calls=5)
    assert register.of(OURS) is register.of(OURS)
