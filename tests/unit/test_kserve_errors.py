"""Errors in KServe's words: statuses by the standard table, texts for the caller, secrets for the log."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from whybox_server.api.guard import Guard
from whybox_server.api.status import to_status
from whybox_server.core.errors import (
    BudgetSpent,
    DeadlineExceeded,
    Draining,
    EgressDenied,
    EndpointRefused,
    EndpointUnreachable,
    InputMismatch,
    InvalidRequest,
    MethodUnsupported,
    ModelFailed,
    ModelOutputInvalid,
    Overloaded,
    TooLarge,
    UnknownModel,
    WhyboxError,
)
from whybox_server.engine.events import Events
from whybox_server.http.context import Context
from whybox_server.kserve.door import Call, Door
from whybox_server.kserve.errors import failure

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto, and 413 for what is too large.
TABLE: list[tuple[WhyboxError, int]] = [
    (InvalidRequest.of("instances", "must be a list"), 400),
    (InputMismatch("must be float32 (4,)"), 400),
    (MethodUnsupported("explains no texts"), 400),
    (ModelFailed("division by zero", [0]), 400),
    (EgressDenied("not there"), 403),
    (UnknownModel("no model 'nope'"), 404),
    (TooLarge("9 bytes and this server takes 8"), 413),
    (BudgetSpent(9, 3), 429),
    (Overloaded("busy", 2.4), 429),
    (WhyboxError("/etc/secret"), 500),
    (EndpointUnreachable("did not answer"), 503),
    (Draining("about to stop", 0.2), 503),
    (ModelOutputInvalid("NaN"), 502),
    (DeadlineExceeded("the deadline passed"), 504),
]


@pytest.mark.parametrize(("error", "status"), TABLE, ids=lambda value: type(value).__name__)
def test_an_error_has_its_status_and_its_text(error: WhyboxError, status: int):
    response = failure(to_status(error, "id-1"))
    said = json.loads(response.body)
    assert (response.status_code, [*said]) == (status, ["error"])
    assert said["error"] == (
        "internal error; the server's log has it under request id id-1" if status == 500 else str(error)
    )
    later = response.headers.get("retry-after")
    assert later == (str(-(-int(error.retry_after_s * 10) // 10)) if isinstance(error, Overloaded) else None)


@pytest.mark.parametrize(
    ("own", "explaining", "passed_on"),
    [
        (400, 400, 400),
        (401, 401, 401),
        (403, 403, 403),
        (422, 422, 422),
        (429, 429, 429),
        (503, 503, 503),
        (404, 502, 404),
        (500, 502, 500),
        (302, 502, 502),
        (200, 502, 502),
        ("", 502, 502),
    ],
)
def test_what_the_predictor_refuses_is_its_own_fault_unless_it_is_the_callers(
    own: Any, explaining: int, passed_on: int
):
    """RFC 9110, 15.6.3: 502 for what came back from behind a gateway and cannot be used. What was passed on word
    for word has the status of who refused it.
    """
    refused = to_status(EndpointRefused("it answered", status=own), "id-1")
    assert failure(refused).status_code == explaining
    assert failure(refused, passed_on=True).status_code == passed_on


async def asked(
    door: Door, verb: str = "POST", body: bytes = b"{}", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer; the caller waits for it."""
    sent: list[Message] = []
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return pending.pop() if pending else await _never()

    async def send(message: Message) -> None:
        sent.append(message)

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": "here", **headers}.items()]
    scope = {
        "type": "http",
        "method": verb,
        "path": "/x",
        "query_string": b"",
        "headers": pairs,
        "server": ("here", 80),
        "scheme": "http",
    }
    await door(scope, receive, send)
    names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], names, b"".join(message.get("body", b"") for message in sent[1:])


async def _never() -> Message:
    import asyncio

    await asyncio.Event().wait()
    raise AssertionError


def door(answer: Any, most: int = 10) -> Door:
    return Door({"POST": Call("Test", answer)}, Guard(Events()), most)


async def test_a_defect_of_ours_is_told_by_its_id_alone():
    """A secret in an exception's text stays in the log."""

    async def broken(request: Request, body: bytes, context: Context) -> Response:
        raise RuntimeError("the password is hunter2")

    status, headers, body = await asked(door(broken), x_request_id="mine")
    assert status == 500
    assert headers["x-request-id"] == "mine"
    assert json.loads(body) == {"error": "internal error; the server's log has it under request id mine"}


async def test_a_door_gives_the_body_within_its_limits():
    """Ten bytes of message are forty of JSON."""

    async def echo(request: Request, body: bytes, context: Context) -> Response:
        return Response(body)

    status, headers, body = await asked(door(echo), body=b"a" * 40)
    assert (status, body) == (200, b"a" * 40)
    assert headers["cache-control"] == "no-store"
    assert (await asked(door(echo), body=b"a" * 41))[0] == 413
    assert (await asked(door(echo), content_length="41"))[0] == 413
    assert (await asked(door(echo), verb="PUT"))[0] == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://here"}, 200),
        ({"origin": "https://HERE"}, 200),
        ({"origin": "http://here:81"}, 400),
        ({"origin": "http://there"}, 400),
        ({"origin": "null"}, 400),
        ({"origin": ""}, 400),
        ({"sec_fetch_site": "cross-site"}, 400),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"content_encoding": "gzip"}, 400),
        ({"content_encoding": "Identity"}, 200),
        ({"x_timeout_s": "never"}, 400),
    ],
)
async def test_who_may_ask(headers: dict[str, str], status: int):
    """Browsers say for which page they ask; other programs say nothing."""

    async def echo(request: Request, body: bytes, context: Context) -> Response:
        return Response(body)

    assert (await asked(door(echo), **headers))[0] == status
