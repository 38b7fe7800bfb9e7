"""Errors as KServe's servers say them over HTTP: `{"error": TEXT}`, with the status that its clients act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from google.rpc import error_details_pb2, status_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from whybox_server.api.guard import REQUEST_ID_HEADER, identified
from whybox_server.core.errors import Reason
from whybox_server.http.encode import JSON, STATUSES, retry_after
from whybox_server.http.reply import HEADERS

NOT_FOUND, METHOD_NOT_ALLOWED, CONTENT_TOO_LARGE, BAD_GATEWAY, NOT_READY = 404, 405, 413, 502, 503
# What the server behind us says of the caller's right to ask, of his rows, or of later: as true over here.
TRUE_HERE = frozenset((400, 401, 403, 422, 429, 503, 504))
MOST_SHOWN = 200  # characters of a path
ANY_VERB = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def failure(status: status_pb2.Status, *, passed_on: bool = False) -> Response:
    """What a caller is told of an error.

    passed_on: the call was one for the server behind us, whose own status it gets.
    """
    later = retry_after(status)
    return refusal(_http_status(status, passed_on=passed_on), status.message, {"retry-after": later} if later else {})


def refusal(http_status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode({"error": text}), http_status, {**HEADERS, **(headers or {})}, JSON)


def wrong_verb(request: Request, allowed: Sequence[str]) -> Response:
    there = ", ".join(allowed)
    return _without_call(request, METHOD_NOT_ALLOWED, f"this path takes {there} only", {"allow": there})


def unknown_below(prefix: str) -> Route:
    """The route of all paths below one (`/v1`) that no route before it has."""

    async def unknown(request: Request) -> Response:
        return _without_call(request, NOT_FOUND, "there is no such path; GET /v1/models lists the models", {})

    return Route(f"{prefix}/{{rest:path}}", unknown, methods=ANY_VERB)


def _http_status(status: status_pb2.Status, *, passed_on: bool) -> int:
    info = _info(status)
    if info.reason == Reason.TOO_LARGE.value:
        return CONTENT_TOO_LARGE
    if info.reason == Reason.ENDPOINT_REFUSED.value:
        said = info.metadata.get("status", "")
        own = int(said) if said.isdigit() else BAD_GATEWAY
        return own if own in TRUE_HERE or (passed_on and 400 <= own < 600) else BAD_GATEWAY
    if info.reason == Reason.MODEL_OUTPUT_INVALID.value:
        return BAD_GATEWAY
    return STATUSES[status.code]


def _info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            break
    return info


def _without_call(request: Request, http_status: int, text: str, headers: Mapping[str, str]) -> Response:
    """The answer to what is no call, and has its id nevertheless."""
    asked = f"{request.method[:MOST_SHOWN]} {request.url.path[:MOST_SHOWN]}"
    own = {REQUEST_ID_HEADER: identified(request.headers.get(REQUEST_ID_HEADER))}
    return refusal(http_status, f"{asked}: {text}", {**headers, **own})
