"""Calls over HTTP for tests: written against the routes' rule as RFC and google/api/http.proto have it, not against the edge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode

from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # noqa: F401 - json_format looks details up
from tests.e2e.serving import Server, running

JSON = {"content-type": "application/json"}
OCTETS = {"content-type": "application/octet-stream"}
VARIABLE = re.compile(r"\{(\w+)=([\w/]*/)\*\*?\}")
WAIT_S = 60


@dataclass(frozen=True)
class Answer:
    """headers by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """Of NDJSON."""
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def violations(self) -> dict[str, str]:
        """What was wrong, by field."""
        bad = [detail for detail in self.json["details"] if "field_violations" in detail]
        return {one["field"]: one["description"] for detail in bad for one in detail["field_violations"]}


@dataclass(frozen=True)
class Http:
    """address: HOST:PORT."""

    address: str
    server: Server

    def call(self, verb: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = JSON) -> Answer:
        line = HTTPConnection(self.address, timeout=WAIT_S)
        try:
            line.request(verb, path, body, dict(headers))
            response = line.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            line.close()

    def post(self, path: str, value: Any, **headers: str) -> Answer:
        return self.call("POST", path, json.dumps(value).encode(), {**JSON, **headers})


@contextmanager
def both(*flags: str, **options: Any) -> Iterator[Http]:
    """A server that speaks gRPC and HTTP."""
    with running("--http-listen", "127.0.0.1:0", *flags, **options) as server:
        yield Http(http_address(server), server)


def http_address(server: Server) -> str:
    return next(str(line["address"]) for line in server.lines if line.get("event") == "serving http")


def transcoded(method: Any, request: Message) -> tuple[str, str, bytes | None]:
    """Verb, path and body of a message, by the first rule of its method whose path can hold it."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    for one in (rule, *rule.additional_bindings):
        verb = one.WhichOneof("pattern")
        template = getattr(one, verb)
        match = VARIABLE.search(template)
        held = {}
        if match:
            value = getattr(request, match[1])
            if not value.startswith(match[2]):
                continue
            held = {match[1]: value}
            template = template.replace(match[0], quote(value))
        fields = json_format.MessageToDict(request, preserving_proto_field_name=True)
        rest = {name: value for name, value in fields.items() if name not in held}
        if one.body:
            return verb.upper(), template, json.dumps(rest).encode()
        return verb.upper(), f"{template}?{urlencode(rest)}" if rest else template, None
    raise AssertionError(f"no rule of {method.full_name} can hold {request}")
