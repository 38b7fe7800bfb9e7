"""One call over KServe's HTTP routes: the guard of every wire, the body within its limits, errors in its words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from whybox_server.api.guard import REQUEST_ID_HEADER, Guard
from whybox_server.core.errors import InvalidRequest
from whybox_server.http.calls import CallerLeft, attended, performed
from whybox_server.http.context import Context, Refused
from whybox_server.http.reply import HEADERS
from whybox_server.http.request import JSON_OVERHEAD, whole
from whybox_server.kserve.errors import failure, wrong_verb

WITH_A_BODY = ("POST",)
SERVICE = "/whybox.v1.KServe/"  # what the guard and its log take these calls for


@dataclass(frozen=True, slots=True)
class Call:
    """One thing that can be asked for. name: in the log.

    answer: of the request, its body (b"" without one) and its context; raises WhyboxError.
    passed_on: it is a call for the server behind us, whose own status the caller gets.
    """

    name: str
    answer: Callable[[Request, bytes, Context], Awaitable[Response]]
    passed_on: bool = False


class Door:
    """Answers the calls of one path. calls: by verb. message_bytes: most in one message; its JSON may be larger."""

    def __init__(self, calls: Mapping[str, Call], guard: Guard, message_bytes: int) -> None:
        self._calls, self._guard, self._message_bytes = calls, guard, message_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        call = self._calls.get("GET" if request.method == "HEAD" else request.method)
        if call is None:
            await wrong_verb(request, list(self._calls))(scope, receive, send)
            return
        context = Context(request.headers.items())
        try:
            response = await performed(
                self._guard, SERVICE + call.name, request, context, lambda: self._answer(call, request, context)
            )
        except CallerLeft:
            return
        except Refused as refused:
            response = failure(refused.status, passed_on=call.passed_on)
        response.headers.update({**HEADERS, REQUEST_ID_HEADER: context.trailing.get(REQUEST_ID_HEADER, "")})
        await response(scope, receive, send)

    async def _answer(self, call: Call, request: Request, context: Context) -> Response:
        if request.method not in WITH_A_BODY:
            return await call.answer(request, b"", context)
        check_sender(request)
        body = await whole(request, self._message_bytes * JSON_OVERHEAD)
        return await attended(call.answer(request, body, context), request)


def check_sender(request: Request) -> None:
    """Raises InvalidRequest for a request that a page of another site makes its reader's browser send.

    KServe's callers send bodies as anything (`curl -d` says it is a form), so that the content type, by which
    browsers would ask first, tells nothing here.
    """
    headers = request.headers
    if headers.get("sec-fetch-site", "").lower() == "cross-site":
        raise InvalidRequest.of("sec-fetch-site", "pages of other sites may not call this server")
    origin = headers.get("origin")
    if origin is not None and _place(origin) != headers.get("host", "").lower():
        raise InvalidRequest.of("origin", "is not this server; pages of other sites may not call it")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidRequest.of("content-encoding", "must be identity; send the body as it is")


def _place(origin: str) -> str | None:
    """Host and port of an origin; None if it has none, as that of a local file."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
