"""What comes in: bodies within limits, messages out of them, and uploads piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request

from whybox_server.api.decode import Findings
from whybox_server.core.errors import InvalidRequest, TooLarge, UploadBroken
from whybox_server.http.decode import fill, from_query, parse, to_message
from whybox_server.http.encode import JSON
from whybox_server.http.routes import Binding

OCTETS = "application/octet-stream"
JSON_OVERHEAD = 4  # a float32 takes up to 13 bytes in a list, and what else there is takes no more
INLINE_BYTES = 1 << 14  # decoded on the event loop, within a millisecond
CHUNK_BYTES = 1 << 20


async def message_of(binding: Binding, request: Request, most_bytes: int) -> Message:
    """The request's message. most_bytes: of the message; its JSON may be larger. Raises WhyboxError."""
    held = binding.held(request.path_params)
    query = list(request.query_params.multi_items())
    made = binding.rpc.request
    if not binding.body:
        return _settled(*_from_query(made, query, held), most_bytes)
    if query:
        raise InvalidRequest.of(query[0][0][:60], "no such parameter; everything goes into the body")
    expect(request, JSON)
    body = await whole(request, most_bytes * JSON_OVERHEAD)

    def decoded() -> Message:
        found = Findings()
        return _settled(to_message(made, parse(body), held, found), found, most_bytes)

    return decoded() if len(body) <= INLINE_BYTES else await asyncio.to_thread(decoded)


def _from_query(
    made: type[Message], query: list[tuple[str, str]], held: Mapping[str, str]
) -> tuple[Message, Findings]:
    found = Findings()
    return from_query(made, query, held, found), found


def _settled(message: Message, found: Findings, most_bytes: int) -> Message:
    found.settle()
    if message.ByteSize() > most_bytes:
        raise TooLarge(
            f"the message has {message.ByteSize()} bytes and this server takes {most_bytes}; send less, or raise "
            "--message-mib",
            limit=most_bytes,
        )
    return message


def expect(request: Request, kind: str) -> None:
    """Pages of other sites can send a body only as a form or as text, unless they ask: see CORS."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != kind:
        raise InvalidRequest.of("content-type", f"must be {kind}, got {given[:60] or 'none'}")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidRequest.of("content-encoding", "must be identity")


async def whole(request: Request, most: int) -> bytes:
    """The body. Raises TooLarge as soon as it is announced or found to have more than `most` bytes."""
    announced = request.headers.get("content-length", "0")
    size = int(announced) if announced.isdigit() else 0
    body = bytearray()
    if size <= most:
        async for piece in _pieces(request):
            body += piece
            if len(body) > most:
                break
    if max(size, len(body)) > most:
        raise TooLarge(f"the body has more than {most} bytes; send less, or raise --message-mib", limit=most)
    return bytes(body)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise UploadBroken("the caller left before the body had ended") from None


async def parts_of(binding: Binding, request: Request) -> AsyncIterator[Message]:
    """An upload as the messages of its stream: a header out of HTTP headers, then chunks of the body.

    Field `some_name` of the header comes as `x-some-name`, messages as JSON; `size_bytes` may be left to Content-Length.
    """
    expect(request, OCTETS)
    made = binding.rpc.request
    header, chunk = upload_fields(made.DESCRIPTOR)
    found, first = Findings(), made()
    inner = getattr(first, header)
    inner.SetInParent()
    fill(inner, _header(request, inner), header, found)
    found.settle()
    yield first
    async for piece in _pieces(request):
        for at in range(0, len(piece), CHUNK_BYTES):
            yield made(**{chunk: piece[at : at + CHUNK_BYTES]})


def upload_fields(descriptor: Any) -> tuple[str, str]:
    """Names of the header and of the chunk in messages of an upload."""
    header = next(field.name for field in descriptor.fields if field.message_type is not None)
    chunk = next(field.name for field in descriptor.fields if field.type == FieldDescriptor.TYPE_BYTES)
    return header, chunk


def header_name(field: Any) -> str:
    return "x-" + str(field.name).replace("_", "-")


def _header(request: Request, header: Message) -> dict[str, Any]:
    given: dict[str, Any] = {"size_bytes": request.headers.get("content-length")}
    for field in header.DESCRIPTOR.fields:
        value = request.headers.get(header_name(field))
        if value is not None:
            given[field.name] = value if field.message_type is None else parse(value.encode())
    return given
