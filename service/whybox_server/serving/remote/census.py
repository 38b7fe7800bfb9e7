"""What endpoints were asked so far, for those who watch: by the operator's names, and all others as one.

Names that callers chose are never here: there is no end to them, and they may say something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from whybox_server.core.errors import EndpointBudgetSpent
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.manners import Manners, Tally
from whybox_server.serving.remote.register import Register

INLINE = "inline"
COUNTERS = (
    "endpoint_calls",
    "endpoint_calls_paid",
    "endpoint_rows",
    "endpoint_retries",
    "endpoint_refused",
    "endpoint_unreachable",
)
GAUGES = ("endpoint_breaker_open", "endpoint_calls_left_today")


def census(register: Register, declared: Iterable[Endpoint]) -> Mapping[str, Mapping[str, float]]:
    """{name: {counter or gauge: value}}. Endpoints without a daily limit have no calls left to speak of."""
    found = {endpoint.name: _of_one(register.of(endpoint).manners) for endpoint in declared}
    tally, broken = register.foreign()
    if tally.calls:
        found[INLINE] = {**_counted(tally), "endpoint_breaker_open": broken}
    return found


def _of_one(manners: Manners) -> dict[str, float]:
    numbers = {**_counted(manners.tally), "endpoint_breaker_open": float(manners.breaker.open)}
    try:
        left = manners.allowance.left()
    except EndpointBudgetSpent:  # its file cannot be read, so that nothing is asked
        left = 0
    return numbers if left is None else {**numbers, "endpoint_calls_left_today": left}


def _counted(tally: Tally) -> dict[str, float]:
    numbers = (tally.calls, tally.paid, tally.rows, tally.retries, tally.refused, tally.unreached)
    return dict(zip(COUNTERS, map(float, numbers), strict=True))
