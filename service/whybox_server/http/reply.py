"""What goes out: a message, a stream of them as NDJSON or server-sent events, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from google.protobuf.message import Message
from google.rpc import status_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from whybox_server.api.guard import REQUEST_ID_HEADER
from whybox_server.http.context import Context
from whybox_server.http.encode import JSON, STATUSES, retry_after, to_json

NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def failure(status: status_pb2.Status, http_status: int | None = None, headers: Mapping[str, str] = HEADERS) -> Response:
    """http_status: where HTTP has a word of its own for it."""
    later = retry_after(status)
    return Response(
        to_json(status),
        http_status or STATUSES[status.code],
        {**HEADERS, **headers, **({"retry-after": later} if later else {})},
        JSON,
    )


class Reply:
    """The answer to one call; nothing is sent before the first message or the end."""

    def __init__(self, request: Request, receive: Receive, send: Send) -> None:
        self._scope: Scope = request.scope
        self._receive, self._send = receive, send
        self._events = EVENTS in request.headers.get("accept", "")
        self._started = False
        self.context = Context(request.headers.items(), self.write)

    async def write(self, message: Message) -> None:
        """The next message of a stream."""
        await self._start()
        await self._line(await _encoded(message), _event(message))

    async def finish(self, message: Message | None) -> None:
        """message: the only one; None ends a stream."""
        if message is None:
            await self._start()
            await self._end()
            return
        response = Response(await _encoded(message), 200, self._headers(), JSON)
        await response(self._scope, self._receive, self._send)

    async def fail(self, status: status_pb2.Status) -> None:
        """A stream that has begun ends with the error as its last line."""
        if self._started:
            await self._line(b'{"error":' + to_json(status) + b"}", "error")
            await self._end()
            return
        response = failure(status, headers=self._headers())
        await response(self._scope, self._receive, self._send)

    def _headers(self) -> dict[str, str]:
        return {**HEADERS, REQUEST_ID_HEADER: self.context.trailing.get(REQUEST_ID_HEADER, "")}

    async def _start(self) -> None:
        if self._started:
            return
        self._started = True
        # Proxies are told not to collect lines before they pass them on.
        headers = {**self._headers(), "content-type": EVENTS if self._events else NDJSON, "x-accel-buffering": "no"}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})

    async def _line(self, line: bytes, event: str) -> None:
        body = b"event: " + event.encode() + b"\ndata: " + line + b"\n\n" if self._events else line + b"\n"
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def _end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _encoded(message: Message) -> bytes:
    """Never on the event loop: to know how large a message is takes as long as to copy it."""
    return await asyncio.to_thread(to_json, message)


def _event(message: Message) -> str:
    """Which kind of message of the stream it is."""
    kinds = message.DESCRIPTOR.oneofs
    return (message.WhichOneof(kinds[0].name) or "message") if kinds else "message"


def plain(value: object) -> Response:
    return Response(msgspec.json.encode(value), 200, HEADERS, JSON)
