"""The outermost interceptor: a request id for every call, errors as statuses, one log line each.

Handlers raise `WhyboxError`; nothing else of theirs is ever shown to a caller.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio
import structlog
from grpc_status import rpc_status

from whybox_server.api.status import to_status
from whybox_server.core.errors import Reason, WhyboxError
from whybox_server.engine.events import Events, Failed

REQUEST_ID_HEADER = "x-request-id"
REQUEST_ID = re.compile(r"[\w.:-]{1,128}")
OWN_SERVICES = ("/whybox.v1.", "/inference.")  # what comes before the service's name in a call's
# We have retried already, and paid for it: gRPC's own retries would do so again (gRFC A6).
DO_NOT_RETRY = ("grpc-retry-pushback-ms", "-1")

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
log = structlog.get_logger("whybox.api")


class Guard(grpc.aio.ServerInterceptor):
    """Wraps every handler of our own services."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        handler = await continuation(details)
        own = next((prefix for prefix in OWN_SERVICES if details.method.startswith(prefix)), None)
        if handler is None or own is None:
            return handler
        name = details.method.removeprefix(own)
        if handler.unary_unary:
            return handler._replace(unary_unary=self._unary(name, handler.unary_unary))
        if handler.stream_unary:
            return handler._replace(stream_unary=self._unary(name, handler.stream_unary))
        return handler._replace(unary_stream=self._unary(name, handler.unary_stream))

    def _unary(self, name: str, call: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def guarded(request: Any | AsyncIterator[Any], context: Any) -> Any:
            request_id.set(_identify(context))
            started = time.perf_counter()
            try:
                answer = await call(request, context)
            except asyncio.CancelledError:
                self._note(name, "CANCELLED", started)
                raise
            except WhyboxError as error:
                await self._abort(name, error, started, context)
            except Exception as defect:
                log.exception("defect", call=name, request_id=request_id.get())
                await self._abort(name, WhyboxError(str(defect)), started, context)
            self._note(name, "OK", started)
            return answer

        return guarded

    async def _abort(self, name: str, error: WhyboxError, started: float, context: Any) -> NoReturn:
        self._events.tell(Failed(error.reason))
        self._note(name, error.reason.value, started, error)
        status = rpc_status.to_status(to_status(error, request_id.get()))
        if error.reason is Reason.ENDPOINT_UNREACHABLE:
            trailing = (*status.trailing_metadata, DO_NOT_RETRY)
            status = status._replace(trailing_metadata=trailing)  # type: ignore[attr-defined]  # a named tuple
        await context.abort_with_status(status)
        raise AssertionError("abort_with_status raises")

    def _note(self, name: str, outcome: str, started: float, error: WhyboxError | None = None) -> None:
        ms = round((time.perf_counter() - started) * 1e3, 1)
        fields: dict[str, object] = {"call": name, "request_id": request_id.get(), "outcome": outcome, "ms": ms}
        if error is not None and error.reason is not Reason.INTERNAL:
            fields["details"] = dict(error.details)
        log.info("call", **fields)


def _identify(context: Any) -> str:
    """The id of a call; sent back with whatever comes of it."""
    chosen = identified(dict(context.invocation_metadata() or ()).get(REQUEST_ID_HEADER))
    context.set_trailing_metadata(((REQUEST_ID_HEADER, chosen),))
    return chosen


def identified(given: object) -> str:
    """The caller's request id if it is a decent one, else a new one."""
    return given if isinstance(given, str) and REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
