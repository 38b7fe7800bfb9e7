"""HTTP calls to the very servicers that answer gRPC, through the very guard: one code path, two wires."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import structlog
from google.rpc import code_pb2, status_pb2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from whybox_server.api.guard import Guard
from whybox_server.api.status import to_status
from whybox_server.core.errors import WhyboxError
from whybox_server.http.calls import CallerLeft, attended, performed
from whybox_server.http.context import Context, Refused
from whybox_server.http.openapi import document
from whybox_server.http.page import CSP, page
from whybox_server.http.reply import HEADERS, Reply, failure, plain
from whybox_server.http.request import message_of, parts_of
from whybox_server.http.routes import Binding, bindings

METHOD_NOT_ALLOWED = 405
# What HTTP itself refuses, in the words of gRPC.
CODES = {404: code_pb2.NOT_FOUND, METHOD_NOT_ALLOWED: code_pb2.UNIMPLEMENTED}
log = structlog.get_logger("whybox.http")


def make_app(
    servicers: Mapping[str, Any],
    guard: Guard,
    message_bytes: int,
    ready: Callable[[], Awaitable[bool]],
    more: Sequence[Route] = (),
    more_described: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
) -> Starlette:
    """servicers: by the service's full name. message_bytes: most in one message. ready: whether calls are taken.

    more: routes of others beside ours. more_described: their paths for the OpenAPI document, and schemas.
    """
    found = bindings(servicers)
    described = document(found, *more_described)
    shown = page(described)

    async def alive(request: Request) -> Response:
        return plain({"status": "SERVING"})

    async def readiness(request: Request) -> Response:
        if await ready():
            return plain({"status": "SERVING"})
        return failure(status_pb2.Status(code=code_pb2.UNAVAILABLE, message="the server is about to stop"))

    async def openapi(request: Request) -> Response:
        return plain(described)

    async def docs(request: Request) -> Response:
        return HTMLResponse(shown, headers={**HEADERS, **CSP})

    return Starlette(
        routes=[
            *doors(found, guard, message_bytes),
            Route("/healthz", alive),
            Route("/readyz", readiness),
            Route("/openapi.json", openapi),
            Route("/docs", docs),
            *more,
        ],
        exception_handlers={HTTPException: _refuse, Exception: _defect},
    )


def doors(found: Iterable[Binding], guard: Guard, message_bytes: int) -> list[Route]:
    """A route per path, so that a wrong verb is answered with all the right ones; custom methods (`:predict`)
    first, since a name in a path would swallow them.
    """
    routes = []
    ordered = sorted(found, key=lambda binding: (":" not in binding.template, binding.path))
    for path, group in groupby(ordered, lambda binding: binding.path):
        same = list(group)
        door = Door(same, guard, message_bytes)
        routes.append(Route(path, door, methods=[binding.verb for binding in same]))
    return routes


class Door:
    """Answers the calls of one path."""

    def __init__(self, bound: Sequence[Binding], guard: Guard, message_bytes: int) -> None:
        self._bound = {binding.verb: binding for binding in bound}
        self._guard, self._message_bytes = guard, message_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        binding = self._bound["GET" if request.method == "HEAD" else request.method]
        reply = Reply(request, receive, send)
        try:
            answer = await performed(
                self._guard,
                binding.rpc.full_name,
                request,
                reply.context,
                lambda: self._answer(binding, request, reply.context),
            )
        except CallerLeft:
            return
        except Refused as refused:
            await reply.fail(refused.status)
        else:
            await reply.finish(answer)

    async def _answer(self, binding: Binding, request: Request, context: Context) -> Any:
        if binding.rpc.descriptor.client_streaming:
            return await binding.rpc.call(parts_of(binding, request), context)
        message = await message_of(binding, request, self._message_bytes)
        return await attended(binding.rpc.call(message, context), request)


async def _refuse(request: Request, error: Exception) -> Response:
    """Paths and verbs that are not there."""
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, code_pb2.UNKNOWN)
    message = f"{request.method} {request.url.path[:200]}: {error.detail}; see /openapi.json"
    status = status_pb2.Status(code=code, message=message)
    return failure(status, error.status_code, error.headers or {})


async def _defect(request: Request, error: Exception) -> Response:
    """A defect outside of any call: its text goes to the log alone."""
    log.error("defect", path=request.url.path[:200], exc_info=error)
    return failure(to_status(WhyboxError(str(error)), ""))
