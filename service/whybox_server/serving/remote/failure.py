"""What a caller is told of a server that refused or was not reached: in core's words, with the remedy."""

from __future__ import annotations

from types import MappingProxyType
from urllib.parse import urlsplit

from whybox_server.core.errors import EndpointRefused, EndpointUnreachable
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Refused, Unreachable

TOO_LARGE = 413
REMEDIES = MappingProxyType(
    {
        400: "check the declared inputs, or the request template, against what the server takes",
        401: "check the endpoint's credential",
        403: "check the endpoint's credential, and what it is allowed to do",
        404: "check the URL, the protocol, and the model's name and version",
        405: "check the URL and the protocol",
        413: "lower bytes_per_call or rows_per_call",
        415: "check the protocol",
        422: "check the declared inputs, or the request template, against what the server takes",
        429: "lower requests_per_second or concurrency, or allow more time",
        500: "see the server's own log",
        501: "check the protocol",
    }
)


def called(endpoint: Endpoint) -> str:
    """The endpoint in words: its name, or where it is; what a query string holds is nobody's business."""
    if endpoint.name:
        return endpoint.name
    url = urlsplit(endpoint.url)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def refused(endpoint: str, failure: Refused, attempts: int) -> EndpointRefused:
    """endpoint: as `called` says it. attempts: of the call that was refused."""
    remedy = REMEDIES.get(failure.status)
    said = f"{endpoint} answered {failure.status}" + (f": {failure.text}" if failure.text else "")
    return EndpointRefused(
        f"{said}{tries(attempts)}" + (f"; {remedy}" if remedy else ""),
        endpoint=endpoint,
        status=failure.status,
        attempts=attempts,
    )


def unreachable(endpoint: str, failure: Unreachable, attempts: int) -> EndpointUnreachable:
    return EndpointUnreachable(
        f"{endpoint} did not answer: {failure.text}{tries(attempts)}",
        endpoint=endpoint,
        address=failure.address,
        attempts=attempts,
    )


def tries(attempts: int) -> str:
    return f" (attempt {attempts})" if attempts > 1 else ""
