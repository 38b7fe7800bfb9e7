"""HTTP calls to the very servicers that answer gRPC, through the very guard: one code path, two wires."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

import grpc
import structlog
from google.rpc import code_pb2, status_pb2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from whybox_server.api.guard import REQUEST_ID_HEADER, Guard
from whybox_server.api.status import to_status
from whybox_server.core.errors import DeadlineExceeded, WhyboxError
from whybox_server.http.context import Context, Refused, timeout_in
from whybox_server.http.openapi import document
from whybox_server.http.page import CSP, page
from whybox_server.http.reply import HEADERS, Reply, failure, plain
from whybox_server.http.request import message_of, parts_of
from whybox_server.http.routes import Binding, Rpc, bindings

T = TypeVar("T")
METHOD_NOT_ALLOWED = 405
# What HTTP itself refuses, in the words of gRPC.
CODES = {404: code_pb2.NOT_FOUND, METHOD_NOT_ALLOWED: code_pb2.UNIMPLEMENTED}
log = structlog.get_logger("whybox.http")


class CallerLeft(asyncio.CancelledError):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Called:
    """What the guard wants to know of a call."""

    method: str


def make_app(servicers: Mapping[str, Any], guard: Guard, message_bytes: int, ready: Callable[[], bool]) -> Starlette:
    """servicers: by the service's full name. message_bytes: most in one message. ready: whether calls are taken."""
    found = bindings(servicers)
    described = document(found)
    shown = page(described)

    async def alive(request: Request) -> Response:
        return plain({"status": "SERVING"})

    async def readiness(request: Request) -> Response:
        if ready():
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
            async with asyncio.timeout(None) as limit:
                answer = await self._answer(binding, request, reply.context, limit)
        except CallerLeft:
            return
        except Refused as refused:
            await reply.fail(refused.status)
        except TimeoutError:
            late = DeadlineExceeded("the deadline passed; allow more time")
            await reply.fail(to_status(late, reply.context.trailing[REQUEST_ID_HEADER]))
        else:
            await reply.finish(answer)

    async def _answer(self, binding: Binding, request: Request, context: Context, limit: asyncio.Timeout) -> Any:
        async def call(request: Request, context: Context) -> Any:
            seconds = timeout_in(request.headers)
            if seconds is not None:
                limit.reschedule(asyncio.get_running_loop().time() + seconds)
                context.limit(seconds)
            if binding.rpc.descriptor.client_streaming:
                return await binding.rpc.call(parts_of(binding, request), context)
            message = await message_of(binding, request, self._message_bytes)
            return await attended(binding.rpc.call(message, context), request)

        guarded = await guarded_by(self._guard, binding.rpc, call)
        return await guarded(request, context)


async def guarded_by(
    guard: Guard, rpc: Rpc, call: Callable[[Request, Context], Awaitable[Any]]
) -> Callable[[Request, Context], Awaitable[Any]]:
    """The call as the guard of gRPC would let it happen."""
    handler: Any = grpc.unary_unary_rpc_method_handler(call)

    async def found(details: object) -> Any:
        return handler

    guarded: Any = await guard.intercept_service(found, Called(rpc.full_name))
    wrapped: Callable[[Request, Context], Awaitable[Any]] = guarded.unary_unary
    return wrapped


async def attended(work: Awaitable[T], request: Request) -> T:
    """The result of work that ends when its caller leaves. Raises CallerLeft."""
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallerLeft
        return task.result()
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.wait({task, watch})


async def _leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


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
