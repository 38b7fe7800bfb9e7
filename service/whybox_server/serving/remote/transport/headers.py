"""Which headers, or metadata, go with a call, and who may set them.

From the weakest to the strongest: our marks, what the endpoint declares, what its caller passes on, what
the protocol needs, the credential. Nobody sets those that decide where a message begins, ends or goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from whybox_server.core.errors import InvalidRequest
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.place import Place

FIELD = "endpoint.headers"
# Rows that nobody really sent must not count in logs and drift monitors: Seldon's word, and a plain one.
MARKS = {"seldon-skip-logging": "true", "x-whybox-synthetic": "true", "user-agent": "whybox"}
OURS = {
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
HARMLESS = {"accept", "content-type", "inference-header-content-length", *MARKS}
NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
SHORTEST_SECRET = 4  # characters: shorter words of a header are no secrets
SCHEMES = {"basic", "bearer", "token"}


@dataclass(frozen=True, slots=True)
class Sent:
    """Headers by lower-case name. host: who the call says it is for. secrets: not to be shown."""

    headers: Mapping[str, str] = field(repr=False)
    host: str
    secrets: tuple[str, ...] = field(repr=False)


def headers_of(
    endpoint: Endpoint, place: Place, wallet: Wallet, call: Mapping[str, str], forwarded: Mapping[str, str]
) -> Sent:
    """What goes with a call. Raises InvalidRequest for headers that cannot be sent, and credentials."""
    passed = passed_on(endpoint, forwarded)
    headers = dict(MARKS)
    for source in (endpoint.headers, passed, call):
        headers |= {name.lower(): value for name, value in source.items()}
    if endpoint.credential is not None:
        name, value = wallet.header(endpoint.credential, place, trusted=endpoint.trusted)
        headers[name] = value
    host = headers.pop("host", place.authority)
    wrong = [name for name, value in (*headers.items(), ("host", host)) if not fine(name, value)]
    if wrong:
        raise InvalidRequest.of(FIELD, f"{', '.join(map(ascii, wrong))} cannot be sent as a header")
    if host != place.authority and not endpoint.trusted:
        raise InvalidRequest.of(FIELD, "host may be set by the operator only, in a declared endpoint")
    return Sent(headers, host, words(value for name, value in headers.items() if name not in HARMLESS))


def passed_on(endpoint: Endpoint, forwarded: Mapping[str, str]) -> dict[str, str]:
    """The caller's headers that the endpoint asks for, and no others."""
    wanted = {name.lower() for name in endpoint.forward} - OURS - {"host"}
    return {name.lower(): value for name, value in forwarded.items() if name.lower() in wanted}


def fine(name: str, value: str) -> bool:
    """True if header and value keep to one line and leave the message's borders alone."""
    plain = value.isascii() and (value.isprintable() or not value)
    return plain and name not in OURS and not name.endswith("-bin") and NAME.fullmatch(name) is not None


def words(values: Iterable[str]) -> tuple[str, ...]:
    """Header values and their words: a server may repeat a token without its "Bearer"."""
    parts = {part for value in values for part in (value, *value.split())}
    return tuple(part for part in parts if len(part) >= SHORTEST_SECRET and part.lower() not in SCHEMES)
