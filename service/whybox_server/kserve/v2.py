"""The Open Inference Protocol over HTTP: health, metadata, and explanations as one tensor of texts.

`infer` and `explain` are the same here: what this server infers are explanations. Its predictions are asked
over V1 or of the predictor itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from whybox_server.api.guard import Guard
from whybox_server.http.context import Context
from whybox_server.http.encode import JSON
from whybox_server.http.reply import plain
from whybox_server.kserve.desk import Desk
from whybox_server.kserve.door import Call, Door
from whybox_server.kserve.errors import ANY_VERB, NOT_READY, unknown_below, wrong_verb
from whybox_server.kserve.infer import within
from whybox_server.kserve.infer_call import Inferring, check_version
from whybox_server.kserve.infer_json import from_body, to_body
from whybox_server.kserve.meters import Meters
from whybox_server.kserve.oip import EXTENSIONS, SERVER, described
from whybox_server.serving.remote.speech.oip_rest import JSON_BYTES

Answer = Callable[[Request, bytes, Context], Awaitable[Response]]


def routes(desk: Desk, guard: Guard, message_bytes: int, version: str, meters: Meters) -> list[Route]:
    """message_bytes: most in one message. version: of this server."""
    pages = Pages(desk, version, meters, message_bytes)

    def route(path: str, verb: str, name: str, answer: Answer) -> Route:
        return Route(path, Door({verb: Call(name, answer)}, guard, message_bytes))

    found = [
        route("/v2", "GET", "ServerMetadata", pages.server),
        probe("/v2/health/live", pages.live),
        probe("/v2/health/ready", pages.ready),
        route("/v2/models", "GET", "Models", pages.models),
    ]
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        found += [
            route(model, "GET", "ModelMetadata", pages.model),
            route(f"{model}/ready", "GET", "ModelReady", pages.model_ready),
            route(f"{model}/infer", "POST", "ModelInfer", pages.infer),
            route(f"{model}/explain", "POST", "ModelInfer", pages.infer),
        ]
    return [*found, unknown_below("/v2")]


def probe(path: str, answer: Callable[[], Awaitable[Response]]) -> Route:
    """Asked every few seconds: the guard and its log are spared."""

    async def asked(request: Request) -> Response:
        return await answer() if request.method in ("GET", "HEAD") else wrong_verb(request, ["GET"])

    return Route(path, asked, methods=ANY_VERB)


class Pages:
    """What is said under each path. Errors are raised; the door says them."""

    def __init__(self, desk: Desk, version: str, meters: Meters, message_bytes: int) -> None:
        self._desk, self._version, self._message_bytes = desk, version, message_bytes
        self._inferring = Inferring(desk, meters)

    async def server(self, request: Request, body: bytes, context: Context) -> Response:
        return plain({"name": SERVER, "version": self._version, "extensions": EXTENSIONS})

    async def live(self) -> Response:
        return plain({"live": True})

    async def ready(self) -> Response:
        if await self._desk.all_ready():
            return plain({"ready": True})
        return _not_yet({"ready": False, "error": "the predictor does not answer, or the server is about to stop"})

    async def models(self, request: Request, body: bytes, context: Context) -> Response:
        return plain({"models": await self._desk.names()})

    async def model(self, request: Request, body: bytes, context: Context) -> Response:
        name, version = _asked(request)
        return plain(described(check_version(await self._desk.metadata(name, context), version)))

    async def model_ready(self, request: Request, body: bytes, context: Context) -> Response:
        name, version = _asked(request)
        if not await self._desk.ready(name):
            return _not_yet({"name": name, "ready": False, "error": f"model {name!r} is not ready"})
        if version:
            check_version(await self._desk.metadata(name, context), version)
        return plain({"name": name, "ready": True})

    async def infer(self, request: Request, body: bytes, context: Context) -> Response:
        name, version = _asked(request)
        said = request.headers.get(JSON_BYTES)
        content, headers = await self._inferring.answer(
            name,
            version,
            len(body),
            lambda: within(from_body(body, said), self._message_bytes),
            lambda response, binary: to_body(response, binary=binary),
            context,
        )
        return Response(content, headers=headers)


def _asked(request: Request) -> tuple[str, str]:
    """The model's name, and the version, "" for any."""
    return request.path_params["name"], request.path_params.get("version", "")


def _not_yet(value: object) -> Response:
    return Response(msgspec.json.encode(value), NOT_READY, media_type=JSON)
