"""A call over HTTP, under the guard of gRPC: within its caller's deadline, and no longer than he waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from starlette.requests import Request

from whybox_server.api.guard import REQUEST_ID_HEADER, Guard
from whybox_server.api.status import to_status
from whybox_server.core.errors import DeadlineExceeded
from whybox_server.http.context import Context, Refused, timeout_in
from whybox_server.http.ending import ended, ending_of
from whybox_server.http.request import INLINE_BYTES

T = TypeVar("T")


class CallerLeft(asyncio.CancelledError):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Called:
    """What the guard wants to know of a call."""

    method: str


async def performed(guard: Guard, name: str, request: Request, context: Context, work: Callable[[], Awaitable[T]]) -> T:
    """What the work comes to. name: of the call as gRPC spells it, "/whybox.v1.ModelService/GetModel".

    Raises Refused with what the caller is to be told, and CallerLeft.
    """
    ending = ending_of(request.scope)

    async def call(request: Request, context: Context) -> T:
        seconds = timeout_in(request.headers)
        if seconds is not None and not ending.over:
            limit.reschedule(asyncio.get_running_loop().time() + seconds)
            context.limit(seconds)
        return await work()

    try:
        async with asyncio.timeout(None) as limit:
            guarded = await _guarded_by(guard, name, call)
            with ending.counted(limit):
                return await guarded(request, context)
    except TimeoutError:
        late = ended() if ending.over else DeadlineExceeded("the deadline passed; allow more time")
        raise Refused(to_status(late, context.trailing[REQUEST_ID_HEADER])) from None


async def _guarded_by(
    guard: Guard, name: str, call: Callable[[Request, Context], Awaitable[T]]
) -> Callable[[Request, Context], Awaitable[T]]:
    """The call as the guard of gRPC would let it happen."""
    handler: Any = grpc.unary_unary_rpc_method_handler(call)

    async def found(details: object) -> Any:
        return handler

    guarded: Any = await guard.intercept_service(found, Called(name))
    wrapped: Callable[[Request, Context], Awaitable[T]] = guarded.unary_unary
    return wrapped


async def attended(work: Awaitable[T], request: Request) -> T:
    """The result of work that ends when its caller leaves; his body must have been read. Raises CallerLeft."""
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


async def aside(size: int, work: Callable[[], T]) -> T:
    """The result of work that takes longer the more bytes there are: off the event loop, if there are many."""
    return work() if size <= INLINE_BYTES else await asyncio.to_thread(work)
