"""What is wrong with an endpoint as declared, found before anything is sent anywhere.

Whether its address may be reached is the transport's affair, and whether it answers is found out by asking.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import fields

from whybox_server.core.errors import InvalidRequest, Violation
from whybox_server.serving.remote.endpoint import Endpoint, Limits, Speech
from whybox_server.serving.remote.speech.json_http import check_mapping
from whybox_server.serving.remote.transport.place import place_of

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
SHORT_SECRET = re.compile(r"(^|&)(key|code|sig)=", re.IGNORECASE)  # as Google's and Azure's URLs have it
HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
PRINTABLE = re.compile(r"[\x20-\x7e\t]*")
SECRET = re.compile(r"authori[sz]ation|cookie|api[-_]?key|token|secret|password|signature", re.IGNORECASE)
HOP_BY_HOP = frozenset(
    (
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
MOST_CONCURRENT = 256
LEAST: dict[str, int] = {"concurrency": 1, "rows_per_call": 1, "bytes_per_call": 1, "reply_bytes": 1}
MOST_HEADERS = 64


def violations(endpoint: Endpoint, field: str = "endpoint") -> list[Violation]:
    """Everything that is wrong, by path below `field`."""
    parts = (_url, _headers, _limits, _price, _inputs, _json, _tls, _gradient)
    return [Violation(f"{field}.{path}", said) for part in parts for path, said in part(endpoint)]


Found = Iterator[tuple[str, str]]


def _url(endpoint: Endpoint) -> Found:
    if not endpoint.url:
        yield "url", 'required: for example "https://models.example.com"'
        return
    try:
        query = place_of(endpoint.url).query
    except InvalidRequest as error:
        yield "url", error.violations[0].description
        return
    if SECRET.search(query) or SHORT_SECRET.search(query):
        yield "url", "its query looks like a secret; have the operator declare a `credential` and name it"


def _headers(endpoint: Endpoint) -> Found:
    if len(endpoint.headers) > MOST_HEADERS:
        yield "headers", f"at most {MOST_HEADERS}, got {len(endpoint.headers)}"
    for name, value in endpoint.headers.items():
        if name.lower() == "host" and endpoint.trusted and HOST.fullmatch(value):
            continue  # some ingresses route by it
        if not TOKEN.fullmatch(name) or name.lower() in HOP_BY_HOP:
            yield f"headers[{name[:40]!r}]", "no header that can be declared"
        elif SECRET.search(name) or value[:7].lower() in ("bearer ", "basic "):
            yield (
                f"headers[{name[:40]!r}]",
                "looks like a secret; have the operator declare a `credential` and name it",
            )
        elif not PRINTABLE.fullmatch(value):
            yield f"headers[{name[:40]!r}]", "holds characters that no header can"
    for name in endpoint.forward:
        if not TOKEN.fullmatch(name) or name.lower() in HOP_BY_HOP:
            yield "forward", f"{name[:40]!r} is no header that can be passed on"


def _limits(endpoint: Endpoint) -> Found:
    for entry in fields(Limits):
        value, least = getattr(endpoint.limits, entry.name), LEAST.get(entry.name, 0)
        if not math.isfinite(value) or value < least:
            yield f"limits.{entry.name}", f"must be {least} or more, got {value}"
    if endpoint.limits.timeout_s <= 0:
        yield "limits.timeout_s", f"must be above 0, got {endpoint.limits.timeout_s}"
    if endpoint.limits.concurrency > MOST_CONCURRENT:
        yield "limits.concurrency", f"must be at most {MOST_CONCURRENT}, got {endpoint.limits.concurrency}"


def _price(endpoint: Endpoint) -> Found:
    for name in ("per_call", "per_row"):
        value = getattr(endpoint.price, name)
        if not math.isfinite(value) or value < 0:
            yield f"price.{name}", f"must be 0 or more, got {value}"


def _inputs(endpoint: Endpoint) -> Found:
    names = [one.name for one in endpoint.inputs]
    for number, one in enumerate(endpoint.inputs):
        if not one.name or names.index(one.name) != number:
            yield f"inputs[{number}].name", "required, and no two alike"
        if any(length is not None and length < 1 for length in one.shape):
            yield f"inputs[{number}].shape", f"lengths are 1 or more, or open, got {one.shape}"


def _json(endpoint: Endpoint) -> Found:
    if endpoint.json is None:
        return
    if endpoint.speech is not Speech.JSON:
        yield "json", f"belongs to the protocol json, and this is {endpoint.speech.value}"
    for violation in check_mapping(endpoint.json):
        yield f"json.{violation.field}", violation.description


def _tls(endpoint: Endpoint) -> Found:
    if bool(endpoint.tls.cert) != bool(endpoint.tls.key):
        yield "tls", "cert and key go together: give both or neither"


def _gradient(endpoint: Endpoint) -> Found:
    if endpoint.gradient_model and endpoint.speech is Speech.JSON:
        yield "gradient_model", "needs a protocol with named tensors, and json has none"
    if endpoint.gradient_model and endpoint.spec.gradient is None:
        yield (
            "gradient_model",
            "say in spec.gradient which of its outputs is the gradient, and which input the seed",
        )
