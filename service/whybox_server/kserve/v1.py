"""KServe's V1 over HTTP: which models there are, what they predict, and `:explain`, which says why."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from whybox.v1 import explanation_pb2
from whybox_server.api.guard import Guard
from whybox_server.core.errors import InvalidRequest, ModelOutputInvalid
from whybox_server.http.calls import aside
from whybox_server.http.context import Context
from whybox_server.http.encode import JSON
from whybox_server.http.reply import HEADERS, plain
from whybox_server.kserve.asked import Asked
from whybox_server.kserve.desk import Desk
from whybox_server.kserve.door import Call, Door
from whybox_server.kserve.errors import NOT_READY, refusal, unknown_below
from whybox_server.kserve.events import Asking, Signed, answering, opened, signed
from whybox_server.kserve.instances import rows_in
from whybox_server.kserve.meters import Meters
from whybox_server.kserve.parameters import PATH, from_headers, merged
from whybox_server.kserve.pictures import B64
from whybox_server.kserve.shown import shown

PREFIX = "/v1"
PICTURE = f'"{B64}"'.encode()


def routes(
    desk: Desk,
    guard: Guard,
    message_bytes: int,
    meters: Meters,
    registry: CollectorRegistry | None = None,
    environment: Mapping[str, str] = os.environ,
) -> list[Route]:
    """message_bytes: most in one message. registry: what `GET /metrics` tells; None: there is no such path.

    environment: says how our events are signed.
    """
    pages = Pages(desk, meters, message_bytes, signed(environment))

    def route(path: str, verb: str, call: Call) -> Route:
        return Route(path, Door({verb: call}, guard, message_bytes))

    async def alive(request: Request) -> Response:
        return plain({"status": "alive"})

    async def metrics(request: Request) -> Response:
        assert registry is not None  # else it has no route
        told = await asyncio.to_thread(generate_latest, registry)
        return Response(told, headers={**HEADERS, "content-type": CONTENT_TYPE_LATEST})

    return [
        Route("/", alive),
        *([Route("/metrics", metrics)] if registry is not None else []),
        route(f"{PREFIX}/models", "GET", Call("V1Models", pages.models)),
        # Before the model's own path, which would take the verb for a part of its name.
        route(f"{PREFIX}/models/{{name}}:explain", "POST", Call("V1Explain", pages.explain)),
        route(f"{PREFIX}/models/{{name}}:predict", "POST", Call("V1Predict", pages.predict, passed_on=True)),
        route(f"{PREFIX}/models/{{name}}", "GET", Call("V1Model", pages.model)),
        unknown_below(PREFIX),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """What is said under each path. Errors are raised; the door says them."""

    desk: Desk
    meters: Meters
    message_bytes: int
    signed: Signed

    async def models(self, request: Request, body: bytes, context: Context) -> Response:
        return plain({"models": await self.desk.names()})

    async def model(self, request: Request, body: bytes, context: Context) -> Response:
        name = _name(request)
        if await self.desk.ready(name):
            return plain({"name": name, "ready": True})
        return refusal(NOT_READY, f"model {name!r} is not ready; ask again later")

    async def explain(self, request: Request, body: bytes, context: Context) -> Response:
        """`predictions` and `explanations` of equal length."""
        name = _name(request)
        with self.meters.timed(name) as timed:
            with timed.phase("preprocess"):
                asked, asking = await aside(self._weight(body), lambda: self._asked(request, body))
            with timed.phase("explain"):
                explanations = await self.desk.explain(name, asked, context)
            with timed.phase("predict"):  # after that: what the method has asked is known by now
                predictions = await self.desk.predict(name, asked, context)
            with timed.phase("postprocess"):
                given = self.desk.given(asked)
                content = await asyncio.to_thread(_answer, predictions, explanations, given)
        return self._response(name, content, asking)

    async def predict(self, request: Request, body: bytes, context: Context) -> Response:
        """What a server behind us says to the very body, if it speaks V1; else what the model says."""
        name = _name(request)
        with self.meters.timed(name) as timed:
            with timed.phase("preprocess"):
                said, asking = await aside(len(body), lambda: opened(_headers(request), body))
            with timed.phase("predict"):
                reply = await self.desk.pass_on(name, said, context) if isinstance(said, dict) else None
                if reply is None:
                    asked = await aside(self._weight(body), lambda: self._read(request, said))
                    reply = {"predictions": await self.desk.predict(name, asked, context)}
            with timed.phase("postprocess"):
                content = await aside(len(body), lambda: _encoded(reply))
        return self._response(name, content, asking)

    def _weight(self, body: bytes) -> int:
        """Bytes that there will be: a picture's file says little about it."""
        return self.message_bytes if PICTURE in body else len(body)

    def _asked(self, request: Request, body: bytes) -> tuple[Asked, Asking | None]:
        said, asking = opened(_headers(request), body)
        return self._read(request, said), asking

    def _read(self, request: Request, said: Any) -> Asked:
        rows = rows_in(said, self.message_bytes)
        return Asked(rows.instances, merged(from_headers(request.headers), _parameters(said)), rows.given)

    def _response(self, name: str, content: bytes, asking: Asking | None) -> Response:
        if asking is None:
            return Response(content, media_type=JSON)
        enclosed, headers = answering(asking, name, self.signed, content)
        return Response(enclosed, headers=headers)


def _parameters(said: dict[str, Any]) -> dict[str, Any]:
    given = said.get(PATH)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidRequest.of(PATH, 'must be an object, as {"method": "lime", "num_samples": 500}')
    return given


def _answer(
    predictions: list[Any], explanations: list[explanation_pb2.Explanation], given: Mapping[str, Any]
) -> bytes:
    told = [shown(explanation, given) for explanation in explanations]
    return _encoded({"predictions": predictions, "explanations": told})


def _encoded(value: Any) -> bytes:
    """JSON of what may come from a server behind us. Raises ModelOutputInvalid for what cannot be passed on."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can only escape
        return json.dumps(value).encode()
    except RecursionError:
        raise ModelOutputInvalid("the predictor's reply is nested too deeply") from None


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


def _headers(request: Request) -> dict[str, str]:
    return dict(request.headers.items())
