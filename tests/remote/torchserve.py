"""A server in TorchServe's shape: one row per request, handlers that answer in many ways.

Its models, by name: "scores" says (2,) numbers, "named" numbers by label, sorted by size as TorchServe's own
classifiers do, "word" a bare word, "text" the length of a text and its share of spaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.remote.tfserving import LABELS, probabilities
from tests.remote.web import Request, Response, Web, web

MODELS = ("scores", "named", "word", "text")
VERSION = "1.0"
MODEL_MISSING = {"code": 404, "type": "ModelNotFoundException", "message": "Model not found: %s"}
NO_SUCH_PATH = {
    "code": 404,
    "type": "ResourceNotFoundException",
    "message": "Requested resource is not found",
}


@contextmanager
def torchserve(management: bool = True) -> Iterator[Web]:
    """Inference and, as where both share an address, management."""
    with web(lambda request: answer(request, management=management)) as server:
        yield server


def answer(request: Request, *, management: bool) -> Response:
    _, kind, name, *_ = [*request.path.split("/"), "", ""]
    if kind == "models" and not management:
        return Response(404, NO_SUCH_PATH)
    if name not in MODELS:
        return Response(404, {**MODEL_MISSING, "message": MODEL_MISSING["message"] % name})
    if kind == "models":
        return Response(200, [{"modelName": name, "modelVersion": VERSION, "batchSize": 1}])
    if name == "text":
        text = request.body.decode()
        return Response(200, [len(text), text.count(" ") / max(len(text), 1)])
    found = probabilities([request.json])[0]
    if name == "scores":
        return Response(200, found.tolist())
    ordered = sorted(zip(LABELS, found.tolist(), strict=True), key=lambda pair: -pair[1])
    if name == "named":
        return Response(200, dict(ordered))
    return Response(200, ordered[0][0], "text/plain")
