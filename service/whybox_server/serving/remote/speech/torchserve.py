"""TorchServe: `POST /predictions/MODEL[/VERSION]`, one row per call, since handlers batch behind the door.

A text goes as text, everything else as JSON. Management is often on another port, so its metadata is
asked for and not needed. Handlers that take or say something else are described by the protocol json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whybox_server.core.errors import InvalidRequest, ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Answer, Described, Exchange, HttpCall, Refused
from whybox_server.serving.remote.speech import json_text
from whybox_server.serving.remote.speech.declaration import required_inputs
from whybox_server.serving.remote.speech.json_text import HEADERS, decoded, encoded, get, segments
from whybox_server.serving.remote.speech.row_values import each, rows_of, single
from whybox_server.serving.remote.speech.scores import Reading, scores_of

TEXT_HEADERS: Mapping[str, str] = {"content-type": "text/plain; charset=utf-8", "accept": "application/json"}
HIDDEN = (400, 401, 403, *json_text.NOT_THERE)  # management is elsewhere, or wants a key of its own
WRONG_MODEL = ("model not found", "modelnotfound")
REMEDY = "have the handler say all scores of a row, or describe its replies with the protocol json"
LONGEST_LABEL = 256

bytes_per_row = json_text.bytes_per_row


def describe(endpoint: Endpoint) -> Exchange[Described]:
    """Raises InvalidRequest for a model that management does not know, or inputs that are not declared."""
    inputs = required_inputs(endpoint)
    if not endpoint.model:
        raise InvalidRequest.of(
            "endpoint.model", "required: TorchServe's predictions are asked by model name"
        )
    version = endpoint.version
    notes: tuple[str, ...] = ()
    try:
        said = decoded((yield get(segments("models", *_named(endpoint)))))
    except ModelOutputInvalid:
        pass  # whatever answers there is no management
    except Refused as refused:
        if any(text in refused.text.lower() for text in WRONG_MODEL):
            raise InvalidRequest.of(
                "endpoint.model", f"the server has no model {endpoint.model!r}"
            ) from refused
        if refused.status not in HIDDEN:
            raise
        notes = ("management is not reachable here: the model's version is not known",)
    else:
        version = _version(said) or version
    return Described(
        Speech.TORCHSERVE.value,
        inputs,
        "",
        batched=False,
        labels=endpoint.spec.labels,
        version=version,
        notes=notes,
    )


def ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    return (yield from each(rows, lambda one: _ask(endpoint, one)))


def _ask(endpoint: Endpoint, one: Mapping[str, Array]) -> Exchange[Array]:
    """One row."""
    (value,) = rows_of(one)
    text = isinstance(value, str)
    body = value.encode("utf-8", "surrogatepass") if text else encoded(value)
    path = segments("predictions", *_named(endpoint))
    answer = yield HttpCall("POST", path, body, TEXT_HEADERS if text else HEADERS, asks=True)
    return scores_of(single(_said(answer)), 1, Reading("the reply", REMEDY, endpoint.spec.labels))


def _named(endpoint: Endpoint) -> tuple[str, ...]:
    return (endpoint.model, endpoint.version) if endpoint.version else (endpoint.model,)


def _said(answer: Answer) -> Any:
    """JSON, or the bare word that handlers answer with where they return a text."""
    declared = answer.headers.get("content-type", "text/plain").partition(";")[0].strip()
    try:
        return decoded(answer)
    except ModelOutputInvalid:
        text = answer.body.decode("utf-8", "replace").strip()
        if declared != "text/plain" or not text or not text.isprintable() or len(text) > LONGEST_LABEL:
            raise
        return text


def _version(said: Any) -> str:
    """Management answers with a list of workers' models."""
    first = said[0] if isinstance(said, list) and said else said
    version = first.get("modelVersion") if isinstance(first, dict) else None
    return version if isinstance(version, str) else ""
